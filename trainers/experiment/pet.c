#include "experiment/pet.h"
#include "base/fs.h"
#include "base/log.h"
#include "config/config.h"
#include "ensemble/generations.h"
#include "experiment/pet_internal.h"
#include "experiment/run.h"
#include "json/json.h"
#include "metrics/jsonl.h"
#include "nn/hf.h"
#include "prompts/patterns.h"
#include "recipe/recipe.h"

#include <omp.h>
#include <stdio.h>
#include <string.h>

/* Recipes for models of this width and more are the paper's (docs/pet.md 1.4); narrower ones need
 * larger steps to move at all in as many updates. */
enum { WIDE = 512, GENERATIONS = 16, LONGEST = 256, PROCESSES = 8 };

#define COMPOSED "the experiment of cloze pet" /* what errors call its text */

/* What the composed experiment depends on. */
typedef struct composing {
  const cz_pet_request *r;
  cz_buf text;
  int64_t labelled;    /* texts of T; 0: zero-shot */
  int64_t generations; /* of iPET, after the first ensemble */
  int64_t longest;     /* tokens of an input */
  bool wide;
} composing;

static cz_status add_file(cz_buf *out, const char *key, const char *path) {
  if (!path || !*path) return CZ_OK;
  CZ_TRY(cz_buf_addf(out, ", %s: ", key));
  return cz_jsonl_quote(out, path);
}

static cz_status add_common(composing *c) {
  const cz_pet_request *r = c->r;
  cz_buf *out = &c->text;
  CZ_TRY(cz_buf_addf(out, "title: \"PET on data files\"\nseeds: [1]\ncommon:\n  init: "));
  CZ_TRY(cz_jsonl_quote(out, r->model));
  CZ_TRY(cz_buf_addf(out, "\n  examples: {max_length: %lld", (long long)c->longest));
  CZ_TRY(add_file(out, "pattern", r->pattern));
  CZ_TRY(add_file(out, "train", r->train));
  CZ_TRY(add_file(out, "unlabelled_file", r->unlabeled));
  CZ_TRY(add_file(out, "test", r->test));
  CZ_TRY(add_file(out, "labels", r->labels));
  CZ_TRY(add_file(out, "columns", r->columns));
  CZ_TRY(add_file(out, "backslashes", r->backslashes));
  return cz_buf_addf(out,
                     "}\n  batch: {examples: 16}\n  optimizer: {name: adamw, learning_rate: %s, "
                     "schedule: transformers_linear, weight_decay: 0.01, epsilon: 1e-8, "
                     "clip_norm: 1}\n  train: {steps: %d, z_loss: 0}\nstages:\n",
                     c->wide ? "1e-5" : "1e-4", c->wide ? 250 : 120);
}

/* What stands for the fresh head of a classifier, which has more to learn than a prompt. */
static cz_status add_classifier_recipe(composing *c, int steps) {
  return cz_buf_addf(&c->text, ", optimizer: {learning_rate: %s}, train: {steps: %d}}\n",
                     c->wide ? "1e-5" : "3e-4", steps);
}

static cz_status add_generations(composing *c) {
  char before[32];
  snprintf(before, sizeof before, "%s", c->labelled ? "pet" : "untrained");
  for (int64_t g = 1; g <= c->generations; g++) {
    CZ_TRY(cz_buf_addf(&c->text,
                       "  generation%lld: {kind: classify, classify: {strategy: pet, repetitions: "
                       "1, from: $%s%s}}\n",
                       (long long)g, before, c->labelled ? "" : ", weights: uniform"));
    snprintf(before, sizeof before, "generation%lld", (long long)g);
  }
  CZ_TRY(cz_buf_addf(&c->text, "  student: {kind: distill, distill: {from: $%s}", before));
  return add_classifier_recipe(c, c->wide ? 5000 : 400);
}

static cz_status add_stages(composing *c) {
  CZ_TRY(cz_buf_addf(&c->text, "  zero_shot: {kind: classify, classify: {strategy: tuning_free, "
                               "calibrate: unlabeled_mean}}\n"));
  if (!c->labelled)
    CZ_TRY(cz_buf_addf(&c->text, "  untrained: {kind: classify, classify: {strategy: tuning_free, "
                                 "calibrate: unlabeled_mean, calibrated_start: true}}\n"));
  if (c->labelled) {
    CZ_TRY(cz_buf_addf(&c->text, "  supervised: {kind: classify, classify: {strategy: finetune, "
                                 "repetitions: 1}"));
    CZ_TRY(add_classifier_recipe(c, c->wide ? 250 : 400));
    CZ_TRY(cz_buf_addf(&c->text, "  pet: {kind: classify, classify: {strategy: pet, repetitions: "
                                 "1}}\n"));
  }
  CZ_TRY(add_generations(c));
  return cz_buf_addf(&c->text, "rows: [{name: pet}]\ncolumns: [{name: accuracy, value: "
                               "student.student.scores.accuracy, unit: \"%%\"}]\n");
}

/* How T's sets grow, by what is composed so far and the words that set keys of all stages. */
static cz_status read_growth(composing *c, cz_ipet *ipet) {
  static const char all[] = "common.";
  const cz_pet_request *r = c->r;
  cz_config *config;
  CZ_TRY(cz_config_parse(&config, COMPOSED, c->text.data, c->text.len));
  cz_status st = CZ_OK;
  for (size_t i = 0; i < r->n_words && st == CZ_OK; i++)
    if (!strncmp(r->words[i], all, sizeof all - 1)) st = cz_config_set(config, r->words[i]);
  if (st == CZ_OK)
    st = cz_stage_growth(ipet, &c->labelled, cz_config_get(cz_config_root(config), "common"), 1);
  cz_config_destroy(&config);
  CZ_TRY(st);
  return r->zero_shot && c->labelled
             ? CZ_FAIL(CZ_EUSAGE,
                       "pet: --zero-shot takes no labelled texts, and common.examples has %lld",
                       (long long)c->labelled)
             : CZ_OK;
}

/* Texts of T, and the generations that they take. */
static cz_status count_generations(composing *c) {
  const bool grows = c->r->ipet;
  cz_ipet ipet;
  CZ_TRY(read_growth(c, &ipet));
  c->generations = grows ? cz_ipet_generations(&ipet, c->labelled) : 0;
  if (grows && !c->generations)
    cz_warn("--ipet: T has %lld texts and sets grow to %lld, so no generation is made",
            (long long)c->labelled, (long long)ipet.target);
  return c->generations < GENERATIONS
             ? CZ_OK
             : CZ_FAIL(CZ_EUSAGE,
                       "--ipet: %lld generations from %lld texts to the target of %lld, each of %g "
                       "times the texts of the one before; at most %d: a larger "
                       "common.classify.scale or a smaller common.classify.target takes fewer",
                       (long long)c->generations,
                       (long long)(c->labelled ? c->labelled : ipet.first), (long long)ipet.target,
                       ipet.scale, GENERATIONS - 1);
}

/* Whether KEY, which a word of the command sets, is one of a stage and stands for itself. */
static cz_status check_section(const char *key) {
  char section[64];
  const size_t n = strcspn(key, ".=");
  bool takes = false;
  if (n >= sizeof section || key[n] != '.') return CZ_OK;
  snprintf(section, sizeof section, "%.*s", (int)n, key);
  for (size_t i = 0; i < cz_stage_row_count; i++)
    takes |= cz_stage_takes(cz_stage_rows[i], section);
  return takes ? CZ_FAIL(CZ_EUSAGE,
                         "pet: %s: a key of a stage stands below the stages that it is for: "
                         "common.%s, or of one of them stages.pet.%s",
                         key, key, key)
               : CZ_OK;
}

/* Whether the stage that KEY is of, `stages.NAME.`, is composed. */
static cz_status check_stage(const composing *c, const char *key) {
  static const char before[] = "stages.";
  char line[80];
  if (strncmp(key, before, sizeof before - 1)) return CZ_OK;
  const char *name = key + sizeof before - 1;
  const size_t n = strcspn(name, ".=");
  if (n > 32 || name[n] != '.' || !strncmp(name + n, ".kind=", 6)) return CZ_OK;
  snprintf(line, sizeof line, "\n  %.*s: {kind:", (int)n, name);
  if (strstr(c->text.data, line)) return CZ_OK;
  return CZ_FAIL(CZ_EUSAGE,
                 "pet: %s: %s has no stage %.*s; its stages are zero_shot, %s%s, student", key,
                 c->r->zero_shot ? "--zero-shot" : "this experiment", (int)n, name,
                 c->labelled ? "supervised, pet" : "untrained",
                 c->generations ? ", generation1 and so on" : "");
}

/* Words that set what is not there, in the words of the command: the experiment is not the user's.
 */
static cz_status check_words(const composing *c) {
  for (size_t i = 0; i < c->r->n_words; i++) {
    CZ_TRY(check_section(c->r->words[i]));
    CZ_TRY(check_stage(c, c->r->words[i]));
  }
  return CZ_OK;
}

/* A student is a classifier, and has labels. */
static cz_status has_labels(const cz_pet_request *r) {
  cz_pattern_file *file;
  cz_status st = CZ_OK;
  CZ_TRY(cz_patterns_open(&file, r->pattern, r->labels));
  if (file->task)
    st = CZ_FAIL(CZ_EUSAGE,
                 "%s: each record of task %s has %s, and cloze pet ends in a classifier, whose "
                 "labels are the same for all texts; an experiment with a stage of kind classify "
                 "(strategy pet) ends in the ensemble",
                 r->pattern, file->task->name,
                 file->candidates ? "candidates of its own" : "a target that is generated");
  cz_patterns_close(&file);
  return st;
}

static cz_status compose(composing *c) {
  cz_model_config config;
  CZ_TRY(has_labels(c->r));
  CZ_TRY(cz_recipe_model_folder(c->r->model));
  CZ_TRY(cz_hf_config_of(&config, c->r->model));
  if (!(cz_family_heads(config.family) & CZ_HEAD_BIT(CZ_HEAD_MASKED_LM)))
    return CZ_FAIL(
        CZ_EUSAGE,
        "--model %s: family %s has no masked_lm head, and PET asks at masks; a causal LM "
        "is asked by `cloze classify` with strategy tuning_free",
        c->r->model, config.family->name);
  c->wide = config.d_model >= WIDE;
  c->longest = cz_model_longest(&config);
  if (c->longest <= 0 || c->longest > LONGEST) c->longest = LONGEST;
  CZ_TRY(add_common(c));
  CZ_TRY(count_generations(c));
  CZ_TRY(add_stages(c));
  return check_words(c);
}

/* A narrow model's step is too small for several threads: processes beside one another do more. */
static int64_t processes_for(const composing *c) {
  const int threads = omp_get_max_threads();
  return c->wide || strcmp(c->r->device, "cpu") ? 1 : threads < PROCESSES ? threads : PROCESSES;
}

/** Runs what R asks for in R->out, going on where a killed run stopped, and lays its results out.
 * Errors as cz_experiment_run. Collective under MPI. */
cz_status cz_pet_run(const cz_pet_request *r) {
  composing c = {.r = r};
  cz_run_request run = {.file = COMPOSED,
                        .device = r->device,
                        .comm = r->comm,
                        .jobs = r->jobs,
                        .words = r->words,
                        .n_words = r->n_words};
  cz_status st;
  CZ_GO(st, cz_stage_folder(r->out, "run", "experiment.yaml"), done);
  CZ_GO(st, compose(&c), done);
  CZ_GO(st, cz_fs_join(run.folder, sizeof run.folder, r->out, "run"), done);
  run.text = c.text.data;
  run.jobs_else = processes_for(&c);
  CZ_GO(st, cz_experiment_run(&run), done);
  if (run.rank == 0)
    st = cz__pet_lay_out(r, run.folder, c.labelled ? "pet" : "untrained", c.generations);
done:
  cz_buf_free(&c.text);
  return st;
}
