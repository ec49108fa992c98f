#include "kernels/cases.h"
#include "kernels/linear/linear.h"

#include <math.h>
#include <stdio.h>

typedef struct sizes {
  int64_t T, I, O;
} sizes;

/* A sum of forward reaches 3 x 3 x 70 + 3 = 633 at most, far below 2^24: float32 adds
 * without rounding in any order. */
static void whole_numbers(cz_case *c, cz_rand *r, int input, int ndim, const int64_t *dim) {
  double *x = cz_case_real(c, input, ndim, dim);
  for (int64_t i = 0; i < cz_numel(&c->in[input]); i++) x[i] = (double)cz_rand_int(r, -3, 3);
}

/* w of std 1 / sqrt(I) gives z the size of x, so that GELUs are met where they bend. */
static void problem(cz_case *c, cz_rand *r, sizes s, cz_linear_attr attr, bool bias, double std) {
  int64_t x[2] = {s.T, s.I}, w[2] = {s.O, s.I}, w_in_out[2] = {s.I, s.O};
  const int64_t *shape_w = attr.layout == CZ_LINEAR_OUT_IN ? w : w_in_out;
  *(cz_linear_attr *)c->attr = attr;
  snprintf(c->what, sizeof c->what,
           "T %lld I %lld O %lld layout %d activation %d alpha %g bias %d std %g", (long long)s.T,
           (long long)s.I, (long long)s.O, attr.layout, attr.activation, attr.alpha, bias, std);
  c->smooth = attr.activation != CZ_ACTIVATION_RELU;
  if (!c->smooth) { /* whole numbers are summed exactly, so that every device sees the same side of
                       ReLU's kink, and often the kink itself */
    ((cz_linear_attr *)c->attr)->alpha = 1;
    whole_numbers(c, r, CZ_LINEAR_X, 2, x);
    whole_numbers(c, r, CZ_LINEAR_W, 2, shape_w);
    if (bias) whole_numbers(c, r, CZ_LINEAR_BIAS, 1, &s.O);
    return;
  }
  cz_case_normal(c, r, CZ_LINEAR_X, 2, x, std);
  cz_case_normal(c, r, CZ_LINEAR_W, 2, shape_w, 1 / sqrt((double)s.I));
  if (bias) cz_case_normal(c, r, CZ_LINEAR_BIAS, 1, &s.O, std);
}

/* ReLU far from its kink: small products, biases of 2 or -2. |z| is about 2 with products
 * of 9 x 0.01 x 0.5: no perturbation of a central difference crosses 0. */
static void relu_apart(cz_case *c, cz_rand *r) {
  int64_t x[2] = {7, 9}, w[2] = {5, 9}, O = 5;
  *(cz_linear_attr *)c->attr = (cz_linear_attr){CZ_LINEAR_OUT_IN, CZ_ACTIVATION_RELU, 0.5, 0};
  cz_case_normal(c, r, CZ_LINEAR_X, 2, x, 0.1);
  cz_case_normal(c, r, CZ_LINEAR_W, 2, w, 0.1);
  double *bias = cz_case_real(c, CZ_LINEAR_BIAS, 1, &O);
  for (int i = 0; i < 5; i++) bias[i] = i & 1 ? -2 : 2;
  c->smooth = true;
  snprintf(c->what, sizeof c->what, "ReLU away from its kink");
}

static void sample(cz_case *c, cz_rand *r, int index) {
  const cz_linear_attr plain = {CZ_LINEAR_OUT_IN, CZ_ACTIVATION_NONE, 1, 0},
                       conv1d = {CZ_LINEAR_IN_OUT, CZ_ACTIVATION_GELU_TANH, 1, 0};
  switch (index) {
  case 0:
    problem(c, r, (sizes){0, 5, 3}, plain, true, 1);
    return; /* no rows: gradients of weights are zero */
  case 1: problem(c, r, (sizes){0, 5, 3}, conv1d, true, 1); return;
  case 2: problem(c, r, (sizes){1, 1, 1}, plain, false, 1); return;
  case 3:
    problem(c, r, (sizes){9, 17, 33}, plain, true, 1e15), c->smooth = false;
    return; /* differences of huge numbers mean nothing */
  case 4:
    problem(c, r, (sizes){129, 64, 67}, conv1d, true, 1);
    return; /* several tiles along the rows */
  case 5:
    problem(c, r, (sizes){31, 64, 257}, plain, true, 1);
    return; /* several tiles along the columns */
  case 6:
    problem(c, r, (sizes){5, 131, 521}, conv1d, true, 1);
    return; /* few rows and several tiles, as in decoding */
  case 7:
    problem(c, r, (sizes){1, 173, 1537}, plain, false, 1);
    return; /* so few that no sgemm is called */
  case 8: problem(c, r, (sizes){3, 521, 173}, conv1d, true, 1); return;
  case 9:
    problem(c, r, (sizes){613, 23, 31},
            (cz_linear_attr){CZ_LINEAR_OUT_IN, CZ_ACTIVATION_RELU, 1, 0}, true, 1);
    return;
  case 10: relu_apart(c, r); return;
  case 11:
    problem(c, r, (sizes){8, 33, 16}, (cz_linear_attr){CZ_LINEAR_IN_OUT, CZ_ACTIVATION_GELU, 1, 0},
            true, 5);
    return; /* the tails of a GELU */
  default: break;
  }
  sizes s = {cz_rand_size(r, 70), cz_rand_size(r, 70), cz_rand_size(r, 70)};
  cz_linear_attr attr = {(int)cz_rand_int(r, 0, CZ_LINEAR_LAYOUTS - 1),
                         (int)cz_rand_int(r, 0, CZ_ACTIVATIONS - 1), cz_rand_real(r, 0.05, 2), 0};
  problem(c, r, s, attr, cz_rand_int(r, 0, 1), 1);
}

enum { ROWS, WIDTH, OUTPUTS, BIAS, RELU };

/* Normal numbers under ReLU too, as a model has them. */
static void bench(cz_case *c, cz_rand *r, const int64_t *n) {
  problem(c, r, (sizes){n[ROWS], n[WIDTH], n[OUTPUTS]},
          (cz_linear_attr){CZ_LINEAR_OUT_IN, CZ_ACTIVATION_NONE, 1, 0}, n[BIAS], 1);
  if (n[RELU]) ((cz_linear_attr *)c->attr)->activation = CZ_ACTIVATION_RELU;
}

const cz_op_cases cz_linear_cases = {.fixed = 12,
                                     .sample = sample,
                                     .bench = bench,
                                     .sizes = {[ROWS] = "rows",
                                               [WIDTH] = "width",
                                               [OUTPUTS] = "outputs",
                                               [BIAS] = "bias",
                                               [RELU] = "relu"},
                                     .flags = 1u << BIAS | 1u << RELU};
