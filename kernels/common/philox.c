#include "kernels/common/philox.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define HAVE_AVX2 1
#endif

static void each(uint64_t *const w[4], const cz_key *key, uint64_t first, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    uint32_t quad[4];
    cz_philox_quad(quad, key, first + (uint64_t)i);
    for (int k = 0; k < 4; k++) w[k][i] = quad[k];
  }
}

#ifdef HAVE_AVX2

/* Four counters, a word of each in the lower half of a 64-bit lane. What lies in the upper half
 * does no harm: products read the lower one, and all else is bitwise. So a product's two halves
 * need no sorting, which compilers spend half of their time on when they turn cz_philox into
 * vectors. */
typedef struct counters {
  __m256i c0, c1, c2, c3;
} counters;

__attribute__((target("avx2"))) static inline counters rounds(counters c, uint64_t seed) {
  const __m256i m0 = _mm256_set1_epi64x(0xD2511F53), m1 = _mm256_set1_epi64x(0xCD9E8D57);
  uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
  for (int round = 0; round < 10; round++) {
    __m256i p0 = _mm256_mul_epu32(c.c0, m0), p1 = _mm256_mul_epu32(c.c2, m1);
    __m256i n0 = _mm256_xor_si256(_mm256_srli_epi64(p1, 32), c.c1),
            n2 = _mm256_xor_si256(_mm256_srli_epi64(p0, 32), c.c3);
    c.c0 = _mm256_xor_si256(n0, _mm256_set1_epi64x(k0)), c.c1 = p1;
    c.c2 = _mm256_xor_si256(n2, _mm256_set1_epi64x(k1)), c.c3 = p0;
    k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
  }
  return c;
}

/* Of counters FIRST to FIRST + N whose upper halves are one, N a multiple of four. */
__attribute__((target("avx2"))) static void fours(uint64_t *const w[4], const cz_key *key,
                                                  uint64_t first, int64_t n) {
  const __m256i lower = _mm256_set1_epi64x(0xffffffff), step = _mm256_set_epi64x(3, 2, 1, 0);
  const uint32_t op = key->op ^ (uint32_t)(first >> 32) * 0x9E3779B9u;
  for (int64_t i = 0; i < n; i += 4) {
    counters c = {_mm256_add_epi64(_mm256_set1_epi64x((int64_t)(first + (uint64_t)i)), step),
                  _mm256_set1_epi64x(op), _mm256_set1_epi64x(key->step),
                  _mm256_set1_epi64x(key->shard)};
    c = rounds(c, key->seed);
    _mm256_storeu_si256((__m256i *)(void *)(w[0] + i), _mm256_and_si256(c.c0, lower));
    _mm256_storeu_si256((__m256i *)(void *)(w[1] + i), _mm256_and_si256(c.c1, lower));
    _mm256_storeu_si256((__m256i *)(void *)(w[2] + i), _mm256_and_si256(c.c2, lower));
    _mm256_storeu_si256((__m256i *)(void *)(w[3] + i), _mm256_and_si256(c.c3, lower));
  }
}

#endif

/** The numbers of quads FIRST to FIRST + N, word K of each in W[K] [N]: those of cz_philox_quad,
 * many times faster where the processor has AVX2. */
void cz_philox_quads(uint64_t *const w[4], const cz_key *key, uint64_t first, int64_t n) {
#ifdef HAVE_AVX2
  const uint64_t last = first + (uint64_t)n;
  if (n % 4 == 0 && first >> 32 == last >> 32 && __builtin_cpu_supports("avx2")) {
    fours(w, key, first, n);
    return;
  }
#endif
  each(w, key, first, n);
}
