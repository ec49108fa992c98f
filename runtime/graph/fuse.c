/* Named fusions. Each is a local rewrite of nodes whose result has the same value names,
 * and each has a test that fused equals unfused, bit for bit.
 *
 *   residual_norm      h = x + dropout(b); y = norm(h)   one norm with a residual
 *   linear_activation  y = act(x W^T + b)                the product's epilogue */
#include "graph/internal.h"
#include "graph/ops.h"

#include <string.h>

static int count_uses(const cz_graph *g, cz_value v) {
  int n = g->values[v].keep;
  for (size_t i = 0; i < g->n_nodes; i++)
    for (int k = 0; !g->nodes[i].dead && k < g->nodes[i].row->n_in; k++)
      n += g->nodes[i].in[k] == v;
  return n;
}

static cz__node *producer(const cz_graph *g, cz_value v, cz_op op) {
  if (!cz__is_value(v) || g->values[v].node == CZ__NO_NODE) return NULL;
  cz__node *n = &g->nodes[g->values[v].node];
  return n->op == op && !n->dead ? n : NULL;
}

/* The first live node after FROM that reads V, or null. */
static cz__node *first_reader(const cz_graph *g, size_t from, cz_value v) {
  for (size_t i = from + 1; i < g->n_nodes; i++)
    for (int k = 0; !g->nodes[i].dead && k < g->nodes[i].row->n_in; k++)
      if (g->nodes[i].in[k] == v) return &g->nodes[i];
  return NULL;
}

/* A block that is recomputed keeps its borders as they are, or both the sum and the
 * residual would have to be kept. */
static bool same_border(const cz_graph *g, const cz__node *a, const cz__node *b) {
  return a->block == b->block || (!g->blocks[a->block].recompute && !g->blocks[b->block].recompute);
}

/* Another reader of V between two nodes would add its part of V's gradient in another
 * order once they are one. */
static bool read_between(const cz_graph *g, const cz__node *from, const cz__node *to, cz_value v) {
  const cz__node *reader = first_reader(g, (size_t)(from - g->nodes), v);
  return reader && reader < to;
}

static void fuse_residual_norm(cz_graph *g, size_t index) {
  cz__node *add = &g->nodes[index];
  cz_value h = add->out[0], residual = add->in[1];
  cz__node *norm = first_reader(g, index, h), *dropout = producer(g, residual, CZ_OP_dropout);
  if (!norm || norm->op != CZ_OP_norm || norm->in[CZ_NORM_X] != h ||
      norm->in[CZ_NORM_RESIDUAL] != CZ_ABSENT || !same_border(g, add, norm))
    return;
  if (read_between(g, add, norm, add->in[0]) || read_between(g, add, norm, residual)) return;
  if (dropout && (count_uses(g, residual) != 1 || !same_border(g, dropout, norm) ||
                  read_between(g, dropout, norm, dropout->in[CZ_DROPOUT_X])))
    dropout = NULL;
  if (dropout) {
    cz_dropout_attr d;
    cz_norm_attr n;
    memcpy(&d, dropout->attr, sizeof d);
    memcpy(&n, norm->attr, sizeof n);
    n.dropout = d.p;
    n.share_segment = d.share_segment;
    memcpy(norm->attr, &n, sizeof n);
    norm->in[CZ_NORM_SPANS] = dropout->in[CZ_DROPOUT_SPANS];
    norm->key = dropout->key; /* the same masks as unfused */
    residual = dropout->in[CZ_DROPOUT_X];
    dropout->dead = true;
  }
  norm->in[CZ_NORM_X] = add->in[0];
  norm->in[CZ_NORM_RESIDUAL] = residual;
  norm->out[CZ_NORM_H] = h;
  g->values[h].node = (int)(norm - g->nodes);
  g->values[h].output = CZ_NORM_H;
  add->dead = true;
}

/* An activation may ask the product to save its argument: one more output. */
static cz_status add_saved_argument(cz_graph *g, cz__node *linear, cz_value like) {
  const char *name;
  cz_arg arg = g->values[like].arg;
  CZ_TRY(cz__graph_name(g, &name, linear->name, ":pre"));
  int node = (int)(linear - g->nodes);
  cz_value v = cz__value_add(g, name, CZ__TENSOR, &arg);
  if (!cz__is_value(v)) return CZ_FAIL(CZ_ENOMEM, "%s", g->why);
  g->values[v].node = node;
  g->values[v].output = CZ_LINEAR_PRE;
  g->values[v].saved = true;
  linear->out[CZ_LINEAR_PRE] = v;
  return CZ_OK;
}

static cz_status fuse_linear_activation(cz_graph *g, size_t index) {
  cz__node *act = &g->nodes[index], *linear = producer(g, act->in[CZ_ACTIVATION_X], CZ_OP_linear);
  cz_linear_attr l;
  cz_activation_attr a;
  if (!linear || act->in[CZ_ACTIVATION_GATE] != CZ_ABSENT ||
      count_uses(g, linear->out[CZ_LINEAR_Y]) != 1 || linear->block != act->block)
    return CZ_OK;
  memcpy(&l, linear->attr, sizeof l);
  memcpy(&a, act->attr, sizeof a);
  if (l.activation != CZ_ACTIVATION_NONE) return CZ_OK;
  l.activation = a.kind;
  memcpy(linear->attr, &l, sizeof l);
  if (cz_linear_saves_pre(&l)) CZ_TRY(add_saved_argument(g, linear, linear->out[CZ_LINEAR_Y]));
  linear->out[CZ_LINEAR_Y] = act->out[0];
  g->values[act->out[0]].node = (int)(linear - g->nodes);
  g->values[act->out[0]].output = CZ_LINEAR_Y;
  act->dead = true;
  return CZ_OK;
}

/* Applies all fusions in node order. */
cz_status cz__fuse(cz_graph *g) {
  for (size_t i = 0; i < g->n_nodes; i++) {
    if (g->nodes[i].dead) continue;
    if (g->nodes[i].op == CZ_OP_add) fuse_residual_norm(g, i);
    if (g->nodes[i].op == CZ_OP_activation) CZ_TRY(fuse_linear_activation(g, i));
  }
  return CZ_OK;
}
