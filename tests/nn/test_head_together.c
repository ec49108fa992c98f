/* Several rows that make one answer of the classification head: added up, or chosen among. Their
 * gradients are those of central differences in every family, and their scores follow from those of
 * the rows alone. Hugging Face's numbers are compared in tests/few_shot/test_transforms.c. */
#include "heads.h"

#include <math.h>
#include <stdlib.h>

/* All three texts make one answer; CLASSES reads each alone. */
enum { CLASSES, ADDED, CHOSEN };

static const int32_t right[] = {1}, classes[] = {1, -100, 2};

static cz_net_head_options head_of(int kind) {
  return (cz_net_head_options){.kind = CZ_NET_CLASSIFIER,
                               .capacity_rows = TEXTS,
                               .together = kind == CLASSES ? 0 : TEXTS,
                               .choice = kind == CHOSEN};
}

static cz_net_head_feed feed_of(const cz_model *m, int kind, int32_t pooled[TEXTS]) {
  cz_net_pooled_rows(pooled, &m->config, spans, TEXTS);
  return (cz_net_head_feed){.rows = pooled,
                            .n_rows = TEXTS,
                            .targets = kind == CLASSES ? classes : right,
                            .denominator = 3};
}

static cz_net *net_of(cz_model *m, const int *kinds, int n, bool train, double dropout) {
  cz_net *net;
  cz_net_options o = {.capacity_segments = TEXTS,
                      .capacity_encoder = 1,
                      .capacity_decoder = TOKENS,
                      .train = train,
                      .dropout = dropout,
                      .dropout_per_token = true,
                      .n_heads = n};
  for (int i = 0; i < n; i++) {
    o.heads[i] = head_of(kinds[i]);
    o.heads[i].no_loss = kinds[i] == CLASSES;
  }
  OK(cz_net_create(&net, m, &o));
  return net;
}

static void feed(cz_net *net, const int *kinds, int n) {
  cz_net_head_feed heads[CZ_NET_HEADS];
  int32_t pooled[TEXTS];
  for (int i = 0; i < n; i++) heads[i] = feed_of(net->model, kinds[i], pooled);
  const cz_feed f = batch_of(net->model, heads);
  OK(cz_net_feed(net, &f));
}

typedef struct scored {
  cz_net *net;
  int kind;
} scored;

static double loss_of(void *self) {
  const scored *s = self;
  double loss;
  feed(s->net, &s->kind, 1);
  OK(s->net->options.train ? cz_graph_train(s->net->graph, &keyed)
                           : cz_graph_forward(s->net->graph, &keyed));
  OK(cz_graph_read(s->net->graph, &loss, s->net->heads[0].loss, 1));
  return loss;
}

/* With dropout. What shifts all numbers that are chosen among alike has no gradient, nor has a head
 * that is not there. */
static void differences(void **state) {
  static const char *const names[] = {"bert",       "roberta", "xlm-roberta",
                                      "distilbert", "albert",  "gpt2"};
  cz_rand r = {.state = test_seed()};
  for (int turn = 0; turn < 12; turn++) {
    const int kind = turn % 2 ? CHOSEN : ADDED;
    cz_device *device;
    OK(cz_device_open(&device, "ref"));
    cz_model *m = model_with(names[turn / 2], device, kind == CHOSEN ? 1 : C);
    scored train = {net_of(m, &kind, 1, true, 0.2), kind},
           score = {net_of(m, &kind, 1, false, 0.2), kind};
    assert_true(loss_of(&train) > 0.01);
    double *g = gradients(m), size = 0;
    const cz_param *w = m->heads.classifier.weight;
    for (int64_t k = 0; k < w->count; k++) size += fabs(g[w->offset + k]);
    assert_true(size > 1e-3);
    free(g);
    check_derivative(m, &r, loss_of, &score, false);
    cz_net_destroy(&train.net);
    cz_net_destroy(&score.net);
    cz_model_destroy(&m);
    cz_device_close(&device);
  }
}

/* A sum of rows is scored as the sum of their scores, less the bias where it would count again. */
static void added(void **state) {
  static const int kinds[] = {CLASSES, ADDED};
  cz_device *device;
  double each[TEXTS * C], sum[C], bias[C];
  OK(cz_device_open(&device, "ref"));
  cz_model *m = model_of("bert", device);
  cz_net *net = net_of(m, kinds, 2, false, 0);
  feed(net, kinds, 2);
  OK(cz_graph_forward(net->graph, &(cz_graph_run_options){0}));
  OK(cz_graph_read(net->graph, each, net->heads[0].scores, TEXTS * C));
  OK(cz_graph_read(net->graph, sum, net->heads[1].scores, C));
  OK(cz_device_read_real(device, bias, m->heads.classifier.bias->value, C));
  for (int c = 0; c < C; c++)
    near("a sum", sum[c], each[c] + each[C + c] + each[2 * C + c] - 2 * bias[c], 1e-12);
  cz_net_destroy(&net);
  cz_model_destroy(&m);
  cz_device_close(&device);
}

/* A choice is among the numbers that texts have alone. */
static void chosen(void **state) {
  static const int kinds[] = {CLASSES, CHOSEN};
  cz_device *device;
  double each[TEXTS], row[TEXTS], loss, all = 0;
  OK(cz_device_open(&device, "ref"));
  cz_model *m = model_with("distilbert", device, 1);
  cz_net *net = net_of(m, kinds, 2, false, 0);
  feed(net, kinds, 2);
  OK(cz_graph_forward(net->graph, &(cz_graph_run_options){0}));
  OK(cz_graph_read(net->graph, each, net->heads[0].scores, TEXTS));
  OK(cz_graph_read(net->graph, row, net->heads[1].scores, TEXTS));
  OK(cz_graph_read(net->graph, &loss, net->heads[1].loss, 1));
  for (int k = 0; k < TEXTS; k++) near("a number", row[k], each[k], 1e-12);
  for (int k = 0; k < TEXTS; k++) all += exp(row[k]);
  near("the loss", loss, (log(all) - row[right[0]]) / 3, 1e-12);
  cz_net_destroy(&net);
  cz_model_destroy(&m);
  cz_device_close(&device);
}

static void refuse_head(cz_model *m, cz_net_head_options head, const char *message) {
  cz_net *net;
  const cz_net_options o = {.capacity_segments = TEXTS,
                            .capacity_encoder = 1,
                            .capacity_decoder = TOKENS,
                            .n_heads = 1,
                            .heads = {head}};
  FAILS(cz_net_create(&net, m, &o), CZ_EINVAL, message);
  assert_null(net);
}

static void refused(void **state) {
  static const int kind = ADDED;
  cz_device *device;
  int32_t pooled[TEXTS];
  OK(cz_device_open(&device, "ref"));
  cz_model *m = model_of("bert", device), *one = model_with("bert", device, 1);
  refuse_head(m, head_of(CHOSEN), "the classifier has 3 numbers for a text, a choice wants one");
  cz_net_head_options wrong = head_of(ADDED);
  wrong.together = 17;
  refuse_head(m, wrong, "17 rows of one answer, expected 1, or up to 16 of a classifier");
  wrong = head_of(ADDED), wrong.kind = CZ_NET_NEXT_SENTENCE;
  refuse_head(m, wrong, "3 rows of one answer");
  wrong = head_of(CHOSEN), wrong.together = 0;
  refuse_head(one, wrong, "1 rows of one answer");
  cz_net *net = net_of(m, &kind, 1, false, 0);
  cz_net_head_feed head = feed_of(m, kind, pooled);
  const cz_feed f = batch_of(m, &head);
  head.n_rows = 2;
  FAILS(cz_net_feed(net, &f), CZ_EINVAL, "classifier: 2 rows, and 3 of them make one answer");
  cz_net_destroy(&net);
  cz_model_destroy(&m);
  cz_model_destroy(&one);
  cz_device_close(&device);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(differences), cmocka_unit_test(added),
                                     cmocka_unit_test(chosen), cmocka_unit_test(refused)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
