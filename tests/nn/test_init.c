/* Initial weights against the table of t5.md 1.3 (Mesh TensorFlow's initialisers): kind
 * and deviation of every parameter of the published sizes, and what follows from them:
 * the first loss. Bounds are six standard deviations of the statistic. */
#include "common/common.h"
#include "device/random.h"
#include "nn/net.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum shape { NORMAL, TRUNCATED, UNIFORM, ONES } shape;

/* By the end of the name; deviations in figures, 1 over the root of what stands
 * behind. */
typedef struct expected {
  const char *ends;
  shape shape;
  double v1_0, v1_1;
} expected;

static const expected table[] = {
    {"shared.weight", NORMAL, 1, 1},
    {".q.weight", NORMAL, 0.005524272, 0.005524272}, /* d_model d_kv = 512 x 64 */
    {".k.weight", NORMAL, 0.044194174, 0.044194174}, /* d_model = 512 */
    {".v.weight", NORMAL, 0.044194174, 0.044194174}, /* d_model */
    {".o.weight", NORMAL, 0.044194174, 0.051031036}, /* heads d_kv = 8 x 64; 6 x 64 */
    {".wi.weight", TRUNCATED, 0.044194174, NAN},     /* d_model; nominal, as all that are cut */
    {".wi_0.weight", TRUNCATED, NAN, 0.044194174},   /* d_model */
    {".wi_1.weight", TRUNCATED, NAN, 0.044194174},   /* d_model */
    {".wo.weight", TRUNCATED, 0.022097087, 0.03125}, /* d_ff = 2048; 1024 */
    {"lm_head.weight", TRUNCATED, NAN, 0.044194174}, /* d_model */
    {".relative_attention_bias.weight", UNIFORM, 0.387298335,
     0.397359707}, /* limits: (heads + 32) / 6 = 40 / 6; 38 / 6 */
    {"norm.weight", ONES, 1, 1},
};
enum { KINDS = sizeof table / sizeof *table };

static const expected *find(const char *name) {
  for (int i = 0; i < KINDS; i++) {
    size_t n = strlen(name), m = strlen(table[i].ends);
    if (n >= m && !strcmp(name + n - m, table[i].ends)) return &table[i];
  }
  fail_msg("nobody knows how %s begins", name);
  return NULL;
}

/* The mean of N draws of variance VARIANCE is near WANT. */
static void near(const char *name, const char *what, double got, double want, double variance,
                 double n) {
  if (!(fabs(got - want) <= 6 * sqrt(variance / n)))
    fail_msg("%s: %s is %.6g, should be %.6g +- %.2g", name, what, got, want,
             6 * sqrt(variance / n));
}

/* Numbers in units of their scale: mean, mean square, how many lie within 1, the
 * largest. */
typedef struct moments {
  double mean, square, inside, most;
} moments;

static moments measure(const float *x, int64_t n, double scale) {
  moments m = {0};
  for (int64_t i = 0; i < n; i++) {
    double y = x[i] / scale;
    m.mean += y / (double)n, m.square += y * y / (double)n, m.inside += (fabs(y) < 1) / (double)n;
    m.most = fmax(m.most, fabs(y));
  }
  return m;
}

/* Variance, fourth moment and share inside 1 of the three distributions of scale 1 (the
 * cut one: of the normal within +-2). */
static const double variance[] = {1, 0.773741, 1 / 3.0}, fourth[] = {3, 1.416189, 0.2},
                    inside[] = {0.682689, 0.715233, 1};

static void check_param(const cz_param *p, bool gated) {
  const expected *e = find(p->name);
  const float *x = p->value;
  double scale = gated ? e->v1_1 : e->v1_0, n = (double)p->count;
  if (e->shape == ONES) {
    for (int64_t i = 0; i < p->count; i++) assert_true(x[i] == 1);
    return;
  }
  moments m = measure(x, p->count, scale);
  near(p->name, "mean over scale", m.mean, 0, variance[e->shape], n);
  near(p->name, "variance over scale squared", m.square, variance[e->shape],
       fourth[e->shape] - variance[e->shape] * variance[e->shape], n);
  near(p->name, "share inside one scale", m.inside, inside[e->shape],
       inside[e->shape] * (1 - inside[e->shape]) + 1e-12, n);
  if (e->shape == NORMAL) assert_true(m.most > 3.5 && m.most < 8);
  if (e->shape == TRUNCATED) assert_true(m.most > 1.99 && m.most <= 2 * (1 + 1e-6));
  if (e->shape == UNIFORM) assert_true(m.most > 0.88 && m.most <= 1 + 1e-6);
}

/* Parameters of one shape are not one draw. */
static void check_unrelated(const cz_params *params) {
  for (size_t i = 0; i < params->n; i++)
    for (size_t j = 0; j < i; j++) {
      const cz_param *a = params->list[i], *b = params->list[j];
      if (a->count != b->count || a->init.kind == CZ_INIT_ONE || b->init.kind == CZ_INIT_ONE)
        continue;
      const float *x = a->value, *y = b->value;
      int64_t same = 0;
      for (int64_t k = 0; k < 100; k++) same += (x[k] > 0) == (y[k] > 0);
      if (same < 20 || same > 80)
        fail_msg("%s and %s have %lld of 100 signs in common", a->name, b->name, (long long)same);
    }
}

/* Widths as published; fewer rows of the embedding and one block, which no deviation
 * depends on. */
static void deviations(void **state) {
  static const struct {
    const char *name;
    size_t parameters; /* arrays: by block and stack, and what stands outside */
  } models[] = {{"t5-small", 8 + 13 + 2 * 2 + 1},
                {"t5-v1_1-small", 9 + 14 + 2 * 2 + 2},
                {"lm-small", 8 + 2 + 1},
                {"prefix-lm-small", 8 + 2 + 1}};
  cz_device *device;
  OK(cz_device_open(&device, "cpu"));
  for (size_t k = 0; k < sizeof models / sizeof *models; k++) {
    cz_model_config c;
    cz_model *m;
    OK(cz_model_config_named(&c, models[k].name));
    c.vocab_size = 300, c.n_layers = c.n_decoder_layers = 1;
    OK(cz_model_create(&m, &c, device));
    OK(cz_params_init(m->params, test_seed() + k));
    assert_int_equal(m->params->n, models[k].parameters);
    for (size_t i = 0; i < m->params->n; i++) check_param(m->params->list[i], k == 1);
    check_unrelated(m->params);
    cz_model_destroy(&m);
  }
  cz_device_close(&device);
}

enum { SEGMENTS = 16, LENGTH = 48, TOKENS = SEGMENTS * LENGTH };

static double loss_of(cz_model *m) {
  cz_net *net;
  cz_stream s;
  int32_t ids[3][TOKENS], spans[2 * SEGMENTS], prefix[SEGMENTS];
  double loss;
  const uint64_t V = (uint64_t)m->config.vocab_size;
  bool pair = m->config.family->architecture == CZ_ENCODER_DECODER;
  cz_stream_init(&s, test_seed(), "a batch", 0, 0);
  for (int i = 0; i < 2 * TOKENS; i++)
    ids[i / TOKENS][i % TOKENS] = (int32_t)cz_stream_below(&s, V);
  for (int i = 0; i < TOKENS; i++) ids[2][i] = i % LENGTH ? ids[1][i - 1] : 0;
  for (int b = 0; b < SEGMENTS; b++)
    spans[2 * b] = b * LENGTH, spans[2 * b + 1] = (b + 1) * LENGTH, prefix[b] = 1;
  cz_net_options o = {.capacity_segments = SEGMENTS,
                      .capacity_encoder = TOKENS,
                      .capacity_decoder = TOKENS,
                      .dropout = 0};
  cz_feed f = {.segments = SEGMENTS,
               .encoder.tokens = pair ? TOKENS : 0,
               .decoder.tokens = TOKENS,
               .n_loss_rows = TOKENS,
               .encoder.ids = ids[0],
               .encoder.spans = spans,
               .decoder.ids = ids[2],
               .decoder.spans = spans,
               .prefix = prefix,
               .targets = ids[1],
               .denominator = TOKENS};
  OK(cz_net_create(&net, m, &o));
  OK(cz_net_feed(net, &f));
  OK(cz_graph_forward(net->graph, &(cz_graph_run_options){0}));
  OK(cz_graph_read(net->graph, &loss, net->loss, 1));
  cz_net_destroy(&net);
  return loss;
}

/* Logits of deviation d lose ln V + d^2 / 2 on targets that nobody can know, on average.
 * Untied: rows of V are cut normals of nominal deviation d_model^-0.5 and the last norm
 * gives vectors of length d_model^0.5, so d^2 is 0.774. Tied: d is 1, and the token that
 * a position has just read scores more than chance, which costs a little on top. t5.md
 * 0.9 has "about 11" for V = 32,128 where a table of deviation 1 gives 110. */
static void first_losses(void **state) {
  static const struct {
    const char *name;
    int64_t V;
    double more; /* that the token just read may cost */
  } models[] = {{"t5-nano", 32128, 0.2},
                {"t5-v1_1-nano", 32128, 0},
                {"lm-nano", 32128, 0.3},
                {"t5-v1_1-small", 1000, 0}};
  cz_device *device;
  OK(cz_device_open(&device, "cpu"));
  for (size_t k = 0; k < sizeof models / sizeof *models; k++) {
    cz_model_config c;
    cz_model *m;
    OK(cz_model_config_named(&c, models[k].name));
    c.vocab_size = models[k].V;
    if (models[k].V < 32128) c.n_layers = c.n_decoder_layers = 1;
    OK(cz_model_create(&m, &c, device));
    OK(cz_params_init(m->params, test_seed()));
    double square = c.tied ? 1 : variance[TRUNCATED], want = log((double)c.vocab_size) + square / 2,
           chance = 6 * sqrt(square / TOKENS);
    double loss = loss_of(m);
    print_message("%s, vocabulary %lld: first loss %.3f, expected %.3f to %.3f\n", models[k].name,
                  (long long)models[k].V, loss, want - chance, want + chance + models[k].more);
    assert_true(loss > want - chance && loss < want + chance + models[k].more);
    cz_model_destroy(&m);
  }
  cz_device_close(&device);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(deviations), cmocka_unit_test(first_losses)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
