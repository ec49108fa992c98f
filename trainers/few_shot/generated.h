/* Answers that a masked LM writes itself (docs/pet.md 3.3, WSC): the masks of a text are filled in
 * one after another, each with the token that is likeliest of the whole vocabulary, first that of
 * which the model is surest. What comes out, compared with the text's target, is of the first class
 * or of the second. */
#ifndef CZ_FEW_SHOT_GENERATED_H
#define CZ_FEW_SHOT_GENERATED_H

#include "data/prepared.h"
#include "few_shot/examples.h"
#include "nn/model.h"

typedef struct cz_generator cz_generator;

CZ_MUST cz_status cz_generator_create(cz_generator **g, cz_model *model, const cz_prompts *prompts,
                                      int64_t batch_tokens);
CZ_MUST cz_status cz_generator_fill(cz_generator *g, int32_t *ids, const cz_prepared *inputs);
bool cz_generator_same(const char *output, const char *target);
CZ_MUST cz_status cz_generator_run(cz_generator *g, float *scores, const cz_text_set *set,
                                   const cz_prepared *inputs);
double cz_generator_read(const cz_generator *g);
void cz_generator_destroy(cz_generator **g);

#endif
