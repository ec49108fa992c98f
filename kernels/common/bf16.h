/* bfloat16: the upper half of a float32, so a sign, 8 bits of exponent and 7 of fraction.
 *
 * Rounding is to nearest, ties to even: the lower half of the bits is added up to the
 * upper one, which carries just when it is above one half, or is one half and the upper
 * half odd. A carry out of the fraction is the next exponent, and out of the largest
 * number infinity, both as they should be. A NaN whose bits all lie in the lower half
 * would become infinity: it stays one by a bit of its own. */
#ifndef CZ_KERNELS_COMMON_BF16_H
#define CZ_KERNELS_COMMON_BF16_H

#include "kernels/common/language.h"

#include <stdint.h>
#include <string.h>

CZ_C_BEGIN

typedef uint16_t cz_bf16; /* the bits */

static inline __attribute__((always_inline)) CZ_HOST_DEVICE float cz_bf16_value(cz_bf16 x) {
  uint32_t bits = (uint32_t)x << 16;
  float y;
  memcpy(&y, &bits, sizeof y);
  return y;
}

static inline __attribute__((always_inline)) CZ_HOST_DEVICE cz_bf16 cz_bf16_nearest(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16, quiet = bits >> 16 | 0x40;
  return (cz_bf16)((bits & 0x7fffffff) > 0x7f800000 ? quiet : rounded);
}

void cz_bf16_widen(float *to, const cz_bf16 *from, int64_t n);
void cz_bf16_round(cz_bf16 *to, const float *from, int64_t n);
void cz_bf16_add(cz_bf16 *to, const float *from, int64_t n);
void cz_bf16_nearest_each(float *x, int64_t n);

/* The nearest bfloat16 as a float32. */
static inline __attribute__((always_inline)) CZ_HOST_DEVICE float cz_bf16_rounded(float x) {
  return cz_bf16_value(cz_bf16_nearest(x));
}

CZ_C_END

#endif
