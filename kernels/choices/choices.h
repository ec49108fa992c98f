/* Choices: which of several candidate answers is right, each of them several tokens long. A
 * candidate's score is the log-probability of its tokens at the masks, and the loss a hinge that
 * wants the right one ahead of every wrong one (PET with several masks, COPA, ReCoRD).
 *
 * Inputs:
 *
 *     nll [R]           the tokens' negative log-probabilities, as cross_entropy makes them
 *     rows [K, 2]       int32 (begin, end) rows of each candidate, 0 <= begin <= end <= R, each
 *                       beginning where the one before ends or later
 *     groups [B, 2]     int32 (begin, end) candidates of each question, likewise in [0, K]
 *     right [B]         int32, the number of the right candidate among its question's, from 0;
 *                       a negative one says that the question is not counted. Optional
 *     denominator [1]   what the loss is divided by, not zero; present if and only if right is
 *
 * Outputs:
 *
 *     loss [1]          0 without right
 *     scores [K]        of all candidates, those in no question among them
 *
 * Forward, with n_k the number of rows of candidate k, c = 1 or, where attr.mean, 1 / n_k, and r
 * the right candidate of question b:
 *
 *     s_k  = -c sum_i nll_i                               over k's rows; 0 where n_k = 0
 *     loss = 1 / denominator sum_b sum_k max(0, 1 - s_r + s_k)      over the k != r of b
 *
 * Candidates that tie with the right one cost 1 each, whatever their order. A row that
 * cross_entropy does not count adds 0 to the sum and 1 to n_k: with `mean` it should be in no
 * candidate.
 *
 * Backward, with A = dloss / denominator, g_k = dscores_k and h(m) the derivative of max(0, m),
 * which is 0 below 0 and 1 from 0 on; that of a NaN is a NaN:
 *
 *     ds_k   = g_k + A h(1 - s_r + s_k)                       of a wrong candidate
 *     ds_r   = g_r - A sum_k h(1 - s_r + s_k)                 over the k != r
 *     dnll_i = -c ds_k                                        of the k that has row i, or 0
 *
 * At the kink, where one candidate is ahead by exactly 1, any slope from 0 to 1 is a subgradient;
 * 1 is that of the published code, which sets to 0 what is below 0 and nothing else.
 *
 * Sources: Schick and Schuetze 2021, "It's Not Just Size That Matters", section 3.1, and PET's
 * task_helpers.py. MultiMaskTaskHelper sums over a candidate's tokens and means over questions: no
 * `mean`, denominator B. CopaTaskHelper and ReCoRD's take the mean over a candidate's tokens, in
 * all examples of a batch at once: `mean`, one question whose candidates' rows are those of all
 * examples' right, and wrong, answers.
 *
 * Aliasing: none. Deterministic: the order of a sum depends on its length alone. Not
 * differentiable in the denominator.
 *
 * See also: cross_entropy (nll), label_words (classes of one token). */
#ifndef CZ_KERNELS_CHOICES_H
#define CZ_KERNELS_CHOICES_H

#include "kernels/op.h"

CZ_C_BEGIN

typedef struct cz_choices_attr {
  bool mean; /* a score is the mean over a candidate's tokens, not the sum */
} cz_choices_attr;

enum {
  CZ_CHOICES_NLL,
  CZ_CHOICES_ROWS,
  CZ_CHOICES_GROUPS,
  CZ_CHOICES_RIGHT,
  CZ_CHOICES_DENOMINATOR
};
enum { CZ_CHOICES_LOSS, CZ_CHOICES_SCORES };

void cz_choices_fwd_ref(const cz_call *call);
void cz_choices_bwd_ref(const cz_call *call);
void cz_choices_fwd_cpu(const cz_call *call);
void cz_choices_bwd_cpu(const cz_call *call);
void cz_choices_fwd_cuda(const cz_call *call);
void cz_choices_bwd_cuda(const cz_call *call);

CZ_C_END

#endif
