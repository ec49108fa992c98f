/* Whole nets of every family: what the planner, the fusions, recomputation and the guard
 * may not change, dropout included; scoring graphs; empty batches; the same dropout on
 * ref and cpu. */
#include "graph/internal.h"
#include "graph_test.h"

#include <math.h>

static const char *const families[] = {"t5-nano", "t5-v1_1-nano", "lm-nano", "prefix-lm-nano"};
enum { FAMILIES = sizeof families / sizeof *families };

typedef struct setting {
  const char *device, *model;
  bool per_token, loss_rows;
  double dropout;
} setting;

static void against(const setting *s, const outcome *base, const batch *b, cz_net_options o,
                    const char *device, const char *what) {
  char text[192];
  outcome got;
  snprintf(text, sizeof text, "%s on %s, dropout %g per %s%s: %s", s->model, device, s->dropout,
           s->per_token ? "token" : "segment", s->loss_rows ? ", gathered" : "", what);
  outcome_of_net(&got, device, s->model, &o, b, test_seed());
  same_bits(text, &got, base);
  outcome_free(&got);
}

static void check_setting(const setting *s, cz_rand *r) {
  char guard[32];
  cz_device *device;
  batch b;
  outcome base;
  OK(cz_device_open(&device, s->device));
  cz_model *m = tiny_model(s->model, device, 1);
  random_batch(&b, r, m, cz_rand_int(r, 1, MOST_SEGMENTS), s->loss_rows);
  cz_model_destroy(&m);
  cz_device_close(&device);
  cz_net_options plain = net_options(s->dropout), o;
  plain.dropout_per_token = s->per_token, plain.loss_rows = s->loss_rows, plain.z_loss = 1e-2,
  plain.label_smoothing = 0.1;
  outcome_of_net(&base, s->device, s->model, &plain, &b, test_seed());
  assert_true(isfinite(base.loss) && base.loss >= 0);
  snprintf(guard, sizeof guard, "guard:%s", s->device);
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
   * compiled without contraction: the same bits on cpu too. */
  o = plain, o.no_fusion = true;
  against(s, &base, &b, o, s->device, "not fused");
  o.recompute = true;
  against(s, &base, &b, o, guard, "guarded, recomputed, not fused");
  outcome_free(&base);
}

static void variants(const char *device) {
  cz_rand r = {.state = test_seed()};
  for (int f = 0; f < FAMILIES; f++)
    for (int k = 0; k < 8; k++) {
      setting s = {.device = device,
                   .model = families[f],
                   .per_token = k & 1,
                   .loss_rows = k & 2,
                   .dropout = k & 4 ? 0.3 : 0};
      check_setting(&s, &r);
    }
}

static void variants_ref(void **state) { variants("ref"); }
static void variants_cpu(void **state) { variants("cpu"); }

/* ref and cpu draw the same masks, so a training run with strong dropout has nearly the
 * same loss and gradient on both. */
static void same_masks(void **state) {
  cz_rand r = {.state = test_seed() + 1};
  for (int f = 0; f < FAMILIES; f++)
    for (int per_token = 0; per_token < 2; per_token++) {
      cz_device *device;
      batch b;
      outcome ref, cpu;
      OK(cz_device_open(&device, "ref"));
      cz_model *m = tiny_model(families[f], device, 1);
      random_batch(&b, &r, m, MOST_SEGMENTS, false);
      cz_model_destroy(&m);
      cz_device_close(&device);
      cz_net_options o = net_options(0.3);
      o.dropout_per_token = per_token;
      outcome_of_net(&ref, "ref", families[f], &o, &b, test_seed());
      outcome_of_net(&cpu, "cpu", families[f], &o, &b, test_seed());
      nearly(families[f], &cpu, &ref, 1e-4);
      outcome_free(&ref);
      outcome_free(&cpu);
    }
}

/* A scoring graph makes no saved outputs, and its loss is that of a training graph
 * without dropout, bit for bit. */
static void scoring(void **state) {
  static const char *const devices[] = {"ref", "cpu", "guard:ref", "guard:cpu"};
  cz_rand r = {.state = test_seed() + 2};
  for (int f = 0; f < FAMILIES; f++)
    for (int d = 0; d < 4; d++)
      for (int no_fusion = 0; no_fusion < 2; no_fusion++) {
        cz_device *device;
        cz_net *train, *score;
        batch b;
        double a, c;
        OK(cz_device_open(&device, devices[d]));
        cz_model *m = tiny_model(families[f], device, test_seed());
        random_batch(&b, &r, m, 5, f & 1);
        cz_net_options o = net_options(0.2);
        o.loss_rows = f & 1, o.no_fusion = no_fusion;
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
        if (!(a == c))
          fail_msg("%s on %s: scoring gives %.17g, training %.17g", families[f], devices[d], c, a);
        assert_true(cz_graph_bytes(score->graph) < cz_graph_bytes(train->graph));
        cz_net_destroy(&train);
        cz_net_destroy(&score);
        cz_model_destroy(&m);
        cz_device_close(&device);
      }
}

/* No token, and segments without tokens: nothing is read, the loss and every gradient are
 * zero. */
static void empty_batches(void **state) {
  static const char *const devices[] = {"ref", "cpu", "guard:cpu"};
  for (int f = 0; f < FAMILIES; f++)
    for (int d = 0; d < 3; d++)
      for (int k = 0; k < 8; k++) {
        cz_device *device;
        cz_net *net;
        outcome o;
        batch b;
        memset(&b, 0, sizeof b);
        cz_net_options options = net_options(0.2);
        options.recompute = k & 1, options.loss_rows = k & 2;
        b.feed = (cz_feed){.segments = k & 4 ? 2 : 0,
                           .encoder.ids = b.enc,
                           .encoder.spans = b.enc_spans,
                           .decoder.ids = b.dec,
                           .decoder.spans = b.dec_spans,
                           .prefix = b.prefix,
                           .targets = b.targets,
                           .loss_rows = b.loss_rows,
                           .denominator = 1};
        OK(cz_device_open(&device, devices[d]));
        cz_model *m = tiny_model(families[f], device, test_seed());
        OK(cz_net_create(&net, m, &options));
        cz_graph_run_options run = {.training = true};
        OK(cz_net_feed(net, &b.feed));
        OK(cz_graph_train(net->graph, &run));
        OK(cz_graph_read(net->graph, &o.loss, net->loss, 1));
        outcome_of_params(&o, m->params);
        assert_true(o.loss == 0);
        for (int64_t i = 0; i < o.n; i++)
          if (o.grad[i] != 0)
            fail_msg("%s on %s: gradient element %lld is %g", families[f], devices[d], (long long)i,
                     o.grad[i]);
        outcome_free(&o);
        cz_net_destroy(&net);
        cz_model_destroy(&m);
        cz_device_close(&device);
      }
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
      cmocka_unit_test(variants_ref),      cmocka_unit_test(variants_cpu),
      cmocka_unit_test(same_masks),        cmocka_unit_test(scoring),
      cmocka_unit_test(empty_batches),     cmocka_unit_test(recompute_saves),
      cmocka_unit_test(recomputed_outputs)};
  test_seed();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
