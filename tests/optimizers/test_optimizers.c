/* Optimizer steps against figures worked out by hand or by the published rules, and
 * against properties that hold whatever the numbers are. (tests/ops compares float32 with
 * float64; here float64 itself is put to the test.) */
#include "kernels/adafactor/adafactor.h"
#include "kernels/adamw/adamw.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* One parameter of an optimizer, in float64 here and in the kernel's own type while a kernel runs:
 * values, gradient, its two states, and hyper. FIRST and SECOND are m and v; or r and c, or v and
 * nothing. Sizes 0: absent. */
enum { W, G, FIRST, SECOND, HYPER, ARRAYS };
enum { FLAT = CZ_FLAT_UNIT };

typedef struct bench {
  const cz_op_row *row;
  const void *attr;
  bool factored;
  int ndim[ARRAYS];
  int64_t dim[ARRAYS][CZ_DIMS];
  double x[ARRAYS][8];
} bench;

/* Where an array lies in the op's. */
static const struct {
  int input;
  int64_t at, n;
} places[ARRAYS] = {{CZ_UPDATE_W, 0, FLAT},
                    {CZ_UPDATE_G, 0, FLAT},
                    {CZ_UPDATE_STATE, 0, 2 * FLAT},
                    {CZ_UPDATE_STATE, FLAT, 2 * FLAT},
                    {CZ_UPDATE_HYPER, 0, CZ_HYPERS}};

static void convert_in(const cz_arg *a, int64_t at, const double *x, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    if (a->dtype == CZ_F64)
      ((double *)a->data)[at + i] = x[i];
    else
      ((float *)a->data)[at + i] = (float)x[i];
  }
}

static void convert_out(double *x, const cz_arg *a, int64_t at, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    x[i] = a->dtype == CZ_F64 ? ((double *)a->data)[at + i] : (double)((float *)a->data)[at + i];
}

static int64_t size_of(const bench *b, int array) {
  int64_t n = b->ndim[array] > 0;
  for (int i = 0; i < b->ndim[array]; i++) n *= b->dim[array][i];
  return n;
}

/* One step in float64 or float32; arrays are updated in place. */
static void step(bench *b, cz_dtype real) {
  const int64_t *dim = b->dim[W];
  int32_t part[CZ_FLAT_FIELDS] = {[CZ_FLAT_ROWS] = 1,
                                  [CZ_FLAT_COLS] = (int32_t)size_of(b, W),
                                  [CZ_FLAT_COUNT] = (int32_t)size_of(b, W),
                                  [CZ_FLAT_FLAGS] = CZ_FLAT_DECAY};
  if (b->factored) {
    part[CZ_FLAT_ROWS] = (int32_t)dim[0], part[CZ_FLAT_COLS] = (int32_t)dim[1];
    part[CZ_FLAT_FLAGS] |= CZ_FLAT_FACTORED;
  }
  cz_call call = {.n_in = b->row->n_in, .n_out = b->row->n_out, .attr = b->attr};
  call.in[CZ_UPDATE_PARTS] =
      (cz_arg){.data = part, .dtype = CZ_I32, .ndim = 2, .dim = {1, CZ_FLAT_FIELDS}};
  for (int k = 0; k < ARRAYS; k++) {
    cz_arg *a = &call.in[places[k].input];
    if (!a->data) {
      *a = (cz_arg){.dtype = real, .ndim = 1, .dim = {places[k].n}};
      a->data = test_calloc((size_t)places[k].n, sizeof(double));
    }
    convert_in(a, places[k].at, b->x[k], size_of(b, k));
  }
  char why[256] = "";
  if (!b->row->shape(call.out, call.in, call.attr, why, sizeof why))
    fail_msg("%s: %s", b->row->name, why);
  for (int o = 0; o < call.n_out; o++) {
    if (cz_present(&call.out[o])) call.out[o].data = call.in[b->row->must_alias[o] - 1].data;
  }
  const cz_kernels *kernels = &b->row->kernels[real];
  size_t bytes = kernels->workspace ? kernels->workspace(&call, false) : 0;
  call.workspace = test_malloc(bytes + 64);
  kernels->forward(&call);
  for (int k = 0; k < ARRAYS; k++)
    convert_out(b->x[k], &call.in[places[k].input], places[k].at, size_of(b, k));
  for (int i = 0; i < call.n_in; i++)
    if (i != CZ_UPDATE_PARTS && call.in[i].data) test_free(call.in[i].data);
  test_free(call.workspace);
}

static void array(bench *b, int input, int ndim, const int64_t *dim, int n, const double *x) {
  b->ndim[input] = ndim;
  for (int i = 0; i < ndim; i++) b->dim[input][i] = dim[i];
  for (int i = 0; i < n; i++) b->x[input][i] = x ? x[i] : 0;
}

static const char *const array_names[ARRAYS] = {"w", "g", "first state", "second state", "hyper"};

static void expect(const bench *b, int input, int n, const double *want, double tolerance) {
  for (int i = 0; i < n; i++) {
    double got = b->x[input][i];
    if (!(fabs(got - want[i]) <= tolerance))
      fail_msg("%s %s[%d] is %.10g, should be %.10g", b->row->name, array_names[input], i, got,
               want[i]);
  }
}

/* Printed figures have eight decimals. */
static double tolerance_of(cz_dtype real) { return real == CZ_F64 ? 1e-8 : 4e-7; }

static const cz_adafactor_attr usual = {
    .decay_exponent = 0.8, .clip = 1, .eps1 = 1e-30, .eps2 = 1e-3, .maximum = {8, 1, 8, 8}};

static void adafactor_unfactored_vector(void **state) {
  for (cz_dtype real = CZ_F64; real <= CZ_F32; real++) {
    bench b = {.row = cz_op_rows[CZ_OP_adafactor], .attr = &usual};
    array(&b, W, 1, (int64_t[]){2}, 2, (double[]){1, 2});
    array(&b, G, 1, (int64_t[]){2}, 2, (double[]){0.1, -0.2});
    array(&b, FIRST, 1, (int64_t[]){2}, 2, NULL);
    array(&b, HYPER, 1, (int64_t[]){CZ_HYPERS}, 4, (double[]){0.01, 0, 1, 1});
    step(&b, real);
    expect(&b, W, 2, (double[]){0.98418861, 2.01581139}, tolerance_of(real));
    array(&b, G, 1, (int64_t[]){2}, 2, (double[]){0.3, 0.1});
    array(&b, HYPER, 1, (int64_t[]){CZ_HYPERS}, 4, (double[]){0.01, 1, 1, 1});
    step(&b, real);
    expect(&b, FIRST, 2, (double[]){0.05594793, 0.02276952}, tolerance_of(real));
    expect(&b, W, 2, (double[]){0.96430667, 2.00542290}, tolerance_of(real));
  }
}

static void adafactor_factored_vector(void **state) {
  for (cz_dtype real = CZ_F64; real <= CZ_F32; real++) {
    bench b = {.row = cz_op_rows[CZ_OP_adafactor], .attr = &usual, .factored = true};
    array(&b, W, 2, (int64_t[]){2, 3}, 6, (double[]){1, -1, 0.5, 0.2, 0, -0.3});
    array(&b, G, 2, (int64_t[]){2, 3}, 6, (double[]){0.1, 0.2, -0.1, 0.05, -0.3, 0.2});
    array(&b, FIRST, 1, (int64_t[]){2}, 2, NULL);
    array(&b, SECOND, 1, (int64_t[]){3}, 3, NULL);
    array(&b, HYPER, 1, (int64_t[]){CZ_HYPERS}, 4, (double[]){0.01, 0, 1, 1});
    step(&b, real);
    expect(&b, FIRST, 2, (double[]){0.02, 0.04416667}, tolerance_of(real));
    expect(&b, SECOND, 3, (double[]){0.00625, 0.065, 0.025}, tolerance_of(real));
    expect(&b, W, 6,
           (double[]){0.99041864, -1.00594210, 0.50479068, 0.19677623, 0.00599790, -0.30644755},
           tolerance_of(real));
  }
}

/* Which dimension is called rows makes no difference as long as both statistics have one
 * mean, as they do in training (0.375 here): a matrix and its transpose take the same
 * step, whichever side is longer. */
static void adafactor_transposed(void **state) {
  bench a = {.row = cz_op_rows[CZ_OP_adafactor], .attr = &usual, .factored = true}, b = a;
  const double w[] = {1, -1, 0.5, 0.2, 0, -0.3}, g[] = {0.1, 0.2, -0.1, 0.05, -0.3, 0.2},
               r[] = {0.5, 0.25}, c[] = {0.125, 0.75, 0.25};
  const double wt[] = {1, 0.2, -1, 0, 0.5, -0.3}, gt[] = {0.1, 0.05, 0.2, -0.3, -0.1, 0.2};
  array(&a, W, 2, (int64_t[]){2, 3}, 6, w), array(&b, W, 2, (int64_t[]){3, 2}, 6, wt);
  array(&a, G, 2, (int64_t[]){2, 3}, 6, g), array(&b, G, 2, (int64_t[]){3, 2}, 6, gt);
  array(&a, FIRST, 1, (int64_t[]){2}, 2, r), array(&b, SECOND, 1, (int64_t[]){2}, 2, r);
  array(&a, SECOND, 1, (int64_t[]){3}, 3, c), array(&b, FIRST, 1, (int64_t[]){3}, 3, c);
  for (int t = 3; t < 6; t++) {
    array(&a, HYPER, 1, (int64_t[]){CZ_HYPERS}, 4, (double[]){0.01, t, 0.5, 1});
    array(&b, HYPER, 1, (int64_t[]){CZ_HYPERS}, 4, (double[]){0.01, t, 0.5, 1});
    step(&a, CZ_F64), step(&b, CZ_F64);
  }
  for (int i = 0; i < 2; i++) {
    for (int j = 0; j < 3; j++) {
      double x = a.x[W][i * 3 + j], y = b.x[W][j * 2 + i];
      if (!(fabs(x - y) <= 1e-14)) fail_msg("w[%d,%d] is %.17g, its transpose %.17g", i, j, x, y);
    }
  }
}

static void adafactor_which_are_factored(void **state) {
  assert_true(cz_adafactor_factored(2, (int64_t[]){128, 128}));
  assert_false(cz_adafactor_factored(2, (int64_t[]){127, 4096}));
  assert_true(cz_adafactor_factored(2, (int64_t[]){32128, 512}));
  assert_false(cz_adafactor_factored(2, (int64_t[]){32, 8})); /* relative position bias */
  assert_false(cz_adafactor_factored(1, (int64_t[]){512}));   /* norm scale */
  assert_true(cz_adafactor_factored(3, (int64_t[]){4, 512, 512}));
  assert_true(cz_adafactor_factors(3, (int64_t[]){4, 512, 512}));
  assert_true(cz_adafactor_factors(2, (int64_t[]){2, 512}));
  assert_false(cz_adafactor_factors(3, (int64_t[]){200, 512, 128})); /* its columns would be rows */
  assert_false(cz_adafactor_factors(1, (int64_t[]){512}));
}

/* Step by step with PyTorch's published rule, written out independently: decay first,
 * then Adam with corrected moments. */
static void adamw_by_the_rule(void **state) {
  static const cz_adamw_attr attr = {
      .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-3, .weight_decay = 0.1, .maximum = {8, 0, 0, 0}};
  bench b = {.row = cz_op_rows[CZ_OP_adamw], .attr = &attr};
  array(&b, W, 1, (int64_t[]){1}, 1, (double[]){2});
  array(&b, G, 1, (int64_t[]){1}, 1, NULL);
  array(&b, FIRST, 1, (int64_t[]){1}, 1, NULL);
  array(&b, SECOND, 1, (int64_t[]){1}, 1, NULL);
  double w = 2, m = 0, v = 0, p1 = 1, p2 = 1;
  for (int t = 1; t <= 5; t++) {
    double g = 0.3 * t - 0.7, lr = 0.01 * t;
    array(&b, HYPER, 1, (int64_t[]){CZ_HYPERS}, 4, (double[]){lr, t, 0.5, 1});
    b.x[G][0] = 2 * g;
    step(&b, CZ_F64);
    p1 *= 0.9, p2 *= 0.99;
    w *= 1 - lr * 0.1;
    m += 0.1 * (g - m), v += 0.01 * (g * g - v);
    w -= lr / (1 - p1) * m / (sqrt(v) / sqrt(1 - p2) + 1e-3);
    expect(&b, W, 1, &w, 1e-14);
  }
}

/* The first corrected step moves every weight by lr against the gradient's sign, whatever
 * its size; with rms_scale by lr x rms(w). */
static void adamw_first_step(void **state) {
  cz_adamw_attr attr = {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-30, .maximum = {8, 0, 0, 0}};
  const double w[] = {3, -4, 0, 0}, g[] = {1e-3, -5, 1e3, -1e-6},
               one[] = {3 - 0.01, -4 + 0.01, -0.01, 0.01};
  const double scaled[] = {3 - 0.025, -4 + 0.025, -0.025, 0.025}; /* rms(w) = 2.5 */
  for (int scale = 0; scale < 2; scale++) {
    for (cz_dtype real = CZ_F64; real <= CZ_F32; real++) {
      attr.rms_scale = scale;
      bench b = {.row = cz_op_rows[CZ_OP_adamw], .attr = &attr};
      array(&b, W, 2, (int64_t[]){2, 2}, 4, w);
      array(&b, G, 2, (int64_t[]){2, 2}, 4, g);
      array(&b, FIRST, 2, (int64_t[]){2, 2}, 4, NULL);
      array(&b, SECOND, 2, (int64_t[]){2, 2}, 4, NULL);
      array(&b, HYPER, 1, (int64_t[]){CZ_HYPERS}, 4, (double[]){0.01, 1, 1, 1});
      step(&b, real);
      expect(&b, W, 4, scale ? scaled : one, real == CZ_F64 ? 1e-14 : 1e-6);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(adafactor_unfactored_vector), cmocka_unit_test(adafactor_factored_vector),
      cmocka_unit_test(adafactor_transposed),        cmocka_unit_test(adafactor_which_are_factored),
      cmocka_unit_test(adamw_by_the_rule),           cmocka_unit_test(adamw_first_step),
  };
  return cmocka_run_group_tests_name("optimizers", tests, NULL, NULL);
}
