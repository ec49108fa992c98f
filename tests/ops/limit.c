/* Error limits from theory.
 *
 * A backward-stable float32 kernel computes the exact result of inputs that are off by a
 * few roundings each. Its error is then bounded by a small constant x the unit roundoff
 * 2^-24 x the sensitivity of the result to relative changes of its inputs, plus one
 * rounding of the result itself (Higham, Accuracy and Stability of Numerical Algorithms,
 * 1.5-1.6). The sensitivity of every element is measured: float64 runs with each real
 * input changed at random by a relative deviation delta; the root mean square of dy /
 * delta over the runs estimates the root of the sum of squares over the inputs, which is
 * also how independent roundings add up. In backward, what forward left behind is an
 * input like others, since it was rounded to float32 in between; so ref should read it
 * where the float32 kernel does (else a difference that cancels there has no limit that
 * any float32 kernel could keep).
 *
 * Half of the runs use a delta of the size of float32 roundings: where the function jumps
 * (a gradient at ReLU's kink, reached by a sum that float32 cannot tell from zero) the
 * jump then shows in the limit of just the elements concerned. */
#include "ops_test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PERTURBED = 12 };

/* Float32 exponentials are flushed to zero below 2^-126; later products and sums may
 * enlarge what is lost. */
static const double UNDERFLOW = 0x1p-108;

static void accumulate(double *sum, const double *y, const double *base, int64_t n, double delta) {
  for (int64_t i = 0; i < n; i++) {
    double d = (y[i] - base[i]) / delta;
    if (isfinite(d)) sum[i] += d * d / PERTURBED;
  }
}

static void start(double **sum, const double *base, int64_t n) {
  if (!base) return;
  *sum = calloc((size_t)n + 1, sizeof **sum);
  if (!*sum) abort(); /* a test machine without memory */
}

static void roots(double *x, int64_t n) {
  for (int64_t i = 0; x && i < n; i++) x[i] = sqrt(x[i]);
}

static bool run_either(run *r, const problem *p, variant v, bool backward) {
  return backward ? run_backward(r, p, ref, v) : run_forward(r, p, ref, v);
}

/** Sensitivity of every output and gradient of the problem in variant V, on ref. The
 * caller frees SUM. */
void sensitivity(values *sum, const problem *p, variant v, bool backward) {
  cz_rand rand = {.state = p->seed ^ (uint64_t)p->index << 32};
  *sum = (values){0};
  run r;
  values base, y;
  if (run_either(&r, p, v, backward)) {
    run_values(&base, &r);
    for (int i = 0; i < CZ_OP_OUT; i++) start(&sum->out[i], base.out[i], cz_numel(&p->out[i]));
    for (int i = 0; i < CZ_OP_IN; i++) start(&sum->din[i], base.din[i], cz_numel(&p->c.in[i]));
    for (int k = 0; k < PERTURBED; k++) {
      double delta = k % 2 ? 0x1p-22 : 0x1p-30;
      problem q;
      run s;
      problem_perturb(&q, p, &rand, delta);
      if (run_either(&s, &q, v, backward)) {
        run_values(&y, &s);
        for (int i = 0; i < CZ_OP_OUT; i++)
          accumulate(sum->out[i], y.out[i], base.out[i], sum->out[i] ? cz_numel(&p->out[i]) : 0,
                     delta);
        for (int i = 0; i < CZ_OP_IN; i++)
          accumulate(sum->din[i], y.din[i], base.din[i], sum->din[i] ? cz_numel(&p->c.in[i]) : 0,
                     delta);
        values_free(&y);
      }
      run_free(&s);
      problem_free(&q);
    }
    for (int i = 0; i < CZ_OP_OUT; i++) roots(sum->out[i], cz_numel(&p->out[i]));
    for (int i = 0; i < CZ_OP_IN; i++) roots(sum->din[i], cz_numel(&p->c.in[i]));
    values_free(&base);
  }
  run_free(&r);
}

/** Compares GOT with WANT element by element; limit = constant x (|want| + sens), plus
 * GRAIN (what ref itself may be off by where large terms cancel whatever the inputs
 * are), plus what underflow may lose. NaN never passes, an infinity equals itself. */
bool compare(const problem *p, const char *check, const char *tensor, const cz_arg *shape,
             const double *got, const double *want, const double *sens, double constant,
             double grain) {
  int64_t n = cz_numel(shape), bad = 0, first = 0;
  double worst = 0;
  for (int64_t i = 0; i < n; i++) {
    if (got[i] == want[i]) continue;
    double limit = constant * (fabs(want[i]) + sens[i]) + grain + UNDERFLOW,
           error = fabs(got[i] - want[i]);
    if (isfinite(want[i]) && error / limit > worst) worst = error / limit;
    if (isfinite(want[i]) && error <= limit) continue; /* false for a NaN in GOT */
    if (bad++ == 0) first = i;
  }
  if (worst > now.worst) {
    now.worst = worst;
    snprintf(now.where, sizeof now.where, "%s %s, %.100s", check, tensor, p->c.what);
  }
  if (!bad) return true;
  double limit = constant * (fabs(want[first]) + sens[first]) + grain;
  fail_case(p,
            "%s: %s[%lld of %lld] is %.9g, should be %.9g, off by %.3g with limit %.3g; %lld "
            "elements are wrong",
            check, tensor, (long long)first, (long long)n, got[first], want[first],
            fabs(got[first] - want[first]), limit, (long long)bad);
  return false;
}
