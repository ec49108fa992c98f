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
 * In 16 bits a kernel reads arrays in 16 bits, whose numbers are exact here (problem_narrow), and
 * computes in float32: its limit is that of float32, and on top of it what roundings to 16 bits do,
 * with u = 2^-8 for a bfloat16. There are three kinds of them. What the kernel writes in 16 bits is
 * rounded once: |want| u. What forward wrote for backward was rounded so, and is what backward
 * starts from. And some numbers are rounded on the way to a result, as the weights and dS between
 * the products of attention or what dropout leaves of an input: ref names each of them where it
 * computes it (kernels/common/roundings.h). The last two are roundings inside. Each is off by u of
 * the rounded number at most, so 0.58 u in the root mean square where any error up to u is as
 * likely as another; the sensitivity to all of them together is measured as above, by runs in which
 * ref changes those numbers and nothing else. Hence no row has a constant for 16 bits, and what no
 * such rounding reaches (statistics, losses, the gradient of a bias that sums what is not rounded)
 * has the limit of float32. The sensitivity, estimated from twelve runs, may be half of the truth;
 * INSIDE u is seven deviations then.
 *
 * A float16 has u = 2^-11 and two ends. Below 2^-14 its numbers are 2^-24 apart, so one rounding is
 * off by up to u max(|x|, 2^-14), 2^-25 at least. The sensitivity to roundings inside is therefore
 * that to changes of delta max(|x|, 2^-14), of all x but 0, which is exact. Above 65504 there is
 * only infinity, which nearest takes from 65520 on: a result is infinite when the exact one is that
 * far or can be by the limit without the last rounding, and it may not be 65504 when the exact one
 * is farther than that limit. A number that forward leaves for backward, or makes others of, is
 * infinite then where ref has a number: what comes of it may be infinite or NaN, as the loss scale
 * needs to see, and what is finite is compared as always. Cases whose forward gets beyond 0.9 x
 * 65504 are taken for such and counted.
 *
 * Half of the runs use a delta of the size of float32 roundings: where the function jumps
 * (a gradient at ReLU's kink, reached by a sum that float32 cannot tell from zero) the
 * jump then shows in the limit of just the elements concerned. A softmax over scores of 2^70 is
 * nothing but jumps, one for each pair of scores that float32 cannot tell apart; a run crosses one
 * with a probability of 0.4, so 24 runs of that size alone miss it in 5 of a million. */
#include "ops_test.h"
#include "kernels/common/half.h"
#include "kernels/common/shape.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PERTURBED = 12, JUMPS = 24 };

/* Float32 exponentials are flushed to zero below 2^-126; later products and sums may
 * enlarge what is lost. */
static const double UNDERFLOW = 0x1p-108;

/* Between two float64 runs that differ in the order of additions only. */
static const double EXACT = 0x1p-40;

static void accumulate(double *sum, const double *y, const double *base, int64_t n, double delta) {
  for (int64_t i = 0; i < n; i++) {
    double d = (y[i] - base[i]) / delta;
    if (isfinite(d)) sum[i] += d * d;
  }
}

static double *zeros(const double *base, int64_t n) {
  double *sum = base ? calloc((size_t)n + 1, sizeof *sum) : NULL;
  if (base && !sum) abort(); /* a test machine without memory */
  return sum;
}

static void means(double *x, int64_t n, int runs) {
  for (int64_t i = 0; x && i < n; i++) x[i] = sqrt(x[i] / runs);
}

static bool run_either(run *r, const problem *p, variant v, bool backward) {
  return backward ? run_backward(r, p, ref, v) : run_forward(r, p, ref, v);
}

/* Adds what problem Q, changed by DELTA, gives of the squares. False when nothing was changed
 * inside. */
static bool add_changed(values *sum, const problem *q, const values *base, variant v, bool backward,
                        double delta) {
  run s;
  values y;
  bool changed = false;
  if (run_either(&s, q, v, backward)) {
    run_values(&y, &s);
    for (int i = 0; i < CZ_OP_OUT; i++)
      accumulate(sum->out[i], y.out[i], base->out[i], sum->out[i] ? cz_numel(&q->out[i]) : 0,
                 delta);
    for (int i = 0; i < CZ_OP_IN; i++)
      accumulate(sum->din[i], y.din[i], base->din[i], sum->din[i] ? cz_numel(&q->c.in[i]) : 0,
                 delta);
    values_free(&y);
    changed = s.shaken + s.rounder.changed > 0;
  }
  run_free(&s);
  return changed;
}

/* What is measured: all that a kernel reads, only what is rounded to 16 bits inside, or jumps. */
typedef enum measured { ALL, INSIDE_ONLY, JUMPS_ONLY } measured;

static double delta_of(const problem *p, measured what, int k) {
  const double rounding = what == INSIDE_ONLY ? roundoff_of(p->only->dtype) : 0x1p-22;
  return what == JUMPS_ONLY || k % 2 ? rounding : 0x1p-30;
}

static void measure(values *sum, const problem *p, const values *base, variant v, bool backward,
                    measured what) {
  const int runs = what == JUMPS_ONLY ? JUMPS : PERTURBED;
  cz_rand rand = {.state = p->seed ^ (uint64_t)p->index << 32};
  for (int i = 0; i < CZ_OP_OUT; i++) sum->out[i] = zeros(base->out[i], cz_numel(&p->out[i]));
  for (int i = 0; i < CZ_OP_IN; i++) sum->din[i] = zeros(base->din[i], cz_numel(&p->c.in[i]));
  for (int k = 0; k < runs; k++) {
    double delta = delta_of(p, what, k);
    problem q;
    problem_perturb(&q, p, &rand, what == INSIDE_ONLY ? 0 : delta);
    q.shaken = delta, q.shake_narrow = what == INSIDE_ONLY;
    const bool changed = add_changed(sum, &q, base, v, backward, delta);
    problem_free(&q);
    if (what == INSIDE_ONLY && !changed) break; /* nor would the other runs */
  }
  for (int i = 0; i < CZ_OP_OUT; i++) means(sum->out[i], cz_numel(&p->out[i]), runs);
  for (int i = 0; i < CZ_OP_IN; i++) means(sum->din[i], cz_numel(&p->c.in[i]), runs);
}

static void measure_both(sensitivities *s, const problem *p, variant v, bool backward,
                         measured all) {
  *s = (sensitivities){0};
  run r;
  values base;
  if (run_either(&r, p, v, backward)) {
    run_values(&base, &r);
    measure(&s->all, p, &base, v, backward, all);
    if (p->only) measure(&s->inside, p, &base, v, backward, INSIDE_ONLY);
    values_free(&base);
  }
  run_free(&r);
}

/** Sensitivity of every output and gradient of the problem in variant V, on ref. The
 * caller frees S. */
void sensitivity(sensitivities *s, const problem *p, variant v, bool backward) {
  measure_both(s, p, v, backward, ALL);
}

/** Sensitivity of every output of the plain forward pass to changes of a rounding's size, by runs
 * enough to cross every jump that such a change can cross. */
void sensitivity_to_jumps(sensitivities *s, const problem *p) {
  measure_both(s, p, plain(p), false, JUMPS_ONLY);
}

/** Releases them. */
void sensitivities_free(sensitivities *s) { values_free(&s->all), values_free(&s->inside); }

/* Rounding of ref's own gradients. */
static double grain_of(const problem *p) { return 0x1p-51 * p->largest_in * p->largest_dout; }

/* Of a result whose dtype on the target is DTYPE, and whose computation is float32's with roundings
 * to the target's dtype inside. */
static bound bound_of(const problem *p, const target *on, cz_dtype dtype) {
  const double wide = roundoff_of(cz_statistic_dtype(on->dtype));
  bound b = {.constant = p->row->error_constant * wide};
  if (!has_16_bits(on)) return b;
  const double own = roundoff_of(on->dtype);
  b.least = least_of(p, dtype), b.ends = dtype == CZ_F16;
  b.rounding = dtype == on->dtype ? own : 0;
  b.inside = INSIDE * own;
  return b;
}

/** The bound of an output that a target computes. */
bound bound_of_output(const problem *p, const target *on, int output) {
  if (p->out[output].dtype == CZ_I32) return (bound){0};
  if (on == ref) return (bound){.constant = EXACT};
  bound b = bound_of(p, on, output_dtype(p, on, output));
  b.anything = p->overflows && made_of_rounded(p, output);
  return b;
}

/** The bound of an input's gradient that a target computes. */
bound bound_of_gradient(const problem *p, const target *on, int input) {
  if (on == ref) return (bound){.constant = EXACT, .grain = grain_of(p)};
  bound b = bound_of(p, on, gradient_dtype(p, on, input));
  b.grain = grain_of(p);
  b.anything = p->overflows;
  return b;
}

/** The limit of element I by B; INSIDE may be null. */
double limit_of(const bound *b, double want, double sens, const double *inside, int64_t i) {
  return b->rounding * fmax(fabs(want), b->least) + b->constant * (fabs(want) + sens) +
         (inside ? b->inside * inside[i] : 0) + b->grain;
}

/** True when GOT stands for WANT within LIMIT: it is that near, or it is infinite where float16
 * ends, or not finite where what it is made of is. LIMIT has the last rounding, which can take no
 * number from below 65520 to infinity. */
bool may_be(const bound *b, double got, double want, double limit) {
  if (fabs(got - want) <= limit) return true; /* false for a NaN in GOT */
  if (isfinite(got) || !isfinite(want)) return false;
  if (b->anything) return true;
  const double before = limit - b->rounding * fmax(fabs(want), b->least);
  return b->ends && isinf(got) && (got > 0 ? want : -want) + before >= CZ_F16_INFINITE;
}

/** Compares GOT with WANT element by element; the limit is that of B (its grain: what ref itself
 * may be off by where large terms cancel whatever the inputs are), plus what underflow may lose.
 * INSIDE may be null. NaN never passes, an infinity equals itself. */
bool compare(const problem *p, const char *check, const char *tensor, const cz_arg *shape,
             const double *got, const double *want, const double *sens, const double *inside,
             bound b) {
  int64_t n = cz_numel(shape), bad = 0, first = 0;
  double worst = 0;
  for (int64_t i = 0; i < n; i++) {
    if (got[i] == want[i]) continue;
    double limit = limit_of(&b, want[i], sens[i], inside, i) + UNDERFLOW,
           error = fabs(got[i] - want[i]);
    /* the last rounding apart, which takes all of its share now and then */
    const double last = b.rounding * fmax(fabs(want[i]), b.least);
    if (isfinite(want[i]) && isfinite(got[i])) worst = fmax(worst, (error - last) / (limit - last));
    if (isfinite(want[i]) && may_be(&b, got[i], want[i], limit)) continue;
    if (bad++ == 0) first = i;
  }
  if (worst > now.worst) {
    now.worst = worst;
    snprintf(now.where, sizeof now.where, "%s %s, %.100s", check, tensor, p->c.what);
  }
  if (!bad) return true;
  double limit = limit_of(&b, want[first], sens[first], inside, first);
  fail_case(p,
            "%s: %s[%lld of %lld] is %.9g, should be %.9g, off by %.3g with limit %.3g; %lld "
            "elements are wrong",
            check, tensor, (long long)first, (long long)n, got[first], want[first],
            fabs(got[first] - want[first]), limit, (long long)bad);
  return false;
}
