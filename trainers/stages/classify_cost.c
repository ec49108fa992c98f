/* What a stage of kind `classify` will cost. */
#include "stages/classify.h"
#include "few_shot/demonstrations.h"
#include "stages/few_shot_cost.h"

#include <stdlib.h>

/* The members of a pattern, -1 for the texts as they stand: T before training where prompts score
 * it, training, and T, D and the test set after. */
static cz_status cost_pattern(const cz__classifying *c, const cz_few_shot_cost *x,
                              int32_t pattern) {
  const double models = cz__classify_trains(c) ? (double)c->keys.repetitions : 1;
  cz_reading set[CZ_COUNTED_SETS], labelled, d, masked = {0};
  for (int i = 0; i < CZ_COUNTED_SETS; i++)
    CZ_TRY(cz_few_shot_cost_read(&set[i], x, (cz_counted_set)i, pattern, CZ_READ_TO_SCORE));
  for (int i = 0; i < CZ_COUNTED_SETS; i++)
    cz_few_shot_cost_score(x, &set[i],
                           i == CZ_COUNT_T && cz__classify_prompts(c) ? 2 * models : models);
  if (cz__classify_prompts(c))
    CZ_TRY(cz_few_shot_cost_offsets(x, (cz_calibrate)c->keys.calibrate, pattern));
  if (!cz__classify_trains(c)) return CZ_OK;
  if (cz__classify_prompts(c))
    CZ_TRY(cz_few_shot_cost_held_out(x, (double)c->keys.held_out, models));
  CZ_TRY(cz_few_shot_cost_read(&labelled, x, CZ_COUNT_T, pattern, CZ_READ_TO_TRAIN));
  CZ_TRY(cz_few_shot_cost_read(&d, x, CZ_COUNT_D, pattern, CZ_READ_TO_TRAIN));
  if (*c->keys.from)
    CZ_TRY(cz_few_shot_cost_generation(
        &labelled, x, &d, c->keys.from,
        &(cz_ipet){.scale = c->keys.scale, .target = c->keys.target, .first = c->keys.first}));
  if (c->keys.lm > 0 && c->keys.fidelity == CZ_FIDELITY_CODE)
    CZ_TRY(cz_few_shot_cost_read_padded(&masked, x, CZ_COUNT_D, pattern));
  else if (c->keys.lm > 0)
    CZ_TRY(cz_few_shot_cost_read(&masked, x, CZ_COUNT_D, pattern, CZ_READ_MASKED));
  cz_few_shot_cost_train(x, models, &labelled, &masked,
                         c->keys.lm > 0 ? (double)c->keys.lm_examples : 0);
  return CZ_OK;
}

static cz_status cost_members(const cz__classifying *c, const cz_few_shot_cost *x,
                              const cz_recipe *recipe) {
  int32_t *patterns = NULL;
  size_t n = 1;
  if (!cz__classify_prompts(c)) return cost_pattern(c, x, -1);
  x->cost->assumed_sizes |= !x->file;
  cz_status st = x->file ? cz__classify_patterns(&patterns, &n, c, x->file, recipe) : CZ_OK;
  for (size_t i = 0; i < n && st == CZ_OK; i++) st = cost_pattern(c, x, patterns ? patterns[i] : 0);
  free(patterns);
  return st;
}

/** The row's `cost`: what the members train on and score, by their texts where those are there. */
cz_status cz__classify_cost(cz_cost *cost, const cz_recipe *recipe) {
  cz__classifying c = {0};
  cz_few_shot_cost x = {0};
  cz_status st = cz__classify_bind(&c, recipe, 0);
  if (st == CZ_OK) st = cz_few_shot_cost_open(&x, cost, &c.f, recipe);
  x.parallel = c.keys.decoding == CZ_FILL_PARALLEL;
  x.encodes = cz__classify_encodes(&c);
  if (st == CZ_OK && c.f.examples && c.f.examples->t.n)
    st = CZ_AT(cz_config_get(recipe->node, cz_classify_section.name),
               cz_demonstrations_draw(&c.demonstrations, c.f.examples, c.keys.demonstrations,
                                      recipe->seed));
  x.demonstrations = c.demonstrations;
  if (st == CZ_OK) st = cost_members(&c, &x, recipe);
  cz_few_shot_cost_close(&x);
  return st;
}
