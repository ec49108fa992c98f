/* The head CHOICES: scores of answers of several tokens are sums of log-probabilities over all
 * words, its loss is the hinge over a segment's answers, gradients are those of central
 * differences, and what is not counted leaves no trace. */
#include "heads.h"

#include <math.h>
#include <stdlib.h>

enum { M = 3 };

static const unsigned ENCODER = CZ_HEAD_BIT(CZ_HEAD_MASKED_LM);

/* The first text has two masks, the second three, the third one; of the first nothing is known in
 * UNKNOWN. */
static const int32_t masks[] = {2, 3, 7, 8, 9, 14}, right[] = {2, 2, 0, 0, 0, 1},
                     unknown[] = {-100, -100, 0, 0, 0, 1};
enum { ROWS = 6 };
static const int64_t numbers[] = {2, 0, 1};

/* Three sets, of three, three and two answers. */
static const int32_t sets[3][C][M] = {{{17, 9, 30}, {4, -1, -1}, {4, 12, -1}},
                                      {{-1, -1, -1}, {8, -1, -1}, {11, -1, -1}},
                                      {{5, -1, -1}, {22, 3, -1}, {28, 28, -1}}};

static cz_net_options options_of(bool train, double dropout) {
  return (cz_net_options){
      .capacity_segments = TEXTS,
      .capacity_encoder = 1,
      .capacity_decoder = TOKENS + 3,
      .train = train,
      .dropout = dropout,
      .dropout_per_token = true,
      .n_heads = 1,
      .heads = {{.kind = CZ_NET_CHOICES, .classes = C, .words = M},
                {.kind = CZ_NET_VOCABULARY, .capacity_rows = TOKENS, .logits = true}}};
}

static cz_net *net_of(cz_model *m, const cz_net_options *o) {
  cz_net *net;
  OK(cz_net_create(&net, m, o));
  OK(cz_net_set_answers(net, 0, &sets[0][0][0], 3));
  return net;
}

/* Of a segment the hinge over its answers with SCORES [n]. */
static double hinge(const double *scores, int n, int of) {
  double loss = 0;
  for (int k = 0; k < n; k++) {
    const double margin = 1 - scores[of] + scores[k];
    if (k != of) loss += margin > 0 ? margin : 0;
    if (k != of) assert_true(fabs(margin) > 1e-2); /* what a difference does not step over */
  }
  return loss;
}

/* Scores and loss by hand, from the logits of a vocabulary head. */
static void scores(void **state) {
  static const char *const names[] = {"bert", "roberta", "albert", "gpt2"};
  for (int f = 0; f < 4; f++) {
    cz_device *device;
    double logits[ROWS * V], got[8], want[8], loss;
    int n = 0;
    OK(cz_device_open(&device, "ref"));
    cz_model *m = model_of(names[f], device);
    cz_net_options o = options_of(false, 0);
    o.n_heads = 2, o.heads[1].no_loss = true;
    cz_net *net = net_of(m, &o);
    const cz_net_head_feed heads[] = {
        {.rows = masks, .n_rows = ROWS, .targets = right, .numbers = numbers, .denominator = 5},
        {.rows = masks, .n_rows = ROWS}};
    const cz_feed feed = batch_of(m, heads);
    OK(cz_net_feed(net, &feed));
    OK(cz_graph_forward(net->graph, &(cz_graph_run_options){0}));
    OK(cz_graph_read(net->graph, logits, net->heads[1].logits, (int64_t)ROWS * V));
    OK(cz_graph_read(net->graph, got, net->heads[0].scores, 8));
    OK(cz_graph_read(net->graph, &loss, net->heads[0].loss, 1));
    for (int b = 0, row = 0; b < TEXTS; row += b == 0 ? 2 : 3, b++)
      for (int k = 0; k < C; k++) {
        const int32_t *answer = sets[numbers[b]][k];
        if (answer[0] < 0) continue;
        want[n] = 0;
        for (int t = 0; t < M && answer[t] >= 0; t++) {
          const double *x = logits + (row + t) * V;
          double sum = 0;
          for (int v = 0; v < V; v++) sum += exp(x[v]);
          want[n] += x[answer[t]] - log(sum);
        }
        near("a score", got[n], want[n], 1e-12);
        n++;
      }
    assert_int_equal(n, 8);
    near("the loss", loss, (hinge(want, 3, 2) + hinge(want + 3, 3, 0) + hinge(want + 6, 2, 0)) / 5,
         1e-12);
    cz_net_destroy(&net);
    cz_model_destroy(&m);
    cz_device_close(&device);
  }
}

static double run(cz_net *net, const int32_t *targets) {
  double loss = 0, sum = 0;
  const cz_net_head_feed heads[] = {
      {.rows = masks, .n_rows = ROWS, .targets = targets, .numbers = numbers, .denominator = 2},
      {.rows = masks + 1, .n_rows = 2, .targets = right, .denominator = 3}};
  const cz_feed feed = batch_of(net->model, heads);
  OK(cz_net_feed(net, &feed));
  OK(net->options.train ? cz_graph_train(net->graph, &keyed)
                        : cz_graph_forward(net->graph, &keyed));
  for (int i = 0; i < net->n_heads; i++) {
    OK(cz_graph_read(net->graph, &loss, net->heads[i].loss, 1));
    sum += loss;
  }
  return sum;
}

static double loss_of(void *self) { return run(self, unknown); }

/* Of every family, dropout on, with masked words as a second loss. */
static void differences(void **state) {
  static const char *const names[] = {"bert",       "roberta", "xlm-roberta",
                                      "distilbert", "albert",  "gpt2"};
  cz_rand r = {.state = test_seed()};
  for (int f = 0; f < 12; f++) {
    cz_device *device;
    OK(cz_device_open(&device, "ref"));
    cz_model *m = model_of(names[f % 6], device);
    cz_net_options to_train = options_of(true, 0.2), to_score = options_of(false, 0.2);
    to_train.n_heads = to_score.n_heads = 1 + f / 6;
    to_train.recompute = f % 2;
    cz_net *train = net_of(m, &to_train), *score = net_of(m, &to_score);
    assert_true(run(train, unknown) > 0.1);
    check_derivative(m, &r, loss_of, score, false);
    cz_net_destroy(&train);
    cz_net_destroy(&score);
    cz_model_destroy(&m);
    cz_device_close(&device);
  }
}

/* The same on every device; a question that is not counted is none, and without any the loss and
 * all gradients are 0. */
static void counted(void **state) {
  static const char *const devices[] = {"ref", "guard:ref", "cpu", "guard:cpu"};
  static const int32_t nothing[ROWS] = {-100, -1, -100, -100, -100, -100};
  double first = 0, one = 0;
  for (int d = 0; d < 4; d++) {
    cz_device *device;
    OK(cz_device_open(&device, devices[d]));
    cz_model *m = model_of("bert", device);
    const cz_net_options o = options_of(true, 0);
    cz_net *net = net_of(m, &o);
    const double all = run(net, right), fewer = run(net, unknown);
    if (!d) first = all, one = fewer;
    near(devices[d], all, first, d < 2 ? 1e-14 : 2e-6);
    near(devices[d], fewer, one, d < 2 ? 1e-14 : 2e-6);
    assert_true(all - fewer > 0.05); /* the first text's hinge */
    assert_true(run(net, nothing) == 0);
    double *g = gradients(m);
    for (int64_t i = 0; i < m->params->flat; i++) assert_true(g[i] == 0);
    free(g);
    cz_net_destroy(&net);
    cz_model_destroy(&m);
    cz_device_close(&device);
  }
}

/* One set of answers is that of all segments, and scores want no right ones. */
static void one_set(void **state) {
  static const int32_t short_ones[C][M] = {{17, -1, -1}, {4, -1, -1}, {9, -1, -1}};
  cz_device *device;
  cz_net *net;
  double got[TEXTS * C];
  OK(cz_device_open(&device, "ref"));
  cz_model *m = model_of("roberta", device);
  cz_net_options o = options_of(false, 0);
  o.heads[0].no_loss = true;
  OK(cz_net_create(&net, m, &o));
  assert_int_equal(net->heads[0].loss, CZ_ABSENT);
  OK(cz_net_set_answers(net, 0, &short_ones[0][0], 1));
  const cz_net_head_feed head = {.rows = masks, .n_rows = ROWS};
  const cz_feed feed = batch_of(m, &head);
  OK(cz_net_feed(net, &feed));
  OK(cz_graph_forward(net->graph, &(cz_graph_run_options){0}));
  OK(cz_graph_read(net->graph, got, net->heads[0].scores, TEXTS * C));
  for (int i = 0; i < TEXTS * C; i++) assert_true(got[i] < 0);
  cz_net_destroy(&net);
  cz_model_destroy(&m);
  cz_device_close(&device);
}

static void refused(void **state) {
  static const int32_t outside[C][M] = {{17, V, -1}, {4, -1, -1}, {9, -1, -1}},
                       behind[C][M] = {{17, -1, 3}, {4, -1, -1}, {9, -1, -1}},
                       none[C][M] = {{-1, -1, -1}, {-1, -1, -1}, {-1, -1, -1}},
                       missing[] = {2, 2, 0, 0, 0, 0}, descending[] = {3, 2, 7, 8, 9, 14},
                       ones[] = {1, 1, 1, 1, 1, 1}, far[] = {2, 3, 7, 8, 9, TOKENS};
  static const int64_t long_ones[] = {0, 0, 1}, no_set[] = {2, 0, 3}, second[] = {1, 1, 1};
  cz_device *device;
  cz_net *net;
  OK(cz_device_open(&device, "ref"));
  cz_model *m = model_of("bert", device);
  cz_net_options o = options_of(false, 0);
  cz_net_head_feed head = {
      .rows = masks, .n_rows = ROWS, .targets = right, .numbers = numbers, .denominator = 1};
  const cz_feed feed = batch_of(m, &head);
  OK(cz_net_create(&net, m, &o));
  FAILS(cz_net_feed(net, &feed), CZ_EINVAL, "choices: its answers were not set");
  FAILS(cz_net_set_answers(net, 0, &outside[0][0], 1), CZ_EINVAL,
        "token 31 at place 1 of answer 0 of set 0");
  FAILS(cz_net_set_answers(net, 0, &behind[0][0], 1), CZ_EINVAL, "token 3 at place 2 of answer 0");
  FAILS(cz_net_set_answers(net, 0, &none[0][0], 1), CZ_EINVAL, "set 0 has no answer");
  OK(cz_net_set_answers(net, 0, &sets[0][0][0], 3));
  head.numbers = long_ones;
  FAILS(cz_net_feed(net, &feed), CZ_EINVAL, "answer 0 of segment 0 has 3 tokens; it has 2 masks");
  head.numbers = no_set;
  FAILS(cz_net_feed(net, &feed), CZ_EINVAL, "segment 2 reads set 3 of 3");
  head.numbers = numbers;
  head.targets = missing;
  FAILS(cz_net_feed(net, &feed), CZ_EINVAL, "number 0 is right in segment 2, which has no such");
  head.targets = ones, head.numbers = second;
  head.rows = descending;
  FAILS(cz_net_feed(net, &feed), CZ_EINVAL, "row 2, number 1, is in no segment or not in order");
  head.rows = far;
  FAILS(cz_net_feed(net, &feed), CZ_EINVAL, "row 17, number 5, is in no segment");
  head.rows = masks, head.targets = right, head.numbers = numbers;
  head.denominator = 0;
  FAILS(cz_net_feed(net, &feed), CZ_EINVAL, "denominator 0 is not positive");
  cz_net_destroy(&net);
  o.heads[0].soft = true;
  FAILS(cz_net_create(&net, m, &o), CZ_EINVAL, "head choices: its targets are answers");
  o.heads[0].soft = false, o.heads[0].words = 0;
  FAILS(cz_net_create(&net, m, &o), CZ_EINVAL, "head choices: 3 classes of 0 tokens");
  m->config.heads &= ~ENCODER;
  o.heads[0].words = M;
  FAILS(cz_net_create(&net, m, &o), CZ_EINVAL, "head choices: this model of family bert was made");
  cz_model_destroy(&m);
  cz_device_close(&device);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(scores), cmocka_unit_test(differences),
                                     cmocka_unit_test(counted), cmocka_unit_test(one_set),
                                     cmocka_unit_test(refused)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
