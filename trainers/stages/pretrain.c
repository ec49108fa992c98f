/* The kind of stage `pretrain`: a corpus under an objective, from drawn weights or a
 * saved model. */
#include "stages/held_out.h"
#include "stages/train.h"

/* An example's caps are the objective's, unless the recipe says less. */
static void cap(cz_batch_plan *b, const cz_objective *o) {
  if (!b->max_inputs) b->max_inputs = o->inputs_cap;
  if (!b->max_targets) b->max_targets = o->targets_cap;
}

static cz_status run(cz_session *s, const cz_config_node *node, const char *folder,
                     uint64_t config_hash, json_t *metrics, json_t *measured) {
  cz_recipe stage;
  const cz_config_node *corpus;
  cz_objective objective;
  cz_reader *reader = NULL;
  cz_source source = {0};
  cz_model *model = NULL;
  cz_loop_job job;
  uint64_t pieces;
  cz_status st;
  CZ_GO(st, cz_recipe_open(&stage, node, s->device), done);
  CZ_GO(st, cz_recipe_objective(&objective, &stage), done);
  CZ_GO(st, cz_train_bind(&job, &stage, "pretrain", config_hash), done);
  cap(&job.batch, &objective);
  CZ_GO(st, cz_config_need(&corpus, node, "corpus"), done);
  CZ_GO(st, cz_recipe_corpus(&reader, &stage, corpus), done);
  CZ_GO(st,
        cz_source_pieces(&source, reader, &objective.cut, objective.row->corrupt, &objective,
                         stage.seed),
        done);
  CZ_GO(st, source.count(source.self, &pieces, 0), done);
  job.examples = (int64_t)pieces;
  CZ_GO(st, cz_recipe_model(&model, &stage), done);
  CZ_GO(st, cz_train(s, &stage, model, &source, &job, folder, metrics, measured), done);
  if (s->comm->rank == 0)
    CZ_GO(st, cz_held_out_run(metrics, &stage, model, &objective, &job), done);
done:
  cz_model_destroy(&model);
  cz_source_destroy(&source);
  cz_reader_close(&reader);
  cz_recipe_close(&stage);
  return st;
}

static cz_status check(cz_check *c, const cz_recipe *stage) {
  const cz_config_node *corpus;
  cz_objective objective;
  cz_loop_job job;
  CZ_TRY(cz_recipe_objective(&objective, stage));
  CZ_TRY(cz_train_bind(&job, stage, "pretrain", 0));
  cap(&job.batch, &objective);
  CZ_TRY(cz_check_job(c, stage, &job));
  CZ_TRY(cz_config_need(&corpus, stage->node, "corpus"));
  CZ_TRY(cz_check_corpus(c, stage, corpus));
  return cz_held_out_check(c, stage);
}

static const char *const keys[] = {"kind",      "seed",  "tokenizer", "corpus", "init",     "model",
                                   "objective", "batch", "optimizer", "train",  "held_out", NULL};

const cz_stage_kind cz_stage_pretrain = {
    "pretrain", "train a model from scratch under an objective", keys, true, check, run};
