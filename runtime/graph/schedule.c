/* Differentiation and pruning: turns nodes into the list of steps that a run walks.
 *
 * A node is live when a kept value hangs on it. A value needs a gradient when a trainable
 * parameter stands behind it. Backward walks live nodes in reverse; the first
 * contribution to a gradient is written, later ones are added. Blocks that recompute get
 * a second, renamed set of forward steps just before their backward; a cheap output (see
 * the row) is made again just before the first backward step that reads it. */
#include "graph/internal.h"

#include <stdlib.h>
#include <string.h>

typedef struct pass {
  cz_graph *g;
  bool *live;      /* per node */
  bool *wants;     /* per value: a trainable parameter stands behind it */
  bool *reached;   /* per value: backward brings a gradient here */
  cz_value *again; /* per value: its name in the replay of the present block, or itself */
  size_t n;        /* values when the pass began */
} pass;

static void mark_live(pass *p) {
  cz_graph *g = p->g;
  for (size_t i = g->n_nodes; i-- > 0;) {
    cz__node *n = &g->nodes[i];
    if (n->dead) continue;
    p->live[i] |= n->row->side_effect;
    for (int o = 0; o < n->row->n_out; o++)
      if (cz__is_value(n->out[o])) p->live[i] |= g->values[n->out[o]].keep;
    if (!p->live[i]) continue;
    for (int k = 0; k < n->row->n_in; k++)
      if (cz__is_value(n->in[k]) && g->values[n->in[k]].node != CZ__NO_NODE)
        p->live[g->values[n->in[k]].node] = true;
  }
}

static void mark_wanted(pass *p) {
  cz_graph *g = p->g;
  for (size_t i = 0; i < g->n_values; i++)
    p->wants[i] = g->values[i].kind == CZ__PARAM && g->values[i].param->trainable;
  for (size_t i = 0; i < g->n_nodes; i++) {
    cz__node *n = &g->nodes[i];
    bool wanted = false;
    if (n->dead || !p->live[i]) continue;
    for (int k = 0; k < n->row->n_in; k++) wanted |= cz__is_value(n->in[k]) && p->wants[n->in[k]];
    if (!wanted) continue;
    bool through = false; /* a gradient could flow through this node to a parameter */
    for (int k = 0; k < n->row->n_in; k++)
      through |= cz__is_value(n->in[k]) && p->wants[n->in[k]] && (n->row->grad >> k & 1);
    if (!through && !n->row->not_differentiable) continue;
    for (int o = 0; o < n->row->n_out; o++)
      if (cz__is_value(n->out[o]) && !(n->row->out_saved >> o & 1)) p->wants[n->out[o]] = true;
  }
}

static cz_status add_step(cz_graph *g, const cz__step *s) {
  CZ_TRY(cz_grow(&g->steps, &g->cap_steps, g->n_steps + 1, sizeof *g->steps));
  g->steps[g->n_steps++] = *s;
  return CZ_OK;
}

static void empty_step(cz__step *s, int node, cz__phase phase) {
  *s = (cz__step){.node = node, .phase = phase};
  for (int i = 0; i < CZ_OP_IN; i++) s->in[i] = s->din[i] = CZ_ABSENT;
  for (int i = 0; i < CZ_OP_OUT; i++) s->out[i] = s->dout[i] = CZ_ABSENT;
}

static cz_status forward_step(pass *p, int node, cz__phase phase) {
  cz__node *n = &p->g->nodes[node];
  cz__step s;
  empty_step(&s, node, phase);
  for (int k = 0; k < n->row->n_in; k++)
    if (cz__is_value(n->in[k]))
      s.in[k] = phase == CZ__REPLAY ? p->again[n->in[k]] : n->in[k], s.reads_in[k] = true;
  for (int o = 0; o < n->row->n_out; o++)
    if (cz__is_value(n->out[o])) s.out[o] = phase == CZ__REPLAY ? p->again[n->out[o]] : n->out[o];
  s.writes_out = true;
  return add_step(p->g, &s);
}

/* The value that holds the gradient of V, made when first asked for. Parameters own
 * theirs. */
static cz_status grad_of(cz_graph *g, cz_value v, cz_value *out) {
  if (g->values[v].grad == CZ_ABSENT) {
    const char *name;
    CZ_TRY(cz__graph_name(g, &name, "d ", g->values[v].name));
    cz_arg arg = g->values[v].arg;
    cz_param *param = g->values[v].param;
    arg.data = param ? param->grad : NULL;
    cz_value d = cz__value_add(g, name, param ? CZ__PARAM_GRAD : CZ__TENSOR, &arg);
    if (!cz__is_value(d)) return CZ_FAIL(CZ_ENOMEM, "%s", g->why);
    g->values[d].param = param;
    g->values[v].grad = d;
  }
  *out = g->values[v].grad;
  return CZ_OK;
}

static bool has_gradient(const pass *p, const cz__node *n) {
  for (int o = 0; o < n->row->n_out; o++)
    if (cz__is_value(n->out[o]) && p->reached[n->out[o]]) return true;
  return false;
}

static bool yields(const pass *p, const cz__node *n, int k) {
  return (n->row->grad >> k & 1) && cz__is_value(n->in[k]) && p->wants[n->in[k]];
}

static bool wants_gradient(const pass *p, const cz__node *n) {
  for (int k = 0; k < n->row->n_in; k++)
    if (yields(p, n, k)) return true;
  return false;
}

static cz_needs needs_of(const cz__node *n) {
  cz_needs needs = n->row->needs;
  if (n->row->needs_of) n->row->needs_of(&needs, n->attr);
  return needs;
}

/* True when the backward of node N runs and reads V. */
static bool backward_reads(const pass *p, const cz__node *n, cz_value v) {
  cz_needs needs = needs_of(n);
  bool reads = false;
  for (int k = 0; k < n->row->n_in; k++) reads |= n->in[k] == v && (needs.in >> k & 1);
  for (int o = 0; o < n->row->n_out; o++) reads |= n->out[o] == v && (needs.out >> o & 1);
  return reads && has_gradient(p, n) && wants_gradient(p, n);
}

static void mark_reached(pass *p) {
  cz_graph *g = p->g;
  p->reached[g->loss] = true;
  for (size_t i = g->n_nodes; i-- > 0;) {
    const cz__node *n = &g->nodes[i];
    if (n->dead || !p->live[i] || !has_gradient(p, n)) continue;
    for (int k = 0; k < n->row->n_in; k++)
      if (yields(p, n, k)) p->reached[n->in[k]] = true;
  }
}

/* Gives V a second name, under which it is made again. */
static cz_status twin(pass *p, cz_value v) {
  cz_graph *g = p->g;
  cz__value old = g->values[v];
  const char *name;
  CZ_TRY(cz__graph_name(g, &name, "again ", old.name));
  cz_value again = cz__value_add(g, name, CZ__TENSOR, &old.arg);
  if (!cz__is_value(again)) return CZ_FAIL(CZ_ENOMEM, "%s", g->why);
  g->values[again].saved = old.saved;
  g->values[again].node = old.node;
  g->values[again].output = old.output;
  p->again[v] = again;
  return CZ_OK;
}

/* True when V is there in backward whether or not node N is run again: N's own backward
 * reads it, or that of its producer. */
static bool there_anyway(const pass *p, const cz__node *n, cz_value v) {
  const cz__value *x = &p->g->values[v];
  if (x->kind != CZ__TENSOR || x->keep || p->again[v] != v) return true;
  return backward_reads(p, n, v) || backward_reads(p, &p->g->nodes[x->node], v);
}

/* Makes V again, by a step that reads only what is there anyway, if it is cheap and still
 * goes by its first name. */
static cz_status make_again(pass *p, cz_value v) {
  cz_graph *g = p->g;
  const cz__value *x = &g->values[v];
  if (x->node == CZ__NO_NODE || x->keep || p->again[v] != v || g->options.no_reuse) return CZ_OK;
  const cz__node *n = &g->nodes[x->node];
  int output = x->output;
  if (!(n->row->recompute >> output & 1)) return CZ_OK;
  cz__step s;
  empty_step(&s, x->node, CZ__REPLAY);
  for (int k = 0; k < n->row->n_in; k++) {
    int from = n->row->recompute_in[k];
    cz_value in = from > 0 && cz__is_value(n->out[from - 1]) ? n->out[from - 1]
                  : from < 0                                 ? CZ_ABSENT
                                                             : n->in[k];
    if (!cz__is_value(in)) continue;
    if (!there_anyway(p, n, in)) return CZ_OK;
    s.in[k] = p->again[in], s.reads_in[k] = true;
  }
  CZ_TRY(twin(p, v));
  s.out[output] = p->again[v];
  s.writes_out = true;
  return add_step(g, &s);
}

static cz_status backward_step(pass *p, int node) {
  cz_graph *g = p->g;
  cz__node *n = &g->nodes[node];
  const cz_op_row *row = n->row;
  cz_needs needs = needs_of(n);
  cz__step s;
  empty_step(&s, node, CZ__BACKWARD);
  s.writes_out = row->fused_backward;
  for (int k = 0; k < row->n_in; k++)
    if (cz__is_value(n->in[k]) && (needs.in >> k & 1)) CZ_TRY(make_again(p, n->in[k]));
  for (int k = 0; k < row->n_in; k++)
    if (cz__is_value(n->in[k])) s.in[k] = p->again[n->in[k]], s.reads_in[k] = needs.in >> k & 1;
  for (int o = 0; o < row->n_out; o++) {
    if (!cz__is_value(n->out[o])) continue;
    s.out[o] = p->again[n->out[o]];
    s.reads_out[o] = needs.out >> o & 1;
    s.dout[o] = g->values[n->out[o]].grad;
  }
  for (int k = 0; k < row->n_in; k++) {
    if (!yields(p, n, k)) continue;
    bool first = g->values[n->in[k]].grad == CZ_ABSENT;
    for (int j = 0; j < k; j++) first &= !(s.mode[j] && n->in[j] == n->in[k]);
    CZ_TRY(grad_of(g, n->in[k], &s.din[k]));
    s.mode[k] = first ? CZ_GRAD_WRITE : CZ_GRAD_ADD;
  }
  return add_step(g, &s);
}

/* Marks in NEEDED the values of BLOCK that its backward reads, and those behind them
 * inside the block. */
static void mark_replay(const pass *p, int block, bool *needed) {
  cz_graph *g = p->g;
  for (size_t i = g->n_nodes; i-- > 0;) {
    const cz__node *n = &g->nodes[i];
    if (n->block != block || n->dead || !p->live[i]) continue;
    bool made = false, back = has_gradient(p, n) && wants_gradient(p, n);
    cz_needs needs = needs_of(n);
    for (int o = 0; o < n->row->n_out; o++) {
      if (!cz__is_value(n->out[o])) continue;
      needed[n->out[o]] |= back && (needs.out >> o & 1);
      made |= needed[n->out[o]];
    }
    for (int k = 0; k < n->row->n_in; k++)
      if (cz__is_value(n->in[k])) needed[n->in[k]] |= made || (back && (needs.in >> k & 1));
  }
}

static cz_status twin_outputs(pass *p, int node) {
  cz_graph *g = p->g;
  for (int o = 0; o < g->nodes[node].row->n_out; o++)
    if (cz__is_value(g->nodes[node].out[o])) CZ_TRY(twin(p, g->nodes[node].out[o]));
  return CZ_OK;
}

/* Gives the block's inner values second names and schedules again the part of its forward
 * that the backward which follows will read. */
static cz_status replay_block(pass *p, int block) {
  cz_graph *g = p->g;
  bool *needed;
  cz_status st;
  CZ_TRY(cz_alloc(&needed, p->n, sizeof *needed));
  mark_replay(p, block, needed);
  for (size_t i = 0; i < g->n_nodes; i++) {
    const cz__node *n = &g->nodes[i];
    bool made = false;
    if (n->block != block || n->dead || !p->live[i] || n->row->fused_backward) continue;
    for (int o = 0; o < n->row->n_out; o++) made |= cz__is_value(n->out[o]) && needed[n->out[o]];
    if (!made) continue;
    CZ_GO(st, twin_outputs(p, (int)i), done);
    CZ_GO(st, forward_step(p, (int)i, CZ__REPLAY), done);
  }
  st = CZ_OK;
done:
  free(needed);
  return st;
}

static cz_status backward_steps(pass *p) {
  cz_graph *g = p->g;
  int replayed = -1;
  if (!cz__is_value(g->loss)) return CZ_FAIL(CZ_EINVAL, "this graph has no loss to differentiate");
  cz_value seed;
  if (!p->wants[g->loss])
    return CZ_FAIL(CZ_EINVAL, "no trainable parameter stands behind the loss %s: nothing to train",
                   g->values[g->loss].name);
  mark_reached(p);
  CZ_TRY(grad_of(g, g->loss, &seed));
  for (size_t i = g->n_nodes; i-- > 0;) {
    cz__node *n = &g->nodes[i];
    if (n->dead || !p->live[i] || !has_gradient(p, n)) continue;
    if (n->row->not_differentiable)
      return CZ_FAIL(CZ_EINVAL, "%s (%s): a gradient arrives, but this op is not differentiable",
                     n->name, n->row->name);
    if (!wants_gradient(p, n)) continue;
    if (g->blocks[n->block].recompute && replayed != n->block)
      CZ_TRY(replay_block(p, replayed = n->block));
    CZ_TRY(backward_step(p, (int)i));
  }
  return CZ_OK;
}

/* A terminal loss that computes its outputs in backward runs no forward of its own in a
 * training schedule. */
static cz_status forward_steps(pass *p) {
  for (size_t i = 0; i < p->g->n_nodes; i++) {
    const cz__node *n = &p->g->nodes[i];
    if (n->dead || !p->live[i]) continue;
    if (n->row->fused_backward && p->g->options.train) continue;
    CZ_TRY(forward_step(p, (int)i, CZ__FORWARD));
  }
  p->g->forward_steps = (int)p->g->n_steps;
  return CZ_OK;
}

/* Fills g->steps from the nodes. */
cz_status cz__schedule(cz_graph *g) {
  pass p = {.g = g, .n = g->n_values};
  cz_status st;
  if (g->options.train) CZ_TRY(cz_params_allocate_grads(g->params));
  CZ_GO(st, cz_alloc(&p.live, g->n_nodes, sizeof *p.live), done);
  CZ_GO(st, cz_alloc(&p.wants, g->n_values, sizeof *p.wants), done);
  CZ_GO(st, cz_alloc(&p.reached, g->n_values, sizeof *p.reached), done);
  CZ_GO(st, cz_alloc(&p.again, g->n_values, sizeof *p.again), done);
  for (size_t i = 0; i < g->n_values; i++) p.again[i] = (cz_value)i;
  mark_live(&p);
  mark_wanted(&p);
  CZ_GO(st, forward_steps(&p), done);
  if (g->options.train) CZ_GO(st, backward_steps(&p), done);
done:
  free(p.live);
  free(p.wants);
  free(p.reached);
  free(p.again);
  return st;
}
