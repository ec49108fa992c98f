/* One pass over w, g, m and v (one over w before it when the step is scaled by its rms).
 * The scalars of a step are made in double. In float32 1 - beta2 with beta2 = 0.999 keeps
 * four digits, and 1 - beta2^step at the first steps no more; as doubles they are exact
 * to 1e-13, and each is rounded once. The update itself is bound by memory: seven floats
 * of traffic and about a dozen operations for each weight. */
#include "kernels/adamw/adamw.h"
#include "kernels/common/cpu.h"
#include "kernels/common/piece.h"
#include "kernels/common/sum.h"

#include <math.h>

typedef struct scalars {
  float beta1, rest1, beta2, rest2, eps, rate, root, decay, factor;
} scalars;

/* m / c1 / (sqrt(v / c2) + eps) = m x (1 / c1) / (sqrt(v) x sqrt(1 / c2) + eps): 1 / c1
 * joins the rate.
 *
 * Bias correction (Kingma and Ba 2015, section 3): from m_0 = 0,
 *
 *     m_t = (1 - beta1) sum_{i <= t} beta1^(t - i) g_i,   E m_t = (1 - beta1^t) E g
 *
 * for gradients of one distribution, and likewise v_t; c1 and c2 divide that factor
 * out. */
static scalars prepare(const cz_call *call, const cz_flat_part *p, const float *w) {
  const cz_adamw_attr *a = call->attr;
  const float *hyper = call->in[CZ_UPDATE_HYPER].data;
  double lr = hyper[CZ_HYPER_RATE], step = hyper[CZ_HYPER_STEP], scale = 1;
  double c1 = 1 - pow(a->beta1, step), c2 = 1 - pow(a->beta2, step);
  double decay = p->flags & CZ_FLAT_DECAY ? a->weight_decay : 0;
  int64_t n = p->count;
  if (a->rms_scale && n)
    scale = cz_adamw_scale(sqrt(cz_sum_squares(w, n, call->workspace) / (double)n));
  return (scalars){.beta1 = (float)a->beta1,
                   .rest1 = (float)(1 - a->beta1),
                   .beta2 = (float)a->beta2,
                   .rest2 = (float)(1 - a->beta2),
                   .eps = (float)a->eps,
                   .rate = (float)(lr * scale / c1),
                   .root = (float)sqrt(1 / c2),
                   .decay = (float)(lr * decay),
                   .factor = hyper[CZ_HYPER_FACTOR] * hyper[CZ_HYPER_KEEP]};
}

/* The decay acts on the weight before the step and never passes through m and v: that is
 * what "decoupled" means (Loshchilov and Hutter 2019). Where g, m and v are 0 the
 * quotient is 0 / eps = 0. v may underflow to 0 for gradients below about 1e-21; the step
 * is then rate m / eps, as eps means it to be. */
CZ_CLONES
static void update(float *restrict w, float *restrict m, float *restrict v, const float *restrict g,
                   int64_t n, const scalars *k) {
  scalars s = *k;
  for (int64_t i = 0; i < n; i++) {
    float gradient = s.factor * g[i];
    m[i] = s.beta1 * m[i] + s.rest1 * gradient;
    v[i] = s.beta2 * v[i] + s.rest2 * gradient * gradient;
    w[i] = w[i] - s.decay * w[i] - s.rate * m[i] / (__builtin_sqrtf(v[i]) * s.root + s.eps);
  }
}

/* Elements do not meet, so cutting into chunks cannot change a bit; only the rms, when it is asked
 * for, is a sum (common/sum.h). */
static void part_step(const cz_call *call, const cz_flat_part *p) {
  float *w = (float *)call->out[CZ_UPDATE_OUT_W].data + p->offset,
        *m = (float *)call->out[CZ_UPDATE_OUT_STATE].data + p->state,
        *v = m + cz_flat_room(p->count);
  const float *g = (const float *)call->in[CZ_UPDATE_G].data + p->offset;
  const cz_arg *copy = &call->out[CZ_UPDATE_OUT_COPY];
  const bool copied = cz_present(copy) && p->flags & CZ_FLAT_COPY;
  const scalars s = prepare(call, p, w);
  const int64_t n = p->count, chunks = cz_sum_chunks(n);
#pragma omp parallel for schedule(static) if (chunks > 1)
  for (int64_t c = 0; c < chunks; c++) {
    int64_t at = c * CZ_SUM_CHUNK, left = n - at, k = left < CZ_SUM_CHUNK ? left : CZ_SUM_CHUNK;
    update(w + at, m + at, v + at, g + at, k, &s);
    if (copied) cz_piece_put(copy->data, copy->dtype, p->offset + at, k, w + at);
  }
}

/** One step in float32, part by part, with the copy in the same pass. Contract: adamw.h. */
void cz_adamw_fwd_cpu(const cz_call *call) {
  const cz_arg *parts = &call->in[CZ_UPDATE_PARTS];
  if (((const float *)call->in[CZ_UPDATE_HYPER].data)[CZ_HYPER_KEEP] == 0) return;
  for (int64_t i = 0; i < parts->dim[0]; i++) {
    const cz_flat_part p = cz_flat_part_at(parts->data, i);
    part_step(call, &p);
  }
}

/** Bytes of workspace: the sums of all chunks of the largest part's squares. */
size_t cz_adamw_workspace_cpu(const cz_call *call, bool backward) {
  const cz_adamw_attr *a = call->attr;
  return (size_t)cz_sum_chunks(a->maximum.count) * sizeof(double);
}
