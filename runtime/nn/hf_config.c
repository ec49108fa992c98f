/* config.json of T5 (docs/models.md 2.1, 2.6, 8): every key that changes a number is
 * read strictly, generic ones are known by name, and a key that is neither is named in a
 * warning. */
#include "nn/hf.h"
#include "base/fs.h"
#include "base/log.h"
#include "graph/ops.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Keys of any Hugging Face configuration that change no number here. */
static const char *const ignored[] = {"architectures",
                                      "model_type",
                                      "is_encoder_decoder",
                                      "use_cache",
                                      "is_gated_act",
                                      "dense_act_fn",
                                      "transformers_version",
                                      "torch_dtype",
                                      "dtype",
                                      "classifier_dropout",
                                      "task_specific_params",
                                      "n_positions",
                                      "output_past",
                                      "is_decoder",
                                      "return_dict",
                                      "output_hidden_states",
                                      "output_attentions",
                                      "chunk_size_feed_forward",
                                      "id2label",
                                      "label2id",
                                      "problem_type",
                                      "_name_or_path",
                                      "name_or_path",
                                      "max_length",
                                      "num_beams",
                                      "gradient_checkpointing",
                                      "tokenizer_class",
                                      "bos_token_id",
                                      "add_cross_attention",
                                      "tie_encoder_decoder",
                                      "torchscript",
                                      "pruned_heads",
                                      "finetuning_task",
                                      "prefix",
                                      "cross_attention_hidden_size",
                                      "generation_config",
                                      "tf_legacy_loss",
                                      "use_bfloat16",
                                      "sep_token_id",
                                      "cloze_family"};

static const char *const used[] = {"vocab_size",
                                   "d_model",
                                   "d_kv",
                                   "d_ff",
                                   "num_layers",
                                   "num_decoder_layers",
                                   "num_heads",
                                   "relative_attention_num_buckets",
                                   "relative_attention_max_distance",
                                   "dropout_rate",
                                   "layer_norm_epsilon",
                                   "feed_forward_proj",
                                   "initializer_factor",
                                   "tie_word_embeddings",
                                   "scale_decoder_outputs",
                                   "pad_token_id",
                                   "eos_token_id",
                                   "decoder_start_token_id"};

typedef struct reading {
  const char *path;
  json_t *root;
} reading;

static cz_status get_int(const reading *r, int64_t *out, const char *key, int64_t fallback) {
  json_t *v = json_object_get(r->root, key);
  if (!v || json_is_null(v)) {
    if (fallback == INT64_MIN) return CZ_FAIL(CZ_EINVAL, "%s: key %s is missing", r->path, key);
    *out = fallback;
    return CZ_OK;
  }
  if (!json_is_integer(v)) return CZ_FAIL(CZ_EINVAL, "%s: %s is not an integer", r->path, key);
  *out = json_integer_value(v);
  return CZ_OK;
}

static cz_status get_real(const reading *r, double *out, const char *key, double fallback) {
  json_t *v = json_object_get(r->root, key);
  *out = fallback;
  if (!v || json_is_null(v)) return CZ_OK;
  if (!json_is_number(v)) return CZ_FAIL(CZ_EINVAL, "%s: %s is not a number", r->path, key);
  *out = json_number_value(v);
  return CZ_OK;
}

static cz_status get_bool(const reading *r, bool *out, const char *key, bool fallback) {
  json_t *v = json_object_get(r->root, key);
  *out = fallback;
  if (!v || json_is_null(v)) return CZ_OK;
  if (!json_is_boolean(v)) return CZ_FAIL(CZ_EINVAL, "%s: %s is not true or false", r->path, key);
  *out = json_is_true(v);
  return CZ_OK;
}

/* OUT: null without the key. */
static cz_status get_text(const reading *r, const char **out, const char *key) {
  json_t *v = json_object_get(r->root, key);
  *out = json_string_value(v);
  return !v || json_is_null(v) || *out ? CZ_OK
                                       : CZ_FAIL(CZ_EINVAL, "%s: %s is not a text", r->path, key);
}

static bool listed(const char *key, const char *const *list, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (!strcmp(key, list[i])) return true;
  return false;
}

static void warn_unknown(const reading *r) {
  const char *key;
  json_t *value;
  json_object_foreach(r->root, key, value) {
    if (!listed(key, used, sizeof used / sizeof *used) &&
        !listed(key, ignored, sizeof ignored / sizeof *ignored))
      cz_warn("%s: key %s is not known and not used", r->path, key);
  }
}

/* The class that reads a family at Hugging Face; single stacks have none there. */
static const char *type_of(const cz_family *f) {
  return f->architecture == CZ_ENCODER_DECODER ? "t5" : "cloze-t5-stack";
}

static cz_status read_family(const reading *r, cz_model_config *c, bool gated) {
  const char *type, *own;
  CZ_TRY(get_text(r, &type, "model_type"));
  CZ_TRY(get_text(r, &own, "cloze_family"));
  if (!type) return CZ_FAIL(CZ_EINVAL, "%s: model_type is missing", r->path);
  if (own) {
    CZ_TRY(cz_family_find(&c->family, own));
    if (!strcmp(type, type_of(c->family))) return CZ_OK;
    return CZ_FAIL(CZ_EINVAL,
                   "%s: model_type '%s' contradicts cloze_family '%s', whose model_type is '%s'",
                   r->path, type, own, type_of(c->family));
  }
  if (strcmp(type, "t5") && strcmp(type, "mt5"))
    return CZ_FAIL(CZ_EINVAL,
                   "%s: model_type '%s' is not of a family that this program has (t5, mt5)",
                   r->path, type);
  return cz_family_find(&c->family, gated ? "t5-v1_1" : "t5");
}

/* feed_forward_proj, both ways: the first row of a kind is how it is written.
 * "gated-gelu" means the tanh approximation (models.md 2.1). */
static const struct {
  const char *name;
  int kind;
  bool gated;
} projections[] = {{"relu", CZ_ACTIVATION_RELU, false},
                   {"gelu", CZ_ACTIVATION_GELU, false},
                   {"gelu_new", CZ_ACTIVATION_GELU_TANH, false},
                   {"gelu_pytorch_tanh", CZ_ACTIVATION_GELU_TANH, false},
                   {"gated-gelu", CZ_ACTIVATION_GELU_TANH, true},
                   {"gated-gelu_new", CZ_ACTIVATION_GELU_TANH, true},
                   {"gated-gelu_pytorch_tanh", CZ_ACTIVATION_GELU_TANH, true},
                   {"gated-relu", CZ_ACTIVATION_RELU, true},
                   {"tanh", CZ_ACTIVATION_TANH, false}};
enum { N_PROJECTIONS = sizeof projections / sizeof *projections };

static cz_status read_activation(const reading *r, cz_model_config *c) {
  const char *text;
  CZ_TRY(get_text(r, &text, "feed_forward_proj"));
  for (int i = 0; i < N_PROJECTIONS;
       i++) { /* without the key: the first, which is the class default */
    if (text && strcmp(text, projections[i].name)) continue;
    c->activation = projections[i].kind;
    c->gated = projections[i].gated;
    return CZ_OK;
  }
  char have[512] = "";
  for (int i = 0, n = 0; i < N_PROJECTIONS && n < (int)sizeof have; i++)
    n += snprintf(have + n, sizeof have - (size_t)n, "%s%s", i ? ", " : "", projections[i].name);
  return CZ_FAIL(CZ_EINVAL, "%s: feed_forward_proj '%s' is not one that this program has (%s)",
                 r->path, text, have);
}

static cz_status activation_name(const char **name, const cz_model_config *c) {
  for (int i = 0; i < N_PROJECTIONS; i++)
    if (projections[i].kind == c->activation && projections[i].gated == c->gated)
      return *name = projections[i].name, CZ_OK;
  return CZ_FAIL(CZ_EINVAL, "the activation %s (%s) has no name in a Hugging Face configuration",
                 cz_activation_names[c->activation], c->gated ? "gated" : "not gated");
}

static cz_status read_config(const reading *r, cz_model_config *c) {
  const int64_t required = INT64_MIN;
  bool tie_flag;
  *c = (cz_model_config){0};
  CZ_TRY(read_activation(r, c));
  CZ_TRY(read_family(r, c, c->gated));
  CZ_TRY(get_int(r, &c->vocab_size, "vocab_size", required));
  CZ_TRY(get_int(r, &c->d_model, "d_model", required));
  CZ_TRY(get_int(r, &c->d_kv, "d_kv", required));
  CZ_TRY(get_int(r, &c->d_ff, "d_ff", required));
  CZ_TRY(get_int(r, &c->n_layers, "num_layers", required));
  CZ_TRY(get_int(r, &c->n_decoder_layers, "num_decoder_layers", c->n_layers));
  CZ_TRY(get_int(r, &c->n_heads, "num_heads", required));
  CZ_TRY(get_int(r, &c->buckets, "relative_attention_num_buckets", 32));
  CZ_TRY(get_int(r, &c->max_distance, "relative_attention_max_distance", 128));
  CZ_TRY(get_int(r, &c->pad_id, "pad_token_id", 0));
  CZ_TRY(get_int(r, &c->eos_id, "eos_token_id", 1));
  CZ_TRY(get_int(r, &c->start_id, "decoder_start_token_id", c->pad_id));
  CZ_TRY(get_real(r, &c->dropout, "dropout_rate", 0.1));
  CZ_TRY(get_real(r, &c->norm_eps, "layer_norm_epsilon", 1e-6));
  CZ_TRY(get_real(r, &c->init_factor, "initializer_factor", 1));
  CZ_TRY(get_bool(r, &tie_flag, "tie_word_embeddings", true));
  /* models.md 2.6: the newer key decides when it is there; tying itself is decided by
   * what the weight file holds. */
  CZ_TRY(get_bool(r, &c->scaled, "scale_decoder_outputs", tie_flag));
  c->tied = tie_flag;
  return CZ_OK;
}

/** Reads a config.json of a family that this program has. CZ_EINVAL with file and key for
 * what is missing, of a wrong type or out of range. */
cz_status cz_hf_config_read(cz_model_config *config, const char *path) {
  cz_buf text = {0};
  json_error_t why;
  cz_status st;
  reading r = {.path = path};
  CZ_GO(st, cz_fs_read(path, &text), done);
  r.root = json_loadb(text.data ? text.data : "", text.len, JSON_REJECT_DUPLICATES, &why);
  if (!json_is_object(r.root)) {
    st = CZ_FAIL(CZ_EINVAL, "%s:%d:%d: %s", path, r.root ? 1 : why.line, r.root ? 1 : why.column,
                 r.root ? "not an object" : why.text);
    goto done;
  }
  CZ_GO(st, read_config(&r, config), done);
  warn_unknown(&r);
  st = cz_model_config_check(config, NULL);
  if (st != CZ_OK) st = CZ_FAIL(CZ_EINVAL, "%s: %s", path, cz_error_message());
done:
  if (r.root) json_decref(r.root);
  cz_buf_free(&text);
  return st;
}

/** Writes a config.json with every key spelled out, so that no class default of any
 * transformers version can change a number. */
cz_status cz_hf_config_write(const cz_model_config *c, const char *path) {
  bool pair = c->family->architecture == CZ_ENCODER_DECODER;
  const char *projection = NULL;
  CZ_TRY(activation_name(&projection, c));
  json_t *root = json_pack(
      "{s:[s], s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "architectures",
      c->family->hf_class, "model_type", type_of(c->family), "cloze_family", c->family->name,
      "is_encoder_decoder", pair, "vocab_size", (json_int_t)c->vocab_size, "d_model",
      (json_int_t)c->d_model, "d_kv", (json_int_t)c->d_kv, "d_ff", (json_int_t)c->d_ff,
      "num_layers", (json_int_t)c->n_layers, "num_decoder_layers", (json_int_t)c->n_decoder_layers,
      "num_heads", (json_int_t)c->n_heads, "relative_attention_num_buckets", (json_int_t)c->buckets,
      "relative_attention_max_distance", (json_int_t)c->max_distance);
  json_t *rest = json_pack("{s:f, s:f, s:s, s:f, s:b, s:b, s:I, s:I, s:I, s:b}", "dropout_rate",
                           c->dropout, "layer_norm_epsilon", c->norm_eps, "feed_forward_proj",
                           projection, "initializer_factor", c->init_factor, "tie_word_embeddings",
                           c->tied, "scale_decoder_outputs", c->scaled, "pad_token_id",
                           (json_int_t)c->pad_id, "eos_token_id", (json_int_t)c->eos_id,
                           "decoder_start_token_id", (json_int_t)c->start_id, "use_cache", true);
  char *text = NULL;
  cz_status st = CZ_OK;
  if (!root || !rest || json_object_update(root, rest) ||
      !(text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(17))))
    st = CZ_FAIL(CZ_ENOMEM, "%s: no memory to write the configuration", path);
  if (st == CZ_OK) st = cz_fs_write_atomic(path, text, strlen(text));
  free(text);
  json_decref(root);
  json_decref(rest);
  return st;
}
