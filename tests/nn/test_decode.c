/* Incremental decoding with a cache must give the logits of the whole sequence at once,
 * for every architecture, also after beams change places. */
#include "common/common.h"
#include "nn/decode.h"
#include "nn/net.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { V = 50, LENGTH = 7, SOURCE = 5 };

static cz_model *tiny(const char *name, cz_device *device) {
  cz_model_config c;
  cz_model *m;
  OK(cz_model_config_named(&c, name));
  c.vocab_size = V, c.d_model = 12, c.d_kv = 5, c.d_ff = 20, c.n_layers = c.n_decoder_layers = 2,
  c.n_heads = 2, c.buckets = 8, c.max_distance = 16;
  OK(cz_model_create(&m, &c, device));
  OK(cz_params_init(m->params, 7));
  return m;
}

/* Logits of all positions of two sequences, from the scoring graph. PREFIX tokens of a
 * prefix LM see one another. */
static void whole(cz_model *m, double *out, const int32_t *src, const int32_t *ids,
                  int32_t prefix) {
  cz_net *net;
  cz_net_options o = {.capacity_segments = 2,
                      .capacity_encoder = 2 * SOURCE,
                      .capacity_decoder = 2 * LENGTH,
                      .logits = true};
  int32_t src_spans[] = {0, SOURCE, SOURCE, 2 * SOURCE}, spans[] = {0, LENGTH, LENGTH, 2 * LENGTH},
          prefixes[] = {prefix, prefix}, none[2 * LENGTH];
  for (int i = 0; i < 2 * LENGTH; i++) none[i] = -100;
  cz_feed f = {.segments = 2,
               .encoder.tokens = 2 * SOURCE,
               .decoder.tokens = 2 * LENGTH,
               .encoder.ids = src,
               .encoder.spans = src_spans,
               .decoder.ids = ids,
               .decoder.spans = spans,
               .prefix = prefixes,
               .targets = none,
               .n_loss_rows = 2 * LENGTH,
               .denominator = 1};
  cz_graph_run_options run = {0};
  OK(cz_net_create(&net, m, &o));
  OK(cz_net_feed(net, &f));
  OK(cz_graph_forward(net->graph, &run));
  OK(cz_graph_read(net->graph, out, net->logits, 2 * LENGTH * V));
  cz_net_destroy(&net);
}

static void near(const float *got, const double *want, const char *what, int step) {
  for (int v = 0; v < V; v++)
    if (!(fabs(got[v] - want[v]) <= 1e-5 * (1 + fabs(want[v]))))
      fail_msg("%s, step %d, logit %d: got %g, want %g", what, step, v, got[v], want[v]);
}

static void decode(const char *name, const char *device_name) {
  cz_device *device;
  OK(cz_device_open(&device, device_name));
  cz_model *m = tiny(name, device);
  bool pair = m->config.family->architecture == CZ_ENCODER_DECODER;
  int32_t src[2 * SOURCE], ids[2 * LENGTH], prompt = pair ? 1 : 3;
  for (int i = 0; i < 2 * SOURCE; i++) src[i] = (11 * i + 3) % V;
  for (int i = 0; i < 2 * LENGTH; i++) ids[i] = (7 * i + 5) % V;
  memcpy(ids + LENGTH, ids,
         (size_t)prompt *
             sizeof *ids); /* both begin alike, so that beams may swap after the prompt */
  double *want = calloc(2 * LENGTH * V, sizeof *want);
  if (pair) memcpy(src + SOURCE, src, SOURCE * sizeof *src);
  whole(m, want, src, ids, prompt);

  cz_decoder *d;
  cz_decoder_options o = {
      .capacity_segments = 2, .capacity_encoder = 2 * SOURCE, .max_beams = 3, .max_length = LENGTH};
  int32_t src_spans[] = {0, SOURCE, SOURCE, 2 * SOURCE}, segment[] = {0, 1, 0},
          prefix[] = {prompt, prompt, prompt};
  cz_feed f = {
      .segments = 2, .encoder.tokens = 2 * SOURCE, .encoder.ids = src, .encoder.spans = src_spans};
  float *logits = calloc(3 * V, sizeof *logits);
  OK(cz_decoder_create(&d, m, &o));
  for (int again = 0; again < 2; again++) {
    OK(cz_decoder_start(d, &f));
    int32_t first[3 * LENGTH], lengths[] = {prompt, prompt, prompt};
    for (int b = 0; b < 3; b++) memcpy(first + b * prompt, ids, (size_t)prompt * sizeof *ids);
    OK(cz_decoder_step(d, logits, first, lengths, segment, prefix, 3));
    for (int b = 0; b < 3; b++) near(logits + b * V, want + (prompt - 1) * V, "prompt", b);
    int32_t swapped = 0;
    for (int t = prompt; t < LENGTH; t++) {
      int32_t next[3], one[] = {1, 1, 1};
      for (int b = 0; b < 3; b++) next[b] = ids[((b + swapped) % 2) * LENGTH + t];
      OK(cz_decoder_step(d, logits, next, one, segment, prefix, 3));
      for (int b = 0; b < 3; b++)
        near(logits + b * V, want + (((b + swapped) % 2) * LENGTH + t) * V, name, t);
      const int32_t parent[] = {1, 2,
                                1}; /* beam 2 repeats beam 0, so this swaps the two sequences */
      OK(cz_decoder_reorder(d, parent, 3));
      swapped ^= 1;
    }
  }
  int32_t one[] = {1, 1, 1}, next[] = {2, 2, 2};
  assert_int_equal(cz_decoder_step(d, logits, next, one, segment, prefix, 3),
                   CZ_EINVAL); /* past max_length */
  assert_non_null(strstr(cz_error_message(), "room for 7"));
  cz_decoder_destroy(&d);
  free(logits);
  free(want);
  cz_model_destroy(&m);
  cz_device_close(&device);
}

static void encoder_decoder(void **state) {
  decode("t5-nano", "ref"), decode("t5-v1_1-nano", "cpu"), decode("t5-nano", "guard:cpu");
}
static void language_model(void **state) {
  decode("lm-nano", "ref"), decode("lm-nano", "guard:cpu");
}
static void prefix_lm(void **state) {
  decode("prefix-lm-nano", "ref"), decode("prefix-lm-nano", "guard:cpu");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(encoder_decoder),
                                     cmocka_unit_test(language_model), cmocka_unit_test(prefix_lm)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
