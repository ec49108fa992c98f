/* A masked LM's scores of answers of several tokens (docs/pet.md 3.3): a label word of k tokens
 * stands at k masks, which are filled in one after another (ensemble/fill.h), and its score is the
 * sum of log p of its tokens over the whole vocabulary. A label's score is the mean of its words'.
 * Where records bring their answers along, each text is scored for its own.
 *
 * A step is computed for all texts and words that still have masks, as many as fit into one run of
 * the net. Words of as many tokens read the same text before the first of them is filled in, so
 * that it is computed once for all of them. */
#ifndef CZ_FEW_SHOT_ANSWERS_H
#define CZ_FEW_SHOT_ANSWERS_H

#include "data/prepared.h"
#include "ensemble/fill.h"
#include "nn/model.h"
#include "prompts/prompt.h"

typedef struct cz_answers cz_answers;

typedef struct cz_answers_options {
  int64_t classes;
  int64_t max_tokens;   /* most masks times words that a label has, of any pattern */
  int64_t batch_tokens; /* of one run; at least those of an input */
  cz_fill_order order;
} cz_answers_options;

CZ_MUST cz_status cz_answers_create(cz_answers **a, cz_model *model,
                                    const cz_answers_options *options);
CZ_MUST cz_status cz_answers_run(cz_answers *a, float *scores, const cz_prompt *prompt,
                                 const cz_prepared *set);
double cz_answers_read(const cz_answers *a);
void cz_answers_destroy(cz_answers **a);

#endif
