/* cross_entropy: the loss over the vocabulary, fused with the output projection. No more
 * than a chunk of rows of logits ever exists, and each of the three matrix products
 * (logits, dh, dw) is computed once.
 *
 *   h[N,D], w[V,D] real; targets[N] i32, negative = row not counted; denominator[1]
 *   real, positive   ->   loss[1], nll[N]
 *
 *   x_rv   = logit_scale * sum_d h_rd w_vd            logits of row r
 *   Z_r    = sum_v exp(x_rv),  p_rv = exp(x_rv) / Z_r
 *   nll_r  = log Z_r - x_rt, t = targets[r]           0 for rows not counted
 *   loss   = 1 / denominator * sum over counted r of
 *            (1 - e) nll_r + e (log Z_r - mean_v x_rv) + z_loss (log Z_r)^2,   e =
 *            label_smoothing
 *
 * Label smoothing: Szegedy et al. 2016, section 7 (uniform prior over V). z-loss: Mesh
 * TensorFlow; its gradient is the factor (1 + 2 z log Z) on p. With A = dloss /
 * denominator and g_r = dnll_r:
 *   dx_rv = (A (1 + 2 z_loss log Z_r) + g_r) p_rv - (A (1 - e) + g_r) [v = t] - A e / V
 *   dh    = logit_scale * dx w,  dw = logit_scale * dx^T h
 * targets and denominator get no gradient.
 *
 * A terminal loss: backward computes loss and nll too (fused_backward), with the same
 * bits as forward. Rows that are not counted cost nothing. Deterministic: the vocabulary
 * is cut into slabs by shape alone, each computed by one thread. Nothing may alias. */
#ifndef CZ_KERNELS_CROSS_ENTROPY_H
#define CZ_KERNELS_CROSS_ENTROPY_H

#include "kernels/op.h"

typedef struct cz_cross_entropy_attr {
  double z_loss, label_smoothing; /* at least 0; smoothing below 1 */
  double logit_scale;             /* not 0 */
  int chunk_rows;                 /* rows of logits that exist at once; 0: chosen from V */
} cz_cross_entropy_attr;

enum {
  CZ_CROSS_ENTROPY_H,
  CZ_CROSS_ENTROPY_W,
  CZ_CROSS_ENTROPY_TARGETS,
  CZ_CROSS_ENTROPY_DENOMINATOR
};
enum { CZ_CROSS_ENTROPY_LOSS, CZ_CROSS_ENTROPY_NLL };

void cz_cross_entropy_fwd_ref(const cz_call *call);
void cz_cross_entropy_bwd_ref(const cz_call *call);
void cz_cross_entropy_fwd_cpu(const cz_call *call);
void cz_cross_entropy_bwd_cpu(const cz_call *call);
size_t cz_cross_entropy_workspace_ref(const cz_call *call, bool backward);
size_t cz_cross_entropy_workspace_cpu(const cz_call *call, bool backward);

#endif
