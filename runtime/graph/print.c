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
  return p == CZ__FORWARD ? "forward" : p == CZ__REPLAY ? "replay" : "backward";
}

static cz_status print_written(const cz_graph *g, cz_buf *out, cz_value v, cz_grad_mode mode,
                               bool json, bool *first) {
  const cz__value *x = &g->values[v];
  if (json) {
    CZ_TRY(cz_buf_addf(out, "%s{\"name\": \"%s\", \"shape\": \"", *first ? "" : ", ", x->name));
    CZ_TRY(print_shape(g, out, &x->arg));
    CZ_TRY(cz_buf_addf(out, "\", \"bytes\": %zu, \"added\": %s, \"first\": %d, \"last\": %d}",
                       cz__bytes_at_capacity(g, &x->arg), mode == CZ_GRAD_ADD ? "true" : "false",
                       x->first, x->last));
  } else {
    CZ_TRY(cz_buf_addf(out, "        %s %-44s ", mode == CZ_GRAD_ADD ? "+=" : "->", x->name));
    CZ_TRY(print_shape(g, out, &x->arg));
    CZ_TRY(cz_buf_addf(out, "  %zu bytes", cz__bytes_at_capacity(g, &x->arg)));
    if (x->kind == CZ__TENSOR) CZ_TRY(cz_buf_addf(out, "  lives %d..%d", x->first, x->last));
    if (x->shares != CZ_ABSENT)
      CZ_TRY(cz_buf_addf(out, "  in place of %s", g->values[x->shares].name));
    CZ_TRY(cz_buf_addf(out, "\n"));
  }
  *first = false;
  return CZ_OK;
}

static cz_status print_step(const cz_graph *g, cz_buf *out, int index, bool json) {
  const cz__step *s = &g->steps[index];
  const cz__node *n = &g->nodes[s->node];
  bool first = true;
  const char *form = json ? "%s{\"step\": %d, \"phase\": \"%s\", \"op\": \"%s\", \"name\": \"%s\", "
                            "\"block\": \"%s\", \"writes\": ["
                          : "%s%5d %-8s %-14s %s  (%s)\n";
  CZ_TRY(cz_buf_addf(out, form, json && index ? ",\n    " : "", index, phase_name(s->phase),
                     n->row->name, n->name, g->blocks[n->block].name));
  for (int o = 0; o < n->row->n_out; o++)
    if (s->writes_out && cz__is_value(s->out[o]) && g->values[s->out[o]].arg.data)
      CZ_TRY(print_written(g, out, s->out[o], CZ_GRAD_WRITE, json, &first));
  for (int k = 0; k < n->row->n_in; k++)
    if (s->mode[k]) CZ_TRY(print_written(g, out, s->din[k], s->mode[k], json, &first));
  return json ? cz_buf_addf(out, "]}") : CZ_OK;
}

/** Appends the planned graph as text or as one JSON object: every step with the arrays it
 * writes (shape with extents by name, bytes at capacity, lifetime, in-place use), and
 * the sizes of the arenas. */
cz_status cz_graph_print(const cz_graph *g, cz_buf *out, bool json) {
  CZ_TRY(cz_buf_addf(
      out, json ? "{\"device\": \"%s\", \"extents\": {" : "device %s\nextents (capacity):",
      g->device->name));
  for (size_t i = 0; i < g->n_extents; i++)
    CZ_TRY(cz_buf_addf(out, json ? "%s\"%s\": %lld" : "%s %s %lld", json && i ? ", " : "",
                       g->extents[i].name, (long long)g->extents[i].capacity));
  CZ_TRY(cz_buf_addf(out, json ? "}, \"steps\": [\n    " : "\n"));
  for (int i = 0; i < (int)g->n_steps; i++) CZ_TRY(print_step(g, out, i, json));
  size_t params = (size_t)g->params->flat * cz_dtype_bytes(g->device->real);
  return cz_buf_addf(
      out,
      json ? "],\n  \"bytes\": {\"activations\": %zu, \"workspace\": %zu, \"parameters\": %zu, "
             "\"gradients\": %zu}}\n"
           : "arenas: activations %zu bytes, workspace %zu, parameters %zu, gradients %zu\n",
      g->memory_bytes, g->workspace_bytes, params, g->params->grads ? params : 0);
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
