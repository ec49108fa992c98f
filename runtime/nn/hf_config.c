/* config.json (docs/models.md 2.1, 2.6, 7) by the family's table of keys: every key that
 * changes a number is read strictly, generic ones are known by name, and a key that is
 * neither is named in a warning. */
#include "nn/hf_files.h"
#include "base/log.h"
#include "graph/ops.h"
#include "json/json.h"

#include <stdio.h>
#include <string.h>

/* Keys of any Hugging Face configuration that change no number here. */
static const char *const generic[] = {"architectures",
                                      "model_type",
                                      "is_encoder_decoder",
                                      "transformers_version",
                                      "torch_dtype",
                                      "dtype",
                                      "classifier_dropout",
                                      "task_specific_params",
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
                                      "cloze_family",
                                      "use_cache",
                                      "num_labels",
                                      "_num_labels",
                                      NULL};

typedef struct reading {
  json_t *root;
  cz_json_place at; /* the file */
} reading;

/* The value of KEY; null when the key is missing or null. */
static json_t *value_of(const reading *r, const char *key) {
  json_t *v = json_object_get(r->root, key);
  return json_is_null(v) ? NULL : v;
}

/* The text KEY; null without the key. */
static cz_status text_of(const reading *r, const char **out, const char *key) {
  *out = NULL;
  return value_of(r, key) ? cz_json_get_text(out, r->root, &r->at, key) : CZ_OK;
}

static bool listed(const char *key, const char *const *list) {
  for (; list && *list; list++)
    if (!strcmp(key, *list)) return true;
  return false;
}

static bool is_used(const char *key, const cz_family *f) {
  for (const cz_config_key *k = f->keys; k->key; k++)
    if (!strcmp(k->key, key) || (k->alias && !strcmp(k->alias, key))) return true;
  for (const cz_config_must *m = f->musts; m && m->key; m++)
    if (!strcmp(m->key, key)) return true;
  return false;
}

static void warn_unknown(const reading *r, const cz_family *f) {
  const char *key;
  json_t *value;
  json_object_foreach(r->root, key, value) {
    if (!is_used(key, f) && !listed(key, f->ignored) && !listed(key, generic))
      cz_warn("%s: key %s is not known and not used", r->at.file, key);
  }
}

/* The activation under its name; without the key the family's first. */
static cz_status read_activation(const reading *r, cz_model_config *c, const char *key) {
  const cz_projection *all = c->family->projections;
  const char *text;
  char have[512] = "";
  size_t n = 0;
  CZ_TRY(text_of(r, &text, key));
  for (const cz_projection *p = all; p->name; p++) {
    if (text && strcmp(text, p->name)) continue;
    c->activation = p->activation;
    c->gated = p->gated;
    return CZ_OK;
  }
  for (const cz_projection *p = all; p->name && n < sizeof have; p++)
    n += (size_t)snprintf(have + n, sizeof have - n, "%s%s", n ? ", " : "", p->name);
  return CZ_FAIL(CZ_EINVAL, "%s: %s '%s' is not one that this program has (%s)", r->at.file, key,
                 text, have);
}

/* The value of a fact whose key is missing. */
static cz_status assume(const reading *r, cz_model_config *c, const cz_config_key *k) {
  const cz_fact_row *fact = &cz_facts[k->fact];
  char *to = (char *)c + fact->at;
  const char *from = (const char *)&c->family->defaults + fact->at;
  const bool yes = true;
  size_t size = fact->kind == CZ_FACT_BOOL ? sizeof(bool) : sizeof(int64_t);
  if (k->missing == CZ_MISSING_ERROR)
    return CZ_FAIL(CZ_EINVAL, "%s: key %s is missing", r->at.file, k->key);
  if (k->missing == CZ_MISSING_LIKE) from = (const char *)c + cz_facts[k->like].at;
  if (k->missing == CZ_MISSING_TRUE) from = (const char *)&yes;
  memcpy(to, from, size);
  return CZ_OK;
}

static cz_status read_key(const reading *r, cz_model_config *c, const cz_config_key *k) {
  const cz_fact_row *fact = &cz_facts[k->fact];
  const char *key = k->alias && !value_of(r, k->key) ? k->alias : k->key;
  void *to = (char *)c + fact->at;
  if (fact->kind == CZ_FACT_NAME) return read_activation(r, c, k->key);
  if (!value_of(r, key)) return assume(r, c, k);
  if (fact->kind == CZ_FACT_INT)
    return cz_json_get_int(to, r->root, &r->at, key, INT64_MIN, INT64_MAX);
  return fact->kind == CZ_FACT_REAL ? cz_json_get_real(to, r->root, &r->at, key)
                                    : cz_json_get_bool(to, r->root, &r->at, key);
}

/* Keys with a value that means another computation. */
static cz_status check_musts(const reading *r, const cz_family *f) {
  for (const cz_config_must *m = f->musts; m && m->key; m++) {
    const char *text;
    bool truth = m->truth;
    if (!value_of(r, m->key)) continue;
    if (!m->text) {
      CZ_TRY(cz_json_get_bool(&truth, r->root, &r->at, m->key));
      if (truth != m->truth)
        return CZ_FAIL(CZ_EINVAL, "%s: %s: %s is not computed here; it must be %s", r->at.file,
                       m->key, truth ? "true" : "false", m->truth ? "true" : "false");
      continue;
    }
    CZ_TRY(text_of(r, &text, m->key));
    if (strcmp(text, m->text))
      return CZ_FAIL(CZ_EINVAL, "%s: %s: '%s' is not computed here; it must be '%s'", r->at.file,
                     m->key, text, m->text);
  }
  return CZ_OK;
}

static bool classifies(const cz_family *f) {
  return cz_family_heads(f) & CZ_HEAD_BIT(CZ_HEAD_CLASSIFICATION);
}

/* The number of classes, by Hugging Face's rules: id2label counts them, else num_labels does, else
 * there are two; one class alone is a regression unless problem_type says otherwise. */
static cz_status read_classes(const reading *r, cz_model_config *c) {
  const char *problem;
  json_t *labels = value_of(r, "id2label");
  if (!classifies(c->family)) return CZ_OK;
  if (labels && !json_is_object(labels))
    return cz_json_expected(&r->at, "id2label", labels, "an object");
  if (labels)
    c->n_labels = (int64_t)json_object_size(labels);
  else if (value_of(r, "num_labels"))
    CZ_TRY(cz_json_get_int(&c->n_labels, r->root, &r->at, "num_labels", INT64_MIN, INT64_MAX));
  CZ_TRY(text_of(r, &problem, "problem_type"));
  c->problem = c->n_labels == 1 ? CZ_PROBLEM_REGRESSION : CZ_PROBLEM_SINGLE_LABEL;
  if (!problem) return CZ_OK;
  for (c->problem = 0; c->problem < CZ_PROBLEMS; c->problem++)
    if (!strcmp(problem, cz_problem_names[c->problem])) return CZ_OK;
  return CZ_FAIL(CZ_EINVAL, "%s: problem_type '%s' is none of %s, %s, %s", r->at.file, problem,
                 cz_problem_names[0], cz_problem_names[1], cz_problem_names[2]);
}

/* The heads of the class that the file names first; a class that the family's list does not have
 * is read for its body, with a causal LM where the family has one, which costs nothing. */
static cz_status read_heads(const reading *r, cz_model_config *c) {
  const json_t *list = value_of(r, "architectures");
  const char *name = json_string_value(json_array_get(list, 0));
  c->heads = c->family->defaults.heads;
  if (!list || !c->family->classes) return CZ_OK;
  if (!json_is_array(list) || (json_array_size(list) && !name))
    return cz_json_expected(&r->at, "architectures", list, "a list of texts");
  for (const cz_head_class *h = c->family->classes; name && h->name; h++)
    if (!strcmp(h->name, name)) return c->heads = h->heads, CZ_OK;
  c->heads &= CZ_HEAD_BIT(CZ_HEAD_CAUSAL_LM);
  return CZ_OK;
}

static bool is_given(const reading *r, const cz_family *f, cz_fact fact) {
  const char *key = cz_family_key(f, fact);
  return key && value_of(r, key);
}

/* What families like GPT-2's leave out, unless the family has a default. */
static void complete(const reading *r, cz_model_config *c) {
  const cz_family *f = c->family;
  if (!is_given(r, f, CZ_FACT_D_KV) && c->d_kv == 0 && c->n_heads > 0)
    c->d_kv = c->d_model / c->n_heads;
  if (!is_given(r, f, CZ_FACT_D_FF) && c->d_ff == 0 && c->d_model < INT32_MAX)
    c->d_ff = 4 * c->d_model;
  if (!is_given(r, f, CZ_FACT_N_DECODER_LAYERS) && c->n_decoder_layers == 0)
    c->n_decoder_layers = c->n_layers;
}

/* Fills C by the keys of FAMILY and checks the values; messages have the family's
 * spelling. */
static cz_status read_facts(const reading *r, cz_model_config *c, const cz_family *family) {
  const char *name;
  *c = family->defaults;
  c->family = family;
  for (const cz_config_key *k = family->keys; k->key; k++) CZ_TRY(read_key(r, c, k));
  CZ_TRY(check_musts(r, family));
  CZ_TRY(read_classes(r, c));
  CZ_TRY(read_heads(r, c));
  complete(r, c);
  if (!cz_family_key(family, CZ_FACT_D_KV) && c->n_heads > 0 && c->d_model % c->n_heads)
    return CZ_FAIL(CZ_EINVAL, "%s: %s: %lld is not a multiple of %lld heads", r->at.file,
                   cz_family_key(family, CZ_FACT_D_MODEL), (long long)c->d_model,
                   (long long)c->n_heads);
  cz_status st = cz_model_config_check(c, &name);
  if (st == CZ_OK) return CZ_OK;
  for (int i = 0; i < CZ_FACTS; i++)
    if (!strcmp(cz_facts[i].name, name) && cz_family_key(family, (cz_fact)i))
      name = cz_family_key(family, (cz_fact)i);
  return CZ_FAIL(CZ_EINVAL, "%s: %s: %s", r->at.file, name, cz_error_message());
}

static bool has_type(const cz_family *f, const char *type) {
  return !strcmp(f->model_types[0], type) ||
         (f->model_types[1] && !strcmp(f->model_types[1], type));
}

/* The families that this program has, by Hugging Face's names. */
static cz_status unknown_type(const reading *r, const char *type) {
  char have[256] = "";
  size_t n = 0;
  for (size_t i = 0; cz_family_at(i); i++)
    for (int k = 0; k < 2; k++) {
      const char *t = cz_family_at(i)->model_types[k];
      char quoted[64];
      snprintf(quoted, sizeof quoted, "'%s'", t ? t : "");
      if (!t || strstr(have, quoted) || n + sizeof quoted > sizeof have) continue;
      n += (size_t)snprintf(have + n, sizeof have - n, "%s%s", n ? ", " : "", quoted);
    }
  return CZ_FAIL(CZ_EINVAL, "%s: model_type '%s' is not of a family that this program has (%s)",
                 r->at.file, type, have);
}

/* Files of this program name their family; of others it is the first of their type whose
 * feed-forward is gated as theirs is. */
static cz_status find_family(const reading *r, const cz_family **family) {
  const char *type, *own;
  bool any = false;
  CZ_TRY(text_of(r, &type, "model_type"));
  CZ_TRY(text_of(r, &own, "cloze_family"));
  if (!type) return CZ_FAIL(CZ_EINVAL, "%s: model_type is missing", r->at.file);
  if (own) {
    CZ_TRY(cz_family_find(family, own));
    if (!strcmp(type, (*family)->model_types[0])) return CZ_OK;
    return CZ_FAIL(CZ_EINVAL,
                   "%s: model_type '%s' contradicts cloze_family '%s', whose model_type is '%s'",
                   r->at.file, type, own, (*family)->model_types[0]);
  }
  for (size_t i = 0; cz_family_at(i); i++) {
    cz_model_config c = {.family = *family = cz_family_at(i)};
    if (!has_type(*family, type)) continue;
    any = true;
    CZ_TRY(read_activation(r, &c, cz_family_key(*family, CZ_FACT_ACTIVATION)));
    if (c.gated == (*family)->defaults.gated) return CZ_OK;
  }
  return any ? CZ_FAIL(CZ_EINVAL, "%s: no family of model_type '%s' has this feed-forward",
                       r->at.file, type)
             : unknown_type(r, type);
}

/** Reads a config.json as one of FAMILY, null: of the family that it names. CZ_EINVAL with
 * file and key for what is missing, of a wrong type or out of range. */
cz_status cz_hf_config_read_as(cz_model_config *config, const char *path, const cz_family *family) {
  reading r = {.at.file = path};
  cz_status st;
  CZ_GO(st, cz_json_read(&r.root, path), done);
  if (!json_is_object(r.root)) CZ_GO(st, cz_json_expected(&r.at, NULL, r.root, "an object"), done);
  if (!family) CZ_GO(st, find_family(&r, &family), done);
  CZ_GO(st, read_facts(&r, config, family), done);
  warn_unknown(&r, family);
done:
  json_decref(r.root);
  return st;
}

/** Reads a config.json of a family that this program has. Errors as cz_hf_config_read_as. */
cz_status cz_hf_config_read(cz_model_config *config, const char *path) {
  return cz_hf_config_read_as(config, path, NULL);
}

static cz_status activation_name(const char **name, const cz_model_config *c) {
  for (const cz_projection *p = c->family->projections; p->name; p++)
    if (p->activation == c->activation && p->gated == c->gated) return *name = p->name, CZ_OK;
  return CZ_FAIL(CZ_EINVAL, "the activation %s (%s) has no name in a Hugging Face configuration",
                 cz_activation_names[c->activation], c->gated ? "gated" : "not gated");
}

static cz_status make_value(json_t **out, const cz_model_config *c, cz_fact fact) {
  const cz_fact_row *row = &cz_facts[fact];
  const void *from = (const char *)c + row->at;
  const char *name = NULL;
  switch (row->kind) {
  case CZ_FACT_INT: *out = json_integer(*(const int64_t *)from); break;
  case CZ_FACT_REAL: *out = json_real(*(const double *)from); break;
  case CZ_FACT_BOOL: *out = json_boolean(*(const bool *)from); break;
  case CZ_FACT_NAME:
    CZ_TRY(activation_name(&name, c));
    *out = json_string(name);
    break;
  }
  return CZ_OK;
}

/* An id that the model does not have. */
static bool is_absent(const cz_model_config *c, cz_fact fact) {
  return fact >= CZ_FACT_PAD_ID && fact < CZ_FACTS &&
         *(const int64_t *)(const void *)((const char *)c + cz_facts[fact].at) < 0;
}

/* Adds each key of the family whose fact is from FIRST to LAST. */
static cz_status add_facts(json_t *root, const cz_model_config *c, cz_fact first, cz_fact last) {
  for (const cz_config_key *k = c->family->keys; k->key; k++) {
    json_t *value = NULL;
    if (k->fact < first || k->fact > last || is_absent(c, k->fact)) continue;
    CZ_TRY(make_value(&value, c, k->fact));
    CZ_TRY(cz_json_set(root, k->key, value));
  }
  return CZ_OK;
}

/* Both tables of the classes' names, LABEL_0 and so on where LABELS is null, and what is asked of
 * the classes. */
static cz_status add_classes(json_t *root, const cz_model_config *c, const char *const *labels) {
  json_t *names = json_object(), *numbers = json_object();
  cz_status st = CZ_OK;
  for (int64_t i = 0; i < c->n_labels && st == CZ_OK; i++) {
    char key[32], own[32];
    snprintf(key, sizeof key, "%lld", (long long)i);
    snprintf(own, sizeof own, "LABEL_%lld", (long long)i);
    const char *name = labels ? labels[i] : own;
    st = cz_json_set(names, key, json_string(name));
    if (st == CZ_OK) st = cz_json_set(numbers, name, json_integer(i));
  }
  if (st == CZ_OK) st = cz_json_set(root, "id2label", json_incref(names));
  if (st == CZ_OK) st = cz_json_set(root, "label2id", json_incref(numbers));
  if (st == CZ_OK)
    st = cz_json_set(root, "problem_type", json_string(cz_problem_names[c->problem]));
  json_decref(names);
  json_decref(numbers);
  return st;
}

/* The class of "architectures" with exactly the configuration's heads; of several heads that no one
 * class has, that of the first. */
static const char *class_of(const cz_model_config *c) {
  const cz_head_class *all = c->family->classes;
  for (const cz_head_class *h = all; h && h->name; h++)
    if (h->heads == c->heads) return h->name;
  for (const cz_head_class *h = all; h && h->name; h++)
    if (h->heads & c->heads) return h->name;
  return c->family->hf_class;
}

static cz_status add_musts(json_t *root, const cz_family *f) {
  for (const cz_config_must *m = f->musts; m && m->key; m++)
    CZ_TRY(cz_json_set(root, m->key, m->text ? json_string(m->text) : json_boolean(m->truth)));
  return CZ_OK;
}

/** As cz_hf_config_write, with the classes' names, LABELS [n_labels] or null. */
cz_status cz__hf_config_write(const cz_model_config *c, const char *const *labels,
                              const char *path) {
  const cz_family *f = c->family;
  json_t *root = json_pack("{s:[s], s:s, s:s, s:b}", "architectures", class_of(c), "model_type",
                           f->model_types[0], "cloze_family", f->name, "is_encoder_decoder",
                           f->architecture == CZ_ENCODER_DECODER);
  cz_status st = root ? CZ_OK : CZ_FAIL(CZ_ENOMEM, "%s: no memory to write it", path);
  if (st == CZ_OK) st = add_facts(root, c, 0, CZ_FACTS - 1);
  if (st == CZ_OK) st = add_musts(root, f);
  if (st == CZ_OK && classifies(f)) st = add_classes(root, c, labels);
  if (st == CZ_OK) st = cz_json_set(root, "use_cache", json_true());
  if (st == CZ_OK) st = cz_json_write(root, path, JSON_INDENT(2));
  json_decref(root);
  return st;
}

/** Writes a config.json with every key spelled out, so that no class default of any
 * transformers version can change a number. */
cz_status cz_hf_config_write(const cz_model_config *c, const char *path) {
  return cz__hf_config_write(c, NULL, path);
}

static cz_status set_labels(cz_model *m, const reading *r, json_t *labels) {
  const int64_t n = m->config.n_labels;
  const char **names;
  CZ_TRY(cz_arena_alloc(m->arena, &names, (size_t)n, sizeof *names));
  for (int64_t i = 0; i < n; i++) {
    char key[32];
    snprintf(key, sizeof key, "%lld", (long long)i);
    const json_t *name = json_object_get(labels, key);
    if (!json_is_string(name))
      return CZ_FAIL(CZ_EINVAL,
                     "%s: id2label: class %s of %lld has no name; classes are numbered from 0",
                     r->at.file, key, (long long)n);
    for (int64_t k = 0; k < i; k++)
      if (!strcmp(names[k], json_string_value(name)))
        return CZ_FAIL(CZ_EINVAL, "%s: id2label: classes %lld and %lld are both '%s'", r->at.file,
                       (long long)k, (long long)i, names[k]);
    names[i] = json_string_value(name);
  }
  return cz_model_set_labels(m, names, n);
}

/** Names M's classes as the config.json at PATH does, where it does. */
cz_status cz__hf_labels_read(cz_model *m, const char *path) {
  reading r = {.at.file = path};
  cz_status st;
  if (!(m->config.heads & CZ_HEAD_BIT(CZ_HEAD_CLASSIFICATION))) return CZ_OK;
  CZ_GO(st, cz_json_read(&r.root, path), done);
  json_t *labels = value_of(&r, "id2label");
  if (labels) st = set_labels(m, &r, labels);
done:
  json_decref(r.root);
  return st;
}

/** Writes a generation_config.json: the ids that generating begins, ends and pads with. */
cz_status cz_hf_generation_write(const cz_model_config *c, const char *path) {
  json_t *root = json_object();
  cz_status st = add_facts(root, c, CZ_FACT_START_ID, CZ_FACT_START_ID);
  if (st == CZ_OK) st = add_facts(root, c, CZ_FACT_BOS_ID, CZ_FACT_BOS_ID);
  if (st == CZ_OK) st = add_facts(root, c, CZ_FACT_EOS_ID, CZ_FACT_EOS_ID);
  if (st == CZ_OK) st = add_facts(root, c, CZ_FACT_PAD_ID, CZ_FACT_PAD_ID);
  if (st == CZ_OK) st = cz_json_write(root, path, JSON_INDENT(2));
  json_decref(root);
  return st;
}
