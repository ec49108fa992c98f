/* float16: its rounding against one by distances and against the processor's own, and the rows of
 * all ops, which take it wherever they take bfloat16 and never both in one call. */
#include "common/common.h"
#include "kernels/cases.h"
#include "kernels/cast/cast.h"
#include "kernels/common/half.h"
#include "kernels/common/shape.h"
#include "kernels/embedding/embedding.h"
#include "kernels/linear/linear.h"
#include "kernels/norm/norm.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>

#ifdef __x86_64__
#include <cpuid.h>
#include <immintrin.h>
#endif

static float of_bits(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* By definition; what stands behind the largest finite one is 2^16. */
static double value_of(unsigned bits) {
  const int exponent = (int)(bits >> 10 & 31), fraction = (int)(bits & 1023);
  const double size = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
  return bits >> 15 ? -size : size;
}

static bool is_nan(cz_f16 x) { return (x & 0x7fff) > 0x7c00; }

#ifdef __x86_64__
__attribute__((target("avx,f16c"))) static bool as_processor(float x, cz_f16 got) {
  const unsigned short want = _cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT);
  return is_nan(got) ? is_nan(want) : got == want;
}

/* __builtin_cpu_supports of clang 14 does not know f16c. */
static bool processor_rounds(void) {
  unsigned a, b, c = 0, d;
  return __builtin_cpu_supports("avx") && __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
#else
static bool as_processor(float x, cz_f16 got) { return true; }

static bool processor_rounds(void) { return false; }
#endif

/* All numbers come back, and widening is what the definition says, signed zeros included. */
static void widened(void **state) {
  for (unsigned bits = 0; bits < 1 << 16; bits++) {
    const double x = (double)cz_f16_value((cz_f16)bits);
    if ((bits & 0x7fff) > 0x7c00) {
      assert_true(isnan(x) && is_nan(cz_f16_nearest(x)));
      continue;
    }
    const double want =
        (bits & 0x7fff) == 0x7c00 ? copysign(INFINITY, value_of(bits)) : value_of(bits);
    if (x != want || signbit(x) != signbit(value_of(bits)))
      fail_msg("%04x is %g, not %g", bits, x, want);
    assert_int_equal(cz_f16_nearest(x), bits);
  }
}

/* Around the middle of neighbours, in float64: one that was rounded to float32 first would be on
 * the middle. */
static void to_nearest_even(void **state) {
  for (unsigned low = 0; low < 0x7c00; low++) {
    const double middle = (value_of(low) + value_of(low + 1)) / 2;
    const unsigned even = low % 2 ? low + 1 : low;
    assert_int_equal(cz_f16_nearest(nextafter(middle, 0)), low);
    assert_int_equal(cz_f16_nearest(nextafter(middle, INFINITY)), low + 1);
    assert_int_equal(cz_f16_nearest(middle), even);
    assert_int_equal(cz_f16_nearest(-middle), 0x8000 | even);
    assert_int_equal(cz_f16_nearest(-nextafter(middle, 0)), 0x8000 | low);
  }
  assert_int_equal(cz_f16_nearest(1e300), 0x7c00);
  assert_int_equal(cz_f16_nearest(-5e-324), 0x8000);
}

/* Every float32 by its upper 19 bits, which are those that stay, with lower ones that are ties,
 * next to ties, ends and random ones. CZ_TEST_EVERY=1: every float32 that there is. */
static void as_the_processor(void **state) {
  static const uint32_t lower[] = {0, 1, 0xffe, 0xfff, 0x1000, 0x1001, 0x1002, 0x1ffe, 0x1fff};
  enum { LOWER = sizeof lower / sizeof *lower };
  cz_rand r = {.state = test_seed()};
  const bool every = getenv("CZ_TEST_EVERY") != NULL;
  if (!processor_rounds()) {
    print_message("skipped: this processor does not round to float16\n");
    skip();
  }
  for (uint64_t upper = 0; upper < 1 << 19; upper++) {
    for (uint32_t k = 0; k < (every ? 1 << 13 : LOWER + 2); k++) {
      const uint32_t low = every ? k : k < LOWER ? lower[k] : (uint32_t)cz_rand_int(&r, 0, 0x1fff);
      const float x = of_bits((uint32_t)upper << 13 | low);
      const cz_f16 got = cz_f16_nearest((double)x);
      if (!as_processor(x, got)) fail_msg("%.9g became %04x", (double)x, got);
    }
  }
}

/* Attributes that choose the dtype of a result. */
static const struct {
  cz_op op;
  size_t at;
} choices[] = {{CZ_OP_cast, offsetof(cz_cast_attr, y)},
               {CZ_OP_embedding, offsetof(cz_embedding_attr, y)},
               {CZ_OP_linear, offsetof(cz_linear_attr, y)},
               {CZ_OP_norm, offsetof(cz_norm_attr, y)}};
enum { CHOICES = sizeof choices / sizeof *choices };

static void choose(cz_case *c, cz_op op, cz_dtype dtype) {
  for (int i = 0; i < CHOICES; i++) {
    const int y = cz_dtype_choice(dtype);
    if (choices[i].op == op) memcpy(c->attr + choices[i].at, &y, sizeof y);
  }
}

/* The real inputs of C in dtype[digit], by the digits of WHICH to the base of 3. */
static bool accepted(cz_call *call, const cz_case *c, const cz_op_row *row, const cz_dtype *dtype,
                     int which, bool *mixed) {
  uint32_t seen = 0;
  char why[256];
  *call = (cz_call){0};
  for (int i = 0; i < row->n_in; i++) {
    call->in[i] = c->in[i];
    if (!cz_present(&c->in[i]) || c->in[i].dtype == CZ_I32) continue;
    call->in[i].dtype = dtype[which % 3];
    seen |= 1u << which % 3;
    which /= 3;
  }
  *mixed = (seen & 6) == 6;
  return which == 0 && row->shape(call->out, call->in, c->attr, why, sizeof why);
}

static cz_dtype other_half(cz_dtype t) { return t == CZ_BF16 ? CZ_F16 : t == CZ_F16 ? CZ_BF16 : t; }

static int try_all(cz_case *c, cz_op op, cz_dtype chosen) {
  static const cz_dtype here[] = {CZ_F32, CZ_BF16, CZ_F16}, there[] = {CZ_F32, CZ_F16, CZ_BF16};
  const cz_op_row *row = cz_op_rows[op];
  int most = 1, taken = 0;
  for (int i = 0; i < row->n_in; i++) most *= 3;
  for (int which = 0; which < most; which++) {
    cz_call one, other;
    bool mixed;
    choose(c, op, chosen);
    const bool takes = accepted(&one, c, row, here, which, &mixed);
    choose(c, op, other_half(chosen));
    if (takes != accepted(&other, c, row, there, which, &mixed))
      fail_msg("%s takes dtypes %d in one 16-bit type and not in the other (%s)", row->name, which,
               c->what);
    for (int o = 0; takes && o < CZ_OP_OUT; o++) {
      assert_int_equal(other.out[o].dtype, other_half(one.out[o].dtype));
      mixed |= one.out[o].dtype > CZ_F32 && one.out[o].dtype < CZ_I32 &&
               cz_call_dtype(&one) != one.out[o].dtype;
    }
    if (takes && mixed) fail_msg("%s takes bf16 and fp16 in one call (%s)", row->name, c->what);
    taken += takes && cz_call_dtype(&one) == CZ_F16;
  }
  return taken;
}

static void rows(void **state) {
  const uint64_t seed = test_seed();
  for (int op = 0; op < CZ_OPS; op++) {
    int taken = 0;
    for (int i = 0; i < cz_op_case_table[op]->fixed + 4; i++) {
      cz_case c = {0};
      cz_rand r = {.state = seed + (uint64_t)i};
      cz_op_case_table[op]->sample(&c, &r, i);
      for (cz_dtype chosen = CZ_F32; chosen <= CZ_F16; chosen++)
        taken += try_all(&c, (cz_op)op, chosen);
      cz_case_free(&c);
    }
    if (cz_op_rows[op]->kernels[CZ_BF16].forward && !taken)
      fail_msg("%s takes no call in float16", cz_op_rows[op]->name);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(widened), cmocka_unit_test(to_nearest_even),
                                     cmocka_unit_test(as_the_processor), cmocka_unit_test(rows)};
  return cmocka_run_group_tests_name("f16", tests, NULL, NULL);
}
