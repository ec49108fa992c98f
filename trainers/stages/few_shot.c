#include "stages/few_shot.h"
#include "stages/jobs.h"
#include "base/fs.h"
#include "base/log.h"
#include "ensemble/judge.h"
#include "few_shot/chosen.h"
#include "few_shot/published.h"
#include "few_shot/task_file.h"
#include "few_shot/task_view.h"
#include "nn/hf.h"
#include "stages/memory.h"
#include "stages/model_folder.h"
#include "stages/precision.h"
#include "stages/train.h"
#include "tasks/baseline.h"

#include <stdio.h>
#include <string.h>

/* A stage that trains nothing scores in the precision that it names all the same. */
static cz_status bind_precision(cz_loop_job *job, const cz_recipe *recipe) {
  const char *name = cz_stage_precision(recipe->node);
  cz_precision precision = CZ_PRECISION_F32;
  if (name) CZ_TRY(cz_precision_find(&precision, name));
  job->train.precision = (int)precision;
  job->seed = recipe->seed;
  return CZ_OK;
}

/** Binds the sections of a few-shot stage, opening no file; of one that TRAINS also those of the
 * loop. CZ_EUSAGE without `init`, or when batches are not so many examples. */
cz_status cz_few_shot_bind(cz_few_shot *f, const cz_recipe *recipe, const char *what,
                           uint64_t config_hash, bool trains) {
  const cz_config_node *init = cz_config_get(recipe->node, "init"),
                       *batch = cz_config_get(recipe->node, "batch");
  *f = (cz_few_shot){.job = {.what = what, .config_hash = config_hash}};
  if (init) CZ_TRY(cz_config_text(&f->init, init));
  CZ_TRY(cz_examples_bind(&f->keys, cz_config_get(recipe->node, cz_examples_section.name)));
  if (!trains) return bind_precision(&f->job, recipe);
  CZ_TRY(cz_train_bind(&f->job, recipe, what, config_hash));
  f->job.dropout_mask = CZ_DROPOUT_TOKEN;
  f->job.layout = CZ_LAYOUT_TOKENS;
  f->job.batch.max_inputs = f->keys.max_length;
  if (!f->job.batch.examples)
    return cz_config_error(batch ? batch : recipe->node,
                           "%sexamples is missing: how many texts are a batch",
                           batch ? "" : "batch.");
  return CZ_OK;
}

/** Makes the training of F, which is bound, that of the published code under `code`, whose epochs
 * restart or, as from 2021 on, end with a short micro-batch. CZ_EUSAGE where batch.epoch_ends says
 * otherwise, or outside `code` asks for epochs that restart. */
cz_status cz_few_shot_follow(cz_few_shot *f, const cz_recipe *recipe, cz_fidelity fidelity) {
  const cz_config_node *key = cz_config_get(cz_config_get(recipe->node, "batch"), "epoch_ends");
  cz_batch_plan *b = &f->job.batch;
  if (fidelity != CZ_FIDELITY_CODE && b->ends == CZ_ENDS_RESTART)
    return cz_config_error(key, "restart leaves texts out, and all of them where an epoch is less "
                                "than an update: a defect of the published code, which "
                                "`fidelity: code` has and no other fidelity");
  if (fidelity != CZ_FIDELITY_CODE) return CZ_OK;
  if (key && b->ends == CZ_ENDS_JOIN)
    return cz_config_error(key,
                           "join is not the published code's, which `fidelity: code` asks for: "
                           "restart, the default there, or short, as from 2021 on");
  if (f->job.train.loss_normalisation != CZ_NORMALISE_COUNTED)
    return cz_config_error(
        cz_config_get(cz_config_get(recipe->node, "train"), "loss_normalisation"),
        "the published code, which `fidelity: code` asks for, divides by what is counted: counted");
  if (!key) b->ends = CZ_ENDS_RESTART;
  cz_published_loop(&f->job);
  return CZ_OK;
}

/** Whether the stage of F asks a model of FAMILY as a causal LM. */
bool cz_few_shot_asks_causal(const cz_few_shot *f, const cz_family *family) {
  const unsigned heads = cz_family_heads(family);
  return f->by_causal && family->architecture == CZ_LANGUAGE_MODEL &&
         !(heads & CZ_HEAD_BIT(f->head)) && (heads & CZ_HEAD_BIT(CZ_HEAD_CAUSAL_LM));
}

static cz_status refuse_family(const cz_few_shot *f, const cz_recipe *recipe,
                               const cz_family *family) {
  const bool masked = f->head == CZ_HEAD_MASKED_LM,
             other = cz_family_heads(family) & CZ_HEAD_BIT(CZ_HEAD_CAUSAL_LM);
  return cz_config_error(cz_config_get(recipe->node, "init"),
                         "family %s has no %s head, which this stage wants of %s%s%s", family->name,
                         cz_head_names[f->head], f->init,
                         masked && other ? "; classify.strategy=tuning_free asks a causal LM" : "",
                         masked ? "; classify.strategy=finetune wants no masked LM" : "");
}

/** How the members of F read texts, those of a model of CONFIG, whose family may not be known. */
cz_reader_kind cz_few_shot_reader(const cz_few_shot *f, const cz_model_config *config) {
  if (f->head != CZ_HEAD_CLASSIFICATION) return CZ_READS_PROMPTS;
  return config->family && !f->mean ? cz_reader_of(config) : CZ_READS_PLAIN;
}

/* What the model can hold and the head that is wanted, told by its config.json; and how it reads.
 */
static cz_status fits_model(cz_few_shot *f, const cz_recipe *recipe) {
  const cz_config_node *node = cz_config_get(recipe->node, cz_examples_section.name),
                       *key = cz_config_get(node, "max_length");
  cz_model_config c;
  CZ_TRY(cz_hf_config_of(&c, f->init));
  f->config = c;
  f->reader = cz_few_shot_reader(f, &c);
  if (c.family->positions == CZ_POSITIONS_LEARNED && f->keys.max_length > cz_model_longest(&c))
    return cz_config_error(key ? key : node,
                           "%s%lld tokens are more than the %lld positions that %s has",
                           key ? "" : "max_length ", (long long)f->keys.max_length,
                           (long long)cz_model_longest(&c), f->init);
  f->causal = cz_few_shot_asks_causal(f, c.family);
  if (!f->causal && !(cz_family_heads(c.family) & CZ_HEAD_BIT(f->head)))
    return refuse_family(f, recipe, c.family);
  c.heads = CZ_HEAD_BIT(f->causal ? CZ_HEAD_CAUSAL_LM : f->head);
  if (f->head == CZ_HEAD_CLASSIFICATION) c.n_labels = 2; /* names do not depend on how many */
  return cz_check_freeze(recipe, &c, &f->job.train);
}

/* Tokenizer of the pretrained folder, and T, D and test set as drawn. */
static cz_status open_examples(cz_few_shot *f, const cz_recipe *recipe) {
  CZ_TRY(cz_tokenizer_open(&f->tokenizer, f->init));
  CZ_TRY(cz_recipe_ids_fit(f->tokenizer, &f->config, f->init));
  if (f->head == CZ_HEAD_MASKED_LM && !f->causal)
    CZ_TRY(CZ_AT(cz_config_get(recipe->node, "init"), cz_masked_lm_check(f->init, f->tokenizer)));
  return cz_examples_open_for(&f->examples, &f->keys, f->tokenizer, recipe->seed, f->reader);
}

static cz_status choose(cz_few_shot *f, const cz_recipe *recipe) {
  const cz_config_node *node = cz_config_get(recipe->node, cz_examples_section.name);
  return CZ_AT(cz_config_get(node, "chosen_by"), cz_examples_choose(f->examples, &f->keys));
}

/* Of processes that work together the one that checked the stages, or that runs this one, says what
 * is to be said of the data. */
static cz_status open_among(cz_few_shot *f, const cz_recipe *recipe, const cz_session *s) {
  cz_log_heard(s->works || s->joins);
  const cz_status st = open_examples(f, recipe);
  cz_log_heard(false);
  return st;
}

/** Opens the tokenizer of the pretrained folder, and reads, draws and tokenises the examples. The
 * caller closes F, also after a failure. Collective: each rank of S reads the same. */
cz_status cz_few_shot_open(cz_few_shot *f, const cz_recipe *recipe, cz_session *s) {
  CZ_TRY(cz_recipe_model_folder(f->init));
  CZ_TRY(fits_model(f, recipe));
  CZ_TRY(open_among(f, recipe, s));
  CZ_TRY(choose(f, recipe));
  return cz_comm_split(s->comm, &f->alone, s->comm->rank);
}

/* Gives the models that the members of LIST have left what else such a folder holds. */
static cz_status complete_models(const cz_few_shot *f, const cz_member_list *list) {
  const cz_examples *e = f->examples;
  char model[4096];
  for (size_t i = 0; list->keep != CZ_KEEP_LOGITS && i < list->n; i++) {
    CZ_TRY(cz_member_model_folder(model, sizeof model, list->folder, &list->plans[i]));
    if (!cz_fs_is_dir(model)) continue;
    CZ_TRY(cz_model_folder_take_tokenizer(f->tokenizer, f->init, model));
    if (f->head == CZ_HEAD_CLASSIFICATION)
      CZ_TRY(cz_task_file_write(model, e->file, (int64_t)e->prompts->max_length));
    cz_log("%s: a member's model is kept in %s", f->job.what, model);
  }
  return CZ_OK;
}

/** Computes the members of LIST, of a stage of KIND, together with the session's other processes.
 */
cz_status cz_few_shot_compute(cz_few_shot *f, cz_session *s, cz_members *members,
                              const cz_member_list *list, const char *kind) {
  cz_jobs jobs = {0};
  cz_status st = cz_jobs_members(&jobs, s, kind, list->folder, f->job.config_hash);
  if (st == CZ_OK) st = cz_members_compute(members, list);
  cz_status waited = cz_jobs_wait(&jobs, st);
  CZ_TRY(st != CZ_OK ? st : waited);
  return cz_session_writes(s) ? complete_models(f, list) : CZ_OK;
}

/** Frees what F holds. */
void cz_few_shot_close(cz_few_shot *f) {
  cz_comm_close(&f->alone);
  cz_examples_close(&f->examples);
  cz_tokenizer_destroy(&f->tokenizer);
}

/** What members of F have in common, as far as F knows; each is computed by one process. */
cz_members_options cz_few_shot_members(const cz_few_shot *f, cz_session *s) {
  return (cz_members_options){.examples = f->examples,
                              .tokenizer = f->tokenizer,
                              .init = f->init,
                              .device = s->device,
                              .comm = f->alone,
                              .job = f->job,
                              .causal = f->causal,
                              .temperature = 1};
}

static cz_status file_exists(bool *all, cz_check *check, const cz_config_node *node) {
  const char *path = "";
  bool there;
  if (node) CZ_TRY(cz_config_text(&path, node));
  if (!*path) return CZ_OK;
  CZ_TRY(cz_check_file(check, &there, node, NULL));
  *all = *all && there;
  return CZ_OK;
}

/* All files that the section `examples` names, as far as they exist. */
static cz_status files_exist(bool *all, cz_check *check, const cz_recipe *recipe,
                             const cz_examples_keys *keys) {
  static const char *const names[] = {"pattern", "train", "unlabelled_file", "test"};
  const cz_config_node *section = cz_config_get(recipe->node, cz_examples_section.name),
                       *tests = keys->tests;
  *all = true;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    CZ_TRY(file_exists(all, check, cz_config_get(section, names[i])));
    CZ_TRY(file_exists(all, check, cz_config_get(keys->task_node, names[i])));
  }
  for (size_t i = 0; tests && i < cz_config_count(tests); i++)
    CZ_TRY(file_exists(all, check, cz_config_at(tests, i)));
  return CZ_OK;
}

/* Chooses from D as the run will or, where a stage of the plan does, sees that D has as many. */
static cz_status check_chosen(cz_few_shot *f, const cz_recipe *recipe) {
  const cz_config_node *node = cz_config_get(recipe->node, cz_examples_section.name);
  const cz_examples *e = f->examples;
  const cz_records *of_d = e->rest ? e->rest : e->pool;
  if (of_d && of_d->no_label)
    return CZ_FAIL(CZ_EINVAL, "%s: its texts are to be chosen for T, and there are no labels: %s",
                   of_d->path, of_d->no_label);
  if (*f->keys.chosen_by != '$') return choose(f, recipe);
  if ((size_t)f->keys.chosen <= e->d.n) return CZ_OK;
  return cz_config_error(cz_config_get(node, "chosen"), "%lld texts of D, which has %zu",
                         (long long)f->keys.chosen, e->d.n);
}

/* Reads the examples as the run will, once for stages that share them. */
static cz_status check_examples(cz_check *check, const cz_recipe *recipe, cz_few_shot *f) {
  cz_buf text = {0};
  bool first = false;
  cz_status st = cz_config_canonical(&text, cz_config_get(recipe->node, cz_examples_section.name));
  if (st == CZ_OK)
    st = cz_check_once(check, &first, "examples of %s, seed %llu, reader %d: %s", f->init,
                       (unsigned long long)recipe->seed, (int)f->reader, text.data);
  cz_buf_free(&text);
  if (st != CZ_OK || !first) return st;
  CZ_TRY(open_examples(f, recipe));
  return f->keys.chosen ? check_chosen(f, recipe) : CZ_OK;
}

/* The stage of the plan that chooses, `$STAGE`, has members, and draws what this one draws. */
static cz_status check_chooser(const cz_check *check, const cz_config_node *node,
                               const cz_examples_keys *keys) {
  const cz_check_from *from = check->stage.from;
  cz_examples_keys by;
  size_t i = 0;
  while (i < check->stage.n_from && strcmp(from[i].name, keys->chosen_by + 1)) i++;
  if (i == check->stage.n_from)
    return cz_config_error(node, "'%s' is no stage before this one", keys->chosen_by);
  if (!cz_stage_takes(from[i].kind, cz_part_classify.key.name))
    return cz_config_error(node,
                           "'%s' is a stage of kind %s, which has no members that could "
                           "disagree: texts are chosen by one of kind classify",
                           keys->chosen_by, from[i].kind->name);
  CZ_TRY(cz_examples_bind(&by, cz_config_get(from[i].node, cz_examples_section.name)));
  const char *key = cz_chosen_elsewhere(keys, &by);
  return key ? cz_config_error(node,
                               "the stage %s has another examples.%s: it must have this one's T, "
                               "but for the chosen texts, D and test set",
                               from[i].name, key)
             : CZ_OK;
}

/* The keys that choose stand together. */
static cz_status check_choice(const cz_check *check, const cz_recipe *recipe,
                              const cz_examples_keys *keys) {
  const cz_config_node *node = cz_config_get(recipe->node, cz_examples_section.name),
                       *by = cz_config_get(node, "chosen_by");
  if (keys->chosen && !*keys->chosen_by)
    return cz_config_error(cz_config_get(node, "chosen"),
                           "%lld texts are to be chosen; chosen_by is missing: by which stage?",
                           (long long)keys->chosen);
  if (*keys->chosen_by && !keys->chosen)
    return cz_config_error(by, "'%s' is to choose 0 texts; chosen is missing: how many?",
                           keys->chosen_by);
  return *keys->chosen_by == '$' ? check_chooser(check, by, keys) : CZ_OK;
}

/* Whether the processes of --jobs find memory for members of SHAPE. A device of its own has its own
 * message. */
static cz_status fits_memory(const cz_check *check, const cz_few_shot *f,
                             const cz_member_shape *shape) {
  const cz_session *s = check->session;
  cz_member_memory m;
  if (!s || s->jobs < 2 || !s->device->host_memory) return CZ_OK;
  CZ_TRY(cz_member_memory_find(&m, s->device, f->init, &f->job, shape));
  return cz_member_memory_holds(&m, s->jobs, cz_optimizer_names[f->job.optimizer.name]);
}

/** Checks what a few-shot stage, bound to F, reads: its files, and where the pretrained folder is
 * there already all that the run will read. CZ_EUSAGE with the place. */
cz_status cz_few_shot_check(cz_check *check, const cz_recipe *recipe, cz_few_shot *f,
                            const cz_member_shape *trained) {
  const cz_config_node *batch = cz_config_get(recipe->node, "batch");
  bool there;
  if (trained) CZ_TRY(CZ_AT(batch, cz_loop_check(&f->job)));
  CZ_TRY(files_exist(&there, check, recipe, &f->keys));
  CZ_TRY(check_choice(check, recipe, &f->keys));
  if (!f->init && !check->stage.n_from)
    return cz_config_error(recipe->node, "`init: FOLDER` is missing: which pretrained model?");
  if (!f->init || !there || !cz_fs_is_dir(f->init)) return CZ_OK;
  CZ_TRY(CZ_AT(cz_config_get(recipe->node, "init"), cz_recipe_model_folder(f->init)));
  CZ_TRY(fits_model(f, recipe));
  if (trained) CZ_TRY(fits_memory(check, f, trained));
  cz_status st = check_examples(check, recipe, f);
  cz_few_shot_close(f);
  return st;
}

static cz_status list_judged(cz_check *check, const char *name, bool candidates) {
  CZ_TRY(cz_check_result(check, "%s.accuracy", name));
  if (!candidates) CZ_TRY(cz_check_result(check, "%s.macro_f1", name));
  CZ_TRY(cz_check_result(check, "%s.ece", name));
  for (int k = 0; k < CZ_JUDGE_COVERAGES; k++)
    CZ_TRY(cz_check_result(check, "%s.coverage.%d", name, cz_judge_coverages[k]));
  for (int k = 0; k < CZ_JUDGE_COVERAGES; k++)
    CZ_TRY(cz_check_result(check, "%s.abstain_for.%d", name, cz_judge_coverages[k]));
  for (int k = 0; k < CZ_JUDGE_ABSTAINS; k++) {
    CZ_TRY(cz_check_result(check, "%s.abstain.%d.coverage", name, cz_judge_abstains[k]));
    CZ_TRY(cz_check_result(check, "%s.abstain.%d.accuracy", name, cz_judge_abstains[k]));
  }
  const cz_task_metric *of = cz_task_view_row(candidates)->metrics;
  for (int k = 0; k < CZ_TASK_METRICS && of[k] != CZ_METRIC_NONE; k++) {
    const char *score = cz_task_metric_names[of[k]];
    CZ_TRY(cz_check_result(check, "%s.scores.%s", name, score));
    CZ_TRY(cz_check_result(check, "%s.baseline.%s", name, score));
    for (const cz_simple *s = cz_task_simple; s->name && !candidates; s++)
      CZ_TRY(cz_check_result(check, "%s.%s.%s", name, s->name, score));
  }
  return CZ_OK;
}

/* Whether the records have candidates, as far as the pattern file is there. */
static cz_status has_candidates(bool *out, const cz_examples_keys *keys) {
  cz_pattern_file *file;
  if (!*keys->pattern || !cz_fs_exists(keys->pattern)) return CZ_OK;
  CZ_TRY(cz_patterns_open(&file, keys->pattern, *keys->labels ? keys->labels : NULL));
  *out = file->candidates;
  cz_patterns_close(&file);
  return CZ_OK;
}

/** OUT: what a result calls what it judges under NAME on the test file called PART, null: `test`.
 */
void cz_few_shot_judged(char *out, size_t n, const char *name, const char *part) {
  snprintf(out, n, "%s%s%s", name, part ? "_" : "", part ? part : "");
}

/** Lists the values that the result has of an ensemble called NAME, on each test file of KEYS. */
cz_status cz_few_shot_results(cz_check *check, const cz_examples_keys *keys, const char *name) {
  const size_t n = cz_examples_test_count(keys);
  char label[256];
  bool candidates = false;
  CZ_TRY(has_candidates(&candidates, keys));
  if (!n) return list_judged(check, name, candidates);
  for (size_t k = 0; k < n; k++) {
    cz_few_shot_judged(label, sizeof label, name, cz_examples_test_name(keys, k));
    CZ_TRY(list_judged(check, label, candidates));
  }
  return CZ_OK;
}
