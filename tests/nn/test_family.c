/* Families that differ from T5 where T5 is special: layer norm with biases, biases on every
 * product, learned positions, norms before and after. The first is like GPT-2 (one stack,
 * fused and transposed query-key-value tensor), the second like BART (a pair, norms behind
 * the sum, a norm on the embedding). These, and every family of families.def: gradients against
 * central differences in float64, cpu against ref, decoding against the whole sequence, and
 * files written and read. */
#include "common/common.h"
#include "checkpoint/safetensors.h"
#include "graph/ops.h"
#include "kernels/cases.h"
#include "nn/decode.h"
#include "nn/hf.h"
#include "nn/net.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { V = 23, LENGTH = 6, SOURCE = 5, SEGMENTS = 2, POSITIONS = 7 };

static double small(const cz_model_config *c) { return 0.3; }

#define W(slot_, tensor_, ...)                                                                     \
  {                                                                                                \
    .slot = CZ_SLOT_##slot_, .tensor = tensor_, .init = CZ_INIT_NORMAL, .scale = small,            \
    __VA_ARGS__                                                                                    \
  }
#define QKV(slot_, tensor_, n) W(slot_, tensor_, .part = n, .parts = 3, .transposed = true)
#define END                                                                                        \
  { .tensor = NULL }

static const cz_weight gpt_weights[] = {W(EMBEDDING, "wte.weight"),
                                        W(POSITIONS, "wpe.weight"),
                                        W(SELF_NORM, "h.{i}.ln_1.weight"),
                                        W(SELF_NORM_BIAS, "h.{i}.ln_1.bias"),
                                        QKV(SELF_Q, "h.{i}.attn.c_attn.weight", 0),
                                        QKV(SELF_K, "h.{i}.attn.c_attn.weight", 1),
                                        QKV(SELF_V, "h.{i}.attn.c_attn.weight", 2),
                                        QKV(SELF_Q_BIAS, "h.{i}.attn.c_attn.bias", 0),
                                        QKV(SELF_K_BIAS, "h.{i}.attn.c_attn.bias", 1),
                                        QKV(SELF_V_BIAS, "h.{i}.attn.c_attn.bias", 2),
                                        W(SELF_O, "h.{i}.attn.c_proj.weight", .transposed = true),
                                        W(SELF_O_BIAS, "h.{i}.attn.c_proj.bias"),
                                        W(FFN_NORM, "h.{i}.ln_2.weight"),
                                        W(FFN_NORM_BIAS, "h.{i}.ln_2.bias"),
                                        W(WI, "h.{i}.mlp.c_fc.weight", .transposed = true),
                                        W(WI_BIAS, "h.{i}.mlp.c_fc.bias"),
                                        W(WO, "h.{i}.mlp.c_proj.weight", .transposed = true),
                                        W(WO_BIAS, "h.{i}.mlp.c_proj.bias"),
                                        W(FINAL_NORM, "ln_f.weight"),
                                        W(FINAL_NORM_BIAS, "ln_f.bias"),
                                        END};

static const cz_config_key gpt_keys[] = {
    {.key = "vocab_size", .fact = CZ_FACT_VOCAB_SIZE, .missing = CZ_MISSING_ERROR},
    {.key = "n_positions", .fact = CZ_FACT_N_POSITIONS, .missing = CZ_MISSING_ERROR},
    {.key = "n_embd", .fact = CZ_FACT_D_MODEL, .missing = CZ_MISSING_ERROR},
    {.key = "n_inner", .fact = CZ_FACT_D_FF},
    {.key = "n_layer", .fact = CZ_FACT_N_LAYERS, .missing = CZ_MISSING_ERROR},
    {.key = "n_head", .fact = CZ_FACT_N_HEADS, .missing = CZ_MISSING_ERROR},
    {.key = "resid_pdrop", .fact = CZ_FACT_DROPOUT},
    {.key = "layer_norm_epsilon", .fact = CZ_FACT_NORM_EPS},
    {.key = "activation_function", .fact = CZ_FACT_ACTIVATION},
    {.key = "eos_token_id", .fact = CZ_FACT_EOS_ID},
    {.key = NULL}};

static const cz_projection gpt_projections[] = {{"gelu_new", CZ_ACTIVATION_GELU_TANH, false},
                                                {.name = NULL}};

static const cz_family gpt = {.name = "toy-gpt",
                              .help = "one stack, norms before",
                              .architecture = CZ_LANGUAGE_MODEL,
                              .norm = CZ_NORM_LAYER,
                              .norm_place = CZ_NORM_BEFORE,
                              .positions = CZ_POSITIONS_LEARNED,
                              .scaled_attention = true,
                              .defaults = {.dropout = 0.1,
                                           .norm_eps = 1e-5,
                                           .init_factor = 1,
                                           .activation = CZ_ACTIVATION_GELU_TANH,
                                           .tied = true},
                              .model_types = {"gpt2"},
                              .hf_class = "ToyGPT",
                              .keys = gpt_keys,
                              .projections = gpt_projections,
                              .weights = gpt_weights};

#define LINEAR(slot_, tensor_)                                                                     \
  W(slot_, "model.{s}.layers.{i}." tensor_ ".weight"),                                             \
      W(slot_##_BIAS, "model.{s}.layers.{i}." tensor_ ".bias")
static const cz_weight bart_weights[] = {
    W(EMBEDDING, "model.shared.weight"),
    W(POSITIONS, "model.{s}.embed_positions.weight"),
    W(EMBEDDING_NORM, "model.{s}.layernorm_embedding.weight"),
    W(EMBEDDING_NORM_BIAS, "model.{s}.layernorm_embedding.bias"),
    LINEAR(SELF_K, "self_attn.k_proj"),
    LINEAR(SELF_V, "self_attn.v_proj"),
    LINEAR(SELF_Q, "self_attn.q_proj"),
    LINEAR(SELF_O, "self_attn.out_proj"),
    LINEAR(SELF_NORM, "self_attn_layer_norm"),
    LINEAR(CROSS_K, "encoder_attn.k_proj"),
    LINEAR(CROSS_V, "encoder_attn.v_proj"),
    LINEAR(CROSS_Q, "encoder_attn.q_proj"),
    LINEAR(CROSS_O, "encoder_attn.out_proj"),
    LINEAR(CROSS_NORM, "encoder_attn_layer_norm"),
    LINEAR(WI, "fc1"),
    LINEAR(WO, "fc2"),
    LINEAR(FFN_NORM, "final_layer_norm"),
    END};

static const cz_family bart = {.name = "toy-bart",
                               .help = "a pair, norms after",
                               .architecture = CZ_ENCODER_DECODER,
                               .norm = CZ_NORM_LAYER,
                               .norm_place = CZ_NORM_AFTER,
                               .positions = CZ_POSITIONS_LEARNED,
                               .position_offset = 2,
                               .scaled_attention = true,
                               .defaults = {.dropout = 0.1,
                                            .norm_eps = 1e-5,
                                            .init_factor = 1,
                                            .activation = CZ_ACTIVATION_GELU,
                                            .tied = true},
                               .weights = bart_weights};

/* The two above, then those of families.def; null behind the last. */
static const cz_family *family_at(size_t i) {
  static const cz_family *const own[] = {&gpt, &bart};
  const size_t n = sizeof own / sizeof *own;
  return i < n ? own[i] : cz_family_at(i - n);
}

static bool is_pair(const cz_family *f) { return f->architecture == CZ_ENCODER_DECODER; }

static cz_model_config config_of(const cz_family *f) {
  cz_model_config c = f->defaults;
  c.family = f;
  c.vocab_size = V, c.d_model = 8, c.d_kv = 4, c.n_heads = 2, c.d_ff = 12;
  c.n_layers = 2, c.n_decoder_layers = 2, c.eos_id = 1;
  if (cz_family_key(f, CZ_FACT_D_EMBEDDING)) c.d_embedding = 5, c.n_inner = 2;
  if (f->positions == CZ_POSITIONS_LEARNED) c.n_positions = POSITIONS;
  if (f->positions_behind_pad) c.n_positions += c.pad_id + 1;
  c.init_factor *=
      f->classes ? 10 : 1; /* published ranges leave gradients that drown in rounding */
  return c;
}

static cz_model *model_of(const cz_family *f, cz_device *device) {
  cz_model_config c = config_of(f);
  cz_model *m;
  OK(cz_model_create(&m, &c, device));
  OK(cz_params_init(m->params, 5));
  return m;
}

typedef struct batch {
  int32_t enc[SEGMENTS * SOURCE], enc_spans[2 * SEGMENTS], dec[SEGMENTS * LENGTH],
      dec_spans[2 * SEGMENTS], targets[SEGMENTS * LENGTH], prefix[SEGMENTS],
      types[SEGMENTS * LENGTH];
  cz_feed feed;
} batch;

static void fill(batch *b, const cz_family *f) {
  memset(b, 0, sizeof *b);
  for (int s = 0; s < SEGMENTS; s++) b->prefix[s] = s + 1; /* read by a prefix LM alone */
  for (int i = 0; i < SEGMENTS * SOURCE; i++) b->enc[i] = (5 * i + 2) % V;
  for (int i = 0; i < SEGMENTS * LENGTH; i++) {
    b->dec[i] = (7 * i + 3) % V;
    if (b->dec[i] <= 1) b->dec[i] += 9; /* padding's rows have no gradient by look-ups */
    b->types[i] = i % 3 == 1;
    b->targets[i] = i % 4 ? (3 * i + 1) % V : -100;
  }
  for (int s = 0; s < SEGMENTS; s++) {
    b->enc_spans[2 * s] = s * SOURCE, b->enc_spans[2 * s + 1] = (s + 1) * SOURCE;
    b->dec_spans[2 * s] = s * LENGTH, b->dec_spans[2 * s + 1] = (s + 1) * LENGTH;
  }
  b->feed = (cz_feed){.segments = SEGMENTS,
                      .encoder = {b->enc, b->enc_spans, is_pair(f) ? SEGMENTS * SOURCE : 0},
                      .decoder = {b->dec, b->dec_spans, SEGMENTS * LENGTH, b->types},
                      .prefix = b->prefix,
                      .n_loss_rows = SEGMENTS * LENGTH,
                      .targets = b->targets,
                      .denominator = 7};
  if (f->defaults.n_types < 2) b->feed.decoder.types = NULL;
}

static cz_net_options options_of(bool train, bool recompute) {
  return (cz_net_options){.capacity_segments = SEGMENTS,
                          .capacity_encoder = 20,
                          .capacity_decoder = 20,
                          .train = train,
                          .recompute = recompute,
                          .logits = !train,
                          .dropout = -1};
}

static const cz_graph_run_options with_dropout = {.key = {.seed = 3, .step = 4}, .training = true};

static double loss_of(cz_net *net, const batch *b) {
  double loss;
  OK(cz_net_feed(net, &b->feed));
  OK(cz_graph_forward(net->graph, &with_dropout));
  OK(cz_graph_read(net->graph, &loss, net->loss, 1));
  return loss;
}

/* One parameter along a random direction: the derivative that backward gives is that of
 * central differences, dropout on. Its own size is the measure. */
static void check_param(cz_net *score, const batch *b, cz_param *p, cz_rand *r) {
  double *x = calloc(3 * (size_t)p->count, sizeof *x), *dir = x + p->count, *g = dir + p->count;
  double want = 0, size = 0, best = INFINITY;
  cz_device *device = score->model->device;
  assert_non_null(x);
  OK(cz_device_read_real(device, x, p->value, p->count));
  OK(cz_device_read_real(device, g, p->grad, p->count));
  for (int64_t i = 0; i < p->count; i++) {
    dir[i] = cz_rand_normal(r);
    want += dir[i] * g[i];
    size += g[i] * g[i];
  }
  for (double h = 1e-3; h > 1e-6; h /= 10) {
    double loss[2];
    for (int side = 0; side < 2; side++) {
      for (int64_t i = 0; i < p->count; i++) dir[i] = x[i] + (side ? -h : h) * dir[i];
      OK(cz_device_write_real(device, p->value, dir, p->count));
      loss[side] = loss_of(score, b);
      for (int64_t i = 0; i < p->count; i++) dir[i] = (dir[i] - x[i]) / (side ? -h : h);
    }
    best = fmin(best, fabs((loss[0] - loss[1]) / (2 * h) - want));
  }
  OK(cz_device_write_real(device, p->value, x, p->count));
  if (!(best <= 1e-5 * sqrt(size) + 1e-9))
    fail_msg("%s: derivative %.12g is off by %.3g", p->name, want, best);
  free(x);
}

static void gradients(void **state) {
  cz_rand r = {.state = test_seed()};
  const cz_family *f;
  for (size_t i = 0; (f = family_at(i)); i++) {
    cz_device *device;
    cz_net *train, *score;
    batch b;
    cz_net_options o = options_of(true, i % 2), s = options_of(false, false);
    OK(cz_device_open(&device, "ref"));
    cz_model *m = model_of(f, device);
    fill(&b, f);
    OK(cz_net_create(&train, m, &o));
    OK(cz_net_create(&score, m, &s));
    OK(cz_net_feed(train, &b.feed));
    OK(cz_graph_train(train->graph, &with_dropout));
    for (size_t k = 0; k < m->params->n; k++) check_param(score, &b, m->params->list[k], &r);
    cz_net_destroy(&train);
    cz_net_destroy(&score);
    cz_model_destroy(&m);
    cz_device_close(&device);
  }
}

/* Gradients of all parameters on DEVICE, one behind the other. */
static double *all_gradients(const cz_family *f, const char *name, double *loss, int64_t *n) {
  cz_device *device;
  cz_net *net;
  batch b;
  cz_net_options o = options_of(true, false);
  OK(cz_device_open(&device, name));
  cz_model *m = model_of(f, device);
  fill(&b, f);
  OK(cz_net_create(&net, m, &o));
  OK(cz_net_feed(net, &b.feed));
  OK(cz_graph_train(net->graph, &with_dropout));
  OK(cz_graph_read(net->graph, loss, net->loss, 1));
  double *g = calloc((size_t)m->params->count, sizeof *g);
  assert_non_null(g);
  *n = 0;
  for (size_t i = 0; i < m->params->n; *n += m->params->list[i++]->count)
    OK(cz_device_read_real(device, g + *n, m->params->list[i]->grad, m->params->list[i]->count));
  cz_net_destroy(&net);
  cz_model_destroy(&m);
  cz_device_close(&device);
  return g;
}

static void devices(void **state) {
  static const char *const others[] = {"cpu", "guard:cpu", "guard:ref"};
  for (size_t i = 0; family_at(i / 3); i++) {
    const cz_family *f = family_at(i / 3);
    int64_t n, k;
    double want_loss, loss, largest = 0, *want = all_gradients(f, "ref", &want_loss, &n),
                            *got = all_gradients(f, others[i % 3], &loss, &k);
    assert_int_equal(n, k);
    assert_true(fabs(loss - want_loss) <= 1e-5 * want_loss);
    for (k = 0; k < n; k++) largest = fmax(largest, fabs(want[k]));
    for (k = 0; k < n; k++)
      if (!(fabs(got[k] - want[k]) <= 2e-5 * largest))
        fail_msg("%s on %s: gradient element %lld is %g, not %g", f->name, others[i % 3],
                 (long long)k, got[k], want[k]);
    free(want);
    free(got);
  }
}

/* Nothing is longer than the table of positions. */
static void refuses_length(cz_net *net, cz_model *m, batch *b, cz_decoder_options o) {
  cz_decoder *d;
  o.max_length = POSITIONS + 1;
  assert_int_equal(cz_decoder_create(&d, m, &o), CZ_EINVAL);
  assert_non_null(strstr(cz_error_message(), "sequences of 8 tokens, the model has 7 positions"));
  b->dec_spans[1] = b->dec_spans[2] = POSITIONS + 1;
  assert_int_equal(cz_net_feed(net, &b->feed), CZ_EINVAL);
  assert_non_null(strstr(cz_error_message(), "segment 0 has 8 tokens, the model has 7 positions"));
}

/* Token by token with caches gives the logits of the whole sequence. */
static void decoding(void **state) {
  const cz_family *f;
  for (size_t k = 0; (f = family_at(k)); k++) {
    if (f->architecture == CZ_PREFIX_LM || f->architecture == CZ_ENCODER) continue;
    cz_device *device;
    cz_net *net;
    cz_decoder *d;
    batch b;
    float logits[SEGMENTS * V];
    cz_net_options o = options_of(false, false);
    cz_decoder_options decode = {.capacity_segments = SEGMENTS,
                                 .capacity_encoder = SEGMENTS * SOURCE,
                                 .max_beams = SEGMENTS,
                                 .max_length = LENGTH};
    double *want = calloc(SEGMENTS * LENGTH * V, sizeof *want);
    OK(cz_device_open(&device, k % 2 ? "guard:cpu" : "ref"));
    cz_model *m = model_of(f, device);
    fill(&b, f);
    OK(cz_net_create(&net, m, &o));
    OK(cz_net_feed(net, &b.feed));
    OK(cz_graph_forward(net->graph, &(cz_graph_run_options){0}));
    OK(cz_graph_read(net->graph, want, net->logits, SEGMENTS * LENGTH * V));
    OK(cz_decoder_create(&d, m, &decode));
    OK(cz_decoder_start(d, &b.feed));
    for (int t = 0; t < LENGTH; t++) {
      const int32_t next[] = {b.dec[t], b.dec[LENGTH + t]}, one[] = {1, 1}, segment[] = {0, 1};
      OK(cz_decoder_step(d, logits, next, one, segment, NULL, SEGMENTS));
      for (int i = 0; i < SEGMENTS * V; i++) {
        double expected = want[(i / V * LENGTH + t) * V + i % V];
        if (!(fabs(logits[i] - expected) <= 1e-5 * (1 + fabs(expected))))
          fail_msg("%s, token %d, logit %d: %g, not %g", f->name, t, i, logits[i], expected);
      }
    }
    cz_decoder_destroy(&d);
    if (f->positions == CZ_POSITIONS_LEARNED) refuses_length(net, m, &b, decode);
    cz_net_destroy(&net);
    cz_model_destroy(&m);
    cz_device_close(&device);
    free(want);
  }
}

static bool has_key(const cz_family *f, int fact) {
  const cz_config_key *key = f->keys;
  while (key->key && (int)key->fact != fact) key++;
  return key->key;
}

/* Every family of the list is complete, and what is saved comes back: facts, and every bit of
 * every parameter. */
static void every_family(void **state) {
  const cz_family *f;
  char path[64];
  for (size_t i = 0; (f = cz_family_at(i)); i++) {
    cz_device *device;
    cz_model_config read;
    cz_model *back;
    OK(cz_device_open(&device, "ref"));
    cz_model *m = model_of(f, device);
    assert_true(cz_architecture_names[f->architecture]);
    assert_true(f->help && f->sizes && f->sizes->name && f->model_types[0] && f->hf_class);
    OK(cz_hf_save(m, under(f->name)));
    snprintf(path, sizeof path, "%s/config.json", f->name);
    OK(cz_hf_config_read(&read, under(path)));
    OK(cz_hf_load(&back, &read, under(f->name), device));
    assert_ptr_equal(read.family, f);
    for (int k = 0; k < CZ_FACTS; k++)
      if (cz_facts[k].kind == CZ_FACT_INT && (k < CZ_FACT_PAD_ID || has_key(f, k)) &&
          memcmp((char *)&read + cz_facts[k].at, (char *)&m->config + cz_facts[k].at, 8))
        fail_msg("%s: %s does not come back", f->name, cz_facts[k].name);
    assert_true(read.activation == m->config.activation && read.gated == m->config.gated &&
                read.tied == m->config.tied && read.scaled == m->config.scaled &&
                read.norm_eps == m->config.norm_eps && read.dropout == m->config.dropout);
    assert_int_equal(m->params->flat, back->params->flat);
    assert_memory_equal(m->params->values, back->params->values, (size_t)m->params->flat * 8);
    cz_model_destroy(&m);
    cz_model_destroy(&back);
    cz_device_close(&device);
  }
}

/* A fused, transposed tensor is written whole, and its ranges come back. */
static void files(void **state) {
  cz_device *device;
  cz_model_config read;
  cz_model *back;
  cz_safetensors *s;
  double tensor[8 * 24], q[64], k[64];
  const int64_t dims[2] = {8, 24};
  OK(cz_device_open(&device, "ref"));
  cz_model *m = model_of(&gpt, device);
  OK(cz_hf_save(m, under("gpt")));
  OK(cz_hf_config_read_as(&read, under("gpt/config.json"), &gpt));
  assert_int_equal(read.d_kv, 4);
  assert_int_equal(read.d_ff, 12);
  assert_int_equal(read.n_positions, POSITIONS);
  OK(cz_hf_load(&back, &read, under("gpt"), device));
  assert_int_equal(m->params->n, back->params->n);
  for (size_t i = 0; i < m->params->n; i++)
    assert_memory_equal(m->params->list[i]->value, back->params->list[i]->value,
                        (size_t)m->params->list[i]->count * sizeof(double));
  OK(cz_safetensors_open_model(&s, under("gpt")));
  assert_int_equal(cz_safetensors_count(s), 2 + 2 * 12 + 2);
  OK(cz_safetensors_read_f64(s, tensor, "h.1.attn.c_attn.weight", dims, 2));
  OK(cz_device_read_real(device, q, m->decoder.blocks[1].self.q.weight->value, 64));
  OK(cz_device_read_real(device, k, m->decoder.blocks[1].self.k.weight->value, 64));
  for (int out = 0; out < 8; out++)
    for (int in = 0; in < 8; in++) {
      assert_true(tensor[in * 24 + out] == q[out * 8 + in]);
      assert_true(tensor[in * 24 + 8 + out] == k[out * 8 + in]);
    }
  cz_safetensors_close(&s);
  cz_model_destroy(&m);
  cz_model_destroy(&back);
  const char *path = write_text("wrong.json", "{\"vocab_size\": 9, \"n_positions\": 0, \"n_embd\": "
                                              "8, \"n_layer\": 1, \"n_head\": 2}");
  assert_int_equal(cz_hf_config_read_as(&read, path, &gpt), CZ_EINVAL);
  assert_non_null(strstr(cz_error_message(), "n_positions: 0 is not between 1 and"));
  path = write_text("wrong.json", "{\"vocab_size\": 9, \"n_positions\": 4, \"n_layer\": 1}");
  assert_int_equal(cz_hf_config_read_as(&read, path, &gpt), CZ_EINVAL);
  assert_non_null(strstr(cz_error_message(), "key n_embd is missing"));
  cz_device_close(&device);
}

/* Counting declares, and a map that leaves out a weight is refused. */
static void counted(void **state) {
  cz_model_config c = config_of(&gpt);
  cz_family broken = gpt;
  int64_t n;
  OK(cz_model_count(&n, &c));
  assert_int_equal(n, V * 8 + POSITIONS * 8 +
                          2 * (4 * 8 + 4 * (64 + 8) + (8 * 12 + 12) + (12 * 8 + 8)) + 2 * 8);
  static const cz_weight few[] = {W(EMBEDDING, "wte.weight"), END};
  broken.weights = few;
  c.family = &broken;
  assert_int_equal(cz_model_count(&n, &c), CZ_EINVAL);
  assert_non_null(strstr(cz_error_message(), "family toy-gpt has no self.q"));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(gradients), cmocka_unit_test(devices),
                                     cmocka_unit_test(decoding),  cmocka_unit_test(every_family),
                                     cmocka_unit_test(files),     cmocka_unit_test(counted)};
  test_seed();
  return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
