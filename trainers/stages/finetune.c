/* The kind of stage `finetune`: a mixture of tasks' records, from a saved model or drawn
 * weights. */
#include "base/log.h"
#include "base/text.h"
#include "stages/check.h"
#include "recipe/tasks.h"
#include "stages/train.h"

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

static cz_status encode_set(cz_pairs *pairs, const cz_task_set *set, const cz_recipe *stage,
                            cz_tokenizer_scratch *scratch) {
  cz_ids inputs = {0}, targets = {0};
  cz_status st = CZ_OK;
  for (size_t i = 0; i < set->n && st == CZ_OK; i++) {
    const cz_task_record *r = &set->records[i];
    inputs.len = targets.len = 0;
    CZ_GO(st, cz_encode_text(&inputs, stage, scratch, r->inputs, strlen(r->inputs)), done);
    CZ_GO(st, cz_encode_text(&targets, stage, scratch, r->targets, strlen(r->targets)), done);
    CZ_GO(st,
          cz_pairs_add(pairs, inputs.data, (int64_t)inputs.len, targets.data, (int64_t)targets.len),
          done);
  }
done:
  free(inputs.data);
  free(targets.data);
  return st;
}

static cz_status load_task(mixture *m, int i, const cz_recipe *stage,
                           cz_tokenizer_scratch *scratch) {
  cz_task_set *set = NULL;
  CZ_TRY(cz_tasklist_load(&set, &m->tasks.entries[i], "train", CZ_TASK_TRAIN));
  cz_status st = encode_set(&m->pairs[i], set, stage, scratch);
  m->examples[i] = (int64_t)set->n;
  if (st == CZ_OK) cz_log("finetune: %s: %zu examples", m->tasks.entries[i].label, set->n);
  cz_task_set_destroy(&set);
  if (st == CZ_OK)
    st = cz_source_pairs(&m->sources[i], &m->pairs[i], stage->vocabulary.eos,
                         stage->seed ^ cz_hash_text(m->tasks.entries[i].label));
  return st;
}

static cz_status open_mixture(mixture *m, const cz_recipe *stage) {
  cz_tokenizer_scratch *scratch;
  cz_status st = CZ_OK;
  CZ_TRY(cz_tasklist_read(&m->tasks, stage));
  CZ_TRY(cz_tokenizer_scratch_create(&scratch, stage->tokenizer));
  for (int i = 0; i < m->tasks.n && st == CZ_OK; i++) st = load_task(m, i, stage, scratch);
  cz_tokenizer_scratch_destroy(&scratch);
  if (st != CZ_OK) return st;
  CZ_TRY(cz_mixing_rates(m->rates, m->examples, m->tasks.n, &m->tasks.mixing));
  CZ_TRY(cz_source_mixture(&m->all, m->sources, m->rates, m->tasks.n, stage->seed));
  memset(m->sources, 0, sizeof m->sources); /* the mixture owns them now */
  return CZ_OK;
}

static cz_status run(cz_session *s, const cz_config_node *node, const char *folder,
                     uint64_t config_hash, json_t *metrics, json_t *measured) {
  cz_recipe stage;
  mixture *m = NULL;
  cz_model *model = NULL;
  cz_loop_job job;
  cz_status st;
  CZ_GO(st, cz_recipe_open(&stage, node, s->device), done);
  CZ_GO(st, cz_alloc(&m, 1, sizeof *m), done);
  CZ_GO(st, cz_train_bind(&job, &stage, "finetune", config_hash), done);
  CZ_GO(st, open_mixture(m, &stage), done);
  for (int i = 0; i < m->tasks.n; i++) job.examples += m->examples[i];
  CZ_GO(st, cz_recipe_model(&model, &stage), done);
  CZ_GO(st, cz_train(s, &stage, model, &m->all, &job, folder, metrics, measured), done);
done:
  cz_model_destroy(&model);
  if (m) free_mixture(m);
  free(m);
  cz_recipe_close(&stage);
  return st;
}

static cz_status check(cz_check *c, const cz_recipe *stage) {
  cz_loop_job job;
  CZ_TRY(cz_train_bind(&job, stage, "finetune", 0));
  CZ_TRY(cz_check_job(c, stage, &job));
  return cz_check_tasks(c, stage, NULL);
}

static const char *const keys[] = {"kind",  "seed",  "tokenizer", "init",  "model",
                                   "tasks", "batch", "optimizer", "train", NULL};

const cz_stage_kind cz_stage_finetune = {
    "finetune", "train a saved model on a mixture of text-to-text tasks", keys, true, check, run};
