/* Number formats through files: every half and bfloat16 there is, and rounding to nearest
 * even. */
#include "checkpoint/safetensors.h"
#include "st_test.h"

#include <math.h>
#include <stdlib.h>

enum { EVERY = 65536 };

/* Writes N numbers of type FROM as TYPE and reads the file's bytes back. */
static void store(uint16_t *out, const void *in, cz_safetensors_type type, cz_safetensors_type from,
                  int64_t n) {
  cz_buf file = {0};
  cz_safetensors_item item = {"x", type, from, 1, &n, in};
  OK(cz_safetensors_write(under("numbers.safetensors"), &item, 1));
  slurp(&file, under("numbers.safetensors"));
  memcpy(out, file.data + file.len - 2 * (size_t)n, 2 * (size_t)n);
  cz_buf_free(&file);
}

static void load(double *out, const uint16_t *in, cz_safetensors_type type, int64_t n) {
  cz_safetensors *s;
  cz_safetensors_item item = {"x", type, type, 1, &n, in};
  float *narrow = calloc((size_t)n, sizeof *narrow);
  OK(cz_safetensors_write(under("numbers.safetensors"), &item, 1));
  OK(cz_safetensors_open(&s, under("numbers.safetensors")));
  OK(cz_safetensors_read_f64(s, out, "x", &n, 1));
  OK(cz_safetensors_read_f32(s, narrow, "x", &n, 1));
  for (int64_t i = 0; i < n; i++)
    assert_true((isnan(out[i]) && isnan(narrow[i])) || (double)narrow[i] == out[i]);
  cz_safetensors_close(&s);
  free(narrow);
}

/* The value by definition: sign, exponent bits E with bias, fraction bits F. */
static double value_of(uint16_t bits, int exponent_bits, int fraction_bits) {
  int e = bits >> fraction_bits & ((1 << exponent_bits) - 1), bias = (1 << (exponent_bits - 1)) - 1;
  double f = bits & ((1 << fraction_bits) - 1), sign = bits >> 15 ? -1 : 1;
  if (e == (1 << exponent_bits) - 1) return f != 0 ? NAN : sign * INFINITY;
  return sign * (e ? ldexp(ldexp(1, fraction_bits) + f, e - bias - fraction_bits)
                   : ldexp(f, 1 - bias - fraction_bits));
}

void test_halves(void **state) {
  uint16_t *bits = calloc(EVERY, sizeof *bits), *back = calloc(EVERY, sizeof *back);
  double *x = calloc(EVERY, sizeof *x);
  for (int i = 0; i < EVERY; i++) bits[i] = (uint16_t)i;
  for (int type = 0; type < 2; type++) {
    cz_safetensors_type t = type ? CZ_SAFETENSORS_BF16 : CZ_SAFETENSORS_F16;
    load(x, bits, t, EVERY);
    for (int i = 0; i < EVERY; i++) {
      double want = value_of((uint16_t)i, type ? 8 : 5, type ? 7 : 10);
      if (!(isnan(want) && isnan(x[i])) && (x[i] != want || signbit(x[i]) != signbit(want)))
        fail_msg("type %d, bits %04x: %g, not %g", type, i, x[i], want);
    }
    store(back, x, t, CZ_SAFETENSORS_F64, EVERY);
    for (int i = 0; i < EVERY; i++)
      if (isnan(x[i]) ? !isnan(value_of(back[i], type ? 8 : 5, type ? 7 : 10)) : back[i] != i)
        fail_msg("type %d: %04x comes back as %04x", type, i, back[i]);
  }
  free(x);
  free(back);
  free(bits);
}

/* Between neighbours a < b of each format: just below the middle gives a, just above b,
 * the middle itself the one whose last bit is 0. */
void test_rounding(void **state) {
  enum { N = 0x7c00 };
  static double x[3 * 0x7f80];
  static uint16_t got[3 * 0x7f80];
  for (int type = 0; type < 2; type++) {
    int n = type ? 0x7f80 : N; /* the next after the largest finite stands where infinity begins */
    for (int i = 0; i < n; i++) {
      double a = value_of((uint16_t)i, type ? 8 : 5, type ? 7 : 10),
             b = value_of((uint16_t)(i + 1), type ? 8 : 5, type ? 7 : 10);
      if (isinf(b)) b = type ? ldexp(1, 128) : 65536;
      double middle = a + (b - a) / 2;
      x[3 * i] = nextafter(middle, 0);
      x[3 * i + 1] = -middle;
      x[3 * i + 2] = nextafter(middle, INFINITY);
    }
    store(got, x, type ? CZ_SAFETENSORS_BF16 : CZ_SAFETENSORS_F16, CZ_SAFETENSORS_F64, 3 * n);
    for (int i = 0; i < n; i++) {
      uint16_t even = (uint16_t)(0x8000 | (i % 2 ? i + 1 : i));
      if (got[3 * i] != i || got[3 * i + 1] != even || got[3 * i + 2] != i + 1)
        fail_msg("type %d after %04x: %04x %04x %04x", type, i, got[3 * i], got[3 * i + 1],
                 got[3 * i + 2]);
    }
  }
}
