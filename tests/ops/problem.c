/* Problems: a case, the shapes of its outputs, and random gradients. */
#include "ops_test.h"
#include "kernels/common/half.h"
#include "kernels/common/shape.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

tally now;
double fault_factor = 1;

/** Half the distance from 1 to the next number: a float32 has 24 bits, a bfloat16 8, a float16
 * 11. */
double roundoff_of(cz_dtype dtype) {
  return dtype == CZ_F64    ? 0x1p-53
         : dtype == CZ_F32  ? 0x1p-24
         : dtype == CZ_BF16 ? 0x1p-8
                            : 0x1p-11;
}

/** The dtype that an input of P has on a target. */
cz_dtype input_dtype(const problem *p, const target *on, int input) {
  if (p->c.in[input].dtype == CZ_I32) return CZ_I32;
  return p->only == on ? p->in_on[input] : on->dtype;
}

/** The dtype that an input's gradient has there. */
cz_dtype gradient_dtype(const problem *p, const target *on, int input) {
  cz_dtype own = input_dtype(p, on, input);
  return p->row->weights >> input & 1 ? cz_statistic_dtype(own) : own;
}

/** The dtype that an output has there. */
cz_dtype output_dtype(const problem *p, const target *on, int output) {
  if (p->out[output].dtype == CZ_I32) return CZ_I32;
  return p->only == on ? p->out_on[output] : on->dtype;
}

enum { MESSAGES = 12 }; /* shown per op; the rest is counted */

static const char *op_name(const problem *p) { return p->row->name; }

/** Reports a failure of the case with everything that is needed to run it again. */
void fail_case(const problem *p, const char *format, ...) {
  if (++now.failures > MESSAGES) return;
  char text[512];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  fprintf(stderr, "FAILED %s, CZ_TEST_SEED=%llu CZ_TEST_INDEX=%d (%s): %s\n", op_name(p),
          (unsigned long long)p->seed, p->index, p->c.what, text);
}

static double *random_reals(cz_rand *r, int64_t n) {
  double *x = calloc((size_t)n + 1, sizeof *x);
  if (!x) abort(); /* a test machine without memory */
  for (int64_t i = 0; i < n; i++) x[i] = (float)cz_rand_normal(r);
  return x;
}

static double *copy_reals(const double *x, int64_t n) {
  double *y = calloc((size_t)n + 1, sizeof *y);
  if (!y) abort();
  if (x && n) memcpy(y, x, (size_t)n * sizeof *y);
  return y;
}

static double largest(double most, const double *x, int64_t n) {
  for (int64_t i = 0; i < n; i++) most = fabs(x[i]) > most ? fabs(x[i]) : most;
  return most;
}

static void measure_sizes(problem *p) {
  double in = 1, dout = 0;
  for (int i = 0; i < p->row->n_in; i++) {
    if (cz_present(&p->c.in[i]) && p->c.in[i].dtype == CZ_F64)
      in = largest(in, p->c.in[i].data, cz_numel(&p->c.in[i]));
  }
  for (int i = 0; i < p->row->n_out; i++) {
    if (p->dout[i]) dout = largest(dout, p->dout[i], cz_numel(&p->out[i]));
  }
  p->largest_in = in, p->largest_dout = dout;
}

/** True when the input is there and the row promises a gradient for it. */
bool problem_yields(const problem *p, int input) {
  return (p->row->grad >> input & 1) && cz_present(&p->c.in[input]);
}

/** Outputs at which a gradient can arrive. */
uint32_t problem_douts(const problem *p) {
  uint32_t mask = 0;
  for (int i = 0; i < p->row->n_out; i++) mask |= (uint32_t)(p->dout[i] != NULL) << i;
  return mask;
}

/** Case INDEX of OP under SEED: sampled, accepted by the shape rule, with random
 * gradients. False when the rule refuses it, which is a failure. */
bool problem_make(problem *p, cz_op op, uint64_t seed, int index) {
  const cz_op_row *row = cz_op_rows[op];
  cz_rand r = {.state = seed};
  for (const char *s = row->name; *s; s++) r.state = cz_rand_u64(&r) ^ (uint64_t)(unsigned char)*s;
  r.state += (uint64_t)index * 0x100000001b3ULL;
  *p = (problem){.op = op, .row = row, .seed = seed, .index = index};
  cz_op_case_table[op]->sample(&p->c, &r, index);
  p->key = (cz_key){.seed = cz_rand_u64(&r),
                    .step = (uint32_t)cz_rand_u64(&r),
                    .shard = (uint32_t)cz_rand_u64(&r),
                    .op = (uint32_t)cz_rand_u64(&r)};
  char why[256] = "";
  if (!row->shape(p->out, p->c.in, p->c.attr, why, sizeof why)) {
    fail_case(p, "the shape rule refuses a legal case: %s", why);
    return false;
  }
  for (int i = 0; i < row->n_in; i++) {
    now.present |= (uint32_t)cz_present(&p->c.in[i]) << i;
    now.absent |= (uint32_t)!cz_present(&p->c.in[i]) << i;
    if (problem_yields(p, i)) p->before[i] = random_reals(&r, cz_numel(&p->c.in[i]));
  }
  for (int i = 0; i < row->n_out; i++) {
    bool arrives = !row->not_differentiable && cz_present(&p->out[i]) &&
                   p->out[i].dtype != CZ_I32 && !(row->out_saved >> i & 1);
    if (arrives) p->dout[i] = random_reals(&r, cz_numel(&p->out[i]));
  }
  measure_sizes(p);
  return true;
}

/** True when forward makes its other outputs of one that it has rounded, as what is made again of
 * it has to have the same bits. */
bool made_of_rounded(const problem *p, int output) {
  bool any = false;
  for (int k = 0; k < p->row->n_in && p->only && p->row->recompute; k++) {
    int from = p->row->recompute_in[k] - 1;
    if (from == output) return false;
    any |= from >= 0 && cz_present(&p->out[from]) && p->out_on[from] == p->only->dtype;
  }
  return any;
}

/* An input in 16 bits is optional in ops that compute in more, as the copies of parameters are. */
static bool may_have_none(const problem *p) {
  bool absent = false;
  for (int i = 0; i < p->row->n_in; i++) absent |= !cz_present(&p->c.in[i]);
  return absent && p->row->not_differentiable;
}

/* One of the ways in which the row mixes dtypes in a call of the target's, another one for the
 * next case. */
static bool choose_dtypes(problem *q, const target *on) {
  const uint64_t which = (uint64_t)q->index + q->seed;
  cz_call call = {0};
  char why[256] = "";
  if (!cz_case_dtypes(&call, &q->c, q->row, on->dtype, which, why, sizeof why)) {
    if (!may_have_none(q))
      fail_case(q, "the shape rule refuses inputs in %s: %s", cz_dtype_names[on->dtype], why);
    return false;
  }
  now.narrow[target_number(on)]++;
  for (int i = 0; i < CZ_OP_IN; i++) q->in_on[i] = call.in[i].dtype;
  for (int i = 0; i < CZ_OP_OUT; i++) q->out_on[i] = call.out[i].dtype;
  return true;
}

/* float16 ends at 65504. An array with a larger number is halved as often as it needs, all of it,
 * so that the proportions stay and the case is as legal as before. */
static double fitting(const double *x, int64_t n, cz_dtype dtype) {
  const double most = largest(0, x, n);
  double factor = 1;
  while (dtype == CZ_F16 && isfinite(most) && most * factor > CZ_F16_LARGEST) factor /= 2;
  return factor;
}

static double *round_reals(const double *x, int64_t n, cz_dtype dtype) {
  double *y = copy_reals(x, n), factor = fitting(x, n, dtype);
  for (int64_t i = 0; i < n; i++) y[i] = rounded(factor * y[i], dtype);
  return y;
}

/* True when forward leaves a number that float16 may not hold. Backward then reads an infinity
 * where ref reads a number. */
static bool overflows(const problem *p) {
  double most = 0;
  run r;
  values y;
  if (p->only->dtype == CZ_F16 && run_forward(&r, p, ref, plain(p))) {
    run_values(&y, &r);
    for (int i = 0; i < p->row->n_out; i++)
      if (y.out[i] && p->out_on[i] == CZ_F16) most = largest(most, y.out[i], cz_numel(&p->out[i]));
    values_free(&y);
  }
  if (p->only->dtype == CZ_F16) run_free(&r);
  now.overflowing += most > 0.9 * CZ_F16_LARGEST;
  return most > 0.9 * CZ_F16_LARGEST;
}

/** Q is P for a target in 16 bits alone: every number is what the target's arrays can hold. False
 * when the row takes no such call, which is a failure unless an optional input of the case is
 * absent that alone could be short. The caller frees Q. */
bool problem_narrow(problem *q, const problem *p, const target *on) {
  *q = *p;
  q->only = on;
  bool good = choose_dtypes(q, on);
  for (int i = 0; i < p->row->n_in; i++) {
    const cz_arg *a = &p->c.in[i];
    int64_t n = cz_numel(a);
    if (!cz_present(a)) continue;
    if (a->dtype == CZ_I32)
      q->c.in[i].data = memcpy(calloc((size_t)n + 1, 4), a->data, (size_t)n * 4);
    else
      q->c.in[i].data = round_reals(a->data, n, input_dtype(q, on, i));
    if (p->before[i]) q->before[i] = round_reals(p->before[i], n, gradient_dtype(q, on, i));
  }
  for (int i = 0; i < p->row->n_out; i++)
    if (p->dout[i]) q->dout[i] = round_reals(p->dout[i], cz_numel(&p->out[i]), q->out_on[i]);
  measure_sizes(q);
  if (good) q->overflows = overflows(q);
  return good;
}

/** The size below which numbers of P that have DTYPE on its target are rounded to steps of one
 * width: float16's smallest normal number, whose roundings the cases reach; else 0. */
double least_of(const problem *p, cz_dtype dtype) {
  return p->only && p->only->dtype == CZ_F16 && dtype == CZ_F16 ? CZ_F16_LEAST : 0;
}

/** Changes each number at random, relative deviation DELTA, of one below LEAST as if it were that,
 * but not of 0. Uniform, not +-DELTA: where two large terms cancel, two draws of one sign would
 * cancel too, and eight times in a row once in 256 elements. */
void perturb(double *x, int64_t n, cz_rand *r, double delta, double least) {
  double most =
      delta * 1.7320508075688772; /* a uniform number's deviation is its range / sqrt(12) */
  for (int64_t i = 0; i < n; i++) {
    const double d = cz_rand_real(r, -most, most);
    if (x[i] != 0 && fabs(x[i]) < least)
      x[i] += d * least;
    else
      x[i] *= 1 + d;
  }
}

/** Q is P with every real number that a kernel reads (inputs, gradients, what is added
 * to) changed at random, relative deviation DELTA. */
void problem_perturb(problem *q, const problem *p, cz_rand *r, double delta) {
  *q = *p;
  q->shaken = delta, q->shake_seed = cz_rand_u64(r);
  for (int i = 0; i < p->row->n_in; i++) {
    const cz_arg *a = &p->c.in[i];
    int64_t n = cz_numel(a);
    if (!cz_present(a)) continue;
    if (a->dtype == CZ_I32) {
      q->c.in[i].data = memcpy(calloc((size_t)n + 1, 4), a->data, (size_t)n * 4);
      continue;
    }
    q->c.in[i].data = copy_reals(a->data, n);
    perturb(q->c.in[i].data, n, r, delta, 0);
    if (!p->before[i]) continue;
    q->before[i] = copy_reals(p->before[i], n);
    perturb(q->before[i], n, r, delta, 0);
  }
  for (int i = 0; i < p->row->n_out; i++) {
    if (!p->dout[i]) continue;
    q->dout[i] = copy_reals(p->dout[i], cz_numel(&p->out[i]));
    perturb(q->dout[i], cz_numel(&p->out[i]), r, delta, 0);
  }
}

/** Releases the problem. */
void problem_free(problem *p) {
  cz_case_free(&p->c);
  for (int i = 0; i < CZ_OP_OUT; i++) free(p->dout[i]);
  for (int i = 0; i < CZ_OP_IN; i++) free(p->before[i]);
  *p = (problem){0};
}
