#include "stages/estimate.h"
#include "training/flops.h"
#include "training/loop.h"

#include <math.h>

/** Adds what a sum over stages has: steps, tokens, operations, seconds and assumptions. */
void cz_cost_add(cz_cost *sum, const cz_cost *one) {
  sum->steps += one->steps;
  sum->tokens += one->tokens;
  sum->flop += one->flop;
  sum->scored += one->scored;
  sum->scoring_flop += one->scoring_flop;
  sum->seconds += one->seconds;
  sum->assumed_vocabulary |= one->assumed_vocabulary;
  sum->assumed_lengths |= one->assumed_lengths;
  sum->assumed_texts |= one->assumed_texts;
  sum->assumed_sizes |= one->assumed_sizes;
  sum->assumed_model |= one->assumed_model;
  sum->unknown_model |= one->unknown_model;
}

/** The maximum tokens of an example's inputs and targets in training: longer ones are cut. */
cz_status cz_cost_caps(double *inputs, double *targets, const cz_recipe *recipe) {
  cz_batch_plan b;
  CZ_TRY(cz_recipe_section(recipe, &cz_batch_section, &b));
  *inputs = (double)cz_batch_cap(b.max_inputs, b.input_tokens, b.shards);
  *targets = (double)cz_batch_cap(b.max_targets, b.target_tokens, b.shards);
  return CZ_OK;
}

/** Completes the COST of a stage that trains on examples of COST's mean `inputs` and
 * `targets`: examples a step, steps, tokens and floating-point operations. A batch of no fixed
 * number of examples is full when one of its two budgets is used up. CZ_EUSAGE for a configuration
 * that cannot run. */
cz_status cz_cost_training(cz_cost *cost, const cz_recipe *recipe) {
  cz_batch_plan batch;
  cz_train_keys train;
  cz_model_config config;
  CZ_TRY(cz_recipe_section(recipe, &cz_batch_section, &batch));
  CZ_TRY(cz_recipe_section(recipe, &cz_train_section, &train));
  CZ_TRY(cz_model_keys_config(&config, &recipe->model, recipe->vocabulary.size, NULL));
  double by_inputs = cost->inputs > 0 ? (double)batch.input_tokens / cost->inputs : INFINITY,
         by_targets = cost->targets > 0 ? (double)batch.target_tokens / cost->targets : INFINITY;
  cost->segments = batch.examples ? (double)batch.examples : fmin(by_inputs, by_targets);
  cost->steps = (double)train.steps;
  cost->tokens = cost->steps * cost->segments * (cost->inputs + cost->targets);
  cz_step_shape shape = {.segments = cost->segments,
                         .inputs = cost->inputs,
                         .targets = cost->targets,
                         .loss_on_inputs = train.loss_on_inputs,
                         .read = train.loss_on_inputs ? 0 : cost->targets};
  cost->flop = cost->steps * cz_flops_step(&config, &shape);
  return CZ_OK;
}
