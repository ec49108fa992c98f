/* Numbers of 16 bits as bits, for the fake library and for the tests that check it: those that
 * tests write have few digits and need no rounding, others are cut. */
#ifndef CZ_TESTS_CUDA_NUMBERS_H
#define CZ_TESTS_CUDA_NUMBERS_H

#include "kernels/op.h"

#include <math.h>
#include <string.h>

static inline float half_float(uint16_t h) {
  const int exponent = h >> 10 & 31, digits = h & 1023;
  const float x =
      exponent ? ldexpf((float)(1024 + digits), exponent - 25) : ldexpf((float)digits, -24);
  if (exponent == 31) return digits ? NAN : INFINITY;
  return h >> 15 ? -x : x;
}

static inline uint16_t half_bits(float x) {
  int exponent;
  const float digits = frexpf(fabsf(x), &exponent);
  const uint16_t sign = signbit(x) ? 0x8000 : 0;
  if (x != x) return 0x7e00;
  if (x == 0 || exponent < -13) return sign; /* none is subnormal */
  if (isinf(x) || exponent > 16) return (uint16_t)(sign | 0x7c00);
  return (uint16_t)(sign | (exponent + 14) << 10 | ((int)(digits * 2048) & 1023));
}

static inline float number_at(const void *p, int64_t i, cz_dtype dtype) {
  uint32_t bits = 0;
  uint16_t narrow;
  float x;
  if (dtype == CZ_F32) {
    memcpy(&x, (const char *)p + i * 4, 4);
    return x;
  }
  memcpy(&narrow, (const char *)p + i * 2, 2);
  if (dtype == CZ_F16) return half_float(narrow);
  bits = (uint32_t)narrow << 16;
  memcpy(&x, &bits, 4);
  return x;
}

static inline void put_number(void *p, int64_t i, cz_dtype dtype, float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  const uint16_t narrow = dtype == CZ_F16 ? half_bits(x) : (uint16_t)(bits >> 16);
  if (dtype == CZ_F32)
    memcpy((char *)p + i * 4, &x, 4);
  else
    memcpy((char *)p + i * 2, &narrow, 2);
}

#endif
