#include "small.h"
#include "common/common.h"
#include "device/random.h"

/** One layer a stack, with matrices that Adafactor factors and others, and dropout. */
cz_model *small_model(cz_device *device) {
  cz_model_config c;
  cz_model *m;
  OK(cz_model_config_named(&c, "t5-v1_1-nano"));
  c.vocab_size = SMALL_VOCABULARY, c.d_model = 128, c.d_kv = 5, c.d_ff = 24,
  c.n_layers = c.n_decoder_layers = 1, c.n_heads = 3;
  c.buckets = 8, c.max_distance = 16, c.dropout = 0.2;
  OK(cz_model_create(&m, &c, device));
  OK(cz_params_init(m->params, 11));
  return m;
}

/** Made-up pairs, and the source that draws from them. */
void small_source(cz_source *source, cz_pairs *pairs) {
  cz_stream s;
  int32_t ids[2][6];
  *pairs = (cz_pairs){0};
  cz_stream_init(&s, 7, "pairs of the far device", 0, 0);
  for (int i = 0; i < SMALL_PAIRS; i++) {
    for (int k = 0; k < 12; k++)
      ids[k / 6][k % 6] = 2 + (int32_t)cz_stream_below(&s, SMALL_VOCABULARY - 2);
    OK(cz_pairs_add(pairs, ids[0], 2 + i % 5, ids[1], 2 + i % 4));
  }
  OK(cz_source_pairs(source, pairs, 1, 7));
}

/** A job of 3 shards and 2 steps in the folder of the test. */
cz_loop_job small_job(cz_model *model, cz_comm *comm, const cz_source *source, int optimizer) {
  return (cz_loop_job){
      .what = "far",
      .folder = folder(),
      .comm = comm,
      .model = model,
      .source = source,
      .layout = CZ_LAYOUT_ENCDEC,
      .seed = 3,
      .examples = SMALL_PAIRS,
      .batch = {.input_tokens = 72,
                .target_tokens = 72,
                .shards = 3,
                .window = 2,
                .on_long = CZ_LONG_REFUSE},
      .optimizer = {.name = optimizer,
                    .schedule = CZ_SCHEDULE_CONSTANT,
                    .learning_rate = 0.01,
                    .clip_norm = 1,
                    .beta1 = 0.9,
                    .beta2 = 0.99,
                    .epsilon = 1e-6,
                    .decay_exponent = 0.8,
                    .clip_threshold = 1},
      .train = {.steps = 2, .checkpoint_seconds = 1e9, .log_steps = 1, .nonfinite_limit = 1}};
}
