/* Masked language modelling of tokens that stay where they are (Devlin et al. 2019, section
 * 3.1): each eligible token is chosen with probability `density`; of the chosen ones a share
 * of `kept` stays as it is, one of `random` becomes a token drawn from the whole vocabulary,
 * the rest the mask token; the loss reads the chosen places, and their labels are what stood
 * there. Draws are keyed by (seed, epoch, number), so a text has other masks each epoch and
 * the same ones in any order of reading (RoBERTa's dynamic masking).
 *
 * Who is eligible (pet.md 1.2): under `paper` and `corrected` a token without a role, so no
 * special token, no padding, and not the mask of a pattern, which is never predicted. Under
 * `code` all but what stands around a text: PET's code asks the tokenizer which tokens those
 * are, so a pattern's mask is a target like others, with itself as label, and so is padding,
 * which that code puts behind every text up to one length. Batches have no padding but that
 * which `length` asks for, for that code's numbers. */
#ifndef CZ_OBJECTIVES_MASKING_H
#define CZ_OBJECTIVES_MASKING_H

#include "objectives/objective.h"

typedef struct cz_masking {
  const cz_vocabulary *vocabulary; /* borrowed */
  double density, random, kept;    /* random + kept: at most 1 */
  int fidelity;                    /* cz_fidelity */
  int64_t length;                  /* examples are padded to so many tokens first; 0: not */
  uint64_t seed;
} cz_masking;

/* Devlin et al.'s shares, which RoBERTa and PET's auxiliary loss took over; no vocabulary, seed 0.
 */
extern const cz_masking cz_masking_bert;

cz_masking cz_masking_of(const cz_objective *o);
CZ_MUST cz_status cz_masking_check(const cz_objective *o);

/* The rule's eligible tokens; `alter` of a cz_prepared_use (data/prepared.h). */
CZ_MUST cz_status cz_mask_example(const void *masking, cz_example *e, uint32_t epoch,
                                  uint32_t number);
CZ_MUST cz_status cz_pad_example(cz_example *e, const cz_vocabulary *v, int64_t length);

#endif
