/* Sums and maxima over the threads of a block, all of which call these and are whole warps. They
 * have the same bits in every thread and in every order of threads. In double: for the few
 * additions behind long sums, and where float32 has too few digits. */
#ifndef CZ_KERNELS_COMMON_SUM_CUH
#define CZ_KERNELS_COMMON_SUM_CUH

#include "kernels/common/device.cuh"

/* The X of all threads joined by JOIN, as a tree; NONE joined to another number leaves it. */
template <class T, class F> static inline __device__ T cz_block_join(T x, T none, F join CZ_PLACE) {
  CZ_SHARED(T, warps, [CZ_WARP]);
  const int lane = cz_lane(), warp = (int)threadIdx.x / CZ_WARP;
  x = cz_warp_join(x, join CZ_PASS);
  if (lane == 0) warps[warp] = x;
  __syncthreads();
  x = cz_warp_join(lane < (int)blockDim.x / CZ_WARP ? warps[lane] : none, join CZ_PASS);
  __syncthreads();
  return x;
}

/* Of float or double. */
template <class T> static inline __device__ T cz_block_sum(T x CZ_PLACE) {
  return cz_block_join(x, (T)0, [](T a, T b) { return a + b; } CZ_PASS);
}

static inline __device__ float cz_block_maximum(float x CZ_PLACE) {
  return cz_block_join(x, -INFINITY, cz_larger CZ_PASS);
}

/* The sum of X over the threads before this one; *TOTAL is that over all. */
static inline __device__ int cz_block_sum_before(int x, int *total CZ_PLACE) {
  CZ_SHARED(int, warps, [CZ_WARP]);
  const int lane = cz_lane(), warp = (int)threadIdx.x / CZ_WARP;
  int sum = x;
  CZ_UNROLL
  for (int by = 1; by < CZ_WARP; by *= 2) {
    const int other = __shfl_up_sync(CZ_FULL_MASK, sum, (unsigned)by, CZ_WARP CZ_PASS);
    if (lane >= by) sum += other;
  }
  if (lane == CZ_WARP - 1) warps[warp] = sum;
  __syncthreads();
  sum -= x, *total = 0;
  for (int i = 0; i < (int)blockDim.x / CZ_WARP; i++) {
    if (i < warp) sum += warps[i];
    *total += warps[i];
  }
  __syncthreads();
  return sum;
}

/* The sum of N numbers of global memory, by all threads of a block. */
static inline __device__ double cz_block_sum_of(const double *x, int64_t n CZ_PLACE) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) sum += x[i];
  return cz_block_sum(sum CZ_PASS);
}

#endif
