#include "checkpoint/convert.h"
#include "device/half.h"

#include <math.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "weight files are little-endian and are read as they lie");

/** True for the four floating types that these functions convert: F16, BF16, F32, F64. */
bool cz__convert_known(cz_safetensors_type type) {
  return type == CZ_SAFETENSORS_F16 || type == CZ_SAFETENSORS_BF16 || type == CZ_SAFETENSORS_F32 ||
         type == CZ_SAFETENSORS_F64;
}

static float bits_to_f32(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

static uint32_t f32_to_bits(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

/* X rounded to nearest even on a grid of DIGITS significant bits whose finest step is
 * 2^LOWEST; overflow is left to the caller. */
static double round_to_grid(double x, int digits, int lowest) {
  int exponent;
  frexp(x, &exponent); /* |x| in [2^(exponent-1), 2^exponent) */
  int step = exponent - digits > lowest ? exponent - digits : lowest;
  return ldexp(nearbyint(ldexp(x, -step)), step);
}

static uint16_t f64_to_bf16(double x) {
  if (isnan(x)) return signbit(x) ? 0xffc0u : 0x7fc0u;
  if (isinf(x) || x == 0) return (uint16_t)(f32_to_bits((float)x) >> 16);
  return (uint16_t)(f32_to_bits((float)round_to_grid(x, 8, -133)) >>
                    16); /* exact, or infinite by overflow */
}

/** Widens or rounds N numbers of TYPE at IN (any alignment) to float32. */
void cz__convert_to_f32(float *out, const void *in, cz_safetensors_type type, size_t n) {
  const unsigned char *p = in;
  uint16_t half;
  double wide;
  switch (type) {
  case CZ_SAFETENSORS_F32: memcpy(out, in, n * sizeof *out); break;
  case CZ_SAFETENSORS_F64:
    for (size_t i = 0; i < n; i++) out[i] = (float)(memcpy(&wide, p + 8 * i, 8), wide);
    break;
  case CZ_SAFETENSORS_BF16:
    for (size_t i = 0; i < n; i++)
      out[i] = bits_to_f32((uint32_t)(memcpy(&half, p + 2 * i, 2), half) << 16);
    break;
  default:
    CZ_CHECK(type == CZ_SAFETENSORS_F16);
    for (size_t i = 0; i < n; i++) out[i] = cz_f16_value((memcpy(&half, p + 2 * i, 2), half));
  }
}

enum { BLOCK = 1024 }; /* numbers */

/** Widens N numbers of TYPE at IN (any alignment) to float64. */
void cz__convert_to_f64(double *out, const void *in, cz_safetensors_type type, size_t n) {
  float block[BLOCK];
  if (type == CZ_SAFETENSORS_F64) {
    memcpy(out, in, n * sizeof *out);
    return;
  }
  size_t size = cz_safetensors_type_bits(type) / 8;
  for (size_t done = 0; done < n; done += BLOCK) {
    size_t k = n - done < BLOCK ? n - done : BLOCK;
    cz__convert_to_f32(block, (const char *)in + done * size, type, k);
    for (size_t i = 0; i < k; i++) out[done + i] = block[i];
  }
}

static void store_one(void *out, cz_safetensors_type type, double x) {
  float f = (float)x;
  uint16_t half = type == CZ_SAFETENSORS_F16    ? cz_f16_nearest(x)
                  : type == CZ_SAFETENSORS_BF16 ? f64_to_bf16(x)
                                                : 0;
  const void *bytes = type == CZ_SAFETENSORS_F64   ? (const void *)&x
                      : type == CZ_SAFETENSORS_F32 ? (const void *)&f
                                                   : (const void *)&half;
  memcpy(out, bytes, cz_safetensors_type_bits(type) / 8);
}

/** Stores N numbers of type FROM at IN as TYPE at OUT (both of any alignment): the same
 * bytes when the types agree, else both are floating types, and each number is rounded
 * once, to nearest even. */
void cz__convert_store(void *out, cz_safetensors_type type, const void *in,
                       cz_safetensors_type from, size_t n) {
  size_t size = cz_safetensors_type_bits(type) / 8, wide = cz_safetensors_type_bits(from) / 8;
  double block[BLOCK];
  if (type == from) {
    memcpy(out, in, n * size);
    return;
  }
  for (size_t done = 0; done < n; done += BLOCK) {
    size_t k = n - done < BLOCK ? n - done : BLOCK;
    cz__convert_to_f64(block, (const char *)in + done * wide, from, k);
    for (size_t i = 0; i < k; i++) store_one((char *)out + (done + i) * size, type, block[i]);
  }
}
