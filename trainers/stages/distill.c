/* The kind of stage `distill`: one classifier from what an ensemble says of unlabelled texts
 * (Schick and Schuetze 2021, section 3.3): the classification head on the text as it stands,
 * trained on D with softmax(scores / temperature) as targets. */
#include "base/fs.h"
#include "base/log.h"
#include "stages/few_shot.h"
#include "stages/few_shot_cost.h"
#include "stages/student.h"

#include <stdio.h>
#include <stdlib.h>

/* How the teachers are weighed: as cz_weighting_names says, or as their stage has done it. */
enum { AS_ENSEMBLE = CZ_WEIGHTINGS };
static const char *const weights_names[] = {"uniform", "weighted", "as_ensemble", NULL};
_Static_assert(sizeof weights_names / sizeof *weights_names == CZ_WEIGHTINGS + 2,
               "distill.weights names each cz_weighting, and as_ensemble");

typedef struct distill_keys {
  const char *from;
  int weights;
  double temperature;
  int64_t repetitions, score_tokens;
  int keep; /* index into keeps */
  int fidelity;
} distill_keys;

static const char *const keeps[] = {"first", "all", NULL};

static const cz_key_spec section_keys[] = {
    CZ_KEY(distill_keys, from, TEXT,
           .help = "the stage whose ensemble teaches, `$STAGE`, or the folder of one"),
    CZ_KEY(distill_keys, weights, ENUM, .fallback = "as_ensemble", .choices = weights_names,
           .help = "of the teachers: as classify.weights of their stage has them, or put together "
                   "anew, so that students by several weights share the members"),
    CZ_KEY(distill_keys, temperature, REAL, .fallback = "2", .min = 1e-3, .max = 1e3,
           .help = "of the targets and of the loss"),
    CZ_KEY(distill_keys, repetitions, INT, .fallback = "1", .min = 1, .max = 1000,
           .help = "classifiers; all are averaged in the scores"),
    CZ_KEY(distill_keys, keep, ENUM, .fallback = "first", .choices = keeps,
           .help = "of the classifiers: the first, which is the stage's model, or also the others, "
                   "each in its member's folder"),
    CZ_KEY(distill_keys, fidelity, ENUM, .fallback = "paper", .choices = cz_fidelity_names,
           .help = "where paper and published code disagree (docs/pet.md 5)"),
    CZ_KEY(distill_keys, score_tokens, INT, .fallback = "4096", .min = 1, .max = 1 << 24,
           .unit = "tokens", .help = "tokens that are scored at once"),
};
const cz_section cz_distill_section =
    CZ_SECTION("distill", "How an ensemble becomes one classifier.", section_keys);

static const char result_name[] = "student";

extern const cz_stage_kind cz_stage_row_distill;

typedef struct distilling {
  distill_keys keys;
  cz_few_shot f;
  cz_members *members;
  cz_member_plan *plans;
  double *targets;  /* [n of D, C] */
  char model[4096]; /* folder */
} distilling;

static cz_status bind(distilling *d, const cz_recipe *recipe, uint64_t config_hash) {
  CZ_TRY(cz_recipe_section(recipe, &cz_distill_section, &d->keys));
  CZ_TRY(cz_few_shot_bind(&d->f, recipe, "distill", config_hash, true));
  d->f.head = CZ_HEAD_CLASSIFICATION;
  return cz_few_shot_follow(&d->f, recipe, (cz_fidelity)d->keys.fidelity);
}

/* SCORES [D, C] of the teachers as their stage has left them. */
static cz_status scores_of_ensemble(double *scores, const distilling *d) {
  const cz_examples *e = d->f.examples;
  cz_member_scores s;
  cz_status st = cz_member_scores_read(&s, e, d->keys.from);
  for (size_t i = 0; st == CZ_OK && i < e->d.n * (size_t)e->classes; i++) scores[i] = s.d[i];
  cz_member_scores_free(&s);
  return st;
}

/* The same by weights of our own: as they would be in the file of a stage with these. */
static cz_status scores_anew(double *scores, const distilling *d) {
  const cz_examples *e = d->f.examples;
  const size_t n = e->d.n * (size_t)e->classes;
  cz_generation g = {0};
  cz_member_plan *plans = NULL;
  double *weights = NULL;
  float *mean = NULL;
  int32_t generation;
  size_t members;
  cz_status st;
  CZ_GO(st, cz_generation_noted(d->keys.from, &generation, &plans, &members), done);
  CZ_GO(st, cz_generation_read(&g, e, d->keys.from, plans, members), done);
  CZ_GO(st,
        cz_generation_weights(&weights, &g, (cz_weighting)d->keys.weights,
                              (cz_fidelity)d->keys.fidelity),
        done);
  CZ_GO(st, cz_alloc(&mean, n, sizeof *mean), done);
  CZ_GO(st, cz_generation_mean(mean, &g, &e->d, weights), done);
  for (size_t i = 0; i < n; i++) scores[i] = mean[i];
done:
  free(mean);
  free(weights);
  free(plans);
  cz_generation_free(&g);
  return st;
}

static cz_status has_texts(const cz_recipe *recipe, bool empty) {
  return empty ? cz_config_error(cz_config_get(recipe->node, cz_examples_section.name),
                                 "D is empty: a student learns from unlabelled texts alone")
               : CZ_OK;
}

/* What the teachers say of D. */
static cz_status read_targets(distilling *d, const cz_recipe *recipe) {
  const cz_config_node *node = cz_config_get(recipe->node, cz_distill_section.name),
                       *from = cz_config_get(node, "from");
  char path[4096];
  const cz_examples *e = d->f.examples;
  const size_t n = e->d.n * (size_t)e->classes;
  double *scores = NULL;
  CZ_TRY(has_texts(recipe, !e->d.n));
  CZ_TRY(cz_fs_join(path, sizeof path, d->keys.from, CZ_SCORES_FILE));
  if (!cz_fs_exists(path))
    return cz_config_error(from,
                           "%s is not the folder of a finished classify stage (%s is missing)",
                           d->keys.from, CZ_SCORES_FILE);
  cz_status st;
  CZ_GO(st, cz_alloc(&scores, n, sizeof *scores), done);
  CZ_GO(st, cz_alloc(&d->targets, n, sizeof *d->targets), done);
  CZ_GO(st, d->keys.weights == AS_ENSEMBLE ? scores_of_ensemble(scores, d) : scores_anew(scores, d),
        done);
  cz_scores_softmax(d->targets, scores, e->d.n, e->classes, d->keys.temperature);
done:
  free(scores);
  return st;
}

/* cz_member_list.train_of */
static cz_status train_of(void *self, cz_prepared *out, size_t i) {
  const distilling *d = self;
  const cz_examples *e = d->f.examples;
  out->soft_classes = e->classes;
  for (size_t k = 0; k < e->d.n; k++)
    CZ_TRY(
        cz_members_prepare(d->members, out, -1, &e->d, k,
                           &(cz_wanted){.label = -1, .soft = d->targets + k * (size_t)e->classes}));
  return CZ_OK;
}

static cz_status make_plans(distilling *d, const char *folder) {
  const size_t n = (size_t)d->keys.repetitions;
  CZ_TRY(cz_alloc(&d->plans, n, sizeof *d->plans));
  for (size_t i = 0; i < n; i++)
    d->plans[i] = (cz_member_plan){.pattern = -1, .repetition = (int32_t)i};
  d->plans[0].model = d->model; /* the first classifier's is the stage's */
  return cz_fs_join(d->model, sizeof d->model, folder, "model");
}

static cz_status report(distilling *d, cz_stage_output *out) {
  const size_t n = (size_t)d->keys.repetitions;
  cz_generation g = {0};
  const cz_ensemble_report how = {.name = result_name, .plans = d->plans};
  cz_status st = cz_generation_read(&g, d->f.examples, out->folder, d->plans, n);
  if (st == CZ_OK) st = cz_ensemble_write(out, &g, &how);
  if (st == CZ_OK) st = cz_student_complete(d->model, &d->f, out, result_name, d->keys.from);
  cz_generation_free(&g);
  return st;
}

static cz_status compute(distilling *d, cz_session *s, const char *folder) {
  cz_members_options o = cz_few_shot_members(&d->f, s);
  const cz_member_list list = {.folder = folder,
                               .plans = d->plans,
                               .n = (size_t)d->keys.repetitions,
                               .keep = d->keys.keep ? CZ_KEEP_ALL : CZ_KEEP_LOGITS,
                               .train_of = train_of,
                               .self = d};
  o.classifier = o.soft = true;
  o.temperature = d->keys.temperature;
  o.fidelity = (cz_fidelity)d->keys.fidelity;
  o.score_tokens = d->keys.score_tokens;
  CZ_TRY(cz_members_open(&d->members, &o));
  return cz_few_shot_compute(&d->f, s, d->members, &list, cz_stage_row_distill.name);
}

static cz_status run(cz_session *s, const cz_recipe *recipe, cz_stage_output *out) {
  distilling d = {0};
  cz_status st;
  CZ_GO(st, bind(&d, recipe, out->config_hash), done);
  CZ_GO(st, cz_few_shot_open(&d.f, recipe, s), done);
  CZ_GO(st, read_targets(&d, recipe), done);
  CZ_GO(st, make_plans(&d, out->folder), done);
  CZ_GO(st, cz_few_shot_fit(&d.f, d.plans, 1), done);
  cz_log("distill: D %zu texts, test %zu; %d labels", d.f.examples->d.n, d.f.examples->test.n,
         (int)d.f.examples->classes);
  CZ_GO(st, compute(&d, s, out->folder), done);
  if (cz_session_writes(s)) st = report(&d, out);
done:
  free(d.plans);
  free(d.targets);
  cz_members_close(&d.members);
  cz_few_shot_close(&d.f);
  return st;
}

static cz_status check(cz_check *check, const cz_recipe *recipe) {
  distilling d = {0};
  CZ_TRY(bind(&d, recipe, 0));
  const cz_examples_keys *k = &d.f.keys;
  CZ_TRY(has_texts(recipe, !k->unlabelled || (!*k->unlabelled_file && !*k->train)));
  const cz_member_shape shape = {.classifier = true,
                                 .soft = true,
                                 .temperature = d.keys.temperature,
                                 .classes = 2,
                                 .width = 1,
                                 .max_length = d.f.keys.max_length,
                                 .score_tokens = d.keys.score_tokens};
  CZ_TRY(cz_few_shot_check(check, recipe, &d.f, &shape));
  return cz_few_shot_results(check, &d.f.keys, result_name);
}

/* Each classifier is trained on D, and scores all sets. */
static cz_status cost_students(const distilling *d, const cz_few_shot_cost *x) {
  const cz_reading none = {0};
  cz_reading set[CZ_COUNTED_SETS];
  for (int i = 0; i < CZ_COUNTED_SETS; i++) {
    CZ_TRY(cz_few_shot_cost_read(&set[i], x, (cz_counted_set)i, -1, CZ_READ_TO_SCORE));
    cz_few_shot_cost_score(x, &set[i], (double)d->keys.repetitions);
  }
  cz_few_shot_cost_train(x, (double)d->keys.repetitions, &set[CZ_COUNT_D], &none, 0);
  return CZ_OK;
}

static cz_status cost(cz_cost *cost, const cz_recipe *recipe) {
  distilling d = {0};
  cz_few_shot_cost x = {0};
  cz_status st = bind(&d, recipe, 0);
  if (st == CZ_OK) st = cz_few_shot_cost_open(&x, cost, &d.f, recipe);
  if (st == CZ_OK) st = cost_students(&d, &x);
  cz_few_shot_cost_close(&x);
  return st;
}

static const char *const results[] = {"steps", "input_tokens", "target_tokens", "scored_tokens",
                                      NULL};

static const cz_stage_part *const parts[] = {&cz_part_init,
                                             &cz_part_examples,
                                             &cz_part_distill,
                                             &cz_part_batch,
                                             &cz_part_optimizer,
                                             &cz_part_train,
                                             NULL};

const cz_stage_kind cz_stage_row_distill = {
    .name = "distill",
    .help = "one classifier from what an ensemble says of unlabelled texts",
    .usage = CZ_STAGE_USAGE("distill",
                            "Trains a classifier (init: FOLDER, a pretrained model) on what the "
                            "ensemble of a classify stage says of unlabelled texts.\n"),
    .parts = parts,
    .members = true,
    .leaves = CZ_LEAVES_MODEL | CZ_LEAVES_PREDICTIONS,
    .results = results,
    .check = check,
    .run = run,
    .cost = cost};
