/* A warp copies a row, unless a later one goes to the same place: so every place is written once,
 * and the order of warps does not matter.
 *
 * A launch has at most ROWS rows, and only those are compared; launches come one behind the other,
 * so that a later one writes over what an earlier one wrote. Work grows with the number of rows,
 * then, and not with its square, which the moves of a beam search would feel: 256 beams of 100
 * tokens are 25,600 rows. A row is compared with ROWS / 2 others on average, 128 in some 20
 * instructions of a warp: on an H100, which issues 1.05e12 of them a second, that is 1.3 us of a
 * launch whose 4096 rows of 768 numbers in 16 bits take 3.8 us of its memory, and nothing where a
 * step of decoding appends a row for each of a few beams. A sort of the places in place of this
 * would be four launches or six; the largest number of a row at each place would need atomics. */
#include "kernels/cache_append/cache_append.h"
#include "kernels/common/dispatch.cuh"
#include "kernels/common/vector.cuh"

enum { THREADS = 256, WARPS = THREADS / CZ_WARP, ROWS = 4096, AT_ONCE = 4 };

/* Whether PLACE is among the COUNT numbers at P, for a warp. */
static inline __device__ bool contains(const int32_t *p, int count, int32_t place) {
  int left = count - cz_lane(); /* of this lane's number on */
  p += threadIdx.x % CZ_WARP;   /* cz_lane's sign costs registers: 40, not 31, in bf16 */
  for (; count >= AT_ONCE * CZ_WARP; count -= AT_ONCE * CZ_WARP) {
    bool same = false;
    CZ_UNROLL
    for (int i = 0; i < AT_ONCE; i++) same |= p[i * CZ_WARP] == place;
    if (__any_sync(CZ_FULL_MASK, same)) return true;
    p += AT_ONCE * CZ_WARP, left -= AT_ONCE * CZ_WARP;
  }
  for (; count > 0; count -= CZ_WARP) {
    if (__any_sync(CZ_FULL_MASK, left > 0 && *p == place)) return true;
    p += CZ_WARP, left -= CZ_WARP;
  }
  return false;
}

/* The place of row N, or -1 where a row behind it goes there too. The same in all lanes. */
static inline __device__ int32_t place_of(const int32_t *rows, int n, int N) {
  const int lane = cz_lane(), behind = n + CZ_WARP;
  const int32_t mine = n + lane < N ? rows[n + lane] : -1; /* which is nobody's place */
  const int32_t place = __shfl_sync(CZ_FULL_MASK, mine, 0);
  if (__any_sync(CZ_FULL_MASK, lane > 0 && mine == place)) return -1;
  return behind < N && contains(rows + behind, N - behind, place) ? -1 : place;
}

/* A row at TO = that at FROM, for a warp: of some runs all are read before one is written. WIDE: 16
 * bytes a lane. */
template <bool WIDE, class T>
static inline __device__ void copy_row(T *__restrict__ to, const T *__restrict__ from, int64_t E) {
  constexpr int EACH = WIDE ? cz_pack<T>::N : 1;
  const int64_t lane = threadIdx.x % CZ_WARP; /* as in contains */
  for (int64_t first = lane * EACH; first < E; first += AT_ONCE * CZ_WARP * EACH) {
    cz_numbers<EACH, T> x[AT_ONCE] = {};
    CZ_UNROLL
    for (int i = 0; i < AT_ONCE; i++)
      if (i * CZ_WARP * EACH < E - first) cz_read(x[i], from + first + i * CZ_WARP * EACH);
    CZ_UNROLL
    for (int i = 0; i < AT_ONCE; i++)
      if (i * CZ_WARP * EACH < E - first) cz_write(to + first + i * CZ_WARP * EACH, x[i]);
  }
}

template <class T, bool WIDE>
static __global__ void __launch_bounds__(THREADS)
    append(T *cache, const T *x, const int32_t *__restrict__ rows, int N, int64_t E) {
  const int step = (int)gridDim.x * WARPS;
  for (int n = (int)(blockIdx.x * WARPS + threadIdx.x / CZ_WARP); n < N; n += step) {
    const int32_t place = place_of(rows, n, N);
    if (place >= 0) copy_row<WIDE>(cache + place * E, x + n * E, E);
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
        cz_aligned_16(x->data) && cz_aligned_16(cache->data) && E % cz_pack<T>::N == 0;
    cz_with_flag(wide, [&](auto w) {
      launch<T, decltype(w)::value>(call, static_cast<T *>(cache->data),
                                    static_cast<const T *>(x->data), rows);
    });
  });
}
