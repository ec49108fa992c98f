/* Runs: one call of a kernel in guarded memory of its device. */
#include "ops_test.h"

#include "kernels/common/bf16.h"
#include "kernels/common/half.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t arg_bytes(const cz_arg *a) { return (size_t)cz_numel(a) * cz_dtype_bytes(a->dtype); }

/* Float64 or int32 numbers into the dtype of the target. */
static void store(void *to, cz_dtype dtype, const void *from, int64_t n) {
  const double *x = from;
  for (int64_t i = 0; i < n && dtype == CZ_F32; i++) ((float *)to)[i] = (float)x[i];
  for (int64_t i = 0; i < n && dtype == CZ_BF16; i++)
    ((cz_bf16 *)to)[i] = cz_bf16_nearest((float)x[i]);
  for (int64_t i = 0; i < n && dtype == CZ_F16; i++) ((cz_f16 *)to)[i] = cz_f16_nearest(x[i]);
  if (n && (dtype == CZ_F64 || dtype == CZ_I32))
    memcpy(to, from, (size_t)n * cz_dtype_bytes(dtype));
}

/** Number I of an array of DTYPE. */
double number_at(const void *data, cz_dtype dtype, int64_t i) {
  switch (dtype) {
  case CZ_F64: return ((const double *)data)[i];
  case CZ_F32: return (double)((const float *)data)[i];
  case CZ_BF16: return (double)cz_bf16_value(((const cz_bf16 *)data)[i]);
  case CZ_F16: return (double)cz_f16_value(((const cz_f16 *)data)[i]);
  default: return ((const int32_t *)data)[i];
  }
}

/** The number of DTYPE that is nearest to X. */
double rounded(double x, cz_dtype dtype) {
  unsigned char bytes[sizeof x];
  store(bytes, dtype, &x, 1);
  return number_at(bytes, dtype, 0);
}

/** What the host knows of an array of the run: what was fetched last, or will be sent. Null of one
 * that is not there. */
const void *run_host(const run *r, const cz_arg *a) {
  const unsigned char *at = a->data;
  const region *of[] = {&r->memory->arrays, &r->memory->gradients};
  for (int i = 0; at && i < 2; i++)
    if (of[i]->used && at >= of[i]->address && at < of[i]->address + of[i]->used)
      return of[i]->host + (at - of[i]->address);
  return NULL;
}

static double *load(const run *r, const cz_arg *a) {
  const int64_t n = cz_numel(a);
  const void *data = run_host(r, a);
  double *x = calloc((size_t)n + 1, sizeof *x);
  if (!x) abort(); /* a test machine without memory */
  for (int64_t i = 0; i < n; i++) x[i] = number_at(data, a->dtype, i);
  return x;
}

/* N numbers of a target with its fault. */
static double *faulty(const run *r, double *x, cz_dtype dtype, int64_t n) {
  for (int64_t i = 0; r->on != ref && fault_factor != 1 && i < n; i++)
    x[i] = rounded(fault_factor * x[i], dtype);
  return x;
}

/** Every gradient written, all outputs with a gradient, nothing in place. */
variant plain(const problem *p) {
  variant v = {.dout = problem_douts(p),
               .alias_out = NONE,
               .alias_grad = NONE,
               .joins = NONE,
               .joined = NONE};
  for (int i = 0; i < CZ_OP_IN; i++)
    v.mode[i] = problem_yields(p, i) ? CZ_GRAD_WRITE : CZ_GRAD_SKIP;
  return v;
}

static void want_inputs(run *r) {
  for (int i = 0; i < r->call.n_in; i++) {
    cz_arg *a = &r->call.in[i];
    *a = r->p->c.in[i];
    a->data = NULL;
    if (!cz_present(a)) continue;
    a->dtype = input_dtype(r->p, r->on, i);
    r->in[i] = region_add(&r->memory->arrays, arg_bytes(a));
  }
}

/* The input whose place the output takes; NONE. */
static int place_of(const run *r, int output) {
  const cz_op_row *row = r->p->row;
  if (row->must_alias[output]) return row->must_alias[output] - 1;
  return r->v.alias_out == output ? row->may_alias[output] - 1 : NONE;
}

static bool want_outputs(run *r) {
  const cz_op_row *row = r->p->row;
  char why[256] = "";
  if (!row->shape(r->call.out, r->call.in, r->call.attr, why, sizeof why)) {
    fail_case(r->p, "the shape rule refuses %s inputs: %s", cz_dtype_names[r->on->dtype], why);
    return false;
  }
  for (int i = 0; i < r->call.n_out; i++) {
    cz_arg *a = &r->call.out[i];
    if (r->v.drop_saved && (row->out_saved >> i & 1)) *a = (cz_arg){0};
    if (cz_present(a) && place_of(r, i) == NONE)
      r->out[i] = region_add(&r->memory->arrays, arg_bytes(a));
  }
  return true;
}

/* Where kernels read the clock, the key has other numbers than it. */
static void set_clock(run *r, const block *b) {
  cz_clock clock = {.step = r->p->key.step, .shard = r->p->key.shard, .loss_seed = {0}};
  memcpy(block_host(b), &clock, sizeof clock);
  r->call.clock = block_address(b);
  if (r->on->reads_clock) r->call.key.step ^= 0x55, r->call.key.shard ^= 0xaa;
}

static bool begin(run *r, const problem *p, const target *on, variant v) {
  *r = (run){.p = p, .on = on, .v = v, .memory = slot_take(on)};
  r->call = (cz_call){.n_in = p->row->n_in,
                      .n_out = p->row->n_out,
                      .attr = p->c.attr,
                      .key = p->key,
                      .stream = on->device->stream,
                      .training = p->c.training};
  want_inputs(r);
  if (!want_outputs(r)) return false;
  const block *clock = v.clock ? region_add(&r->memory->arrays, sizeof(cz_clock)) : NULL;
  region_make(&r->memory->arrays);
  if (clock) set_clock(r, clock);
  for (int i = 0; i < r->call.n_in; i++) {
    cz_arg *a = &r->call.in[i];
    if (!r->in[i]) continue;
    a->data = block_address(r->in[i]);
    if (!(v.stale && (p->row->in_written >> i & 1))) /* else as it is made, NaN */
      store(block_host(r->in[i]), a->dtype, p->c.in[i].data, cz_numel(a));
  }
  for (int i = 0; i < r->call.n_out; i++) {
    cz_arg *a = &r->call.out[i];
    if (cz_present(a))
      a->data = r->out[i] ? block_address(r->out[i]) : r->call.in[place_of(r, i)].data;
  }
  return true;
}

/* Gradients that there are: arriving ones, and those that the row yields, but for the one that is
 * made in the place of an arriving one. */
static void want_gradients(run *r) {
  const problem *p = r->p;
  for (int i = 0; i < r->call.n_out; i++) {
    bool arrives = r->v.dout >> i & 1;
    if (!p->dout[i] || (!arrives && !r->v.zero_dout)) continue;
    r->call.dout[i] = r->call.out[i];
    r->dout[i] = region_add(&r->memory->gradients, arg_bytes(&r->call.dout[i]));
  }
  for (int i = 0; i < r->call.n_in; i++) {
    cz_arg *a = &r->call.din[i];
    r->call.mode[i] = r->v.mode[i];
    if (!problem_yields(p, i)) continue;
    *a = r->call.in[i];
    a->dtype = gradient_dtype(p, r->on, i);
    if (r->v.alias_grad != i && r->v.joins != i)
      r->din[i] = region_add(&r->memory->gradients, arg_bytes(a));
  }
}

static void make_gradients(run *r) {
  const problem *p = r->p;
  region_begin(&r->memory->gradients, r->on);
  want_gradients(r);
  region_make(&r->memory->gradients);
  for (int i = 0; i < r->call.n_out; i++) {
    cz_arg *a = &r->call.dout[i];
    if (!r->dout[i]) continue;
    a->data = block_address(r->dout[i]);
    if (r->v.dout >> i & 1)
      store(block_host(r->dout[i]), a->dtype, p->dout[i], cz_numel(a));
    else
      memset(block_host(r->dout[i]), 0, r->dout[i]->bytes);
  }
  for (int i = 0; i < r->call.n_in; i++) {
    cz_arg *a = &r->call.din[i];
    if (!cz_present(a)) continue;
    a->data = r->din[i]         ? block_address(r->din[i])
              : r->v.joins == i ? r->call.din[r->v.joined].data
                                : r->call.dout[p->row->may_alias_grad[i] - 1].data;
    if (r->din[i] && r->v.mode[i] == CZ_GRAD_ADD)
      store(block_host(r->din[i]), a->dtype, p->before[i], cz_numel(a));
  }
}

/* Overwrites what the row says backward does not read: NaN, or zero for integers (a wild
 * index would crash instead of failing); and takes it away, as the engine does: the array is
 * present and has no data. */
static void poison_unneeded(run *r) {
  const cz_needs needs = cz_call_needs(r->p->row, &r->call);
  for (int i = 0; i < r->call.n_in; i++) {
    if (!r->in[i] || needs.in >> i & 1) continue;
    memset(block_host(r->in[i]), r->call.in[i].dtype == CZ_I32 ? 0 : POISON, r->in[i]->bytes);
    r->call.in[i].data = NULL;
  }
  for (int i = 0; i < r->call.n_out; i++) {
    if (!r->out[i] || needs.out >> i & 1) continue;
    memset(block_host(r->out[i]), r->call.out[i].dtype == CZ_I32 ? 0 : POISON, r->out[i]->bytes);
    if (!r->p->row->fused_backward) r->call.out[i].data = NULL; /* else backward writes them */
  }
}

/* In a perturbed problem, changes what backward reads of forward's outputs: a float32
 * forward rounds them, one in 16 bits those that it keeps in 16. */
static void shake_saved(run *r) {
  const problem *p = r->p;
  cz_rand rand = {.state = p->shake_seed};
  for (int i = 0; i < r->call.n_out; i++) {
    const cz_arg *a = &r->call.out[i];
    bool shakes = !p->shake_narrow || p->out_on[i] == p->only->dtype;
    if (!r->out[i] || a->dtype != CZ_F64 || !shakes) continue;
    perturb((double *)block_host(r->out[i]), cz_numel(a), &rand, p->shaken,
            least_of(p, p->out_on[i]));
    r->shaken += cz_numel(a);
  }
}

/* X changed, where the target has the array in 16 bits; by a rounding of float32 in proportion to
 * the rounding of 16 bits that the problem is changed by. */
static double changed(cz_roundings *self, int array, double x) {
  rounder *w = (rounder *)self;
  const problem *p = w->p;
  if (array >= CZ_ROUNDED_BY_LIBRARY + CZ_ROUNDED_FLOAT) {
    const int by = array >= CZ_ROUNDED_BY_HOST ? CZ_ROUNDED_BY_HOST : CZ_ROUNDED_BY_LIBRARY;
    if (p->only->host_threads != (by == CZ_ROUNDED_BY_HOST)) return x;
    array -= by;
  }
  if (array == CZ_ROUNDED_FLOAT) {
    const double share = roundoff_of(CZ_F32) / roundoff_of(p->only->dtype);
    perturb(&x, 1, &w->rand, share * p->shaken, 0);
    w->changed++;
    return x;
  }
  const cz_dtype dtype = array < CZ_OP_IN ? p->in_on[array] : p->out_on[array - CZ_OP_IN];
  if (dtype != p->only->dtype) return x;
  w->changed++;
  perturb(&x, 1, &w->rand, p->shaken, least_of(p, dtype));
  return x;
}

/* In such a problem, has ref change what others round on the way to the results. */
static void shake_on_the_way(run *r) {
  const problem *p = r->p;
  if (!p->shake_narrow) return;
  r->rounder = (rounder){.as.round = changed, .p = p, .rand.state = ~p->shake_seed};
  r->call.stream = &r->rounder.as;
}

static void vary(const target *on, int k) {
  static int usual;
  if (on->vary) {
    on->vary(k);
  } else if (on->host_threads) {
    if (!usual) usual = omp_get_max_threads();
    omp_set_num_threads(k ? k : usual);
  }
}

/* The call, until the device says that it has run. False when it, or a launch, failed. */
static bool call_kernel(run *r, cz_call *call, bool backward) {
  cz_device *d = r->on->device;
  const cz_kernels *kernels = d->kernels(d, r->p->op, cz_call_dtype(call));
  call->workspace_bytes = kernels->workspace ? kernels->workspace(call, backward) : 0;
  call->workspace = workspace_make(&r->memory->work, r->on, call->workspace_bytes);
  const region *all[] = {&r->memory->arrays, &r->memory->gradients, &r->memory->work};
  if (r->v.threads) vary(r->on, r->v.threads);
  for (int i = 0; i < 3; i++) region_shut(all[i], true);
  (backward ? kernels->backward : kernels->forward)(call);
  cz_status launched = d->failed(d), st = launched != CZ_OK ? launched : d->sync(d);
  for (int i = 0; i < 3; i++) region_shut(all[i], false);
  if (r->v.threads) vary(r->on, 0);
  if (st == CZ_OK) return true;
  fail_case(r->p, "%s %s fails: %s", r->on->name, backward ? "backward" : "forward",
            cz_error_message());
  cz_error_clear();
  return false;
}

static bool written_input(const run *r, int input) {
  for (int i = 0; i < r->call.n_out; i++)
    if (cz_present(&r->call.out[i]) && place_of(r, i) == input) return true;
  return false;
}

/* WORK: the workspace's guards are intact. */
static void check_guards(const run *r, bool work, const char *pass) {
  const char *set = r->on->name;
  for (int i = 0; i < r->call.n_in; i++) {
    if (!block_guarded(r->in[i]))
      fail_case(r->p, "%s %s writes outside input %s", set, pass, r->p->row->in_name[i]);
    if (!block_guarded(r->din[i]))
      fail_case(r->p, "%s %s writes outside the gradient of %s", set, pass, r->p->row->in_name[i]);
  }
  for (int i = 0; i < r->call.n_out; i++) {
    if (!block_guarded(r->out[i]))
      fail_case(r->p, "%s %s writes outside output %s", set, pass, r->p->row->out_name[i]);
    if (!block_guarded(r->dout[i]))
      fail_case(r->p, "%s %s writes outside the gradient of output %s", set, pass,
                r->p->row->out_name[i]);
  }
  if (!work)
    fail_case(r->p, "%s %s writes outside its workspace of %zu bytes", set, pass,
              r->call.workspace_bytes);
}

static void check_written(const run *r, bool work, bool backward) {
  const char *pass = backward ? "backward" : "forward", *set = r->on->name;
  for (int i = 0; i < r->call.n_in; i++) {
    bool may = !backward && written_input(r, i);
    if (!may && !block_same(r->in[i]))
      fail_case(r->p, "%s %s changes input %s", set, pass, r->p->row->in_name[i]);
    if (backward && r->v.mode[i] == CZ_GRAD_SKIP && !block_same(r->din[i]))
      fail_case(r->p, "%s %s writes the gradient of %s, which is to be skipped", set, pass,
                r->p->row->in_name[i]);
  }
  for (int i = 0; i < r->call.n_out && backward; i++) {
    bool may = r->p->row->fused_backward,
         in_place = r->v.alias_grad != NONE && r->p->row->may_alias_grad[r->v.alias_grad] == i + 1;
    if (!may && !block_same(r->out[i]))
      fail_case(r->p, "%s backward changes output %s", set, r->p->row->out_name[i]);
    if (!in_place && !block_same(r->dout[i]))
      fail_case(r->p, "%s backward changes the gradient of output %s", set, r->p->row->out_name[i]);
  }
  check_guards(r, work, pass);
}

/* Calls the kernel and reports everything that it wrote without leave. False when it failed. */
static bool call_watched(run *r, bool backward) {
  region *arrays = &r->memory->arrays, *gradients = &r->memory->gradients;
  if (cz_call_dtype(&r->call) != r->on->dtype)
    fail_case(r->p, "a call of %s on %s", cz_dtype_names[cz_call_dtype(&r->call)], r->on->name);
  region_send(arrays);
  if (backward) region_send(gradients);
  if (!call_kernel(r, &r->call, backward)) return false;
  region_fetch(arrays);
  if (backward) region_fetch(gradients);
  check_written(r, workspace_guarded(&r->memory->work), backward);
  return true;
}

/** Runs forward. False when the shape rule refuses or the kernel fails; then there is nothing to
 * look at. The caller frees the run in any case. */
bool run_forward(run *r, const problem *p, const target *on, variant v) {
  if (!begin(r, p, on, v)) return false;
  shake_on_the_way(r);
  return call_watched(r, false);
}

/** Runs forward, then backward on what forward left; a terminal loss (fused_backward)
 * runs backward alone, its outputs NaN before. */
bool run_backward(run *r, const problem *p, const target *on, variant v) {
  if (!begin(r, p, on, v)) return false;
  shake_on_the_way(r);
  if (!p->row->fused_backward && !call_watched(r, false)) return false;
  if (p->shaken > 0 && !p->row->fused_backward) shake_saved(r);
  if (v.poison) poison_unneeded(r);
  make_gradients(r);
  return call_watched(r, true);
}

/** After a forward run, calls forward once more with what the row's recompute_in says and for one
 * OUTPUT alone. Its bytes; null when the kernel failed. */
const void *run_again(run *r, int output) {
  const cz_op_row *row = r->p->row;
  region *made = &r->memory->gradients; /* a forward run has none */
  cz_call again = r->call;
  for (int k = 0; k < row->n_in; k++) {
    int from = row->recompute_in[k];
    if (from > 0 && cz_present(&r->call.out[from - 1])) again.in[k] = r->call.out[from - 1];
    if (from < 0) again.in[k] = (cz_arg){0};
  }
  region_begin(made, r->on);
  const block *b = region_add(made, arg_bytes(&r->call.out[output]));
  region_make(made);
  for (int i = 0; i < row->n_out; i++)
    if (i != output) again.out[i] = (cz_arg){0};
  again.out[output].data = block_address(b);
  region_send(made);
  if (!call_kernel(r, &again, false)) return NULL;
  region_fetch(made);
  const bool work = workspace_guarded(&r->memory->work);
  if (!work || !block_guarded(b))
    fail_case(r->p, "%s made again writes outside %s or the workspace", r->on->name,
              row->out_name[output]);
  return block_host(b);
}

/** Releases the run. */
void run_free(run *r) {
  slot_give(r->memory);
  *r = (run){0};
}

/** The outputs, and the gradients that were wanted, as float64. */
void run_values(values *out, const run *r) {
  *out = (values){0};
  for (int i = 0; i < r->call.n_out; i++) {
    const cz_arg *a = &r->call.out[i];
    if (cz_present(a)) out->out[i] = faulty(r, load(r, a), a->dtype, cz_numel(a));
  }
  for (int i = 0; i < r->call.n_in; i++) {
    const cz_arg *a = &r->call.din[i];
    if (!a->data || r->v.mode[i] == CZ_GRAD_SKIP) continue;
    out->din[i] = faulty(r, load(r, a), a->dtype, cz_numel(a));
  }
}

/** Releases the values. */
void values_free(values *v) {
  for (int i = 0; i < CZ_OP_OUT; i++) free(v->out[i]);
  for (int i = 0; i < CZ_OP_IN; i++) free(v->din[i]);
  *v = (values){0};
}
