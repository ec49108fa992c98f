#include "nn/model.h"
#include "base/nearest.h"
#include "graph/graph.h"
#include "graph/ops.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { T5, T5_V1_1, LM, PREFIX_LM, N_FAMILIES };

static const cz_family families[N_FAMILIES] = {
    [T5] = {"t5", "T5 v1.0: ReLU, output tied to the embedding", CZ_ENCODER_DECODER,
            CZ_ACTIVATION_RELU, false, true, true, "T5ForConditionalGeneration", cz_t5_declare},
    [T5_V1_1] = {"t5-v1_1", "T5 v1.1: gated GELU, output of its own", CZ_ENCODER_DECODER,
                 CZ_ACTIVATION_GELU_TANH, true, false, false, "T5ForConditionalGeneration",
                 cz_t5_declare},
    [LM] = {"lm", "T5's language model: one causal stack", CZ_LANGUAGE_MODEL, CZ_ACTIVATION_RELU,
            false, true, true, "ClozeT5LanguageModel", cz_t5_declare},
    [PREFIX_LM] = {"prefix-lm", "T5's prefix language model: one stack, inputs fully visible",
                   CZ_PREFIX_LM, CZ_ACTIVATION_RELU, false, true, true,
                   "ClozeT5PrefixLanguageModel", cz_t5_declare},
};

typedef struct size_row {
  const char *name;  /* behind the family's: "t5-small" */
  uint32_t families; /* that have this size */
  int64_t layers, d_model, d_ff, heads, d_kv;
} size_row;

/* Raffel et al. 2020, section 3.7, and the published v1.1 configurations (docs/t5.md
 * 1.4); nano and mini are this project's. */
enum { V1_0 = 1 << T5, STACKS = 1 << LM | 1 << PREFIX_LM, V1_1 = 1 << T5_V1_1 };
static const size_row sizes[] = {
    {"nano", V1_0 | STACKS, 2, 128, 512, 4, 32},
    {"mini", V1_0 | STACKS, 3, 192, 768, 6, 32},
    {"small", V1_0 | STACKS, 6, 512, 2048, 8, 64},
    {"base", V1_0 | STACKS, 12, 768, 3072, 12, 64},
    {"large", V1_0 | STACKS, 24, 1024, 4096, 16, 64},
    {"3b", V1_0, 24, 1024, 16384, 32, 128},
    {"11b", V1_0, 24, 1024, 65536, 128, 128},
    {"nano", V1_1, 2, 128, 320, 4, 32},
    {"mini", V1_1, 3, 192, 512, 6, 32},
    {"small", V1_1, 8, 512, 1024, 6, 64},
    {"base", V1_1, 12, 768, 2048, 12, 64},
    {"large", V1_1, 24, 1024, 2816, 16, 64},
    {"xl", V1_1, 24, 2048, 5120, 32, 64},
    {"xxl", V1_1, 24, 4096, 10240, 64, 64},
};
enum { N_SIZES = sizeof sizes / sizeof *sizes, MOST_NAMES = N_SIZES * N_FAMILIES, NAME_BYTES = 32 };

/* All names, FAMILY-SIZE, made when asked for, by the main thread. */
static char all_names[MOST_NAMES][NAME_BYTES];
static int name_family[MOST_NAMES], name_size[MOST_NAMES];

static size_t make_names(void) {
  size_t n = 0;
  for (int f = 0; f < N_FAMILIES; f++)
    for (int s = 0; s < N_SIZES; s++)
      if (sizes[s].families >> f & 1) {
        snprintf(all_names[n], NAME_BYTES, "%s-%s", families[f].name, sizes[s].name);
        name_family[n] = f;
        name_size[n++] = s;
      }
  return n;
}

/** Copies at most N names of known models (static) and returns how many there are. */
size_t cz_model_names(const char **names, size_t n) {
  size_t all = make_names();
  for (size_t i = 0; i < all && i < n; i++) names[i] = all_names[i];
  return all;
}

/** The family called NAME. CZ_EUSAGE with the nearest spelling when there is none.
 * *FAMILY is static. */
cz_status cz_family_find(const cz_family **family, const char *name) {
  const char *names[N_FAMILIES];
  size_t i;
  for (i = 0; i < N_FAMILIES; i++) names[i] = families[i].name;
  CZ_TRY(cz_find_name(&i, "model family", name, names, N_FAMILIES));
  *family = &families[i];
  return CZ_OK;
}

/** Fills CONFIG with a known model's sizes (t5-small, t5-v1_1-base, lm-base, ...) and the
 * family's defaults; vocabulary 32,128, dropout 0.1. CZ_EUSAGE with the nearest spelling
 * for another name. */
cz_status cz_model_config_named(cz_model_config *config, const char *name) {
  const char *names[MOST_NAMES];
  size_t n = cz_model_names(names, MOST_NAMES);
  size_t i;
  CZ_TRY(cz_find_name(&i, "model", name, names, n));
  const size_row *s = &sizes[name_size[i]];
  const cz_family *f = &families[name_family[i]];
  *config = (cz_model_config){.family = f,
                              .vocab_size = 32128,
                              .d_model = s->d_model,
                              .d_kv = s->d_kv,
                              .d_ff = s->d_ff,
                              .n_layers = s->layers,
                              .n_decoder_layers = s->layers,
                              .n_heads = s->heads,
                              .buckets = 32,
                              .max_distance = 128,
                              .dropout = 0.1,
                              .norm_eps = 1e-6,
                              .init_factor = 1,
                              .gated = f->gated,
                              .tied = f->tied,
                              .scaled = f->scaled,
                              .activation = f->activation,
                              .pad_id = 0,
                              .eos_id = 1,
                              .start_id = 0};
  return CZ_OK;
}

static cz_status refuse(const char **key, const char *name, const char *format, ...)
    CZ_PRINTF(3, 4);

/* Says which size is wrong: in *KEY when the caller has a place for it, else in the message. */
static cz_status refuse(const char **key, const char *name, const char *format, ...) {
  char text[256];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  if (key) *key = name;
  return key ? CZ_FAIL(CZ_EINVAL, "%s", text) : CZ_FAIL(CZ_EINVAL, "%s: %s", name, text);
}

/** Refuses sizes that no model can have (CZ_EINVAL). *KEY becomes the name of the one that is
 * wrong, as a config.json spells it, and the message is about its value alone; KEY null: the
 * message names both. */
cz_status cz_model_config_check(const cz_model_config *c, const char **key) {
  const struct {
    const char *key;
    int64_t value;
  } positive[] = {{"vocab_size", c->vocab_size},
                  {"d_model", c->d_model},
                  {"d_kv", c->d_kv},
                  {"d_ff", c->d_ff},
                  {"num_layers", c->n_layers},
                  {"num_heads", c->n_heads},
                  {"num_decoder_layers", c->n_decoder_layers}};
  for (size_t i = 0; i < sizeof positive / sizeof *positive; i++)
    if (positive[i].value < 1 || positive[i].value > (1 << 24))
      return refuse(key, positive[i].key, "%lld is not between 1 and 2^24",
                    (long long)positive[i].value);
  bool halved = c->family->architecture != CZ_LANGUAGE_MODEL; /* two directions share the buckets */
  int64_t exact = c->buckets / (halved ? 2 : 1) / 2;
  if (c->buckets < 4 || c->buckets % 4)
    return refuse(key, "relative_attention_num_buckets", "%lld is not a multiple of 4",
                  (long long)c->buckets);
  if (c->max_distance <= c->buckets / 2)
    return refuse(key, "relative_attention_max_distance",
                  "%lld must be larger than half the buckets, %lld", (long long)c->max_distance,
                  (long long)c->buckets / 2);
  CZ_CHECK(exact > 0);
  if (!(c->dropout >= 0 && c->dropout < 1))
    return refuse(key, "dropout_rate", "%g is not in [0, 1)", c->dropout);
  if (!(c->norm_eps > 0))
    return refuse(key, "layer_norm_epsilon", "%g is not positive", c->norm_eps);
  const struct {
    const char *key;
    int64_t value;
  } ids[] = {{"pad_token_id", c->pad_id},
             {"eos_token_id", c->eos_id},
             {"decoder_start_token_id", c->start_id}};
  for (int i = 0; i < 3; i++)
    if (ids[i].value < 0 || ids[i].value >= c->vocab_size)
      return refuse(key, ids[i].key, "id %lld is outside the vocabulary of %lld",
                    (long long)ids[i].value, (long long)c->vocab_size);
  return CZ_OK;
}

/** Creates a model on DEVICE (borrowed): parameters declared and allocated, all zero
 * until cz_params_init or a checkpoint fills them. */
cz_status cz_model_create(cz_model **model, const cz_model_config *config, cz_device *device) {
  *model = NULL;
  CZ_TRY(cz_model_config_check(config, NULL));
  CZ_TRY(cz_alloc(model, 1, sizeof **model));
  cz_model *m = *model;
  m->config = *config;
  m->device = device;
  cz_status st;
  CZ_GO(st, cz_params_create(&m->params, device), fail);
  CZ_GO(st, cz_arena_create(&m->arena, "model"), fail);
  CZ_GO(st, config->family->declare(m), fail);
  CZ_GO(st, cz_params_allocate(m->params), fail);
  return CZ_OK;
fail:
  cz_model_destroy(model);
  return st;
}

/** Frees the model and its parameters; clears the pointer, accepts null. */
void cz_model_destroy(cz_model **model) {
  if (!*model) return;
  cz_params_destroy(&(*model)->params);
  cz_arena_destroy(&(*model)->arena);
  free(*model);
  *model = NULL;
}

/** Number of parameters of a configuration, without making the model. */
int64_t cz_model_count(const cz_model_config *c) {
  int64_t inner = c->n_heads * c->d_kv, attention = 4 * c->d_model * inner + c->d_model;
  int64_t ffn = (c->gated ? 3 : 2) * c->d_model * c->d_ff + c->d_model,
          stack = c->d_model + c->buckets * c->n_heads;
  int64_t n = c->vocab_size * c->d_model * (c->tied ? 1 : 2);
  if (c->family->architecture != CZ_ENCODER_DECODER)
    return n + c->n_layers * (attention + ffn) + stack;
  return n + c->n_layers * (attention + ffn) + c->n_decoder_layers * (2 * attention + ffn) +
         2 * stack;
}
