/* The clock of ops: an event on each side of every kernel, read when the run has ended, so that a
 * profiled step waits for the device no sooner than another. */
#include "graph/internal.h"

#include <stdlib.h>
#include <string.h>

/** Turns the per-op clock on or off and clears it. */
void cz_graph_profile(cz_graph *g, bool on) {
  g->profile = on;
  memset(g->times, 0, sizeof g->times);
}

/** Copies the per-op times of ops that ran, at most N, and returns how many. */
int cz_graph_times(const cz_graph *g, cz_op_time *times, int n) {
  int k = 0;
  for (int i = 0; i < CZ_OPS && k < n; i++)
    if (g->times[i].calls) times[k++] = g->times[i];
  return k;
}

/** Makes the events of all steps; does nothing the second time. */
cz_status cz__profile_open(cz_graph *g) {
  if (g->events) return CZ_OK;
  CZ_TRY(cz_alloc(&g->events, 2 * g->n_steps + 1, sizeof *g->events));
  cz_status st = CZ_OK;
  for (size_t i = 0; i < 2 * g->n_steps && st == CZ_OK; i++)
    st = g->device->event(g->device, &g->events[i]);
  if (st != CZ_OK) cz__profile_close(g);
  return st;
}

/** Frees them. */
void cz__profile_close(cz_graph *g) {
  for (size_t i = 0; g->events && i < 2 * g->n_steps; i++)
    g->device->event_free(g->device, &g->events[i]);
  free(g->events);
  g->events = NULL;
}

/** Marks the beginning of a step's kernel, or with AFTER its end. */
cz_status cz__profile_mark(cz_graph *g, int step, bool after) {
  return g->device->record(g->device, g->events[(size_t)2 * (size_t)step + after]);
}

/* What the row counts, from host copies of the integers: nothing writes those in a run. */
static cz_status count_flop(double *flop, cz_graph *g, const cz_op_row *row, const cz_call *call,
                            bool backward) {
  cz_call on_host = *call;
  cz_status st = CZ_OK;
  void *copies[CZ_OP_IN] = {NULL};
  *flop = 0;
  if (!row->flops) return CZ_OK;
  for (int k = 0; k < row->n_in; k++) {
    on_host.in[k].data = NULL;
    if (!call->in[k].data || call->in[k].dtype != CZ_I32) continue;
    int64_t n = cz_numel(&call->in[k]);
    CZ_GO(st, cz_alloc(&copies[k], (size_t)n, sizeof(int32_t)), done);
    CZ_GO(st, g->device->read(g->device, copies[k], call->in[k].data, (size_t)n * sizeof(int32_t)),
          done);
    on_host.in[k].data = copies[k];
  }
  *flop = row->flops(&on_host, backward);
done:
  for (int k = 0; k < row->n_in; k++) free(copies[k]);
  return st;
}

static cz_status note_time(cz_graph *g, int index) {
  const cz__step *s = &g->steps[index];
  const cz__node *n = &g->nodes[s->node];
  cz_event *before = g->events[(size_t)2 * (size_t)index],
           *after = g->events[(size_t)2 * (size_t)index + 1];
  cz_op_time *t = &g->times[n->op];
  bool backward = s->phase == CZ__BACKWARD;
  cz_call call;
  double flop;
  cz__step_call(g, s, &call, false);
  CZ_TRY(count_flop(&flop, g, n->row, &call, backward));
  CZ_TRY(g->device->await(g->device, before));
  CZ_TRY(g->device->await(g->device, after));
  t->op = n->row->name;
  t->calls++;
  *(backward ? &t->backward_s : &t->forward_s) += g->device->between(g->device, before, after);
  *(backward ? &t->backward_flop : &t->forward_flop) +=
      s->phase == CZ__RECOMPUTE ? 0 : flop; /* recomputing is no useful work */
  return CZ_OK;
}

/** Adds the times of a run of the first STEPS steps, which has ended on the host's side. Waits for
 * the device. */
cz_status cz__profile_read(cz_graph *g, int steps) {
  for (int i = 0; i < steps; i++) CZ_TRY(note_time(g, i));
  return CZ_OK;
}
