/* float16 (binary16): a sign, 5 bits of exponent and 10 of fraction. The largest number is 65504,
 * the smallest normal one 2^-14, and below it the numbers lie 2^-24 apart.
 *
 * This is the one definition of its bits outside a card's own instructions. Rounding is to
 * nearest, ties to even, and once, from a double: a float32 is one exactly, and a float64 that
 * went through float32 first would be rounded twice. */
#ifndef CZ_KERNELS_COMMON_HALF_H
#define CZ_KERNELS_COMMON_HALF_H

#include "kernels/common/language.h"

#include <stdint.h>
#include <string.h>

CZ_C_BEGIN

typedef uint16_t cz_f16; /* the bits */

#define CZ_F16_LARGEST  65504.0
#define CZ_F16_INFINITE 65520.0 /* from here on the nearest is infinity */
#define CZ_F16_LEAST    0x1p-14 /* of normal numbers */

/* Exact: every float16 is a float32, a NaN stays one. */
static inline CZ_HOST_DEVICE float cz_f16_value(cz_f16 x) {
  const uint32_t sign = (uint32_t)(x & 0x8000u) << 16, exponent = x >> 10 & 31u,
                 fraction = x & 0x3ffu;
  if (exponent == 0) {
    const float y = (float)fraction * 0x1p-24f;
    return sign ? -y : y;
  }
  const uint32_t bits = sign | (exponent == 31 ? 255u : exponent + 112u) << 23 | fraction << 13;
  float y;
  memcpy(&y, &bits, sizeof y);
  return y;
}

/* 65520 is the middle between 65504 and 65536. Below 2^-14 one unit
 * of the sum with 2^28 is 2^-24, so that the addition rounds; above, what rounds is an addition to
 * the 42 bits that are cut off, and a carry out of the fraction is the next exponent. */
static inline CZ_HOST_DEVICE cz_f16 cz_f16_nearest(double x) {
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  const cz_f16 sign = (cz_f16)(bits >> 48 & 0x8000u);
  bits &= INT64_MAX;
  if (bits > 0x7ff0000000000000u) return sign | 0x7e00u;
  if (bits >= 0x40effe0000000000u) return sign | 0x7c00u;
  if (bits < 0x3f10000000000000u) {
    double sum;
    memcpy(&sum, &bits, sizeof sum);
    sum += 0x1p28;
    memcpy(&bits, &sum, sizeof bits);
    return sign | (cz_f16)(bits & 0x7ffu);
  }
  bits -= 0x3f00000000000000u;
  return sign | (cz_f16)((bits + 0x1ffffffffffu + (bits >> 42 & 1)) >> 42);
}

/* The nearest float16 as a float32. */
static inline CZ_HOST_DEVICE float cz_f16_rounded(double x) {
  return cz_f16_value(cz_f16_nearest(x));
}

CZ_C_END

#endif
