/* Building: every call checks what it is given; the first error is kept and poisons what
 * hangs on it. */
#include "graph/internal.h"
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

/** Creates an empty graph whose parameters, and device, are those of PARAMS (borrowed,
 * must outlive the graph). */
cz_status cz_graph_create(cz_graph **graph, cz_params *params) {
  CZ_TRY(cz_alloc(graph, 1, sizeof **graph));
  cz_graph *g = *graph;
  g->params = params;
  g->device = params->device;
  g->clock = CZ_ABSENT;
  CZ_TRY(cz_arena_create(&g->arena, "graph names"));
  cz_graph_block(g, "", false);
  return CZ_OK;
}

/** Frees the graph and its memory; clears the pointer, accepts null. */
void cz_graph_destroy(cz_graph **graph) {
  cz_graph *g = *graph;
  if (!g) return;
  for (size_t i = 0; i < g->n_values; i++) {
    cz__value *v = &g->values[i];
    if (v->shares == CZ_ABSENT && (v->kind == CZ__INPUT || v->kind == CZ__STATE))
      cz_device_free(g->device, &v->arg.data, v->bytes + g->device->guard_bytes);
  }
  cz__profile_close(g);
  cz_device_free(g->device, &g->memory, g->memory_bytes);
  cz_device_free(g->device, &g->workspace, g->workspace_bytes + g->device->guard_bytes);
  cz_arena_destroy(&g->arena);
  free(g->values);
  free(g->nodes);
  free(g->steps);
  free(g->blocks);
  free(g->extents);
  free(g->placed);
  free(g->losses);
  free(g);
  *graph = NULL;
}

/** Declares an extent that changes from run to run, at most CAPACITY, and returns the
 * (negative) number that stands for it in dimensions. */
int64_t cz_graph_extent(cz_graph *g, const char *name, int64_t capacity) {
  cz_status st = cz_grow(&g->extents, &g->cap_extents, g->n_extents + 1, sizeof *g->extents);
  if (capacity <= 0) st = CZ_FAIL(CZ_EINVAL, "extent %s: capacity %lld", name, (long long)capacity);
  cz__extent *e = st == CZ_OK ? &g->extents[g->n_extents++] : NULL;
  if (e) st = cz__graph_name(g, &e->name, "", name);
  if (st != CZ_OK) return cz__fail(g, st, cz_error_message()), 1;
  e->capacity = e->actual = capacity;
  return -(int64_t)g->n_extents;
}

static cz_value own_memory(cz_graph *g, const char *name, cz__kind kind, cz_dtype dtype, int ndim,
                           const int64_t *dim) {
  cz_arg arg = {.dtype = dtype, .ndim = ndim};
  for (int i = 0; i < ndim; i++) arg.dim[i] = dim[i];
  cz_value v = cz__value_add(g, name, kind, &arg);
  if (!cz__is_value(v)) return v;
  cz__value *x = cz__val(g, v);
  x->bytes = cz__bytes_at(g, &arg, CZ__AT_CAPACITY);
  cz_status st =
      cz_device_alloc_for(g->device, &x->arg.data, x->bytes + g->device->guard_bytes, x->name);
  return st == CZ_OK ? v : (cz__fail(g, st, cz_error_message()), CZ__POISON);
}

/** An input of DTYPE that the host feeds before each run (int32 by cz_graph_feed_int, the
 * device's real dtype by cz_graph_feed_real). Dimensions may be extents. */
cz_value cz_graph_input(cz_graph *g, const char *name, cz_dtype dtype, int ndim,
                        const int64_t *dim) {
  return own_memory(g, name, CZ__INPUT, dtype, ndim, dim);
}

/** An array of the dtype that the graph computes in, which keeps its contents between runs, zeroed
 * at first: the key/value cache of incremental decoding. */
cz_value cz_graph_state(cz_graph *g, const char *name, int ndim, const int64_t *dim) {
  return own_memory(g, name, CZ__STATE, g->params->compute, ndim, dim);
}

/* Makes the clock, with a loss seed of 1. */
cz_status cz__clock_add(cz_graph *g) {
  const int64_t words = sizeof(cz_clock) / sizeof(int32_t);
  const double one = 1;
  g->clock = own_memory(g, "clock", CZ__STATE, CZ_I32, 1, &words);
  if (!cz__is_value(g->clock)) return CZ_FAIL(g->error, "%s", g->why);
  return cz_device_write_real(g->device, cz_graph_loss_seed(g), &one, 1);
}

/** An input, of the dtype that the graph computes in, whose memory is lent before the run
 * (cz_graph_lend): what another graph on the same device left, without a copy. */
cz_value cz_graph_borrow(cz_graph *g, const char *name, int ndim, const int64_t *dim) {
  cz_arg arg = {.dtype = g->params->compute, .ndim = ndim};
  for (int i = 0; i < ndim; i++) arg.dim[i] = dim[i];
  return cz__value_add(g, name, CZ__BORROWED, &arg);
}

/** A parameter as a value, in the dtype in which it is read; asking twice gives the same value, so
 * that a tied parameter gathers its gradients in one place. */
cz_value cz_graph_param(cz_graph *g, cz_param *param) {
  for (size_t i = 0; i < g->n_values; i++)
    if (g->values[i].kind == CZ__PARAM && g->values[i].param == param) return (cz_value)i;
  cz_arg arg = cz_param_seen(g->params, param);
  cz_value v = cz__value_add(g, param->name, CZ__PARAM, &arg);
  if (cz__is_value(v)) cz__val(g, v)->param = param;
  return v;
}

/** Starts a named block: nodes built from here to the next call belong to it. With
 * RECOMPUTE its inner values are not kept for backward but recomputed there, dropout
 * included. */
void cz_graph_block(cz_graph *g, const char *name, bool recompute) {
  cz_status st = cz_grow(&g->blocks, &g->cap_blocks, g->n_blocks + 1, sizeof *g->blocks);
  const char *kept = "";
  if (st == CZ_OK) st = cz__graph_name(g, &kept, "", name);
  if (st != CZ_OK) {
    cz__fail(g, st, cz_error_message());
    return;
  }
  g->blocks[g->n_blocks++] = (cz__block){kept, recompute};
}

static void poison_outputs(cz_value *out, const cz_op_row *row) {
  for (int i = 0; i < row->n_out; i++) out[i] = CZ__POISON;
}

/* False when one value is given twice, where the row does not allow for it: kernels write gradients
 * in an order of their own. */
static bool given_once(cz_graph *g, const cz__node *node, const char *name) {
  const cz_op_row *row = node->row;
  for (int i = 0; i < row->n_in; i++) {
    for (int j = 0; j < i; j++) {
      const uint32_t both = 1u << i | 1u << j;
      if (node->in[i] == CZ_ABSENT || node->in[i] != node->in[j]) continue;
      if ((row->grad & both) != both || (row->twins & both) == both) continue;
      char text[256];
      snprintf(text, sizeof text, "%s (%s): %s and %s are one value", name, row->name,
               row->in_name[j], row->in_name[i]);
      return cz__fail(g, CZ_EINVAL, text), false;
    }
  }
  return true;
}

/* Fills ARG from the node's inputs; false when one is poisoned, wrongly absent or given twice. */
static bool gather_inputs(cz_graph *g, cz_arg *arg, const cz__node *node, const char *name) {
  char text[256];
  for (int i = 0; i < node->row->n_in; i++) {
    arg[i] = (cz_arg){0};
    if (node->in[i] == CZ__POISON) return false;
    if (node->in[i] != CZ_ABSENT)
      arg[i] = g->values[node->in[i]].arg;
    else if (!(node->row->in_optional >> i & 1)) {
      snprintf(text, sizeof text, "%s (%s): input %s is missing", name, node->row->name,
               node->row->in_name[i]);
      return cz__fail(g, CZ_EINVAL, text), false;
    }
  }
  return given_once(g, node, name);
}

static bool add_outputs(cz_graph *g, cz__node *node, const cz_arg *made) {
  for (int i = 0; i < node->row->n_out; i++) {
    node->out[i] = CZ_ABSENT;
    if (!cz_present(&made[i])) continue;
    const char *name = NULL;
    char suffix[64] = "";
    if (i) snprintf(suffix, sizeof suffix, ":%s", node->row->out_name[i]);
    if (cz__graph_name(g, &name, node->name, suffix) != CZ_OK)
      return cz__fail(g, CZ_ENOMEM, cz_error_message()), false;
    int from = node->row->must_alias[i] - 1;
    cz_value v = cz__value_add(g, name, CZ__TENSOR, &made[i]);
    if (!cz__is_value(v)) return false;
    cz__value *x = cz__val(g, v);
    x->node = (int)g->n_nodes;
    x->output = i;
    x->saved = node->row->out_saved >> i & 1;
    if (from >= 0 && g->values[node->in[from]].kind ==
                         CZ__TENSOR) { /* the plan would let a later reader's memory go */
      char text[256];
      snprintf(text, sizeof text,
               "%s (%s): %s is updated in place and must be a state, not the output of a node",
               node->name, node->row->name, node->row->in_name[from]);
      return cz__fail(g, CZ_EINVAL, text), false;
    }
    if (from >= 0) { /* written in place: the same memory under a new name */
      x->kind = g->values[node->in[from]].kind;
      x->shares = node->in[from];
    }
    node->out[i] = v;
  }
  return true;
}

/** Adds a node. OUT receives one value per output of the row (absent ones CZ_ABSENT);
 * NAME identifies the node in messages and keys its random draws, so it must be unique.
 * The attributes are copied (row->attr_bytes). A wrong shape is kept for cz_graph_finish
 * and poisons OUT. */
void cz_graph_op(cz_graph *g, cz_value *out, cz_op op, const char *name, int n_in,
                 const cz_value *in, const void *attr) {
  const cz_op_row *row = cz_op_rows[op];
  cz_value spare[CZ_OP_OUT];
  cz_arg arg[CZ_OP_IN], made[CZ_OP_OUT] = {{0}};
  char why[512] = "", text[sizeof g->why];
  cz__node node = {
      .op = op, .row = row, .block = (int)g->n_blocks - 1, .key = (uint32_t)cz_hash_text(name)};
  if (!out) out = spare;
  poison_outputs(out, row);
  CZ_CHECK(!g->finished && row->attr_bytes <= CZ_ATTR_BYTES && n_in <= row->n_in);
  for (int i = 0; i < CZ_OP_IN; i++) node.in[i] = i < n_in ? in[i] : CZ_ABSENT;
  for (int i = 0; i < CZ_OP_OUT; i++) node.out[i] = CZ_ABSENT;
  if (attr) memcpy(node.attr, attr, row->attr_bytes);
  if (!gather_inputs(g, arg, &node, name)) return;
  if (!row->shape(made, arg, node.attr, why, sizeof why)) {
    snprintf(text, sizeof text, "%s%s%s (%s): %s", g->blocks[node.block].name,
             g->blocks[node.block].name[0] ? "/" : "", name, row->name, why);
    cz__fail(g, CZ_EINVAL, text);
    return;
  }
  cz_status st = cz_grow(&g->nodes, &g->cap_nodes, g->n_nodes + 1, sizeof *g->nodes);
  if (st == CZ_OK) st = cz__graph_name(g, &node.name, "", name);
  if (st != CZ_OK) {
    cz__fail(g, st, cz_error_message());
    return;
  }
  if (!add_outputs(g, &node, made)) return;
  g->nodes[g->n_nodes++] = node;
  memcpy(out, node.out, sizeof *out * (size_t)row->n_out);
}

/** Keeps a value readable after the run. */
void cz_graph_keep(cz_graph *g, cz_value v) {
  if (cz__is_value(v)) cz__val(g, v)->keep = true;
}

/** Adds V, a real array of one element, to the losses whose sum cz_graph_train
 * differentiates. Each has rows and a denominator of its own, which are inputs of the op
 * that makes it; weights go into the denominators. Its value may be read by other nodes,
 * too. */
void cz_graph_loss(cz_graph *g, cz_value v) {
  if (!cz__is_value(v)) return; /* a building error that is kept already, or no value */
  const cz_arg *a = &cz__val(g, v)->arg;
  char text[256];
  for (size_t i = 0; i < g->n_losses; i++)
    if (g->losses[i] == v) {
      snprintf(text, sizeof text, "%s is given as a loss twice", cz__val(g, v)->name);
      cz__fail(g, CZ_EINVAL, text);
      return;
    }
  if (a->ndim != 1 || a->dim[0] != 1 || a->dtype == CZ_I32) {
    snprintf(text, sizeof text, "%s is no real scalar and can't be a loss", cz__val(g, v)->name);
    cz__fail(g, CZ_EINVAL, text);
    return;
  }
  cz_status st = cz_grow(&g->losses, &g->cap_losses, g->n_losses + 1, sizeof *g->losses);
  if (st != CZ_OK) {
    cz__fail(g, st, cz_error_message());
    return;
  }
  g->losses[g->n_losses++] = v;
  cz_graph_keep(g, v);
}
