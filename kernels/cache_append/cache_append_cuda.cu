/* A warp copies a strip of a row, unless a later one goes to the same place: so every place is
 * written once, and the order of warps does not matter. Looking for a later one reads row numbers
 * alone, of which a step of decoding has a few. */
#include "kernels/cache_append/cache_append.h"
#include "kernels/common/dispatch.cuh"
#include "kernels/common/strip.cuh"

enum { THREADS = 256, WARPS = THREADS / CZ_WARP };

/* Whether a row behind N goes where row N goes. The same in all lanes. */
static inline __device__ bool overwritten(const int32_t *rows, int64_t n, int64_t N) {
  const int32_t row = rows[n];
  for (int64_t from = n + 1; from < N; from += CZ_WARP) {
    const int64_t i = from + threadIdx.x % CZ_WARP;
    if (__any_sync(CZ_FULL_MASK, i < N && rows[i] == row)) return true;
  }
  return false;
}

template <class T, bool WIDE>
static __global__ void __launch_bounds__(THREADS)
    append(T *cache, const T *x, const int32_t *rows, int64_t N, int64_t E) {
  const int64_t column = (int64_t)blockIdx.y * CZ_STRIP, left = E - column;
  const int columns = (int)(left < CZ_STRIP ? left : (int64_t)CZ_STRIP);
  const int64_t step = (int64_t)gridDim.x * WARPS;
  for (int64_t n = (int64_t)blockIdx.x * WARPS + threadIdx.x / CZ_WARP; n < N; n += step) {
    if (overwritten(rows, n, N)) continue;
    cz_strip_copy<WIDE>(cache + rows[n] * E + column, x + n * E + column, columns);
  }
}

/** Copies rows of float32, bfloat16 or float16. Contract: cache_append.h. */
extern "C" void cz_cache_append_fwd_cuda(const cz_call *call) {
  const cz_arg *x = &call->in[CZ_CACHE_APPEND_X], *cache = &call->out[0];
  const int32_t *rows = static_cast<const int32_t *>(call->in[CZ_CACHE_APPEND_ROWS].data);
  const int64_t N = x->dim[0], E = x->dim[1];
  const dim3 grid(cz_blocks(call->stream, N, WARPS), (unsigned)((E + CZ_STRIP - 1) / CZ_STRIP));
  cz_with_type(x->dtype, [&](auto t) {
    typedef typename decltype(t)::type T;
    const bool wide =
        cz_strip_wide(x->data, E, sizeof(T)) && cz_strip_wide(cache->data, E, sizeof(T));
    cz_with_flag(wide, [&](auto w) {
      cz_launch("cache append", append<T, decltype(w)::value>, grid, THREADS, 0, call->stream,
                static_cast<T *>(cache->data), static_cast<const T *>(x->data), rows, N, E);
    });
  });
}
