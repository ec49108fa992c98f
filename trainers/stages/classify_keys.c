/* The section `classify` of a stage, and what its keys ask for. */
#include "stages/classify.h"
#include "base/number.h"
#include "ensemble/calibrate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the stage has to know of a strategy. */
typedef struct strategy {
  bool prompts;     /* texts are read under patterns */
  bool trains;      /* members, by gradients */
  bool encodes;     /* the one member is a frozen encoder with a regression */
  bool causal;      /* where a family has no head HEAD, a causal LM answers */
  bool generations; /* members may learn from what those of an earlier stage label: iPET */
  cz_head head;     /* that answers */
} strategy;

/* A strategy is a row: name, help, members of `strategy`. All else follows. */
#define STRATEGIES(ROW)                                                                            \
  ROW(tuning_free, "prompts on the model as it is", .prompts = true, .causal = true,               \
      .head = CZ_HEAD_MASKED_LM)                                                                   \
  ROW(pet, "prompts on a model tuned under each (PET)", .prompts = true, .trains = true,           \
      .generations = true, .head = CZ_HEAD_MASKED_LM)                                              \
  ROW(finetune, "the classification head without a prompt", .trains = true,                        \
      .head = CZ_HEAD_CLASSIFICATION)                                                              \
  ROW(sentence_encoder, "logistic regression on the vectors of a frozen encoder", .encodes = true, \
      .head = CZ_HEAD_CLASSIFICATION)
#define NAME_OF(name, help, ...) #name,
#define HELP_OF(name, help, ...) "; " #name ": " help
#define ROW_OF(name, help, ...)  {__VA_ARGS__},

const char *const cz__strategy_names[] = {STRATEGIES(NAME_OF) NULL};
static const strategy strategies[] = {STRATEGIES(ROW_OF)};

static const cz_key_spec section_keys[] = {
    CZ_KEY(cz__classify_keys, strategy, ENUM, .fallback = "pet", .choices = cz__strategy_names,
           .help = "what reads the texts" STRATEGIES(HELP_OF)),
    CZ_KEY(cz__classify_keys, patterns, TEXT, .fallback = "",
           .help = "numbers of the pattern file's patterns, comma-separated, from 0; empty: all"),
    CZ_KEY(cz__classify_keys, repetitions, INT, .fallback = "3", .min = 1, .max = 1000,
           .help = "models for each pattern, or in all without one"),
    CZ_KEY(cz__classify_keys, from, TEXT, .fallback = "",
           .help = "iPET: the stage of the generation before, `$STAGE`; its members label texts "
                   "of D for these"),
    CZ_KEY(cz__classify_keys, lm, REAL, .fallback = "0", .min = 0, .max = 0.999,
           .help = "alpha: the loss is (1 - alpha) times that of the labels and alpha times masked "
                   "language modelling of D under the pattern"),
    CZ_KEY(cz__classify_keys, lm_examples, INT, .fallback = "12", .min = 1, .max = 1 << 20,
           .unit = "texts", .help = "of batch.examples those of D, with lm above 0"),
    CZ_KEY(cz__classify_keys, weights, ENUM, .fallback = "weighted", .choices = cz_weighting_names,
           .help = "members count alike, or as the accuracy of their pattern on T before training"),
    CZ_KEY(cz__classify_keys, calibrate, ENUM, .fallback = "none", .choices = cz_calibrate_names,
           .help = "subtract from each label's score its mean over D, or what texts without "
                   "content get, both of the untrained model: of tuning_free's scores beside the "
                   "raw ones, and of those that members are weighed by"),
    CZ_KEY(cz__classify_keys, calibrated_start, BOOL, .fallback = "false",
           .help = "models start, and tuning_free scores, with the label words' biases less what "
                   "calibrate subtracts"),
    CZ_KEY(cz__classify_keys, fidelity, ENUM, .fallback = "paper", .choices = cz_fidelity_names,
           .help = "where paper and published code disagree (docs/pet.md 5)"),
    CZ_KEY(cz__classify_keys, decoding, ENUM, .fallback = "confident_first",
           .choices = cz_fill_order_names,
           .help = "patterns with several masks: the order in which the tokens of an answer are "
                   "filled in when a masked LM scores it"),
    CZ_KEY(cz__classify_keys, demonstrations, INT, .fallback = "0", .min = 0, .max = 1000,
           .unit = "texts",
           .help =
               "tuning_free: texts of T that stand in front of each text, under its pattern and "
               "with their label's word; 0: zero-shot, 1: one-shot (docs/pet.md 3.5)"),
    CZ_KEY(cz__classify_keys, scale, REAL, .fallback = "5", .min = 1.01, .max = 1000,
           .help = "iPET: each generation's sets are so many times larger"),
    CZ_KEY(cz__classify_keys, share, REAL, .fallback = "0.25", .min = 1e-6, .max = 1,
           .help = "iPET: the part of the other members that label for one"),
    CZ_KEY(cz__classify_keys, target, INT, .fallback = "1000", .min = 1, .max = 1e9,
           .unit = "texts",
           .help = "iPET: sets grow until one has so many, which is the last that grows, and may "
                   "have more; a generation after it has as many as that one"),
    CZ_KEY(cz__classify_keys, first, INT, .fallback = "10", .min = 1, .max = 1e9, .unit = "texts",
           .help = "iPET without T: the set of the first generation"),
    CZ_KEY(cz__classify_keys, likely, INT, .fallback = "100", .min = 0, .max = 1e9, .unit = "texts",
           .help = "iPET without T: the first generation draws each label's texts from so many "
                   "that fit it best"),
    CZ_KEY(cz__classify_keys, balance, ENUM, .fallback = "ratio", .choices = cz_balance_names,
           .help = "iPET: new texts keep T's ratio of labels, or are as many of each, which is the "
                   "default under fidelity code"),
    CZ_KEY(cz__classify_keys, strength, REAL, .fallback = "1", .min = 1e-9, .max = 1e9,
           .help = "sentence_encoder: C of the regression; less is a larger penalty"),
    CZ_KEY(cz__classify_keys, held_out, INT, .fallback = "200", .min = 0, .max = 1e9,
           .unit = "texts",
           .help = "texts of the test set whose masked-LM loss is taken before and after training: "
                   "what a member forgets"),
    CZ_KEY(cz__classify_keys, keep, ENUM, .fallback = "logits", .choices = cz_keep_names,
           .help = "of members' models: none, scores are enough for all that follows; the one of "
                   "the best accuracy on T, the first of several; or all, each in its folder"),
    CZ_KEY(cz__classify_keys, score_tokens, INT, .fallback = "4096", .min = 1, .max = 1 << 24,
           .unit = "tokens", .help = "tokens that are scored at once"),
};
const cz_section cz_classify_section =
    CZ_SECTION("classify", "How a few labelled texts become a classifier.", section_keys);

static const strategy *strategy_of(const cz__classifying *c) {
  return &strategies[c->keys.strategy];
}

/** Whether texts are read under patterns. */
bool cz__classify_prompts(const cz__classifying *c) { return strategy_of(c)->prompts; }
/** Whether the one member is a frozen encoder with a regression. */
bool cz__classify_encodes(const cz__classifying *c) { return strategy_of(c)->encodes; }
/** Whether members are trained by gradients. */
bool cz__classify_trains(const cz__classifying *c) { return strategy_of(c)->trains; }
/** Whether prompts are put to the model as it is. */
bool cz__classify_only_asks(const cz__classifying *c) {
  return strategy_of(c)->prompts && !strategy_of(c)->trains;
}

/** Whether STAGE, the node of a stage of whatever kind, is a frozen encoder with a regression. */
bool cz_stage_encodes(const cz_config_node *stage) {
  const char *name = "";
  const cz_config_node *node =
      cz_config_get(cz_config_get(stage, cz_classify_section.name), "strategy");
  if (node && cz_config_text(&name, node) != CZ_OK) cz_error_clear();
  for (size_t i = 0; cz__strategy_names[i]; i++)
    if (!strcmp(name, cz__strategy_names[i])) return strategies[i].encodes;
  return false;
}

/* Texts of T are shown by the one strategy that does not learn from them otherwise. */
static cz_status check_demonstrations(const cz__classifying *c, const cz_config_node *node) {
  const cz_examples_keys *e = &c->f.keys;
  if (!c->keys.demonstrations) return CZ_OK;
  if (!cz__classify_only_asks(c))
    return cz_config_error(node,
                           "demonstrations: %lld texts in front of each are for strategy "
                           "tuning_free; strategy %s learns from T by itself",
                           (long long)c->keys.demonstrations, cz__strategy_names[c->keys.strategy]);
  if (!e->chosen && (!*e->train || !e->labelled))
    return cz_config_error(node, "demonstrations: these %lld are texts of T, and T is empty: %s",
                           (long long)c->keys.demonstrations,
                           *e->train ? "examples.labelled is 0"
                                     : "examples.train names no file of labelled texts");
  return CZ_OK;
}

/* What the published code does where no key says otherwise: v1.1 adds as many texts of each label.
 */
static void follow_code(cz__classify_keys *k, const cz_config_node *node) {
  if (k->fidelity != CZ_FIDELITY_CODE || cz_config_get(node, "balance")) return;
  k->balance = CZ_BALANCE_EVEN;
}

/** Binds the stage's sections, opening no file. CZ_EUSAGE for keys that contradict one another. */
cz_status cz__classify_bind(cz__classifying *c, const cz_recipe *recipe, uint64_t config_hash) {
  const cz_config_node *node = cz_config_get(recipe->node, cz_classify_section.name);
  CZ_TRY(cz_recipe_section(recipe, &cz_classify_section, &c->keys));
  follow_code(&c->keys, node);
  CZ_TRY(cz_few_shot_bind(&c->f, recipe, "classify", config_hash, cz__classify_trains(c)));
  c->f.head = strategy_of(c)->head;
  c->f.by_causal = strategy_of(c)->causal;
  c->f.mean = cz__classify_encodes(c);
  const cz__classify_keys *k = &c->keys;
  const cz_batch_plan *b = &c->f.job.batch;
  if (cz__classify_trains(c)) CZ_TRY(cz_few_shot_follow(&c->f, recipe, (cz_fidelity)k->fidelity));
  if (k->lm > 0 && !cz__classify_prompts(c))
    return cz_config_error(node, "lm: the masked-LM loss belongs to strategy pet; a classification "
                                 "head stands on no masked-LM model");
  if (k->lm > 0 && cz__classify_trains(c) &&
      (k->lm_examples >= b->examples || k->lm_examples % b->shards))
    return cz_config_error(
        node,
        "lm_examples %lld: of batch.examples %lld some must be left for labelled "
        "texts, and batch.shards %lld must divide it",
        (long long)k->lm_examples, (long long)b->examples, (long long)b->shards);
  if (k->keep != CZ_KEEP_LOGITS && !cz__classify_trains(c))
    return cz_config_error(node, "keep: strategy %s trains no model that could be kept",
                           cz__strategy_names[k->strategy]);
  CZ_TRY(check_demonstrations(c, node));
  if (*k->from && !strategy_of(c)->generations)
    return cz_config_error(node, "from: generations are those of strategy pet");
  return CZ_OK;
}

/* What cannot be done with several masks: for P, a pattern of FILE that the stage uses. */
static cz_status check_masks(const cz__classifying *c, const cz_pattern_file *file,
                             const cz_pattern *p) {
  const bool own = file->choices || file->task;
  if (file->choices && c->keys.calibrate == CZ_CALIBRATE_CONTENT_FREE)
    return cz_config_error(p->node, "calibrate: content_free wants texts without content, and here "
                                    "each record brings answers of its own along (`choices`)");
  if (own && (c->f.causal || c->keys.demonstrations))
    return cz_config_error(p->node,
                           "each record brings answers of its own along (`%s`): a masked LM "
                           "fills them in, and %s has label words",
                           file->task ? "task" : "choices",
                           c->f.causal ? "a causal one" : "a demonstration");
  if (p->masks == 1 && !own) return CZ_OK;
  for (size_t i = 0; cz__classify_trains(c) && i < file->n_labels; i++)
    if (p->words[i].n > 1)
      return cz_config_error(
          p->words[i].nodes[1],
          "the label '%s' has %zu words: under a pattern with %d masks, as here, "
          "strategy pet trains on one answer a label; tuning_free scores several",
          file->labels[i], p->words[i].n, p->masks);
  if (c->keys.calibrated_start && c->keys.calibrate != CZ_CALIBRATE_NONE)
    return cz_config_error(p->node,
                           "this pattern has %d mask%s: calibrated_start changes the bias of label "
                           "words of one token; without it scores are calibrated all the same",
                           p->masks, own ? ", for answers of the records" : "s");
  return CZ_OK;
}

/* Keys that are of labels with words, where records have candidates or a target is generated. */
static cz_status check_task(const cz__classifying *c, const cz_pattern_file *file,
                            const cz_recipe *recipe) {
  const cz__classify_keys *k = &c->keys;
  const struct {
    const char *name, *why;
    bool wrong;
  } keys[] = {
      {"calibrate", "a label's scores are compared over texts", k->calibrate != CZ_CALIBRATE_NONE},
      {"from", "generations add texts of each label to T", *k->from != '\0'},
      {"lm", "all masks of a batch are the target's", file->generates && k->lm > 0},
      {"decoding", "the model writes what it is surest of first, confident_first",
       file->generates && k->decoding != CZ_FILL_CONFIDENT_FIRST}};
  const cz_config_node *node = cz_config_get(recipe->node, cz_classify_section.name);
  for (size_t i = 0; file->task && i < sizeof keys / sizeof *keys; i++)
    if (keys[i].wrong)
      return cz_config_error(cz_config_get(node, keys[i].name),
                             "%s, and each record of task %s has %s", keys[i].why, file->task->name,
                             file->candidates ? "candidates of its own"
                                              : "a target that is generated");
  return CZ_OK;
}

/** CZ_EUSAGE where FILE's records are several texts and the strategy reads one. */
cz_status cz__classify_input(const cz__classifying *c, const cz_pattern_file *file) {
  if (!cz__classify_encodes(c) || file->n_plains == 1) return CZ_OK;
  return cz_config_error(file->plains[0].node,
                         "input: %s puts %zu texts of a record together, and strategy %s encodes "
                         "one; strategy finetune reads them",
                         cz_input_names[file->input], file->n_plains,
                         cz__strategy_names[c->keys.strategy]);
}

/* The patterns of FILE that the key names, or all. */
cz_status cz__classify_patterns(int32_t **list, size_t *n, const cz__classifying *c,
                                const cz_pattern_file *file, const cz_recipe *recipe) {
  const size_t all = file->n_patterns;
  const char *at = c->keys.patterns;
  if (!all)
    return cz_config_error(cz_config_root(file->config),
                           "there are no `patterns`, which strategy %s wants; strategy finetune "
                           "reads records without one",
                           cz__strategy_names[c->keys.strategy]);
  CZ_TRY(check_task(c, file, recipe));
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
  if (c->f.causal && c->keys.calibrated_start && c->keys.calibrate != CZ_CALIBRATE_NONE)
    return cz_config_error(
        cz_config_get(recipe->node, cz_classify_section.name),
        "calibrated_start changes the bias of label words, which a causal LM has "
        "none of; without it scores are calibrated all the same");
  for (size_t i = 0; i < *n; i++) CZ_TRY(check_masks(c, file, &file->patterns[(*list)[i]]));
  return CZ_OK;
}

/** How iPET's sets grow by KEYS, a node with the sections `classify` and `examples` or without, and
 * how many texts T has under SEED: 0 where no file has any. CZ_EUSAGE with the key; errors of
 * reading the files. */
cz_status cz_stage_growth(cz_ipet *ipet, int64_t *labelled, const cz_config_node *keys,
                          uint64_t seed) {
  cz__classify_keys k;
  cz_examples_keys examples;
  cz_pattern_file *file;
  size_t n = 0;
  CZ_TRY(cz_config_bind(cz_config_get(keys, cz_classify_section.name), &cz_classify_section, &k,
                        NULL));
  CZ_TRY(cz_examples_bind(&examples, cz_config_get(keys, cz_examples_section.name)));
  *ipet = cz_ipet_paper;
  ipet->scale = k.scale, ipet->target = k.target, ipet->first = k.first;
  *labelled = 0;
  if (!*examples.train) return CZ_OK;
  CZ_TRY(cz_patterns_open(&file, examples.pattern, *examples.labels ? examples.labels : NULL));
  cz_status st = cz_examples_count_t(&n, &examples, file, seed);
  cz_patterns_close(&file);
  *labelled = (int64_t)n;
  return st;
}
