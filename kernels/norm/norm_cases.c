#include "kernels/cases.h"
#include "kernels/norm/norm.h"

#include <stdio.h>

typedef struct shape {
  int64_t T, D;
  bool bias, residual;
  int empty; /* segments without rows, put among the others */
} shape;

static void problem(cz_case *c, cz_rand *r, shape s, cz_norm_attr attr, double std) {
  int64_t x[2] = {s.T, s.D};
  *(cz_norm_attr *)c->attr = attr;
  cz_case_normal(c, r, CZ_NORM_X, 2, x, std);
  cz_case_normal(c, r, CZ_NORM_GAIN, 1, &s.D, 1);
  if (s.bias) cz_case_normal(c, r, CZ_NORM_BIAS, 1, &s.D, 1);
  if (s.residual) cz_case_normal(c, r, CZ_NORM_RESIDUAL, 2, x, std);
  if (s.residual && attr.share_segment) cz_case_spans(c, r, CZ_NORM_SPANS, s.T, s.empty);
  c->training = attr.dropout > 0;
  c->smooth = std > 1e-3 && std < 1e3;
  snprintf(c->what, sizeof c->what,
           "T %lld D %lld kind %d bias %d residual %d dropout %g shared %d std %g", (long long)s.T,
           (long long)s.D, attr.kind, s.bias, s.residual, attr.dropout, attr.share_segment, std);
}

/* A layer norm over one channel: y is bias and dx is exactly 0, which a gain of 1 lets
 * every device reach. */
static void one_channel(cz_case *c, cz_rand *r) {
  problem(c, r, (shape){.T = 3, .D = 1, .bias = true},
          (cz_norm_attr){CZ_NORM_LAYER, 1e-2, 0, false, 0}, 1);
  *(double *)c->in[CZ_NORM_GAIN].data = 1;
}

/* Widths that accesses of sixteen bytes divide. On a card a warp holds a row of up to 1024
 * channels, in one of three sizes, and a block up to 8192; more rows than it has warps, or one. */
static void aligned(cz_case *c, cz_rand *r, int index) {
  static const struct {
    int64_t T, D;
    double dropout;
    bool layer, bias, residual, share;
  } of[] = {
      {131, 8, 0.4, true, true, true, false},    {9, 520, 0.1, false, false, true, true},
      {3, 768, 0, true, true, false, false},     {5, 1024, 0.3, true, false, true, false},
      {3, 1032, 0.2, true, true, true, true},    {1, 4104, 0.1, false, false, true, false},
      {1, 8192, 0, true, true, true, false},     {1, 8200, 0.1, false, false, true, false},
      {160, 24, 0.25, false, false, true, true}, {61, 1032, 0.1, true, true, true, false},
  };
  const cz_norm_attr attr = {of[index].layer ? CZ_NORM_LAYER : CZ_NORM_RMS, 1e-5, of[index].dropout,
                             of[index].share, 0};
  problem(c, r,
          (shape){.T = of[index].T,
                  .D = of[index].D,
                  .bias = of[index].bias,
                  .residual = of[index].residual,
                  .empty = 2},
          attr, 1);
}

enum { FIXED = 21 };

static void sample(cz_case *c, cz_rand *r, int index) {
  const cz_norm_attr rms = {CZ_NORM_RMS, 1e-6, 0, false, 0},
                     rms_one = {CZ_NORM_RMS, 1, 0, false, 0},
                     layer = {CZ_NORM_LAYER, 1e-5, 0, false, 0},
                     shared = {CZ_NORM_RMS, 1e-6, 0.3, true, 0};
  switch (index) {
  case 0: problem(c, r, (shape){.T = 0, .D = 8, .residual = true}, shared, 1); return;
  case 1: problem(c, r, (shape){.T = 0, .D = 8, .bias = true}, layer, 1); return;
  case 2: problem(c, r, (shape){.T = 1, .D = 1}, rms_one, 1); return;
  case 3: one_channel(c, r); return;
  case 4:
    problem(c, r, (shape){.T = 2, .D = 17, .residual = true}, rms, 0);
    return; /* only eps keeps 1 / 0 away */
  case 5:
    problem(c, r, (shape){.T = 4, .D = 65, .residual = true}, rms, 1e15);
    return;                                                            /* squares of 1e30 */
  case 6: problem(c, r, (shape){.T = 4, .D = 65}, rms, 1e-15); return; /* eps is all there is */
  case 7:
    problem(c, r, (shape){.T = 33, .D = 1025, .residual = true},
            (cz_norm_attr){CZ_NORM_RMS, 1e-6, 0.5, false, 0}, 1);
    return; /* a row of two pieces */
  case 8:
    problem(c, r, (shape){.T = 33, .D = 1027, .residual = true, .empty = 2}, shared, 1);
    return;
  case 9:
    problem(c, r, (shape){.T = 2049, .D = 19, .bias = true, .residual = true},
            (cz_norm_attr){CZ_NORM_LAYER, 1e-5, 0.1, false, 0}, 1);
    return; /* blocks of more than 32 rows */
  case 10:
    problem(c, r, (shape){.T = 7, .D = 5, .bias = true, .residual = true, .empty = 3},
            (cz_norm_attr){CZ_NORM_LAYER, 1e-3, 0.2, true, 0}, 1);
    return;
  default: break;
  }
  if (index < FIXED) {
    aligned(c, r, index - 11);
    return;
  }
  bool is_layer = cz_rand_int(r, 0, 1), residual = cz_rand_int(r, 0, 2) > 0;
  shape s = {cz_rand_size(r, 70), cz_rand_size(r, 70) + is_layer, is_layer && cz_rand_int(r, 0, 3),
             residual, (int)cz_rand_int(r, 0, 2)};
  /* The gradient of a norm is a projection: it removes the part of g along n (and along
   * 1). With few channels and a small eps next to nothing remains, and what is compared
   * would be the rounding of the terms that cancel. */
  double eps = s.D < 16 ? 1 : 1e-3;
  cz_norm_attr attr = {is_layer ? CZ_NORM_LAYER : CZ_NORM_RMS, eps,
                       cz_rand_int(r, 0, 1) ? cz_rand_real(r, 0.01, 0.9) : 0, cz_rand_int(r, 0, 1),
                       0};
  problem(c, r, s, attr, 1);
}

enum { ROWS, WIDTH, RESIDUAL, LAYER };

/* With a residual, the branch goes through T5's dropout before it is added. */
static void bench(cz_case *c, cz_rand *r, const int64_t *n) {
  problem(c, r, (shape){.T = n[ROWS], .D = n[WIDTH], .bias = n[LAYER], .residual = n[RESIDUAL]},
          (cz_norm_attr){.kind = n[LAYER] ? CZ_NORM_LAYER : CZ_NORM_RMS,
                         .eps = 1e-6,
                         .dropout = n[RESIDUAL] ? 0.1 : 0},
          1);
}

const cz_op_cases cz_norm_cases = {
    .fixed = FIXED,
    .sample = sample,
    .bench = bench,
    .sizes = {[ROWS] = "rows", [WIDTH] = "width", [RESIDUAL] = "residual", [LAYER] = "layer"},
    .flags = 1u << RESIDUAL | 1u << LAYER};
