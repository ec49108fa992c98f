/* Masks in bulk. All ways give the bits of cz_dropout_mask_factor; tests compare them element by
 * element. A call of Philox gives eight factors, so a run that begins inside one is done singly up
 * to its end, then whole calls, then the rest singly. */
#include "kernels/common/dropout_mask.h"

#include <string.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

/* One mask's numbers: kept are those of at least THRESHOLD. */
typedef struct draw {
  const cz_key *key;
  double p;
  int32_t threshold;
  float scale;
} draw;

static draw begin(const cz_key *key, double p) {
  return (draw){key, p, (int32_t)cz_dropout_threshold(p), (float)cz_dropout_scale(p)};
}

static void fill_singly(float *factor, int64_t n, const draw *d, uint64_t first) {
  for (int64_t i = 0; i < n; i++)
    factor[i] = (float)cz_dropout_mask_factor(d->key, first + (uint64_t)i, d->p);
}

static void fill_calls(float *factor, int64_t calls, const draw *d, uint64_t first) {
  for (int64_t q = 0; q < calls; q++) {
    uint32_t r[4];
    cz_philox_quad(r, d->key, first + (uint64_t)q);
    for (unsigned i = 0; i < 8; i++)
      factor[8 * q + i] = (int32_t)cz_dropout_number(r, i) >= d->threshold ? d->scale : 0;
  }
}

#ifdef __x86_64__
#define AVX2 __attribute__((target("avx2")))

/* Philox's keys of each round, in every lane. */
typedef struct rounds {
  __m256i key[20];
} rounds;

AVX2 static rounds rounds_of(const cz_key *key) {
  rounds r;
  for (uint32_t i = 0; i < 10; i++) {
    r.key[(size_t)2 * i] = _mm256_set1_epi64x((uint32_t)key->seed + i * 0x9E3779B9u);
    r.key[(size_t)2 * i + 1] = _mm256_set1_epi64x((uint32_t)(key->seed >> 32) + i * 0xBB67AE85u);
  }
  return r;
}

/* Four calls side by side, one 64-bit lane each: the 32 x 32 product is one instruction there,
 * which compilers do not find by themselves. Word w of call FIRST + lane is left in the lower half
 * of that lane of word[w]; what lies in the upper half is of no use.
 *
 * _mm256_mul_epu32 reads the lower halves and gives whole products, whose upper half is shifted
 * down and whose lower half is used as it lies: ten rounds without a single move between lanes. */
AVX2 static inline void four_calls(__m256i word[4], const cz_key *key, const rounds *r,
                                   uint64_t first) {
  const __m256i m0 = _mm256_set1_epi64x(0xD2511F53), m1 = _mm256_set1_epi64x(0xCD9E8D57);
  __m256i a = _mm256_add_epi64(_mm256_set1_epi64x((int64_t)first), _mm256_set_epi64x(3, 2, 1, 0));
  __m256i b =
      _mm256_xor_si256(_mm256_set1_epi64x(key->op),
                       _mm256_mul_epu32(_mm256_srli_epi64(a, 32), _mm256_set1_epi64x(0x9E3779B9)));
  __m256i c = _mm256_set1_epi64x(key->step), d = _mm256_set1_epi64x(key->shard);
#pragma GCC unroll 10
  for (size_t i = 0; i < 10; i++) {
    const __m256i p0 = _mm256_mul_epu32(a, m0), p1 = _mm256_mul_epu32(c, m1);
    a = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(p1, 32), b), r->key[2 * i]);
    c = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(p0, 32), d), r->key[2 * i + 1]);
    b = p1, d = p0;
  }
  word[0] = a, word[1] = b, word[2] = c, word[3] = d;
}

/* The factors of eight numbers of 16 bits. */
AVX2 static inline void put_8(float *factor, __m128i numbers, const draw *d) {
  const __m256i keep =
      _mm256_cmpgt_epi32(_mm256_cvtepu16_epi32(numbers), _mm256_set1_epi32(d->threshold - 1));
  _mm256_storeu_ps(factor, _mm256_and_ps(_mm256_set1_ps(d->scale), _mm256_castsi256_ps(keep)));
}

/* Words (a, b) and (c, d) are blended into pairs and those sorted into the order of memory. */
AVX2 static inline void put_four_calls(float *factor, const __m256i word[4], const draw *d) {
  const __m256i ab = _mm256_blend_epi32(word[0], _mm256_slli_epi64(word[1], 32), 0xAA),
                cd = _mm256_blend_epi32(word[2], _mm256_slli_epi64(word[3], 32), 0xAA);
  const __m256i even = _mm256_unpacklo_epi64(ab, cd),
                odd = _mm256_unpackhi_epi64(ab, cd); /* calls 0 and 2, 1 and 3 */
  put_8(factor, _mm256_castsi256_si128(even), d);
  put_8(factor + 8, _mm256_castsi256_si128(odd), d);
  put_8(factor + 16, _mm256_extracti128_si256(even, 1), d);
  put_8(factor + 24, _mm256_extracti128_si256(odd, 1), d);
}

/* Two groups at a time hide the latency of the products. Gives the number of calls done. */
AVX2 static int64_t fill_calls_avx2(float *factor, int64_t calls, const draw *d, uint64_t first) {
  const rounds r = rounds_of(d->key);
  int64_t q = 0;
  for (; q + 8 <= calls; q += 8) {
    __m256i one[4], two[4];
    four_calls(one, d->key, &r, first + (uint64_t)q);
    four_calls(two, d->key, &r, first + (uint64_t)q + 4);
    put_four_calls(factor + 8 * q, one, d);
    put_four_calls(factor + 8 * q + 32, two, d);
  }
  return q;
}

/* The lower halves of the four lanes, side by side. */
AVX2 static inline __m128i lower_halves(__m256i x) {
  return _mm256_castsi256_si128(
      _mm256_permutevar8x32_epi32(x, _mm256_set_epi32(6, 4, 2, 0, 6, 4, 2, 0)));
}

/* Of 16 keys, which are the four pairs of four calls, query I has one word of the first half and
 * one of the second. N is a multiple of 16, and J. */
AVX2 static void fill_keys_avx2(float *factor, int64_t n, const draw *d, uint64_t head, int64_t i,
                                int64_t j) {
  const rounds r = rounds_of(d->key);
  const bool second = i >> 3 & 1;
  for (int64_t k = 0; k < n; k += 16) {
    __m256i word[4];
    four_calls(word, d->key, &r, cz_dropout_attention_call(head, i, j + k));
    put_8(factor + k, lower_halves(word[second]), d);
    put_8(factor + k + 8, lower_halves(word[2 + second]), d);
  }
}
#endif

/** Writes the factors (0 or cz_dropout_scale) of mask elements FIRST to FIRST + N - 1. */
void cz_dropout_mask_fill(float *factor, int64_t n, const cz_key *key, uint64_t first, double p) {
  const draw d = begin(key, p);
  const int64_t inside = (int64_t)(-first & 7), before = inside < n ? inside : n;
  fill_singly(factor, before, &d, first);
  factor += before, n -= before, first += (uint64_t)before;
  int64_t done = 0;
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx2")) done = fill_calls_avx2(factor, n / 8, &d, first / 8);
#endif
  fill_calls(factor + 8 * done, n / 8 - done, &d, first / 8 + (uint64_t)done);
  fill_singly(factor + n / 8 * 8, n % 8, &d, first + (uint64_t)(n / 8 * 8));
}

/** Writes the factors of query I and keys J to J + N - 1 of HEAD, as numbered by
 * cz_dropout_attention_element. */
void cz_dropout_mask_fill_keys(float *factor, int64_t n, const cz_key *key, uint64_t head,
                               int64_t i, int64_t j, double p) {
  const draw d = begin(key, p);
  int64_t at = 0;
  for (; at < n;) {
#ifdef __x86_64__
    const int64_t whole = (n - at) / 16 * 16;
    if ((j + at) % 16 == 0 && whole > 0 && __builtin_cpu_supports("avx2")) {
      fill_keys_avx2(factor + at, whole, &d, head, i, j + at);
      at += whole;
      continue;
    }
#endif
    fill_singly(factor + at, 1, &d, cz_dropout_attention_element(head, i, j + at));
    at++;
  }
}

/** Bytes of workspace that cz_dropout_mask_make needs: a table of factors and the segment
 * of each row when the mask is shared along segments, else none. */
size_t cz_dropout_mask_bytes(bool share, int64_t B, int64_t T, int64_t D) {
  return share ? (size_t)(B * D + T) * 4 : 0;
}

/** Readies a mask; SPANS null: one draw per element. Borrows key and workspace. Parallel
 * inside; the same bits for any number of threads. */
void cz_dropout_mask_make(cz_dropout_mask *mask, void *workspace, const cz_key *key, double p,
                          const int32_t *spans, int64_t B, int64_t T, int64_t D) {
  *mask = (cz_dropout_mask){.key = key, .p = p, .D = D};
  if (p <= 0 || !spans) return;
  float *table = workspace;
  int32_t *segment = (int32_t *)(table + B * D);
  memset(segment, 0, (size_t)T * sizeof *segment);
  for (int64_t b = 0; b < B; b++)
    for (int32_t t = spans[2 * b]; t < spans[2 * b + 1]; t++) segment[t] = (int32_t)b;
#pragma omp parallel for schedule(static) if (B * D > 16384)
  for (int64_t b = 0; b < B; b++) cz_dropout_mask_fill(table + b * D, D, key, (uint64_t)(b * D), p);
  mask->table = table, mask->segment = segment;
}

/** The factors of N (at most CZ_DROPOUT_MASK_PIECE) neighbouring channels of a row, in
 * BUFFER (CZ_DROPOUT_MASK_PIECE floats) or in the mask's table. */
const float *cz_dropout_mask_piece(const cz_dropout_mask *mask, float *buffer, int64_t row,
                                   int64_t channel, int64_t n) {
  if (mask->table) return mask->table + mask->segment[row] * mask->D + channel;
  cz_dropout_mask_fill(buffer, n, mask->key, (uint64_t)(row * mask->D + channel), mask->p);
  return buffer;
}
