/* Rounding to bfloat16 against a rounding of its own, by distances: every upper half of a float32
 * with lower halves that are ties, next to ties, ends and random ones. */
#include "common/common.h"
#include "kernels/cases.h"
#include "kernels/common/bf16.h"

#include <math.h>
#include <stdlib.h>

enum { LOWER = 12 };

static float of_bits(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* The value of a bfloat16 as a double; what stands behind the largest finite one is 2^128. */
static double value_of(uint32_t upper) {
  double x = of_bits(upper << 16);
  return isinf(x) ? copysign(0x1p128, x) : x;
}

/* The nearer of the two bfloat16 around X, the even one where X is in the middle. */
static uint32_t nearest(float x, uint32_t bits) {
  uint32_t below = bits >> 16, above = below + 1; /* towards 0, and away from it */
  if (isinf(x)) return below;
  double down = fabs(x - value_of(below)), up = fabs(value_of(above) - x);
  if (down != up) return down < up ? below : above;
  return below % 2 ? above : below;
}

static void check(uint32_t bits) {
  float x = of_bits(bits);
  cz_bf16 scalar = cz_bf16_nearest(x), vector[9];
  float many[9], each[9];
  for (int i = 0; i < 9; i++) many[i] = each[i] = x;
  cz_bf16_round(vector, many, 9);
  cz_bf16_nearest_each(each, 9);
  for (int i = 0; i < 9; i++) {
    assert_int_equal(vector[i], scalar);
    float y = cz_bf16_value(scalar);
    assert_memory_equal(&each[i], &y, sizeof y);
  }
  if (isnan(x))
    assert_true(isnan(cz_bf16_value(scalar)));
  else if (scalar != nearest(x, bits))
    fail_msg("%.9g (%08x) became %04x, not %04x", x, bits, scalar, nearest(x, bits));
}

static void to_nearest_even(void **state) {
  cz_rand r = {.state = test_seed()};
  for (uint32_t upper = 0; upper < 1 << 16; upper++) {
    static const uint32_t lower[LOWER - 3] = {0,      1,      0x7ffe, 0x7fff, 0x8000,
                                              0x8001, 0x8002, 0xfffe, 0xffff};
    for (int k = 0; k < LOWER; k++)
      check(upper << 16 | (k < LOWER - 3 ? lower[k] : (uint32_t)cz_rand_int(&r, 0, 0xffff)));
  }
}

/* Widening is exact and comes back. */
static void widened(void **state) {
  for (uint32_t x = 0; x < 1 << 16; x += 9) {
    cz_bf16 from[9];
    float wide[9];
    for (uint32_t i = 0; i < 9; i++) from[i] = (cz_bf16)(x + i);
    cz_bf16_widen(wide, from, 9);
    for (uint32_t i = 0; i < 9; i++) {
      float y = of_bits((uint32_t)from[i] << 16);
      assert_memory_equal(&wide[i], &y, sizeof y);
      if (!isnan(y)) assert_int_equal(cz_bf16_nearest(y), from[i]);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(to_nearest_even), cmocka_unit_test(widened)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
