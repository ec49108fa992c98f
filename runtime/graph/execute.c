/* Running: the steps in order, one kernel call each, with the present extents. */
#include "graph/internal.h"

/** Sets an extent for the next runs, 0 to its capacity. CZ_EINVAL with both numbers
 * otherwise. */
cz_status cz_graph_set_extent(cz_graph *g, int64_t extent, int64_t value) {
  CZ_CHECK(extent < 0 && -extent <= (int64_t)g->n_extents);
  cz__extent *e = &g->extents[-extent - 1];
  if (value < 0 || value > e->capacity)
    return CZ_FAIL(CZ_EINVAL, "extent %s: %lld does not fit its capacity %lld", e->name,
                   (long long)value, (long long)e->capacity);
  e->actual = value;
  return CZ_OK;
}

static cz_status feed(cz_graph *g, cz_value v, cz_dtype dtype, int64_t n) {
  if (!cz__is_value(v) || g->values[v].kind != CZ__INPUT || g->values[v].arg.dtype != dtype)
    return CZ_FAIL(CZ_EINVAL, "%s can't be fed this type",
                   cz__is_value(v) ? g->values[v].name : "an absent value");
  cz_arg a = cz__resolve(g, &g->values[v], false);
  if (n != cz_numel(&a))
    return CZ_FAIL(CZ_EINVAL, "input %s wants %lld numbers, not %lld", g->values[v].name,
                   (long long)cz_numel(&a), (long long)n);
  return CZ_OK;
}

/** Copies N int32 to an input; N must equal its present size. */
cz_status cz_graph_feed_int(cz_graph *g, cz_value v, const int32_t *host, int64_t n) {
  CZ_TRY(feed(g, v, CZ_I32, n));
  g->values[v].filled = n;
  return g->device->write(g->device, g->values[v].arg.data, host, (size_t)n * sizeof *host);
}

/** Copies N reals to an input; N must equal its present size. */
cz_status cz_graph_feed_real(cz_graph *g, cz_value v, const double *host, int64_t n) {
  CZ_TRY(feed(g, v, g->device->real, n));
  g->values[v].filled = n;
  return cz_device_write_real(g->device, g->values[v].arg.data, host, n);
}

/** Lends device memory to a borrowed input until the next call; it must hold the input's
 * present size whenever the graph runs. */
void cz_graph_lend(cz_graph *g, cz_value v, void *data) {
  if (!cz__is_value(v)) return;
  CZ_CHECK(g->values[v].kind == CZ__BORROWED);
  g->values[v].arg.data = data;
}

static cz_status run_step(cz_graph *g, int index, const cz_graph_run_options *options) {
  const cz__step *s = &g->steps[index];
  const cz__node *n = &g->nodes[s->node];
  bool backward = s->phase == CZ__BACKWARD;
  const cz_kernels *kernels;
  cz_call call;
  cz__step_call(g, s, &call, false);
  CZ_TRY(cz__kernels_of(g, &kernels, s, &call));
  call.key = options->key;
  call.key.op = n->key;
  call.clock = g->values[g->clock].arg.data;
  call.training = options->training;
  if (g->device->guard_bytes) CZ_TRY(cz__guard_begin(g, index, kernels, &call));
  if (g->profile) CZ_TRY(cz__profile_mark(g, index, false));
  (backward ? kernels->backward : kernels->forward)(&call);
  cz_status st = g->device->failed(g->device);
  if (st != CZ_OK)
    return CZ_NOTE(st, "%s of op %s, node %s", backward ? "backward" : "forward", n->row->name,
                   n->name);
  if (g->profile) CZ_TRY(cz__profile_mark(g, index, true));
  return g->device->guard_bytes ? cz__guard_end(g, index) : CZ_OK;
}

/* Sets step and shard, which kernels that draw random numbers read. */
static cz_status set_clock(cz_graph *g, const cz_graph_run_options *options) {
  const uint32_t now[] = {options->key.step, options->key.shard};
  return g->device->write(g->device, g->values[g->clock].arg.data, now, sizeof now);
}

/** Runs the forward pass. With options->training dropout is on. */
cz_status cz_graph_forward(cz_graph *g, const cz_graph_run_options *options) {
  CZ_CHECK(g->finished && !g->options.train);
  CZ_TRY(cz_params_refresh(g->params));
  cz__plan_run(g);
  cz__guard_start(g);
  if (options->training) CZ_TRY(set_clock(g, options));
  if (g->profile) CZ_TRY(cz__profile_open(g));
  for (int i = 0; i < g->forward_steps; i++) CZ_TRY(run_step(g, i, options));
  return g->profile ? cz__profile_read(g, g->forward_steps) : CZ_OK;
}

/* Reports the parameters whose gradient this step was the last to write. */
static void report_ready(cz_graph *g, int index, const cz_graph_run_options *options) {
  const cz__step *s = &g->steps[index];
  for (int k = 0; k < CZ_OP_IN; k++) {
    if (!s->mode[k] || !cz__is_value(s->din[k])) continue;
    const cz__value *d = &g->values[s->din[k]];
    bool reported = false; /* the same parameter twice in one node */
    for (int j = 0; j < k; j++) reported |= s->mode[j] && s->din[j] == s->din[k];
    if (d->kind != CZ__PARAM_GRAD || d->last != index || reported) continue;
    options->ready(options->ready_self, d->param);
  }
}

/** Where the number lies, in the device's real dtype, with which every loss begins backward: 1,
 * unless somebody writes another one before a run. Device memory of the graph, which must be
 * finished. */
void *cz_graph_loss_seed(const cz_graph *g) {
  return (char *)g->values[g->clock].arg.data + offsetof(cz_clock, loss_seed);
}

/* Copies the loss seed for the losses to whose gradient something is added. A loss behind which
 * nothing is trained has none. */
static cz_status copy_seeds(cz_graph *g) {
  for (size_t i = 0; i < g->n_losses; i++) {
    cz_value seed = g->values[g->losses[i]].grad;
    if (seed == CZ_ABSENT || g->values[seed].kind != CZ__TENSOR) continue;
    CZ_TRY(g->device->copy(g->device, g->values[seed].arg.data, cz_graph_loss_seed(g),
                           cz_dtype_bytes(g->device->real)));
    g->values[seed].filled = 1;
  }
  return CZ_OK;
}

/** Runs forward and backward: all losses and every trainable parameter's gradient
 * (written, not added to what was there). Calls options->ready for each parameter as
 * soon as the kernel that makes its gradient final was called; a read that follows waits for it.
 * Parameters that the loss does not reach keep a zero gradient. */
cz_status cz_graph_train(cz_graph *g, const cz_graph_run_options *options) {
  CZ_CHECK(g->finished && g->options.train);
  CZ_TRY(cz_params_refresh(g->params));
  cz__plan_run(g);
  cz__guard_start(g);
  CZ_TRY(set_clock(g, options));
  CZ_TRY(copy_seeds(g));
  if (g->profile) CZ_TRY(cz__profile_open(g));
  for (int i = 0; i < (int)g->n_steps; i++) {
    CZ_TRY(run_step(g, i, options));
    if (options->ready) report_ready(g, i, options);
  }
  return g->profile ? cz__profile_read(g, (int)g->n_steps) : CZ_OK;
}

/** Reads the first N numbers of a real value after a run; it must be kept, an input, a
 * state or a gradient of a parameter. CZ_EINVAL when it holds integers, or fewer
 * numbers. */
cz_status cz_graph_read(cz_graph *g, double *host, cz_value v, int64_t n) {
  if (!cz__is_value(v) || !g->values[v].arg.data)
    return CZ_FAIL(CZ_EINVAL, "%s has no memory to read",
                   cz__is_value(v) ? g->values[v].name : "an absent value");
  cz_arg a = cz__resolve(g, &g->values[v], false);
  if (a.dtype == CZ_I32) return CZ_FAIL(CZ_EINVAL, "%s is not a real value", g->values[v].name);
  if (n > cz_numel(&a))
    return CZ_FAIL(CZ_EINVAL, "%s has %lld numbers, not %lld", g->values[v].name,
                   (long long)cz_numel(&a), (long long)n);
  return cz_device_read_as(g->device, host, g->values[v].arg.data, n, a.dtype);
}

/** Puts the sum of the graph's losses to TO, one number of the device's real dtype in its memory,
 * when the run has come so far; waits for nothing. */
cz_status cz_graph_put_loss(cz_graph *g, void *to) {
  const cz_arg sum = {.data = to, .dtype = g->device->real, .ndim = 1, .dim = {1}};
  cz_scratch none = {0}; /* `add` takes no workspace */
  CZ_TRY(g->device->copy(g->device, to, g->values[g->losses[0]].arg.data,
                         cz_dtype_bytes(g->device->real)));
  for (size_t i = 1; i < g->n_losses; i++) {
    cz_call call = {.in = {sum, g->values[g->losses[i]].arg}, .out = {sum}};
    CZ_TRY(cz_op_run(g->device, CZ_OP_add, &call, &none));
  }
  CZ_CHECK(!none.data);
  return CZ_OK;
}

/** The sum of the graph's losses after a run: what cz_graph_train differentiates. */
cz_status cz_graph_read_loss(cz_graph *g, double *sum) {
  *sum = 0;
  for (size_t i = 0; i < g->n_losses; i++) {
    double loss;
    CZ_TRY(cz_graph_read(g, &loss, g->losses[i], 1));
    *sum += loss;
  }
  return CZ_OK;
}

/** A value's array with its present sizes; data is device memory, valid as long as the
 * value lives. */
cz_arg cz_graph_arg(const cz_graph *g, cz_value v) { return cz__resolve(g, &g->values[v], false); }

/** The value that holds the gradient of V after cz_graph_train, or CZ_ABSENT. To be read
 * after the run, V's gradient must belong to a parameter. */
cz_value cz_graph_grad(const cz_graph *g, cz_value v) {
  return cz__is_value(v) ? g->values[v].grad : CZ_ABSENT;
}

/** Bytes of planned activations, workspace, inputs and states. */
size_t cz_graph_bytes(const cz_graph *g) {
  size_t n = g->memory_bytes + g->workspace_bytes;
  for (size_t i = 0; i < g->n_values; i++)
    if (g->values[i].kind == CZ__INPUT ||
        (g->values[i].kind == CZ__STATE && g->values[i].shares == CZ_ABSENT))
      n += g->values[i].bytes;
  return n;
}
