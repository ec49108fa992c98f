/* The kind of stage `finetune`: a mixture of tasks' records, from a saved model or drawn
 * weights. */
#include "base/hash.h"
#include "base/log.h"
#include "base/stop.h"
#include "objectives/vocabulary.h"
#include "recipe/tasks.h"
#include "stages/check.h"
#include "stages/estimate.h"
#include "stages/train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The training records of all tasks as token ids, and the sources over them. */
typedef struct mixture {
  cz_tasklist tasks;
  cz_pairs pairs[CZ_MIX_MAXIMUM];
  cz_source sources[CZ_MIX_MAXIMUM], all;
  int64_t examples[CZ_MIX_MAXIMUM];
  double rates[CZ_MIX_MAXIMUM];
} mixture;

static void free_mixture(mixture *m) {
  cz_source_destroy(&m->all);
  for (int i = 0; i < m->tasks.n; i++) {
    cz_source_destroy(&m->sources[i]);
    cz_pairs_free(&m->pairs[i]);
  }
  cz_tasklist_free(&m->tasks);
}

static cz_status encode_set(cz_pairs *pairs, const cz_task_set *set, const cz_recipe *recipe,
                            cz_tokenizer_scratch *scratch) {
  cz_ids inputs = {0}, targets = {0};
  cz_status st = CZ_OK;
  for (size_t i = 0; i < set->n && st == CZ_OK; i++) {
    const cz_task_record *r = &set->records[i];
    inputs.len = targets.len = 0;
    CZ_GO(st, cz_stop_check(set->path), done);
    CZ_GO(st,
          cz_encode_text(&inputs, recipe->tokenizer, scratch, r->inputs, strlen(r->inputs), false),
          done);
    CZ_GO(
        st,
        cz_encode_text(&targets, recipe->tokenizer, scratch, r->targets, strlen(r->targets), false),
        done);
    CZ_GO(st,
          cz_pairs_add(pairs, inputs.data, (int64_t)inputs.len, targets.data, (int64_t)targets.len),
          done);
  }
done:
  free(inputs.data);
  free(targets.data);
  return st;
}

static cz_status load_task(mixture *m, int i, const cz_recipe *recipe,
                           cz_tokenizer_scratch *scratch) {
  cz_task_set *set = NULL;
  CZ_TRY(cz_tasklist_load(&set, &m->tasks.entries[i], "train", CZ_TASK_TRAIN));
  cz_status st = encode_set(&m->pairs[i], set, recipe, scratch);
  m->examples[i] = (int64_t)set->n;
  if (st == CZ_OK) cz_log("finetune: %s: %zu examples", m->tasks.entries[i].label, set->n);
  cz_task_set_destroy(&set);
  if (st == CZ_OK)
    st = cz_source_pairs(&m->sources[i], &m->pairs[i], recipe->vocabulary.eos,
                         recipe->seed ^ cz_hash_text(m->tasks.entries[i].label));
  return st;
}

static cz_status open_mixture(mixture *m, const cz_recipe *recipe) {
  cz_tokenizer_scratch *scratch;
  cz_status st = CZ_OK;
  CZ_TRY(cz_tasklist_read(&m->tasks, recipe));
  CZ_TRY(cz_tokenizer_scratch_create(&scratch, recipe->tokenizer));
  for (int i = 0; i < m->tasks.n && st == CZ_OK; i++) st = load_task(m, i, recipe, scratch);
  cz_tokenizer_scratch_destroy(&scratch);
  if (st != CZ_OK) return st;
  CZ_TRY(cz_mixing_rates(m->rates, m->examples, m->tasks.n, &m->tasks.mixing));
  CZ_TRY(cz_source_mixture(&m->all, m->sources, m->rates, m->tasks.n, recipe->seed));
  memset(m->sources, 0, sizeof m->sources); /* the mixture owns them now */
  return CZ_OK;
}

static cz_status run(cz_session *s, const cz_recipe *recipe, cz_stage_output *out) {
  mixture *m = NULL;
  cz_model *model = NULL;
  cz_loop_job job;
  cz_status st;
  CZ_GO(st, cz_alloc(&m, 1, sizeof *m), done);
  CZ_GO(st, cz_train_bind(&job, recipe, "finetune", out->config_hash), done);
  st = open_mixture(m, recipe);
  if (st == CZ_OK) st = cz_recipe_model(&model, recipe);
  CZ_GO(st, cz_comm_agree(s->comm, st), done);
  for (int i = 0; i < m->tasks.n; i++) job.examples += m->examples[i];
  CZ_GO(st, cz_train(s, recipe, model, &m->all, &job, out), done);
done:
  cz_model_destroy(&model);
  if (m) free_mixture(m);
  free(m);
  return st;
}

static cz_status check(cz_check *c, const cz_recipe *recipe) {
  cz_loop_job job;
  CZ_TRY(cz_train_bind(&job, recipe, "finetune", 0));
  CZ_TRY(cz_check_job(c, recipe, &job));
  return cz_check_tasks(c, recipe, NULL);
}

/* Mean tokens of a task's records as training reads them, EOS included and cut to the caps,
 * over at most RECORDS of them spread over the file. */
static cz_status task_lengths(double means[2], const double caps[2], const cz_recipe *recipe,
                              const cz_task_set *set) {
  enum { RECORDS = 200 };
  cz_tokenizer_scratch *scratch;
  cz_ids ids = {0};
  size_t n = set->n < RECORDS ? set->n : RECORDS;
  double total[2] = {0};
  CZ_TRY(cz_tokenizer_scratch_create(&scratch, recipe->tokenizer));
  cz_status st = n ? CZ_OK : CZ_FAIL(CZ_EINVAL, "%s: no records", set->path);
  for (size_t i = 0; i < n && st == CZ_OK; i++) {
    const cz_task_record *r = &set->records[i * set->n / n];
    const char *const texts[2] = {r->inputs, r->targets};
    for (int k = 0; k < 2 && st == CZ_OK; k++) {
      ids.len = 0;
      st = cz_encode_text(&ids, recipe->tokenizer, scratch, texts[k], strlen(texts[k]), false);
      total[k] += fmin((double)ids.len + 1, caps[k]);
    }
  }
  for (int k = 0; k < 2; k++) means[k] = total[k] / (double)n;
  free(ids.data);
  cz_tokenizer_scratch_destroy(&scratch);
  return st;
}

/* Whether the training files of all tasks exist. */
static bool files_exist(const cz_tasklist *tasks) {
  char missing[4096];
  for (int i = 0; i < tasks->n; i++)
    if (!cz_inputs_exist(missing, sizeof missing, tasks->entries[i].config.train,
                         tasks->entries[i].row))
      return false;
  return true;
}

/* The mixture's mean lengths: each task's, weighted by how often it is drawn. */
static cz_status mixture_lengths(cz_cost *cost, const double caps[2], const cz_recipe *recipe,
                                 const cz_tasklist *tasks) {
  double means[CZ_MIX_MAXIMUM][2], rates[CZ_MIX_MAXIMUM];
  int64_t examples[CZ_MIX_MAXIMUM];
  for (int i = 0; i < tasks->n; i++) {
    cz_task_set *set;
    CZ_TRY(cz_tasklist_load(&set, &tasks->entries[i], "train", CZ_TASK_TRAIN));
    examples[i] = (int64_t)set->n;
    cz_status st = task_lengths(means[i], caps, recipe, set);
    cz_task_set_destroy(&set);
    CZ_TRY(st);
  }
  CZ_TRY(cz_mixing_rates(rates, examples, tasks->n, &tasks->mixing));
  cost->inputs = cost->targets = 0;
  for (int i = 0; i < tasks->n; i++) {
    cost->inputs += rates[i] * means[i][0];
    cost->targets += rates[i] * means[i][1];
  }
  return CZ_OK;
}

/* Lengths are those of the tasks' records; without their files, as long as the batch
 * allows. */
static cz_status cost(cz_cost *cost, const cz_recipe *recipe) {
  double caps[2];
  cz_tasklist tasks;
  CZ_TRY(cz_cost_caps(&caps[0], &caps[1], recipe));
  cz_status st = cz_tasklist_read(&tasks, recipe);
  cost->assumed_lengths = st == CZ_OK && (!recipe->tokenizer || !files_exist(&tasks));
  cost->inputs = caps[0];
  cost->targets = caps[1];
  if (st == CZ_OK && !cost->assumed_lengths) st = mixture_lengths(cost, caps, recipe, &tasks);
  cz_tasklist_free(&tasks);
  CZ_TRY(st);
  return cz_cost_training(cost, recipe);
}

static const cz_stage_part *const parts[] = {
    &cz_part_tokenizer, &cz_part_model, &cz_part_tasks, &cz_part_batch,
    &cz_part_optimizer, &cz_part_train, &cz_part_init,  NULL};

const cz_stage_kind cz_stage_row_finetune = {
    .name = "finetune",
    .help = "train a model, from the seed or from a saved one, on text-to-text tasks",
    .usage =
        CZ_STAGE_USAGE("finetune", "Trains a model (init: FOLDER, or drawn from the seed) on a "
                                   "mixture of text-to-text tasks.\n"),
    .parts = parts,
    .leaves = CZ_LEAVES_MODEL | CZ_LEAVES_CURVE,
    .results = cz_train_results,
    .check = check,
    .run = run,
    .cost = cost};
