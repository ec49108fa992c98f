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
 * In 16 bits a kernel reads arrays in 16 bits, whose numbers are exact here (problem_narrow),
 * computes in float32 and rounds what it writes, once: |want| u with u = 2^-8 for a bfloat16,
 * beside the limit of float32. What forward wrote for backward was rounded so as well: by at most
 * u, so 0.58 u in the root mean square, and the sensitivity to those arrays alone, estimated from
 * twelve runs, may be half of the truth; SAVED u is seven deviations then. The same holds for what
 * forward makes of an output that it has rounded. A row that rounds on the
 * way too (cz_rounds) has a looser one: its limit is float32's with u in the place of 2^-24.
 *
 * A float16 has u = 2^-11 and two ends. Below 2^-14 its numbers are 2^-24 apart, so one rounding is
 * off by up to u max(|want|, 2^-14), 2^-25 at least. The sensitivity to what forward left in
 * float16 is therefore that to changes of delta max(|x|, 2^-14), of all x but 0, which is exact.
 * Where a row rounds on the way, the sensitivity to its inputs in float16 is measured so too, since
 * what it rounds may be an input times a number near 1; and between products 2^-25 is lost beside
 * that, and then multiplied by an input (forward) or by an input and a gradient (backward), so that
 * the constant times 2^-25 x largest input x largest gradient comes on top. Above 65504 there is
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

enum { PERTURBED = 12, JUMPS = 24, SAVED = 8 };

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

/* Adds what problem Q, changed by DELTA, gives of the squares. */
static void add_changed(values *sum, const problem *q, const values *base, variant v, bool backward,
                        double delta) {
  run s;
  values y;
  if (run_either(&s, q, v, backward)) {
    run_values(&y, &s);
    for (int i = 0; i < CZ_OP_OUT; i++)
      accumulate(sum->out[i], y.out[i], base->out[i], sum->out[i] ? cz_numel(&q->out[i]) : 0,
                 delta);
    for (int i = 0; i < CZ_OP_IN; i++)
      accumulate(sum->din[i], y.din[i], base->din[i], sum->din[i] ? cz_numel(&q->c.in[i]) : 0,
                 delta);
    values_free(&y);
  }
  run_free(&s);
}

/* What is measured: all that a kernel reads, only what forward left in 16 bits, or jumps. */
typedef enum measured { ALL, SAVED_ONLY, JUMPS_ONLY } measured;

static double delta_of(const problem *p, measured what, int k) {
  const double rounding = p->only ? roundoff_of(p->only->dtype) : 0x1p-22;
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
    problem_perturb(&q, p, &rand, what == SAVED_ONLY ? 0 : delta);
    q.shaken = delta, q.shake_narrow = what == SAVED_ONLY;
    add_changed(sum, &q, base, v, backward, delta);
    problem_free(&q);
  }
  for (int i = 0; i < CZ_OP_OUT; i++) means(sum->out[i], cz_numel(&p->out[i]), runs);
  for (int i = 0; i < CZ_OP_IN; i++) means(sum->din[i], cz_numel(&p->c.in[i]), runs);
}

/** Sensitivity of every output and gradient of the problem in variant V, on ref. The
 * caller frees S. */
void sensitivity(sensitivities *s, const problem *p, variant v, bool backward) {
  *s = (sensitivities){0};
  run r;
  values base;
  if (run_either(&r, p, v, backward)) {
    run_values(&base, &r);
    measure(&s->all, p, &base, v, backward, ALL);
    if (p->only && backward && !p->row->fused_backward)
      measure(&s->saved, p, &base, v, backward, SAVED_ONLY);
    values_free(&base);
  }
  run_free(&r);
}

/** Sensitivity of every output of the plain forward pass to changes of a rounding's size, by runs
 * enough to cross every jump that such a change can cross. */
void sensitivity_to_jumps(sensitivities *s, const problem *p) {
  *s = (sensitivities){0};
  run r;
  values base;
  if (run_forward(&r, p, ref, plain(p))) {
    run_values(&base, &r);
    measure(&s->all, p, &base, plain(p), false, JUMPS_ONLY);
    values_free(&base);
  }
  run_free(&r);
}

/** Releases them. */
void sensitivities_free(sensitivities *s) { values_free(&s->all), values_free(&s->saved); }

/* Rounding of ref's own gradients. */
static double grain_of(const problem *p) { return 0x1p-51 * p->largest_in * p->largest_dout; }

/* Of a result whose dtype is DTYPE on the target and that is multiplied by SIZE after a rounding on
 * the way. */
static bound narrow_bound(const problem *p, const target *on, cz_dtype dtype, double size) {
  const double own = roundoff_of(on->dtype), wide = roundoff_of(cz_statistic_dtype(on->dtype));
  const bool inside = p->row->rounds == CZ_ROUNDS_PRODUCTS ||
                      (p->row->rounds == CZ_ROUNDS_DROPOUT && p->c.training);
  bound b = {.least = least_of(p, dtype), .ends = dtype == CZ_F16};
  b.constant = p->row->error_constant * (inside ? own : wide);
  if (inside && p->row->rounds == CZ_ROUNDS_PRODUCTS)
    b.grain = b.constant * least_of(p, on->dtype) * size;
  if (!inside || dtype == CZ_F16) b.rounding = dtype == on->dtype ? own : 0;
  if (!inside) b.saved = SAVED * own;
  return b;
}

/** The bound of an output that a target computes. */
bound bound_of_output(const problem *p, const target *on, int output) {
  if (p->out[output].dtype == CZ_I32) return (bound){0};
  if (on == ref) return (bound){.constant = EXACT};
  if (!has_16_bits(on)) return (bound){.constant = p->row->error_constant * roundoff_of(on->dtype)};
  bound b = narrow_bound(p, on, output_dtype(p, on, output), p->largest_in);
  if (!made_of_rounded(p, output)) return b;
  b.constant = SAVED * roundoff_of(on->dtype);
  b.anything = p->overflows;
  if (on->dtype != CZ_F16) b.rounding = 0;
  b.saved = 0;
  return b;
}

/** The bound of an input's gradient that a target computes. */
bound bound_of_gradient(const problem *p, const target *on, int input) {
  if (on == ref) return (bound){.constant = EXACT, .grain = grain_of(p)};
  bound b = {.constant = p->row->error_constant * roundoff_of(on->dtype)};
  if (has_16_bits(on))
    b = narrow_bound(p, on, gradient_dtype(p, on, input), p->largest_in * p->largest_dout);
  b.grain += grain_of(p);
  b.anything = p->overflows;
  return b;
}

/** The limit of element I by B; SAVED may be null. */
double limit_of(const bound *b, double want, double sens, const double *saved, int64_t i) {
  return b->rounding * fmax(fabs(want), b->least) + b->constant * (fabs(want) + sens) +
         (saved ? b->saved * saved[i] : 0) + b->grain;
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
 * SAVED may be null. NaN never passes, an infinity equals itself. */
bool compare(const problem *p, const char *check, const char *tensor, const cz_arg *shape,
             const double *got, const double *want, const double *sens, const double *saved,
             bound b) {
  int64_t n = cz_numel(shape), bad = 0, first = 0;
  double worst = 0;
  for (int64_t i = 0; i < n; i++) {
    if (got[i] == want[i]) continue;
    double limit = limit_of(&b, want[i], sens[i], saved, i) + UNDERFLOW,
           error = fabs(got[i] - want[i]);
    if (isfinite(want[i]) && isfinite(got[i]) && error / limit > worst) worst = error / limit;
    if (isfinite(want[i]) && may_be(&b, got[i], want[i], limit)) continue;
    if (bad++ == 0) first = i;
  }
  if (worst > now.worst) {
    now.worst = worst;
    snprintf(now.where, sizeof now.where, "%s %s, %.100s", check, tensor, p->c.what);
  }
  if (!bad) return true;
  double limit = limit_of(&b, want[first], sens[first], saved, first);
  fail_case(p,
            "%s: %s[%lld of %lld] is %.9g, should be %.9g, off by %.3g with limit %.3g; %lld "
            "elements are wrong",
            check, tensor, (long long)first, (long long)n, got[first], want[first],
            fabs(got[first] - want[first]), limit, (long long)bad);
  return false;
}
