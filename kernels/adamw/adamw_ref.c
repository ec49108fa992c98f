#include "kernels/adamw/adamw.h"

#include <math.h>

/** One step in float64, the formulas of adamw.h in their order. rms(w) is that of the
 * weights before the step. */
void cz_adamw_fwd_ref(const cz_call *call) {
  const cz_adamw_attr *a = call->attr;
  int64_t n = cz_numel(&call->in[CZ_ADAMW_W]);
  const double *g = call->in[CZ_ADAMW_G].data, *hyper = call->in[CZ_ADAMW_HYPER].data;
  double *w = call->out[CZ_ADAMW_OUT_W].data, *m = call->out[CZ_ADAMW_OUT_M].data,
         *v = call->out[CZ_ADAMW_OUT_V].data;
  double lr = hyper[CZ_HYPER_RATE], step = hyper[CZ_HYPER_STEP], s = 1, squares = 0;
  if (hyper[CZ_HYPER_KEEP] == 0) return;
  double c1 = 1 - pow(a->beta1, step), c2 = 1 - pow(a->beta2, step);
  for (int64_t i = 0; i < n; i++) squares += w[i] * w[i];
  if (a->rms_scale && n) s = cz_adamw_scale(sqrt(squares / (double)n));
  for (int64_t i = 0; i < n; i++) {
    double gradient = hyper[CZ_HYPER_FACTOR] * hyper[CZ_HYPER_KEEP] * g[i];
    m[i] = a->beta1 * m[i] + (1 - a->beta1) * gradient;
    v[i] = a->beta2 * v[i] + (1 - a->beta2) * gradient * gradient;
    w[i] = w[i] - lr * s * (m[i] / c1) / (sqrt(v[i] / c2) + a->eps) - lr * a->weight_decay * w[i];
  }
}
