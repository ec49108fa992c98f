/* Gradients: ref's backward against central differences of ref's forward, in float64,
 * along random directions. */
#include "ops_test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* sum of dout x out after moving INPUT by STEP along DIR; MAGNITUDE: the same sum of
 * absolute values. */
static double objective(const problem *p, int input, const double *dir, double step,
                        double *magnitude) {
  problem q = *p;
  int64_t n = cz_numel(&p->c.in[input]);
  double *x = calloc((size_t)n + 1, sizeof *x), sum = 0;
  if (!x) abort(); /* a test machine without memory */
  for (int64_t i = 0; i < n; i++) x[i] = ((double *)p->c.in[input].data)[i] + step * dir[i];
  q.c.in[input].data = x;
  *magnitude = 0;
  run r;
  values y;
  if (run_forward(&r, &q, ref, plain(&q))) {
    run_values(&y, &r);
    for (int o = 0; o < p->row->n_out; o++) {
      for (int64_t i = 0; p->dout[o] && i < cz_numel(&p->out[o]); i++) {
        sum += p->dout[o][i] * y.out[o][i];
        *magnitude += fabs(p->dout[o][i] * y.out[o][i]);
      }
    }
    values_free(&y);
  }
  run_free(&r);
  free(x);
  return sum;
}

static double central(const problem *p, int input, const double *dir, double h, double *magnitude) {
  return (objective(p, input, dir, h, magnitude) - objective(p, input, dir, -h, magnitude)) /
         (2 * h);
}

/* Moves every element by about its input's own size. */
static double *direction(const problem *p, int input, cz_rand *rand) {
  const double *x = p->c.in[input].data;
  int64_t n = cz_numel(&p->c.in[input]);
  double *dir = calloc((size_t)n + 1, sizeof *dir), size = 0;
  if (!dir) abort();
  for (int64_t i = 0; i < n; i++) size += x[i] * x[i] / (double)n;
  for (int64_t i = 0; i < n; i++) dir[i] = (size > 0 ? sqrt(size) : 1) * cz_rand_normal(rand);
  return dir;
}

static void check_input(const problem *p, int input, const double *din, cz_rand *rand) {
  static const double steps[] = {0x1p-7, 0x1p-10, 0x1p-13, 0x1p-16};
  double *dir = direction(p, input, rand), analytic = 0, square = 0, best = INFINITY, numeric = NAN;
  for (int64_t i = 0; i < cz_numel(&p->c.in[input]); i++) {
    analytic += din[i] * dir[i];
    square += din[i] * dir[i] * din[i] * dir[i];
  }
  for (size_t s = 0; s < sizeof steps / sizeof *steps && !(best <= 1); s++) {
    double h = steps[s], magnitude;
    double coarse = central(p, input, dir, h, &magnitude),
           fine = central(p, input, dir, h / 2, &magnitude);
    double value = (4 * fine - coarse) / 3; /* Richardson: the h^2 term cancels */
    /* A millionth of the size that a derivative along a random direction has, plus the
     * rounding of the two sums. */
    double share = fabs(value - analytic) / (1e-6 * sqrt(square) + 1e-15 * magnitude / h + 1e-300);
    if (share < best) best = share, numeric = value;
  }
  now.differences++;
  if (!(best <= 1)) {
    fail_case(p,
              "ref backward: derivative along a random direction of %s is %.12g, central "
              "differences give %.12g (size %.3g)",
              p->row->in_name[input], analytic, numeric, sqrt(square));
  }
  free(dir);
}

/** The reference's gradient of every input is the derivative of its forward. Cases near a
 * kink are counted as skipped. */
void check_gradient(const problem *p) {
  if (p->row->not_differentiable) return;
  if (!p->c.smooth) {
    now.not_smooth++;
    return;
  }
  cz_rand rand = {.state = p->seed ^ ~(uint64_t)p->index};
  run r;
  values d;
  if (run_backward(&r, p, ref, plain(p))) {
    run_values(&d, &r);
    for (int i = 0; i < p->row->n_in; i++) {
      if (d.din[i]) check_input(p, i, d.din[i], &rand);
    }
    values_free(&d);
  }
  run_free(&r);
}
