/* Masks in bulk. All ways give the bits of cz_dropout_mask_factor; tests compare them
 * element by element. A quad of Philox gives four factors, so a run that begins inside a
 * quad is done singly up to its end, then quads, then the rest singly. */
#include "kernels/common/dropout_mask.h"

#include <string.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

static void fill_quads(float *factor, int64_t quads, const cz_key *key, uint64_t first,
                       uint32_t threshold, float scale) {
  for (int64_t q = 0; q < quads; q++) {
    uint32_t r[4];
    cz_philox_quad(r, key, first + (uint64_t)q);
    for (int i = 0; i < 4; i++) factor[4 * q + i] = r[i] >= threshold ? scale : 0;
  }
}

#ifdef __x86_64__
/* Four quads side by side, one 64-bit lane each: the 32 x 32 product is one instruction
 * there, which compilers do not find by themselves. What lies in the upper half of a lane
 * does not matter until the end.
 *
 * Each 64-bit lane holds one 32-bit word of one quad. _mm256_mul_epu32 reads the lower
 * halves and gives whole products, whose upper half is shifted down and whose lower half
 * is used as it lies: ten rounds without a single move between lanes. At the end (a, b)
 * and (c, d) are blended into pairs and the pairs sorted into the order of memory.
 *
 * AVX2 compares signed numbers only: max(x, limit) = x says x >= limit for unsigned ones,
 * and the all-ones mask of that comparison selects the scale or 0. */
__attribute__((target("avx2"))) static inline void four_quads(float *factor, const cz_key *key,
                                                              const __m256i round_key[20],
                                                              uint64_t first, uint32_t threshold,
                                                              float scale) {
  const __m256i m0 = _mm256_set1_epi64x(0xD2511F53), m1 = _mm256_set1_epi64x(0xCD9E8D57),
                limit = _mm256_set1_epi32((int)threshold);
  __m256i a = _mm256_add_epi64(_mm256_set1_epi64x((int64_t)first), _mm256_set_epi64x(3, 2, 1, 0));
  __m256i b =
      _mm256_xor_si256(_mm256_set1_epi64x(key->op),
                       _mm256_mul_epu32(_mm256_srli_epi64(a, 32), _mm256_set1_epi64x(0x9E3779B9)));
  __m256i c = _mm256_set1_epi64x(key->step), d = _mm256_set1_epi64x(key->shard);
#pragma GCC unroll 10
  for (size_t round = 0; round < 10; round++) {
    __m256i p0 = _mm256_mul_epu32(a, m0), p1 = _mm256_mul_epu32(c, m1);
    a = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(p1, 32), b), round_key[2 * round]);
    c = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(p0, 32), d), round_key[2 * round + 1]);
    b = p1, d = p0;
  }
  __m256i ab = _mm256_blend_epi32(a, _mm256_slli_epi64(b, 32), 0xAA),
          cd = _mm256_blend_epi32(c, _mm256_slli_epi64(d, 32), 0xAA);
  __m256i even = _mm256_unpacklo_epi64(ab, cd),
          odd = _mm256_unpackhi_epi64(ab, cd); /* quads 0 and 2, 1 and 3 */
  __m256i low = _mm256_permute2x128_si256(even, odd, 0x20),
          high = _mm256_permute2x128_si256(even, odd, 0x31);
  __m256 s = _mm256_set1_ps(scale);
  _mm256_storeu_ps(
      factor,
      _mm256_and_ps(s, _mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_max_epu32(low, limit), low))));
  _mm256_storeu_ps(factor + 8, _mm256_and_ps(s, _mm256_castsi256_ps(_mm256_cmpeq_epi32(
                                                    _mm256_max_epu32(high, limit), high))));
}

/* Two groups at a time hide the latency of the products. Gives the number of quads
 * done. */
__attribute__((target("avx2"))) static int64_t fill_quads_avx2(float *factor, int64_t quads,
                                                               const cz_key *key, uint64_t first,
                                                               uint32_t threshold, float scale) {
  __m256i round_key[20];
  for (uint32_t round = 0; round < 10; round++) {
    round_key[(size_t)2 * round] = _mm256_set1_epi64x((uint32_t)key->seed + round * 0x9E3779B9u);
    round_key[(size_t)2 * round + 1] =
        _mm256_set1_epi64x((uint32_t)(key->seed >> 32) + round * 0xBB67AE85u);
  }
  int64_t q = 0;
  for (; q + 8 <= quads; q += 8) {
    four_quads(factor + 4 * q, key, round_key, first + (uint64_t)q, threshold, scale);
    four_quads(factor + 4 * q + 16, key, round_key, first + (uint64_t)q + 4, threshold, scale);
  }
  return q;
}
#endif

/** Writes the factors (0 or 1 / (1 - p)) of mask elements FIRST to FIRST + N - 1. */
void cz_dropout_mask_fill(float *factor, int64_t n, const cz_key *key, uint64_t first, double p) {
  uint32_t threshold = cz_dropout_threshold(p);
  float scale = (float)(1 / (1 - p));
  while (n > 0 && (first & 3)) *factor++ = cz_philox_at(key, first++) >= threshold ? scale : 0, n--;
  int64_t done = 0;
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx2"))
    done = fill_quads_avx2(factor, n / 4, key, first / 4, threshold, scale);
#endif
  fill_quads(factor + 4 * done, n / 4 - done, key, first / 4 + (uint64_t)done, threshold, scale);
  for (int64_t i = n & ~3LL; i < n; i++)
    factor[i] = cz_philox_at(key, first + (uint64_t)i) >= threshold ? scale : 0;
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
