/* Sums over the threads of a block. Those in double have the same bits in every thread and in every
 * order of threads: for the few additions behind long sums, and where float32 has too few
 * digits. */
#ifndef CZ_KERNELS_COMMON_SUM_CUH
#define CZ_KERNELS_COMMON_SUM_CUH

#include "kernels/common/device.cuh"

/* Over a warp. */
static inline __device__ double cz_warp_sum(double x CZ_PLACE) {
  CZ_UNROLL
  for (int bit = CZ_WARP / 2; bit > 0; bit /= 2)
    x += __shfl_xor_sync(CZ_FULL_MASK, x, bit, CZ_WARP CZ_PASS);
  return x;
}

/* Over a block of whole warps, all threads of which call it. */
static inline __device__ double cz_block_sum(double x CZ_PLACE) {
  CZ_SHARED(double, warps, [CZ_WARP]);
  const int warp = (int)threadIdx.x / CZ_WARP;
  x = cz_warp_sum(x CZ_PASS);
  if (threadIdx.x % CZ_WARP == 0) warps[warp] = x;
  __syncthreads();
  double sum = 0;
  for (int i = 0; i < (int)blockDim.x / CZ_WARP; i++) sum += warps[i];
  __syncthreads();
  return sum;
}

/* The sum of X over the threads before this one; *TOTAL is that over all. */
static inline __device__ int cz_block_sum_before(int x, int *total CZ_PLACE) {
  CZ_SHARED(int, warps, [CZ_WARP]);
  const int lane = (int)threadIdx.x % CZ_WARP, warp = (int)threadIdx.x / CZ_WARP;
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
  __syncthreads(); /* mutant: survives, every caller has a barrier before it calls again */
  return sum;
}

/* The sum of N numbers of global memory, by all threads of a block. */
static inline __device__ double cz_block_sum_of(const double *x, int64_t n CZ_PLACE) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) sum += x[i];
  return cz_block_sum(sum CZ_PASS);
}

#endif
