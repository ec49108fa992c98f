/* Several losses in one graph, and losses that other nodes read. For every terminal op, on
 * every device: the value that a reader sees is the value that the op has, in training as
 * in scoring; a list of losses has the gradient of their sum; and the guard sees a read of
 * memory that no step has written. */
#include "graph/internal.h"
#include "graph_test.h"

#include <math.h>

enum { V = 9, D = 6, T = 5, C = 3, W = 2, LOSSES = 2 };

static const char *const own[] = {"ref", "cpu", "guard:ref", "guard:cpu", NULL};

static const char *const *devices; /* of this run of the program, null behind the last */
static int n_devices;

/* An embedding, a linear layer and both heads on it. */
typedef struct heads {
  cz_device *device;
  cz_params *params;
  cz_param *embedding, *w, *bias;
  cz_graph *g;
  cz_value ids, targets, rows, words, hard, denominator[LOSSES];
  cz_value loss[LOSSES], nll, scores;
} heads;

static const cz_op ops[LOSSES] = {CZ_OP_cross_entropy, CZ_OP_label_words};

static void open_heads(heads *h, const char *device) {
  const int64_t table[2] = {V, D}, square[2] = {D, D}, bias = V;
  cz_rand r = {.state = test_seed()};
  *h = (heads){0};
  h->device = any_open(device);
  OK(cz_params_create(&h->params, h->device));
  OK(cz_params_declare(h->params, &h->embedding, "embedding", 2, table, (cz_init){0}, true));
  OK(cz_params_declare(h->params, &h->w, "w", 2, square, (cz_init){0}, true));
  OK(cz_params_declare(h->params, &h->bias, "bias", 1, &bias, (cz_init){0}, true));
  OK(cz_params_allocate(h->params));
  for (size_t i = 0; i < h->params->n; i++) fill_param(h->params->list[i], h->device, &r, 0.7);
}

static void close_heads(heads *h) {
  cz_graph_destroy(&h->g);
  cz_params_destroy(&h->params);
  any_close(&h->device);
}

static void build_heads(heads *h) {
  const int64_t t = T, one = 1, words[2] = {C, W};
  cz_value out[CZ_OP_OUT];
  OK(cz_graph_create(&h->g, h->params));
  h->ids = cz_graph_input(h->g, "ids", CZ_I32, 1, &t);
  h->targets = cz_graph_input(h->g, "targets", CZ_I32, 1, &t);
  h->rows = cz_graph_input(h->g, "rows", CZ_I32, 1, &t);
  h->hard = cz_graph_input(h->g, "hard", CZ_I32, 1, &t);
  h->words = cz_graph_input(h->g, "words", CZ_I32, 2, words);
  h->denominator[0] = cz_graph_input(h->g, "denominator", h->device->real, 1, &one);
  h->denominator[1] = cz_graph_input(h->g, "denominator of label words", h->device->real, 1, &one);
  cz_value table = cz_graph_param(h->g, h->embedding), bias = cz_graph_param(h->g, h->bias);
  cz_graph_op(h->g, out, CZ_OP_embedding, "embed", 2, (cz_value[]){table, h->ids}, NULL);
  cz_linear_attr linear = {.activation = CZ_ACTIVATION_GELU, .alpha = 1};
  cz_graph_op(h->g, out, CZ_OP_linear, "linear", 2,
              (cz_value[]){out[0], cz_graph_param(h->g, h->w)}, &linear);
  cz_value x = out[0];
  cz_cross_entropy_attr ce = {.logit_scale = 1};
  cz_graph_op(h->g, out, CZ_OP_cross_entropy, "masked lm", 4,
              (cz_value[]){x, table, h->targets, h->denominator[0]}, &ce);
  h->loss[0] = out[CZ_CROSS_ENTROPY_LOSS], h->nll = out[CZ_CROSS_ENTROPY_NLL];
  cz_label_words_attr lw = {.temperature = 1};
  cz_graph_op(
      h->g, out, CZ_OP_label_words, "label words", 8,
      (cz_value[]){x, h->rows, table, bias, h->words, h->hard, CZ_ABSENT, h->denominator[1]}, &lw);
  h->loss[1] = out[CZ_LABEL_WORDS_LOSS], h->scores = out[CZ_LABEL_WORDS_SCORES];
}

static const int32_t targets[T] = {1, -100, 3, 0, 8};

static void feed_heads(heads *h) {
  static const int32_t ids[T] = {0, 3, 8, 3, 1}, rows[T] = {4, 1, 1, 0, 2},
                       hard[T] = {0, 2, -100, 1, 1}, words[C * W] = {2, -1, 5, 6, 0, -1};
  static const double denominator[LOSSES] = {4, 2.5};
  OK(cz_graph_feed_int(h->g, h->ids, ids, T));
  OK(cz_graph_feed_int(h->g, h->targets, targets, T));
  OK(cz_graph_feed_int(h->g, h->rows, rows, T));
  OK(cz_graph_feed_int(h->g, h->hard, hard, T));
  OK(cz_graph_feed_int(h->g, h->words, words, C * W));
  for (int i = 0; i < LOSSES; i++)
    OK(cz_graph_feed_real(h->g, h->denominator[i], &denominator[i], 1));
}

static cz_value sum_of(heads *h, const char *name, cz_value a, cz_value b) {
  cz_value out[CZ_OP_OUT];
  cz_graph_op(h->g, out, CZ_OP_add, name, 2, (cz_value[]){a, b}, NULL);
  cz_graph_keep(h->g, out[0]);
  return out[0];
}

static double value_of(heads *h, cz_value v) {
  double x;
  OK(cz_graph_read(h->g, &x, v, 1));
  return x;
}

static cz_status train_heads(heads *h, const cz_graph_options *options) {
  CZ_TRY(cz_graph_finish(h->g, options));
  feed_heads(h);
  for (int twice = 0; twice < 2; twice++) /* the second run finds used memory */
    CZ_TRY(cz_graph_train(h->g, &(cz_graph_run_options){.training = true}));
  return CZ_OK;
}

/* What scoring computes: each loss, and the sum of nll. */
static void score(double *loss, double *nll, const char *device) {
  heads h;
  open_heads(&h, device);
  build_heads(&h);
  for (int i = 0; i < LOSSES; i++) cz_graph_keep(h.g, h.loss[i]);
  cz_graph_keep(h.g, h.nll);
  OK(cz_graph_finish(h.g, &(cz_graph_options){0}));
  feed_heads(&h);
  OK(cz_graph_forward(h.g, &(cz_graph_run_options){0}));
  for (int i = 0; i < LOSSES; i++) loss[i] = value_of(&h, h.loss[i]);
  OK(cz_graph_read(h.g, nll, h.nll, T));
  close_heads(&h);
}

static void near_number(const char *what, double got, double want) {
  if (!(fabs(got - want) <= 2e-7 * fabs(want))) fail_msg("%s: %.9g, not %.9g", what, got, want);
}

/* The sum of two losses by `add`, and twice nll by `add`, while training. */
static void read_by_add(void **state) {
  static const cz_graph_options options[] = {{.train = true}, {.train = true, .no_reuse = true}};
  for (int i = 0; i < 2 * n_devices; i++) {
    const char *device = devices[i / 2];
    double want[LOSSES], nll[T], twice[T];
    heads h;
    score(want, nll, device);
    open_heads(&h, device);
    build_heads(&h);
    cz_value total = sum_of(&h, "total", h.loss[0], h.loss[1]),
             both = sum_of(&h, "both", h.nll, h.nll);
    cz_graph_loss(h.g, total);
    OK(train_heads(&h, &options[i % 2]));
    near_number(device, value_of(&h, total), want[0] + want[1]);
    OK(cz_graph_read(h.g, twice, both, T));
    for (int k = 0; k < T; k++) near_number("twice nll", twice[k], 2 * nll[k]);
    close_heads(&h);
  }
}

/* Gradients of a graph whose losses are those in SELECTED, or their sum by `add`. */
static void gradients(outcome *o, const char *device, unsigned selected, bool by_add) {
  heads h;
  open_heads(&h, device);
  build_heads(&h);
  if (by_add) cz_graph_loss(h.g, sum_of(&h, "total", h.loss[0], h.loss[1]));
  for (int i = 0; i < LOSSES && !by_add; i++)
    if (selected >> i & 1) cz_graph_loss(h.g, h.loss[i]);
  OK(train_heads(&h, &(cz_graph_options){.train = true}));
  outcome_of_params(o, h.params);
  o->loss = 0;
  for (int i = 0; i < LOSSES && !by_add; i++)
    if (selected >> i & 1) o->loss += value_of(&h, h.loss[i]);
  double sum;
  OK(cz_graph_read_loss(h.g, &sum));
  if (!by_add) assert_true(sum == o->loss);
  close_heads(&h);
}

/* Two losses: the gradient is that of their sum, and the sum of each one's. */
static void list_of_losses(void **state) {
  for (int i = 0; i < n_devices; i++) {
    outcome one, two, list, added;
    double loss[LOSSES], nll[T];
    gradients(&one, devices[i], 1, false);
    gradients(&two, devices[i], 2, false);
    gradients(&list, devices[i], 3, false);
    gradients(&added, devices[i], 3, true);
    score(loss, nll, devices[i]);
    near_number("losses", list.loss, loss[0] + loss[1]);
    added.loss = list.loss;
    same_bits(devices[i], &list, &added);
    for (int64_t k = 0; k < one.n; k++) one.grad[k] += two.grad[k];
    one.loss = list.loss;
    nearly(devices[i], &list, &one, 1e-6);
    outcome_free(&one), outcome_free(&two), outcome_free(&list), outcome_free(&added);
  }
}

/* A loss that is also read by another loss: both parts of its gradient count. */
static void loss_and_read(void **state) {
  for (int i = 0; i < n_devices; i++) {
    outcome one, two, got;
    gradients(&one, devices[i], 1, false);
    gradients(&two, devices[i], 2, false);
    heads h;
    open_heads(&h, devices[i]);
    build_heads(&h);
    cz_graph_loss(h.g, h.loss[0]);
    cz_graph_loss(h.g, sum_of(&h, "total", h.loss[0], h.loss[1]));
    OK(train_heads(&h, &(cz_graph_options){.train = true}));
    outcome_of_params(&got, h.params);
    for (int64_t k = 0; k < one.n; k++) one.grad[k] = 2 * one.grad[k] + two.grad[k];
    one.loss = got.loss = 0;
    nearly(devices[i], &got, &one, 1e-6);
    close_heads(&h);
    outcome_free(&one), outcome_free(&two), outcome_free(&got);
  }
}

/* Three candidates of one question, the rows of their tokens, and the right one. */
enum { CANDIDATES = 3, RIGHT = 1 };

static const int32_t candidates[CANDIDATES * 2] = {0, 2, 2, 3, 3, 5};

/* The sum of nll over a candidate's rows, and its gradient: the loss of these rows alone. */
static void sum_of_candidate(outcome *o, const char *device, int k) {
  heads h;
  int32_t only[T];
  const double one = 1;
  open_heads(&h, device);
  build_heads(&h);
  cz_graph_loss(h.g, h.loss[0]);
  OK(cz_graph_finish(h.g, &(cz_graph_options){.train = true}));
  feed_heads(&h);
  for (int t = 0; t < T; t++)
    only[t] = t >= candidates[2 * k] && t < candidates[2 * k + 1] ? targets[t] : -100;
  OK(cz_graph_feed_int(h.g, h.targets, only, T));
  OK(cz_graph_feed_real(h.g, h.denominator[0], &one, 1));
  OK(cz_graph_train(h.g, &(cz_graph_run_options){.training = true}));
  outcome_of_params(o, h.params);
  o->loss = value_of(&h, h.loss[0]);
  close_heads(&h);
}

/* Feeds rows of nll by candidate, candidates by question, the right one; trains on the hinge. */
static void train_choices(outcome *o, double *scores, const char *device, double denominator,
                          const cz_graph_options *options) {
  const int64_t pairs[2] = {CANDIDATES, 2}, pair[2] = {1, 2}, one = 1;
  const int32_t all[2] = {0, CANDIDATES}, right = RIGHT;
  heads h;
  cz_value out[CZ_OP_OUT];
  open_heads(&h, device);
  build_heads(&h);
  cz_value rows = cz_graph_input(h.g, "candidates", CZ_I32, 2, pairs),
           groups = cz_graph_input(h.g, "questions", CZ_I32, 2, pair),
           answer = cz_graph_input(h.g, "right", CZ_I32, 1, &one),
           divisor = cz_graph_input(h.g, "denominator of choices", h.device->real, 1, &one);
  cz_graph_op(h.g, out, CZ_OP_choices, "choices", 5,
              (cz_value[]){h.nll, rows, groups, answer, divisor}, &(cz_choices_attr){0});
  cz_graph_loss(h.g, out[CZ_CHOICES_LOSS]);
  cz_graph_keep(h.g, out[CZ_CHOICES_SCORES]);
  OK(cz_graph_finish(h.g, options));
  feed_heads(&h);
  OK(cz_graph_feed_int(h.g, rows, candidates, CANDIDATES * 2));
  OK(cz_graph_feed_int(h.g, groups, all, 2));
  OK(cz_graph_feed_int(h.g, answer, &right, 1));
  OK(cz_graph_feed_real(h.g, divisor, &denominator, 1));
  for (int twice = 0; twice < 2; twice++) /* the second run finds used memory */
    OK(cz_graph_train(h.g, &(cz_graph_run_options){.training = true}));
  outcome_of_params(o, h.params);
  o->loss = value_of(&h, out[CZ_CHOICES_LOSS]);
  OK(cz_graph_read(h.g, scores, out[CZ_CHOICES_SCORES], CANDIDATES));
  close_heads(&h);
}

/* A hinge over candidates reads nll of cross_entropy, whose forward runs for it while training; its
 * gradient is that of the sums of nll that the hinge lets through. */
static void hinge_reads_nll(void **state) {
  static const cz_graph_options options[] = {{.train = true}, {.train = true, .no_reuse = true}};
  const double denominator = 2.5;
  for (int i = 0; i < 2 * n_devices; i++) {
    const char *device = devices[i / 2];
    double scores[CANDIDATES];
    outcome got, want, sum[CANDIDATES];
    train_choices(&got, scores, device, denominator, &options[i % 2]);
    for (int k = 0; k < CANDIDATES; k++) {
      sum_of_candidate(&sum[k], device, k);
      near_number("score", scores[k], -sum[k].loss);
    }
    want = (outcome){.grad = calloc((size_t)got.n, sizeof *want.grad), .n = got.n};
    assert_non_null(want.grad);
    for (int k = 0; k < CANDIDATES; k++) {
      const double margin = 1 + sum[RIGHT].loss - sum[k].loss;
      if (k == RIGHT || margin < 0) continue;
      want.loss += margin / denominator;
      for (int64_t j = 0; j < got.n; j++)
        want.grad[j] += (sum[RIGHT].grad[j] - sum[k].grad[j]) / denominator;
    }
    nearly(device, &got, &want, 1e-5);
    for (int k = 0; k < CANDIDATES; k++) outcome_free(&sum[k]);
    outcome_free(&got), outcome_free(&want);
  }
}

/* Every loss begins with the loss seed, those to whose gradient another loss adds too: a power of
 * two moves no bit but the exponents, in every run that follows. */
static void seeded(void **state) {
  for (int i = 0; i < 2 * n_devices; i++) {
    outcome one, got;
    heads h;
    const double seed = 1024;
    open_heads(&h, devices[i / 2]);
    build_heads(&h);
    cz_graph_loss(h.g, h.loss[0]);
    cz_graph_loss(h.g, i % 2 ? sum_of(&h, "total", h.loss[0], h.loss[1]) : h.loss[1]);
    OK(train_heads(&h, &(cz_graph_options){.train = true}));
    outcome_of_params(&one, h.params);
    OK(cz_device_write_real(h.device, cz_graph_loss_seed(h.g), &seed, 1));
    for (int twice = 0; twice < 2; twice++)
      OK(cz_graph_train(h.g, &(cz_graph_run_options){.training = true}));
    outcome_of_params(&got, h.params);
    for (int64_t k = 0; k < one.n; k++) assert_true(got.grad[k] == seed * one.grad[k]);
    close_heads(&h);
    outcome_free(&one), outcome_free(&got);
  }
}

/* A terminal op that is no loss of the graph runs forward, though the graph trains. */
static void kept_beside_the_loss(void **state) {
  for (int i = 0; i < n_devices * LOSSES; i++) {
    const char *device = devices[i / LOSSES];
    double want[LOSSES], nll[T];
    heads h;
    score(want, nll, device);
    open_heads(&h, device);
    build_heads(&h);
    cz_graph_loss(h.g, h.loss[i % LOSSES]);
    cz_graph_keep(h.g, h.loss[1 - i % LOSSES]);
    OK(train_heads(&h, &(cz_graph_options){.train = true}));
    for (int k = 0; k < LOSSES; k++) assert_true(value_of(&h, h.loss[k]) == want[k]);
    close_heads(&h);
  }
}

/* A head whose parameters are frozen keeps its value; a graph in which nothing is trained
 * is refused. */
static void frozen_losses(void **state) {
  for (int i = 0; i < n_devices; i++) {
    double want[LOSSES], nll[T];
    heads h;
    score(want, nll, devices[i]);
    open_heads(&h, devices[i]);
    h.embedding->trainable = h.w->trainable = false; /* the bias is label_words' alone */
    build_heads(&h);
    for (int k = 0; k < LOSSES; k++) cz_graph_loss(h.g, h.loss[k]);
    OK(train_heads(&h, &(cz_graph_options){.train = true}));
    for (int k = 0; k < LOSSES; k++) assert_true(value_of(&h, h.loss[k]) == want[k]);
    cz_graph_destroy(&h.g);
    h.bias->trainable = false;
    build_heads(&h);
    for (int k = 0; k < LOSSES; k++) cz_graph_loss(h.g, h.loss[k]);
    assert_int_equal(cz_graph_finish(h.g, &(cz_graph_options){.train = true}), CZ_EINVAL);
    assert_non_null(strstr(cz_error_message(), "nothing to train"));
    close_heads(&h);
  }
}

static void refused(void **state) {
  heads h;
  open_heads(&h, "ref");
  build_heads(&h);
  cz_graph_loss(h.g, h.nll);
  assert_int_equal(cz_graph_finish(h.g, &(cz_graph_options){.train = true}), CZ_EINVAL);
  assert_non_null(strstr(cz_error_message(), "masked lm:nll is no real scalar"));
  cz_graph_destroy(&h.g);
  build_heads(&h);
  for (int i = 0; i < 2; i++) cz_graph_loss(h.g, h.loss[0]);
  assert_int_equal(cz_graph_finish(h.g, &(cz_graph_options){.train = true}), CZ_EINVAL);
  assert_non_null(strstr(cz_error_message(), "masked lm is given as a loss twice"));
  close_heads(&h);
}

static void drop_forward(cz_graph *g, cz_op op) {
  int at = 0;
  while (at < g->forward_steps && g->nodes[g->steps[at].node].op != op) at++;
  assert_true(at < g->forward_steps);
  g->n_steps--, g->forward_steps--;
  memmove(&g->steps[at], &g->steps[at + 1], (g->n_steps - (size_t)at) * sizeof *g->steps);
}

/* Schedules that are wrong on purpose: each terminal op's forward left out, as the engine
 * once did; an input that nobody feeds. */
static void guard_sees_unwritten(void **state) {
  for (int i = 0; i < n_devices * LOSSES; i++) {
    heads h;
    if (strncmp(devices[i / LOSSES], "guard:", 6)) continue;
    open_heads(&h, devices[i / LOSSES]);
    build_heads(&h);
    cz_graph_loss(h.g, sum_of(&h, "total", h.loss[0], h.loss[1]));
    OK(cz_graph_finish(h.g, &(cz_graph_options){.train = true}));
    drop_forward(h.g, ops[i % LOSSES]);
    feed_heads(&h);
    assert_int_equal(cz_graph_train(h.g, &(cz_graph_run_options){.training = true}), CZ_ECORRUPT);
    assert_non_null(strstr(cz_error_message(), "guard: total (add) reads "));
    assert_non_null(strstr(cz_error_message(), "of which 0 of 1 elements are written"));
    close_heads(&h);
  }
  heads h;
  open_heads(&h, "guard:ref");
  build_heads(&h);
  cz_graph_loss(h.g, h.loss[0]);
  OK(cz_graph_finish(h.g, &(cz_graph_options){.train = true}));
  assert_int_equal(cz_graph_train(h.g, &(cz_graph_run_options){.training = true}), CZ_ECORRUPT);
  assert_non_null(
      strstr(cz_error_message(), "guard: embed (embedding) reads ids, of which 0 of 5"));
  close_heads(&h);
}

/* A saved output that a node reads exists in scoring graphs, too. */
static void saved_output_is_read(void **state) {
  for (int i = 0; i < n_devices; i++) {
    heads h;
    double want[T], got[T];
    for (int train = 1; train >= 0; train--) {
      open_heads(&h, devices[i]);
      build_heads(&h);
      cz_value out[CZ_OP_OUT], x = h.g->nodes[h.g->n_nodes - 1].in[CZ_LABEL_WORDS_X];
      cz_param *gain;
      const int64_t d = D;
      cz_params *other;
      OK(cz_params_create(&other, h.device));
      OK(cz_params_declare(other, &gain, "gain", 1, &d, (cz_init){0}, true));
      OK(cz_params_allocate(other));
      cz_graph_op(h.g, out, CZ_OP_norm, "norm", 2, (cz_value[]){x, cz_graph_param(h.g, gain)},
                  &(cz_norm_attr){.kind = CZ_NORM_RMS, .eps = 1});
      cz_value scale = sum_of(&h, "twice", out[CZ_NORM_RSTD], out[CZ_NORM_RSTD]);
      cz_graph_loss(h.g, h.loss[0]);
      OK(cz_graph_finish(h.g, &(cz_graph_options){.train = train}));
      feed_heads(&h);
      OK(train ? cz_graph_train(h.g, &(cz_graph_run_options){0})
               : cz_graph_forward(h.g, &(cz_graph_run_options){0}));
      OK(cz_graph_read(h.g, train ? want : got, scale, T));
      cz_params_destroy(&other);
      close_heads(&h);
    }
    for (int k = 0; k < T; k++) assert_true(got[k] == want[k] && got[k] > 0);
  }
}

/* No terminal op is left out above. */
static void all_terminal_ops(void **state) {
  for (int op = 0; op < CZ_OPS; op++)
    if (cz_op_rows[op]->fused_backward && op != (int)ops[0] && op != (int)ops[1])
      fail_msg("%s is a terminal loss that this file does not test", cz_op_rows[op]->name);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(all_terminal_ops),
                                     cmocka_unit_test(read_by_add),
                                     cmocka_unit_test(list_of_losses),
                                     cmocka_unit_test(loss_and_read),
                                     cmocka_unit_test(hinge_reads_nll),
                                     cmocka_unit_test(seeded),
                                     cmocka_unit_test(kept_beside_the_loss),
                                     cmocka_unit_test(frozen_losses),
                                     cmocka_unit_test(refused),
                                     cmocka_unit_test(guard_sees_unwritten),
                                     cmocka_unit_test(saved_output_is_read)};
  test_seed();
  for (devices = any_devices(own); devices[n_devices];) n_devices++;
  return cmocka_run_group_tests(tests, NULL, NULL);
}
