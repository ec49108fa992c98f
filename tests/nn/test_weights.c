/* Model directories that are wrong, made from the committed T5 fixtures: numbers that are
 * not finite, tensors that nobody would read, second names with other numbers, sizes that
 * cannot be. Each is refused with its place; decoding refuses logits that are not finite. */
#include "common/common.h"
#include "checkpoint/safetensors.h"
#include "base/clock.h"
#include "base/fs.h"
#include "nn/decode.h"
#include "nn/hf.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIXTURE CZ_SOURCE_DIR "/tests/fixtures/t5/v1_0"

enum { MAX_TENSORS = 128 };

/* The fixture's tensors in memory, in float64. */
typedef struct weights {
  cz_safetensors *source;
  cz_safetensors_item items[MAX_TENSORS];
  double *data[MAX_TENSORS];
  size_t n;
} weights;

static void open_weights(weights *w) {
  *w = (weights){0};
  OK(cz_safetensors_open_model(&w->source, FIXTURE));
  w->n = cz_safetensors_count(w->source);
  assert_true(w->n + 2 < MAX_TENSORS);
  for (size_t i = 0; i < w->n; i++) {
    const cz_safetensors_info *info = cz_safetensors_at(w->source, i);
    w->data[i] = calloc(info->elements, sizeof(double));
    assert_non_null(w->data[i]);
    OK(cz_safetensors_read_f64(w->source, w->data[i], info->name, info->dims, info->rank));
    w->items[i] = (cz_safetensors_item){.name = info->name,
                                        .type = CZ_SAFETENSORS_F64,
                                        .from = CZ_SAFETENSORS_F64,
                                        .rank = info->rank,
                                        .dims = info->dims,
                                        .data = w->data[i]};
  }
}

static void close_weights(weights *w) {
  for (size_t i = 0; i < MAX_TENSORS; i++) free(w->data[i]);
  cz_safetensors_close(&w->source);
}

static size_t find(const weights *w, const char *name) {
  for (size_t i = 0; i < w->n; i++)
    if (!strcmp(w->items[i].name, name)) return i;
  fail_msg("the fixture has no %s", name);
  return 0;
}

/* One more tensor, a copy of NAME's numbers. */
static double *add_copy(weights *w, const char *name, const char *as) {
  size_t from = find(w, name), count = 1;
  for (int d = 0; d < w->items[from].rank; d++) count *= (size_t)w->items[from].dims[d];
  w->items[w->n] = w->items[from];
  w->items[w->n].name = as;
  w->data[w->n] = calloc(count, sizeof(double));
  assert_non_null(w->data[w->n]);
  memcpy(w->data[w->n], w->data[from], count * sizeof(double));
  w->items[w->n].data = w->data[w->n];
  return w->data[w->n++];
}

static void write_config(const char *key, const char *value) {
  cz_buf text = {0};
  char *at, word[128];
  OK(cz_fs_read(FIXTURE "/config.json", &text));
  OK(cz_buf_add(&text, "", 1));
  if (key) {
    snprintf(word, sizeof word, "\"%s\": ", key);
    at = strstr(text.data, word);
    assert_non_null(at);
    at += strlen(word);
    cz_buf changed = {0};
    OK(cz_buf_addf(&changed, "%.*s%s%s", (int)(at - text.data), text.data, value,
                   at + strcspn(at, ",\n}")));
    write_bytes("model/config.json", changed.data, changed.len);
    cz_buf_free(&changed);
  } else {
    write_bytes("model/config.json", text.data, text.len - 1);
  }
  cz_buf_free(&text);
}

static void write_weights(const weights *w) {
  write_config(NULL, NULL);
  OK(cz_safetensors_write(under("model/model.safetensors"), w->items, w->n));
}

static void refused_on(const char *device_name, cz_status code, const char *message) {
  cz_device *device;
  cz_model *m;
  OK(cz_device_open(&device, device_name));
  FAILS(cz_hf_open(&m, under("model"), device), code, message);
  assert_null(m);
  cz_device_close(&device);
}

static void opens(const char *device_name) {
  cz_device *device;
  cz_model *m;
  OK(cz_device_open(&device, device_name));
  OK(cz_hf_open(&m, under("model"), device));
  cz_model_destroy(&m);
  cz_device_close(&device);
}

/* One number of one tensor: its name and place are in the message. */
static void not_finite(void **state) {
  static const struct {
    const char *tensor, *place;
    size_t element;
    double value;
    const char *device;
  } bad[] = {
      {"encoder.block.0.layer.0.SelfAttention.q.weight", "at [2, 3] is not finite", 2 * 16 + 3, NAN,
       "ref"},
      {"encoder.block.0.layer.0.SelfAttention.q.weight", "at [0, 0] is not finite", 0, NAN, "cpu"},
      {"decoder.block.2.layer.2.DenseReluDense.wo.weight", "at [15, 23] is not finite", 16 * 24 - 1,
       -INFINITY, "cpu"},
      {"shared.weight", "at [63, 15] is not finite", 64 * 16 - 1, INFINITY, "ref"},
      {"decoder.final_layer_norm.weight", "at [7] is not finite", 7, NAN, "cpu"},
      {"decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
       "at [1, 0] is not finite", 3, NAN, "ref"},
      {"decoder.final_layer_norm.weight", "at [7] does not fit float32", 7, 1e200, "cpu"}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    weights w;
    open_weights(&w);
    w.data[find(&w, bad[i].tensor)][bad[i].element] = bad[i].value;
    write_weights(&w);
    refused_on(bad[i].device, CZ_ENUMERIC, bad[i].place);
    refused_on(bad[i].device, CZ_ENUMERIC, bad[i].tensor);
    close_weights(&w);
  }
}

/* A second name of a tensor may stand in the file when its numbers are the same; a stranger
 * may not, nor may a tensor be missing or of another shape. */
static void names(void **state) {
  static const char *const aliases[] = {"encoder.embed_tokens.weight",
                                        "decoder.embed_tokens.weight"};
  weights w;
  for (int i = 0; i < 2; i++) {
    char message[160];
    open_weights(&w);
    double *copy = add_copy(&w, "shared.weight", aliases[i]);
    write_weights(&w);
    opens("cpu");
    copy[5] = nextafter(copy[5], 10);
    write_weights(&w);
    snprintf(message, sizeof message, "tensor %s differs from shared.weight", aliases[i]);
    refused_on("cpu", CZ_EINVAL, message);
    w.items[find(&w, "shared.weight")].name = aliases[1 - i]; /* neither is the main name */
    write_weights(&w);
    refused_on("ref", CZ_EINVAL, "differs from encoder.embed_tokens.weight");
    close_weights(&w);
  }
  open_weights(&w);
  add_copy(&w, "shared.weight", "encoder.block.7.adapter.weight");
  write_weights(&w);
  refused_on("cpu", CZ_EINVAL, "tensor encoder.block.7.adapter.weight does not belong");
  w.n--;
  w.items[find(&w, "encoder.final_layer_norm.weight")].name = "encoder.final_layer_norm.gain";
  write_weights(&w);
  refused_on("cpu", CZ_EINVAL, "tensor encoder.final_layer_norm.weight is missing");
  close_weights(&w);
  open_weights(&w);
  const int64_t turned[2] = {24, 16};
  w.items[find(&w, "encoder.block.0.layer.1.DenseReluDense.wo.weight")].dims = turned;
  write_weights(&w);
  refused_on("cpu", CZ_EINVAL, "DenseReluDense.wo.weight is [24, 16], not [16, 24]");
  close_weights(&w);
}

/* Sizes that no model has are refused by their key before the weights are looked at, and
 * sizes that these weights do not have before memory is taken for them; both at once. */
static void sizes(void **state) {
  static const struct {
    const char *key, *value, *message;
  } bad[] = {
      {"num_layers", "8000", "num_layers: 8000 is not between 1 and 1024"},
      {"num_layers", "1000", "tensor encoder.block.2.layer.0.SelfAttention.q.weight is miss"},
      {"num_decoder_layers", "0", "num_decoder_layers: 0 is not between"},
      {"relative_attention_max_distance", "4294967424",
       "relative_attention_max_distance: 4294967424 is not between"},
      {"relative_attention_num_buckets", "4294967304",
       "relative_attention_num_buckets: 4294967304 is not between"},
      {"relative_attention_num_buckets", "6", "6 is not a multiple of 4"},
      {"vocab_size", "9223372036854775807", "vocab_size: 9223372036854775807 is not"},
      {"vocab_size", "-1", "vocab_size: -1 is not between"},
      {"vocab_size", "64.0", "vocab_size: expected a whole number, found 64"},
      {"vocab_size", "1000000000000000000000", "config.json"},
      {"d_model", "4294967312", "d_model: 4294967312 is not between"},
      {"d_model", "1048576", "shared.weight"},
      {"d_ff", "3000000000", "d_ff: 3000000000 is not between"},
      {"num_heads", "16384", "tensor encoder.block.0.layer.0.SelfAttention.q.weight is [12, "},
      {"num_heads", "99999", "num_heads: 99999 is not between"},
      {"d_kv", "1048576", "3 heads of 1048576 are more than 1048576 wide"},
      {"dropout_rate", "1.0", "dropout_rate: 1 is not in [0, 1)"},
      {"dropout_rate", "\"0.1\"", "dropout_rate: expected a number, found the text '0.1'"},
      {"layer_norm_epsilon", "0", "layer_norm_epsilon: 0 is not positive"},
      {"initializer_factor", "-1", "initializer_factor: -1 is not positive"},
      {"tie_word_embeddings", "1", "tie_word_embeddings: expected true or false, found 1"},
      {"eos_token_id", "64", "eos_token_id: special id 64 is outside the vocabulary of 64"},
      {"decoder_start_token_id", "4294967296", "decoder_start_token_id: special id 4294967296"}};
  weights w;
  open_weights(&w);
  write_weights(&w);
  opens("ref");
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    double began = cz_seconds();
    write_config(bad[i].key, bad[i].value);
    refused_on("cpu", CZ_EINVAL, bad[i].message);
    double took = cz_seconds() - began;
    if (took > 2) fail_msg("%s: %s took %.1f s to refuse", bad[i].key, bad[i].value, took);
  }
  close_weights(&w);
}

/* Weights that are finite and overflow all the same, and a weight that became NaN in
 * memory: decoding says so instead of scoring. */
static void logits(void **state) {
  static const struct {
    const char *device;
    double value;
  } bad[] = {{"cpu", NAN}, {"ref", NAN}, {"cpu", 1e30}, {"guard:cpu", INFINITY}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    cz_device *device;
    cz_model *m;
    cz_decoder *d;
    float out[64];
    const int32_t ids[] = {5, 6, 7}, spans[] = {0, 3}, start = 0, one = 1, segment = 0;
    const cz_decoder_options o = {
        .capacity_segments = 1, .capacity_encoder = 3, .max_beams = 1, .max_length = 4};
    const cz_feed f = {.segments = 1, .encoder = {ids, spans, 3}};
    OK(cz_device_open(&device, bad[i].device));
    OK(cz_hf_open(&m, FIXTURE, device));
    OK(cz_decoder_create(&d, m, &o));
    OK(cz_decoder_start(d, &f));
    OK(cz_decoder_step(d, out, &start, &one, &segment, NULL, 1));
    const cz_param *q = m->encoder.blocks[1].self.q.weight, *v = m->encoder.blocks[0].self.v.weight;
    double x[3 * 4 * 16];
    OK(cz_device_read_real(device, x, (bad[i].value == 1e30 ? v : q)->value, q->count));
    for (int64_t k = 0; k < q->count; k++) x[k] = k && bad[i].value != 1e30 ? x[k] : bad[i].value;
    OK(cz_device_write_real(device, (bad[i].value == 1e30 ? v : q)->value, x, q->count));
    OK(cz_decoder_start(d, &f));
    FAILS(cz_decoder_step(d, out, &start, &one, &segment, NULL, 1), CZ_ENUMERIC, "not finite");
    cz_decoder_destroy(&d);
    cz_model_destroy(&m);
    cz_device_close(&device);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(not_finite), cmocka_unit_test(names),
                                     cmocka_unit_test(sizes), cmocka_unit_test(logits)};
  return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
