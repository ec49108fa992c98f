/* adamw: one step of Adam with decoupled weight decay, in place, over all parameters in one call.
 *
 *   w, g [n], state [s], hyper [CZ_HYPERS], all real; parts [P, CZ_FLAT_FIELDS];
 *   copy [n], optional, of w's dtype or a narrower one   ->   w, state, copy in place (must_alias)
 *
 * parts: common/flat.h; two parts do not overlap. A part's state is m, and v behind it at
 * cz_flat_room(count). What belongs to no part is neither read nor written. hyper:
 * common/hyper.h; steps count from 1. With keep = 0 nothing is read or written. With
 * g' = factor keep g, per element
 *   m = beta1 m + (1 - beta1) g'
 *   v = beta2 v + (1 - beta2) g'^2
 *   w = w - lr s (m / c1) / (sqrt(v / c2) + eps) - lr weight_decay w,    c_i = 1 - beta_i^step
 * (Kingma and Ba 2015, algorithm 1; Loshchilov and Hutter 2019, algorithm 2, decay times
 * the schedule), where weight_decay is 0 without CZ_FLAT_DECAY. s = max(0.001, rms(w)) over the
 * part with rms_scale (nanoT5's AdamWScale; decay is not scaled), else 1. With CZ_FLAT_COPY the
 * copy is the new w, rounded to nearest.
 *
 * Not differentiable. Deterministic. float32 keeps all three arrays in float32; the rms
 * is summed in double in a fixed tree. The step number is exact up to 2^24, as far as a
 * float32 counts. */
#ifndef CZ_KERNELS_ADAMW_H
#define CZ_KERNELS_ADAMW_H

#include "kernels/common/update.h"

CZ_C_BEGIN

typedef struct cz_adamw_attr {
  double beta1, beta2; /* in [0, 1) */
  double eps;          /* positive */
  double weight_decay; /* at least 0 */
  bool rms_scale;      /* s above is max(CZ_ADAMW_MINIMUM_RMS, rms(w)), else 1 */
  cz_parts_maximum maximum;
} cz_adamw_attr;

#define CZ_ADAMW_MINIMUM_RMS 1e-3

/* s of a tensor with this rms; a NaN stays one, which fmax would drop. */
static inline CZ_HOST_DEVICE double cz_adamw_scale(double rms) {
  return rms <= CZ_ADAMW_MINIMUM_RMS ? CZ_ADAMW_MINIMUM_RMS : rms;
}

void cz_adamw_fwd_ref(const cz_call *call);
void cz_adamw_fwd_cpu(const cz_call *call);
size_t cz_adamw_workspace_cpu(const cz_call *call, bool backward);
void cz_adamw_fwd_cuda(const cz_call *call);
size_t cz_adamw_workspace_cuda(const cz_call *call, bool backward);

CZ_C_END

#endif
