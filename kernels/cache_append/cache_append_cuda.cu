/* A warp copies a row, unless a later one goes to the same place: so every place is written once,
 * and the order of warps does not matter.
 *
 * A launch has at most ROWS rows, and only those are compared; launches come one behind the other,
 * so that a later one writes over what an earlier one wrote. Work grows with the number of rows,
 * then, and not with its square, which the moves of a beam search would feel: 256 beams of 100
 * tokens are 25,600 rows. A row is compared with ROWS / 2 others on average, 128 in some 16
 * instructions of a warp: on an H100, which issues 0.9e12 of them a second, that is 1.2 us of a
 * launch whose 4096 rows of 768 numbers in 16 bits take 3.8 us of its memory, and nothing where a
 * step of decoding appends a row for each of a few beams. A sort of the places in place of this
 * would be four launches or six; the largest number of a row at each place would need atomics. */
#include "kernels/cache_append/cache_append.h"
#include "kernels/common/dispatch.cuh"
#include "kernels/common/strip.cuh"

enum { THREADS = 256, WARPS = THREADS / CZ_WARP, ROWS = 4096, AT_ONCE = 4 };

/* The place of row N, or -1 where a row behind it goes there too. The same in all lanes. */
static inline __device__ int32_t place_of(const int32_t *rows, int n, int N) {
  const int lane = (int)threadIdx.x % CZ_WARP;
  int32_t place = -1;
  for (int from = n; from < N; from += AT_ONCE * CZ_WARP) {
    bool same = false;
    int32_t row[AT_ONCE];
    CZ_UNROLL
    for (int i = 0; i < AT_ONCE; i++) {
      const int at = from + i * CZ_WARP + lane;
      row[i] = at < N ? rows[at] : -1; /* which is nobody's place */
    }
    if (from == n) {
      place = __shfl_sync(CZ_FULL_MASK, row[0], 0);
      if (lane == 0) row[0] = -1;
    }
    CZ_UNROLL
    for (int i = 0; i < AT_ONCE; i++) same = same || row[i] == place;
    if (__any_sync(CZ_FULL_MASK, same)) return -1;
  }
  return place;
}

template <class T, bool WIDE>
static __global__ void __launch_bounds__(THREADS)
    append(T *__restrict__ cache, const T *__restrict__ x, const int32_t *__restrict__ rows, int N,
           int64_t E) {
  const int step = (int)gridDim.x * WARPS;
  for (int n = (int)(blockIdx.x * WARPS + threadIdx.x / CZ_WARP); n < N; n += step) {
    const int32_t place = place_of(rows, n, N);
    for (int64_t column = 0; column < E && place >= 0; column += CZ_STRIP) {
      const int64_t left = E - column;
      cz_strip_copy<WIDE>(cache + place * E + column, x + n * E + column,
                          (int)(left < CZ_STRIP ? left : (int64_t)CZ_STRIP));
    }
  }
}

template <class T, bool WIDE>
static void launch(const cz_call *call, T *cache, const T *x, const int32_t *rows) {
  const int64_t N = call->in[CZ_CACHE_APPEND_X].dim[0], E = call->in[CZ_CACHE_APPEND_X].dim[1];
  for (int64_t first = 0; first < N; first += ROWS) {
    const int n = (int)(N - first < ROWS ? N - first : (int64_t)ROWS);
    cz_launch("cache append", append<T, WIDE>, cz_blocks(call->stream, n, WARPS), THREADS, 0,
              call->stream, cache, x + first * E, rows + first, n, E);
  }
}

/** Copies rows of float32, bfloat16 or float16. Contract: cache_append.h. */
extern "C" void cz_cache_append_fwd_cuda(const cz_call *call) {
  const cz_arg *x = &call->in[CZ_CACHE_APPEND_X], *cache = &call->out[0];
  const int32_t *rows = static_cast<const int32_t *>(call->in[CZ_CACHE_APPEND_ROWS].data);
  const int64_t E = x->dim[1];
  cz_with_type(x->dtype, [&](auto t) {
    typedef typename decltype(t)::type T;
    const bool wide =
        cz_strip_wide(x->data, E, sizeof(T)) && cz_strip_wide(cache->data, E, sizeof(T));
    cz_with_flag(wide, [&](auto w) {
      launch<T, decltype(w)::value>(call, static_cast<T *>(cache->data),
                                    static_cast<const T *>(x->data), rows);
    });
  });
}
