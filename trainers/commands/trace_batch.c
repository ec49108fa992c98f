/* The batch of `cloze trace`: lines of JSON become flat lists. */
#include "commands/trace_batch.h"
#include "json/json.h"

#include <jansson.h>
#include <string.h>

static cz_status get_list(const json_t *line, const char *key, const char *path, int number,
                          const json_t **out) {
  *out = json_object_get(line, key);
  if (!json_is_array(*out))
    return CZ_FAIL(CZ_EINVAL, "%s:%d: %s is missing or not a list", path, number, key);
  return json_array_size(*out) ? CZ_OK
                               : CZ_FAIL(CZ_EINVAL, "%s:%d: %s is empty", path, number, key);
}

/* Ids below MINIMUM, or not in the vocabulary of MAXIMUM, are refused here, where their place
 * is known. */
static cz_status append_ids(cz_ids *out, const json_t *list, const char *key, const char *path,
                            int number, int64_t minimum, int64_t maximum) {
  for (size_t i = 0; i < json_array_size(list); i++) {
    const json_t *v = json_array_get(list, i);
    json_int_t id = json_integer_value(v);
    if (!json_is_integer(v) || id < INT32_MIN || id > INT32_MAX)
      return CZ_FAIL(CZ_EINVAL, "%s:%d: element %zu of %s is not a token id", path, number, i, key);
    if (id < minimum || id >= maximum)
      return CZ_FAIL(CZ_EINVAL, "%s:%d: element %zu of %s, %lld, is not in the vocabulary of %lld",
                     path, number, i, key, (long long)id, (long long)maximum);
    CZ_TRY(cz_ids_add(out, (int32_t)id));
  }
  return CZ_OK;
}

/* Encoder-decoder: the decoder reads the start id, then its own targets; a position that
 * is not counted is read as padding, as Hugging Face has it. */
static cz_status add_pair(cz_flat_batch *b, const cz_model_config *c, const json_t *line,
                          const char *path, int number) {
  const json_t *inputs, *targets;
  size_t enc = b->encoder.ids.len, dec = b->decoder.ids.len;
  CZ_TRY(get_list(line, "input_ids", path, number, &inputs));
  CZ_TRY(get_list(line, "target_ids", path, number, &targets));
  CZ_TRY(append_ids(&b->encoder.ids, inputs, "input_ids", path, number, 0, c->vocab_size));
  CZ_TRY(append_ids(&b->targets, targets, "target_ids", path, number, INT32_MIN, c->vocab_size));
  CZ_TRY(cz_ids_add(&b->decoder.ids, (int32_t)c->start_id));
  for (size_t i = dec; i + 1 < b->targets.len; i++)
    CZ_TRY(cz_ids_add(&b->decoder.ids,
                      b->targets.data[i] < 0 ? (int32_t)c->pad_id : b->targets.data[i]));
  CZ_TRY(cz_token_lists_close(&b->encoder, enc));
  return cz_token_lists_close(&b->decoder, dec);
}

/* Types beside the ids: all or none of a file's lines may lack them, and 0 is meant then. */
static cz_status add_types(cz_flat_batch *b, const cz_model_config *c, const json_t *line,
                           const char *path, int number, size_t from) {
  const json_t *types = json_object_get(line, "token_type_ids");
  const size_t n = b->decoder.ids.len - from;
  if (types && !cz_family_key(c->family, CZ_FACT_N_TYPES))
    return CZ_FAIL(CZ_EINVAL, "%s:%d: token_type_ids for a model of family %s, which has none",
                   path, number, c->family->name);
  if (types && json_array_size(types) != n)
    return CZ_FAIL(CZ_EINVAL, "%s:%d: %zu input_ids but %zu token_type_ids", path, number, n,
                   json_array_size(types));
  for (size_t i = 0; i < n; i++) {
    const json_t *type = json_array_get(types, i);
    if (types && (!json_is_integer(type) || json_integer_value(type) < 0 ||
                  json_integer_value(type) >= c->n_types))
      return CZ_FAIL(CZ_EINVAL, "%s:%d: element %zu of token_type_ids is not one of %lld types",
                     path, number, i, (long long)c->n_types);
    CZ_TRY(cz_ids_add(&b->types, (int32_t)json_integer_value(type)));
  }
  return CZ_OK;
}

static cz_status add_inputs(cz_flat_batch *b, const cz_model_config *c, const json_t *line,
                            const char *path, int number) {
  const json_t *inputs;
  const size_t from = b->decoder.ids.len;
  CZ_TRY(get_list(line, "input_ids", path, number, &inputs));
  CZ_TRY(append_ids(&b->decoder.ids, inputs, "input_ids", path, number, 0, c->vocab_size));
  if (cz_family_key(c->family, CZ_FACT_N_TYPES) || json_object_get(line, "token_type_ids"))
    CZ_TRY(add_types(b, c, line, path, number, from));
  return cz_token_lists_close(&b->decoder, from);
}

/* A text and its class. */
static cz_status add_class(cz_flat_batch *b, const cz_model_config *c, const json_t *line,
                           const char *path, int number, int64_t classes) {
  const json_t *label = json_object_get(line, "label");
  CZ_TRY(add_inputs(b, c, line, path, number));
  if (!json_is_integer(label) || json_integer_value(label) < 0 ||
      json_integer_value(label) >= classes)
    return CZ_FAIL(CZ_EINVAL, "%s:%d: label is missing or not a class from 0 to %lld", path, number,
                   (long long)classes - 1);
  return cz_ids_add(&b->targets, (int32_t)json_integer_value(label));
}

/* A single stack reads its inputs and predicts the next label, an encoder the label beside
 * each. */
static cz_status add_stack(cz_flat_batch *b, const cz_model_config *c, const json_t *line,
                           const char *path, int number) {
  const json_t *inputs, *labels, *prefix = json_object_get(line, "prefix");
  const bool aligned = c->family->architecture == CZ_ENCODER;
  size_t dec = b->decoder.ids.len;
  CZ_TRY(get_list(line, "input_ids", path, number, &inputs));
  CZ_TRY(get_list(line, "labels", path, number, &labels));
  if (json_array_size(inputs) != json_array_size(labels))
    return CZ_FAIL(CZ_EINVAL, "%s:%d: %zu input_ids but %zu labels", path, number,
                   json_array_size(inputs), json_array_size(labels));
  CZ_TRY(add_inputs(b, c, line, path, number));
  CZ_TRY(append_ids(&b->targets, labels, "labels", path, number, INT32_MIN, c->vocab_size));
  if (aligned) return CZ_OK;
  memmove(b->targets.data + dec, b->targets.data + dec + 1,
          (b->targets.len - dec - 1) * sizeof *b->targets.data);
  b->targets.data[b->targets.len - 1] = -100;
  if (prefix && (!json_is_integer(prefix) || json_integer_value(prefix) < 0 ||
                 json_integer_value(prefix) > (json_int_t)json_array_size(inputs)))
    return CZ_FAIL(CZ_EINVAL, "%s:%d: prefix is not a number of tokens from 0 to %zu", path, number,
                   json_array_size(inputs));
  return cz_ids_add(&b->prefix, (int32_t)json_integer_value(prefix));
}

/** Targets that the loss counts. */
int64_t cz_trace_counted(const cz_flat_batch *b) {
  int64_t n = 0;
  for (size_t i = 0; i < b->targets.len; i++) n += b->targets.data[i] >= 0;
  return n;
}

typedef struct batch_file {
  cz_flat_batch *batch;
  const cz_model_config *config;
  cz_head head;
} batch_file;

/* A class where there is to be a label for each token, or the other way round. */
static cz_status check_labels(cz_head head, const json_t *value, const cz_json_place *at) {
  const bool classifies = cz_trace_classifies(head);
  const char *wanted = classifies ? "label" : "labels", *other = classifies ? "labels" : "label";
  if (!json_object_get(value, other) || json_object_get(value, wanted)) return CZ_OK;
  return CZ_FAIL(CZ_EINVAL, "%s:%d: unknown key '%s'; head %s wants '%s', %s", at->file,
                 (int)at->line, other, cz_head_names[head], wanted,
                 classifies ? "one class of the text" : "a list with an id for each token");
}

/* Keys that a line may have; another one, a mask say, that nothing would read is refused. */
static cz_status check_keys(const batch_file *f, const json_t *value, const cz_json_place *at) {
  static const char *const of_pair[] = {"input_ids", "target_ids"},
                           *const of_stack[] = {"input_ids", "labels", "token_type_ids"},
                           *const of_prefix[] = {"input_ids", "labels", "prefix"},
                           *const of_class[] = {"input_ids", "label", "token_type_ids"};
  switch (f->config->family->architecture) {
  case CZ_ENCODER_DECODER: return cz_json_only(value, at, of_pair, 2);
  case CZ_PREFIX_LM: return cz_json_only(value, at, of_prefix, 3);
  case CZ_LANGUAGE_MODEL:
    if (!f->config->family->classes) return cz_json_only(value, at, of_prefix, 3);
    break;
  default: break;
  }
  CZ_TRY(check_labels(f->head, value, at));
  return cz_json_only(value, at, cz_trace_classifies(f->head) ? of_class : of_stack, 3);
}

static cz_status add_segment(void *self, const json_t *value, const cz_json_place *at) {
  const batch_file *f = self;
  const cz_model_config *c = f->config;
  const int number = (int)at->line;
  if (!json_is_object(value)) return cz_json_fail(at, NULL, "not an object");
  CZ_TRY(check_keys(f, value, at));
  f->batch->segments++;
  if (c->family->architecture == CZ_ENCODER_DECODER)
    return add_pair(f->batch, c, value, at->file, number);
  if (cz_trace_classifies(f->head))
    return add_class(f->batch, c, value, at->file, number,
                     f->head == CZ_HEAD_NEXT_SENTENCE ? 2 : c->n_labels);
  return add_stack(f->batch, c, value, at->file, number);
}

/** Whether HEAD has one target for each text, not for each token. */
bool cz_trace_classifies(cz_head head) {
  return head == CZ_HEAD_NEXT_SENTENCE || head == CZ_HEAD_CLASSIFICATION;
}

/** Reads the lines of PATH as one batch for HEAD of a model of CONFIG; cz_trace_usage says what
 * they are. CZ_EINVAL with file, line and value. */
cz_status cz_trace_read(cz_flat_batch *b, const cz_model_config *c, cz_head head,
                        const char *path) {
  batch_file file = {b, c, head};
  CZ_TRY(cz_json_lines(path, add_segment, &file));
  if (!b->segments) return CZ_FAIL(CZ_EINVAL, "%s: no segment in this file", path);
  return cz_trace_counted(b) ? CZ_OK : CZ_FAIL(CZ_EINVAL, "%s: no position is counted", path);
}
