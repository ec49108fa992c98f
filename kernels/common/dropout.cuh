/* Dropout masks on the card: the elements and bits of common/dropout_mask.h.
 *
 * A thread takes N neighbouring elements, the first a multiple of N, which divides 8: so one call
 * of Philox has all of them. Of a [T, D] array whose D is a multiple of N these are N channels of a
 * row. N is 8 where D allows, 1 where nothing else does; then seven of the eight numbers of a call
 * are thrown away.
 *
 *   const cz_key key = cz_random_key(d.random);          once a thread
 *   cz_dropout_multiply<N>(x, d, key, element);
 *
 * With one mask for each segment a warp finds the segment of its row by reading the spans, which
 * may be in any order; the segment that it found last serves the rows behind it as well. */
#ifndef CZ_KERNELS_COMMON_DROPOUT_CUH
#define CZ_KERNELS_COMMON_DROPOUT_CUH

#include "kernels/common/random.cuh"

/* The mask of a call, given to a kernel by value. */
typedef struct cz_dropout {
  cz_random random;
  uint32_t threshold;   /* 0: everything is kept, all factors are 1 */
  float scale;          /* the factor of what is kept */
  const int32_t *spans; /* [B, 2] in device memory; null unless masks are shared */
  int64_t B;
} cz_dropout;

/* Host: the mask of rate P of a call, off outside training. SPANS is the call's, read when the mask
 * is SHARED. */
static inline cz_dropout cz_dropout_of(const cz_call *call, double p, bool shared,
                                       const cz_arg *spans) {
  cz_dropout d = {};
  d.random = cz_random_of(call);
  d.threshold = call->training ? cz_dropout_threshold(p) : 0;
  d.scale = d.threshold > 0 ? (float)cz_dropout_scale(p) : 1;
  if (d.threshold > 0 && shared) d.spans = (const int32_t *)spans->data, d.B = spans->dim[0];
  return d;
}

/* The eight factors of number CALL of Philox: of elements 8 CALL to 8 CALL + 7. */
static inline __device__ void cz_dropout_call(float factor[8], uint32_t threshold, float scale,
                                              const cz_key &key, uint64_t call) {
  uint32_t r[4];
  cz_philox_quad(r, &key, call);
  CZ_UNROLL
  for (unsigned i = 0; i < 8; i++) factor[i] = cz_dropout_number(r, i) >= threshold ? scale : 0;
}

/* The factors of elements ELEMENT to ELEMENT + N - 1. Words are chosen by conditions: a register
 * has no address. */
template <int N>
static inline __device__ void cz_dropout_factors(float factor[N], const cz_dropout &d,
                                                 const cz_key &key, uint64_t element) {
  static_assert(N == 1 || N == 2 || N == 4 || N == 8, "a divisor of 8");
  uint32_t r[4];
  cz_philox_quad(r, &key, element >> 3);
  if (N < 8 && (element & 4)) r[0] = r[2], r[1] = r[3];
  if (N < 4 && (element & 2)) r[0] = r[1];
  if (N < 2 && (element & 1)) r[0] >>= 16;
  CZ_UNROLL
  for (unsigned i = 0; i < N; i++) factor[i] = cz_dropout_number(r, i) >= d.threshold ? d.scale : 0;
}

/* X = X M for elements ELEMENT to ELEMENT + N - 1, in float32 rounded once, and not joined with an
 * addition behind it: what dropout leaves is the same alone and inside another op. */
template <int N>
static inline __device__ void cz_dropout_multiply(float x[N], const cz_dropout &d,
                                                  const cz_key &key, uint64_t element) {
  if (d.threshold == 0) return;
  float factor[N];
  cz_dropout_factors<N>(factor, d, key, element);
  CZ_UNROLL
  for (int i = 0; i < N; i++) x[i] = __fmul_rn(x[i], factor[i]);
}

/* A segment and its rows, which are numbered in 32 bits: the spans say so. */
typedef struct cz_segment {
  int number, begin, end;
} cz_segment;

/* What a warp begins with: no row lies in it. */
static inline __device__ cz_segment cz_segment_none() { return {0, 0, 0}; }

/* The segment of ROW, for a whole warp that has one row. FOUND is that of an earlier row, which is
 * looked at first. 32 numbers of the spans at a time are read by neighbouring lanes, from the last
 * on; an even lane has the begin, the next one the end. A row outside all segments has the mask of
 * segment 0, as in common/dropout_mask.h. */
static inline __device__ cz_segment cz_segment_of(const cz_segment &found, const int32_t *spans,
                                                  int64_t B, int64_t row CZ_PLACE) {
  if (found.begin <= row && row < found.end) return found;
  const int lane = cz_lane();
  for (int64_t from = (2 * B - 1) / CZ_WARP * CZ_WARP; from >= 0 && B > 0; from -= CZ_WARP) {
    const int mine = from + lane < 2 * B ? spans[from + lane] : 0;
    const int next = __shfl_xor_sync(CZ_FULL_MASK, mine, 1, CZ_WARP CZ_PASS);
    const bool here = lane % 2 == 0 && mine <= row && row < next;
    const unsigned lanes = __ballot_sync(CZ_FULL_MASK, here CZ_PASS);
    if (!lanes) continue;
    const int last = CZ_WARP - 1 - __clz((int)lanes);
    const int begin = __shfl_sync(CZ_FULL_MASK, mine, last, CZ_WARP CZ_PASS);
    const int end = __shfl_sync(CZ_FULL_MASK, next, last, CZ_WARP CZ_PASS);
    return {(int)((from + last) / 2), begin, end};
  }
  return {0, (int)row, (int)row + 1};
}

/* The number of the first element of ROW, D channels wide: for a whole warp that has one row. */
static inline __device__ uint64_t cz_dropout_first(cz_segment &found, const cz_dropout &d,
                                                   int64_t row, int64_t D CZ_PLACE) {
  if (!d.spans) return (uint64_t)(row * D);
  found = cz_segment_of(found, d.spans, d.B, row CZ_PASS);
  return (uint64_t)(found.number * D);
}

#endif
