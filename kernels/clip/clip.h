/* clip: what is decided between gradient and update: the factor of clipping, whether the step is
 * made at all, and the next loss scale.
 *
 *   sumsq[1], losses[S], now[2], scale[1], good[1], all real   ->   hyper[CZ_HYPERS];
 *                                               scale and good in place (must_alias)
 *
 * sumsq: of the gradient of `scale` times the loss. now: learning rate and number of the step.
 * good: finite steps since the scale changed. losses may be absent. With
 *
 *   norm = sqrt(sumsq) / scale,    keep = norm and the sum of losses are finite,
 *
 *   hyper = {rate, step, min(1, clip_norm / norm) / scale, keep, sumsq, scale}  (common/hyper.h)
 *
 * where clip_norm = 0 clips nothing. With growth_steps = 0 scale and good stay. Otherwise, as for
 * every scale that moves by powers of two (Micikevicius et al. 2018, section 3.2):
 *
 *   keep      good + 1 steps are good; when they are growth_steps: scale = 2 scale, good = 0
 *   not keep  scale = scale / 2, good = 0
 *
 * within [CZ_CLIP_SCALE_MINIMUM, CZ_CLIP_SCALE_MAXIMUM].
 *
 * Not differentiable. Deterministic. Every dtype computes in double, losses in their order, and
 * rounds once. */
#ifndef CZ_KERNELS_CLIP_H
#define CZ_KERNELS_CLIP_H

#include "kernels/common/hyper.h"
#include "kernels/op.h"

CZ_C_BEGIN

typedef struct cz_clip_attr {
  double clip_norm;    /* 0: none */
  double growth_steps; /* a whole number; 0: the scale stays as it is */
} cz_clip_attr;

enum { CZ_CLIP_SUMSQ, CZ_CLIP_LOSSES, CZ_CLIP_NOW, CZ_CLIP_SCALE, CZ_CLIP_GOOD };
enum { CZ_CLIP_OUT_HYPER, CZ_CLIP_OUT_SCALE, CZ_CLIP_OUT_GOOD };
enum { CZ_CLIP_RATE, CZ_CLIP_STEP, CZ_CLIP_NOWS }; /* in now */

#define CZ_CLIP_SCALE_MINIMUM 1.0
#define CZ_CLIP_SCALE_MAXIMUM 0x1p24

/* The norm of the gradient of the loss itself; a NaN may have a sign, which nobody wants to
 * read. */
static inline CZ_HOST_DEVICE double cz_clip_norm(double sumsq, double scale) {
  return __builtin_fabs(__builtin_sqrt(sumsq) / scale);
}

/* The numbers of a step: HYPER, and SCALE and GOOD as they will be. */
static inline CZ_HOST_DEVICE void cz_clip_step(double hyper[CZ_HYPERS], double *scale, double *good,
                                               const double now[CZ_CLIP_NOWS], double sumsq,
                                               double loss, const cz_clip_attr *a) {
  const double norm = cz_clip_norm(sumsq, *scale);
  const bool keep = __builtin_isfinite(norm) && __builtin_isfinite(loss);
  const bool clips = a->clip_norm > 0 && !(norm <= a->clip_norm); /* a NaN stays one */
  hyper[CZ_HYPER_RATE] = now[CZ_CLIP_RATE], hyper[CZ_HYPER_STEP] = now[CZ_CLIP_STEP];
  hyper[CZ_HYPER_FACTOR] = (clips ? a->clip_norm / norm : 1) / *scale;
  hyper[CZ_HYPER_KEEP] = keep;
  hyper[CZ_HYPER_SUMSQ] = sumsq, hyper[CZ_HYPER_SCALE] = *scale;
  if (!(a->growth_steps > 0)) return;
  const bool grows = keep && *good + 1 >= a->growth_steps;
  *good = keep && !grows ? *good + 1 : 0;
  if (!keep && !(*scale <= CZ_CLIP_SCALE_MINIMUM)) *scale /= 2;
  if (keep && *good != *good) *scale = *good; /* a NaN in good would end all growth in silence */
  if (grows && !(*scale >= CZ_CLIP_SCALE_MAXIMUM)) *scale *= 2;
}

void cz_clip_fwd_ref(const cz_call *call);
void cz_clip_fwd_cpu(const cz_call *call);
void cz_clip_fwd_cuda(const cz_call *call);

CZ_C_END

#endif
