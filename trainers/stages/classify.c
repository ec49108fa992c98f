/* The kind of stage `classify`: from a few labelled texts to classes, by the key `strategy`.
 *
 *   tuning_free        prompts, the model as it is
 *   pet                prompts, the model tuned under each: PET's ensemble (Schick and Schuetze
 *                      2021), and with `from` a generation of iPET
 *   finetune           no prompt: the classification head on the text as it stands
 *   sentence_encoder   no prompt: logistic regression on what a frozen encoder makes of the text
 *
 * Its members lie in FOLDER/members (few_shot/member.h); what they say together is in
 * FOLDER/logits.h5 and, judged on the test set, in the result. */
#include "stages/classify.h"
#include "base/fs.h"
#include "base/log.h"
#include "ensemble/calibrate.h"
#include "few_shot/demonstrations.h"
#include "few_shot/encoder.h"

#include <stdlib.h>

extern const cz_stage_kind cz_stage_row_classify;

/* A stage that trains wants texts to train on: T's, where it is not EMPTY, or what the generation
 * before labels. */
static cz_status has_texts(const cz__classifying *c, const cz_recipe *recipe, bool empty) {
  if (!(cz__classify_trains(c) || cz__classify_encodes(c)) || !empty || *c->keys.from) return CZ_OK;
  return cz_config_error(cz_config_get(recipe->node, cz_examples_section.name),
                         "T is empty, and strategy %s trains on it; strategy tuning_free wants no "
                         "labelled text, and with `from` a generation of iPET trains on what that "
                         "stage says of D",
                         cz__strategy_names[c->keys.strategy]);
}

/* The best model is told by T. */
static cz_status can_keep(const cz__classifying *c, const cz_recipe *recipe) {
  if (c->keys.keep != CZ_KEEP_BEST || c->f.examples->t.n) return CZ_OK;
  return cz_config_error(cz_config_get(recipe->node, cz_classify_section.name),
                         "keep: T is empty, and the best model is the one that is right on most of "
                         "its texts; all or logits do without it");
}

/* Members in ascending order of pattern and repetition. */
static cz_status make_plans(cz__classifying *c, const cz_recipe *recipe) {
  int32_t *patterns = NULL, plain = -1;
  size_t n = 1, at = 0;
  const size_t repetitions = cz__classify_trains(c) ? (size_t)c->keys.repetitions : 1;
  cz_status st = CZ_OK;
  if (cz__classify_prompts(c))
    CZ_GO(st, cz__classify_patterns(&patterns, &n, c, c->f.examples->file, recipe), done);
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
static cz_weighting weighting_of(const cz__classifying *c) {
  return c->f.examples->t.n && cz__classify_prompts(c) ? (cz_weighting)c->keys.weights
                                                       : CZ_WEIGHT_UNIFORM;
}

/* A generation of a T that has reached the target would be trained on T alone. */
static cz_status can_grow(const cz__classifying *c, const cz_recipe *recipe, int64_t t) {
  if (!*c->keys.from || t < c->keys.target) return CZ_OK;
  return cz_config_error(cz_config_get(recipe->node, cz_classify_section.name),
                         "target: T has %lld texts and the sets of generations grow to %lld, so "
                         "there is nothing to add; a larger target adds texts",
                         (long long)t, (long long)c->keys.target);
}

/* The generation before this one, where `from` names it. */
static cz_status read_before(cz__classifying *c, const cz_recipe *recipe) {
  const cz__classify_keys *k = &c->keys;
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
static size_t place_before(const cz__classifying *c, const cz_member_plan *p) {
  size_t i = 0;
  while (i < c->before.n &&
         (c->earlier[i].pattern != p->pattern || c->earlier[i].repetition != p->repetition))
    i++;
  return i;
}

/* cz_member_list.train_of */
static cz_status train_of(void *self, cz_prepared *out, size_t i) {
  cz__classifying *c = self;
  const cz_member_plan *p = &c->plans[i];
  return *c->keys.from
             ? cz_generation_texts(out, c->members, &c->ipet, &c->before, place_before(c, p), p)
             : cz_members_prepare_t(c->members, out, p->pattern);
}

/* The texts that calibration reads: D, or those without content, which are made in NOTHING. */
static cz_status texts_to_calibrate(const cz_text_set **texts, cz_text_set *nothing,
                                    const cz__classifying *c) {
  const cz_examples *e = c->f.examples;
  *texts = &e->d;
  if (c->keys.calibrate == CZ_CALIBRATE_CONTENT_FREE) {
    *texts = nothing;
    CZ_TRY(cz_examples_without_content(nothing, e, cz_content_free_texts));
  }
  return (*texts)->n ? CZ_OK
                     : CZ_FAIL(CZ_EUSAGE, "calibrate: unlabeled_mean wants unlabelled texts, and D "
                                          "is empty");
}

/* The offsets of each pattern of the plans, by the scores of TEXTS; *FEW: of fewer texts than such
 * a mean wants. */
static cz_status score_offsets(cz__classifying *c, bool *few, const cz_text_set *texts) {
  const cz_examples *e = c->f.examples;
  const size_t C = (size_t)e->classes;
  float *scores;
  cz_status st = CZ_OK;
  CZ_TRY(cz_alloc(&c->offsets, e->file->n_patterns * C, sizeof *c->offsets));
  CZ_TRY(cz_alloc(&scores, texts->n * C, sizeof *scores));
  for (size_t i = 0; i < c->n && st == CZ_OK; i++) {
    const int32_t pattern = c->plans[i].pattern;
    if (i && c->plans[i - 1].pattern == pattern) continue;
    st = cz_members_score(c->members, scores, pattern, texts);
    if (st == CZ_OK)
      st = cz_calibrate_offsets(c->offsets + (size_t)pattern * C, few,
                                (cz_calibrate)c->keys.calibrate, scores, texts->n, e->classes);
  }
  free(scores);
  return st;
}

/* How the untrained model scores a pattern's labels whatever the text is. */
static cz_status find_offsets(cz__classifying *c) {
  cz_text_set nothing = {0};
  const cz_text_set *texts = NULL;
  bool few = false;
  if (c->keys.calibrate == CZ_CALIBRATE_NONE || !cz__classify_prompts(c)) return CZ_OK;
  cz_status st = texts_to_calibrate(&texts, &nothing, c);
  if (st == CZ_OK) st = score_offsets(c, &few, texts);
  if (st == CZ_OK && few)
    cz_warn("classify: calibrated on %zu unlabelled texts; the mean of fewer than %d is noise",
            texts->n, CZ_CALIBRATE_TEXTS);
  cz_prompt_texts_destroy(&nothing.texts);
  return st;
}

static cz_status compute(cz__classifying *c, cz_session *s, const char *folder) {
  cz_member_list list = {
      .folder = folder, .plans = c->plans, .n = c->n, .train_of = train_of, .self = c};
  list.keep = (cz_keep)c->keys.keep;
  if (!cz__classify_trains(c)) list.train_of = NULL;
  for (size_t i = 0; c->offsets && i < c->n; i++) {
    c->plans[i].offsets = c->offsets + (ptrdiff_t)c->plans[i].pattern * c->f.examples->classes;
    c->plans[i].calibrated_start = c->keys.calibrated_start;
  }
  if (cz_session_writes(s)) CZ_TRY(cz_generation_note(folder, c->generation, c->plans, c->n));
  return cz_few_shot_compute(&c->f, s, c->members, &list, cz_stage_row_classify.name);
}

/* Computes the members, as far as other processes have not. */
static cz_status make_members(cz__classifying *c, cz_session *s, const char *folder) {
  cz_members_options o = cz_few_shot_members(&c->f, s);
  o.classifier = !cz__classify_prompts(c);
  o.lm = cz__classify_trains(c) ? c->keys.lm : 0;
  o.lm_examples = c->keys.lm_examples;
  o.held_out = cz__classify_trains(c) ? c->keys.held_out : 0;
  o.score_tokens = c->keys.score_tokens;
  o.fidelity = (cz_fidelity)c->keys.fidelity;
  o.decoding = (cz_fill_order)c->keys.decoding;
  o.demonstrations = c->demonstrations;
  CZ_TRY(cz_members_open(&c->members, &o));
  CZ_TRY(find_offsets(c));
  c->scored = cz_members_scored(c->members);
  return compute(c, s, folder);
}

/* The one member that is a frozen encoder with a regression; one process makes it. */
static cz_status encode(cz__classifying *c, cz_session *s, const char *folder) {
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
  if (cz_member_is_done(c->f.examples, member, true)) return CZ_OK;
  return cz_encoder_run(&o, member);
}

static cz_status draw_demonstrations(cz__classifying *c, const cz_recipe *recipe) {
  const int64_t n = c->keys.demonstrations;
  CZ_TRY(CZ_AT(cz_config_get(recipe->node, cz_classify_section.name),
               cz_demonstrations_draw(&c->demonstrations, c->f.examples, n, recipe->seed)));
  if (n > (int64_t)c->f.examples->t.n)
    cz_warn("classify: %zu demonstrations instead of %lld, all texts of T", c->f.examples->t.n,
            (long long)n);
  return CZ_OK;
}

/* Says, once, what the stage is about to do with how much. */
static void say_sizes(const cz__classifying *c) {
  const cz_examples *e = c->f.examples;
  cz_log("classify: %s, %zu members; T %zu texts, D %zu, test %zu; %d %s",
         cz__strategy_names[c->keys.strategy], c->n, e->t.n, e->d.n, e->test.n, (int)e->classes,
         e->file->candidates ? "candidates at most" : "labels");
}

static void close(cz__classifying *c) {
  free(c->plans);
  free(c->earlier);
  free(c->offsets);
  cz_generation_free(&c->before);
  cz_members_close(&c->members);
  cz_few_shot_close(&c->f);
}

static cz_status run(cz_session *s, const cz_recipe *recipe, cz_stage_output *out) {
  cz__classifying c = {0};
  cz_generation now = {0};
  cz_status st;
  CZ_GO(st, cz__classify_bind(&c, recipe, out->config_hash), done);
  CZ_GO(st, cz_few_shot_open(&c.f, recipe, s), done);
  CZ_GO(st, cz__classify_input(&c, c.f.examples->file), done);
  CZ_GO(st, has_texts(&c, recipe, !c.f.examples->t.n), done);
  CZ_GO(st, can_keep(&c, recipe), done);
  CZ_GO(st, can_grow(&c, recipe, (int64_t)c.f.examples->t.n), done);
  CZ_GO(st, draw_demonstrations(&c, recipe), done);
  CZ_GO(st, read_before(&c, recipe), done);
  CZ_GO(st, make_plans(&c, recipe), done);
  CZ_GO(st, cz_few_shot_fit(&c.f, c.plans, c.n), done);
  say_sizes(&c);
  CZ_GO(st,
        cz__classify_encodes(&c) ? encode(&c, s, out->folder) : make_members(&c, s, out->folder),
        done);
  if (!cz_session_writes(s)) goto done;
  CZ_GO(st, cz_generation_read(&now, c.f.examples, out->folder, c.plans, c.n), done);
  const cz_ensemble_report report = {.name = "ensemble",
                                     .weighting = weighting_of(&c),
                                     .fidelity = (cz_fidelity)c.keys.fidelity,
                                     .generation = c.generation,
                                     .plans = c.plans,
                                     .offsets = cz__classify_trains(&c) ? NULL : c.offsets,
                                     .scored = c.scored};
  st = cz_ensemble_write(out, &now, &report);
done:
  cz_generation_free(&now);
  close(&c);
  return st;
}

/* Whether the files of T and of the test set, whose texts T has not, are there. */
static bool draws_from_files(const cz_examples_keys *k) {
  bool there = !*k->train || cz_fs_exists(k->train);
  for (size_t i = 0; there && i < cz_examples_test_count(k); i++)
    there = cz_fs_exists(cz_examples_test_path(k, i));
  return there;
}

/* Whether a generation will have anything to add to T, counted once for all that share it. */
static cz_status check_growth(cz_check *check, const cz__classifying *c, const cz_recipe *recipe,
                              cz_pattern_file *file) {
  const cz_examples_keys *k = &c->f.keys;
  cz_buf text = {0};
  bool first = false;
  size_t t;
  if (!*c->keys.from || !draws_from_files(k)) return CZ_OK;
  cz_status st = cz_config_canonical(&text, cz_config_get(recipe->node, cz_examples_section.name));
  if (st == CZ_OK)
    st = cz_check_once(check, &first, "T grows to %lld, seed %llu: %s", (long long)c->keys.target,
                       (unsigned long long)recipe->seed, text.data);
  cz_buf_free(&text);
  if (st != CZ_OK || !first) return st;
  CZ_TRY(cz_examples_count_t(&t, k, file, recipe->seed));
  return can_grow(c, recipe, (int64_t)t + k->chosen);
}

/* What the run will say of the pattern file, and of T by its labels, before the stages in front of
 * this one have run. */
static cz_status check_patterns(cz_check *check, const cz__classifying *c,
                                const cz_recipe *recipe) {
  const cz_examples_keys *k = &c->f.keys;
  cz_pattern_file *file;
  int32_t *list = NULL;
  size_t n;
  if (!*k->pattern || !cz_fs_exists(k->pattern)) return CZ_OK;
  CZ_TRY(cz_patterns_open(&file, k->pattern, *k->labels ? k->labels : NULL));
  cz_status st = cz__classify_prompts(c) ? cz__classify_patterns(&list, &n, c, file, recipe)
                                         : cz__classify_input(c, file);
  if (st == CZ_OK) st = check_growth(check, c, recipe, file);
  free(list);
  cz_patterns_close(&file);
  return st;
}

static cz_status check(cz_check *check, const cz_recipe *recipe) {
  cz__classifying c = {0};
  CZ_TRY(cz__classify_bind(&c, recipe, 0));
  const cz_examples_keys *k = &c.f.keys;
  CZ_TRY(has_texts(&c, recipe, (!*k->train || !k->labelled) && !k->chosen));
  const cz_member_shape shape = {.classifier = !cz__classify_prompts(&c),
                                 .temperature = 1,
                                 .lm = c.keys.lm,
                                 .classes = 2,
                                 .width = 1,
                                 .max_length = c.f.keys.max_length,
                                 .score_tokens = c.keys.score_tokens};
  CZ_TRY(cz_few_shot_check(check, recipe, &c.f, cz__classify_trains(&c) ? &shape : NULL));
  CZ_TRY(check_patterns(check, &c, recipe));
  CZ_TRY(cz_few_shot_results(check, &c.f.keys, "ensemble"));
  return cz__classify_only_asks(&c) && c.keys.calibrate != CZ_CALIBRATE_NONE
             ? cz_few_shot_results(check, &c.f.keys, "calibrated")
             : CZ_OK;
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
    .members = true,
    .leaves = CZ_LEAVES_PREDICTIONS,
    .results = results,
    .check = check,
    .run = run,
    .cost = cz__classify_cost};
