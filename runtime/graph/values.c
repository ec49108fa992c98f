/* What every pass needs of a graph: names and values, sizes, and a step as its kernel
 * call. */
#include "graph/internal.h"

#include <string.h>

/* Keeps the first building error for cz_graph_finish; later ones are consequences. */
void cz__fail(cz_graph *g, cz_status st, const char *message) {
  if (g->error) return;
  g->error = st;
  snprintf(g->why, sizeof g->why, "%s", message);
}

/* Keeps PREFIX and NAME as one text for the graph's life. */
cz_status cz__graph_name(cz_graph *g, const char **out, const char *prefix, const char *name) {
  size_t a = strlen(prefix), b = strlen(name);
  char *p;
  CZ_TRY(cz_arena_alloc(g->arena, &p, a + b + 1, 1));
  snprintf(p, a + b + 1, "%s%s", prefix, name);
  *out = p;
  return CZ_OK;
}

/* A dimension in numbers: extents become what AT says of them. */
static int64_t number(const cz_graph *g, int64_t dim, cz__extents_at at) {
  if (dim >= 0) return dim;
  const cz__extent *e = &g->extents[-dim - 1];
  return at == CZ__AT_CAPACITY ? e->capacity : at == CZ__AT_PLANNED ? e->planned : e->actual;
}

/* Bytes of an array. */
size_t cz__bytes_at(const cz_graph *g, const cz_arg *arg, cz__extents_at at) {
  size_t n = cz_dtype_bytes(arg->dtype);
  for (int i = 0; i < arg->ndim; i++) n *= (size_t)number(g, arg->dim[i], at);
  return n;
}

/* Adds a value; CZ__POISON when there is no memory. */
cz_value cz__value_add(cz_graph *g, const char *name, cz__kind kind, const cz_arg *arg) {
  cz_status st = cz_grow(&g->values, &g->cap_values, g->n_values + 1, sizeof *g->values);
  const char *kept = NULL;
  if (st == CZ_OK) st = cz__graph_name(g, &kept, "", name);
  if (st != CZ_OK) return cz__fail(g, st, cz_error_message()), CZ__POISON;
  g->values[g->n_values] = (cz__value){.name = kept,
                                       .kind = kind,
                                       .arg = *arg,
                                       .node = CZ__NO_NODE,
                                       .grad = CZ_ABSENT,
                                       .shares = CZ_ABSENT,
                                       .first = -1,
                                       .last = -1};
  return (cz_value)g->n_values++;
}

/* A value as a kernel sees it now. */
cz_arg cz__resolve(const cz_graph *g, const cz__value *v, bool capacity) {
  cz_arg a = v->arg;
  for (int i = 0; i < a.ndim; i++)
    a.dim[i] = number(g, a.dim[i], capacity ? CZ__AT_CAPACITY : CZ__AT_PRESENT);
  if (v->kind == CZ__PARAM) a.version = g->params->version;
  return a;
}

/* The kernel call of a step. Arrays that the step does not read or write keep their sizes
 * and lose their data. */
void cz__step_call(const cz_graph *g, const cz__step *s, cz_call *call, bool capacity) {
  const cz__node *n = &g->nodes[s->node];
  *call = (cz_call){.n_in = n->row->n_in,
                    .n_out = n->row->n_out,
                    .attr = n->attr,
                    .workspace = g->workspace,
                    .workspace_bytes = g->workspace_bytes,
                    .stream = g->device->stream};
  for (int k = 0; k < n->row->n_in; k++) {
    call->mode[k] = s->mode[k];
    if (cz__is_value(s->in[k])) call->in[k] = cz__resolve(g, &g->values[s->in[k]], capacity);
    if (!s->reads_in[k]) call->in[k].data = NULL;
    if (cz__is_value(s->din[k])) call->din[k] = cz__resolve(g, &g->values[s->din[k]], capacity);
  }
  for (int o = 0; o < n->row->n_out; o++) {
    if (cz__is_value(s->out[o]) &&
        (g->values[s->out[o]].touched || g->values[s->out[o]].shares != CZ_ABSENT))
      call->out[o] = cz__resolve(g, &g->values[s->out[o]], capacity);
    if (!s->writes_out && !s->reads_out[o]) call->out[o].data = NULL;
    if (cz__is_value(s->dout[o])) call->dout[o] = cz__resolve(g, &g->values[s->dout[o]], capacity);
  }
}

/* The kernels of a step, or an error that names its node. */
cz_status cz__kernels_of(const cz_graph *g, const cz_kernels **kernels, const cz__step *s,
                         const cz_call *call) {
  const cz__node *n = &g->nodes[s->node];
  cz_status st = cz_device_kernels(g->device, kernels, n->op, call, s->phase == CZ__BACKWARD);
  return st == CZ_OK ? CZ_OK : CZ_NOTE(st, "%s", n->name);
}
