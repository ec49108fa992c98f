/* Tiny random T5 models against Hugging Face (fixtures of scripts/make_t5_fixtures.py):
 * logits, loss and every gradient, in float64 and float32, fused and not, planned and
 * not, guarded and not; and a saved directory read again. */
#include "common/common.h"
#include "checkpoint/safetensors.h"
#include "graph/ops.h"
#include "nn/hf.h"
#include "nn/net.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 256, SEGMENTS = 8 };

/* batch.jsonl as the decoder reads it: targets shifted right behind the start id. */
typedef struct batch {
  int32_t enc[MOST], enc_spans[2 * SEGMENTS], dec[MOST], dec_spans[2 * SEGMENTS], targets[MOST];
  cz_feed feed;
} batch;

static int64_t read_ids(const json_t *line, const char *key, int32_t *out) {
  const json_t *list = json_object_get(line, key);
  for (size_t i = 0; i < json_array_size(list); i++)
    out[i] = (int32_t)json_integer_value(json_array_get(list, i));
  return (int64_t)json_array_size(list);
}

static void load_batch(batch *b, const char *folder) {
  char path[512], line[4096];
  snprintf(path, sizeof path, "%s/batch.jsonl", folder);
  FILE *f = fopen(path, "r");
  assert_non_null(f);
  memset(b, 0, sizeof *b);
  int64_t e = 0, d = 0, n = 0, counted = 0;
  while (fgets(line, sizeof line, f)) {
    json_t *j = json_loads(line, 0, NULL);
    b->enc_spans[2 * n] = (int32_t)e, b->dec_spans[2 * n] = (int32_t)d;
    e += read_ids(j, "input_ids", b->enc + e);
    int64_t m = read_ids(j, "target_ids", b->targets + d);
    for (int64_t i = 0; i < m; i++) {
      counted += b->targets[d + i] >= 0;
      b->dec[d + i] = i == 0 || b->targets[d + i - 1] < 0 ? 0 : b->targets[d + i - 1];
    }
    d += m;
    b->enc_spans[2 * n + 1] = (int32_t)e, b->dec_spans[2 * n + 1] = (int32_t)d;
    n++;
    json_decref(j);
  }
  fclose(f);
  b->feed = (cz_feed){.segments = n,
                      .encoder.tokens = e,
                      .decoder.tokens = d,
                      .n_loss_rows = d,
                      .encoder.ids = b->enc,
                      .encoder.spans = b->enc_spans,
                      .decoder.ids = b->dec,
                      .decoder.spans = b->dec_spans,
                      .targets = b->targets,
                      .denominator = (double)counted};
}

static double *expected(cz_safetensors *s, const char *name, int64_t *n) {
  const cz_safetensors_info *info = cz_safetensors_find(s, name);
  if (!info) fail_msg("fixture has no %s", name);
  double *x = calloc(info->elements + 1, sizeof *x);
  OK(cz_safetensors_read_f64(s, x, name, info->dims, info->rank));
  *n = (int64_t)info->elements;
  return x;
}

/* |got - want| <= tolerance x the tensor's largest |want|, element by element; NaN fails. */
static void compare(const char *what, const double *got, const double *want, int64_t n,
                    double tolerance) {
  double most = 0;
  for (int64_t i = 0; i < n; i++) most = fmax(most, fabs(want[i]));
  for (int64_t i = 0; i < n; i++)
    if (!(fabs(got[i] - want[i]) <= tolerance * most))
      fail_msg("%s[%lld]: got %.17g, want %.17g", what, (long long)i, got[i], want[i]);
}

static void check_logits(cz_net *net, const batch *b, cz_safetensors *s, double tolerance) {
  int64_t V = net->model->config.vocab_size, n;
  double *all = calloc((size_t)(b->feed.decoder.tokens * V), sizeof *all);
  OK(cz_graph_read(net->graph, all, net->logits, b->feed.decoder.tokens * V));
  for (int64_t k = 0; k < b->feed.segments; k++) {
    char name[32];
    snprintf(name, sizeof name, "logits.%lld", (long long)k);
    double *want = expected(s, name, &n);
    assert_int_equal(n, (b->dec_spans[2 * k + 1] - b->dec_spans[2 * k]) * V);
    compare(name, all + b->dec_spans[2 * k] * V, want, n, tolerance);
    free(want);
  }
  free(all);
}

static void check_grads(cz_model *m, cz_safetensors *s, double tolerance) {
  size_t seen = 0;
  for (size_t i = 0; i < m->params->n; i++) {
    cz_param *p = m->params->list[i];
    char name[256];
    int64_t n;
    snprintf(name, sizeof name, "grad.%s", p->name);
    double *want = expected(s, name, &n), *got = calloc((size_t)p->count, sizeof *got);
    assert_int_equal(n, p->count);
    OK(cz_device_read_real(m->device, got, p->grad, p->count));
    compare(name, got, want, n, tolerance);
    free(want);
    free(got);
    seen++;
  }
  size_t wanted = 0;
  for (size_t i = 0; i < cz_safetensors_count(s); i++)
    wanted += !strncmp(cz_safetensors_at(s, i)->name, "grad.", 5);
  assert_int_equal(seen, wanted); /* no parameter of theirs is missing here */
}

static void check(const char *family, const char *device_name, double tolerance,
                  cz_net_options options) {
  char original[512], path[600];
  cz_device *device;
  cz_model *m;
  cz_net *net;
  cz_safetensors *s;
  batch b;
  snprintf(original, sizeof original, CZ_SOURCE_DIR "/tests/fixtures/t5/%s", family);
  snprintf(path, sizeof path, "%s/expected.safetensors", original);
  OK(cz_device_open(&device, device_name));
  OK(cz_hf_open(&m, original, device));
  OK(cz_safetensors_open(&s, path));
  load_batch(&b, original);
  options.capacity_segments = SEGMENTS, options.capacity_encoder = options.capacity_decoder = 100,
  options.train = true, options.logits = true;
  OK(cz_net_create(&net, m, &options));
  for (int again = 0; again < 2; again++) { /* the second run finds used memory */
    cz_graph_run_options run = {0};
    OK(cz_net_feed(net, &b.feed));
    OK(cz_graph_train(net->graph, &run));
    int64_t n;
    double loss, *want = expected(s, "loss", &n);
    OK(cz_graph_read(net->graph, &loss, net->loss, 1));
    compare("loss", &loss, want, 1, tolerance);
    free(want);
    check_logits(net, &b, s, tolerance);
    check_grads(m, s, tolerance);
  }
  cz_net_destroy(&net);
  cz_safetensors_close(&s);
  cz_model_destroy(&m);
  cz_device_close(&device);
}

static void each(const char *family) {
  check(family, "ref", 1e-9, (cz_net_options){0});
  check(family, "ref", 1e-9, (cz_net_options){.no_fusion = true});
  check(family, "ref", 1e-9, (cz_net_options){.no_reuse = true});
  check(family, "ref", 1e-9, (cz_net_options){.recompute = true});
  check(family, "guard:ref", 1e-9, (cz_net_options){0});
  check(family, "cpu", 2e-5, (cz_net_options){0});
  check(family, "cpu", 2e-5, (cz_net_options){.recompute = true});
  check(family, "guard:cpu", 2e-5, (cz_net_options){.recompute = true});
}

static void parity_v1_0(void **state) { each("v1_0"); }
static void parity_v1_1(void **state) { each("v1_1"); }

/* Saved and opened again: the same parameters, bit for bit. */
static void round_trip(void **state) {
  const char *families[] = {"v1_0", "v1_1"};
  for (int f = 0; f < 2; f++) {
    char original[512];
    const char *copy = folder();
    cz_device *device;
    cz_model *a, *b;
    snprintf(original, sizeof original, CZ_SOURCE_DIR "/tests/fixtures/t5/%s", families[f]);
    OK(cz_device_open(&device, "ref"));
    OK(cz_hf_open(&a, original, device));
    OK(cz_hf_save(a, copy));
    OK(cz_hf_open(&b, copy, device));
    assert_int_equal(a->params->flat, b->params->flat);
    assert_memory_equal(a->params->values, b->params->values, (size_t)a->params->flat * 8);
    assert_int_equal(a->config.scaled, b->config.scaled);
    assert_int_equal(a->config.tied, b->config.tied);
    cz_model_destroy(&a);
    cz_model_destroy(&b);
    cz_device_close(&device);
  }
}

/* A model folder that is wrong in one place is refused with that place. */
static void refused(void **state) {
  cz_model_config c;
  const struct {
    const char *text, *message;
  } bad[] = {
      {"{\"model_type\": \"t5\", \"vocab_size\": 8}", "d_model is missing"},
      {"{\"model_type\": 5}", "model_type: expected a text, found 5"},
      {"{\"model_type\": \"t5\", \"cloze_family\": 5}", "cloze_family: expected a text, found 5"},
      {"{\"model_type\": \"t5\", \"feed_forward_proj\": [\"gelu\"]}",
       "feed_forward_proj: expected a text, found a list"},
      {"{\"model_type\": \"bart\"}", "model_type 'bart'"},
      {"{\"model_type\": \"bart\", \"cloze_family\": \"t5\"}",
       "model_type 'bart' contradicts cloze_family 't5', whose model_type is 't5'"},
      {"{\"model_type\": \"t5\", \"cloze_family\": \"lm\"}",
       "contradicts cloze_family 'lm', whose model_type is 'cloze-t5-stack'"},
      {"{\"model_type\": \"t5\", \"vocab_size\": \"8\"}",
       "vocab_size: expected a whole number, found the text '8'"},
      {"{\"model_type\": \"t5\", \"vocab_size\": 64, \"d_model\": 8, \"d_kv\": 4, \"d_ff\": "
       "8, \"num_layers\": 1, \"num_heads\": 2, "
       "\"relative_attention_max_distance\": 16}",
       "16 must be larger than half the buckets, 16"},
      {"{\"model_type\": ", "1"},
      {"{\"model_type\": \"t5\", \"feed_forward_proj\": \"gated-tanh\"}", "gated-tanh"},
      {"{\"model_type\": \"t5\", \"feed_forward_proj\": \"silu\"}",
       "relu, gelu, gelu_new, gelu_pytorch_tanh, gated-gelu"}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    const char *path = write_text("config.json", bad[i].text);
    assert_int_not_equal(cz_hf_config_read(&c, path), CZ_OK);
    if (!strstr(cz_error_message(), bad[i].message) || !strstr(cz_error_message(), path))
      fail_msg("message %s", cz_error_message());
  }
}

/* Every activation, gated and plain, comes back from a configuration as it went, or is
 * refused by its name. */
static void activations(void **state) {
  const char *path = under("activation.json");
  int written = 0;
  for (int i = 0; i < 2 * CZ_ACTIVATIONS; i++) {
    cz_model_config c, back;
    OK(cz_model_config_named(&c, "t5-v1_1-nano"));
    c.activation = i / 2;
    c.gated = i % 2;
    if (cz_hf_config_write(&c, path) != CZ_OK) {
      if (!strstr(cz_error_message(), cz_activation_names[i / 2]))
        fail_msg("message %s", cz_error_message());
      continue;
    }
    written++;
    OK(cz_hf_config_read(&back, path));
    if (back.activation != c.activation || back.gated != c.gated)
      fail_msg("%s, gated %d, comes back as %s, gated %d", cz_activation_names[c.activation],
               c.gated, cz_activation_names[back.activation], back.gated);
  }
  assert_true(written >= CZ_ACTIVATIONS - 1); /* none, which no feed-forward has, may be refused */
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(parity_v1_0), cmocka_unit_test(parity_v1_1),
                                     cmocka_unit_test(round_trip), cmocka_unit_test(refused),
                                     cmocka_unit_test(activations)};
  return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
