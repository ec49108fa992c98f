#include "kernels/adamw/adamw.h"

#include <math.h>

/* One part, the formulas of adamw.h in their order. rms(w) is that of the weights before the
 * step. */
static void step(const cz_call *call, const cz_flat_part *p) {
  const cz_adamw_attr *a = call->attr;
  const double *g = (const double *)call->in[CZ_UPDATE_G].data + p->offset,
               *hyper = call->in[CZ_UPDATE_HYPER].data;
  double *w = (double *)call->out[CZ_UPDATE_OUT_W].data + p->offset,
         *m = (double *)call->out[CZ_UPDATE_OUT_STATE].data + p->state,
         *v = m + cz_flat_room(p->count), *copy = call->out[CZ_UPDATE_OUT_COPY].data;
  double lr = hyper[CZ_HYPER_RATE], number = hyper[CZ_HYPER_STEP], s = 1, squares = 0,
         decay = p->flags & CZ_FLAT_DECAY ? a->weight_decay : 0;
  double c1 = 1 - pow(a->beta1, number), c2 = 1 - pow(a->beta2, number);
  for (int64_t i = 0; i < p->count; i++) squares += w[i] * w[i];
  if (a->rms_scale && p->count) s = cz_adamw_scale(sqrt(squares / (double)p->count));
  for (int64_t i = 0; i < p->count; i++) {
    double gradient = hyper[CZ_HYPER_FACTOR] * hyper[CZ_HYPER_KEEP] * g[i];
    m[i] = a->beta1 * m[i] + (1 - a->beta1) * gradient;
    v[i] = a->beta2 * v[i] + (1 - a->beta2) * gradient * gradient;
    w[i] = w[i] - lr * s * (m[i] / c1) / (sqrt(v[i] / c2) + a->eps) - lr * decay * w[i];
    if (copy && p->flags & CZ_FLAT_COPY) copy[p->offset + i] = w[i];
  }
}

/** One step in float64, part by part. */
void cz_adamw_fwd_ref(const cz_call *call) {
  const cz_arg *parts = &call->in[CZ_UPDATE_PARTS];
  if (((const double *)call->in[CZ_UPDATE_HYPER].data)[CZ_HYPER_KEEP] == 0) return;
  for (int64_t i = 0; i < parts->dim[0]; i++) {
    const cz_flat_part p = cz_flat_part_at(parts->data, i);
    step(call, &p);
  }
}
