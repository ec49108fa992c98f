/* What `cloze graph` shows: the planned steps with shapes, bytes and places, and the
 * arenas' sizes. */
#include "graph/internal.h"
#include "base/hash.h"

#include <string.h>

static cz_status print_shape(const cz_graph *g, cz_buf *out, const cz_arg *a) {
  CZ_TRY(cz_buf_addf(out, "%s[", cz_dtype_names[a->dtype]));
  for (int i = 0; i < a->ndim; i++) {
    if (a->dim[i] < 0)
      CZ_TRY(cz_buf_addf(out, "%s%s", i ? "," : "", g->extents[-a->dim[i] - 1].name));
    else
      CZ_TRY(cz_buf_addf(out, "%s%lld", i ? "," : "", (long long)a->dim[i]));
  }
  return cz_buf_addf(out, "]");
}

static const char *phase_name(cz__phase p) {
  return p == CZ__FORWARD ? "forward" : p == CZ__RECOMPUTE ? "recompute" : "backward";
}

/* One array that a step writes or adds to. */
static cz_status text_written(const cz_graph *g, cz_buf *out, cz_value v, cz_grad_mode mode) {
  const cz__value *x = &g->values[v];
  CZ_TRY(cz_buf_addf(out, "        %s %-44s ", mode == CZ_GRAD_ADD ? "+=" : "->", x->name));
  CZ_TRY(print_shape(g, out, &x->arg));
  CZ_TRY(cz_buf_addf(out, "  %zu bytes", cz__bytes_at(g, &x->arg, CZ__AT_CAPACITY)));
  if (x->kind == CZ__TENSOR) CZ_TRY(cz_buf_addf(out, "  lives %d..%d", x->first, x->last));
  if (x->shares != CZ_ABSENT)
    CZ_TRY(cz_buf_addf(out, "  in place of %s", g->values[x->shares].name));
  return cz_buf_addf(out, "\n");
}

static cz_status json_written(const cz_graph *g, cz_buf *out, cz_value v, cz_grad_mode mode) {
  const cz__value *x = &g->values[v];
  const char *added = mode == CZ_GRAD_ADD ? "true" : "false";
  CZ_TRY(cz_buf_addf(out, "{\"name\": \"%s\", \"shape\": \"", x->name));
  CZ_TRY(print_shape(g, out, &x->arg));
  return cz_buf_addf(out, "\", \"bytes\": %zu, \"added\": %s, \"first\": %d, \"last\": %d}",
                     cz__bytes_at(g, &x->arg, CZ__AT_CAPACITY), added, x->first, x->last);
}

/* The arrays that step S writes, with how; returns their number. */
static int list_written(const cz_graph *g, const cz__step *s, cz_value *value, cz_grad_mode *mode) {
  const cz_op_row *row = g->nodes[s->node].row;
  int n = 0;
  for (int o = 0; o < row->n_out; o++)
    if (s->writes_out && cz__is_value(s->out[o]) && g->values[s->out[o]].arg.data)
      value[n] = s->out[o], mode[n++] = CZ_GRAD_WRITE;
  for (int k = 0; k < row->n_in; k++)
    if (s->mode[k]) value[n] = s->din[k], mode[n++] = s->mode[k];
  return n;
}

static cz_status text_step(const cz_graph *g, cz_buf *out, int index) {
  const cz__step *s = &g->steps[index];
  const cz__node *n = &g->nodes[s->node];
  cz_value value[CZ_OP_IN + CZ_OP_OUT];
  cz_grad_mode mode[CZ_OP_IN + CZ_OP_OUT];
  int written = list_written(g, s, value, mode);
  CZ_TRY(cz_buf_addf(out, "%5d %-9s %-14s %s  (%s)\n", index, phase_name(s->phase), n->row->name,
                     n->name, g->blocks[n->block].name));
  for (int i = 0; i < written; i++) CZ_TRY(text_written(g, out, value[i], mode[i]));
  return CZ_OK;
}

static cz_status json_step(const cz_graph *g, cz_buf *out, int index) {
  const cz__step *s = &g->steps[index];
  const cz__node *n = &g->nodes[s->node];
  cz_value value[CZ_OP_IN + CZ_OP_OUT];
  cz_grad_mode mode[CZ_OP_IN + CZ_OP_OUT];
  int written = list_written(g, s, value, mode);
  CZ_TRY(cz_buf_addf(out, "{\"step\": %d, \"phase\": \"%s\", \"op\": \"%s\", ", index,
                     phase_name(s->phase), n->row->name));
  CZ_TRY(cz_buf_addf(out, "\"name\": \"%s\", \"block\": \"%s\", \"writes\": [", n->name,
                     g->blocks[n->block].name));
  for (int i = 0; i < written; i++) {
    if (i) CZ_TRY(cz_buf_addf(out, ", "));
    CZ_TRY(json_written(g, out, value[i], mode[i]));
  }
  return cz_buf_addf(out, "]}");
}

/* Bytes of the parameters, and of their gradients when there are any. */
static void parameter_bytes(const cz_graph *g, size_t *values, size_t *grads) {
  *values = cz_params_bytes(g->params);
  *grads = g->params->grads ? cz_params_trained_bytes(g->params) : 0;
}

static cz_status print_text(const cz_graph *g, cz_buf *out) {
  size_t values, grads;
  parameter_bytes(g, &values, &grads);
  CZ_TRY(cz_buf_addf(out, "device %s\nextents (capacity):", g->device->name));
  for (size_t i = 0; i < g->n_extents; i++)
    CZ_TRY(cz_buf_addf(out, " %s %lld", g->extents[i].name, (long long)g->extents[i].capacity));
  CZ_TRY(cz_buf_addf(out, "\n"));
  for (int i = 0; i < (int)g->n_steps; i++) CZ_TRY(text_step(g, out, i));
  return cz_buf_addf(
      out, "arenas: activations %zu bytes, workspace %zu, parameters %zu, gradients %zu\n",
      g->memory_bytes, g->workspace_bytes, values, grads);
}

static cz_status print_json(const cz_graph *g, cz_buf *out) {
  size_t values, grads;
  parameter_bytes(g, &values, &grads);
  CZ_TRY(cz_buf_addf(out, "{\"device\": \"%s\", \"extents\": {", g->device->name));
  for (size_t i = 0; i < g->n_extents; i++)
    CZ_TRY(cz_buf_addf(out, "%s\"%s\": %lld", i ? ", " : "", g->extents[i].name,
                       (long long)g->extents[i].capacity));
  CZ_TRY(cz_buf_addf(out, "}, \"steps\": [\n    "));
  for (int i = 0; i < (int)g->n_steps; i++) {
    if (i) CZ_TRY(cz_buf_addf(out, ",\n    "));
    CZ_TRY(json_step(g, out, i));
  }
  return cz_buf_addf(out,
                     "],\n  \"bytes\": {\"activations\": %zu, \"workspace\": %zu, "
                     "\"parameters\": %zu, \"gradients\": %zu}}\n",
                     g->memory_bytes, g->workspace_bytes, values, grads);
}

/** Appends the planned graph as text or as one JSON object: every step with the arrays it
 * writes (shape with extents by name, bytes at capacity, lifetime, in-place use), and
 * the sizes of the arenas. Names have no characters that JSON must escape. */
cz_status cz_graph_print(const cz_graph *g, cz_buf *out, bool json) {
  return json ? print_json(g, out) : print_text(g, out);
}

/* The steps' names, phases and the shapes that they write; not the attributes, whose
 * structs have padding. */
static uint64_t hash_step(const cz_graph *g, const cz__step *s, uint64_t h) {
  const cz__node *n = &g->nodes[s->node];
  const int32_t facts[3] = {(int32_t)n->op, (int32_t)s->phase, (int32_t)n->key};
  h = cz_hash64(facts, sizeof facts, h);
  for (int o = 0; o < n->row->n_out; o++)
    if (cz__is_value(s->out[o]))
      h = cz_hash64(g->values[s->out[o]].arg.dim, sizeof g->values[s->out[o]].arg.dim, h);
  for (int k = 0; k < n->row->n_in; k++) {
    const int32_t gradient[2] = {k, s->mode[k]};
    h = cz_hash64(gradient, sizeof gradient, h);
  }
  return h;
}

/** A hash of the plan (ops, names, shapes, capacities, order, gradients): ranks compare
 * it before the first step, since all must reduce in the same order. */
uint64_t cz_graph_hash(const cz_graph *g) {
  uint64_t h = 0;
  for (size_t i = 0; i < g->n_extents; i++)
    h = cz_hash64(&g->extents[i].capacity, sizeof g->extents[i].capacity, h);
  for (size_t i = 0; i < g->n_steps; i++) h = hash_step(g, &g->steps[i], h);
  return h;
}
