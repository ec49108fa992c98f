/* Problems: a case, the shapes of its outputs, and random gradients. */
#include "ops_test.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

tally now;

/* Where every op is tried. A further device or dtype is a further line. */
static target targets[] = {{.name = "ref", .dtype = CZ_F64, .roundoff = 0x1p-53},
                           {.name = "cpu", .dtype = CZ_F32, .roundoff = 0x1p-24}};
enum { TARGETS = sizeof targets / sizeof *targets };
const target *const ref = targets;

/** Opens the devices of all targets. */
void targets_open(void) {
  for (int i = 0; i < TARGETS; i++) {
    if (cz_device_open(&targets[i].device, targets[i].name) == CZ_OK &&
        targets[i].device->host_memory)
      continue;
    fprintf(stderr, "target %s: %s\n", targets[i].name,
            targets[i].device ? "its memory is not the host's" : cz_error_message());
    abort();
  }
}

/** Target I of the list; null behind the last. */
const target *target_at(int i) { return i < TARGETS ? &targets[i] : NULL; }

/** The target after ON that has kernels of OP; null behind the last. */
const target *next_target(const target *on, cz_op op) {
  for (on++; on < targets + TARGETS; on++) {
    const cz_kernels *k = kernels_of(on, op);
    if (k && k->forward) return on;
  }
  return NULL;
}

/** Closes them. */
void targets_close(void) {
  for (int i = 0; i < TARGETS; i++) cz_device_close(&targets[i].device);
}

/** The target's kernels of an op, or null. */
const cz_kernels *kernels_of(const target *on, cz_op op) {
  return on->device->kernels(on->device, op, on->dtype);
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

static void measure_grain(problem *p) {
  double in = 1, dout = 0;
  for (int i = 0; i < p->row->n_in; i++) {
    if (cz_present(&p->c.in[i]) && p->c.in[i].dtype == CZ_F64)
      in = largest(in, p->c.in[i].data, cz_numel(&p->c.in[i]));
  }
  for (int i = 0; i < p->row->n_out; i++) {
    if (p->dout[i]) dout = largest(dout, p->dout[i], cz_numel(&p->out[i]));
  }
  p->grain = 0x1p-51 * in * dout;
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
  measure_grain(p);
  return true;
}

/** Changes each number at random, relative deviation DELTA. Uniform, not +-DELTA: where
 * two large terms cancel, two draws of one sign would cancel too, and eight times in a
 * row once in 256 elements. */
void perturb(double *x, int64_t n, cz_rand *r, double delta) {
  double most =
      delta * 1.7320508075688772; /* a uniform number's deviation is its range / sqrt(12) */
  for (int64_t i = 0; i < n; i++) x[i] *= 1 + cz_rand_real(r, -most, most);
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
    perturb(q->c.in[i].data, n, r, delta);
    if (!p->before[i]) continue;
    q->before[i] = copy_reals(p->before[i], n);
    perturb(q->before[i], n, r, delta);
  }
  for (int i = 0; i < p->row->n_out; i++) {
    if (!p->dout[i]) continue;
    q->dout[i] = copy_reals(p->dout[i], cz_numel(&p->out[i]));
    perturb(q->dout[i], cz_numel(&p->out[i]), r, delta);
  }
}

/** Releases the problem. */
void problem_free(problem *p) {
  cz_case_free(&p->c);
  for (int i = 0; i < CZ_OP_OUT; i++) free(p->dout[i]);
  for (int i = 0; i < CZ_OP_IN; i++) free(p->before[i]);
  *p = (problem){0};
}
