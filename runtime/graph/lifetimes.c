/* The lifetime plan: every tensor lives from the first to the last step that touches it,
 * and tensors whose lives do not meet share memory.
 *
 * Largest first, each at the lowest place that is free during its life (greedy by size;
 * Pisarchyk and Lee 2020). In-place use that a row permits joins two tensors into one
 * life before that. Everything is planned at capacity, which the memory holds; kernels get the
 * present sizes.
 *
 * On the host memory counts when it is touched, in pages of 2 MB, and runs are mostly far from
 * capacity, so that small tensors at large distances would take several times their bytes. There
 * the tensors are placed anew, close to one another, whenever an extent is larger than in all runs
 * before: as often as there are records, and not more often than at each sixteenth more. */
#include "graph/internal.h"

#include <stdio.h>
#include <stdlib.h>

enum { ALIGN = 64 };

static cz_value root(const cz_graph *g, cz_value v) {
  while (g->values[v].shares != CZ_ABSENT) v = g->values[v].shares;
  return v;
}

static void touch(cz_graph *g, cz_value v, int step) {
  if (!cz__is_value(v)) return;
  cz__value *x = &g->values[v];
  if (x->first < 0) x->first = step;
  x->last = step;
  x->touched = true;
}

/* What is made for backward alone is not made without it. */
static bool is_dropped(const cz_graph *g, cz_value v) {
  const cz__value *x = &g->values[v];
  return x->saved && !g->options.train && !x->read && !x->keep;
}

static void lifetimes(cz_graph *g) {
  for (int i = 0; i < (int)g->n_steps; i++) {
    const cz__step *s = &g->steps[i];
    for (int k = 0; k < CZ_OP_IN; k++) {
      if (s->reads_in[k]) touch(g, s->in[k], i);
      if (s->mode[k]) touch(g, s->din[k], i);
    }
    for (int o = 0; o < CZ_OP_OUT; o++) {
      bool dropped =
          s->phase != CZ__BACKWARD && cz__is_value(s->out[o]) && is_dropped(g, s->out[o]);
      if ((s->writes_out || s->reads_out[o]) && !dropped) touch(g, s->out[o], i);
      if (cz__is_value(s->dout[o])) touch(g, s->dout[o], i);
    }
  }
  for (size_t i = 0; i < g->n_values; i++) {
    cz__value *v = &g->values[i];
    v->bytes = v->kind == CZ__TENSOR ? cz__bytes_at(g, &v->arg, CZ__AT_CAPACITY) : v->bytes;
    if (v->keep && v->touched) v->last = (int)g->n_steps;
  }
  for (size_t i = 0; i < g->n_losses; i++) { /* their gradients are there before any step */
    cz_value seed = g->values[g->losses[i]].grad;
    if (seed != CZ_ABSENT) g->values[seed].first = 0;
  }
}

/* How often step S uses the memory of V as something it reads. */
static int uses(const cz_graph *g, const cz__step *s, cz_value v) {
  int n = 0;
  for (int k = 0; k < CZ_OP_IN; k++)
    n += s->reads_in[k] && cz__is_value(s->in[k]) && root(g, s->in[k]) == root(g, v);
  for (int o = 0; o < CZ_OP_OUT; o++) {
    n += s->reads_out[o] && cz__is_value(s->out[o]) && root(g, s->out[o]) == root(g, v);
    n += cz__is_value(s->dout[o]) && root(g, s->dout[o]) == root(g, v);
  }
  return n;
}

/* Lets TO live in the memory of FROM when FROM dies at this step, is read once there, and
 * TO is born there. */
static void try_share(cz_graph *g, const cz__step *s, int step, cz_value to, cz_value from) {
  if (!cz__is_value(to) || !cz__is_value(from)) return;
  cz_value r = root(g, from);
  cz__value *t = &g->values[to], *f = &g->values[r];
  if (t->kind != CZ__TENSOR || f->kind != CZ__TENSOR || t->shares != CZ_ABSENT || to == r) return;
  if (t->first != step || f->last != step || t->bytes != f->bytes || uses(g, s, from) != 1) return;
  t->shares = r;
  if (t->last > f->last) f->last = t->last;
}

static void share_in_place(cz_graph *g) {
  for (int i = 0; i < (int)g->n_steps; i++) {
    const cz__step *s = &g->steps[i];
    const cz_op_row *row = g->nodes[s->node].row;
    if (s->phase != CZ__BACKWARD) {
      for (int o = 0; o < row->n_out; o++)
        if (row->may_alias[o]) try_share(g, s, i, s->out[o], s->in[row->may_alias[o] - 1]);
    } else {
      for (int k = 0; k < row->n_in; k++)
        if (row->may_alias_grad[k] && s->mode[k] == CZ_GRAD_WRITE)
          try_share(g, s, i, s->din[k], s->dout[row->may_alias_grad[k] - 1]);
    }
  }
}

static _Thread_local const cz_graph *sorting; /* qsort has no context argument */

static int larger_first(const void *a, const void *b) {
  cz_value x = *(const cz_value *)a, y = *(const cz_value *)b;
  size_t p = sorting->values[x].bytes, q = sorting->values[y].bytes;
  return p != q ? (p < q ? 1 : -1) : x - y;
}

static size_t room(const cz_graph *g, const cz__value *v) {
  return (v->bytes + 2 * g->device->guard_bytes + ALIGN - 1) / ALIGN * ALIGN;
}

/* The lowest offset at which V meets none of the N placed tensors that live when it
 * does. */
static size_t lowest_place(const cz_graph *g, const cz_value *placed, size_t n,
                           const cz__value *v) {
  size_t at = 0;
  bool moved = true;
  while (moved) {
    moved = false;
    for (size_t i = 0; i < n; i++) {
      const cz__value *u = &g->values[placed[i]];
      bool together = g->options.no_reuse || (u->first <= v->last && v->first <= u->last);
      if (!together || at + room(g, v) <= u->offset || u->offset + room(g, u) <= at) continue;
      at = u->offset + room(g, u);
      moved = true;
    }
  }
  return at;
}

/* The tensors that have memory of their own. */
static cz_status list_placed(cz_graph *g) {
  CZ_TRY(cz_alloc(&g->placed, g->n_values, sizeof *g->placed));
  for (size_t i = 0; i < g->n_values; i++)
    if (g->values[i].kind == CZ__TENSOR && g->values[i].touched && g->values[i].shares == CZ_ABSENT)
      g->placed[g->n_placed++] = (cz_value)i;
  return CZ_OK;
}

/* Gives each its place, for the bytes that they now have; returns the bytes of all. */
static size_t place(cz_graph *g) {
  size_t bytes = 0;
  sorting = g;
  qsort(g->placed, g->n_placed, sizeof *g->placed, larger_first);
  for (size_t i = 0; i < g->n_placed; i++) {
    cz__value *v = &g->values[g->placed[i]];
    v->offset = lowest_place(g, g->placed, i, v);
    if (v->offset + room(g, v) > bytes) bytes = v->offset + room(g, v);
  }
  return bytes;
}

static void bind_memory(cz_graph *g) {
  for (size_t i = 0; i < g->n_values; i++) {
    cz__value *v = &g->values[i];
    if (v->shares != CZ_ABSENT) {
      const cz__value *r = &g->values[root(g, (cz_value)i)];
      v->arg.data = r->kind == CZ__TENSOR ? (char *)g->memory + r->offset + g->device->guard_bytes
                                          : (char *)r->arg.data + v->offset;
    } else if (v->kind == CZ__TENSOR && v->touched) {
      v->arg.data = (char *)g->memory + v->offset + g->device->guard_bytes;
    }
  }
}

static cz_status measure_workspace(cz_graph *g) {
  for (size_t i = 0; i < g->n_steps; i++) {
    const cz__step *s = &g->steps[i];
    const cz_kernels *kernels;
    cz_call call;
    cz__step_call(g, s, &call, true);
    CZ_TRY(cz__kernels_of(g, &kernels, s, &call));
    if (!kernels->workspace) continue;
    call.training = true; /* with dropout kernels need the maximum */
    size_t bytes = kernels->workspace(&call, s->phase == CZ__BACKWARD);
    if (bytes > g->workspace_bytes) g->workspace_bytes = bytes;
  }
  return CZ_OK;
}

/* Sizes at the planned extents; what shares memory has the largest of its sharers. */
static void resize(cz_graph *g, cz__extents_at at) {
  for (size_t i = 0; i < g->n_values; i++)
    if (g->values[i].kind == CZ__TENSOR)
      g->values[i].bytes = cz__bytes_at(g, &g->values[i].arg, at);
  for (size_t i = 0; i < g->n_values; i++) {
    cz__value *r = &g->values[root(g, (cz_value)i)];
    if (r->kind == CZ__TENSOR && g->values[i].bytes > r->bytes) r->bytes = g->values[i].bytes;
  }
}

/* The extents to plan for: at the first run its own, then no less than a sixteenth more of the one
 * that has grown. False when the present ones have room. */
static bool grow_extents(cz_graph *g) {
  bool grown = false;
  for (size_t i = 0; i < g->n_extents; i++) {
    cz__extent *e = &g->extents[i];
    if (e->actual <= e->planned) continue;
    const int64_t more = e->planned + e->planned / 16;
    e->planned = e->actual > more ? e->actual : more < e->capacity ? more : e->capacity;
    grown = true;
  }
  return grown;
}

/* Before a run: tensors are placed for its extents where memory counts when it is touched. */
void cz__plan_run(cz_graph *g) {
  if (!g->device->host_memory || !grow_extents(g)) return;
  resize(g, CZ__AT_PLANNED);
  size_t bytes = place(g);
  if (bytes > g->memory_bytes) { /* greedy: less may end up wider than all, which fits */
    for (size_t i = 0; i < g->n_extents; i++) g->extents[i].planned = g->extents[i].capacity;
    resize(g, CZ__AT_CAPACITY);
    bytes = place(g);
  }
  CZ_CHECK(bytes <= g->memory_bytes);
  bind_memory(g);
}

/* Plans and allocates the activations and the workspace. */
cz_status cz__plan(cz_graph *g) {
  lifetimes(g);
  if (!g->options.no_reuse) share_in_place(g);
  CZ_TRY(list_placed(g));
  g->memory_bytes = place(g);
  if (g->memory_bytes)
    CZ_TRY(cz_device_alloc_for(g->device, &g->memory, g->memory_bytes, "activations"));
  bind_memory(g);
  CZ_TRY(measure_workspace(g));
  if (g->workspace_bytes)
    CZ_TRY(cz_device_alloc_for(g->device, &g->workspace,
                               g->workspace_bytes + g->device->guard_bytes, "workspace"));
  return CZ_OK;
}
