/* Nets whose attentions without a relative bias are of the op attention_cudnn, by its oracle: the
 * same loss and gradients as with attention; and which nets are refused, with the value that is in
 * the way. */
#include "graph_test.h"
#include "graph/internal.h"
#include "nn/attention.h"

static cz_net_options options(bool cudnn, int64_t longest) {
  cz_net_options o = net_options(0);
  o.cudnn = cudnn;
  o.longest_encoder = o.longest_decoder = longest;
  return o;
}

static bool all_full(const cz_stack_input *s, int64_t segments) {
  bool full = true;
  for (int64_t b = 0; b < segments; b++) full &= s->spans[2 * b + 1] > s->spans[2 * b];
  return full;
}

static bool full_segments(const batch *b) {
  return all_full(&b->feed.encoder, b->feed.segments) &&
         all_full(&b->feed.decoder, b->feed.segments);
}

static void same_numbers(void **state) {
  static const char *const models[] = {"t5-nano", "t5-v1_1-nano"};
  cz_rand r = {.state = test_seed()};
  for (size_t i = 0; i < sizeof models / sizeof *models; i++)
    for (int k = 0; k < 4; k++) {
      cz_device *device;
      batch b;
      outcome own, by_cudnn;
      OK(cz_device_open(&device, "ref"));
      cz_model *m = tiny_model(models[i], device, 1);
      do /* cuDNN cannot be told of a segment without tokens */
        random_batch(&b, &r, m, cz_rand_int(&r, 1, MOST_SEGMENTS), false);
      while (!full_segments(&b));
      cz_model_destroy(&m);
      cz_device_close(&device);
      cz_net_options o = options(false, 0);
      outcome_of_net(&own, "ref", models[i], &o, &b, 1);
      o = options(true, k & 1 ? MOST_TOKENS : 0);
      o.recompute = k & 2;
      outcome_of_net(&by_cudnn, k & 1 ? "ref" : "guard:ref", models[i], &o, &b, 1);
      nearly(models[i], &by_cudnn, &own, 1e-9);
      outcome_free(&own);
      outcome_free(&by_cudnn);
    }
}

/* Which attentions are which, and what they are told of lengths. */
static void nodes(void **state) {
  cz_device *device;
  cz_net *net;
  OK(cz_device_open(&device, "ref"));
  cz_model *m = tiny_model("t5-nano", device, 1);
  cz_net_options o = options(true, 0);
  o.longest_encoder = 40, o.longest_decoder = 30;
  OK(cz_net_create(&net, m, &o));
  int cross = 0, self = 0;
  for (size_t i = 0; i < net->graph->n_nodes; i++) {
    const cz__node *n = &net->graph->nodes[i];
    const cz_attention_cudnn_attr *a = (const void *)n->attr;
    self += n->op == CZ_OP_attention && strstr(n->name, "self.attention");
    if (n->op != CZ_OP_attention_cudnn) continue;
    assert_non_null(strstr(n->name, "cross.attention"));
    assert_true(a->longest_q == 30 && a->longest_k == 40 && !a->causal);
    cross++;
  }
  assert_true(cross == m->config.n_decoder_layers && self == cross + m->config.n_layers);
  batch b;
  random_batch(&b, &(cz_rand){.state = 1}, m, 1, false);
  b.feed.decoder.tokens = 31, b.dec_spans[1] = 31;
  b.feed.n_loss_rows = 31;
  FAILS(cz_net_feed(net, &b.feed), CZ_EINVAL,
        "decoder: segment 0 has 31 tokens, the net was made for 30");
  b.feed.decoder.tokens = 0, b.dec_spans[1] = 0;
  b.feed.n_loss_rows = 0;
  FAILS(cz_net_feed(net, &b.feed), CZ_EINVAL, "decoder: segment 0 has no tokens, which cuDNN");
  cz_net_destroy(&net);
  cz_model_destroy(&m);
  cz_device_close(&device);
}

static void refused(const char *device_name, const char *model, double dropout, const char *why) {
  cz_device *device;
  cz_net *net;
  OK(cz_device_open(&device, device_name));
  cz_model *m = tiny_model(model, device, 1);
  cz_net_options o = options(true, 0);
  o.dropout = dropout;
  FAILS(cz_net_create(&net, m, &o), CZ_EUSAGE, why);
  cz_model_destroy(&m);
  cz_device_close(&device);
}

static void refusals(void **state) {
  refused("ref", "lm-nano", 0, "attention cudnn: every attention of a ");
  refused("ref", "prefix-lm-nano", 0, "attention cudnn: cuDNN has no mask for the prefix of a ");
  refused("ref", "t5-nano", 0.1,
          "attention cudnn: dropout is 0.1, and cuDNN does not draw this program's masks");
  refused("cpu", "t5-nano", 0, "attention cudnn: device cpu has no cuDNN; a card has");
#ifdef CZ_HAVE_EMULATOR
  refused("emu", "t5-nano", 0, "attention cudnn: device emu has no cuDNN; a card has");
#endif
}

static const cz_kernels *only_forward(cz_device *d, cz_op op, cz_dtype dtype) {
  static cz_kernels k;
  k = cz_op_rows[op]->kernels[dtype];
  k.backward = NULL;
  return &k;
}

/* Without a device, as a plan is checked; and the keys that are blamed. */
static void by_the_recipe(void **state) {
  cz_device *device;
  const char *key;
  OK(cz_device_open(&device, "ref"));
  cz_model *m = tiny_model("t5-nano", device, 1);
  cz_model_config c = m->config;
  cz_attention_wish w = {.config = &c, .precision = CZ_PRECISION_BF16};
  OK(cz_attention_refused(&w, &key));
  w.precision = CZ_PRECISION_F32;
  FAILS(cz_attention_refused(&w, &key), CZ_EUSAGE, "the precision is f32");
  assert_string_equal(key, "train.precision");
  w.dropout = 0.2;
  FAILS(cz_attention_refused(&w, &key), CZ_EUSAGE, "dropout is 0.2");
  assert_string_equal(key, "model.dropout");
  c.d_kv = 20;
  FAILS(cz_attention_refused(&w, &key), CZ_EUSAGE,
        "d_kv is 20; cuDNN takes a multiple of 8, at most 256");
  assert_string_equal(key, "model.d_kv");
  c.d_kv = 264;
  FAILS(cz_attention_refused(&w, &key), CZ_EUSAGE, "d_kv is 264");
  w = (cz_attention_wish){.config = &m->config, .device = device};
  OK(cz_attention_try_cudnn(&w));
  cz_device half = *device; /* as a card whose cuDNN has no deterministic backward */
  half.kernels = only_forward;
  w.device = &half;
  FAILS(cz_attention_try_cudnn(&w), CZ_EUSAGE, "op attention_cudnn has no f64 backward kernel");
  cz_model_destroy(&m);
  cz_device_close(&device);
}

/* Nets of the tests are by the oracle; a run of a user is not, whose log would say cuDNN. */
static void no_run_on_the_oracle(void **state) {
  static const char *const names[] = {"ref", "guard:ref"};
  for (int i = 0; i < 2; i++) {
    cz_device *device;
    const char *key;
    char words[100];
    OK(cz_device_open(&device, names[i]));
    cz_model *m = tiny_model("t5-nano", device, 1);
    cz_attention_wish w = cz_attention_wish_of(m, 0);
    OK(cz_attention_refused(&w, &key));
    snprintf(words, sizeof words, "attention cudnn: device %s has no cuDNN", names[i]);
    FAILS(cz_attention_refused_to_run(&w, &key), CZ_EUSAGE, words);
    assert_string_equal(key, "train.attention");
    w.device = NULL, w.precision = CZ_PRECISION_BF16;
    OK(cz_attention_refused_to_run(&w, &key));
    cz_model_destroy(&m);
    cz_device_close(&device);
  }
}

/* What a choice comes to on a device. */
static void chosen(const char *name, cz_attention_choice choice, bool expected, const char *words) {
  cz_device *device;
  char why[512];
  OK(cz_device_open(&device, name));
  cz_model *m = tiny_model("t5-nano", device, 1);
  const cz_attention_wish w = cz_attention_wish_of(m, 0);
  assert_int_equal(cz_attention_takes_cudnn(choice, &w, why, sizeof why), expected);
  assert_true(*words ? !!strstr(why, words) : !*why);
  cz_model_destroy(&m);
  cz_device_close(&device);
}

static void choices(void **state) {
  chosen("ref", CZ_ATTENTION_OWN, false, "");
  chosen("ref", CZ_ATTENTION_BY_CUDNN, true,
         "attention: by cuDNN from decoder to encoder; self-attention, which has a relative bias, "
         "by our own kernels");
  chosen("ref", CZ_ATTENTION_AUTO, false, "attention: our own kernels; device ref has no cuDNN");
  chosen("cpu", CZ_ATTENTION_AUTO, false, "attention: our own kernels; device cpu has no cuDNN");
#ifdef CZ_HAVE_EMULATOR
  chosen("emu", CZ_ATTENTION_AUTO, false, "attention: our own kernels; device emu has no cuDNN");
#endif
}

/* `auto` by a table that has this machine in it, by the oracle's kernels. */
static void by_a_table(void **state) {
  cz_device *device;
  cz_device_info info;
  char why[512];
  OK(cz_device_open(&device, "ref"));
  OK(device->info(device, &info));
  cz_model *m = tiny_model("t5-nano", device, 1);
  cz_attention_wish w = cz_attention_wish_of(m, 0);
  cz_attention_times table[] = {{"another card", 3, 1}, {info.name, 200, 300}, {NULL, 0, 0}};
  assert_false(cz_attention_auto(table, &w, why, sizeof why));
  assert_non_null(strstr(why, "attention: our own kernels, 200 us on "));
  assert_non_null(strstr(why, " where cuDNN's take 300"));
  table[1].cudnn_us = 100;
  assert_true(cz_attention_auto(table, &w, why, sizeof why));
  assert_non_null(strstr(why, "attention: by cuDNN from decoder to encoder; "));
  assert_non_null(strstr(why, "by our own kernels; 100 us on "));
  assert_non_null(strstr(why, " where our own kernels take 200"));
  w.dropout = 0.1;
  assert_false(cz_attention_auto(table, &w, why, sizeof why));
  assert_non_null(strstr(why, "attention: our own kernels, though cuDNN's are faster on "));
  assert_non_null(strstr(why, ": attention cudnn: dropout is 0.1, "));
  table[1].card = NULL;
  assert_false(cz_attention_auto(table, &w, why, sizeof why));
  assert_non_null(strstr(why, "cuDNN's were not timed on "));
  cz_model_destroy(&m);
  cz_device_close(&device);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(same_numbers),
                                     cmocka_unit_test(nodes),
                                     cmocka_unit_test(refusals),
                                     cmocka_unit_test(by_the_recipe),
                                     cmocka_unit_test(no_run_on_the_oracle),
                                     cmocka_unit_test(choices),
                                     cmocka_unit_test(by_a_table)};
  eight_models = true;
  return cmocka_run_group_tests_name("graph cudnn", tests, NULL, NULL);
}
