/* The kind of stage `classify`: from a few labelled texts to classes, by the key `strategy`.
 *
 *   tuning_free   prompts, the model as it is
 *   pet           prompts, the model tuned under each: PET's ensemble (Schick and Schuetze 2021),
 * and with `from` a generation of iPET finetune      no prompt: the classification head on the text
 * as it stands
 *
 * Its members lie in FOLDER/members (few_shot/member.h); what they say together is in
 * FOLDER/logits.h5 and, judged on the test set, in the result. */
#include "base/fs.h"
#include "base/log.h"
#include "base/number.h"
#include "ensemble/calibrate.h"
#include "few_shot/encoder.h"
#include "few_shot/generation.h"
#include "stages/few_shot.h"
#include "stages/few_shot_cost.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum strategy { TUNING_FREE, PET, FINETUNE, SENTENCE_ENCODER } strategy;

static const char *const strategy_names[] = {"tuning_free", "pet", "finetune", "sentence_encoder",
                                             NULL};

typedef struct classify_keys {
  int strategy, weights, calibrate, balance, fidelity, decoding;
  bool calibrated_start;
  const char *patterns, *from;
  int64_t repetitions, lm_examples, held_out, score_tokens;
  int64_t generations, target, first, likely;
  double lm, scale, share, strength;
} classify_keys;

static const cz_key_spec section_keys[] = {
    CZ_KEY(classify_keys, strategy, ENUM, .fallback = "pet", .choices = strategy_names,
           .help = "prompts on the model as it is, prompts on a model tuned under each (PET), the "
                   "classification head without a prompt, or logistic regression on the vectors of "
                   "a frozen encoder"),
    CZ_KEY(classify_keys, patterns, TEXT, .fallback = "",
           .help = "numbers of the pattern file's patterns, comma-separated, from 0; empty: all"),
    CZ_KEY(classify_keys, repetitions, INT, .fallback = "3", .min = 1, .max = 1000,
           .help = "models for each pattern, or in all without one"),
    CZ_KEY(classify_keys, from, TEXT, .fallback = "",
           .help = "iPET: the stage of the generation before, `$STAGE`; its members label texts "
                   "of D for these"),
    CZ_KEY(classify_keys, lm, REAL, .fallback = "0", .min = 0, .max = 0.999,
           .help = "alpha: the loss is (1 - alpha) times that of the labels and alpha times masked "
                   "language modelling of D under the pattern"),
    CZ_KEY(classify_keys, lm_examples, INT, .fallback = "12", .min = 1, .max = 1 << 20,
           .unit = "texts", .help = "of batch.examples those of D, with lm above 0"),
    CZ_KEY(classify_keys, weights, ENUM, .fallback = "weighted", .choices = cz_weighting_names,
           .help = "members count alike, or as the accuracy of their pattern on T before training"),
    CZ_KEY(classify_keys, calibrate, ENUM, .fallback = "none", .choices = cz_calibrate_names,
           .help = "subtract from each label's score its mean over D, or what texts without "
                   "content get, both of the untrained model: of tuning_free's scores beside the "
                   "raw ones, and of those that members are weighed by"),
    CZ_KEY(classify_keys, calibrated_start, BOOL, .fallback = "false",
           .help = "models start, and tuning_free scores, with the label words' biases less what "
                   "calibrate subtracts"),
    CZ_KEY(classify_keys, fidelity, ENUM, .fallback = "paper", .choices = cz_fidelity_names,
           .help = "where paper and published code disagree (docs/pet.md 5)"),
    CZ_KEY(classify_keys, decoding, ENUM, .fallback = "confident_first",
           .choices = cz_fill_order_names,
           .help = "patterns with several masks: the order in which the tokens of an answer are "
                   "filled in when it is scored"),
    CZ_KEY(classify_keys, scale, REAL, .fallback = "5", .min = 1.01, .max = 1000,
           .help = "iPET: each generation's sets are so many times larger"),
    CZ_KEY(classify_keys, share, REAL, .fallback = "0.25", .min = 1e-6, .max = 1,
           .help = "iPET: the part of the other members that label for one"),
    CZ_KEY(classify_keys, target, INT, .fallback = "1000", .min = 1, .max = 1e9, .unit = "texts",
           .help = "iPET: no generation's set is larger but the last one's"),
    CZ_KEY(classify_keys, first, INT, .fallback = "10", .min = 1, .max = 1e9, .unit = "texts",
           .help = "iPET without T: the set of the first generation"),
    CZ_KEY(classify_keys, likely, INT, .fallback = "100", .min = 0, .max = 1e9, .unit = "texts",
           .help = "iPET without T: the first generation draws each label's texts from so many "
                   "that fit it best"),
    CZ_KEY(classify_keys, balance, ENUM, .fallback = "ratio", .choices = cz_balance_names,
           .help = "iPET: new texts keep T's ratio of labels, or are as many of each"),
    CZ_KEY(classify_keys, strength, REAL, .fallback = "1", .min = 1e-9, .max = 1e9,
           .help = "sentence_encoder: C of the regression; less is a larger penalty"),
    CZ_KEY(classify_keys, held_out, INT, .fallback = "200", .min = 0, .max = 1e9, .unit = "texts",
           .help = "texts of the test set whose masked-LM loss is taken before and after training: "
                   "what a member forgets"),
    CZ_KEY(classify_keys, score_tokens, INT, .fallback = "4096", .min = 1, .max = 1 << 24,
           .unit = "tokens", .help = "tokens that are scored at once"),
};
const cz_section cz_classify_section =
    CZ_SECTION("classify", "How a few labelled texts become a classifier.", section_keys);

/* A stage's configuration and what it works on. */
typedef struct classifying {
  classify_keys keys;
  cz_few_shot f;
  cz_members *members;
  cz_member_plan *plans;
  size_t n;
  int32_t generation;
  cz_ipet ipet;
  cz_member_plan *earlier; /* of the generation before */
  cz_generation before;
  double *offsets; /* [patterns of the file, C] */
  double scored;   /* tokens, for the offsets */
} classifying;

extern const cz_stage_kind cz_stage_row_classify;

static bool uses_prompts(const classifying *c) {
  return c->keys.strategy == PET || c->keys.strategy == TUNING_FREE;
}
static bool encodes(const classifying *c) { return c->keys.strategy == SENTENCE_ENCODER; }
static bool is_trained(const classifying *c) {
  return c->keys.strategy == PET || c->keys.strategy == FINETUNE;
}

static cz_status bind(classifying *c, const cz_recipe *recipe, uint64_t config_hash) {
  const cz_config_node *node = cz_config_get(recipe->node, cz_classify_section.name);
  CZ_TRY(cz_recipe_section(recipe, &cz_classify_section, &c->keys));
  CZ_TRY(cz_few_shot_bind(&c->f, recipe, "classify", config_hash, is_trained(c)));
  c->f.head = uses_prompts(c) ? CZ_HEAD_MASKED_LM : CZ_HEAD_CLASSIFICATION;
  const classify_keys *k = &c->keys;
  const cz_batch_plan *b = &c->f.job.batch;
  if (k->lm > 0 && !uses_prompts(c))
    return cz_config_error(node, "lm: the masked-LM loss belongs to strategy pet; a classification "
                                 "head stands on no masked-LM model");
  if (k->lm > 0 && is_trained(c) && (k->lm_examples >= b->examples || k->lm_examples % b->shards))
    return cz_config_error(
        node,
        "lm_examples %lld: of batch.examples %lld some must be left for labelled "
        "texts, and batch.shards %lld must divide it",
        (long long)k->lm_examples, (long long)b->examples, (long long)b->shards);
  if (*k->from && k->strategy != PET)
    return cz_config_error(node, "from: generations are those of strategy pet");
  return CZ_OK;
}

/* A stage that trains wants texts to train on: T's, or what the generation before labels. */
static cz_status has_texts(const classifying *c, const cz_recipe *recipe) {
  if (!(is_trained(c) || encodes(c)) || c->f.examples->t.n || *c->keys.from) return CZ_OK;
  return cz_config_error(cz_config_get(recipe->node, cz_examples_section.name),
                         "T is empty, and strategy %s trains on it; strategy tuning_free wants no "
                         "labelled text, and with `from` a generation of iPET trains on what that "
                         "stage says of D",
                         strategy_names[c->keys.strategy]);
}

/* What is not there yet for patterns with several masks: for P, one that the stage uses. */
static cz_status check_masks(const classifying *c, const cz_pattern *p) {
  if (p->masks == 1) return CZ_OK;
  if (is_trained(c))
    return cz_config_error(p->node,
                           "this pattern has %d masks: strategy tuning_free scores answers of "
                           "several tokens, and no member is trained on them yet",
                           p->masks);
  if (c->keys.calibrated_start && c->keys.calibrate != CZ_CALIBRATE_NONE)
    return cz_config_error(p->node,
                           "this pattern has %d masks: calibrated_start changes the bias of label "
                           "words of one token; without it scores are calibrated all the same",
                           p->masks);
  return CZ_OK;
}

/* The patterns of FILE that the key names, or all. */
static cz_status list_patterns(int32_t **list, size_t *n, const classifying *c,
                               const cz_pattern_file *file, const cz_recipe *recipe) {
  const size_t all = file->n_patterns;
  const char *at = c->keys.patterns;
  CZ_TRY(cz_alloc(list, all, sizeof **list));
  for (*n = 0; !*at && *n < all; ++*n) (*list)[*n] = (int32_t)*n;
  while (*at) {
    int64_t number;
    char text[32];
    size_t length = strcspn(at, ",");
    snprintf(text, sizeof text, "%.*s", (int)(length < 31 ? length : 31), at);
    bool good = cz_parse_int(text, &number) == CZ_OK && number >= 0 && (size_t)number < all &&
                (*n == 0 || number > (*list)[*n - 1]);
    if (!good)
      return cz_config_error(cz_config_get(recipe->node, cz_classify_section.name),
                             "patterns: '%s' is not one of the %zu patterns of %s, from 0, in "
                             "ascending order",
                             c->keys.patterns, all, file->path);
    (*list)[(*n)++] = (int32_t)number;
    at += length + (at[length] == ',');
  }
  for (size_t i = 0; i < *n; i++) CZ_TRY(check_masks(c, &file->patterns[(*list)[i]]));
  return CZ_OK;
}

/* Members in ascending order of pattern and repetition. */
static cz_status make_plans(classifying *c, const cz_recipe *recipe) {
  int32_t *patterns = NULL, plain = -1;
  size_t n = 1, at = 0;
  const size_t repetitions = is_trained(c) ? (size_t)c->keys.repetitions : 1;
  cz_status st = CZ_OK;
  if (uses_prompts(c))
    CZ_GO(st, list_patterns(&patterns, &n, c, c->f.examples->file, recipe), done);
  CZ_GO(st, cz_alloc(&c->plans, n * repetitions, sizeof *c->plans), done);
  for (size_t p = 0; p < n; p++)
    for (size_t r = 0; r < repetitions; r++)
      c->plans[at++] = (cz_member_plan){.pattern = patterns ? patterns[p] : plain,
                                        .repetition = (int32_t)r,
                                        .generation = c->generation};
  c->n = at;
done:
  free(patterns);
  return st;
}

/* There is no accuracy on T to weigh by without T, nor without prompts. */
static cz_weighting weighting_of(const classifying *c) {
  return c->f.examples->t.n && uses_prompts(c) ? (cz_weighting)c->keys.weights : CZ_WEIGHT_UNIFORM;
}

/* The generation before this one, where `from` names it. */
static cz_status read_before(classifying *c, const cz_recipe *recipe) {
  const classify_keys *k = &c->keys;
  size_t n;
  if (!*k->from) return CZ_OK;
  c->ipet = (cz_ipet){.fidelity = (cz_fidelity)k->fidelity,
                      .weighting = weighting_of(c),
                      .balance = (cz_balance)k->balance,
                      .scale = k->scale,
                      .share = k->share,
                      .target = k->target,
                      .first = k->first,
                      .likely = k->likely,
                      .seed = recipe->seed};
  CZ_TRY(cz_ipet_check(&c->ipet));
  CZ_TRY(cz_generation_noted(k->from, &c->generation, &c->earlier, &n));
  c->generation++;
  return cz_generation_read(&c->before, c->f.examples, k->from, c->earlier, n);
}

/* The place of a member among those of the generation before, which it does not learn from; their
 * number where it is not among them. */
static size_t place_before(const classifying *c, const cz_member_plan *p) {
  size_t i = 0;
  while (i < c->before.n &&
         (c->earlier[i].pattern != p->pattern || c->earlier[i].repetition != p->repetition))
    i++;
  return i;
}

/* cz_member_list.train_of */
static cz_status train_of(void *self, cz_prepared *out, size_t i) {
  classifying *c = self;
  const cz_examples *e = c->f.examples;
  const cz_member_plan *p = &c->plans[i];
  if (*c->keys.from)
    return cz_generation_texts(out, c->members, &c->ipet, &c->before, place_before(c, p), p);
  for (size_t k = 0; k < e->t.n; k++)
    CZ_TRY(cz_members_prepare(c->members, out, p->pattern, &e->t, k,
                              &(cz_wanted){.label = e->t.labels[k]}));
  return CZ_OK;
}

/* How the untrained model scores a pattern's labels whatever the text is. */
static cz_status find_offsets(classifying *c) {
  const cz_examples *e = c->f.examples;
  const cz_calibrate kind = (cz_calibrate)c->keys.calibrate;
  const size_t C = (size_t)e->classes;
  cz_text_set nothing = {0};
  cz_status st = CZ_OK;
  bool few = false;
  if (kind == CZ_CALIBRATE_NONE || !uses_prompts(c)) return CZ_OK;
  if (kind == CZ_CALIBRATE_CONTENT_FREE)
    CZ_GO(st, cz_examples_without_content(&nothing, e, cz_content_free_texts), done);
  const cz_text_set *texts = kind == CZ_CALIBRATE_CONTENT_FREE ? &nothing : &e->d;
  if (!texts->n)
    CZ_GO(st,
          CZ_FAIL(CZ_EUSAGE, "calibrate: unlabeled_mean wants unlabelled texts, and D is empty"),
          done);
  float *scores;
  CZ_GO(st, cz_alloc(&c->offsets, e->file->n_patterns * C, sizeof *c->offsets), done);
  CZ_GO(st, cz_alloc(&scores, texts->n * C, sizeof *scores), done);
  for (size_t i = 0; i < c->n && st == CZ_OK; i++) {
    const int32_t pattern = c->plans[i].pattern;
    if (i && c->plans[i - 1].pattern == pattern) continue;
    st = cz_members_score(c->members, scores, pattern, texts);
    if (st == CZ_OK)
      st = cz_calibrate_offsets(c->offsets + (size_t)pattern * C, &few, kind, scores, texts->n,
                                e->classes);
  }
  free(scores);
  if (st == CZ_OK && few)
    cz_warn("classify: calibrated on %zu unlabelled texts; the mean of fewer than %d is noise",
            texts->n, CZ_CALIBRATE_TEXTS);
done:
  cz_prompt_texts_destroy(&nothing.texts);
  return st;
}

static cz_status compute(classifying *c, cz_session *s, const char *folder) {
  cz_member_list list = {
      .folder = folder, .plans = c->plans, .n = c->n, .train_of = train_of, .self = c};
  if (!is_trained(c)) list.train_of = NULL;
  for (size_t i = 0; c->offsets && i < c->n; i++) {
    c->plans[i].offsets = c->offsets + (ptrdiff_t)c->plans[i].pattern * c->f.examples->classes;
    c->plans[i].calibrated_start = c->keys.calibrated_start;
  }
  if (cz_session_writes(s)) CZ_TRY(cz_generation_note(folder, c->generation, c->plans, c->n));
  return cz_few_shot_compute(&c->f, s, c->members, &list, cz_stage_row_classify.name);
}

/* Computes the members, as far as other processes have not. */
static cz_status make_members(classifying *c, cz_session *s, const char *folder) {
  cz_members_options o = cz_few_shot_members(&c->f, s);
  o.classifier = !uses_prompts(c);
  o.lm = is_trained(c) ? c->keys.lm : 0;
  o.lm_examples = c->keys.lm_examples;
  o.held_out = is_trained(c) ? c->keys.held_out : 0;
  o.score_tokens = c->keys.score_tokens;
  o.fidelity = (cz_fidelity)c->keys.fidelity;
  o.decoding = (cz_fill_order)c->keys.decoding;
  CZ_TRY(cz_members_open(&c->members, &o));
  CZ_TRY(find_offsets(c));
  c->scored = cz_members_scored(c->members);
  return compute(c, s, folder);
}

/* The one member that is a frozen encoder with a regression; one process makes it. */
static cz_status encode(classifying *c, cz_session *s, const char *folder) {
  const cz_encoder_options o = {.examples = c->f.examples,
                                .init = c->f.init,
                                .device = s->device,
                                .precision = (cz_precision)c->f.job.train.precision,
                                .seed = c->f.job.seed,
                                .score_tokens = c->keys.score_tokens,
                                .strength = c->keys.strength};
  char member[4096];
  if (!cz_session_writes(s)) return CZ_OK;
  CZ_TRY(cz_generation_note(folder, 0, c->plans, c->n));
  CZ_TRY(cz_member_folder(member, sizeof member, folder, &c->plans[0]));
  return cz_encoder_run(&o, member);
}

/* Says, once, what the stage is about to do with how much. */
static void say_sizes(const classifying *c) {
  const cz_examples *e = c->f.examples;
  cz_log("classify: %s, %zu members; T %zu texts, D %zu, test %zu; %d labels",
         strategy_names[c->keys.strategy], c->n, e->t.n, e->d.n, e->test.n, (int)e->classes);
}

static void close(classifying *c) {
  free(c->plans);
  free(c->earlier);
  free(c->offsets);
  cz_generation_free(&c->before);
  cz_members_close(&c->members);
  cz_few_shot_close(&c->f);
}

static cz_status run(cz_session *s, const cz_recipe *recipe, cz_stage_output *out) {
  classifying c = {0};
  cz_generation now = {0};
  cz_status st;
  CZ_GO(st, bind(&c, recipe, out->config_hash), done);
  CZ_GO(st, cz_few_shot_open(&c.f, recipe, s), done);
  CZ_GO(st, has_texts(&c, recipe), done);
  CZ_GO(st, read_before(&c, recipe), done);
  CZ_GO(st, make_plans(&c, recipe), done);
  say_sizes(&c);
  CZ_GO(st, encodes(&c) ? encode(&c, s, out->folder) : make_members(&c, s, out->folder), done);
  if (!cz_session_writes(s)) goto done;
  CZ_GO(st, cz_generation_read(&now, c.f.examples, out->folder, c.plans, c.n), done);
  const cz_ensemble_report report = {.name = "ensemble",
                                     .weighting = weighting_of(&c),
                                     .fidelity = (cz_fidelity)c.keys.fidelity,
                                     .generation = c.generation,
                                     .plans = c.plans,
                                     .offsets = is_trained(&c) ? NULL : c.offsets,
                                     .scored = c.scored};
  st = cz_ensemble_write(out, &now, &report);
done:
  cz_generation_free(&now);
  close(&c);
  return st;
}

/* What the run will say of the patterns, before the stages in front of this one have run. */
static cz_status check_patterns(const classifying *c, const cz_recipe *recipe) {
  const cz_examples_keys *k = &c->f.keys;
  cz_pattern_file *file;
  int32_t *list = NULL;
  size_t n;
  if (!uses_prompts(c) || !*k->pattern || !cz_fs_exists(k->pattern)) return CZ_OK;
  CZ_TRY(cz_patterns_open(&file, k->pattern, *k->labels ? k->labels : NULL));
  cz_status st = list_patterns(&list, &n, c, file, recipe);
  free(list);
  cz_patterns_close(&file);
  return st;
}

static cz_status check(cz_check *check, const cz_recipe *recipe) {
  classifying c = {0};
  CZ_TRY(bind(&c, recipe, 0));
  CZ_TRY(cz_few_shot_check(check, recipe, &c.f, is_trained(&c)));
  CZ_TRY(check_patterns(&c, recipe));
  CZ_TRY(cz_few_shot_results(check, "ensemble"));
  return c.keys.strategy == TUNING_FREE && c.keys.calibrate != CZ_CALIBRATE_NONE
             ? cz_few_shot_results(check, "calibrated")
             : CZ_OK;
}

/* The members of a pattern, -1 for the texts as they stand: T before training where prompts score
 * it, training, and T, D and the test set after. */
static cz_status cost_pattern(const classifying *c, const cz_few_shot_cost *x, int32_t pattern) {
  const double models = is_trained(c) ? (double)c->keys.repetitions : 1;
  cz_reading set[CZ_COUNTED_SETS], labelled, masked = {0};
  for (int i = 0; i < CZ_COUNTED_SETS; i++)
    CZ_TRY(cz_few_shot_cost_read(&set[i], x, (cz_counted_set)i, pattern, false));
  labelled = set[CZ_COUNT_T];
  if (*c->keys.from)
    CZ_TRY(cz_few_shot_cost_generation(&labelled, x, &set[CZ_COUNT_D], c->keys.from,
                                       &(cz_ipet){.scale = c->keys.scale, .first = c->keys.first}));
  for (int i = 0; i < CZ_COUNTED_SETS; i++)
    cz_few_shot_cost_score(x, &set[i], i == CZ_COUNT_T && uses_prompts(c) ? 2 * models : models);
  if (uses_prompts(c))
    CZ_TRY(cz_few_shot_cost_offsets(x, (cz_calibrate)c->keys.calibrate, pattern));
  if (!is_trained(c)) return CZ_OK;
  if (uses_prompts(c)) CZ_TRY(cz_few_shot_cost_held_out(x, (double)c->keys.held_out, models));
  if (c->keys.lm > 0) CZ_TRY(cz_few_shot_cost_read(&masked, x, CZ_COUNT_D, pattern, true));
  cz_few_shot_cost_train(x, models, &labelled, &masked,
                         c->keys.lm > 0 ? (double)c->keys.lm_examples : 0);
  return CZ_OK;
}

static cz_status cost_members(const classifying *c, const cz_few_shot_cost *x,
                              const cz_recipe *recipe) {
  int32_t *patterns = NULL;
  size_t n = 1;
  if (!uses_prompts(c)) return cost_pattern(c, x, -1);
  x->cost->assumed_sizes |= !x->file;
  cz_status st = x->file ? list_patterns(&patterns, &n, c, x->file, recipe) : CZ_OK;
  for (size_t i = 0; i < n && st == CZ_OK; i++) st = cost_pattern(c, x, patterns ? patterns[i] : 0);
  free(patterns);
  return st;
}

static cz_status cost(cz_cost *cost, const cz_recipe *recipe) {
  classifying c = {0};
  cz_few_shot_cost x = {0};
  cz_status st = bind(&c, recipe, 0);
  if (st == CZ_OK) st = cz_few_shot_cost_open(&x, cost, &c.f, recipe);
  x.parallel = c.keys.decoding == CZ_FILL_PARALLEL;
  if (st == CZ_OK) st = cost_members(&c, &x, recipe);
  cz_few_shot_cost_close(&x);
  return st;
}

static const cz_stage_part *const parts[] = {&cz_part_init,
                                             &cz_part_examples,
                                             &cz_part_classify,
                                             &cz_part_batch,
                                             &cz_part_optimizer,
                                             &cz_part_train,
                                             NULL};

/* `[]` stands for the items of a list: a column takes their mean or another of their numbers. */
static const char *const results[] = {"steps",
                                      "input_tokens",
                                      "target_tokens",
                                      "scored_tokens",
                                      "members[].zero_shot",
                                      "members[].accuracy",
                                      "members[].heldout_mlm_before",
                                      "members[].heldout_mlm_after",
                                      "agreement.best",
                                      "agreement.worst",
                                      "agreement.mean",
                                      "agreement.deviation",
                                      "agreement.pairs",
                                      "agreement.kappa",
                                      NULL};

const cz_stage_kind cz_stage_row_classify = {
    .name = "classify",
    .help = "a classifier from a few labelled texts: prompts, PET, iPET, or fine-tuning",
    .usage = CZ_STAGE_USAGE("classify",
                            "Classifies texts from a few labelled ones and a pattern file, with a "
                            "pretrained model (init: FOLDER): by prompts on the model as it is, by "
                            "PET's ensemble of models tuned under prompts, or without a prompt.\n"),
    .parts = parts,
    .leaves = CZ_LEAVES_PREDICTIONS,
    .results = results,
    .check = check,
    .run = run,
    .cost = cost};
