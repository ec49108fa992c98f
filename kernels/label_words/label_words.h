/* Scores of label words at given rows, and their loss: the head of cloze prompts (PET).
 * Only C * W rows of the vocabulary are read.
 *
 * Inputs:
 *
 *     x [T, D]           hidden states, after whatever transform the model's head has
 *     rows [M]           int32 in [0, T), rows of x where the masks are; may repeat
 *     table [V, D]       output embedding
 *     bias [V]           optional
 *     words [C, W]       int32, the label words of each class, at least one, in any of
 *                        the W places; the others are -1; a word may repeat
 *     targets_hard [M]   int32 in [0, C), or -100: not counted. Optional
 *     targets_soft [M,C] weights of the classes, usually probabilities; a row of zeros
 *                        is not counted. Optional
 *     denominator [1]    what the loss is divided by, not zero; present if and only if
 *                        there are targets, of which there is one kind at most
 *
 * Outputs:
 *
 *     loss [1]           0 without targets
 *     scores [M, C]
 *
 * Forward, with Wc the number of words of class c, t the temperature and r = rows[m]:
 *
 *     scores_mc = 1 / Wc sum_w (x_r . table_w + bias_w)
 *     P_m       = softmax(scores_m / t)
 *     loss      = 1 / denominator sum_m -log P_m,target                hard targets
 *     loss      = t^2 / denominator sum_mc -targets_mc log P_mc        soft targets
 *
 * The factor t^2 is that of distillation: it keeps gradients of the size they have at t =
 * 1 (Hinton et al. 2015, section 2; PET's distillation_loss, pet.md 1.5). PET's code
 * reports the Kullback-Leibler divergence, which is this less t^2 / denominator times the
 * targets' entropy; gradients are the same.
 *
 * Backward, with G the whole gradient of a score. Y_m is the unit vector of a hard target
 * (zero when the row is not counted) or targets_m, n_m = sum_c Y_mc, and f = 1 or t^2:
 *
 *     G_mc      = dscores_mc + dloss f / (t denominator) (n_m P_mc - Y_mc)
 *     dx_r     += sum_c G_mc / Wc sum_w table_w
 *     dtable_w += G_mc / Wc x_r             over all m, all c and the words w of c
 *     dbias_w  += G_mc / Wc                 likewise
 *
 * Sources: Schick and Schuetze 2021, section 3.1; mean of raw logits over several words:
 * PET's multi-word verbalizers (pet.md 1.1).
 *
 * Aliasing: none.
 *
 * Deterministic: repeated rows are added in the order of m, and a word's share of a row
 * of scores in the order of c and w. Not differentiable in the targets and the
 * denominator.
 *
 * See also: cross_entropy (the whole vocabulary), gather, embedding. */
#ifndef CZ_KERNELS_LABEL_WORDS_H
#define CZ_KERNELS_LABEL_WORDS_H

#include "kernels/op.h"

CZ_C_BEGIN

typedef struct cz_label_words_attr {
  double temperature; /* above 0; 1 for plain classification */
} cz_label_words_attr;

enum {
  CZ_LABEL_WORDS_X,
  CZ_LABEL_WORDS_ROWS,
  CZ_LABEL_WORDS_TABLE,
  CZ_LABEL_WORDS_BIAS,
  CZ_LABEL_WORDS_WORDS,
  CZ_LABEL_WORDS_HARD,
  CZ_LABEL_WORDS_SOFT,
  CZ_LABEL_WORDS_DENOMINATOR
};
enum { CZ_LABEL_WORDS_LOSS, CZ_LABEL_WORDS_SCORES };

void cz_label_words_fwd_ref(const cz_call *call);
void cz_label_words_bwd_ref(const cz_call *call);
void cz_label_words_fwd_cpu(const cz_call *call);
void cz_label_words_bwd_cpu(const cz_call *call);
size_t cz_label_words_workspace_cpu(const cz_call *call, bool backward);
void cz_label_words_fwd_cuda(const cz_call *call);
void cz_label_words_bwd_cuda(const cz_call *call);
size_t cz_label_words_workspace_cuda(const cz_call *call, bool backward);

CZ_C_END

#endif
