#include "nn/model.h"
#include "base/text.h"
#include "graph/graph.h"
#include "graph/ops.h"

#include <stdlib.h>
#include <string.h>

static const cz_family families[] = {
    {"t5", "T5 v1.0: ReLU, output tied to the embedding", CZ_ENCODER_DECODER, CZ_ACTIVATION_RELU, false, true, true, "T5ForConditionalGeneration"},
    {"t5-v1_1", "T5 v1.1: gated GELU, output of its own", CZ_ENCODER_DECODER, CZ_ACTIVATION_GELU_TANH, true, false, false, "T5ForConditionalGeneration"},
    {"lm", "T5's language model: one causal stack", CZ_LANGUAGE_MODEL, CZ_ACTIVATION_RELU, false, true, true, "ClozeT5LanguageModel"},
    {"prefix-lm", "T5's prefix language model: one stack, inputs fully visible", CZ_PREFIX_LM, CZ_ACTIVATION_RELU, false, true, true,
     "ClozeT5PrefixLanguageModel"},
};
enum { N_FAMILIES = sizeof families / sizeof *families };

typedef struct size_row {
  const char *name;
  int family;
  int64_t layers, d_model, d_ff, heads, d_kv;
} size_row;

/* Raffel et al. 2020, section 3.7, and the published v1.1 configurations (reference t5.md 1.4); nano and mini are this project's. */
static const size_row sizes[] = {
    {"t5-nano", 0, 2, 128, 512, 4, 32},      {"t5-mini", 0, 3, 192, 768, 6, 32},        {"t5-small", 0, 6, 512, 2048, 8, 64},
    {"t5-base", 0, 12, 768, 3072, 12, 64},   {"t5-large", 0, 24, 1024, 4096, 16, 64},   {"t5-3b", 0, 24, 1024, 16384, 32, 128},
    {"t5-11b", 0, 24, 1024, 65536, 128, 128},
    {"t5-v1_1-nano", 1, 2, 128, 320, 4, 32}, {"t5-v1_1-mini", 1, 3, 192, 512, 6, 32},   {"t5-v1_1-small", 1, 8, 512, 1024, 6, 64},
    {"t5-v1_1-base", 1, 12, 768, 2048, 12, 64}, {"t5-v1_1-large", 1, 24, 1024, 2816, 16, 64}, {"t5-v1_1-xl", 1, 24, 2048, 5120, 32, 64},
    {"t5-v1_1-xxl", 1, 24, 4096, 10240, 64, 64},
    {"lm-nano", 2, 2, 128, 512, 4, 32},      {"lm-mini", 2, 3, 192, 768, 6, 32},        {"lm-small", 2, 6, 512, 2048, 8, 64},
    {"lm-base", 2, 12, 768, 3072, 12, 64},   {"lm-large", 2, 24, 1024, 4096, 16, 64},
    {"prefix-lm-nano", 3, 2, 128, 512, 4, 32}, {"prefix-lm-mini", 3, 3, 192, 768, 6, 32}, {"prefix-lm-small", 3, 6, 512, 2048, 8, 64},
    {"prefix-lm-base", 3, 12, 768, 3072, 12, 64}, {"prefix-lm-large", 3, 24, 1024, 4096, 16, 64},
};
enum { N_SIZES = sizeof sizes / sizeof *sizes };

/** Copies at most N names of known models (borrowed) and returns how many there are. */
size_t cz_model_names(const char **names, size_t n) {
  for (size_t i = 0; i < N_SIZES && i < n; i++) names[i] = sizes[i].name;
  return N_SIZES;
}

/** The family called NAME. CZ_EUSAGE with the nearest spelling when there is none. *FAMILY is static. */
cz_status cz_family_find(const cz_family **family, const char *name) {
  const char *names[N_FAMILIES];
  for (int i = 0; i < N_FAMILIES; i++) {
    names[i] = families[i].name;
    if (!strcmp(name, names[i])) return *family = &families[i], CZ_OK;
  }
  const char *near = cz_nearest(name, names, N_FAMILIES);
  return CZ_FAIL(CZ_EUSAGE, "no model family '%s'%s%s; there are t5, t5-v1_1, lm, prefix-lm", name, near ? "; did you mean " : "", near ? near : "");
}

/** Fills CONFIG with a known model's sizes (t5-small, t5-v1_1-base, lm-base, ...) and the family's defaults; vocabulary 32,128, dropout 0.1. CZ_EUSAGE
 * with the nearest spelling for another name. */
cz_status cz_model_config_named(cz_model_config *config, const char *name) {
  const char *names[N_SIZES];
  for (int i = 0; i < N_SIZES; i++) {
    const size_row *s = &sizes[i];
    const cz_family *f = &families[s->family];
    names[i] = s->name;
    if (strcmp(name, s->name)) continue;
    *config = (cz_model_config){.family = f, .vocab_size = 32128, .d_model = s->d_model, .d_kv = s->d_kv, .d_ff = s->d_ff, .n_layers = s->layers,
                                .n_decoder_layers = s->layers, .n_heads = s->heads, .buckets = 32, .max_distance = 128, .dropout = 0.1,
                                .norm_eps = 1e-6, .init_factor = 1, .gated = f->gated, .tied = f->tied, .scaled = f->scaled,
                                .activation = f->activation, .pad_id = 0, .eos_id = 1, .start_id = 0};
    return CZ_OK;
  }
  const char *near = cz_nearest(name, names, N_SIZES);
  return CZ_FAIL(CZ_EUSAGE, "no model '%s'%s%s (cloze list models)", name, near ? "; did you mean " : "", near ? near : "");
}

/** Refuses sizes that no model can have, with the key and the value (CZ_EINVAL). */
cz_status cz_model_config_check(const cz_model_config *c) {
  const struct {
    const char *key;
    int64_t value;
  } positive[] = {{"vocab_size", c->vocab_size}, {"d_model", c->d_model}, {"d_kv", c->d_kv},         {"d_ff", c->d_ff},
                  {"num_layers", c->n_layers},   {"num_heads", c->n_heads}, {"num_decoder_layers", c->n_decoder_layers}};
  for (size_t i = 0; i < sizeof positive / sizeof *positive; i++)
    if (positive[i].value < 1 || positive[i].value > (1 << 24))
      return CZ_FAIL(CZ_EINVAL, "model.%s: %lld is not between 1 and 2^24", positive[i].key, (long long)positive[i].value);
  bool halved = c->family->architecture != CZ_LANGUAGE_MODEL; /* two directions share the buckets */
  int64_t exact = c->buckets / (halved ? 2 : 1) / 2;
  if (c->buckets < 4 || c->buckets % 4) return CZ_FAIL(CZ_EINVAL, "model.relative_attention_num_buckets: %lld is not a multiple of 4", (long long)c->buckets);
  if (c->max_distance <= c->buckets / 2)
    return CZ_FAIL(CZ_EINVAL, "model.relative_attention_max_distance: %lld must be larger than half the buckets, %lld", (long long)c->max_distance,
                   (long long)c->buckets / 2);
  CZ_CHECK(exact > 0);
  if (!(c->dropout >= 0 && c->dropout < 1)) return CZ_FAIL(CZ_EINVAL, "model.dropout_rate: %g is not in [0, 1)", c->dropout);
  if (!(c->norm_eps > 0)) return CZ_FAIL(CZ_EINVAL, "model.layer_norm_epsilon: %g is not positive", c->norm_eps);
  const int64_t ids[] = {c->pad_id, c->eos_id, c->start_id};
  for (int i = 0; i < 3; i++)
    if (ids[i] < 0 || ids[i] >= c->vocab_size) return CZ_FAIL(CZ_EINVAL, "model: special id %lld is outside the vocabulary of %lld", (long long)ids[i], (long long)c->vocab_size);
  return CZ_OK;
}

/** Creates a model on DEVICE (borrowed): parameters declared and allocated, all zero until cz_params_init or a checkpoint fills them. */
cz_status cz_model_create(cz_model **model, const cz_model_config *config, cz_device *device) {
  *model = NULL;
  CZ_TRY(cz_model_config_check(config));
  CZ_TRY(cz_alloc(model, 1, sizeof **model));
  cz_model *m = *model;
  m->config = *config;
  m->device = device;
  cz_status st;
  CZ_GO(st, cz_params_create(&m->params, device), fail);
  CZ_GO(st, cz_arena_create(&m->arena, "model"), fail);
  CZ_GO(st, cz_t5_declare(m), fail);
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
  int64_t ffn = (c->gated ? 3 : 2) * c->d_model * c->d_ff + c->d_model, stack = c->d_model + c->buckets * c->n_heads;
  int64_t n = c->vocab_size * c->d_model * (c->tied ? 1 : 2);
  if (c->family->architecture != CZ_ENCODER_DECODER) return n + c->n_layers * (attention + ffn) + stack;
  return n + c->n_layers * (attention + ffn) + c->n_decoder_layers * (2 * attention + ffn) + 2 * stack;
}
