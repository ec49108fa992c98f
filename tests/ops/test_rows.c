/* What kernels share: sums over rows with a fixed tree, at sizes where several threads
 * work, against sums in double; and the list of activations. */
#include "common/common.h"
#include "kernels/common/cpu.h"
#include "kernels/cases.h"
#include "kernels/common/rows.h"
#include "kernels/linear/linear.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

static float *draw(cz_rand *r, int64_t n) {
  float *x = test_calloc((size_t)n, sizeof *x);
  for (int64_t i = 0; i < n; i++) x[i] = (float)cz_rand_normal(r);
  return x;
}

static void check_reduce(cz_rand *r, int64_t blocks, int64_t n, cz_grad_mode mode) {
  float *partial = draw(r, blocks * n), *before = draw(r, n),
        *first = test_calloc((size_t)n, sizeof *first), *out = test_calloc((size_t)n, sizeof *out);
  for (int threads = 1; threads <= 3; threads++) {
    omp_set_num_threads(threads);
    memcpy(out, before, (size_t)n * sizeof *out);
    cz_rows_reduce(out, partial, blocks, n, mode);
    if (threads == 1) memcpy(first, out, (size_t)n * sizeof *out);
    assert_memory_equal(out, first, (size_t)n * sizeof *out);
  }
  for (int64_t i = 0; i < n; i++) {
    double want = mode == CZ_GRAD_WRITE ? 0 : before[i], size = fabs(want);
    for (int64_t b = 0; b < blocks && mode != CZ_GRAD_SKIP; b++)
      want += partial[b * n + i], size += fabs(partial[b * n + i]);
    if (!(fabs(out[i] - want) <= (double)(blocks + 1) * 0x1p-24 * size))
      fail_msg("%lld blocks of %lld, mode %d, column %lld: %g, not %g", (long long)blocks,
               (long long)n, mode, (long long)i, (double)out[i], want);
  }
  test_free(partial), test_free(before), test_free(first), test_free(out);
}

/* Sizes on both sides of the threshold, of one piece of columns and more. */
static void rows_reduced(void **state) {
  static const int64_t sizes[][2] = {{1, 1},   {64, 1031}, {63, 1024}, {33, 2049},
                                     {2, 511}, {64, 512},  {5, 20000}};
  cz_rand r = {.state = test_seed()};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    for (cz_grad_mode mode = CZ_GRAD_SKIP; mode <= CZ_GRAD_ADD; mode++)
      check_reduce(&r, sizes[i][0], sizes[i][1], mode);
}

/* Blocks cover all rows once, and room for them never falls when rows are added. */
static void rows_cut(void **state) {
  int64_t most = 0;
  for (int64_t T = 1; T < 9000; T++) {
    int64_t blocks = cz_row_blocks(T), each = cz_row_block(T), room = cz_row_blocks_maximum(T);
    assert_true((blocks - 1) * each < T && T <= blocks * each);
    assert_true(blocks <= room && room >= most);
    most = room;
  }
}

enum { POINTS = 61 };

/* No two activations are one function or have one name, and linear keeps what its
 * backward needs: its sum, where the slope at y is another one. */
static void activations(void **state) {
  float x[POINTS], y[CZ_ACTIVATIONS][POINTS];
  for (int i = 0; i < POINTS; i++) x[i] = (float)(i - POINTS / 2) / 8;
  for (int a = 0; a < CZ_ACTIVATIONS; a++) {
    bool slopes_at_y = true;
    cz_activation_values_cpu(y[a], x, POINTS, a);
    for (int i = 0; i < POINTS; i++)
      slopes_at_y &=
          cz_activation_slope(cz_activation_value(x[i], a), a) == cz_activation_slope(x[i], a);
    assert_int_equal(cz_linear_saves_pre(&(cz_linear_attr){.activation = a}), !slopes_at_y);
    for (int b = 0; b < a; b++) {
      double apart = 0, wide = 0;
      for (int i = 0; i < POINTS; i++) {
        apart = fmax(apart, fabs((double)y[a][i] - (double)y[b][i]));
        wide = fmax(wide, fabs(cz_activation_value(x[i], a) - cz_activation_value(x[i], b)));
      }
      if (!(apart > 1e-4 && wide > 1e-4) || !strcmp(cz_activation_names[a], cz_activation_names[b]))
        fail_msg("%s and %s are the same", cz_activation_names[a], cz_activation_names[b]);
    }
  }
}

/* A product and a sum: one rounding where the loader took a clone with FMA. */
CZ_CLONES __attribute__((noinline)) static void products_and_sums(double *y, const double *x,
                                                                  int n) {
  for (int i = 0; i < n; i++) y[i] = x[i] * x[i] - 1;
}

/* The instructions that are named are those that a cloned function runs on. */
static void clones(void **state) {
  enum { N = 8 };
  const char *name = cz_cpu_instructions();
  bool baseline = !strcmp(name, "baseline");
  if (!baseline && strcmp(name, "x86-64-v3") && strcmp(name, "x86-64-v4"))
    fail_msg("the instructions are called '%s'", name);
  assert_true(baseline || CZ_HAVE_CLONES);
#if CZ_HAVE_CLONES && defined(__OPTIMIZE__)
  volatile double odd = 1 + 0x1p-30; /* its square has 61 bits behind the point */
  double x[N], y[N];
  for (int i = 0; i < N; i++) x[i] = odd;
  products_and_sums(y, x, N);
  for (int i = 0; i < N; i++)
    if ((y[i] == 0x1p-29 + 0x1p-60) == baseline)
      fail_msg("instructions %s, and x x - 1 is %a", name, y[i]);
#else
  (void)products_and_sums;
#endif
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(rows_reduced), cmocka_unit_test(rows_cut),
                                     cmocka_unit_test(activations), cmocka_unit_test(clones)};
  return cmocka_run_group_tests_name("rows", tests, NULL, NULL);
}
