/* The kind of stage `pretrain`: a corpus under an objective, from drawn weights or a
 * saved model. */
#include "stages/check.h"
#include "stages/estimate.h"
#include "stages/held_out.h"
#include "stages/train.h"

#include <math.h>

/* A stage's configuration, bound once for the check and for the run. */
typedef struct pretraining {
  cz_objective objective;
  cz_loop_job job;
  const cz_config_node *corpus;
} pretraining;

/* Whether the objective asks, beside tokens, which of two classes a text is of. */
static bool has_classes(const cz_objective *o) { return o->cut.other; }

/* Both losses count alike (Devlin et al. 2019, A.2: their sum). */
static void set_heads(pretraining *p) {
  if (!has_classes(&p->objective)) return;
  p->job.n_heads = 2;
  p->job.heads[0] = (cz_loop_head){.net = {.kind = CZ_NET_VOCABULARY}, .weight = 1};
  p->job.heads[1] = (cz_loop_head){.net = {.kind = CZ_NET_NEXT_SENTENCE}, .weight = 1};
}

/* RECIPE, whose model has the heads that the objective wants. */
static cz_recipe with_heads(const cz_recipe *recipe, const cz_objective *o) {
  cz_recipe with = *recipe;
  if (has_classes(o)) with.heads |= CZ_HEAD_BIT(CZ_HEAD_NEXT_SENTENCE);
  return with;
}

/* The objective's caps of an example hold where the recipe sets none. */
static cz_status bind(pretraining *p, const cz_recipe *recipe, uint64_t config_hash) {
  cz_batch_plan *b = &p->job.batch;
  CZ_TRY(cz_recipe_objective(&p->objective, recipe));
  CZ_TRY(cz_train_bind(&p->job, recipe, "pretrain", config_hash));
  if (!b->max_inputs) b->max_inputs = p->objective.inputs_cap;
  if (!b->max_targets) b->max_targets = p->objective.targets_cap;
  set_heads(p);
  return cz_config_need(&p->corpus, recipe->node, "corpus");
}

/* The model must read what the objective makes. */
static cz_status check_form(const cz_objective *o, const cz_model_config *model) {
  static const char *const stacks[] = {
      [CZ_FORM_TEXT_TO_TEXT] = "models that begin to read with a start token",
      [CZ_FORM_MASKED] = "stacks whose tokens all see one another",
      [CZ_FORM_CAUSAL] = "causal stacks that read tokens as they are"};
  const bool both_sides = model->family->architecture == CZ_ENCODER,
             as_they_are = cz_train_layout(model) == CZ_LAYOUT_TOKENS;
  const cz_form reads = both_sides    ? CZ_FORM_MASKED
                        : as_they_are ? CZ_FORM_CAUSAL
                                      : CZ_FORM_TEXT_TO_TEXT;
  if (has_classes(o) && !(cz_family_heads(model->family) & CZ_HEAD_BIT(CZ_HEAD_NEXT_SENTENCE)))
    return CZ_FAIL(CZ_EUSAGE,
                   "%s asks whether a text follows another, and the family %s has no head for it; "
                   "masked_lm is the same without that",
                   o->row->name, model->family->name);
  if (reads == o->row->form) return CZ_OK;
  return CZ_FAIL(CZ_EUSAGE, "%s is for %s; the family %s is for %s", o->row->name,
                 stacks[o->row->form], model->family->name, stacks[reads]);
}

/* What is read before training begins. */
static cz_status read_files(pretraining *p, cz_reader **reader, cz_source *source, cz_model **model,
                            const cz_recipe *recipe) {
  uint64_t pieces;
  CZ_TRY(cz_recipe_corpus(reader, recipe, p->corpus));
  CZ_TRY(cz_source_pieces(source, *reader, &p->objective.cut, p->objective.row->corrupt,
                          &p->objective, recipe->seed));
  CZ_TRY(source->count(source->self, &pieces, 0));
  p->job.examples = (int64_t)pieces;
  const cz_recipe with = with_heads(recipe, &p->objective);
  return cz_recipe_model(model, &with);
}

static cz_status run(cz_session *s, const cz_recipe *recipe, cz_stage_output *out) {
  pretraining p;
  cz_reader *reader = NULL;
  cz_source source = {0};
  cz_model *model = NULL;
  cz_status st;
  CZ_GO(st, bind(&p, recipe, out->config_hash), done);
  CZ_GO(st, cz_comm_agree(s->comm, read_files(&p, &reader, &source, &model, recipe)), done);
  CZ_GO(st, check_form(&p.objective, &model->config), done);
  CZ_GO(st, cz_train(s, recipe, model, &source, &p.job, out), done);
  if (s->comm->rank == 0)
    CZ_GO(st, cz_held_out_run(out->metrics, recipe, model, &p.objective, &p.job), done);
done:
  cz_model_destroy(&model);
  cz_source_destroy(&source);
  cz_reader_close(&reader);
  return st;
}

static cz_status check(cz_check *c, const cz_recipe *recipe) {
  pretraining p;
  CZ_TRY(bind(&p, recipe, 0));
  CZ_TRY(
      CZ_AT(cz_config_get(recipe->node, "objective"), check_form(&p.objective, &c->stage.model)));
  CZ_TRY(cz_check_job(c, recipe, &p.job));
  CZ_TRY(cz_check_corpus(c, recipe, p.corpus));
  return cz_held_out_check(c, recipe);
}

/* Lengths are those of full pieces under the objective. */
static cz_status cost(cz_cost *cost, const cz_recipe *recipe) {
  enum { PIECES = 200 };
  cz_objective objective;
  double inputs, targets;
  CZ_TRY(cz_cost_caps(&inputs, &targets, recipe));
  CZ_TRY(cz_recipe_objective(&objective, recipe));
  CZ_TRY(cz_objective_mean_lengths(&objective, &cost->inputs, &cost->targets, PIECES));
  cost->inputs = fmin(cost->inputs, inputs);
  cost->targets = fmin(cost->targets, targets);
  return cz_cost_training(cost, recipe);
}

static const cz_stage_part *const parts[] = {
    &cz_part_tokenizer, &cz_part_corpus, &cz_part_model,    &cz_part_objective, &cz_part_batch,
    &cz_part_optimizer, &cz_part_train,  &cz_part_held_out, &cz_part_init,      NULL};

const cz_stage_kind cz_stage_row_pretrain = {
    .name = "pretrain",
    .help = "train a model, from the seed or from a saved one, under an objective",
    .usage = CZ_STAGE_USAGE("pretrain",
                            "Trains a model (drawn from the seed, or init: FOLDER) under an "
                            "objective and saves it as a Hugging Face directory in DIR/model.\n"),
    .parts = parts,
    .leaves = CZ_LEAVES_MODEL | CZ_LEAVES_CURVE,
    .results = cz_train_results,
    .check = check,
    .run = run,
    .cost = cost};
