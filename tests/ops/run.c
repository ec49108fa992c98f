/* Runs: one call of a kernel in guarded memory. */
#include "ops_test.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  GUARD = 128,
  GUARD_BYTE = 0xA5,
  POISON = 0xFF
}; /* 0xFF bytes are a NaN in every floating format */

static unsigned char *payload(const block *b) { return b->base + GUARD; }

static void block_make(block *b, size_t bytes) {
  *b = (block){.base = aligned_alloc(64, (bytes + 2 * GUARD + 63) / 64 * 64), .bytes = bytes};
  if (!b->base) abort(); /* a test machine without memory */
  memset(b->base, GUARD_BYTE, GUARD);
  memset(payload(b), POISON, bytes);
  memset(payload(b) + bytes, GUARD_BYTE, GUARD);
}

static bool guards_intact(const block *b) {
  for (size_t i = 0; b->base && i < GUARD; i++) {
    if (b->base[i] != GUARD_BYTE || payload(b)[b->bytes + i] != GUARD_BYTE) return false;
  }
  return true;
}

static size_t arg_bytes(const cz_arg *a) { return (size_t)cz_numel(a) * cz_dtype_bytes(a->dtype); }

/* The upper half of a float32, rounded to nearest, ties to even; a NaN stays one. */
static uint16_t to_bf16(double x) {
  float y = (float)x;
  uint32_t bits;
  memcpy(&bits, &y, sizeof bits);
  if (x != x) return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static double from_bf16(uint16_t x) {
  uint32_t bits = (uint32_t)x << 16;
  float y;
  memcpy(&y, &bits, sizeof y);
  return (double)y;
}

static _Noreturn void no_conversion(cz_dtype dtype) {
  fprintf(stderr, "tests/ops: no conversion to and from %s\n", cz_dtype_names[dtype]);
  abort();
}

/* Float64 or int32 numbers into the dtype of the target. */
static void store(void *to, cz_dtype dtype, const void *from, int64_t n) {
  const double *x = from;
  if (n == 0) return;
  switch (dtype) {
  case CZ_F64:
  case CZ_I32: memcpy(to, from, (size_t)n * cz_dtype_bytes(dtype)); return;
  case CZ_F32:
    for (int64_t i = 0; i < n; i++) ((float *)to)[i] = (float)x[i];
    return;
  case CZ_BF16:
    for (int64_t i = 0; i < n; i++) ((uint16_t *)to)[i] = to_bf16(x[i]);
    return;
  default: no_conversion(dtype);
  }
}

static double number_at(const cz_arg *a, int64_t i) {
  switch (a->dtype) {
  case CZ_F64: return ((const double *)a->data)[i];
  case CZ_F32: return (double)((const float *)a->data)[i];
  case CZ_BF16: return from_bf16(((const uint16_t *)a->data)[i]);
  case CZ_I32: return ((const int32_t *)a->data)[i];
  default: no_conversion(a->dtype);
  }
}

/** The number of DTYPE that is nearest to X. */
double rounded(double x, cz_dtype dtype) {
  unsigned char bytes[sizeof x];
  cz_arg a = {.data = bytes, .dtype = dtype, .ndim = 1, .dim = {1}};
  store(bytes, dtype, &x, 1);
  return number_at(&a, 0);
}

static double *load(const cz_arg *a) {
  int64_t n = cz_numel(a);
  double *x = calloc((size_t)n + 1, sizeof *x);
  if (!x) abort();
  for (int64_t i = 0; i < n; i++) x[i] = number_at(a, i);
  return x;
}

static void give(cz_arg *a, block *b) {
  block_make(b, arg_bytes(a));
  a->data = payload(b);
}

/** Every gradient written, all outputs with a gradient, nothing in place. */
variant plain(const problem *p) {
  variant v = {.dout = problem_douts(p), .alias_out = NONE, .alias_grad = NONE};
  for (int i = 0; i < CZ_OP_IN; i++)
    v.mode[i] = problem_yields(p, i) ? CZ_GRAD_WRITE : CZ_GRAD_SKIP;
  return v;
}

static void make_inputs(run *r) {
  for (int i = 0; i < r->call.n_in; i++) {
    cz_arg *a = &r->call.in[i];
    *a = r->p->c.in[i];
    if (!cz_present(a)) continue;
    a->dtype = input_dtype(r->p, r->on, i);
    give(a, &r->in[i]);
    store(a->data, a->dtype, r->p->c.in[i].data, cz_numel(a));
  }
}

static bool make_outputs(run *r) {
  const cz_op_row *row = r->p->row;
  char why[256] = "";
  if (!row->shape(r->call.out, r->call.in, r->call.attr, why, sizeof why)) {
    fail_case(r->p, "the shape rule refuses %s inputs: %s", cz_dtype_names[r->on->dtype], why);
    return false;
  }
  for (int i = 0; i < r->call.n_out; i++) {
    cz_arg *a = &r->call.out[i];
    if (r->v.drop_saved && (row->out_saved >> i & 1)) *a = (cz_arg){0};
    if (!cz_present(a)) continue;
    if (row->must_alias[i])
      a->data = r->call.in[row->must_alias[i] - 1].data;
    else if (r->v.alias_out == i)
      a->data = r->call.in[row->may_alias[i] - 1].data;
    else
      give(a, &r->out[i]);
  }
  return true;
}

static bool begin(run *r, const problem *p, const target *on, variant v) {
  *r = (run){.p = p, .on = on, .v = v};
  r->call = (cz_call){.n_in = p->row->n_in,
                      .n_out = p->row->n_out,
                      .attr = p->c.attr,
                      .key = p->key,
                      .stream = on->device->stream,
                      .training = p->c.training};
  make_inputs(r);
  return make_outputs(r);
}

static void make_gradients(run *r) {
  const problem *p = r->p;
  for (int i = 0; i < r->call.n_out; i++) {
    bool arrives = r->v.dout >> i & 1;
    if (!p->dout[i] || (!arrives && !r->v.zero_dout)) continue;
    r->call.dout[i] = r->call.out[i];
    give(&r->call.dout[i], &r->dout[i]);
    if (arrives)
      store(r->call.dout[i].data, r->call.dout[i].dtype, p->dout[i], cz_numel(&r->call.dout[i]));
    else
      memset(r->call.dout[i].data, 0, r->dout[i].bytes);
  }
  for (int i = 0; i < r->call.n_in; i++) {
    r->call.mode[i] = r->v.mode[i];
    if (!problem_yields(p, i)) continue;
    cz_arg *a = &r->call.din[i];
    *a = r->call.in[i];
    a->dtype = gradient_dtype(p, r->on, i);
    if (r->v.alias_grad == i) {
      a->data = r->call.dout[p->row->may_alias_grad[i] - 1].data;
      continue;
    }
    give(a, &r->din[i]);
    if (r->v.mode[i] == CZ_GRAD_ADD) store(a->data, a->dtype, p->before[i], cz_numel(a));
  }
}

/* Overwrites what the row says backward does not read: NaN, or zero for integers (a wild
 * index would crash instead of failing). */
static void poison_unneeded(run *r) {
  cz_needs needs = r->p->row->needs;
  if (r->p->row->needs_of) r->p->row->needs_of(&needs, r->call.attr);
  for (int i = 0; i < r->call.n_in; i++) {
    if (r->in[i].base && !(needs.in >> i & 1))
      memset(payload(&r->in[i]), r->call.in[i].dtype == CZ_I32 ? 0 : POISON, r->in[i].bytes);
  }
  for (int i = 0; i < r->call.n_out; i++) {
    if (r->out[i].base && !(needs.out >> i & 1))
      memset(payload(&r->out[i]), r->call.out[i].dtype == CZ_I32 ? 0 : POISON, r->out[i].bytes);
  }
}

/* In a perturbed problem, changes what backward reads of forward's outputs: a float32
 * forward rounds them, one in 16 bits those that it keeps in 16. */
static void shake_saved(run *r) {
  const problem *p = r->p;
  cz_rand rand = {.state = p->shake_seed};
  for (int i = 0; i < r->call.n_out; i++) {
    const cz_arg *a = &r->call.out[i];
    bool shakes = !p->shake_narrow || p->out_on[i] == p->only->dtype || made_of_rounded(p, i);
    if (r->out[i].base && a->dtype == CZ_F64 && shakes)
      perturb(a->data, cz_numel(a), &rand, p->shaken);
  }
}

static void call_kernel(run *r, bool backward) {
  const cz_kernels *kernels = kernels_of(r->on, r->p->op);
  if (cz_call_dtype(&r->call) != r->on->dtype)
    fail_case(r->p, "a call of %s on %s", cz_dtype_names[cz_call_dtype(&r->call)], r->on->name);
  free(r->work.base);
  block_make(&r->work, kernels->workspace ? kernels->workspace(&r->call, backward) : 0);
  r->call.workspace = payload(&r->work), r->call.workspace_bytes = r->work.bytes;
  int threads = omp_get_max_threads();
  if (r->v.threads) omp_set_num_threads(r->v.threads);
  (backward ? kernels->backward : kernels->forward)(&r->call);
  omp_set_num_threads(threads);
}

static bool same_block(const block *b, const unsigned char *copy) {
  return !b->base || memcmp(payload(b), copy, b->bytes) == 0;
}

static unsigned char *copy_block(const block *b) {
  unsigned char *copy = malloc(b->bytes + 1);
  if (!copy) abort();
  if (b->base && b->bytes) memcpy(copy, payload(b), b->bytes);
  return copy;
}

static bool written_input(const run *r, int input) {
  for (int i = 0; i < r->call.n_out; i++) {
    bool must = r->p->row->must_alias[i] == input + 1,
         may = r->v.alias_out == i && r->p->row->may_alias[i] == input + 1;
    if (cz_present(&r->call.out[i]) && (must || may)) return true;
  }
  return false;
}

static void check_guards(const run *r, const char *pass) {
  const char *set = r->on->name;
  for (int i = 0; i < r->call.n_in; i++) {
    if (!guards_intact(&r->in[i]))
      fail_case(r->p, "%s %s writes outside input %s", set, pass, r->p->row->in_name[i]);
    if (!guards_intact(&r->din[i]))
      fail_case(r->p, "%s %s writes outside the gradient of %s", set, pass, r->p->row->in_name[i]);
  }
  for (int i = 0; i < r->call.n_out; i++) {
    if (!guards_intact(&r->out[i]))
      fail_case(r->p, "%s %s writes outside output %s", set, pass, r->p->row->out_name[i]);
    if (!guards_intact(&r->dout[i]))
      fail_case(r->p, "%s %s writes outside the gradient of output %s", set, pass,
                r->p->row->out_name[i]);
  }
  if (!guards_intact(&r->work))
    fail_case(r->p, "%s %s writes outside its workspace of %zu bytes", set, pass, r->work.bytes);
}

/* Calls the kernel and reports everything that it wrote without leave. */
static void call_watched(run *r, bool backward) {
  const char *pass = backward ? "backward" : "forward", *set = r->on->name;
  unsigned char *in[CZ_OP_IN], *out[CZ_OP_OUT], *dout[CZ_OP_OUT], *din[CZ_OP_IN];
  for (int i = 0; i < CZ_OP_IN; i++) in[i] = copy_block(&r->in[i]), din[i] = copy_block(&r->din[i]);
  for (int i = 0; i < CZ_OP_OUT; i++)
    out[i] = copy_block(&r->out[i]), dout[i] = copy_block(&r->dout[i]);
  call_kernel(r, backward);
  for (int i = 0; i < r->call.n_in; i++) {
    bool may = !backward && written_input(r, i);
    if (!may && !same_block(&r->in[i], in[i]))
      fail_case(r->p, "%s %s changes input %s", set, pass, r->p->row->in_name[i]);
    bool meddled = r->v.mode[i] == CZ_GRAD_SKIP && !same_block(&r->din[i], din[i]);
    if (meddled)
      fail_case(r->p, "%s %s writes the gradient of %s, which is to be skipped", set, pass,
                r->p->row->in_name[i]);
  }
  for (int i = 0; i < r->call.n_out && backward; i++) {
    bool may = r->p->row->fused_backward,
         in_place = r->v.alias_grad != NONE && r->p->row->may_alias_grad[r->v.alias_grad] == i + 1;
    if (!may && !same_block(&r->out[i], out[i]))
      fail_case(r->p, "%s backward changes output %s", set, r->p->row->out_name[i]);
    if (!in_place && !same_block(&r->dout[i], dout[i]))
      fail_case(r->p, "%s backward changes the gradient of output %s", set, r->p->row->out_name[i]);
  }
  check_guards(r, pass);
  for (int i = 0; i < CZ_OP_IN; i++) free(in[i]), free(din[i]);
  for (int i = 0; i < CZ_OP_OUT; i++) free(out[i]), free(dout[i]);
}

/** Runs forward. False when the shape rule refuses; then there is nothing to look at. The
 * caller frees the run in any case. */
bool run_forward(run *r, const problem *p, const target *on, variant v) {
  if (!begin(r, p, on, v)) return false;
  call_watched(r, false);
  return true;
}

/** Runs forward, then backward on what forward left; a terminal loss (fused_backward)
 * runs backward alone, its outputs NaN before. */
bool run_backward(run *r, const problem *p, const target *on, variant v) {
  if (!begin(r, p, on, v)) return false;
  if (!p->row->fused_backward) call_watched(r, false);
  if (p->shaken > 0 && !p->row->fused_backward) shake_saved(r);
  if (v.poison) poison_unneeded(r);
  make_gradients(r);
  call_watched(r, true);
  return true;
}

/** Releases the run. */
void run_free(run *r) {
  for (int i = 0; i < CZ_OP_IN; i++) free(r->in[i].base), free(r->din[i].base);
  for (int i = 0; i < CZ_OP_OUT; i++) free(r->out[i].base), free(r->dout[i].base);
  free(r->work.base);
  *r = (run){0};
}

/** The outputs, and the gradients that were wanted, as float64. */
void run_values(values *out, const run *r) {
  *out = (values){0};
  for (int i = 0; i < r->call.n_out; i++) {
    if (cz_present(&r->call.out[i])) out->out[i] = load(&r->call.out[i]);
  }
  for (int i = 0; i < r->call.n_in; i++) {
    if (r->call.din[i].data && r->v.mode[i] != CZ_GRAD_SKIP) out->din[i] = load(&r->call.din[i]);
  }
}

/** Releases the values. */
void values_free(values *v) {
  for (int i = 0; i < CZ_OP_OUT; i++) free(v->out[i]);
  for (int i = 0; i < CZ_OP_IN; i++) free(v->din[i]);
  *v = (values){0};
}
