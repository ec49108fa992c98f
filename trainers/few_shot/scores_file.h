/* What is kept of a member (member.h), in one file that is there whole or not at all.
 *
 * Outside the code scores are called logits, in this file's name and in the key `keep: logits`,
 * which is the published code's word. Of a masked LM's label words they are that; those of answers
 * of several tokens and of a causal LM are made of log-probabilities, so the code says scores.
 *
 *   logits.h5   labelled, unlabelled, test   scores [n, C] float32, under checksums; minus infinity
 *                                            behind a text's last candidate (candidates.h)
 *               data                         hash of the texts, of T's labels and of the labels'
 *                                            order, so that scores of other texts are never taken
 *                                            for these
 *               before_training, held_out_before, held_out_after
 *               steps, trained_tokens, scored_tokens: what it took, whoever computed it */
#ifndef CZ_FEW_SHOT_SCORES_FILE_H
#define CZ_FEW_SHOT_SCORES_FILE_H

#include "few_shot/examples.h"

#define CZ_SCORES_FILE "logits.h5"

typedef struct cz_member_scores {
  float *t, *d, *test;    /* [n, C] each, n and C as in the examples; a set without texts is null */
  double before_training; /* accuracy on T of the model that it starts from; NaN: not taken */
  double held_out_before, held_out_after;      /* masked-LM loss, nats a token; NaN: not taken */
  double steps, trained_tokens, scored_tokens; /* what making it took, once; whole numbers */
} cz_member_scores;

CZ_MUST cz_status cz_member_scores_create(cz_member_scores *s, const cz_examples *e);
CZ_MUST cz_status cz_member_scores_write(const cz_member_scores *s, const cz_examples *e,
                                         const char *folder);
CZ_MUST cz_status cz_member_scores_read(cz_member_scores *s, const cz_examples *e,
                                        const char *folder);
void cz_member_scores_free(cz_member_scores *s);
uint64_t cz_hash_texts(const cz_text_set *set);
uint64_t cz_examples_hash(const cz_examples *e);

#endif
