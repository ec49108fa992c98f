/* Where a masked LM ranks answers among all words of its vocabulary at the mask of a pattern (LAMA,
 * Petroni et al. 2019; docs/pet.md 3.8). */
#ifndef CZ_FEW_SHOT_RANK_H
#define CZ_FEW_SHOT_RANK_H

#include "few_shot/prepare.h"

typedef struct cz_ranker cz_ranker;

CZ_MUST cz_status cz_ranker_create(cz_ranker **r, cz_model *model, const cz_prompts *prompts);
CZ_MUST cz_status cz_ranker_run(cz_ranker *r, int64_t *ranks, const cz_prompt *prompt,
                                const cz_text_set *set, const int32_t *answers);
int64_t cz_ranker_words(const cz_ranker *r);
void cz_ranker_destroy(cz_ranker **r);

#endif
