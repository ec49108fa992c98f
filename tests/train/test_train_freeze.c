/* What is frozen (train.freeze) has no gradient and no state of an optimizer, keeps its bits, and
 * changes nothing for what is trained. */
#include "train_test.h"

#include "device/flat.h"
#include "device/random.h"
#include "training/loop.h"
#include "training/optimizer.h"

enum { EOS = 1, V = 12, PAIRS = 200, STEPS = 8 };

static const char frozen[] = "encoder.*,decoder.block.0.layer.2.DenseReluDense.w*";

/* A device that counts what is taken of it. */
static size_t taken;
static cz_status (*take)(cz_device *d, void **out, size_t bytes);

static cz_status counted(cz_device *d, void **out, size_t bytes) {
  taken += bytes;
  return take(d, out, bytes);
}

typedef struct bench {
  cz_device *device;
  cz_comm *comm;
  cz_model *model;
  cz_pairs pairs;
  cz_source source;
} bench;

/* With a model in which FREEZE is frozen. */
static void open_bench(bench *b, const char *freeze) {
  cz_model_config c;
  cz_stream s;
  memset(b, 0, sizeof *b);
  cz_stream_init(&s, 9, "numbers", 0, 0);
  OK(cz_device_open(&b->device, "cpu"));
  take = b->device->alloc;
  b->device->alloc = counted;
  OK(cz_comm_open(&b->comm, "self"));
  OK(cz_model_config_named(&c, "t5-nano"));
  c.vocab_size = V, c.d_model = 32, c.d_kv = 8, c.d_ff = 48, c.n_heads = 4, c.dropout = 0;
  c.n_layers = c.n_decoder_layers = 2;
  OK(cz_model_create(&b->model, &c, b->device));
  OK(cz_params_init(b->model->params, 4));
  OK(cz_model_freeze(b->model, freeze));
  for (int i = 0; i < PAIRS; i++) {
    int32_t word[6];
    const int64_t n = 1 + (int64_t)cz_stream_below(&s, 6);
    for (int64_t k = 0; k < n; k++) word[k] = 2 + (int32_t)cz_stream_below(&s, V - 2);
    OK(cz_pairs_add(&b->pairs, word, n, word, n));
  }
  OK(cz_source_pairs(&b->source, &b->pairs, EOS, 7));
}

static void close_bench(bench *b) {
  cz_source_destroy(&b->source);
  cz_pairs_free(&b->pairs);
  cz_model_destroy(&b->model);
  cz_comm_close(&b->comm);
  cz_device_close(&b->device);
}

static void train(const bench *b, int optimizer, int64_t steps) {
  const cz_loop_job job = {
      .what = "learn",
      .folder = under("run"),
      .comm = b->comm,
      .model = b->model,
      .source = &b->source,
      .layout = CZ_LAYOUT_ENCDEC,
      .seed = 3,
      .examples = PAIRS,
      .batch = {.input_tokens = 128,
                .target_tokens = 128,
                .shards = 2,
                .window = 4,
                .on_long = CZ_LONG_REFUSE},
      .optimizer = {.name = optimizer,
                    .learning_rate = 0.01,
                    .beta1 = 0.9,
                    .beta2 = 0.98,
                    .epsilon = 1e-8,
                    .weight_decay = 0.1,
                    .decay_exponent = 0.8,
                    .clip_threshold = 1},
      .train = {
          .steps = steps, .checkpoint_seconds = 1e9, .log_steps = 1000000, .nonfinite_limit = 5}};
  cz_loop_result r;
  OK(cz_loop_run(&r, &job));
  assert_int_equal(r.skipped, 0);
}

static void train_anew(const bench *b, int optimizer, int64_t steps) {
  remove_tree("run");
  OK(cz_fs_make_dirs(under("run")));
  OK(cz_params_init(b->model->params, 4));
  train(b, optimizer, steps);
}

static bool same_values(const cz_param *a, const cz_param *b) {
  assert_string_equal(a->name, b->name);
  return !memcmp(a->value, b->value, (size_t)a->count * sizeof(float));
}

/* Gradients and two moments are fewer by exactly what the frozen parameters take of a buffer. */
static void bytes(void **state) {
  const cz_optimizer_keys adamw = {.name = CZ_OPTIMIZER_ADAMW};
  size_t all[2], state_bytes[2], away = 0;
  for (int some = 0; some < 2; some++) {
    bench b;
    cz_optimizer *o;
    open_bench(&b, some ? frozen : "");
    const cz_params *p = b.model->params;
    taken = 0;
    OK(cz_params_allocate_grads(b.model->params, 3));
    OK(cz_optimizer_create(&o, &adamw, b.model->params));
    all[some] = taken;
    state_bytes[some] = cz_optimizer_bytes(o);
    assert_int_equal(cz_optimizer_elements(&adamw, p) * 4, state_bytes[some]);
    for (size_t i = 0; i < p->n; i++) {
      const cz_param *q = p->list[i];
      assert_true(q->trainable == (q->grad != NULL));
      away += q->trainable ? 0 : (size_t)q->room * sizeof(float);
    }
    cz_optimizer_destroy(&o);
    close_bench(&b);
  }
  print_message("gradients and moments: %zu bytes, with %zu of parameters frozen %zu\n", all[0],
                away, all[1]);
  assert_true(away > 10000);
  assert_int_equal(all[0] - all[1], 3 * away);
  assert_int_equal(state_bytes[0] - state_bytes[1], 2 * away);
}

/* One step from the same weights: what is trained moves as it does when all is trained, since
 * nothing of a step but the gradient's norm, which is not clipped here, is common to parameters. */
static void one_step(void **state) {
  const int optimizers[] = {CZ_OPTIMIZER_ADAMW, CZ_OPTIMIZER_ADAFACTOR};
  for (size_t k = 0; k < 2; k++) {
    bench all, some, origin;
    int moved = 0, stayed = 0;
    open_bench(&all, NULL);
    open_bench(&some, frozen);
    open_bench(&origin, NULL);
    train_anew(&all, optimizers[k], 1);
    train_anew(&some, optimizers[k], 1);
    for (size_t i = 0; i < all.model->params->n; i++) {
      const cz_param *a = all.model->params->list[i], *s = some.model->params->list[i];
      const bool is_frozen = !strncmp(s->name, "encoder.", 8) || strstr(s->name, "layer.2.Dense");
      if (strstr(s->name, "decoder.block.1.layer.2.Dense")) assert_true(s->trainable);
      if (same_values(s, (s->trainable ? all : origin).model->params->list[i])) {
        *(s->trainable ? &moved : &stayed) += 1;
        if (s->trainable)
          assert_false(same_values(a, origin.model->params->list[i]));
        else
          assert_true(is_frozen);
        continue;
      }
      fail_msg("%s is %s and has other values", s->name, s->trainable ? "trained" : "frozen");
    }
    assert_true(moved > 10 && stayed > 10);
    close_bench(&all), close_bench(&some), close_bench(&origin);
  }
}

/* Stopped in the middle and gone on: the same bits, from a checkpoint that has no state of what is
 * frozen. */
static void goes_on(void **state) {
  bench whole, parts;
  open_bench(&whole, frozen);
  open_bench(&parts, frozen);
  train_anew(&whole, CZ_OPTIMIZER_ADAMW, STEPS);
  train_anew(&parts, CZ_OPTIMIZER_ADAMW, STEPS / 2);
  OK(cz_params_init(parts.model->params, 5));
  train(&parts, CZ_OPTIMIZER_ADAMW, STEPS);
  for (size_t i = 0; i < whole.model->params->n; i++)
    assert_true(same_values(whole.model->params->list[i], parts.model->params->list[i]));
  close_bench(&whole), close_bench(&parts);
}

/* In mixed precision copies of what is trained follow, and the others stay what they were. */
static void in_16_bits(void **state) {
  bench b, origin;
  open_bench(&b, frozen);
  open_bench(&origin, NULL);
  OK(cz_model_compute(b.model, CZ_PRECISION_BF16, false));
  train_anew(&b, CZ_OPTIMIZER_ADAMW, STEPS);
  for (size_t i = 0; i < b.model->params->n; i++) {
    const cz_param *q = b.model->params->list[i];
    assert_true(same_values(q, origin.model->params->list[i]) != q->trainable);
  }
  close_bench(&b), close_bench(&origin);
}

static void refused(void **state) {
  bench b;
  open_bench(&b, NULL);
  FAILS(cz_model_freeze(b.model, "encoder.*, shared.wieght"), CZ_EUSAGE,
        "no parameter of this model is called 'shared.wieght'; did you mean 'shared.weight'?");
  FAILS(cz_model_freeze(b.model, "body"), CZ_EUSAGE, "nothing is left to train");
  for (size_t i = 0; i < b.model->params->n; i++) assert_true(b.model->params->list[i]->trainable);
  close_bench(&b);
  expect(2, "pretrain @/pretrain.yaml --out @/none train.freeze=encoder.blok.*",
         "no parameter of this model is called 'encoder.blok.*'");
  expect(2, "pretrain @/pretrain.yaml --out @/none train.freeze=*", "nothing is left to train");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(bytes), cmocka_unit_test(one_step),
                                     cmocka_unit_test(goes_on), cmocka_unit_test(in_16_bits),
                                     cmocka_unit_test(refused)};
  return cmocka_run_group_tests_name("freezing", tests, make_runs, drop_runs);
}
