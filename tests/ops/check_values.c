/* Values: the kernels of every target against ref, forward and backward, in every gradient mode
 * and with gradients missing. */
#include "ops_test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where a number is not 0 and changes by no more than 16 times as much as what it is made of, a
 * fault of the size of several roundings can be told from them. */
static bool well_conditioned(const double *want, const double *sens, const cz_arg *shape) {
  for (int64_t i = 0; i < cz_numel(shape); i++)
    if (want[i] != 0 && isfinite(want[i]) && sens[i] <= 16 * fabs(want[i])) return true;
  return false;
}

/* Results that are wrong, as bits: outputs first, gradients from CZ_OP_OUT on. */
static uint32_t compare_outputs(const problem *p, const char *check, const target *on,
                                const values *got, const values *want, const sensitivities *sens) {
  uint32_t wrong = 0;
  for (int i = 0; i < p->row->n_out; i++) {
    if (!want->out[i] || !got->out[i]) continue;
    const bool right = compare(p, check, p->row->out_name[i], &p->out[i], got->out[i], want->out[i],
                               sens->all.out[i], sens->inside.out[i], bound_of_output(p, on, i));
    wrong |= (uint32_t)!right << i;
  }
  return wrong;
}

static uint32_t compare_gradients(const problem *p, const char *check, const target *on,
                                  const values *got, const values *want,
                                  const sensitivities *sens) {
  uint32_t wrong = 0;
  for (int i = 0; i < p->row->n_in; i++) {
    char name[64];
    snprintf(name, sizeof name, "d%s", p->row->in_name[i]);
    if (!got->din[i] || !want->din[i]) continue;
    const bool right = compare(p, check, name, &p->c.in[i], got->din[i], want->din[i],
                               sens->all.din[i], sens->inside.din[i], bound_of_gradient(p, on, i));
    wrong |= (uint32_t)!right << i;
  }
  return wrong << CZ_OP_OUT;
}

/* Results in WANT that are well conditioned, as bits. */
static uint32_t seen_in(const problem *p, const values *want, const sensitivities *sens) {
  uint32_t seen = 0;
  for (int i = 0; i < p->row->n_out; i++)
    if (want->out[i])
      seen |= (uint32_t)well_conditioned(want->out[i], sens->all.out[i], &p->out[i]) << i;
  for (int i = 0; i < p->row->n_in; i++)
    if (want->din[i])
      seen |= (uint32_t)well_conditioned(want->din[i], sens->all.din[i], &p->c.in[i])
              << (CZ_OP_OUT + i);
  return seen;
}

static void check_forward(const problem *p) {
  run r;
  values want = {0}, got = {0};
  sensitivities sens;
  sensitivity(&sens, p, plain(p), false);
  if (run_forward(&r, p, ref, plain(p))) run_values(&want, &r);
  run_free(&r);
  now.seen |= seen_in(p, &want, &sens);
  for (const target *on = next_target(ref, p); on; on = next_target(on, p)) {
    char label[64];
    if (run_forward(&r, p, on, plain(p))) run_values(&got, &r);
    run_free(&r);
    snprintf(label, sizeof label, "%s forward", on->name);
    now.wrong |= compare_outputs(p, label, on, &got, &want, &sens);
    values_free(&got);
  }
  values_free(&want), sensitivities_free(&sens);
}

/* What was there before is part of an ADDed result: WANT becomes before + want, and its
 * magnitude joins the sensitivity. */
static void add_before(const problem *p, variant v, const values *base,
                       const sensitivities *base_sens, values *want, sensitivities *sens) {
  *want = (values){0};
  *sens = (sensitivities){0};
  for (int i = 0; i < p->row->n_in; i++) {
    if (v.mode[i] == CZ_GRAD_SKIP || !base->din[i]) continue;
    int64_t n = cz_numel(&p->c.in[i]);
    want->din[i] = calloc((size_t)n + 1, sizeof(double));
    double *size = sens->all.din[i] = calloc((size_t)n + 1, sizeof(double));
    if (!want->din[i] || !size) abort(); /* a test machine without memory */
    for (int64_t j = 0; j < n; j++) {
      double before = v.mode[i] == CZ_GRAD_ADD ? p->before[i][j] : 0;
      want->din[i][j] = base->din[i][j] + before;
      size[j] = base_sens->all.din[i][j] + fabs(before) + fabs(base->din[i][j]);
    }
    sens->inside.din[i] = base_sens->inside.din[i]; /* borrowed */
  }
}

/* One combination of modes on all targets against the plain result. */
static void check_modes(const problem *p, variant v, const values *base,
                        const sensitivities *base_sens, const char *what) {
  char label[64];
  values want, got = {0};
  sensitivities sens;
  add_before(p, v, base, base_sens, &want, &sens);
  for (const target *on = ref; on; on = next_target(on, p)) {
    run r;
    if (run_backward(&r, p, on, v)) run_values(&got, &r);
    run_free(&r);
    snprintf(label, sizeof label, "%s backward, %s", on->name, what);
    compare_gradients(p, label, on, &got, &want, &sens);
    values_free(&got);
  }
  values_free(&want), values_free(&sens.all);
}

static bool same_gradients(const problem *p, int a, int b) {
  if (!problem_yields(p, a) || !problem_yields(p, b)) return false;
  const cz_arg *x = &p->c.in[a], *y = &p->c.in[b];
  if (!(p->row->twins >> a & p->row->twins >> b & 1)) return false;
  if (x->ndim != y->ndim || memcmp(x->dim, y->dim, sizeof x->dim)) return false;
  for (const target *on = next_target(ref, p); on; on = next_target(on, p))
    if (gradient_dtype(p, on, a) != gradient_dtype(p, on, b)) return false;
  return true;
}

/* The sum of two gradients and what it depends on: on the first one's rounding, too. */
static void add_joined(const problem *p, int first, int second, const values *base,
                       const sensitivities *of, values *want, sensitivities *sens) {
  const int64_t n = cz_numel(&p->c.in[second]);
  const double *a = base->din[first], *b = base->din[second],
               least = p->only ? least_of(p, gradient_dtype(p, p->only, first)) : 0;
  double *sum = want->din[second] = calloc((size_t)n + 1, sizeof(double)),
         *all = sens->all.din[second] = calloc((size_t)n + 1, sizeof(double)),
         *inside = sens->inside.din[second] = calloc((size_t)n + 1, sizeof(double));
  if (!sum || !all || !inside) abort(); /* a test machine without memory */
  for (int64_t i = 0; i < n; i++) {
    sum[i] = a[i] + b[i];
    all[i] = of->all.din[first][i] + of->all.din[second][i] + fabs(a[i]) + fabs(b[i]);
    inside[i] = fmax(fabs(a[i]), least) /
                INSIDE; /* one rounding of it, whatever limits grant in its place */
    for (int k = 0; of->inside.din[second] && k < 2; k++)
      inside[i] += of->inside.din[k ? first : second][i];
  }
}

/* Of an array that is two inputs: the gradient as the second is added to that as the first, which
 * the same call writes. */
static void check_joined(const problem *p, int first, int second, const values *base,
                         const sensitivities *base_sens) {
  values want = {0}, got = {0};
  sensitivities sens = {0};
  variant v = plain(p);
  v.mode[second] = CZ_GRAD_ADD, v.joins = second, v.joined = first;
  add_joined(p, first, second, base, base_sens, &want, &sens);
  for (const target *on = ref; on; on = next_target(on, p)) {
    char label[96];
    run r;
    if (run_backward(&r, p, on, v)) run_values(&got, &r);
    run_free(&r);
    snprintf(label, sizeof label, "%s backward, one array as %s and", on->name,
             p->row->in_name[first]);
    compare_gradients(p, label, on, &got, &want, &sens);
    values_free(&got);
  }
  values_free(&want), sensitivities_free(&sens);
}

static void check_all_joined(const problem *p, const values *base, const sensitivities *sens) {
  for (int second = 1; second < p->row->n_in; second++)
    for (int first = 0; first < second; first++)
      if (same_gradients(p, first, second)) check_joined(p, first, second, base, sens);
}

static void check_all_modes(const problem *p, const values *base, const sensitivities *sens) {
  variant added = plain(p), mixed = plain(p), alone = plain(p);
  cz_rand rand = {.state = p->seed + (uint64_t)p->index};
  for (int i = 0; i < p->row->n_in; i++) {
    if (!problem_yields(p, i)) continue;
    added.mode[i] = CZ_GRAD_ADD;
    mixed.mode[i] = (cz_grad_mode)cz_rand_int(&rand, CZ_GRAD_SKIP, CZ_GRAD_ADD);
  }
  check_modes(p, added, base, sens, "all added");
  check_modes(p, mixed, base, sens, "modes mixed");
  for (int i = 0; i < p->row->n_in; i++) alone.mode[i] = CZ_GRAD_SKIP;
  for (int i = 0; i < p->row->n_in; i++) {
    if (!problem_yields(p, i)) continue;
    alone.mode[i] = CZ_GRAD_WRITE;
    check_modes(p, alone, base, sens, "one gradient alone");
    alone.mode[i] = CZ_GRAD_SKIP;
  }
}

/* With gradients at the outputs of MASK only: ref equals ref with explicit zeros, the other
 * targets equal ref. */
static void check_arriving(const problem *p, uint32_t mask) {
  run r;
  values want = {0}, got = {0};
  sensitivities sens;
  variant v = plain(p), zeros;
  v.dout = mask;
  zeros = v, zeros.zero_dout = true;
  sensitivity(&sens, p, v, true);
  if (run_backward(&r, p, ref, v)) run_values(&want, &r);
  run_free(&r);
  if (run_backward(&r, p, ref, zeros)) run_values(&got, &r);
  run_free(&r);
  compare_gradients(p, "ref backward, absent gradient against zeros", ref, &got, &want, &sens);
  values_free(&got);
  bool all = mask == problem_douts(p);
  now.seen |= seen_in(p, &want, &sens);
  for (const target *on = next_target(ref, p); on; on = next_target(on, p)) {
    char label[64];
    if (run_backward(&r, p, on, v)) run_values(&got, &r);
    run_free(&r);
    snprintf(label, sizeof label, "%s backward%s", on->name, all ? "" : ", one gradient absent");
    now.wrong |= compare_gradients(p, label, on, &got, &want, &sens);
    snprintf(label, sizeof label, "%s outputs of backward", on->name);
    if (p->row->fused_backward) compare_outputs(p, label, on, &got, &want, &sens);
    values_free(&got);
  }
  if (all) check_all_modes(p, &want, &sens), check_all_joined(p, &want, &sens);
  values_free(&want), sensitivities_free(&sens);
}

/** Results of every target are within the row's limit of float64, whatever is asked for. */
void check_values(const problem *p) {
  check_forward(p);
  if (p->row->not_differentiable) return;
  uint32_t all = problem_douts(p);
  check_arriving(p, all);
  for (int i = 0; i < p->row->n_out; i++) {
    uint32_t mask = all & ~(1u << i);
    if (mask && mask != all) check_arriving(p, mask);
  }
}
