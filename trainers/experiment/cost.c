#include "experiment/cost.h"

#include <string.h>

/* How many stages S learns from by classify.from, one through another; those that only choose its
 * texts are none. */
static int32_t generation_of(const cz_plan *p, const cz_plan_stage *s) {
  const cz_config_node *section = cz_config_get(s->node, cz_classify_section.name),
                       *from = cz_config_get(section, "from");
  const char *name;
  if (!from) return 0;
  if (cz_config_text(&name, from) != CZ_OK) return cz_error_clear(), 0; /* binding refuses it */
  for (size_t i = 0; i < s->n_from; i++) {
    const cz_plan_stage *t = cz_plan_from(p, (size_t)(s - p->stages), i);
    if (*name == '$' && !strcmp(t->name, name + 1)) return 1 + generation_of(p, t);
  }
  return 0;
}

/* The MODEL that `init` of S names, as that stage's keys describe it; *KNOWN: there is one. */
static cz_status model_before(cz_model_config *model, bool *known, const cz_plan *p,
                              const cz_plan_stage *s) {
  cz_recipe recipe;
  *known = s->init && s->n_from;
  if (!*known) return CZ_OK;
  const cz_plan_stage *t = cz_plan_from(p, (size_t)(s - p->stages), 0);
  *known = cz_stage_takes(t->kind, cz_part_model.key.name);
  if (!*known) return CZ_OK;
  CZ_TRY(cz_stage_bind(&recipe, t->kind, t->node, NULL));
  cz_status st = cz_recipe_open_if_present(&recipe);
  if (st == CZ_OK) st = cz_model_keys_config(model, &recipe.model, recipe.vocabulary.size, NULL);
  cz_recipe_close(&recipe);
  return st;
}

/** What STAGE of PLAN costs, as its kind predicts it; zero when it predicts nothing. A stage whose
 * tokenizer's file is missing is predicted with a vocabulary like T5's. CZ_EUSAGE for a
 * configuration that can't be run. */
cz_status cz_cost_stage(cz_cost *cost, const cz_plan *plan, const cz_plan_stage *stage) {
  cz_recipe recipe;
  cz_model_config model;
  bool known;
  *cost = (cz_cost){.generation = generation_of(plan, stage)};
  if (!stage->kind->cost) return CZ_OK;
  CZ_TRY(model_before(&model, &known, plan, stage));
  cost->model = known ? &model : NULL;
  cz_status st = cz_stage_bind(&recipe, stage->kind, stage->node, NULL);
  if (st == CZ_OK && recipe.tokenizer_path) {
    st = cz_recipe_open_if_present(&recipe);
    cost->assumed_vocabulary = !recipe.tokenizer;
  }
  if (st == CZ_OK) st = stage->kind->cost(cost, &recipe);
  cz_recipe_close(&recipe);
  cost->model = NULL;
  return st;
}

/* What a stage of the plan costs a run: without the steps that it takes over from a shorter one. */
static cz_status add_stage(cz_cost *cost, const cz_plan *p, const cz_plan_stage *s, bool fresh) {
  cz_cost one, taken;
  CZ_TRY(cz_cost_stage(&one, p, s));
  if (fresh && s->shorter != SIZE_MAX) {
    CZ_TRY(cz_cost_stage(&taken, p, &p->stages[s->shorter]));
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
