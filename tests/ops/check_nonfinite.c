/* Numbers that are not finite: a NaN or an infinity in any real input, or in a gradient that
 * arrives, must be seen in everything that depends on it. No kernel may take it for something
 * else: for a masked key, for the smaller of two numbers, for an unlikely word.
 *
 * What depends on an element is measured: the reference runs with the element as it is and with
 * other finite values in its place, and what differs in a bit depends on it. */
#include "ops_test.h"
#include "kernels/common/half.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAXIMUM_ELEMENTS = 40000, MAXIMUM_ROWS = 1000 /* of emulated threads */, TRIES = 2 };

/* Overflow in float32, exact and harmless in float64; a float16 input as large as it can be. */
static double huge_factor(const problem *p, int input) {
  const double *x = p->c.in[input].data;
  double most = 0x1p-24, factor = 0x1p70;
  if (!p->only || p->in_on[input] != CZ_F16) return factor;
  for (int64_t i = 0; i < cz_numel(&p->c.in[input]); i++) most = fmax(most, fabs(x[i]));
  while (factor * most > CZ_F16_LARGEST) factor /= 2;
  return factor;
}

/* Where the element is: in input `input`, or in the gradient of output `input` - CZ_OP_IN. */
typedef struct place {
  int array;
  int64_t at;
} place;

static double *array_of(problem *p, int array) {
  return array < CZ_OP_IN ? p->c.in[array].data : p->dout[array - CZ_OP_IN];
}

static const char *name_of(const problem *p, int array) {
  return array < CZ_OP_IN ? p->row->in_name[array] : p->row->out_name[array - CZ_OP_IN];
}

static void evaluate(values *v, const problem *p, const target *on, bool backward) {
  run r;
  *v = (values){0};
  if (backward ? run_backward(&r, p, on, plain(p)) : run_forward(&r, p, on, plain(p)))
    run_values(v, &r);
  run_free(&r);
}

/* The values of P with VALUE in the place; P is restored. */
static void evaluate_with(values *v, problem *p, const place *where, double value, const target *on,
                          bool backward) {
  double *x = array_of(p, where->array), kept = x[where->at];
  x[where->at] = value;
  evaluate(v, p, on, backward);
  x[where->at] = kept;
}

static bool differs(double a, double b) { return memcmp(&a, &b, sizeof a) != 0; }

typedef struct trial {
  const problem *p;
  const place *where;
  const target *on;
  const char *planted, *pass;
  const sensitivities *sens; /* of the problem; null in float32 */
  bool reports;              /* what is not right */
} trial;

/* One array of results: what it is, and its limits in 16 bits. */
typedef struct tensor {
  const char *name;
  int64_t n;
  const double *sens, *inside; /* null in float32 */
  bound b;
} tensor;

/* One array of results. NaN planted: NaN wherever it depends. Infinity planted: where the
 * reference is not finite, neither is the target; where it is finite, the infinity has no weight,
 * and the target says the same or NaN (compared in smooth cases, where float32 is near float64 and
 * a shorter dtype within the element's limit: a norm of two numbers that nearly agree makes much of
 * their rounding). */
static bool right(const trial *t, const tensor *x, int64_t i, double base, double moved,
                  double want, double got, double size) {
  if (!strcmp(t->planted, "NaN")) return !differs(base, moved) || isnan(got);
  if (!isfinite(want)) return !isfinite(got);
  double near = 1e-3 * size;
  if (x->sens) near = fmax(near, limit_of(&x->b, want, x->sens[i], x->inside, i));
  return !t->p->c.smooth || isnan(got) || may_be(&x->b, got, want, near + 0x1p-100);
}

static bool look(const trial *t, const tensor *x, const double *base, const double *moved,
                 const double *want, const double *got) {
  double size = 0;
  for (int64_t i = 0; i < x->n; i++) size = isfinite(want[i]) ? fmax(size, fabs(want[i])) : size;
  for (int64_t i = 0; i < x->n; i++) {
    if (right(t, x, i, base[i], moved[i], want[i], got[i], size)) continue;
    if (!t->reports) return false;
    fail_case(t->p, "%s %s: %s in %s%s[%lld] leaves %s[%lld] %g (ref %g)", t->on->name, t->pass,
              t->planted, t->where->array < CZ_OP_IN ? "" : "the gradient of ",
              name_of(t->p, t->where->array), (long long)t->where->at, x->name, (long long)i,
              got[i], want[i]);
    return false;
  }
  return true;
}

static bool look_at_all(const trial *t, const values *base, const values *moved, const values *want,
                        const values *got) {
  const problem *p = t->p;
  bool good = true;
  const values *sens = t->sens ? &t->sens->all : NULL, *inside = t->sens ? &t->sens->inside : NULL;
  for (int o = 0; o < p->row->n_out; o++) {
    if (!base->out[o] || !got->out[o]) continue;
    tensor x = {p->row->out_name[o], cz_numel(&p->out[o]), sens ? sens->out[o] : NULL,
                inside ? inside->out[o] : NULL, bound_of_output(p, t->on, o)};
    good &= look(t, &x, base->out[o], moved->out[o], want->out[o], got->out[o]);
  }
  for (int i = 0; i < p->row->n_in; i++) {
    if (!base->din[i] || !got->din[i]) continue;
    tensor x = {p->row->in_name[i], cz_numel(&p->c.in[i]), sens ? sens->din[i] : NULL,
                inside ? inside->din[i] : NULL, bound_of_gradient(p, t->on, i)};
    good &= look(t, &x, base->din[i], moved->din[i], want->din[i], got->din[i]);
  }
  return good;
}

/* Where a key with an infinity loses its weight, others get it and are roundings too: the limits of
 * the problem as it was may be too narrow then. Those with what is planted take as many runs again,
 * for the few that need them. */
static void look_closer(trial *t, problem *p, double value, bool backward, const values *base,
                        const values *moved, const values *want, const values *got) {
  double *at = array_of(p, t->where->array) + t->where->at, kept = *at;
  sensitivities sens;
  *at = value;
  sensitivity(&sens, p, plain(p), backward);
  *at = kept;
  t->sens = &sens, t->reports = true;
  look_at_all(t, base, moved, want, got);
  sensitivities_free(&sens);
}

static void check_place(problem *p, const place *where, const values *base,
                        const sensitivities *sens, bool backward) {
  static const struct {
    const char *name;
    double value;
  } planted[] = {{"NaN", NAN}, {"infinity", INFINITY}, {"-infinity", -INFINITY}};
  double x = array_of(p, where->array)[where->at];
  values moved;
  evaluate_with(&moved, p, where, 1.25 * x + 0.5, ref, backward);
  for (size_t k = 0; k < sizeof planted / sizeof *planted; k++) {
    values want;
    evaluate_with(&want, p, where, planted[k].value, ref, backward);
    for (const target *on = p->only ? p->only : ref; on; on = next_target(on, p)) {
      trial t = {p, where, on, planted[k].name, backward ? "backward" : "forward", sens, !sens};
      values got;
      evaluate_with(&got, p, where, planted[k].value, on, backward);
      if (!look_at_all(&t, base, &moved, &want, &got) && sens)
        look_closer(&t, p, planted[k].value, backward, base, &moved, &want, &got);
      values_free(&got);
    }
    values_free(&want);
  }
  values_free(&moved);
}

/* Finite values of GOT are near the reference: 1e-3 of the largest, since overflow is looked for
 * and not rounding, and the row's limit where the function is sensitive (a softmax over large
 * scores that nearly tie). */
static void compare_overflown(const problem *q, const target *on, int input, const values *want,
                              values *got, const sensitivities *sens) {
  char label[64];
  snprintf(label, sizeof label, "%s forward, %s as large as can be", on->name,
           q->row->in_name[input]);
  for (int o = 0; o < q->row->n_out; o++) {
    double *g = got->out[o], *w = want->out[o], size = 0;
    int64_t n = g && w ? cz_numel(&q->out[o]) : 0;
    for (int64_t i = 0; i < n; i++) {
      size = fmax(size, fabs(w[i]));
      if (!isfinite(g[i])) g[i] = w[i];
    }
    bound b = bound_of_output(q, on, o);
    b.grain = fmax(1e-3, 2 * b.rounding) * size;
    if (n && !compare(q, label, q->row->out_name[o], &q->out[o], g, w, sens->all.out[o],
                      sens->inside.out[o], b))
      return;
  }
}

/* A whole input times 2^70, or as much as its dtype takes: what overflows on the way comes out as
 * NaN or infinity, or does not matter. Optimizers keep squares of gradients and are left out: the
 * trainer looks at the norm of all gradients first, which is infinite then. */
static void check_overflow(const problem *p, int input) {
  problem q = *p;
  int64_t n = cz_numel(&p->c.in[input]);
  double *x = calloc((size_t)n + 1, sizeof *x);
  if (!x) abort(); /* a test machine without memory */
  const double factor = huge_factor(p, input);
  for (int64_t i = 0; i < n; i++) x[i] = factor * ((double *)p->c.in[input].data)[i];
  q.c.in[input].data = x;
  values want, got;
  sensitivities sens;
  evaluate(&want, &q, ref, false);
  sensitivity_to_jumps(&sens, &q);
  for (const target *on = next_target(ref, p); on; on = next_target(on, p)) {
    evaluate(&got, &q, on, false);
    compare_overflown(&q, on, input, &want, &got, &sens);
    values_free(&got);
  }
  values_free(&want), sensitivities_free(&sens);
  free(x);
}

static bool is_real_input(const problem *p, int i) {
  return cz_present(&p->c.in[i]) && p->c.in[i].dtype == CZ_F64;
}

static void check_pass(problem *p, cz_rand *rand, bool backward) {
  values base;
  sensitivities sens = {0};
  const bool narrow = p->only && p->c.smooth;
  evaluate(&base, p, ref, backward);
  if (narrow) sensitivity(&sens, p, plain(p), backward);
  for (int array = 0; array < CZ_OP_IN + (backward ? p->row->n_out : 0); array++) {
    bool gradient = array >= CZ_OP_IN;
    if (gradient ? !p->dout[array - CZ_OP_IN] : array >= p->row->n_in || !is_real_input(p, array))
      continue;
    int64_t n = cz_numel(gradient ? &p->out[array - CZ_OP_IN] : &p->c.in[array]);
    for (int k = 0; k < TRIES && n > 0; k++)
      check_place(p, &(place){array, cz_rand_int(rand, 0, n - 1)}, &base, narrow ? &sens : NULL,
                  backward);
  }
  values_free(&base), sensitivities_free(&sens);
}

/* A case has dozens of elements planted, each of which is a call: where threads are emulated, one
 * of thousands of rows would take longer than all others, and shows nothing that fewer rows hide.
 */
static bool too_large(const problem *p) {
  const target *first = target_at(1);
  const bool emulated = first && first->reads_clock && first->device->host_memory;
  int64_t elements = 0;
  for (int i = 0; i < p->row->n_in; i++) elements += cz_numel(&p->c.in[i]);
  return elements > MAXIMUM_ELEMENTS || (emulated && p->c.in[0].dim[0] > MAXIMUM_ROWS);
}

/** No NaN and no infinity is lost, forward or backward, on any target; nothing overflows in
 * silence. */
void check_nonfinite(const problem *p) {
  problem q = *p; /* elements are changed in place and restored */
  cz_rand rand = {.state = p->seed ^ (uint64_t)p->index << 16 ^ 0x5eed};
  if (too_large(p)) return;
  check_pass(&q, &rand, false);
  if (!p->row->not_differentiable) check_pass(&q, &rand, true);
  for (int i = 0; i < p->row->n_in && !p->row->side_effect; i++)
    if (is_real_input(p, i)) check_overflow(p, i);
}
