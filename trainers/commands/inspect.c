/* `cloze inspect`: what a model's folder holds. */
#include "commands/commands.h"
#include "experiment/report/table.h"
#include "graph/ops.h"
#include "json/json.h"
#include "nn/hf_survey.h"
#include "recipe/recipe.h"
#include "stages/model_folder.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <string.h>

const char cz_inspect_usage[] =
    "cloze inspect DIR [--json]\n"
    "What the Hugging Face directory DIR holds: family, sizes, parameters, heads, types of the "
    "weights, tokenizer and its special\n"
    "tokens, tensors that nothing reads. Weights are not read, but all names and shapes are "
    "checked as opening would.\n"
    "A head is `present`, `drawn` (the model's class has it and the weights lack it: it would "
    "begin random), or `absent`.\n"
    "With --json: family, model_type, sizes, parameters, heads, weights, aliases, ignored, "
    "tokenizer.\n";

static cz_status add_sizes(json_t *out, const cz_model_config *c) {
  const struct {
    const char *key;
    int64_t value;
    bool shown;
  } sizes[] = {
      {"layers", c->n_layers, true},
      {"decoder_layers", c->n_decoder_layers, c->family->architecture == CZ_ENCODER_DECODER},
      {"groups", c->n_groups, c->family->shared_blocks},
      {"inner", c->n_inner, c->family->shared_blocks},
      {"width", c->d_model, true},
      {"embedding", cz_model_embedding_width(c), true},
      {"heads", c->n_heads, true},
      {"head_size", c->d_kv, true},
      {"feed_forward", c->d_ff, true},
      {"vocabulary", c->vocab_size, true},
      {"tokens", cz_model_longest(c), c->family->positions == CZ_POSITIONS_LEARNED},
      {"token_types", c->n_types, cz_family_weight(c->family, CZ_SLOT_TYPES) != NULL},
      {"classes", c->n_labels, c->heads & CZ_HEAD_BIT(CZ_HEAD_CLASSIFICATION)}};
  json_t *list = json_object();
  CZ_TRY(cz_json_set(out, "sizes", list));
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    if (sizes[i].shown) CZ_TRY(cz_json_set_int(list, sizes[i].key, sizes[i].value));
  CZ_TRY(cz_json_set_text(out, "activation", cz_activation_names[c->activation]));
  return cz_json_set(out, "tied", json_boolean(c->tied));
}

/* Those that the family can have, each with what is known of it. */
static cz_status add_heads(json_t *out, const cz_hf_survey *s) {
  json_t *heads = json_object();
  CZ_TRY(cz_json_set(out, "heads", heads));
  for (int h = 0; h < CZ_HEADS; h++) {
    const unsigned bit = CZ_HEAD_BIT(h);
    if (cz_family_heads(s->config.family) & bit)
      CZ_TRY(cz_json_set_text(heads, cz_head_names[h],
                              s->drawn & bit     ? "drawn"
                              : s->present & bit ? "present"
                                                 : "absent"));
  }
  return CZ_OK;
}

static cz_status add_weights(json_t *out, const cz_hf_survey *s) {
  int64_t bytes = 0, files = 0, tensors = (int64_t)cz_safetensors_count(s->weights);
  json_t *weights = json_object(), *types = json_object(), *aliases = json_array(),
         *ignored = json_array();
  CZ_TRY(cz_json_set(out, "weights", weights));
  CZ_TRY(cz_json_set(out, "aliases", aliases));
  CZ_TRY(cz_json_set(out, "ignored", ignored));
  CZ_TRY(cz_json_set(weights, "tensors_of_type", types));
  for (size_t i = 0; i < (size_t)tensors; i++) {
    const cz_safetensors_info *t = cz_safetensors_at(s->weights, i);
    const char *type = cz_safetensors_type_name(t->type);
    bytes += (int64_t)t->bytes;
    if (t->file >= files) files = t->file + 1;
    CZ_TRY(cz_json_set_int(types, type, json_integer_value(json_object_get(types, type)) + 1));
    if (s->uses[i] != CZ_TENSOR_READ)
      CZ_TRY(cz_json_add(s->uses[i] == CZ_TENSOR_ALIAS ? aliases : ignored, json_string(t->name)));
  }
  CZ_TRY(cz_json_set_int(weights, "tensors", tensors));
  CZ_TRY(cz_json_set_int(weights, "files", files));
  return cz_json_set_int(weights, "bytes", bytes);
}

static cz_status add_special(json_t *out, const cz_tokenizer *t) {
  const cz_tokenizer_facts *f = cz_tokenizer_get_facts(t);
  const struct {
    const char *key;
    int32_t id;
  } tokens[] = {{"pad", f->pad}, {"bos", f->bos}, {"eos", f->eos},  {"cls", f->cls},
                {"sep", f->sep}, {"unk", f->unk}, {"mask", f->mask}};
  json_t *special = json_object();
  CZ_TRY(cz_json_set(out, "special", special));
  for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
    size_t n;
    const char *text = tokens[i].id >= 0 ? cz_tokenizer_token(t, tokens[i].id, &n) : NULL;
    if (text)
      CZ_TRY(cz_json_set(special, tokens[i].key,
                         json_pack("{s:i, s:s%}", "id", (int)tokens[i].id, "token", text, n)));
  }
  return CZ_OK;
}

/* The kind of the model in the tokenizer of FOLDER, which has been opened before. */
static cz_status add_kind(json_t *out, const char *folder) {
  const cz_json_place at = {.file = folder};
  const char *kind;
  cz_buf text = {0};
  json_t *root = NULL;
  cz_status st;
  CZ_GO(st, cz_tokenizer_read(&text, folder), done);
  CZ_GO(st, cz_json_parse(&root, text.data, text.len, folder), done);
  CZ_GO(st, cz_json_get_text(&kind, json_object_get(root, "model"), &at, "type"), done);
  st = cz_json_set_text(out, "kind", kind);
done:
  json_decref(root);
  cz_buf_free(&text);
  return st;
}

static cz_status add_tokenizer(json_t *out, const char *folder) {
  const char *file;
  cz_tokenizer *t = NULL;
  json_t *one;
  cz_status st;
  CZ_TRY(cz_model_folder_tokenizer_file(&file, folder));
  if (!file) return cz_json_set(out, "tokenizer", json_null());
  one = json_object();
  CZ_TRY(cz_json_set(out, "tokenizer", one));
  CZ_GO(st, cz_json_set_text(one, "file", file), done);
  CZ_GO(st, cz_tokenizer_open(&t, folder), done);
  CZ_GO(st, add_kind(one, folder), done);
  CZ_GO(st, cz_json_set_int(one, "ids", cz_tokenizer_get_facts(t)->size), done);
  st = add_special(one, t);
done:
  cz_tokenizer_destroy(&t);
  return st;
}

static cz_status describe(json_t *out, const cz_hf_survey *s, const char *folder) {
  const cz_family *f = s->config.family;
  CZ_TRY(cz_json_set_text(out, "family", f->name));
  CZ_TRY(cz_json_set_text(out, "help", f->help));
  CZ_TRY(cz_json_set_text(out, "model_type", f->model_types[0]));
  CZ_TRY(add_sizes(out, &s->config));
  CZ_TRY(cz_json_set_int(out, "parameters", s->parameters));
  CZ_TRY(add_heads(out, s));
  CZ_TRY(add_weights(out, s));
  return add_tokenizer(out, folder);
}

/* "key value, key value": numbers, texts, and of objects their token and id. */
static cz_status print_members(cz_buf *out, const char *label, const json_t *object) {
  const char *key, *separator = "";
  json_t *value;
  CZ_TRY(cz_buf_addf(out, "%-12s ", label));
  json_object_foreach((json_t *)object, key, value) {
    CZ_TRY(cz_buf_addf(out, "%s%s ", separator, key));
    if (json_is_string(value))
      CZ_TRY(cz_buf_addf(out, "%s", json_string_value(value)));
    else if (json_is_object(value))
      CZ_TRY(cz_buf_addf(out, "%s %lld", json_string_value(json_object_get(value, "token")),
                         (long long)json_integer_value(json_object_get(value, "id"))));
    else
      CZ_TRY(cz_buf_addf(out, "%lld", (long long)json_integer_value(value)));
    separator = ", ";
  }
  return cz_buf_addf(out, "%s\n", *separator ? "" : "none");
}

static cz_status print_names(cz_buf *out, const char *label, const json_t *list) {
  const json_t *name;
  size_t i;
  if (!json_array_size(list)) return CZ_OK;
  CZ_TRY(cz_buf_addf(out, "%-12s %zu tensors:", label, json_array_size(list)));
  json_array_foreach(list, i, name) CZ_TRY(cz_buf_addf(out, " %s", json_string_value(name)));
  return cz_buf_addf(out, "\n");
}

static cz_status print(cz_buf *out, const json_t *found) {
  const json_t *w = json_object_get(found, "weights"), *t = json_object_get(found, "tokenizer");
  CZ_TRY(
      cz_buf_addf(out, "%-12s %s\n", "family", json_string_value(json_object_get(found, "help"))));
  CZ_TRY(print_members(out, "sizes", json_object_get(found, "sizes")));
  CZ_TRY(cz_buf_addf(out, "%-12s %lld\n", "parameters",
                     (long long)json_integer_value(json_object_get(found, "parameters"))));
  CZ_TRY(print_members(out, "heads", json_object_get(found, "heads")));
  CZ_TRY(cz_buf_addf(out, "%-12s %.1f MB, files: %lld\n", "weights",
                     1e-6 * (double)json_integer_value(json_object_get(w, "bytes")),
                     (long long)json_integer_value(json_object_get(w, "files"))));
  CZ_TRY(print_members(out, "tensors", json_object_get(w, "tensors_of_type")));
  CZ_TRY(print_names(out, "aliases", json_object_get(found, "aliases")));
  CZ_TRY(print_names(out, "ignored", json_object_get(found, "ignored")));
  if (!json_is_object(t)) return cz_buf_addf(out, "%-12s none\n", "tokenizer");
  CZ_TRY(cz_buf_addf(out, "%-12s %s of %s, %lld ids\n", "tokenizer",
                     json_string_value(json_object_get(t, "kind")),
                     json_string_value(json_object_get(t, "file")),
                     (long long)json_integer_value(json_object_get(t, "ids"))));
  return print_members(out, "special", json_object_get(t, "special"));
}

/** The command `cloze inspect`; its usage says what it prints. */
cz_status cz_command_inspect(int argc, char **argv) {
  bool json = false;
  const cz_option options[] = {{"--json", NULL, &json}};
  cz_hf_survey s;
  cz_buf text = {0};
  CZ_TRY(cz_args_parse(&argc, argv, options, sizeof options / sizeof *options));
  CZ_TRY(cz_args_count(argc, argv, 1, 1, cz_inspect_usage));
  CZ_TRY(cz_recipe_model_folder(argv[1]));
  json_t *found = json_object();
  cz_status st = cz_hf_survey_open(&s, argv[1]);
  if (st == CZ_OK) st = describe(found, &s, argv[1]);
  if (st == CZ_OK) st = json ? cz_print_json(&text, json_incref(found)) : print(&text, found);
  if (st == CZ_OK) fputs(text.data, stdout);
  cz_hf_survey_close(&s);
  json_decref(found);
  cz_buf_free(&text);
  return st;
}
