#include "recipe/recipe.h"
#include "base/fs.h"
#include "base/text.h"
#include "checkpoint/safetensors.h"
#include "graph/ops.h"
#include "nn/hf.h"
#include "tasks/task.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define AT(member) offsetof(KEYS, member)

static const char *const kind_names[] = {"pretrain", "finetune", "evaluate", NULL},
                         *const section_text[] = {"section, below"};
#define SECTION(name, of, help)                                                                    \
  { name, CZ_KEY_TREE, 0, "", 0, 0, section_text, NULL, of ": " help }
static const cz_key_spec stage_keys[] = {
    {"kind", CZ_KEY_ENUM, 0, NULL, 0, 0, kind_names, NULL,
     "what the stage does; the commands of these names say it themselves"},
    {"seed", CZ_KEY_INT, 0, NULL, 0, 4503599627370496.0, NULL, NULL,
     "of weights, data order and noise; an experiment sets it from its `seeds`"},
    {"tokenizer", CZ_KEY_TEXT, 0, NULL, 0, 0, NULL, NULL, "file tokenizer.json"},
    {"init", CZ_KEY_TEXT, 0, "", 0, 0, NULL, NULL,
     "folder of the model to start from (config.json, model.safetensors, tokenizer.json), or in an "
     "experiment $STAGE; empty: weights drawn from the "
     "seed"},
    {"corpus", CZ_KEY_TEXT, 0, "", 0, 0, NULL, NULL, "pretrain: file made by cloze corpus"},
    SECTION("model", "all", "what is built, or what the model in `init` must be"),
    SECTION("objective", "pretrain",
            "its `name` (cloze list objectives) and that objective's keys"),
    SECTION("tasks", "finetune, evaluate", "`list`, an item for each task, and how they are mixed"),
    SECTION("batch", "pretrain, finetune", "how many tokens a step has"),
    SECTION("optimizer", "pretrain, finetune", "how gradients become updates"),
    SECTION("train", "pretrain, finetune", "how many steps, which loss, how often to save and log"),
    SECTION("held_out", "pretrain", "a corpus that the model is scored on at the end"),
    SECTION("evaluate", "evaluate", "which rows are scored, and how outputs are searched"),
};
#undef SECTION
const cz_section cz_stage_keys = CZ_SECTION("stage",
                                            "A stage: an entry of an experiment's `stages`, or the "
                                            "file of cloze pretrain, finetune, evaluate.",
                                            stage_keys);

static const char *const dropout_masks[] = {"segment", "token", NULL};
#define KEYS cz_model_keys
static const cz_key_spec model_keys[] = {
    {"name", CZ_KEY_TEXT, AT(name), NULL, 0, 0, NULL, NULL, "a known model: cloze list models"},
    {"d_model", CZ_KEY_INT, AT(d_model), "0", 0, 1 << 16, NULL, NULL,
     "width; 0 takes the named model's"},
    {"d_kv", CZ_KEY_INT, AT(d_kv), "0", 0, 1 << 12, NULL, NULL,
     "size of a head; 0 takes the named model's"},
    {"d_ff", CZ_KEY_INT, AT(d_ff), "0", 0, 1 << 18, NULL, NULL,
     "width of the feed-forward; 0 takes the named model's"},
    {"num_layers", CZ_KEY_INT, AT(num_layers), "0", 0, 1 << 10, NULL, NULL,
     "blocks of a stack; 0 takes the named model's"},
    {"num_decoder_layers", CZ_KEY_INT, AT(num_decoder_layers), "0", 0, 1 << 10, NULL, NULL,
     "blocks of the decoder; 0 takes num_layers"},
    {"num_heads", CZ_KEY_INT, AT(num_heads), "0", 0, 1 << 10, NULL, NULL,
     "attention heads; 0 takes the named model's"},
    {"vocab_size", CZ_KEY_INT, AT(vocab_size), "0", 0, 1 << 24, NULL, "tokens",
     "rows of the embedding; 0 takes the tokenizer's size, rounded up to 128"},
    {"relative_attention_num_buckets", CZ_KEY_INT, AT(buckets), "32", 4, 4096, NULL, NULL,
     "buckets of the position bias"},
    {"relative_attention_max_distance", CZ_KEY_INT, AT(max_distance), "128", 2, 1 << 20, NULL,
     "tokens", "distance from which all positions share a bucket; more than half the buckets"},
    {"dropout", CZ_KEY_REAL, AT(dropout), "0.1", 0, 0.99, NULL, NULL, "dropout rate everywhere"},
    {"dropout_mask", CZ_KEY_ENUM, AT(dropout_mask), "segment", 0, 0, dropout_masks, NULL,
     "one mask along each segment, as the published runs drew it, or one per token, as PyTorch "
     "ports do"},
};
#undef KEYS
const cz_section cz_model_section =
    CZ_SECTION("model", "The model that a stage builds.", model_keys);

static const char *const long_rules[] = {"refuse", "cut", NULL};
#define KEYS cz_batch_keys
static const cz_key_spec batch_keys[] = {
    {"input_tokens", CZ_KEY_INT, AT(input_tokens), NULL, 1, 1 << 26, NULL, "tokens",
     "encoder tokens of a global batch, all shards together"},
    {"target_tokens", CZ_KEY_INT, AT(target_tokens), NULL, 1, 1 << 26, NULL, "tokens",
     "decoder tokens of a global batch"},
    {"max_inputs", CZ_KEY_INT, AT(max_inputs), "0", 0, 1 << 20, NULL, "tokens",
     "longest input of one example with EOS; 0: the shard's budget"},
    {"max_targets", CZ_KEY_INT, AT(max_targets), "0", 0, 1 << 20, NULL, "tokens",
     "longest target of one example with EOS; 0: the shard's budget"},
    {"shards", CZ_KEY_INT, AT(shards), "1", 1, 1 << 16, NULL, NULL,
     "fixed parts of a batch; the number of ranks must divide it"},
    {"window", CZ_KEY_INT, AT(window), "32", 1, 1 << 16, NULL, "batches",
     "batches that are filled together so that steps cost alike"},
    {"long", CZ_KEY_ENUM, AT(on_long), "cut", 0, 0, long_rules, NULL,
     "an example over its cap: refuse it with an error, or cut and count it"},
};
#undef KEYS
const cz_section cz_batch_section = CZ_SECTION("batch", "How examples become batches.", batch_keys);

static const char *const optimizer_names[] = {"adafactor", "adamw", "adamw_scale", NULL};
static const char *const schedules[] = {"constant", "rsqrt", "linear", "cosine", NULL};
#define KEYS cz_optimizer_keys
static const cz_key_spec optimizer_keys[] = {
    {"name", CZ_KEY_ENUM, AT(name), "adafactor", 0, 0, optimizer_names, NULL,
     "Adafactor as T5 used it, AdamW, or AdamW with steps scaled by the parameter's RMS"},
    {"learning_rate", CZ_KEY_REAL, AT(learning_rate), NULL, 0, INFINITY, NULL, NULL,
     "peak rate; with rsqrt the factor before 1/sqrt"},
    {"schedule", CZ_KEY_ENUM, AT(schedule), "constant", 0, 0, schedules, NULL,
     "constant; 1/sqrt(max(step, warmup)); or warm up, then fall to final_rate"},
    {"warmup_steps", CZ_KEY_INT, AT(warmup_steps), "0", 0, 1e12, NULL, "steps",
     "of rsqrt: steps at the flat rate; otherwise steps of linear rise"},
    {"final_rate", CZ_KEY_REAL, AT(final_rate), "0", 0, 1, NULL, NULL,
     "where linear and cosine end, as a part of the peak"},
    {"clip_norm", CZ_KEY_REAL, AT(clip_norm), "0", 0, INFINITY, NULL, NULL,
     "largest global gradient norm; 0: no clipping (T5)"},
    {"beta1", CZ_KEY_REAL, AT(beta1), "0.9", 0, 1, NULL, NULL, "AdamW: decay of the first moment"},
    {"beta2", CZ_KEY_REAL, AT(beta2), "0.999", 0, 1, NULL, NULL,
     "AdamW: decay of the second moment"},
    {"epsilon", CZ_KEY_REAL, AT(epsilon), "1e-6", 0, 1, NULL, NULL,
     "AdamW: added to the root of the second moment"},
    {"weight_decay", CZ_KEY_REAL, AT(weight_decay), "0", 0, 10, NULL, NULL,
     "AdamW: decoupled decay of matrices"},
    {"decay_exponent", CZ_KEY_REAL, AT(decay_exponent), "0.8", 0, 1, NULL, NULL,
     "Adafactor: second-moment decay 1 - (t + 1)^-this"},
    {"clip_threshold", CZ_KEY_REAL, AT(clip_threshold), "1", 0, INFINITY, NULL, NULL,
     "Adafactor: largest RMS of an update"},
};
#undef KEYS
const cz_section cz_optimizer_section =
    CZ_SECTION("optimizer", "How gradients become updates.", optimizer_keys);

static const char *const normalisations[] = {"counted", "padded", "constant", NULL};
#define KEYS cz_train_keys
static const cz_key_spec train_keys[] = {
    {"steps", CZ_KEY_INT, AT(steps), NULL, 1, 1e12, NULL, "steps", "optimizer updates"},
    {"loss_normalisation", CZ_KEY_ENUM, AT(loss_normalisation), "counted", 0, 0, normalisations,
     NULL,
     "the loss is a sum divided by the counted positions, by the positions of the padded batch as "
     "the published code does, or by loss_denominator"},
    {"loss_denominator", CZ_KEY_REAL, AT(loss_denominator), "1", 1e-9, INFINITY, NULL, "positions",
     "of loss_normalisation: constant"},
    {"z_loss", CZ_KEY_REAL, AT(z_loss), "1e-4", 0, 1, NULL, NULL,
     "weight of log^2 Z, training only"},
    {"label_smoothing", CZ_KEY_REAL, AT(label_smoothing), "0", 0, 0.99, NULL, NULL,
     "weight of the uniform distribution in the targets"},
    {"loss_on_inputs", CZ_KEY_BOOL, AT(loss_on_inputs), "true", 0, 0, NULL, NULL,
     "single stacks: predict the inputs too"},
    {"recompute", CZ_KEY_BOOL, AT(recompute), "false", 0, 0, NULL, NULL,
     "keep only block borders for backward: less memory, one more forward"},
    {"checkpoint_steps", CZ_KEY_INT, AT(checkpoint_steps), "0", 0, 1e12, NULL, "steps",
     "save every so many steps; 0: by time only"},
    {"checkpoint_seconds", CZ_KEY_REAL, AT(checkpoint_seconds), "60", 0, INFINITY, NULL, "seconds",
     "save when this much time has passed since the last"},
    {"log_steps", CZ_KEY_INT, AT(log_steps), "10", 1, 1e9, NULL, "steps",
     "one line of metrics every so many steps"},
    {"nonfinite_limit", CZ_KEY_INT, AT(nonfinite_limit), "10", 1, 1e9, NULL, "steps",
     "steps in a row with a gradient that is not finite that end the run"},
};
#undef KEYS
const cz_section cz_train_section = CZ_SECTION("train", "The training loop.", train_keys);

static const char *const mixings[] = {"proportional", "equal", NULL};
#define KEYS cz_mixing_keys
static const cz_key_spec mixing_keys[] = {
    {"mixing", CZ_KEY_ENUM, AT(mixing), "proportional", 0, 0, mixings, NULL,
     "rates by number of examples, or equal"},
    {"limit", CZ_KEY_REAL, AT(limit), "0", 0, INFINITY, NULL, "examples",
     "proportional: sizes above this count as this (K); 0: none"},
    {"temperature", CZ_KEY_REAL, AT(temperature), "1", 1, INFINITY, NULL, NULL,
     "proportional: rates to the power 1/T"},
};
#undef KEYS
const cz_section cz_mixing_section =
    CZ_SECTION("tasks", "How tasks share the batches.", mixing_keys);

const char *const cz_split_names[] = {"dev", "test", "train", NULL};
#define KEYS cz_evaluate_keys
static const cz_key_spec evaluate_keys[] = {
    {"split", CZ_KEY_ENUM, AT(split), "dev", 0, 0, cz_split_names, NULL,
     "which of a task's files is scored"},
    {"max_examples", CZ_KEY_INT, AT(max_examples), "0", 0, 1e9, NULL, "examples",
     "rows per task, spread evenly over the file; 0: all; some so many where a score judges rows "
     "together (MultiRC)"},
    {"beams", CZ_KEY_INT, AT(beams), "1", 1, 64, NULL, NULL,
     "width of the beam search; 1 is greedy"},
    {"length_penalty", CZ_KEY_REAL, AT(length_penalty), "0.6", 0, 10, NULL, NULL,
     "alpha of ((5 + length) / 6)^alpha, beams above 1"},
    {"max_length", CZ_KEY_INT, AT(max_length), "64", 1, 1 << 16, NULL, "tokens", "longest output"},
    {"max_inputs", CZ_KEY_INT, AT(max_inputs), "512", 2, 1 << 20, NULL, "tokens",
     "longest input with EOS; the rest is cut"},
    {"batch_tokens", CZ_KEY_INT, AT(batch_tokens), "4096", 1, 1 << 24, NULL, "tokens",
     "encoder tokens decoded together"},
};
#undef KEYS
const cz_section cz_evaluate_section =
    CZ_SECTION("evaluate", "How a model is scored.", evaluate_keys);

#define KEYS cz_held_out_keys
static const cz_key_spec held_out_keys[] = {
    {"corpus", CZ_KEY_TEXT, AT(corpus), NULL, 0, 0, NULL, NULL,
     "file made by cloze corpus from text that is not in the stage's `corpus`"},
    {"batches", CZ_KEY_INT, AT(batches), "50", 1, 1e9, NULL, "batches",
     "at most so many, each as large as one of training; fewer when the corpus ends"},
};
#undef KEYS
const cz_section cz_held_out_section =
    CZ_SECTION("held_out",
               "Text that a trained model is scored on at the end, the same for every seed: "
               "held_out_loss (nats a target token under the stage's objective) and "
               "held_out_perplexity in its result. Objectives ask for different targets, so this "
               "compares models of one objective.",
               held_out_keys);

/** Appends the help of every section, objectives included; MARKDOWN for documents. */
cz_status cz_recipe_help(cz_buf *out, bool markdown) {
  const cz_section *const sections[] = {
      &cz_stage_keys,    &cz_model_section,    &cz_batch_section,  &cz_optimizer_section,
      &cz_train_section, &cz_held_out_section, &cz_mixing_section, &cz_evaluate_section};
  for (size_t i = 0; i < sizeof sections / sizeof *sections; i++)
    CZ_TRY(markdown ? cz_config_markdown(out, sections[i]) : cz_config_help(out, sections[i]));
  for (size_t i = 0; i < cz_objective_count; i++) {
    char name[64];
    cz_section section = cz_objective_rows[i]->section;
    snprintf(name, sizeof name, "objective, name: %s", cz_objective_rows[i]->name);
    section.name = name;
    CZ_TRY(markdown ? cz_config_markdown(out, &section) : cz_config_help(out, &section));
  }
  return cz_task_help(out, markdown);
}

/** The model configuration that KEYS describe for a tokenizer of TOKENIZER_SIZE ids.
 * CZ_EINVAL when the vocabulary is smaller than the tokenizer. */
cz_status cz_model_keys_config(cz_model_config *c, const cz_model_keys *k, int64_t tokenizer_size) {
  CZ_TRY(cz_model_config_named(c, k->name));
  if (k->d_model) c->d_model = k->d_model;
  if (k->d_kv) c->d_kv = k->d_kv;
  if (k->d_ff) c->d_ff = k->d_ff;
  if (k->num_heads) c->n_heads = k->num_heads;
  if (k->num_layers) c->n_layers = c->n_decoder_layers = k->num_layers;
  if (k->num_decoder_layers) c->n_decoder_layers = k->num_decoder_layers;
  c->buckets = k->buckets;
  c->max_distance = k->max_distance;
  c->dropout = k->dropout;
  c->vocab_size = k->vocab_size ? k->vocab_size : (tokenizer_size + 127) / 128 * 128;
  if (c->vocab_size < tokenizer_size)
    return CZ_FAIL(CZ_EUSAGE, "model.vocab_size: %lld is smaller than the tokenizer's %lld",
                   (long long)c->vocab_size, (long long)tokenizer_size);
  return cz_model_config_check(c) == CZ_OK ? CZ_OK : CZ_FAIL(CZ_EUSAGE, "%s", cz_error_message());
}

/** Binds one section of the stage's configuration; a section that is not there takes its
 * defaults, or complains about the first key without one. */
cz_status cz_recipe_section(const cz_recipe *stage, const cz_section *section, void *out) {
  return cz_config_bind(cz_config_get(stage->node, section->name), section, out, NULL);
}

/** Reads what every stage has: seed, the tokenizer's path, model keys. Opens nothing;
 * NODE and DEVICE are borrowed, DEVICE may be null. */
cz_status cz_recipe_bind(cz_recipe *stage, const cz_config_node *node, cz_device *device) {
  const cz_config_node *n;
  int64_t seed;
  *stage = (cz_recipe){.node = node, .device = device};
  CZ_TRY(cz_config_need(&n, node, "seed"));
  CZ_TRY(cz_config_int(&seed, n, 0, 4503599627370496.0));
  stage->seed = (uint64_t)seed;
  CZ_TRY(cz_config_need(&n, node, "tokenizer"));
  CZ_TRY(cz_config_text(&stage->tokenizer_path, n));
  if ((n = cz_config_get(node, "init"))) CZ_TRY(cz_config_text(&stage->init, n));
  if (stage->init && !*stage->init) stage->init = NULL;
  return cz_recipe_section(stage, &cz_model_section, &stage->model);
}

static cz_status open_tokenizer(cz_recipe *s) {
  CZ_TRY(cz_tokenizer_open(&s->tokenizer, s->tokenizer_path));
  return cz_vocabulary_of(&s->vocabulary, s->tokenizer);
}

/** Opens what every stage needs: as cz_recipe_bind, and the tokenizer. Close with
 * cz_recipe_close, also after a failure. */
cz_status cz_recipe_open(cz_recipe *stage, const cz_config_node *node, cz_device *device) {
  CZ_TRY(cz_recipe_bind(stage, node, device));
  return open_tokenizer(stage);
}

/* A vocabulary as large as model.vocab_size, else T5's, with T5's special tokens. */
static cz_status assume_vocabulary(cz_recipe *s) {
  enum { T5_VOCABULARY = 32100, T5_SENTINELS = 100 };
  int64_t size = s->model.vocab_size ? s->model.vocab_size : T5_VOCABULARY;
  if (size < 2 * T5_SENTINELS)
    return cz_config_error(cz_config_get(s->node, "model"),
                           "a vocabulary of %lld has no room for sentinels", (long long)size);
  s->vocabulary = (cz_vocabulary){
      .size = (int32_t)size, .pad = 0, .eos = 1, .unk = 2, .n_sentinels = T5_SENTINELS};
  for (int32_t k = 0; k < T5_SENTINELS; k++)
    s->vocabulary.sentinels[k] = s->vocabulary.size - 1 - k;
  return CZ_OK;
}

/** Opens the tokenizer of a bound stage; when its file is not there the stage gets a
 * vocabulary like T5's and no tokenizer. For looking only. Close with cz_recipe_close,
 * also after a failure. */
cz_status cz_recipe_open_if_present(cz_recipe *s) {
  return cz_fs_exists(s->tokenizer_path) ? open_tokenizer(s) : assume_vocabulary(s);
}

/** Opens the corpus that NODE names, which must be of the stage's tokenizer; the caller
 * closes it. Errors as cz_reader_open. */
cz_status cz_recipe_corpus(cz_reader **reader, const cz_recipe *stage, const cz_config_node *node) {
  const char *path;
  uint64_t hash = cz_tokenizer_get_facts(stage->tokenizer)->hash;
  *reader = NULL;
  CZ_TRY(cz_config_text(&path, node));
  return cz_reader_open(reader, path, &hash, 0);
}

/** Closes what cz_recipe_open opened. */
void cz_recipe_close(cz_recipe *stage) { cz_tokenizer_destroy(&stage->tokenizer); }

/** A model to start from must be the model that the recipe describes, or the recipe lies:
 * CZ_EUSAGE with WHERE, the first fact that differs, and both values. */
cz_status cz_recipe_same_model(const cz_model_config *a, const cz_model_config *b,
                               const char *where) {
  static const char *const architectures[] = {"encoder-decoder", "language model",
                                              "prefix language model"},
                           *const no_yes[] = {"no", "yes"};
  const struct {
    const char *key;
    int64_t have, want;
    const char *const *names; /* null: a number */
  } facts[] = {
      {"the architecture", a->family->architecture, b->family->architecture, architectures},
      {"d_model", a->d_model, b->d_model, NULL},
      {"d_kv", a->d_kv, b->d_kv, NULL},
      {"d_ff", a->d_ff, b->d_ff, NULL},
      {"num_layers", a->n_layers, b->n_layers, NULL},
      {"num_decoder_layers", a->n_decoder_layers, b->n_decoder_layers, NULL},
      {"num_heads", a->n_heads, b->n_heads, NULL},
      {"vocab_size", a->vocab_size, b->vocab_size, NULL},
      {"relative_attention_num_buckets", a->buckets, b->buckets, NULL},
      {"relative_attention_max_distance", a->max_distance, b->max_distance, NULL},
      {"a gated feed-forward:", a->gated, b->gated, no_yes},
      {"the activation", a->activation, b->activation, cz_activation_names},
      {"an output tied to the embedding:", a->tied, b->tied, no_yes},
      {"a scaled output:", a->scaled, b->scaled, no_yes}};
  for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
    if (facts[i].have == facts[i].want) continue;
    if (facts[i].names)
      return CZ_FAIL(CZ_EUSAGE, "%s: the model there (%s) has %s %s, the recipe's (%s) has %s",
                     where, a->family->name, facts[i].key, facts[i].names[facts[i].have],
                     b->family->name, facts[i].names[facts[i].want]);
    return CZ_FAIL(CZ_EUSAGE, "%s: the model there has %s %lld, the recipe's has %lld", where,
                   facts[i].key, (long long)facts[i].have, (long long)facts[i].want);
  }
  return CZ_OK;
}

/** Refuses, with CZ_EUSAGE that says what a model's folder has, a FOLDER that is none. */
cz_status cz_recipe_model_folder(const char *folder) {
  char path[4096];
  CZ_TRY(cz_fs_join(path, sizeof path, folder, "config.json"));
  if (cz_fs_exists(path)) return CZ_OK;
  CZ_TRY(cz_fs_join(path, sizeof path, folder, "model/config.json"));
  bool inside = cz_fs_exists(path);
  return CZ_FAIL(
      CZ_EUSAGE,
      "%s %s: a model's folder has config.json, model.safetensors and tokenizer.json%s%s%s", folder,
      cz_fs_is_dir(folder)   ? "is no model's folder"
      : cz_fs_exists(folder) ? "is no folder"
                             : "is not there",
      inside ? "; did you mean " : "", inside ? folder : "", inside ? "/model?" : "");
}

/* Ids mean what the tokenizer that the model was trained with says. A folder without
 * tokenizer.json can't be checked. */
static cz_status check_tokenizer(const cz_recipe *stage) {
  char path[4096];
  cz_tokenizer *theirs;
  CZ_TRY(cz_fs_join(path, sizeof path, stage->init, "tokenizer.json"));
  if (!cz_fs_exists(path)) return CZ_OK;
  CZ_TRY(cz_tokenizer_open(&theirs, path));
  bool same =
      cz_tokenizer_get_facts(theirs)->hash == cz_tokenizer_get_facts(stage->tokenizer)->hash;
  cz_tokenizer_destroy(&theirs);
  return same ? CZ_OK
              : CZ_FAIL(CZ_EUSAGE,
                        "%s and %s differ: the model in `init` was trained with another tokenizer",
                        stage->tokenizer_path, path);
}

/* The weights are there and whole as far as their headers and sizes tell. */
static cz_status check_weights(const char *folder) {
  cz_safetensors *weights;
  CZ_TRY(cz_safetensors_open_model(&weights, folder));
  cz_safetensors_close(&weights);
  return CZ_OK;
}

/* The key of the section `model` that a MESSAGE "model.KEY: ..." is about, or what stands
 * around it. */
static const cz_config_node *blamed(const cz_config_node *node, const char *message) {
  const cz_config_node *section = cz_config_get(node, "model"), *value = NULL;
  char key[64];
  if (!section) return node;
  if (sscanf(message, "model.%63[a-z_]:", key) == 1) value = cz_config_get(section, key);
  return value ? value : section;
}

/** The configuration of the stage's model; CZ_EUSAGE with the place in the file when it
 * can't be. */
cz_status cz_recipe_model_config(cz_model_config *config, const cz_recipe *stage) {
  if (cz_model_keys_config(config, &stage->model, stage->vocabulary.size) != CZ_OK)
    return cz_config_error(blamed(stage->node, cz_error_message()), "%s", cz_error_message());
  config->pad_id = stage->vocabulary.pad >= 0 ? stage->vocabulary.pad : 0;
  config->start_id = config->pad_id;
  config->eos_id = stage->vocabulary.eos;
  return CZ_OK;
}

/** Checks, without its weights, that the model in the folder `init` of the stage is the
 * one that its recipe describes. */
cz_status cz_recipe_check_init(const cz_recipe *stage) {
  cz_model_config there, wanted;
  char path[4096];
  if (cz_recipe_model_folder(stage->init) != CZ_OK)
    return cz_config_error(cz_config_get(stage->node, "init"), "%s", cz_error_message());
  CZ_TRY(cz_fs_join(path, sizeof path, stage->init, "config.json"));
  CZ_TRY(cz_hf_config_read(&there, path));
  CZ_TRY(check_weights(stage->init));
  if (stage->tokenizer) CZ_TRY(check_tokenizer(stage));
  CZ_TRY(cz_recipe_model_config(&wanted, stage));
  if (!stage->tokenizer && !stage->model.vocab_size) wanted.vocab_size = there.vocab_size;
  wanted.tied = there.tied; /* the weights decide */
  return cz_recipe_same_model(&there, &wanted, stage->init);
}

/** The stage's model: from the folder `init`, or drawn from the seed. The caller destroys
 * it. */
cz_status cz_recipe_model(cz_model **model, const cz_recipe *stage) {
  cz_model_config config;
  CZ_TRY(cz_recipe_model_config(&config, stage));
  if (stage->init) {
    CZ_TRY(cz_recipe_model_folder(stage->init));
    CZ_TRY(check_tokenizer(stage));
    CZ_TRY(cz_hf_open(model, stage->init, stage->device));
    cz_status st = cz_recipe_same_model(&(*model)->config, &config, stage->init);
    if (st != CZ_OK)
      cz_model_destroy(model);
    else
      (*model)->config.dropout = config.dropout;
    return st;
  }
  CZ_TRY(cz_model_create(model, &config, stage->device));
  cz_status st = cz_params_init((*model)->params, stage->seed);
  if (st != CZ_OK) cz_model_destroy(model);
  return st;
}

/** The stage's objective, from its section `objective`: {name: ..., keys of that
 * objective}. */
cz_status cz_recipe_objective(cz_objective *objective, const cz_recipe *stage) {
  static const char *const others[] = {"name", NULL};
  const cz_config_node *section, *n;
  const cz_objective_row *row;
  const char *name;
  cz_objective_config config = {0};
  CZ_TRY(cz_config_need(&section, stage->node, "objective"));
  CZ_TRY(cz_config_need(&n, section, "name"));
  CZ_TRY(cz_config_text(&name, n));
  if (cz_objective_find(&row, name) != CZ_OK) return cz_config_error(n, "%s", cz_error_message());
  cz_status st = cz_config_bind(section, &row->section, &config, others);
  if (st != CZ_OK)
    return CZ_NOTE(st, "objective %s; `cloze objective %s --keys` lists what it has", name, name);
  config.seed = stage->seed;
  st = cz_objective_init(objective, row, &config, &stage->vocabulary);
  return st == CZ_EUSAGE ? cz_config_error(section, "%s", cz_error_message()) : st;
}
