/* The guard device. Before a step: everything that the step reads was written since the
 * run began and is not overwritten (inputs: fed, at their present size); memory that it
 * will write, and memory whose tensor is born, is filled with NaN. After it: the
 * sentinels around every living tensor are whole, and what lies behind inputs, states,
 * parameters and their gradients is zero. */
#include "graph/internal.h"

#include <string.h>

enum {
  SENTINEL = 0xA5,
  NAN_BYTE = 0xFF
}; /* all bits set is a NaN in every real dtype and -1 as an integer */

static bool planned(const cz__value *v) {
  return v->kind == CZ__TENSOR && v->touched && v->shares == CZ_ABSENT;
}

static bool reads_memory_of(const cz_graph *g, const cz__step *s, const void *data) {
  for (int k = 0; k < CZ_OP_IN; k++)
    if ((s->reads_in[k] && cz__is_value(s->in[k]) && g->values[s->in[k]].arg.data == data))
      return true;
  for (int o = 0; o < CZ_OP_OUT; o++)
    if ((cz__is_value(s->dout[o]) && g->values[s->dout[o]].arg.data == data) ||
        (s->reads_out[o] && cz__is_value(s->out[o]) && g->values[s->out[o]].arg.data == data))
      return true;
  return false;
}

static void poison(cz_graph *g, const cz__step *s, cz_value v) {
  const cz__value *x = &g->values[v];
  if (!x->arg.data || reads_memory_of(g, s, x->arg.data))
    return; /* in place: what is there is the input */
  cz_arg now = cz__resolve(g, x, false);
  memset(x->arg.data, NAN_BYTE, (size_t)cz_numel(&now) * cz_dtype_bytes(now.dtype));
}

/* Before a run: nothing that steps make is written yet. */
void cz__guard_start(cz_graph *g) {
  for (size_t i = 0; i < g->n_values; i++) {
    cz__value *v = &g->values[i];
    if (v->kind == CZ__TENSOR || v->kind == CZ__PARAM_GRAD) v->filled = 0;
  }
}

/* Refuses a step that reads what no step before it has written, or nobody has fed. States
 * and borrowed memory are the caller's, parameters are there from the beginning. */
static cz_status check_read(const cz_graph *g, const cz__step *s, cz_value v) {
  if (!cz__is_value(v)) return CZ_OK;
  const cz__value *x = &g->values[v];
  const cz__node *n = &g->nodes[s->node];
  if (x->kind != CZ__INPUT && x->kind != CZ__TENSOR && x->kind != CZ__PARAM_GRAD) return CZ_OK;
  cz_arg now = cz__resolve(g, x, false);
  if (x->filled >= cz_numel(&now)) return CZ_OK;
  return CZ_FAIL(CZ_ECORRUPT, "guard: %s (%s) reads %s, of which %lld of %lld elements are written",
                 n->name, n->row->name, x->name, (long long)x->filled, (long long)cz_numel(&now));
}

static cz_status check_reads(const cz_graph *g, const cz__step *s) {
  for (int k = 0; k < CZ_OP_IN; k++) {
    if (s->reads_in[k]) CZ_TRY(check_read(g, s, s->in[k]));
    bool begun = false; /* the step itself has written it, for the same value before */
    for (int j = 0; j < k; j++) begun |= s->mode[j] && s->din[j] == s->din[k];
    if (s->mode[k] == CZ_GRAD_ADD && !begun) CZ_TRY(check_read(g, s, s->din[k]));
  }
  for (int o = 0; o < CZ_OP_OUT; o++) {
    if (s->reads_out[o]) CZ_TRY(check_read(g, s, s->out[o]));
    CZ_TRY(check_read(g, s, s->dout[o]));
  }
  return CZ_OK;
}

static bool overlap(const cz__value *a, const cz__value *b) {
  const char *p = a->arg.data, *q = b->arg.data;
  return p && q && p < q + b->bytes && q < p + a->bytes;
}

/* V is written; what else lies in its memory is not any more. */
static void fill(cz_graph *g, cz_value v) {
  if (!cz__is_value(v)) return;
  cz__value *x = &g->values[v];
  cz_arg now = cz__resolve(g, x, false);
  for (size_t i = 0; x->kind == CZ__TENSOR && i < g->n_values; i++)
    if (g->values[i].kind == CZ__TENSOR && overlap(&g->values[i], x)) g->values[i].filled = 0;
  x->filled = cz_numel(&now);
}

static void fill_written(cz_graph *g, const cz__step *s) {
  for (int o = 0; o < CZ_OP_OUT; o++)
    if (s->writes_out) fill(g, s->out[o]);
  for (int k = 0; k < CZ_OP_IN; k++)
    if (s->mode[k]) fill(g, s->din[k]);
}

/* Before a step: sentinels around the tensors born here, NaN in what it will write, NaN
 * in the workspace, which must do at the present sizes too. */
cz_status cz__guard_begin(cz_graph *g, int step, const cz_kernels *kernels, const cz_call *call) {
  const cz__step *s = &g->steps[step];
  const cz_op_row *row = g->nodes[s->node].row;
  size_t wanted = kernels->workspace ? kernels->workspace(call, s->phase == CZ__BACKWARD) : 0;
  if (wanted > g->workspace_bytes)
    return CZ_FAIL(CZ_ECORRUPT,
                   "guard: %s (%s) wants %zu bytes of workspace, of which there are %zu",
                   g->nodes[s->node].name, row->name, wanted, g->workspace_bytes);
  CZ_TRY(check_reads(g, s));
  size_t margin = g->device->guard_bytes;
  for (size_t i = 0; i < g->n_values; i++) {
    const cz__value *v = &g->values[i];
    if (!planned(v) || v->first != step) continue;
    memset((char *)v->arg.data - margin, SENTINEL, margin);
    memset((char *)v->arg.data + v->bytes, SENTINEL, margin);
    if (v->filled == 0) memset(v->arg.data, NAN_BYTE, v->bytes); /* seeds are written already */
  }
  for (int o = 0; o < CZ_OP_OUT; o++)
    if (s->writes_out && cz__is_value(s->out[o])) poison(g, s, s->out[o]);
  for (int k = 0; k < CZ_OP_IN; k++)
    if (s->mode[k] == CZ_GRAD_WRITE) poison(g, s, s->din[k]);
  if (g->workspace_bytes) {
    memset(g->workspace, NAN_BYTE, g->workspace_bytes);
    memset((char *)g->workspace + g->workspace_bytes, SENTINEL, margin);
  }
  return CZ_OK;
}

static bool holds(const void *p, size_t n, unsigned char byte) {
  for (size_t i = 0; i < n; i++)
    if (((const unsigned char *)p)[i] != byte) return false;
  return true;
}

static cz_status damaged(const cz_graph *g, int step, const char *side, const char *what,
                         const char *name) {
  const cz__node *n = &g->nodes[g->steps[step].node];
  return CZ_FAIL(CZ_ECORRUPT, "guard: after %s (%s) the memory %s %s %s was overwritten", n->name,
                 n->row->name, side, what, name);
}

static cz_status check_parameters(const cz_graph *g, int step) {
  size_t size = cz_dtype_bytes(g->device->real);
  for (size_t i = 0; i < g->params->n; i++) {
    const cz_param *p = g->params->list[i];
    size_t from = (size_t)p->count * size, gap = (size_t)(p->room - p->count) * size;
    if (!holds((char *)p->value + from, gap, 0))
      return damaged(g, step, "after", "parameter", p->name);
    if (p->grad && !holds((char *)p->grad + from, gap, 0))
      return damaged(g, step, "after", "gradient of", p->name);
  }
  return CZ_OK;
}

/* After a step: all sentinels must be whole. CZ_ECORRUPT names the op and the array. */
cz_status cz__guard_end(cz_graph *g, int step) {
  size_t margin = g->device->guard_bytes;
  fill_written(g, &g->steps[step]);
  for (size_t i = 0; i < g->n_values; i++) {
    const cz__value *v = &g->values[i];
    const char *p = v->arg.data;
    bool own = v->shares == CZ_ABSENT && (v->kind == CZ__INPUT || v->kind == CZ__STATE);
    if (own && !holds(p + v->bytes, margin, 0)) return damaged(g, step, "after", "array", v->name);
    if (!planned(v) || v->first > step || v->last < step) continue;
    if (!holds(p - margin, margin, SENTINEL)) return damaged(g, step, "before", "tensor", v->name);
    if (!holds(p + v->bytes, margin, SENTINEL)) return damaged(g, step, "after", "tensor", v->name);
  }
  if (g->workspace_bytes && !holds((char *)g->workspace + g->workspace_bytes, margin, SENTINEL))
    return damaged(g, step, "after", "the", "workspace");
  return check_parameters(g, step);
}
