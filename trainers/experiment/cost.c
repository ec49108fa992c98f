#include "experiment/cost.h"
#include "training/flops.h"
#include "training/loop.h"
#include "objectives/vocabulary.h"
#include "recipe/tasks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PIECES = 200, RECORDS = 200 };

/* Longest inputs and targets of an example; what is longer is cut. */
typedef struct caps {
  double inputs, targets;
} caps;

/* Mean tokens of a task's records as training reads them, EOS included and cut, over at
 * most RECORDS of them spread over the file. */
static cz_status task_lengths(const cz_recipe *s, const cz_task_set *set, caps most, double *inputs,
                              double *targets) {
  cz_tokenizer_scratch *scratch;
  cz_ids ids = {0};
  size_t n = set->n < RECORDS ? set->n : RECORDS;
  double total[2] = {0};
  CZ_TRY(cz_tokenizer_scratch_create(&scratch, s->tokenizer));
  cz_status st = n ? CZ_OK : CZ_FAIL(CZ_EINVAL, "%s: no records", set->path);
  for (size_t i = 0; i < n && st == CZ_OK; i++) {
    const cz_task_record *r = &set->records[i * set->n / n];
    const char *const texts[2] = {r->inputs, r->targets};
    for (int k = 0; k < 2 && st == CZ_OK; k++) {
      ids.len = 0;
      st = cz_encode_text(&ids, s, scratch, texts[k], strlen(texts[k]));
      total[k] += fmin((double)ids.len + 1, k ? most.targets : most.inputs);
    }
  }
  *inputs = total[0] / (double)n;
  *targets = total[1] / (double)n;
  free(ids.data);
  cz_tokenizer_scratch_destroy(&scratch);
  return st;
}

static bool tasks_there(const cz_tasklist *tasks) {
  char missing[4096];
  for (int i = 0; i < tasks->n; i++)
    if (!cz_input_there(missing, sizeof missing, tasks->entries[i].config.train,
                        tasks->entries[i].row))
      return false;
  return true;
}

/* The mixture's mean lengths: each task's, weighted by how often it is drawn. */
static cz_status mixture_lengths(const cz_recipe *s, const cz_tasklist *tasks, caps most,
                                 cz_stage_cost *cost) {
  double inputs[CZ_MIX_MAXIMUM], targets[CZ_MIX_MAXIMUM], rates[CZ_MIX_MAXIMUM];
  int64_t examples[CZ_MIX_MAXIMUM];
  for (int i = 0; i < tasks->n; i++) {
    cz_task_set *set;
    CZ_TRY(cz_tasklist_load(&set, &tasks->entries[i], "train", CZ_TASK_TRAIN));
    examples[i] = (int64_t)set->n;
    cz_status st = task_lengths(s, set, most, &inputs[i], &targets[i]);
    cz_task_set_destroy(&set);
    CZ_TRY(st);
  }
  CZ_TRY(cz_mixing_rates(rates, examples, tasks->n, &tasks->mixing));
  cost->inputs = cost->targets = 0;
  for (int i = 0; i < tasks->n; i++) {
    cost->inputs += rates[i] * inputs[i];
    cost->targets += rates[i] * targets[i];
  }
  return CZ_OK;
}

static cz_status mean_lengths(const cz_recipe *s, bool pretrains, const cz_batch_plan *batch,
                              cz_stage_cost *cost) {
  const caps most = {
      .inputs =
          (double)(batch->max_inputs ? batch->max_inputs : batch->input_tokens / batch->shards),
      .targets =
          (double)(batch->max_targets ? batch->max_targets : batch->target_tokens / batch->shards)};
  if (pretrains) {
    cz_objective objective;
    CZ_TRY(cz_recipe_objective(&objective, s));
    CZ_TRY(cz_objective_mean_lengths(&objective, &cost->inputs, &cost->targets, PIECES));
    cost->inputs = fmin(cost->inputs, most.inputs);
    cost->targets = fmin(cost->targets, most.targets);
  } else {
    cz_tasklist tasks;
    cz_status st = cz_tasklist_read(&tasks, s);
    cost->assumed_lengths = st == CZ_OK && (!s->tokenizer || !tasks_there(&tasks));
    cost->inputs = most.inputs;
    cost->targets = most.targets;
    if (st == CZ_OK && !cost->assumed_lengths) st = mixture_lengths(s, &tasks, most, cost);
    cz_tasklist_free(&tasks);
    CZ_TRY(st);
  }
  return CZ_OK;
}

static cz_status training_cost(cz_stage_cost *cost, const cz_recipe *s, bool pretrains) {
  cz_batch_plan batch;
  cz_train_keys train;
  cz_model_config config;
  CZ_TRY(cz_recipe_section(s, &cz_batch_section, &batch));
  CZ_TRY(cz_recipe_section(s, &cz_train_section, &train));
  CZ_TRY(cz_model_keys_config(&config, &s->model, s->vocabulary.size));
  CZ_TRY(mean_lengths(s, pretrains, &batch, cost));
  double by_inputs = cost->inputs > 0 ? (double)batch.input_tokens / cost->inputs : INFINITY,
         by_targets = (double)batch.target_tokens / cost->targets;
  cost->segments = by_inputs < by_targets
                       ? by_inputs
                       : by_targets; /* a batch is full when one of its two budgets is */
  cost->steps = (double)train.steps;
  cost->tokens = cost->steps * cost->segments * (cost->inputs + cost->targets);
  cz_step_shape shape = {.segments = cost->segments,
                         .inputs = cost->inputs,
                         .targets = cost->targets,
                         .loss_on_inputs = train.loss_on_inputs};
  cost->flop = cost->steps * cz_flops_step(&config, &shape);
  return CZ_OK;
}

/** What STAGE costs, all of it zero when it does not train: lengths are those of full
 * pieces under its objective, or of its tasks' records; a batch holds as many examples
 * as its budgets allow. CZ_EUSAGE for a configuration that can't be run. */
cz_status cz_cost_stage(cz_stage_cost *cost, const cz_plan_stage *stage) {
  cz_recipe s;
  *cost = (cz_stage_cost){0};
  if (stage->kind == &cz_stage_evaluate) return CZ_OK;
  cz_status st = cz_recipe_bind(&s, stage->node, NULL);
  if (st == CZ_OK) st = cz_recipe_open_if_present(&s);
  cost->assumed_vocabulary = !s.tokenizer;
  if (st == CZ_OK) st = training_cost(cost, &s, stage->kind == &cz_stage_pretrain);
  cz_recipe_close(&s);
  return st;
}
