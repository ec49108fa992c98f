/* The device language of the CUDA kernels. Kernel files include this and nothing of CUDA besides,
 * so that one source is compiled by nvcc for a card and by a C++ compiler for the emulator
 * (tests/emulator). Inline PTX, launches and declarations of shared memory are here alone;
 * scripts/check_cuda_sources.py holds kernel files to it.
 *
 *   CZ_SHARED(float, tile, [32][33]);     a static array of shared memory
 *   CZ_SHARED_DYNAMIC(T, name);           the block's dynamic one, aligned to 128 bytes
 *   cz_launch("name", kernel<T>, grid, block, shared_bytes, call->stream, arguments...);
 *
 * A function that calls one of these or of the instructions in device_ptx.cuh for a kernel takes
 * CZ_PLACE behind its parameters and hands on CZ_PASS behind its arguments: the emulator then names
 * the kernel's line. For nvcc both are nothing.
 *
 * Thread numbers, __syncthreads, __syncwarp, __shfl_*_sync, __ballot_sync, __any_sync, __all_sync
 * and the functions of float in <math.h> are CUDA's own. */
#ifndef CZ_KERNELS_COMMON_DEVICE_CUH
#define CZ_KERNELS_COMMON_DEVICE_CUH

#include "kernels/common/launch.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <type_traits>

#ifdef CZ_EMULATED /* the header that gives this language on a CPU, in quotes */
#include CZ_EMULATED
#else
#include "kernels/common/device_ptx.cuh"
#endif

typedef __nv_bfloat16 cz_bfloat;
typedef __half cz_half;

enum { CZ_WARP = 32 };
static const unsigned CZ_FULL_MASK = 0xffffffffu; /* all lanes of a warp */

/* The thread's number in its warp, of blocks in one dimension. */
static inline __device__ int cz_lane() { return (int)threadIdx.x % CZ_WARP; }

static inline __device__ float cz_float(float x) { return x; }
static inline __device__ float cz_float(cz_bfloat x) { return __bfloat162float(x); }
static inline __device__ float cz_float(cz_half x) { return __half2float(x); }

/* The nearest number of T, ties to even. */
template <class T> static inline __device__ T cz_nearest(float x) {
  if constexpr (std::is_same<T, float>::value)
    return x;
  else if constexpr (std::is_same<T, cz_half>::value)
    return __float2half_rn(x);
  else
    return __float2bfloat16_rn(x);
}

/* X rounded to T and widened again. */
template <class T> static inline __device__ float cz_rounded(float x) {
  return cz_float(cz_nearest<T>(x));
}

/* Sixteen bytes of T's: what one thread loads or stores at once. */
template <class T> struct cz_pack {
  enum { N = 16 / sizeof(T) };
  T x[N];
};

/* One access of 16 bytes; P must be aligned to them. */
template <class T> static inline __device__ cz_pack<T> cz_load(const T *p CZ_PLACE) {
  const uint4 bits = cz_load_16(p CZ_PASS);
  cz_pack<T> pack;
  memcpy((void *)pack.x, &bits, sizeof bits);
  return pack;
}

/* The same for a store. */
template <class T> static inline __device__ void cz_store(T *p, const cz_pack<T> &pack CZ_PLACE) {
  uint4 bits;
  memcpy(&bits, (const void *)pack.x, sizeof bits);
  cz_store_16(p, bits CZ_PASS);
}

/* The word by which wgmma finds an operand in shared memory, whose rows, of B its columns, are
 * along K (PTX ISA, "Matrix Descriptor Format" and "Strides" of wgmma.mma_async; K-major, no
 * swizzle): it is made of core matrices of 8 rows of 16 bytes, 128 bytes on end, the first one at
 * SHARED; LEADING bytes from one to the next along K, STRIDE to that of the next 8 rows. All are
 * multiples of 16. */
static inline __device__ uint64_t cz_wgmma_operand(const void *shared, uint32_t leading,
                                                   uint32_t stride CZ_PLACE) {
  const uint64_t at = cz_shared_address(shared CZ_PASS), mask = 0x3ffff;
  return (at & mask) >> 4 | (leading & mask) >> 4 << 16 | (stride & mask) >> 4 << 32;
}

/* Two neighbours of a fragment in one register, the first in the lower half. */
template <class T> static inline __device__ uint32_t cz_pair(float low, float high) {
  const T pair[2] = {cz_nearest<T>(low), cz_nearest<T>(high)};
  uint32_t bits;
  memcpy(&bits, (const void *)pair, sizeof bits);
  return bits;
}

/* The X of a warp's lanes joined by JOIN, sums and maxima, the same bits in every lane: an exchange
 * between lanes that differ in one bit of their number joins the same two numbers on both sides. */
template <class T, class F> static inline __device__ T cz_warp_join(T x, F join CZ_PLACE) {
  CZ_UNROLL
  for (int bit = CZ_WARP / 2; bit > 0; bit /= 2)
    x = join(x, __shfl_xor_sync(CZ_FULL_MASK, x, bit, CZ_WARP CZ_PASS));
  return x;
}

/* Of float or double. */
template <class T> static inline __device__ T cz_warp_sum(T x CZ_PLACE) {
  return cz_warp_join(x, [](T a, T b) { return a + b; } CZ_PASS);
}

/* A NaN in any lane is one in all. */
static inline __device__ float cz_larger(float a, float b) { return a > b || a != a ? a : b; }

static inline __device__ float cz_warp_maximum(float x CZ_PLACE) {
  return cz_warp_join(x, cz_larger CZ_PASS);
}

#endif
