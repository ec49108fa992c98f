/* The loss over the vocabulary, fused with the output projection. No more than a chunk of
 * rows of logits ever exists, and each of the three matrix products (logits, dh, dw) is
 * computed once.
 *
 * Inputs:
 *
 *     h [N, D]          hidden states
 *     w [V, D]          output embedding
 *     targets [N]       int32 in [0, V); a negative one says that the row is not counted
 *     denominator [1]   what the loss is divided by, positive
 *     bias [V]          added to the logits; optional (BERT and RoBERTa have one, T5 has none)
 *
 * Outputs:
 *
 *     loss [1]
 *     nll [N]           0 for rows that are not counted
 *
 * Forward, with t = targets[r] and e = label_smoothing:
 *
 *     x_rv  = logit_scale sum_d h_rd w_vd + bias_v
 *     Z_r   = sum_v exp(x_rv)                   p_rv = exp(x_rv) / Z_r
 *     nll_r = log Z_r - x_rt
 *     loss  = 1 / denominator sum over counted r of
 *             (1 - e) nll_r + e (log Z_r - mean_v x_rv) + z_loss (log Z_r)^2
 *
 * Backward, with A = dloss / denominator and g_r = dnll_r:
 *
 *     dx_rv   = (A (1 + 2 z_loss log Z_r) + g_r) p_rv - (A (1 - e) + g_r) [v = t] - A e / V
 *     dh_r    = logit_scale sum_v dx_rv w_v
 *     dw_v    = logit_scale sum_r dx_rv h_r
 *     dbias_v = sum_r dx_rv
 *
 * targets and denominator get no gradient.
 *
 * Sources: label smoothing with a uniform prior over V, Szegedy et al. 2016, section 7;
 * z-loss, Mesh TensorFlow (t5.md 6.4).
 *
 * A terminal loss: backward computes loss and nll too (fused_backward), with the same
 * bits as forward. On ref and cpu rows that are not counted cost nothing; on a card, whose host
 * does not see the targets, they cost their products.
 *
 * Aliasing: none.
 *
 * Deterministic: the vocabulary is cut into slabs by shape alone, and a slab is one
 * thread's work.
 *
 * See also: label_words (the logits of a few words), linear, embedding. */
#ifndef CZ_KERNELS_CROSS_ENTROPY_H
#define CZ_KERNELS_CROSS_ENTROPY_H

#include "kernels/op.h"

CZ_C_BEGIN

typedef struct cz_cross_entropy_attr {
  double z_loss, label_smoothing; /* at least 0; smoothing below 1 */
  double logit_scale;             /* not 0 */
} cz_cross_entropy_attr;

enum {
  CZ_CROSS_ENTROPY_H,
  CZ_CROSS_ENTROPY_W,
  CZ_CROSS_ENTROPY_TARGETS,
  CZ_CROSS_ENTROPY_DENOMINATOR,
  CZ_CROSS_ENTROPY_BIAS
};
enum { CZ_CROSS_ENTROPY_LOSS, CZ_CROSS_ENTROPY_NLL };

void cz_cross_entropy_fwd_ref(const cz_call *call);
void cz_cross_entropy_bwd_ref(const cz_call *call);
void cz_cross_entropy_fwd_cpu(const cz_call *call);
void cz_cross_entropy_bwd_cpu(const cz_call *call);
size_t cz_cross_entropy_workspace_ref(const cz_call *call, bool backward);
size_t cz_cross_entropy_workspace_cpu(const cz_call *call, bool backward);
void cz_cross_entropy_fwd_cuda(const cz_call *call);
void cz_cross_entropy_bwd_cuda(const cz_call *call);
size_t cz_cross_entropy_workspace_cuda(const cz_call *call, bool backward);

CZ_C_END

#endif
