/* Whole nets of every family: what the planner, the fusions, recomputation and the guard
 * may not change, dropout included; scoring graphs; empty batches; the same dropout on
 * ref and cpu. */
#include "base/log.h"
#include "graph/internal.h"
#include "graph_test.h"

#include <math.h>

static const char *const families[] = {"t5-nano", "t5-v1_1-nano", "lm-nano", "prefix-lm-nano"};
enum { FAMILIES = sizeof families / sizeof *families };

typedef struct setting {
  const char *device, *model;
  arithmetic how;
  bool per_token, loss_rows;
  double dropout;
} setting;

static void against(const setting *s, const outcome *base, const batch *b, cz_net_options o,
                    const char *device, const char *what) {
  char text[192];
  outcome got;
  if (!device) return;
  snprintf(text, sizeof text, "%s %s on %s, dropout %g per %s%s: %s", s->model, name_of(s->how),
           device, s->dropout, s->per_token ? "token" : "segment", s->loss_rows ? ", gathered" : "",
           what);
  outcome_in(&got, device, s->model, &o, b, test_seed(), s->how);
  same_bits(text, &got, base);
  outcome_free(&got);
}

static void draw_batch(batch *b, cz_rand *r, const char *model, int64_t segments, bool loss_rows) {
  cz_device *device;
  OK(cz_device_open(&device, "ref"));
  cz_model *m = tiny_model(model, device, 1);
  random_batch(b, r, m, segments, loss_rows);
  cz_model_destroy(&m);
  cz_device_close(&device);
}

/* The most of a batch. Emulated threads take their time for each. */
static int64_t segments(void) { return runs_once ? 3 : MOST_SEGMENTS; }

static void check_setting(const setting *s, cz_rand *r) {
  const char *guard = any_guard(s->device);
  batch b;
  outcome base;
  draw_batch(&b, r, s->model, cz_rand_int(r, 1, segments()), s->loss_rows);
  cz_net_options plain = net_options(s->dropout), o;
  plain.dropout_per_token = s->per_token, plain.loss_rows = s->loss_rows, plain.z_loss = 1e-2,
  plain.label_smoothing = 0.1;
  outcome_in(&base, s->device, s->model, &plain, &b, test_seed(), s->how);
  assert_true(isfinite(base.loss) && base.loss >= 0);
  o = plain, o.no_reuse = true;
  against(s, &base, &b, o, s->device, "memory never reused");
  o = plain, o.recompute = true;
  against(s, &base, &b, o, s->device, "recomputed");
  o.no_reuse = true;
  against(s, &base, &b, o, s->device, "recomputed, memory never reused");
  against(s, &base, &b, plain, guard, "guarded");
  o = plain, o.recompute = true;
  against(s, &base, &b, o, guard, "guarded and recomputed");
  /* Fused nodes do the same operations in the same order, and those that fusion joins are
   * compiled without contraction: the same bits everywhere. */
  o = plain, o.no_fusion = true;
  against(s, &base, &b, o, s->device, "not fused");
  o.recompute = true;
  against(s, &base, &b, o, guard, "guarded, recomputed, not fused");
  outcome_free(&base);
}

enum { SETTINGS = 8 };

/* All settings of all families, or as many as CZ_TEST_CASES says: then of one family after the
 * other, with settings that the seed says. */
static void variants_in(const char *device, arithmetic how, cz_rand *r) {
  const int all = FAMILIES * SETTINGS, cases = any_cases(all), first = (int)cz_rand_int(r, 0, 3);
  for (int n = 0; n < cases && n < all; n++) {
    const int k = cases < all ? (int)cz_rand_int(r, 0, SETTINGS - 1) : n / FAMILIES;
    setting s = {.device = device,
                 .model = families[(first + n) % FAMILIES],
                 .how = how,
                 .per_token = k & 1,
                 .loss_rows = k & 2,
                 .dropout = k & 4 ? 0.3 : 0};
    check_setting(&s, r);
  }
}

static void variants(const char *device) {
  static const arithmetic kinds[] = {IN_REAL, IN_BF16, IN_F16};
  cz_rand r = {.state = test_seed()};
  for (int i = 0; i < (any_name(NULL) ? 3 : 1); i++) /* test_graph_precision is cpu's in 16 bits */
    if (tried_in(device, kinds[i])) variants_in(device, kinds[i], &r);
}

static void variants_first(void **state) { variants(any_name("ref")); }

static void variants_cpu(void **state) {
  if (!any_name(NULL)) variants("cpu");
}

/* ref and the other device draw the same masks, so a training run with strong dropout has nearly
 * the same loss and gradient on both. */
static void same_masks(void **state) {
  const char *other = any_name("cpu");
  cz_rand r = {.state = test_seed() + 1};
  if (!tried_in(other, IN_REAL)) return;
  for (int f = 0; f < FAMILIES; f++)
    for (int per_token = 0; per_token < 2; per_token++) {
      batch b;
      outcome ref, got;
      draw_batch(&b, &r, families[f], segments(), false);
      cz_net_options o = net_options(0.3);
      o.dropout_per_token = per_token;
      outcome_of_net(&ref, "ref", families[f], &o, &b, test_seed());
      outcome_of_net(&got, other, families[f], &o, &b, test_seed());
      nearly(families[f], &got, &ref, 1e-4);
      outcome_free(&ref);
      outcome_free(&got);
    }
}

/* The loss of a training graph without dropout, and of one that scores. */
static void score_of(const char *name, const char *family, bool loss_rows, bool no_fusion,
                     cz_rand *r) {
  cz_net *train, *score;
  batch b;
  double a, c;
  cz_device *device = any_open(name);
  cz_model *m = tiny_model(family, device, test_seed());
  random_batch(&b, r, m, segments(), loss_rows);
  cz_net_options o = net_options(0.2);
  o.loss_rows = loss_rows, o.no_fusion = no_fusion;
  OK(cz_net_create(&train, m, &o));
  o.train = false;
  OK(cz_net_create(&score, m, &o));
  cz_graph_run_options run = {0};
  OK(cz_net_feed(train, &b.feed));
  OK(cz_net_feed(score, &b.feed));
  OK(cz_graph_train(train->graph, &run));
  OK(cz_graph_forward(score->graph, &run));
  OK(cz_graph_read(train->graph, &a, train->loss, 1));
  OK(cz_graph_read(score->graph, &c, score->loss, 1));
  if (!(a == c)) fail_msg("%s on %s: scoring gives %.17g, training %.17g", family, name, c, a);
  assert_true(cz_graph_bytes(score->graph) < cz_graph_bytes(train->graph));
  cz_net_destroy(&train);
  cz_net_destroy(&score);
  cz_model_destroy(&m);
  any_close(&device);
}

/* A scoring graph makes no saved outputs, and its loss is that of a training graph
 * without dropout, bit for bit. */
static void scoring(void **state) {
  static const char *const own[] = {"ref", "cpu", "guard:ref", "guard:cpu", NULL};
  cz_rand r = {.state = test_seed() + 2};
  for (int f = 0; f < FAMILIES; f++)
    for (const char *const *name = any_devices(own); *name; name++)
      for (int no_fusion = 0; no_fusion < 2; no_fusion++)
        score_of(*name, families[f], f & 1, no_fusion, &r);
}

static void check_empty(const char *name, const char *family, bool recompute, bool loss_rows,
                        int64_t segments) {
  cz_net *net;
  outcome o;
  batch b;
  memset(&b, 0, sizeof b);
  cz_net_options options = net_options(0.2);
  options.recompute = recompute, options.loss_rows = loss_rows;
  b.feed = (cz_feed){.segments = segments,
                     .encoder.ids = b.enc,
                     .encoder.spans = b.enc_spans,
                     .decoder.ids = b.dec,
                     .decoder.spans = b.dec_spans,
                     .prefix = b.prefix,
                     .targets = b.targets,
                     .loss_rows = b.loss_rows,
                     .denominator = 1};
  cz_device *device = any_open(name);
  cz_model *m = tiny_model(family, device, test_seed());
  OK(cz_net_create(&net, m, &options));
  cz_graph_run_options run = {.training = true};
  OK(cz_net_feed(net, &b.feed));
  OK(cz_graph_train(net->graph, &run));
  OK(cz_graph_read(net->graph, &o.loss, net->loss, 1));
  outcome_of_params(&o, m->params);
  assert_true(o.loss == 0);
  for (int64_t i = 0; i < o.n; i++)
    if (o.grad[i] != 0)
      fail_msg("%s on %s: gradient element %lld is %g", family, name, (long long)i, o.grad[i]);
  outcome_free(&o);
  cz_net_destroy(&net);
  cz_model_destroy(&m);
  any_close(&device);
}

/* No token, and segments without tokens: nothing is read, the loss and every gradient are
 * zero. */
static void empty_batches(void **state) {
  static const char *const own[] = {"ref", "cpu", "guard:cpu", NULL};
  for (int f = 0; f < FAMILIES; f++)
    for (const char *const *name = any_devices(own); *name; name++)
      for (int k = 0; k < 8; k += runs_once ? 3 : 1)
        check_empty(*name, families[f], k & 1, k & 2, k & 4 ? 2 : 0);
}

/* Bytes from the beginning of the activations to the end of the last that steps touch. */
static size_t extent(const cz_graph *g) {
  size_t last = 0;
  for (size_t i = 0; i < g->n_values; i++) {
    const cz__value *v = &g->values[i];
    if (v->kind != CZ__TENSOR || !v->arg.data) continue;
    const cz_arg now = cz__resolve(g, v, false);
    const char *end =
        (const char *)v->arg.data + (size_t)cz_numel(&now) * cz_dtype_bytes(now.dtype);
    assert_true((const char *)v->arg.data >= (const char *)g->memory);
    if ((size_t)(end - (const char *)g->memory) > last)
      last = (size_t)(end - (const char *)g->memory);
  }
  return last;
}

/* One net for batches of other and other sizes: the bits of a net that is made for each and gives
 * every tensor its own memory, with its tensors no further apart than the largest batch asked for.
 */
static void moves_with(const char *name, const char *family, cz_rand *r) {
  static const int64_t sizes[] = {1, 2, 1, 5, 3, 8, 1, 8};
  cz_device *device = any_open(name);
  cz_model *m = tiny_model(family, device, test_seed());
  cz_net *net;
  cz_net_options o = net_options(0.2), apart = o;
  OK(cz_net_create(&net, m, &o));
  const size_t planned = net->graph->memory_bytes;
  apart.no_reuse = true;
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    cz_graph_run_options run = {.key = {.seed = test_seed(), .step = 3, .shard = 1},
                                .training = true};
    outcome got, want;
    batch b;
    draw_batch(&b, r, family, sizes[i], false);
    OK(cz_net_feed(net, &b.feed));
    OK(cz_graph_train(net->graph, &run));
    outcome_of_params(&got, m->params);
    OK(cz_graph_read(net->graph, &got.loss, net->loss, 1));
    outcome_on(&want, device, family, &apart, &b, test_seed(), IN_REAL);
    same_bits(family, &got, &want);
    const size_t used = extent(net->graph);
    assert_true(used <= planned);
    if (!i && device->host_memory && !device->guard_bytes) assert_true(3 * used < planned);
    outcome_free(&got);
    outcome_free(&want);
  }
  cz_net_destroy(&net);
  cz_model_destroy(&m);
  any_close(&device);
}

static void places_move(void **state) {
  static const char *const own[] = {"ref", "cpu", "guard:cpu", NULL};
  cz_rand r = {.state = test_seed() + 5};
  for (int f = 0; f < FAMILIES; f++)
    for (const char *const *name = any_devices(own); *name; name++)
      if (!runs_once || f == 0) moves_with(*name, families[f], &r);
}

/* Recomputation must pay: at T5-like sizes the activations that are kept shrink to less
 * than half. */
static void recompute_saves(void **state) {
  cz_device *device;
  cz_model_config c;
  cz_model *m;
  size_t bytes[2];
  OK(cz_device_open(&device, "cpu"));
  OK(cz_model_config_named(&c, "t5-nano"));
  c.vocab_size = 64, c.n_layers = c.n_decoder_layers = 6;
  OK(cz_model_create(&m, &c, device));
  for (int recompute = 0; recompute < 2; recompute++) {
    cz_net *net;
    cz_net_options o = {.capacity_segments = 8,
                        .capacity_encoder = 512,
                        .capacity_decoder = 512,
                        .train = true,
                        .recompute = recompute,
                        .dropout = 0.1};
    OK(cz_net_create(&net, m, &o));
    bytes[recompute] = cz_graph_bytes(net->graph);
    cz_net_destroy(&net);
  }
  print_message("activations and workspace: %zu bytes, recomputed %zu\n", bytes[0], bytes[1]);
  if (2 * bytes[1] > bytes[0]) fail_msg("recomputation keeps %zu bytes of %zu", bytes[1], bytes[0]);
  cz_model_destroy(&m);
  cz_device_close(&device);
}

static int reads_again(const cz_graph *g, const cz__step *s) {
  int again = 0;
  for (int k = 0; s->phase == CZ__BACKWARD && k < CZ_OP_IN; k++) {
    if (!s->reads_in[k] || g->values[s->in[k]].node == CZ__NO_NODE) continue;
    const cz__value *v = &g->values[s->in[k]];
    const cz__node *by = &g->nodes[v->node], *reader = &g->nodes[s->node];
    if (!(by->row->recompute >> v->output & 1) ||
        (by->op == CZ_OP_dropout && !strstr(by->name, "ffn")))
      continue;
    if (v->first < g->forward_steps)
      fail_msg("%s is kept from forward for the backward of %s", v->name, reader->name);
    again++;
  }
  return again;
}

/* What is recomputable backward does not read under the name that forward gave it: norms always,
 * dropout where it follows a ReLU, which keeps its result. */
static void recomputed_outputs(void **state) {
  cz_device *device;
  cz_net *net;
  cz_net_options o = net_options(0.1);
  int again = 0;
  OK(cz_device_open(&device, "cpu"));
  cz_model *m = tiny_model("t5-nano", device, 1);
  OK(cz_net_create(&net, m, &o));
  for (size_t i = 0; i < net->graph->n_steps; i++)
    again += reads_again(net->graph, &net->graph->steps[i]);
  print_message("%d reads of what was made again\n", again);
  assert_int_equal(
      again,
      2 * 5 +
          2 * 6); /* q, k, v, wi and wo of two blocks in each stack, and the cross-attention's q */
  cz_net_destroy(&net);
  cz_model_destroy(&m);
  cz_device_close(&device);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(variants_first),  cmocka_unit_test(variants_cpu),
      cmocka_unit_test(same_masks),      cmocka_unit_test(scoring),
      cmocka_unit_test(empty_batches),   cmocka_unit_test(places_move),
      cmocka_unit_test(recompute_saves), cmocka_unit_test(recomputed_outputs)};
  test_seed();
  cz_log_quiet(true); /* of float16 */
  runs_once = any_name(NULL) && any_cases(MOST_SEGMENTS) < MOST_SEGMENTS;
  return cmocka_run_group_tests(tests, NULL, NULL);
}
