/* The last block of an encoder on the rows that heads read alone: the same losses, logits and
 * gradients as of all tokens, on every device; the dropout that it has; which nets do so; which
 * rows are refused. */
#include "graph/internal.h"
#include "graph/ops.h"
#include "heads.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 5 };

/* Several of the first text, the first and the last of the third, none of the second. */
static const int32_t rows[ROWS] = {1, 2, 5, 12, 16}, targets[ROWS] = {17, 3, -100, 28, 9};

/* DROPOUT: as cz_net_options has it. With some, nodes are as they were built. */
static cz_net *net_with(cz_model *m, bool listed, double dropout) {
  cz_net *net;
  cz_net_options o = {.capacity_segments = TEXTS,
                      .capacity_encoder = 1,
                      .capacity_decoder = TOKENS,
                      .train = true,
                      .logits = true,
                      .no_fusion = dropout != 0,
                      .dropout = dropout,
                      .dropout_per_token = true,
                      .n_heads = listed};
  o.heads[0] =
      (cz_net_head_options){.kind = CZ_NET_VOCABULARY, .capacity_rows = TOKENS, .logits = true};
  OK(cz_net_create(&net, m, &o));
  return net;
}

/* The loss of ROWS, and into LOGITS [ROWS, V] theirs: of a net that has them as a LISTED head's, or
 * as targets among all tokens. */
static double run(double *logits, cz_model *m, bool listed) {
  const cz_net_head_feed head = {
      .rows = rows, .n_rows = ROWS, .targets = targets, .denominator = 4};
  cz_net *net = net_with(m, listed, 0);
  cz_feed f = batch_of(m, &head);
  int32_t all[TOKENS];
  double loss, *x = calloc(TOKENS * V, sizeof *x);
  for (int i = 0; i < TOKENS; i++) all[i] = -100;
  for (int i = 0; i < ROWS; i++) all[rows[i]] = targets[i];
  if (!listed) f.targets = all, f.denominator = 4;
  OK(cz_net_feed(net, &f));
  OK(cz_graph_train(net->graph, &keyed));
  OK(cz_graph_read(net->graph, &loss, net->loss, 1));
  OK(cz_graph_read(net->graph, x, net->logits, (listed ? ROWS : TOKENS) * V));
  for (int i = 0; i < ROWS; i++)
    for (int v = 0; v < V; v++) logits[i * V + v] = x[(listed ? i : rows[i]) * V + v];
  assert_true((net->heads[0].spans != CZ_ABSENT) ==
              (listed && m->config.family->architecture == CZ_ENCODER));
  free(x);
  cz_net_destroy(&net);
  return loss;
}

static void same_on(const char *name, const char *where, double tolerance) {
  double want[ROWS * V], got[ROWS * V];
  cz_device *device;
  OK(cz_device_open(&device, where));
  cz_model *m = model_of(name, device);
  const double loss = run(want, m, false);
  double *all = gradients(m);
  near("the loss", run(got, m, true), loss, tolerance);
  assert_true(loss > 0.1);
  double *own = gradients(m);
  for (int i = 0; i < ROWS * V; i++) near("a logit", got[i], want[i], tolerance);
  for (int64_t i = 0; i < m->params->flat; i++) near("a gradient", own[i], all[i], tolerance);
  free(all);
  free(own);
  cz_model_destroy(&m);
  cz_device_close(&device);
}

static void same(void **state) {
  static const char *const names[] = {"bert",       "roberta", "xlm-roberta",
                                      "distilbert", "albert",  "gpt2"};
  for (int f = 0; f < 6; f++) {
    same_on(names[f], "ref", 1e-12);
    same_on(names[f], "guard:ref", 1e-12);
    same_on(names[f], "cpu", 2e-5);
    same_on(names[f], "guard:cpu", 2e-5);
  }
}

/* The rate of a node; NaN where its op has none. */
static double rate_of(const cz__node *node) {
  cz_dropout_attr d;
  cz_attention_attr a;
  memcpy(&d, node->attr, sizeof d);
  memcpy(&a, node->attr, sizeof a);
  return node->op == CZ_OP_dropout ? d.p : node->op == CZ_OP_attention ? a.dropout : NAN;
}

/* The rate of NET's node PLACE of the last block on read rows, or of the block before it; NaN where
 * there is none. */
static double rate_at(const cz_net *net, bool last, const char *place) {
  char name[96];
  snprintf(name, sizeof name, "%s.block.%s%s", net->model->decoder.name,
           last ? "1.vocabulary." : "0.", place);
  for (size_t i = 0; i < net->graph->n_nodes; i++)
    if (!strcmp(net->graph->nodes[i].name, name)) return rate_of(&net->graph->nodes[i]);
  return NAN;
}

/* Where the last block on read rows has dropout, and at which rate: where all blocks of the family
 * have it (models.md 3.3), at the rates of the configuration or at the one that replaces them. */
static void dropout_rates(void **state) {
  static const char *const places[] = {"self.attention", "self.dropout", "ffn.dropout"};
  static const struct {
    const char *name;
    bool has[3];
  } families[] = {{"bert", {1, 1, 1}},
                  {"roberta", {1, 1, 1}},
                  {"xlm-roberta", {1, 1, 1}},
                  {"distilbert", {1, 0, 1}},
                  {"albert", {1, 1, 0}}};
  static const double own[] = {0.3, 0.2, 0.2};
  cz_device *device;
  OK(cz_device_open(&device, "ref"));
  for (int k = 0; k < 10; k++) {
    const bool replaced = k % 2;
    cz_model *m = model_of(families[k / 2].name, device);
    m->config.attention_dropout = 0.3, m->config.dropout = 0.2;
    cz_net *net = net_with(m, true, replaced ? 0.4 : -1);
    for (int i = 0; i < 3; i++) {
      const double last = rate_at(net, true, places[i]), before = rate_at(net, false, places[i]),
                   want = !families[k / 2].has[i] ? NAN
                          : replaced              ? 0.4
                                                  : own[i];
      if (isnan(want) ? !isnan(last) || !isnan(before) : last != want || before != want)
        fail_msg("%s: %s has %g, before it %g, not %g", families[k / 2].name, places[i], last,
                 before, want);
    }
    cz_net_destroy(&net);
    cz_model_destroy(&m);
  }
  cz_device_close(&device);
}

/* In a model of one block the dropout of its attention is that of read rows alone: the loss of
 * training moves with it, that of evaluation does not. */
static void dropout_is_drawn(void **state) {
  static const cz_graph_run_options off = {.key = {.seed = 5, .step = 2}};
  const cz_net_head_feed head = {
      .rows = rows, .n_rows = ROWS, .targets = targets, .denominator = 4};
  double loss[2][2]; /* [with dropout][training] */
  cz_device *device;
  cz_model *two, *m;
  OK(cz_device_open(&device, "ref"));
  two = model_of("bert", device);
  cz_model_config c = two->config;
  c.n_layers = c.n_decoder_layers = 1, c.dropout = c.classifier_dropout = 0;
  OK(cz_model_create(&m, &c, device));
  OK(cz_params_init(m->params, 11));
  for (int k = 0; k < 4; k++) {
    m->config.attention_dropout = k / 2 ? 0.5 : 0;
    cz_net *net = net_with(m, true, -1);
    const cz_feed f = batch_of(m, &head);
    OK(cz_net_feed(net, &f));
    OK(cz_graph_train(net->graph, k % 2 ? &keyed : &off));
    OK(cz_graph_read(net->graph, &loss[k / 2][k % 2], net->loss, 1));
    cz_net_destroy(&net);
  }
  assert_true(loss[0][0] == loss[0][1] && loss[1][0] == loss[0][0]);
  assert_true(fabs(loss[1][1] - loss[0][0]) > 1e-6);
  cz_model_destroy(&m);
  cz_model_destroy(&two);
  cz_device_close(&device);
}

/* What a head reads of a net whose heads include one that reads all is of all. */
static void of_all(void **state) {
  static const cz_net_head_kind others[] = {CZ_NET_SENTENCE, CZ_NET_CHOICES};
  cz_device *device;
  OK(cz_device_open(&device, "ref"));
  cz_model *m = model_of("bert", device);
  for (int k = 0; k < 2; k++) {
    cz_net *net;
    const cz_net_options o = {
        .capacity_segments = TEXTS,
        .capacity_encoder = 1,
        .capacity_decoder = TOKENS,
        .dropout = 0,
        .dropout_per_token = true,
        .n_heads = 2,
        .heads = {
            {.kind = CZ_NET_VOCABULARY, .capacity_rows = ROWS, .no_loss = true, .logits = true},
            {.kind = others[k], .capacity_rows = ROWS, .classes = 2, .words = 2, .no_loss = true}}};
    OK(cz_net_create(&net, m, &o));
    assert_true(net->heads[0].spans == CZ_ABSENT);
    cz_net_destroy(&net);
  }
  cz_model_destroy(&m);
  cz_device_close(&device);
}

/* Rows of a segment before that of the row before them, and of a later one in between. */
static void refused(void **state) {
  static const int32_t wrong[2][3] = {{1, 13, 3}, {13, 1, 14}};
  cz_device *device;
  OK(cz_device_open(&device, "ref"));
  cz_model *m = model_of("roberta", device);
  cz_net *net = net_with(m, true, 0);
  for (int k = 0; k < 2; k++) {
    const cz_net_head_feed head = {
        .rows = wrong[k], .n_rows = 3, .targets = targets, .denominator = 4};
    const cz_feed f = batch_of(m, &head);
    FAILS(cz_net_feed(net, &f), CZ_EINVAL,
          k ? "vocabulary: row 1, number 1, is of a segment before that of the one before it"
            : "vocabulary: row 3, number 2, is of a segment before that of the one before it");
  }
  cz_net_destroy(&net);
  cz_model_destroy(&m);
  cz_device_close(&device);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(same), cmocka_unit_test(dropout_rates),
                                     cmocka_unit_test(dropout_is_drawn), cmocka_unit_test(of_all),
                                     cmocka_unit_test(refused)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
