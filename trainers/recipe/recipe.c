#include "recipe/recipe.h"
#include "base/fs.h"
#include "checkpoint/safetensors.h"
#include "graph/ops.h"
#include "nn/hf.h"
#include "tasks/task.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const dropout_masks[] = {"segment", "token", NULL};
static const cz_key_spec model_keys[] = {
    CZ_KEY(cz_model_keys, name, TEXT, .help = "a known model: cloze list models"),
    CZ_KEY(cz_model_keys, d_model, INT, .fallback = "0", .min = 0, .max = 1 << 16,
           .help = "width; 0 takes the named model's"),
    CZ_KEY(cz_model_keys, d_kv, INT, .fallback = "0", .min = 0, .max = 1 << 12,
           .help = "size of a head; 0 takes the named model's"),
    CZ_KEY(cz_model_keys, d_ff, INT, .fallback = "0", .min = 0, .max = 1 << 18,
           .help = "width of the feed-forward; 0 takes the named model's"),
    CZ_KEY(cz_model_keys, num_layers, INT, .fallback = "0", .min = 0, .max = 1 << 10,
           .help = "blocks of a stack; 0 takes the named model's"),
    CZ_KEY(cz_model_keys, num_decoder_layers, INT, .fallback = "0", .min = 0, .max = 1 << 10,
           .help = "blocks of the decoder; 0 takes num_layers"),
    CZ_KEY(cz_model_keys, num_heads, INT, .fallback = "0", .min = 0, .max = 1 << 10,
           .help = "attention heads; 0 takes the named model's"),
    CZ_KEY(cz_model_keys, vocab_size, INT, .fallback = "0", .min = 0, .max = 1 << 24,
           .unit = "tokens",
           .help = "rows of the embedding; 0 takes the tokenizer's size, rounded up to 128"),
    CZ_KEY_AS("relative_attention_num_buckets", cz_model_keys, buckets, INT, .fallback = "32",
              .min = 4, .max = 4096, .help = "buckets of the position bias"),
    CZ_KEY_AS("relative_attention_max_distance", cz_model_keys, max_distance, INT,
              .fallback = "128", .min = 2, .max = 1 << 20, .unit = "tokens",
              .help =
                  "distance from which all positions share a bucket; more than half the buckets"),
    CZ_KEY(cz_model_keys, n_positions, INT, .fallback = "0", .min = 0, .max = 1 << 20,
           .unit = "tokens",
           .help = "longest segment of a family with learned positions; 0 takes the named model's"),
    CZ_KEY(cz_model_keys, dropout, REAL, .fallback = "0.1", .min = 0, .max = 0.99,
           .help = "dropout rate everywhere"),
    CZ_KEY(cz_model_keys, dropout_mask, ENUM, .fallback = "segment", .choices = dropout_masks,
           .help = "one mask along each segment, as the published runs drew it, or one per token, "
                   "as PyTorch "
                   "ports do"),
};
const cz_section cz_model_section =
    CZ_SECTION("model", "The model that a stage builds.", model_keys);

/* The keys of the family's kind of positions. Those of buckets have defaults, and are not looked
 * at in other families; the number of positions is refused where there are none. */
static cz_status set_positions(cz_model_config *c, const cz_model_keys *k, const char **key) {
  if (c->family->positions == CZ_POSITIONS_BUCKETS) {
    c->buckets = k->buckets;
    c->max_distance = k->max_distance;
  }
  if (!k->n_positions) return CZ_OK;
  if (c->family->positions == CZ_POSITIONS_LEARNED) return c->n_positions = k->n_positions, CZ_OK;
  if (key) *key = "n_positions";
  return CZ_FAIL(CZ_EUSAGE,
                 "%sthe positions of family %s are not learned, and no segment is too long",
                 key ? "" : "n_positions: ", c->family->name);
}

/** The model configuration that KEYS describe for a tokenizer of TOKENIZER_SIZE ids.
 * CZ_EUSAGE when no model can be like that; *KEY then names the key that is wrong. KEY null:
 * the message names it. */
cz_status cz_model_keys_config(cz_model_config *c, const cz_model_keys *k, int64_t tokenizer_size,
                               const char **key) {
  if (key) *key = "name";
  CZ_TRY(cz_model_config_named(c, k->name));
  if (k->d_model) c->d_model = k->d_model;
  if (k->d_kv) c->d_kv = k->d_kv;
  if (k->d_ff) c->d_ff = k->d_ff;
  if (k->num_heads) c->n_heads = k->num_heads;
  if (k->num_layers) c->n_layers = c->n_decoder_layers = k->num_layers;
  if (k->num_decoder_layers) c->n_decoder_layers = k->num_decoder_layers;
  CZ_TRY(set_positions(c, k, key));
  c->dropout = c->attention_dropout = c->embedding_dropout = k->dropout;
  c->vocab_size = k->vocab_size ? k->vocab_size : (tokenizer_size + 127) / 128 * 128;
  if (c->vocab_size < tokenizer_size) {
    if (key) *key = "vocab_size";
    return CZ_FAIL(CZ_EUSAGE, "%s%lld is smaller than the tokenizer's %lld",
                   key ? "" : "vocab_size: ", (long long)c->vocab_size, (long long)tokenizer_size);
  }
  return cz_model_config_check(c, key) == CZ_OK ? CZ_OK
                                                : CZ_FAIL(CZ_EUSAGE, "%s", cz_error_message());
}

/** Binds one section of the stage's configuration; a section that is not there takes its
 * defaults, or complains about the first key without one. */
cz_status cz_recipe_section(const cz_recipe *recipe, const cz_section *section, void *out) {
  return cz_config_bind(cz_config_get(recipe->node, section->name), section, out, NULL);
}

/** Reads what every stage has, the seed, and nothing else. NODE and DEVICE are borrowed,
 * DEVICE may be null. */
cz_status cz_recipe_begin(cz_recipe *recipe, const cz_config_node *node, cz_device *device) {
  const cz_config_node *n;
  int64_t seed;
  *recipe = (cz_recipe){.node = node, .device = device};
  CZ_TRY(cz_config_need(&n, node, "seed"));
  CZ_TRY(cz_config_int(&seed, n, 0, 4503599627370496.0));
  recipe->seed = (uint64_t)seed;
  return CZ_OK;
}

/** Reads the path of the tokenizer, of a recipe that was begun; opens nothing. */
cz_status cz_recipe_bind_tokenizer(cz_recipe *recipe) {
  const cz_config_node *n;
  CZ_TRY(cz_config_need(&n, recipe->node, "tokenizer"));
  return cz_config_text(&recipe->tokenizer_path, n);
}

/** Reads the keys of the model and the folder `init`, of a recipe that was begun; opens
 * nothing. */
cz_status cz_recipe_bind_model(cz_recipe *recipe) {
  const cz_config_node *n = cz_config_get(recipe->node, "init");
  if (n) CZ_TRY(cz_config_text(&recipe->init, n));
  if (recipe->init && !*recipe->init) recipe->init = NULL;
  return cz_recipe_section(recipe, &cz_model_section, &recipe->model);
}

/** Opens the tokenizer of a bound stage. Close with cz_recipe_close, also after a failure. */
cz_status cz_recipe_open_tokenizer(cz_recipe *s) {
  CZ_TRY(cz_tokenizer_open(&s->tokenizer, s->tokenizer_path));
  cz_vocabulary_of(&s->vocabulary, s->tokenizer);
  return CZ_OK;
}

/** Opens what a stage with a model needs: seed, keys of the model, and the tokenizer. NODE and
 * DEVICE are borrowed. Close with cz_recipe_close, also after a failure. */
cz_status cz_recipe_open(cz_recipe *recipe, const cz_config_node *node, cz_device *device) {
  CZ_TRY(cz_recipe_begin(recipe, node, device));
  CZ_TRY(cz_recipe_bind_tokenizer(recipe));
  CZ_TRY(cz_recipe_bind_model(recipe));
  return cz_recipe_open_tokenizer(recipe);
}

/* A vocabulary as large as model.vocab_size, else T5's, with T5's special tokens. */
static cz_status assume_vocabulary(cz_recipe *s) {
  int64_t size = s->model.vocab_size ? s->model.vocab_size : CZ_T5_VOCABULARY;
  return CZ_AT(cz_config_get(s->node, "model"), cz_vocabulary_like_t5(&s->vocabulary, size));
}

/** Opens the tokenizer of a bound stage; when its file is not there the stage gets a
 * vocabulary like T5's and no tokenizer. For looking only. Close with cz_recipe_close,
 * also after a failure. */
cz_status cz_recipe_open_if_present(cz_recipe *s) {
  return cz_fs_exists(s->tokenizer_path) ? cz_recipe_open_tokenizer(s) : assume_vocabulary(s);
}

/** Opens the corpus that NODE names, which must be of the stage's tokenizer; the caller
 * closes it. Errors as cz_reader_open. */
cz_status cz_recipe_corpus(cz_reader **reader, const cz_recipe *recipe,
                           const cz_config_node *node) {
  const char *path;
  uint64_t hash = cz_tokenizer_get_facts(recipe->tokenizer)->hash;
  *reader = NULL;
  CZ_TRY(cz_config_text(&path, node));
  return cz_reader_open(reader, path, &hash);
}

/** Closes what cz_recipe_open opened. */
void cz_recipe_close(cz_recipe *recipe) { cz_tokenizer_destroy(&recipe->tokenizer); }

/* The whole numbers of two configurations that decide about shapes and positions, under the
 * names of cz_facts. */
static cz_status same_sizes(const cz_model_config *a, const cz_model_config *b, const char *where) {
  for (int i = 0; i < CZ_FACT_PAD_ID; i++) {
    const cz_fact_row *fact = &cz_facts[i];
    if (fact->kind != CZ_FACT_INT) continue;
    int64_t have = *(const int64_t *)((const char *)a + fact->at),
            want = *(const int64_t *)((const char *)b + fact->at);
    if (have != want)
      return CZ_FAIL(CZ_EUSAGE, "%s: the model there has %s %lld, the recipe's has %lld", where,
                     fact->name, (long long)have, (long long)want);
  }
  return CZ_OK;
}

/** A model to start from must be the model that the recipe describes, or the recipe lies:
 * CZ_EUSAGE with WHERE, the first fact that differs, and both values. What a family fixes
 * (norms, positions, biases) differs when the family does. */
cz_status cz_recipe_same_model(const cz_model_config *a, const cz_model_config *b,
                               const char *where) {
  static const char *const no_yes[] = {"no", "yes"};
  const struct {
    const char *key;
    const char *have, *want;
  } facts[] = {
      {"the architecture", cz_architecture_names[a->family->architecture],
       cz_architecture_names[b->family->architecture]},
      {"a gated feed-forward:", no_yes[a->gated], no_yes[b->gated]},
      {"the activation", cz_activation_names[a->activation], cz_activation_names[b->activation]},
      {"an output tied to the embedding:", no_yes[a->tied], no_yes[b->tied]},
      {"a scaled output:", no_yes[a->scaled], no_yes[b->scaled]},
      {"the family", a->family->name, b->family->name}};
  for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
    if (i == 1) CZ_TRY(same_sizes(a, b, where));
    if (strcmp(facts[i].have, facts[i].want))
      return CZ_FAIL(CZ_EUSAGE, "%s: the model there (%s) has %s %s, the recipe's (%s) has %s",
                     where, a->family->name, facts[i].key, facts[i].have, b->family->name,
                     facts[i].want);
  }
  return CZ_OK;
}

/** Refuses, with CZ_EUSAGE that says what a model's folder has, a FOLDER that is none. */
cz_status cz_recipe_model_folder(const char *folder) {
  static const char *const inside[] = {"model", "student"}; /* of a stage, of cloze pet */
  const char *there = NULL;
  char path[4096], file[4096];
  CZ_TRY(cz_fs_join(path, sizeof path, folder, "config.json"));
  if (cz_fs_exists(path)) return CZ_OK;
  for (size_t i = 0; i < sizeof inside / sizeof *inside && !there; i++) {
    CZ_TRY(cz_fs_join(path, sizeof path, folder, inside[i]));
    CZ_TRY(cz_fs_join(file, sizeof file, path, "config.json"));
    if (cz_fs_exists(file)) there = inside[i];
  }
  return CZ_FAIL(
      CZ_EUSAGE,
      "%s %s: a model's folder has config.json, model.safetensors and tokenizer.json%s%s%s%s%s",
      folder,
      cz_fs_is_dir(folder)   ? "is no model's folder"
      : cz_fs_exists(folder) ? "is no folder"
                             : "is not there",
      there ? "; did you mean " : "", there ? folder : "", there ? "/" : "", there ? there : "",
      there ? "?" : "");
}

/** Refuses, with CZ_EINVAL, a model of CONFIG that has no row for some id of the tokenizer T, both
 * of FOLDER: the two do not belong together. */
cz_status cz_recipe_ids_fit(const cz_tokenizer *t, const cz_model_config *config,
                            const char *folder) {
  const int64_t size = cz_tokenizer_get_facts(t)->size;
  if (size <= config->vocab_size) return CZ_OK;
  return CZ_FAIL(CZ_EINVAL,
                 "%s: the tokenizer has %lld ids, but the model's embedding has only %lld rows "
                 "(vocab_size)",
                 folder, (long long)size, (long long)config->vocab_size);
}

/* Ids mean what the tokenizer that the model was trained with says. A folder without
 * tokenizer.json can't be checked. */
static cz_status check_tokenizer(const cz_recipe *recipe) {
  char path[4096];
  cz_tokenizer *theirs;
  CZ_TRY(cz_fs_join(path, sizeof path, recipe->init, "tokenizer.json"));
  if (!cz_fs_exists(path)) return CZ_OK;
  CZ_TRY(cz_tokenizer_open(&theirs, path));
  bool same =
      cz_tokenizer_get_facts(theirs)->hash == cz_tokenizer_get_facts(recipe->tokenizer)->hash;
  cz_tokenizer_destroy(&theirs);
  return same ? CZ_OK
              : CZ_FAIL(CZ_EUSAGE,
                        "%s and %s differ: the model in `init` was trained with another tokenizer",
                        recipe->tokenizer_path, path);
}

/* The weights are there and whole as far as their headers and sizes tell. */
static cz_status check_weights(const char *folder) {
  cz_safetensors *weights;
  CZ_TRY(cz_safetensors_open_model(&weights, folder));
  cz_safetensors_close(&weights);
  return CZ_OK;
}

/* The last refusal, made to point at KEY of the section `model`, or at what stands around
 * it when the recipe does not give that key. */
static cz_status blame_model(const cz_config_node *node, const char *key) {
  const cz_config_node *section = cz_config_get(node, "model"),
                       *value = cz_config_get(section, key);
  if (value) return cz_config_error(value, "%s", cz_error_message());
  return cz_config_error(section ? section : node, "%s: %s", key, cz_error_message());
}

/** The configuration of the recipe's model; CZ_EUSAGE with the place in the file when it
 * can't be. */
cz_status cz_recipe_model_config(cz_model_config *config, const cz_recipe *recipe) {
  const char *key;
  if (cz_model_keys_config(config, &recipe->model, recipe->vocabulary.size, &key) != CZ_OK)
    return blame_model(recipe->node, key);
  config->heads |= recipe->heads;
  const bool text_to_text = config->family->defaults.start_id >= 0;
  if (text_to_text && recipe->vocabulary.eos < 0)
    return cz_config_error(cz_config_get(recipe->node, "tokenizer"),
                           "this tokenizer names no end-of-sequence token, which ends the inputs "
                           "and targets of a text-to-text model");
  if (text_to_text) {
    config->pad_id = recipe->vocabulary.pad >= 0 ? recipe->vocabulary.pad : 0;
    config->start_id = config->pad_id;
    config->eos_id = recipe->vocabulary.eos;
  } else if (recipe->vocabulary.pad >= 0) {
    config->pad_id = recipe->vocabulary.pad;
  }
  return CZ_OK;
}

/** Checks, without its weights, that the model in the folder `init` of the stage is the
 * one that its recipe describes. */
cz_status cz_recipe_check_init(const cz_recipe *recipe) {
  cz_model_config there, wanted;
  CZ_TRY(CZ_AT(cz_config_get(recipe->node, "init"), cz_recipe_model_folder(recipe->init)));
  CZ_TRY(cz_hf_config_of(&there, recipe->init));
  CZ_TRY(check_weights(recipe->init));
  if (recipe->tokenizer) CZ_TRY(check_tokenizer(recipe));
  CZ_TRY(cz_recipe_model_config(&wanted, recipe));
  if (!recipe->tokenizer && !recipe->model.vocab_size) wanted.vocab_size = there.vocab_size;
  wanted.tied = there.tied; /* the weights decide */
  return cz_recipe_same_model(&there, &wanted, recipe->init);
}

/** ST; where the memory of a device did not hold a model, with what makes that less. */
cz_status cz_recipe_note_memory(cz_status st) {
  return st == CZ_ENOMEM ? CZ_NOTE(st, "a smaller model wants less: model.d_model, model.d_ff, "
                                       "model.num_layers, or another one as init")
                         : st;
}

static cz_status make_model(cz_model **model, const cz_recipe *recipe) {
  cz_model_config config;
  CZ_TRY(cz_recipe_model_config(&config, recipe));
  if (recipe->init) {
    CZ_TRY(cz_recipe_model_folder(recipe->init));
    CZ_TRY(check_tokenizer(recipe));
    const cz_hf_options wanted = {.heads = config.heads, .seed = recipe->seed};
    CZ_TRY(cz_hf_open_with(model, recipe->init, recipe->device, &wanted));
    cz_status st = cz_recipe_same_model(&(*model)->config, &config, recipe->init);
    if (st != CZ_OK)
      cz_model_destroy(model);
    else
      cz_model_take_dropout(*model, &config);
    return st;
  }
  CZ_TRY(cz_model_create(model, &config, recipe->device));
  cz_status st = cz_params_init((*model)->params, recipe->seed);
  if (st != CZ_OK) cz_model_destroy(model);
  return st;
}

/** The stage's model: from the folder `init`, or drawn from the seed. The caller destroys
 * it. */
cz_status cz_recipe_model(cz_model **model, const cz_recipe *recipe) {
  return cz_recipe_note_memory(make_model(model, recipe));
}

/** The stage's objective, from its section `objective`: {name: ..., keys of that
 * objective}. */
cz_status cz_recipe_objective(cz_objective *objective, const cz_recipe *recipe) {
  static const char *const others[] = {"name", NULL};
  const cz_config_node *section, *n;
  const cz_objective_row *row;
  const char *name;
  cz_objective_config config = {0};
  CZ_TRY(cz_config_need(&section, recipe->node, "objective"));
  CZ_TRY(cz_config_need(&n, section, "name"));
  CZ_TRY(cz_config_text(&name, n));
  CZ_TRY(CZ_AT(n, cz_objective_find(&row, name)));
  cz_status st = cz_config_bind(section, &row->section, &config, others);
  if (st != CZ_OK)
    return CZ_NOTE(st, "objective %s; `cloze objective %s --keys` lists what it has", name, name);
  config.seed = recipe->seed;
  return CZ_AT(section, cz_objective_init(objective, row, &config, &recipe->vocabulary));
}
