#include "kernels/common/dropout_mask.h"
#include "kernels/dropout/dropout.h"

/** y = x * factor in float64, written or added as MODE says. Backward is the same
 * function: dx = dy * factor. */
void cz_dropout_fwd_ref(double *y, const double *x, const cz_dropout_sizes *s, cz_grad_mode mode) {
  if (mode == CZ_GRAD_SKIP) return;
  for (int64_t t = 0; t < s->T; t++) {
    for (int64_t d = 0; d < s->D; d++) {
      int64_t i = t * s->D + d;
      double factor = s->p > 0
                          ? cz_dropout_mask_factor(
                                s->key, cz_dropout_mask_element(s->spans, s->B, t, d, s->D), s->p)
                          : 1;
      y[i] = (mode == CZ_GRAD_ADD ? y[i] : 0) + x[i] * factor;
    }
  }
}
