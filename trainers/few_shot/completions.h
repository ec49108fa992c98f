/* A causal LM's scores of label words (docs/pet.md 3.6): the text of a prompt is completed by each
 * word in turn at the place of its masks, and a word's score is log p of its tokens and of all
 * behind them, given what stands in front. A label's score is the mean of its words'.
 *
 * What stands in front is the same for all labels, so scores are the log-likelihoods of the whole
 * texts less one number a text (Trinh and Le 2018, "full scoring"); where the answer stands at the
 * end of the pattern they are Brown et al. 2020's (section 2.4). */
#ifndef CZ_FEW_SHOT_COMPLETIONS_H
#define CZ_FEW_SHOT_COMPLETIONS_H

#include "data/prepared.h"
#include "nn/model.h"
#include "prompts/prompt.h"

typedef struct cz_completions cz_completions;

CZ_MUST cz_status cz_completions_create(cz_completions **c, cz_model *model,
                                        const cz_tokenizer *tokenizer, int64_t classes,
                                        int64_t batch_tokens);
CZ_MUST cz_status cz_completions_run(cz_completions *c, float *scores, const cz_prompt *prompt,
                                     const cz_prepared *set);
double cz_completions_read(const cz_completions *c);
double cz_completions_predict(double *texts, const cz_prompt *prompt, size_t classes, size_t n,
                              size_t place);
void cz_completions_destroy(cz_completions **c);

#endif
