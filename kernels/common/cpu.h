/* What float32 CPU kernels share: run-time choice of instruction set, and a fast
 * exponential that compilers vectorise.
 *
 * CZ_CLONES marks a function that is compiled for AVX-512, AVX2 + FMA and the baseline;
 * the loader picks. It must hold no OpenMP region (the outlined body would not be
 * cloned): put the parallel loop outside and the arithmetic of one row or tile inside.
 *
 * Bits differ between the clones, since fused multiply-adds round once where the baseline
 * rounds twice; on one kind of processor it is always the same clone. */
#ifndef CZ_KERNELS_COMMON_CPU_H
#define CZ_KERNELS_COMMON_CPU_H

#include "kernels/common/language.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

CZ_C_BEGIN

/* The loader's choice runs before a sanitizer has set itself up, hence not with those. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(CZ_SANITIZED) &&   \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define CZ_CLONES      __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#define CZ_HAVE_CLONES 1
#else
#define CZ_CLONES
#define CZ_HAVE_CLONES 0
#endif

const char *cz_cpu_instructions(void);
const char *cz_cpu_extensions(void);
bool cz_cpu_has_bf16(void);

static inline int64_t cz_minimum(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t cz_maximum(int64_t a, int64_t b) { return a > b ? a : b; }

/* The multiple of STEP that is N or next above it. */
static inline int64_t cz_round_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

/* exp(x) = 2^n p for x in [-87.3, 88.7]: p = exp(r), |r| <= ln 2 / 2, polynomial of
 * degree 6 (Cephes).
 *
 *     n = round(x / ln 2),  r = x - n ln 2,  ln 2 = 355/512 - 2.12194440e-4
 *
 * 355/512 has nine bits, so n times it is exact and so is x less that (Cody and Waite's
 * reduction); with ln 2 in one float32 r would be off by n ulp of 0.69.
 *
 * 1.5 2^23 + n has n in its last bits: a whole number without a conversion, which C leaves
 * undefined for the NaN that may come in. */
static inline __attribute__((always_inline)) float cz_exp_parts(float x, int32_t *n) {
  float whole = __builtin_rintf(x * 1.44269504f), shifted = whole + 0x1.8p23f;
  uint32_t bits;
  memcpy(&bits, &shifted, 4);
  float r = x - whole * 0.693359375f + whole * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  *n = (int32_t)(bits - 0x4b400000u); /* the bits of 1.5 2^23 */
  return p * r * r + r + 1.0f;
}

/* 2^n for n from -126 to 127, by writing n into the exponent's field; anything for
 * another n, which a NaN gives (and a NaN times anything is one). */
static inline __attribute__((always_inline)) float cz_exp2i(int32_t n) {
  uint32_t bits = ((uint32_t)n + 127) << 23;
  float y;
  memcpy(&y, &bits, 4);
  return y;
}

/* exp(x) within 2 ulp for x <= 88.7; 0 below -87.3, infinity above 88.7. Results below
 * 1.2e-38 would be subnormal, which some processors compute a hundred times slower; as 0
 * they are lost in any sum that has a term near 1. */
static inline __attribute__((always_inline)) float cz_expf(float x) {
  int32_t n;
  float p = cz_exp_parts(x < -87.3f ? -87.3f : x > 88.7f ? 88.7f : x, &n);
  int32_t half = n / 2; /* n reaches 128, one more than an exponent holds: multiply in two halves */
  float y = p * cz_exp2i(half) * cz_exp2i(n - half);
  return x < -87.3f ? 0.0f : x > 88.7f ? __builtin_inff() : y;
}

/* The same for x <= 0, with a quarter less work: what a softmax needs, whose scores are
 * taken relative to the largest one. n is at least -126, so one factor 2^n does. */
static inline __attribute__((always_inline)) float cz_expf_negative(float x) {
  int32_t n;
  float p = cz_exp_parts(x < -87.3f ? -87.3f : x, &n);
  return x < -87.3f ? 0.0f : p * cz_exp2i(n);
}

/* 1 / (1 + exp(-x)) and 1 / (1 + exp(x)), each relatively accurate in its tail. With e =
 * exp(-|x|) <= 1 they are 1 / (1 + e) and e / (1 + e); 1 less the large one would have no
 * digits left for |x| > 17. */
static inline __attribute__((always_inline)) void cz_sigmoidf(float *yes, float *no, float x) {
  float e = cz_expf(-__builtin_fabsf(x)), large = 1.0f / (1.0f + e), small = e * large;
  *yes = x < 0 ? small : large;
  *no = x < 0 ? large : small;
}

/* tanh(x): near 0 the odd polynomial of Cephes (|x| < 0.625), elsewhere 1 - 2 / (exp(2
 * |x|) + 1) with the sign of x. Below 0.625 that difference would cancel; above it tanh
 * is over 0.55 and the error of the quotient, under 0.45, weighs less than an ulp. */
static inline __attribute__((always_inline)) float cz_tanhf(float x) {
  float z = x * x, p = -5.70498872745e-3f;
  p = p * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  float large = 1.0f - 2.0f / (cz_expf(2.0f * __builtin_fabsf(x)) + 1.0f);
  return __builtin_fabsf(x) < 0.625f ? p * z * x + x : x < 0 ? -large : large;
}

/* The standard normal distribution function, given e = cz_expf(-x * x / 2); relatively
 * accurate in the lower tail but for the rounding of x * x. Phi(-z) = erfc(z / sqrt 2) /
 * 2 and erfc(u) = exp(-u^2) t P(t), t = 1 / (1 + u / 2), with P of degree 9 fitted to
 * scipy's erfcx in the relative maximum norm (2e-8); Phi(z) = 1 - Phi(-z). */
static inline __attribute__((always_inline)) float cz_normalf(float x, float e) {
  float t = 1.0f / (1.0f + 0.35355339f * __builtin_fabsf(x));
  float p = 1.228472404e-02f;
  p = p * t - 1.232593060e-01f;
  p = p * t + 4.289392829e-01f;
  p = p * t - 6.700369716e-01f;
  p = p * t + 4.212862551e-01f;
  p = p * t - 9.832399338e-02f;
  p = p * t + 2.255440056e-01f;
  p = p * t + 2.386443913e-01f;
  p = p * t + 2.828570902e-01f;
  p = p * t + 2.820644975e-01f;
  float tail = 0.5f * e * t * p;
  return x < 0 ? tail : 1.0f - tail;
}

CZ_C_END

#endif
