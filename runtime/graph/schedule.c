/* Differentiation and pruning: turns nodes into the list of steps that a run walks.
 *
 * A node is live when a kept value hangs on it. A value needs a gradient when a trainable
 * parameter stands behind it. Backward walks live nodes in reverse; the first
 * contribution to a gradient is written, later ones are added. A loss starts with the
 * clock's loss_seed as its gradient.
 *
 * Recomputation: a block that asks for it gets a second set of forward steps, with
 * outputs of their own, just before its backward. An output that its row calls
 * recomputable is recomputed just before the first backward step that reads it. */
#include "graph/internal.h"

#include <stdlib.h>
#include <string.h>

typedef struct pass {
  cz_graph *g;
  bool *live;    /* per node */
  bool *wants;   /* per value: a trainable parameter stands behind it */
  bool *reached; /* per value: backward brings a gradient here */
  cz_value *now; /* per value: the one that holds its numbers: itself or its recomputed copy */
  size_t n;      /* values when the pass began */
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
    for (int k = 0; k < n->row->n_in; k++) {
      if (!cz__is_value(n->in[k])) continue;
      g->values[n->in[k]].read = true;
      if (g->values[n->in[k]].node != CZ__NO_NODE) p->live[g->values[n->in[k]].node] = true;
    }
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
      s.in[k] = phase == CZ__RECOMPUTE ? p->now[n->in[k]] : n->in[k], s.reads_in[k] = true;
  for (int o = 0; o < n->row->n_out; o++)
    if (cz__is_value(n->out[o])) s.out[o] = phase == CZ__RECOMPUTE ? p->now[n->out[o]] : n->out[o];
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
    arg.version = 0;
    if (param) arg.dtype = g->device->real; /* of a copy in 16 bits, too */
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
  uint32_t present = 0;
  for (int k = 0; k < n->row->n_in; k++) present |= (uint32_t)cz__is_value(n->in[k]) << k;
  return cz_op_needs(n->row, n->attr, present);
}

/* True when the backward of node N runs and reads V. */
static bool backward_reads(const pass *p, const cz__node *n, cz_value v) {
  cz_needs needs = needs_of(n);
  bool reads = false;
  for (int k = 0; k < n->row->n_in; k++) reads |= n->in[k] == v && (needs.in >> k & 1);
  for (int o = 0; o < n->row->n_out; o++) reads |= n->out[o] == v && (needs.out >> o & 1);
  return reads && has_gradient(p, n) && wants_gradient(p, n);
}

/* Refuses to differentiate without a loss, and losses that no training can change. */
static cz_status check_losses(const pass *p) {
  const cz_graph *g = p->g;
  if (g->n_losses == 0) return CZ_FAIL(CZ_EINVAL, "this graph has no loss to differentiate");
  for (size_t i = 0; i < g->n_losses; i++)
    if (p->wants[g->losses[i]]) return CZ_OK;
  return CZ_FAIL(CZ_EINVAL, "no trainable parameter stands behind the loss %s: nothing to train",
                 g->values[g->losses[0]].name);
}

static void mark_reached(pass *p) {
  cz_graph *g = p->g;
  for (size_t i = 0; i < g->n_losses; i++) p->reached[g->losses[i]] = p->wants[g->losses[i]];
  for (size_t i = g->n_nodes; i-- > 0;) {
    const cz__node *n = &g->nodes[i];
    if (n->dead || !p->live[i] || !has_gradient(p, n)) continue;
    for (int k = 0; k < n->row->n_in; k++)
      if (yields(p, n, k)) p->reached[n->in[k]] = true;
  }
}

/* Adds the value that will hold V recomputed. */
static cz_status add_copy(pass *p, cz_value v) {
  cz_graph *g = p->g;
  cz__value old = g->values[v];
  const char *name;
  CZ_TRY(cz__graph_name(g, &name, "recomputed ", old.name));
  cz_value copy = cz__value_add(g, name, CZ__TENSOR, &old.arg);
  if (!cz__is_value(copy)) return CZ_FAIL(CZ_ENOMEM, "%s", g->why);
  g->values[copy].saved = old.saved;
  g->values[copy].node = old.node;
  g->values[copy].output = old.output;
  p->now[v] = copy;
  return CZ_OK;
}

/* True when V is kept for backward even if node N is not recomputed: N's own backward
 * reads it, or that of its producer. */
static bool is_kept(const pass *p, const cz__node *n, cz_value v) {
  const cz__value *x = &p->g->values[v];
  if (x->kind != CZ__TENSOR || x->keep || p->now[v] != v) return true;
  return backward_reads(p, n, v) || backward_reads(p, &p->g->nodes[x->node], v);
}

/* Recomputes V rather than keep it, when its row allows it, no copy exists yet, and the
 * recomputation reads nothing that would otherwise not be kept. */
static cz_status recompute_output(pass *p, cz_value v) {
  cz_graph *g = p->g;
  const cz__value *x = &g->values[v];
  if (x->node == CZ__NO_NODE || x->keep || p->now[v] != v || g->options.no_reuse) return CZ_OK;
  const cz__node *n = &g->nodes[x->node];
  int output = x->output;
  if (!(n->row->recompute >> output & 1)) return CZ_OK;
  cz__step s;
  empty_step(&s, x->node, CZ__RECOMPUTE);
  for (int k = 0; k < n->row->n_in; k++) {
    int from = n->row->recompute_in[k];
    cz_value in = from > 0 && cz__is_value(n->out[from - 1]) ? n->out[from - 1]
                  : from < 0                                 ? CZ_ABSENT
                                                             : n->in[k];
    if (!cz__is_value(in)) continue;
    if (!is_kept(p, n, in)) return CZ_OK;
    s.in[k] = p->now[in], s.reads_in[k] = true;
  }
  CZ_TRY(add_copy(p, v));
  s.out[output] = p->now[v];
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
    if (cz__is_value(n->in[k]) && (needs.in >> k & 1)) CZ_TRY(recompute_output(p, n->in[k]));
  for (int k = 0; k < row->n_in; k++)
    if (cz__is_value(n->in[k])) s.in[k] = p->now[n->in[k]], s.reads_in[k] = needs.in >> k & 1;
  for (int o = 0; o < row->n_out; o++) {
    if (!cz__is_value(n->out[o])) continue;
    s.out[o] = p->now[n->out[o]];
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
static void mark_recomputed(const pass *p, int block, bool *needed) {
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

static cz_status add_copies(pass *p, int node) {
  cz_graph *g = p->g;
  for (int o = 0; o < g->nodes[node].row->n_out; o++)
    if (cz__is_value(g->nodes[node].out[o])) CZ_TRY(add_copy(p, g->nodes[node].out[o]));
  return CZ_OK;
}

/* Schedules a second time the part of the block's forward that its backward reads, with
 * outputs of its own. A fused loss that other nodes read is kept instead. */
static cz_status recompute_block(pass *p, int block) {
  cz_graph *g = p->g;
  bool *needed;
  cz_status st;
  CZ_TRY(cz_alloc(&needed, p->n, sizeof *needed));
  mark_recomputed(p, block, needed);
  for (size_t i = 0; i < g->n_nodes; i++) {
    const cz__node *n = &g->nodes[i];
    bool made = false;
    if (n->block != block || n->dead || !p->live[i] || n->row->fused_backward) continue;
    for (int o = 0; o < n->row->n_out; o++) made |= cz__is_value(n->out[o]) && needed[n->out[o]];
    if (!made) continue;
    CZ_GO(st, add_copies(p, (int)i), done);
    CZ_GO(st, forward_step(p, (int)i, CZ__RECOMPUTE), done);
  }
  st = CZ_OK;
done:
  free(needed);
  return st;
}

/* True when another node's backward adds to the gradient of V. */
static bool is_added_to(const pass *p, cz_value v) {
  for (size_t i = 0; i < p->g->n_nodes; i++) {
    const cz__node *n = &p->g->nodes[i];
    if (n->dead || !p->live[i] || !has_gradient(p, n)) continue;
    for (int k = 0; k < n->row->n_in; k++)
      if (n->in[k] == v && yields(p, n, k)) return true;
  }
  return false;
}

/* Gives each loss its gradient: the clock's loss_seed itself, or memory of its own, to which the
 * run copies it, where something is added. */
static cz_status seed_losses(pass *p) {
  cz_graph *g = p->g;
  for (size_t i = 0; i < g->n_losses; i++) {
    cz_value seed;
    if (!p->wants[g->losses[i]]) continue;
    CZ_TRY(grad_of(g, g->losses[i], &seed));
    if (is_added_to(p, g->losses[i])) continue;
    g->values[seed].kind = CZ__STATE;
    g->values[seed].shares = g->clock;
    g->values[seed].offset = offsetof(cz_clock, loss_seed);
  }
  return CZ_OK;
}

static cz_status backward_steps(pass *p) {
  cz_graph *g = p->g;
  int recomputed = -1;
  CZ_TRY(seed_losses(p));
  for (size_t i = g->n_nodes; i-- > 0;) {
    cz__node *n = &g->nodes[i];
    if (n->dead || !p->live[i] || !has_gradient(p, n)) continue;
    if (n->row->not_differentiable)
      return CZ_FAIL(CZ_EINVAL, "%s (%s): a gradient arrives, but this op is not differentiable",
                     n->name, n->row->name);
    if (!wants_gradient(p, n)) continue;
    if (g->blocks[n->block].recompute && recomputed != n->block)
      CZ_TRY(recompute_block(p, recomputed = n->block));
    CZ_TRY(backward_step(p, (int)i));
  }
  return CZ_OK;
}

/* True when the backward of N computes its outputs in time: its row says so, backward
 * runs for it, and no other node reads them before. */
static bool computed_in_backward(const pass *p, const cz__node *n) {
  if (!n->row->fused_backward || !has_gradient(p, n) || !wants_gradient(p, n)) return false;
  for (int o = 0; o < n->row->n_out; o++)
    if (cz__is_value(n->out[o]) && p->g->values[n->out[o]].read) return false;
  return true;
}

static cz_status forward_steps(pass *p) {
  for (size_t i = 0; i < p->g->n_nodes; i++) {
    const cz__node *n = &p->g->nodes[i];
    if (n->dead || !p->live[i]) continue;
    if (computed_in_backward(p, n)) continue;
    CZ_TRY(forward_step(p, (int)i, CZ__FORWARD));
  }
  p->g->forward_steps = (int)p->g->n_steps;
  return CZ_OK;
}

/* Fills g->steps from the nodes. */
cz_status cz__schedule(cz_graph *g) {
  pass p = {.g = g, .n = g->n_values};
  cz_status st;
  if (g->options.train) CZ_TRY(cz_params_allocate_grads(g->params, 0));
  CZ_GO(st, cz_alloc(&p.live, g->n_nodes, sizeof *p.live), done);
  CZ_GO(st, cz_alloc(&p.wants, g->n_values, sizeof *p.wants), done);
  CZ_GO(st, cz_alloc(&p.reached, g->n_values, sizeof *p.reached), done);
  CZ_GO(st, cz_alloc(&p.now, g->n_values, sizeof *p.now), done);
  for (size_t i = 0; i < g->n_values; i++) p.now[i] = (cz_value)i;
  mark_live(&p);
  mark_wanted(&p);
  if (g->options.train) {
    CZ_GO(st, check_losses(&p), done);
    mark_reached(&p);
  }
  CZ_GO(st, forward_steps(&p), done);
  if (g->options.train) CZ_GO(st, backward_steps(&p), done);
done:
  free(p.live);
  free(p.wants);
  free(p.reached);
  free(p.now);
  return st;
}
