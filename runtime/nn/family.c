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
    [CZ_PREFIX_LM] = "prefix language model",
    [CZ_ENCODER] = "encoder"};

const char *const cz_head_names[CZ_HEADS] = {[CZ_HEAD_CAUSAL_LM] = "causal_lm",
                                             [CZ_HEAD_MASKED_LM] = "masked_lm",
                                             [CZ_HEAD_NEXT_SENTENCE] = "next_sentence",
                                             [CZ_HEAD_CLASSIFICATION] = "classification"};

const char *const cz_problem_names[CZ_PROBLEMS] = {
    [CZ_PROBLEM_SINGLE_LABEL] = "single_label_classification",
    [CZ_PROBLEM_MULTI_LABEL] = "multi_label_classification",
    [CZ_PROBLEM_REGRESSION] = "regression"};

#define INT(member)  .kind = CZ_FACT_INT, .at = offsetof(cz_model_config, member)
#define REAL(member) .kind = CZ_FACT_REAL, .at = offsetof(cz_model_config, member)
#define BOOL(member) .kind = CZ_FACT_BOOL, .at = offsetof(cz_model_config, member)
/* Limits that no known model comes near; products of any two fit 64 bits many times over. */
enum {
  MAX_VOCABULARY = 1 << 24,
  MAX_WIDTH = 1 << 20,
  MAX_LAYERS = 1 << 10,
  MAX_HEADS = 1 << 14,
  MAX_DISTANCE = 1 << 20,
  MAX_TYPES = 1 << 10,
  MAX_LABELS = 1 << 16
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
    [CZ_FACT_D_EMBEDDING] = {"embedding_size", INT(d_embedding), .min = 1, .max = MAX_WIDTH},
    [CZ_FACT_N_TYPES] = {"type_vocab_size", INT(n_types), .min = 1, .max = MAX_TYPES},
    [CZ_FACT_N_GROUPS] = {"num_hidden_groups", INT(n_groups), .min = 1, .max = MAX_LAYERS},
    [CZ_FACT_N_INNER] = {"inner_group_num", INT(n_inner), .min = 1, .max = MAX_LAYERS},
    [CZ_FACT_N_LABELS] = {"num_labels", INT(n_labels), .min = 1, .max = MAX_LABELS},
    [CZ_FACT_DROPOUT] = {"dropout_rate", REAL(dropout)},
    [CZ_FACT_ATTENTION_DROPOUT] = {"attention_dropout", REAL(attention_dropout)},
    [CZ_FACT_EMBEDDING_DROPOUT] = {"embedding_dropout", REAL(embedding_dropout)},
    [CZ_FACT_CLASSIFIER_DROPOUT] = {"classifier_dropout", REAL(classifier_dropout)},
    [CZ_FACT_NORM_EPS] = {"layer_norm_epsilon", REAL(norm_eps)},
    [CZ_FACT_INIT_FACTOR] = {"initializer_factor", REAL(init_factor)},
    [CZ_FACT_ACTIVATION] = {"feed_forward_proj", .kind = CZ_FACT_NAME},
    [CZ_FACT_TIED] = {"tie_word_embeddings", BOOL(tied)},
    [CZ_FACT_SCALED] = {"scale_decoder_outputs", BOOL(scaled)},
    [CZ_FACT_LAYER_SCALED] = {"scale_attn_by_inverse_layer_idx", BOOL(layer_scaled)},
    [CZ_FACT_PAD_ID] = {"pad_token_id", INT(pad_id), .min = 0, .max = MAX_VOCABULARY},
    [CZ_FACT_EOS_ID] = {"eos_token_id", INT(eos_id), .min = 0, .max = MAX_VOCABULARY},
    [CZ_FACT_START_ID] = {"decoder_start_token_id", INT(start_id), .min = 0, .max = MAX_VOCABULARY},
    [CZ_FACT_BOS_ID] = {"bos_token_id", INT(bos_id), .min = 0, .max = MAX_VOCABULARY},
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

/* Facts about what the family does not have are not looked at. */
static bool is_used(const cz_family *f, cz_fact fact) {
  switch (fact) {
  case CZ_FACT_BUCKETS:
  case CZ_FACT_MAX_DISTANCE: return f->positions == CZ_POSITIONS_BUCKETS;
  case CZ_FACT_N_POSITIONS: return f->positions == CZ_POSITIONS_LEARNED;
  case CZ_FACT_N_LABELS: return cz_family_heads(f) & CZ_HEAD_BIT(CZ_HEAD_CLASSIFICATION);
  case CZ_FACT_D_EMBEDDING:
  case CZ_FACT_N_TYPES:
  case CZ_FACT_N_GROUPS:
  case CZ_FACT_N_INNER: return cz_family_key(f, fact);
  default: return true;
  }
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

/* Stacks that read one text need no id that ends or begins another; GPT-2's default, 50256, stays
 * in the files of smaller vocabularies. Padding must be an id where positions depend on it. */
static bool may_lack_id(const cz_family *f, cz_fact fact, int64_t id) {
  if (fact == CZ_FACT_PAD_ID) return id == -1 && !f->positions_behind_pad && !f->padding_row;
  return f->classes && id >= -1;
}

static cz_status check_ids(const cz_model_config *c, const char **key) {
  const cz_fact facts[] = {CZ_FACT_PAD_ID, CZ_FACT_EOS_ID, CZ_FACT_START_ID, CZ_FACT_BOS_ID};
  const int64_t ids[] = {c->pad_id, c->eos_id, c->start_id, c->bos_id};
  for (int i = 0; i < 4; i++) {
    *key = cz_facts[facts[i]].name;
    if (may_lack_id(c->family, facts[i], ids[i])) continue;
    if (ids[i] < 0 || ids[i] >= c->vocab_size)
      return CZ_FAIL(CZ_EINVAL, "special id %lld is outside the vocabulary of %lld",
                     (long long)ids[i], (long long)c->vocab_size);
  }
  return CZ_OK;
}

static cz_status check_dropout(const cz_model_config *c, const char **key) {
  for (int fact = CZ_FACT_DROPOUT; fact <= CZ_FACT_CLASSIFIER_DROPOUT; fact++) {
    const double p = cz_model_dropout(c, (cz_fact)fact);
    *key = cz_facts[fact].name;
    if (!(p >= 0 && p < 1)) return CZ_FAIL(CZ_EINVAL, "%g is not in [0, 1)", p);
  }
  return CZ_OK;
}

/* Heads that the family has, places that the table has, groups that blocks can be dealt to. */
static cz_status check_parts(const cz_model_config *c, const char **key) {
  const cz_family *f = c->family;
  *key = "heads";
  for (int h = 0; h < CZ_HEADS; h++)
    if (c->heads & CZ_HEAD_BIT(h) & ~cz_family_heads(f))
      return CZ_FAIL(CZ_EINVAL, "family %s has no %s", f->name, cz_head_names[h]);
  *key = cz_facts[CZ_FACT_N_POSITIONS].name;
  if (f->positions == CZ_POSITIONS_LEARNED && cz_model_longest(c) < 1)
    return CZ_FAIL(CZ_EINVAL, "%lld rows leave no place behind row %lld, which is padding's",
                   (long long)c->n_positions, (long long)c->pad_id);
  *key = cz_facts[CZ_FACT_N_GROUPS].name;
  if (f->shared_blocks && c->n_groups > c->n_layers)
    return CZ_FAIL(CZ_EINVAL, "%lld groups are more than the %lld layers", (long long)c->n_groups,
                   (long long)c->n_layers);
  return CZ_OK;
}

static cz_status check(const cz_model_config *c, const char **key) {
  for (int fact = 0; fact < CZ_FACT_PAD_ID; fact++) CZ_TRY(check_range(c, (cz_fact)fact, key));
  if (c->family->positions == CZ_POSITIONS_BUCKETS) CZ_TRY(check_buckets(c, key));
  *key = cz_facts[CZ_FACT_N_HEADS].name;
  if (c->n_heads * c->d_kv > MAX_WIDTH)
    return CZ_FAIL(CZ_EINVAL, "%lld heads of %lld are more than %d wide", (long long)c->n_heads,
                   (long long)c->d_kv, MAX_WIDTH);
  CZ_TRY(check_dropout(c, key));
  *key = cz_facts[CZ_FACT_NORM_EPS].name;
  if (!(c->norm_eps > 0 && isfinite(c->norm_eps)))
    return CZ_FAIL(CZ_EINVAL, "%g is not positive and finite", c->norm_eps);
  *key = cz_facts[CZ_FACT_INIT_FACTOR].name;
  if (!(c->init_factor > 0 && isfinite(c->init_factor)))
    return CZ_FAIL(CZ_EINVAL, "%g is not positive and finite", c->init_factor);
  CZ_TRY(check_ids(c, key));
  return check_parts(c, key);
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

/** What the family calls FACT in config.json, or null when it has no such key. Static. */
const char *cz_family_key(const cz_family *f, cz_fact fact) {
  for (const cz_config_key *k = f->keys; k && k->key; k++)
    if (k->fact == fact) return k->key;
  return NULL;
}

/** Bits of the heads that models of the family can have. */
unsigned cz_family_heads(const cz_family *f) {
  unsigned heads = f->defaults.heads;
  for (const cz_head_class *h = f->classes; h && h->name; h++) heads |= h->heads;
  return heads;
}

/** E, the width of embeddings and of the vocabulary's matrix. */
int64_t cz_model_embedding_width(const cz_model_config *c) {
  return cz_family_key(c->family, CZ_FACT_D_EMBEDDING) ? c->d_embedding : c->d_model;
}

/** The row of the position table that a segment's first token has. */
int64_t cz_model_position_offset(const cz_model_config *c) {
  return c->family->positions_behind_pad ? c->pad_id + 1 : c->family->position_offset;
}

/** Tokens of a segment at most, of a family with learned positions. */
int64_t cz_model_longest(const cz_model_config *c) {
  return c->family->positions_behind_pad ? c->n_positions - c->pad_id - 1 : c->n_positions;
}

/** The rate of one of the four places of dropout; families without a key for it have that of
 * hidden states, and none before the classifier. */
double cz_model_dropout(const cz_model_config *c, cz_fact which) {
  if (which == CZ_FACT_DROPOUT) return c->dropout;
  if (cz_family_key(c->family, which))
    return *(const double *)((const char *)c + cz_facts[which].at);
  return which == CZ_FACT_CLASSIFIER_DROPOUT ? 0 : c->dropout;
}
