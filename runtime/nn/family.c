#include "nn/family.h"
#include "base/nearest.h"
#include "graph/ops.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define CZ_FAMILY(name) extern const cz_family cz_family_##name;
#include "nn/models/families.def"
#undef CZ_FAMILY

static const cz_family *const families[] = {
#define CZ_FAMILY(name) &cz_family_##name,
#include "nn/models/families.def"
#undef CZ_FAMILY
};
enum { N_FAMILIES = sizeof families / sizeof *families, MAX_NAMES = 128, NAME_BYTES = 32 };

const char *const cz_architecture_names[CZ_ARCHITECTURES] = {
    [CZ_ENCODER_DECODER] = "encoder-decoder",
    [CZ_LANGUAGE_MODEL] = "language model",
    [CZ_PREFIX_LM] = "prefix language model"};

#define INT(member)  .kind = CZ_FACT_INT, .at = offsetof(cz_model_config, member)
#define REAL(member) .kind = CZ_FACT_REAL, .at = offsetof(cz_model_config, member)
#define BOOL(member) .kind = CZ_FACT_BOOL, .at = offsetof(cz_model_config, member)
/* Limits that no known model comes near; products of any two fit 64 bits many times over. */
enum {
  MAX_VOCABULARY = 1 << 24,
  MAX_WIDTH = 1 << 20,
  MAX_LAYERS = 1 << 10,
  MAX_HEADS = 1 << 14,
  MAX_DISTANCE = 1 << 20
};
const cz_fact_row cz_facts[CZ_FACTS] = {
    [CZ_FACT_VOCAB_SIZE] = {"vocab_size", INT(vocab_size), .min = 1, .max = MAX_VOCABULARY},
    [CZ_FACT_D_MODEL] = {"d_model", INT(d_model), .min = 1, .max = MAX_WIDTH},
    [CZ_FACT_D_KV] = {"d_kv", INT(d_kv), .min = 1, .max = MAX_WIDTH},
    [CZ_FACT_D_FF] = {"d_ff", INT(d_ff), .min = 1, .max = MAX_WIDTH},
    [CZ_FACT_N_LAYERS] = {"num_layers", INT(n_layers), .min = 1, .max = MAX_LAYERS},
    [CZ_FACT_N_DECODER_LAYERS] = {"num_decoder_layers", INT(n_decoder_layers), .min = 1,
                                  .max = MAX_LAYERS},
    [CZ_FACT_N_HEADS] = {"num_heads", INT(n_heads), .min = 1, .max = MAX_HEADS},
    [CZ_FACT_BUCKETS] = {"relative_attention_num_buckets", INT(buckets), .min = 4,
                         .max = MAX_DISTANCE},
    [CZ_FACT_MAX_DISTANCE] = {"relative_attention_max_distance", INT(max_distance), .min = 1,
                              .max = MAX_DISTANCE},
    [CZ_FACT_N_POSITIONS] = {"n_positions", INT(n_positions), .min = 1, .max = MAX_DISTANCE},
    [CZ_FACT_DROPOUT] = {"dropout_rate", REAL(dropout)},
    [CZ_FACT_NORM_EPS] = {"layer_norm_epsilon", REAL(norm_eps)},
    [CZ_FACT_INIT_FACTOR] = {"initializer_factor", REAL(init_factor)},
    [CZ_FACT_ACTIVATION] = {"feed_forward_proj", .kind = CZ_FACT_NAME},
    [CZ_FACT_TIED] = {"tie_word_embeddings", BOOL(tied)},
    [CZ_FACT_SCALED] = {"scale_decoder_outputs", BOOL(scaled)},
    [CZ_FACT_PAD_ID] = {"pad_token_id", INT(pad_id), .min = 0, .max = MAX_VOCABULARY},
    [CZ_FACT_EOS_ID] = {"eos_token_id", INT(eos_id), .min = 0, .max = MAX_VOCABULARY},
    [CZ_FACT_START_ID] = {"decoder_start_token_id", INT(start_id), .min = 0, .max = MAX_VOCABULARY},
};

/** The family of number I, null behind the last. Static. */
const cz_family *cz_family_at(size_t i) { return i < N_FAMILIES ? families[i] : NULL; }

/* All names, FAMILY-SIZE, made when asked for, by the main thread. */
typedef struct named {
  char name[NAME_BYTES];
  const cz_family *family;
  const cz_model_size *size;
} named;

static named all[MAX_NAMES];

static size_t make_names(void) {
  size_t n = 0;
  for (int f = 0; f < N_FAMILIES; f++)
    for (const cz_model_size *s = families[f]->sizes; s && s->name; s++) {
      CZ_CHECK(n < MAX_NAMES);
      all[n].family = families[f], all[n].size = s;
      snprintf(all[n++].name, NAME_BYTES, "%s-%s", families[f]->name, s->name);
    }
  return n;
}

/** Copies at most N names of known models (static) and returns how many there are. */
size_t cz_model_names(const char **names, size_t n) {
  size_t have = make_names();
  for (size_t i = 0; i < have && i < n; i++) names[i] = all[i].name;
  return have;
}

/** The family called NAME. CZ_EUSAGE with the nearest spelling when there is none.
 * *FAMILY is static. */
cz_status cz_family_find(const cz_family **family, const char *name) {
  const char *names[N_FAMILIES];
  size_t i;
  for (i = 0; i < N_FAMILIES; i++) names[i] = families[i]->name;
  CZ_TRY(cz_find_name(&i, "model family", name, names, N_FAMILIES));
  *family = families[i];
  return CZ_OK;
}

/** Fills CONFIG with a known model's sizes (t5-small, t5-v1_1-base, lm-base, ...) and the
 * family's defaults. CZ_EUSAGE with the nearest spelling for another name. */
cz_status cz_model_config_named(cz_model_config *config, const char *name) {
  const char *names[MAX_NAMES];
  size_t n = cz_model_names(names, MAX_NAMES), i;
  CZ_TRY(cz_find_name(&i, "model", name, names, n));
  const cz_model_size *s = all[i].size;
  *config = all[i].family->defaults;
  config->family = all[i].family;
  config->d_model = s->d_model;
  config->d_kv = s->d_kv;
  config->d_ff = s->d_ff;
  config->n_layers = config->n_decoder_layers = s->layers;
  config->n_heads = s->heads;
  return CZ_OK;
}

/* Facts about a kind of positions that the family does not have are not looked at. */
static bool is_used(const cz_family *f, cz_fact fact) {
  if (fact == CZ_FACT_BUCKETS || fact == CZ_FACT_MAX_DISTANCE)
    return f->positions == CZ_POSITIONS_BUCKETS;
  return fact != CZ_FACT_N_POSITIONS || f->positions == CZ_POSITIONS_LEARNED;
}

static cz_status check_range(const cz_model_config *c, cz_fact fact, const char **key) {
  const cz_fact_row *row = &cz_facts[fact];
  if (row->kind != CZ_FACT_INT || !is_used(c->family, fact)) return CZ_OK;
  int64_t value = *(const int64_t *)((const char *)c + row->at);
  *key = row->name;
  if (value >= row->min && value <= row->max) return CZ_OK;
  return CZ_FAIL(CZ_EINVAL, "%lld is not between %lld and %lld", (long long)value,
                 (long long)row->min, (long long)row->max);
}

/* Buckets: half are exact distances, and two directions share them. */
static cz_status check_buckets(const cz_model_config *c, const char **key) {
  *key = cz_facts[CZ_FACT_BUCKETS].name;
  if (c->buckets % 4)
    return CZ_FAIL(CZ_EINVAL, "%lld is not a multiple of 4", (long long)c->buckets);
  *key = cz_facts[CZ_FACT_MAX_DISTANCE].name;
  if (c->max_distance <= c->buckets / 2)
    return CZ_FAIL(CZ_EINVAL, "%lld must be larger than half the buckets, %lld",
                   (long long)c->max_distance, (long long)c->buckets / 2);
  return CZ_OK;
}

static cz_status check_ids(const cz_model_config *c, const char **key) {
  const cz_fact facts[] = {CZ_FACT_PAD_ID, CZ_FACT_EOS_ID, CZ_FACT_START_ID};
  const int64_t ids[] = {c->pad_id, c->eos_id, c->start_id};
  for (int i = 0; i < 3; i++) {
    *key = cz_facts[facts[i]].name;
    if (ids[i] < 0 || ids[i] >= c->vocab_size)
      return CZ_FAIL(CZ_EINVAL, "special id %lld is outside the vocabulary of %lld",
                     (long long)ids[i], (long long)c->vocab_size);
  }
  return CZ_OK;
}

static cz_status check(const cz_model_config *c, const char **key) {
  for (int fact = 0; fact < CZ_FACT_PAD_ID; fact++) CZ_TRY(check_range(c, (cz_fact)fact, key));
  if (c->family->positions == CZ_POSITIONS_BUCKETS) CZ_TRY(check_buckets(c, key));
  *key = cz_facts[CZ_FACT_N_HEADS].name;
  if (c->n_heads * c->d_kv > MAX_WIDTH)
    return CZ_FAIL(CZ_EINVAL, "%lld heads of %lld are more than %d wide", (long long)c->n_heads,
                   (long long)c->d_kv, MAX_WIDTH);
  *key = cz_facts[CZ_FACT_DROPOUT].name;
  if (!(c->dropout >= 0 && c->dropout < 1))
    return CZ_FAIL(CZ_EINVAL, "%g is not in [0, 1)", c->dropout);
  *key = cz_facts[CZ_FACT_NORM_EPS].name;
  if (!(c->norm_eps > 0 && isfinite(c->norm_eps)))
    return CZ_FAIL(CZ_EINVAL, "%g is not positive and finite", c->norm_eps);
  *key = cz_facts[CZ_FACT_INIT_FACTOR].name;
  if (!(c->init_factor > 0 && isfinite(c->init_factor)))
    return CZ_FAIL(CZ_EINVAL, "%g is not positive and finite", c->init_factor);
  return check_ids(c, key);
}

/** Refuses values that no model can have (CZ_EINVAL). *KEY becomes the name of the fact that
 * is wrong, as in cz_facts, static, and the message is about its value alone; KEY null: the
 * message names both. */
cz_status cz_model_config_check(const cz_model_config *c, const char **key) {
  const char *name;
  cz_status st = check(c, key ? key : &name);
  return st == CZ_OK || key ? st : CZ_FAIL(st, "%s: %s", name, cz_error_message());
}

/** The first row of the family's weight map for SLOT, or null. */
const cz_weight *cz_family_weight(const cz_family *f, cz_slot slot) {
  for (const cz_weight *w = f->weights; w->tensor; w++)
    if (w->slot == slot) return w;
  return NULL;
}
