/* adafactor: one step of Adafactor as Mesh TensorFlow trains T5 (Shazeer and Stern 2018,
 * algorithms 4 and 5, without momentum), in place, over all parameters in one call.
 *
 *   w, g [n], state [s], hyper [CZ_HYPERS], all real; parts [P, CZ_FLAT_FIELDS];
 *   copy [n], optional, of w's dtype or a narrower one   ->   w, state, copy in place (must_alias)
 *
 * parts: common/flat.h; two parts do not overlap. A part's state:
 *     CZ_FLAT_FACTORED   r [matrices, rows], and c [matrices, cols] behind it at
 *                        cz_flat_room(matrices rows)
 *     else               v [count]
 * What belongs to no part is neither read nor written. With CZ_FLAT_COPY the copy is the new w,
 * rounded to nearest.
 *
 * hyper: common/hyper.h; steps count from 0. With keep = 0 nothing is read or written. With
 * G = factor keep g:
 *   beta  = 1 - (t + 1)^-decay_exponent                          0 at t = 0
 *   Q     = G^2 + eps1
 *   scale = lr max(rms(w), eps2)
 *   factored: r = beta r + (1 - beta) mean of Q over cols
 *             c = beta c + (1 - beta) mean of Q over rows
 *             U = G / sqrt(r / mean of r over rows) / sqrt(c)
 *   else:     v = beta v + (1 - beta) Q,  U = G / sqrt(v)
 *   w = w - scale U / max(1, rms(U) / clip)
 *
 * The published code calls the mean over the larger dimension the row statistics and
 * divides them by their mean. Both statistics have the same mean (that of the averaged
 * Q), so which of the two is divided makes no difference but rounding, and here r always
 * belongs to the rows. Mesh TensorFlow factors over a tensor's two largest dimensions
 * when both have at least CZ_ADAFACTOR_MINIMUM_DIM; here these must be the last two,
 * which all of our tensors obey (cz_adafactor_factors).
 *
 * Not differentiable. Deterministic: sums run in double over blocks cut by shape, added
 * in a fixed tree. */
#ifndef CZ_KERNELS_ADAFACTOR_H
#define CZ_KERNELS_ADAFACTOR_H

#include "kernels/common/update.h"

CZ_C_BEGIN

/* Behind each member its value in T5 (t5.md 6.2). */
typedef struct cz_adafactor_attr {
  double decay_exponent; /* 0.8; at 0 beta would be 0 for ever, at 1 a plain mean of all squares */
  double clip;           /* of rms(U); 1.0 */
  double eps1, eps2;     /* 1e-30 on squares; 1e-3, the minimum of rms(w) */
  cz_parts_maximum maximum;
} cz_adafactor_attr;

enum { CZ_ADAFACTOR_MINIMUM_DIM = 128 };

/* The larger number; a NaN in A stays one, which fmax would drop. */
static inline CZ_HOST_DEVICE double cz_adafactor_maximum(double a, double b) {
  return a <= b ? b : a;
}

bool cz_adafactor_factored(int ndim, const int64_t *dim);
bool cz_adafactor_factors(int ndim, const int64_t *dim);

void cz_adafactor_fwd_ref(const cz_call *call);
void cz_adafactor_fwd_cpu(const cz_call *call);
size_t cz_adafactor_workspace_ref(const cz_call *call, bool backward);
size_t cz_adafactor_workspace_cpu(const cz_call *call, bool backward);
void cz_adafactor_fwd_cuda(const cz_call *call);
size_t cz_adafactor_workspace_cuda(const cz_call *call, bool backward);

CZ_C_END

#endif
