#include "experiment/cost.h"

/** What STAGE costs, as its kind predicts it; zero when it predicts nothing. A stage whose
 * tokenizer's file is missing is predicted with a vocabulary like T5's. CZ_EUSAGE for a
 * configuration that can't be run. */
cz_status cz_cost_stage(cz_cost *cost, const cz_plan_stage *stage) {
  cz_recipe recipe;
  *cost = (cz_cost){0};
  if (!stage->kind->cost) return CZ_OK;
  cz_status st = cz_stage_bind(&recipe, stage->kind, stage->node, NULL);
  if (st == CZ_OK && recipe.tokenizer_path) {
    st = cz_recipe_open_if_present(&recipe);
    cost->assumed_vocabulary = !recipe.tokenizer;
  }
  if (st == CZ_OK) st = stage->kind->cost(cost, &recipe);
  cz_recipe_close(&recipe);
  return st;
}

/* What a stage of the plan costs a run: without the steps that it takes over from a shorter one. */
static cz_status add_stage(cz_cost *cost, const cz_plan *p, const cz_plan_stage *s, bool fresh) {
  cz_cost one, taken;
  CZ_TRY(cz_cost_stage(&one, s));
  if (fresh && s->shorter != SIZE_MAX) {
    CZ_TRY(cz_cost_stage(&taken, &p->stages[s->shorter]));
    one.steps -= taken.steps;
    one.tokens -= taken.tokens;
    one.flop -= taken.flop;
  }
  cz_cost_add(cost, &one);
  return CZ_OK;
}

/** What all stages of ROW cost for one seed; FRESH: without the steps that one takes over from the
 * value of the axis before. Errors as cz_cost_stage. */
cz_status cz_cost_row(cz_cost *cost, const cz_plan *p, size_t row, bool fresh) {
  *cost = (cz_cost){0};
  for (size_t i = 0; i < p->n_stages; i++)
    if (!cz_plan_at(p, 0, row, i)->left_out)
      CZ_TRY(add_stage(cost, p, cz_plan_at(p, 0, row, i), fresh));
  return CZ_OK;
}
