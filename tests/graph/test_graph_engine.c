/* The engine by itself: errors of building and feeding, tied and frozen parameters,
 * pruning, and what the guard finds in kernels that are wrong on purpose. What the guard does not
 * take part in holds on any device. */
#include "graph/internal.h"
#include "graph_test.h"

#include <math.h>

enum { D = 4, T = 3 };

/* Two linear layers and a loss on T rows; the parameters of the layers may be one and the
 * same. */
typedef struct tower {
  cz_device *device;
  cz_params *params;
  cz_param *table, *a, *b, *head;
  cz_graph *g;
  cz_value ids, targets, denominator, loss;
  int64_t t;
} tower;

static void copy_values(cz_param *to, const cz_param *from, cz_device *device) {
  OK(device->copy(device, to->value, from->value,
                  (size_t)from->count * cz_dtype_bytes(device->real)));
}

static void tower_params(tower *w, cz_device *device, bool tied) {
  const int64_t square[2] = {D, D};
  cz_rand r = {.state = 11};
  *w = (tower){.device = device};
  OK(cz_params_create(&w->params, device));
  OK(cz_params_declare(w->params, &w->table, "table", 2, square, (cz_init){0}, true));
  OK(cz_params_declare(w->params, &w->a, "a", 2, square, (cz_init){0}, true));
  w->b = w->a;
  if (!tied) OK(cz_params_declare(w->params, &w->b, "b", 2, square, (cz_init){0}, true));
  OK(cz_params_declare(w->params, &w->head, "head", 2, square, (cz_init){0}, true));
  OK(cz_params_allocate(w->params));
  for (size_t i = 0; i < w->params->n; i++) fill_param(w->params->list[i], device, &r, 0.7);
  if (!tied) copy_values(w->b, w->a, device);
  fill_param(w->head, device, &(cz_rand){.state = 12}, 0.7);
}

static cz_value linear(cz_graph *g, const char *name, cz_value x, cz_param *w, int activation) {
  cz_linear_attr attr = {.activation = activation, .alpha = 1};
  cz_value out[CZ_OP_OUT];
  cz_graph_op(g, out, CZ_OP_linear, name, 2, (cz_value[]){x, cz_graph_param(g, w)}, &attr);
  return out[0];
}

static void tower_build(tower *w) {
  const int64_t one = 1;
  cz_value out[CZ_OP_OUT];
  OK(cz_graph_create(&w->g, w->params));
  w->t = cz_graph_extent(w->g, "t", T);
  w->ids = cz_graph_input(w->g, "ids", CZ_I32, 1, &w->t);
  w->targets = cz_graph_input(w->g, "targets", CZ_I32, 1, &w->t);
  w->denominator = cz_graph_input(w->g, "denominator", w->device->real, 1, &one);
  cz_graph_op(w->g, out, CZ_OP_embedding, "embed", 2,
              (cz_value[]){cz_graph_param(w->g, w->table), w->ids}, NULL);
  cz_value x = linear(w->g, "first", out[0], w->a, CZ_ACTIVATION_GELU);
  x = linear(w->g, "second", x, w->b, CZ_ACTIVATION_NONE);
  cz_cross_entropy_attr attr = {.logit_scale = 1};
  cz_graph_op(w->g, out, CZ_OP_cross_entropy, "loss", 4,
              (cz_value[]){x, cz_graph_param(w->g, w->head), w->targets, w->denominator}, &attr);
  w->loss = out[CZ_CROSS_ENTROPY_LOSS];
  cz_graph_loss(w->g, w->loss);
}

static void tower_feed(tower *w) {
  const int32_t ids[T] = {0, 3, 0}, targets[T] = {1, 2, 3};
  const double denominator = T;
  OK(cz_graph_feed_int(w->g, w->ids, ids, T));
  OK(cz_graph_feed_int(w->g, w->targets, targets, T));
  OK(cz_graph_feed_real(w->g, w->denominator, &denominator, 1));
}

static double tower_train(tower *w) {
  double loss;
  OK(cz_graph_finish(w->g, &(cz_graph_options){.train = true}));
  tower_feed(w);
  OK(cz_graph_train(w->g, &(cz_graph_run_options){.training = true}));
  OK(cz_graph_read(w->g, &loss, w->loss, 1));
  return loss;
}

static void tower_close(tower *w) {
  cz_graph_destroy(&w->g);
  cz_params_destroy(&w->params);
}

static cz_device *open_device(const char *name) {
  cz_device *d;
  OK(cz_device_open(&d, name));
  return d;
}

static void refuse(cz_status got, cz_status want, const char *message) {
  if (got != want || !strstr(cz_error_message(), message))
    fail_msg("status %s, message: %s; wanted: %s", cz_status_name(got), cz_error_message(),
             message);
  cz_error_clear();
}

static cz_device *any_device(void) { return any_open(any_name("ref")); }

static void read_grad(double *to, const tower *w, const cz_param *p) {
  OK(cz_device_read_real(w->device, to, p->grad, D * D));
}

/* A parameter that is used twice gets the sum of what two would get. */
static void tied(void **state) {
  cz_device *d = any_device();
  tower one, two;
  double sum[D * D], a[D * D], b[D * D];
  tower_params(&one, d, true);
  tower_params(&two, d, false);
  copy_values(two.head, one.head, d), copy_values(two.table, one.table, d);
  copy_values(two.a, one.a, d), copy_values(two.b, one.a, d);
  tower_build(&one);
  tower_build(&two);
  assert_true(tower_train(&one) == tower_train(&two));
  read_grad(sum, &one, one.a), read_grad(a, &two, two.a), read_grad(b, &two, two.b);
  /* of numbers below 4, one rounding of the sum */
  const double roundoff = d->real == CZ_F64 ? 1e-15 : 0x1p-22;
  for (int i = 0; i < D * D; i++) {
    assert_true(a[i] != 0 && b[i] != 0);
    if (!(fabs(sum[i] - a[i] - b[i]) <= roundoff))
      fail_msg("%.17g is not %.17g + %.17g", sum[i], a[i], b[i]);
  }
  read_grad(a, &one, one.head), read_grad(b, &two, two.head);
  assert_memory_equal(a, b, sizeof a);
  read_grad(a, &one, one.table), read_grad(b, &two, two.table);
  assert_memory_equal(a, b, sizeof a);
  tower_close(&one);
  tower_close(&two);
  any_close(&d);
}

static int steps(bool table, bool a, bool b, bool head) {
  cz_device *d = any_device();
  tower w;
  tower_params(&w, d, false);
  w.table->trainable = table, w.a->trainable = a, w.b->trainable = b, w.head->trainable = head;
  tower_build(&w);
  tower_train(&w);
  assert_int_equal(w.g->forward_steps, 3); /* the loss is computed by its backward */
  int n = (int)w.g->n_steps - w.g->forward_steps;
  double x[D * D];
  for (size_t i = 0; i < w.params->n; i++) {
    const cz_param *p = w.params->list[i];
    double sum = 0;
    OK(cz_device_read_real(d, x, p->grad, D * D));
    for (int k = 0; k < D * D; k++) sum += fabs(x[k]);
    if ((sum > 0) != p->trainable)
      fail_msg("%s is %s and its gradient sums to %g", p->name, p->trainable ? "trained" : "frozen",
               sum);
  }
  tower_close(&w);
  any_close(&d);
  return n;
}

/* Backward stops where nothing that is trained lies behind. */
static void frozen(void **state) {
  assert_int_equal(steps(true, true, true, true), 4);
  assert_int_equal(steps(false, true, true, true), 3);
  assert_int_equal(steps(false, false, true, true), 2);
  assert_int_equal(steps(false, false, false, true), 1);
  assert_int_equal(steps(true, false, false, false), 4); /* gradients pass through frozen layers */
  cz_device *d = any_device();
  tower w;
  tower_params(&w, d, false);
  for (size_t i = 0; i < w.params->n; i++) w.params->list[i]->trainable = false;
  tower_build(&w);
  refuse(cz_graph_finish(w.g, &(cz_graph_options){.train = true}), CZ_EINVAL,
         "no trainable parameter stands behind the loss");
  tower_close(&w);
  any_close(&d);
}

static bool counted_ready(const char *name, int *seen) {
  return !strcmp(name, "a") ? (*seen)++ == 0 : true;
}

static void on_ready(void *self, const cz_param *p) {
  int *seen = self;
  assert_non_null(p->grad);
  seen[0]++;
  assert_true(counted_ready(p->name, &seen[1]));
}

/* Each gradient is announced once, also that of a parameter with several uses. */
static void ready_once(void **state) {
  cz_device *d = any_device();
  tower w;
  int seen[2] = {0};
  tower_params(&w, d, true);
  tower_build(&w);
  OK(cz_graph_finish(w.g, &(cz_graph_options){.train = true}));
  tower_feed(&w);
  OK(cz_graph_train(w.g, &(cz_graph_run_options){.ready = on_ready, .ready_self = seen}));
  assert_int_equal(seen[0], 3);
  assert_int_equal(seen[1], 1);
  tower_close(&w);
  any_close(&d);
}

/* The first wrong node is reported once, with place, op and values, whatever hangs on
 * it. */
static void poisoned(void **state) {
  cz_device *d = any_device();
  const int64_t wide[2] = {T, 7};
  tower w;
  cz_value out[CZ_OP_OUT];
  tower_params(&w, d, true);
  OK(cz_graph_create(&w.g, w.params));
  cz_value x = cz_graph_input(w.g, "x", w.device->real, 2, wide);
  cz_graph_block(w.g, "decoder.block.1", false);
  cz_value bad = linear(w.g, "ffn.wi", x, w.a, CZ_ACTIVATION_NONE); /* 7 columns against 4 */
  cz_value worse = linear(w.g, "ffn.wo", bad, w.a, 99);
  cz_graph_op(w.g, out, CZ_OP_add, "sum", 2, (cz_value[]){worse, x}, NULL);
  cz_graph_keep(w.g, out[0]);
  cz_graph_loss(w.g, out[0]);
  refuse(cz_graph_finish(w.g, &(cz_graph_options){.train = true}), CZ_EINVAL,
         "decoder.block.1/ffn.wi (linear): w");
  refuse(cz_graph_finish(w.g, &(cz_graph_options){0}), CZ_EINVAL, "7");
  refuse(cz_graph_finish(w.g, &(cz_graph_options){0}), CZ_EINVAL, "4"); /* both sizes are named */
  cz_graph_destroy(&w.g);

  OK(cz_graph_create(&w.g, w.params));
  cz_graph_op(w.g, out, CZ_OP_linear, "alone", 1, (cz_value[]){cz_graph_param(w.g, w.a)},
              &(cz_linear_attr){.alpha = 1});
  refuse(cz_graph_finish(w.g, &(cz_graph_options){0}), CZ_EINVAL,
         "alone (linear): input w is missing");
  cz_graph_destroy(&w.g);

  OK(cz_graph_create(&w.g, w.params));
  x = cz_graph_param(w.g, w.a);
  cz_graph_op(w.g, out, CZ_OP_linear, "both", 2, (cz_value[]){x, x}, &(cz_linear_attr){.alpha = 1});
  refuse(cz_graph_finish(w.g, &(cz_graph_options){0}), CZ_EINVAL,
         "both (linear): x and w are one value");
  cz_graph_destroy(&w.g);

  OK(cz_graph_create(&w.g, w.params));
  const int64_t square[2] = {T, D};
  x = cz_graph_input(w.g, "x", w.device->real, 2, square);
  x = linear(w.g, "twice", x, w.a, CZ_ACTIVATION_NONE);
  cz_graph_keep(w.g, linear(w.g, "twice", x, w.a, CZ_ACTIVATION_NONE));
  refuse(cz_graph_finish(w.g, &(cz_graph_options){0}), CZ_EINVAL,
         "nodes twice and twice have one key");
  cz_graph_destroy(&w.g);

  OK(cz_graph_create(&w.g, w.params));
  cz_graph_extent(w.g, "nothing", 0);
  refuse(cz_graph_finish(w.g, &(cz_graph_options){0}), CZ_EINVAL, "extent nothing: capacity 0");
  cz_graph_destroy(&w.g);
  tower_close(&w);
  any_close(&d);
}

/* A gradient that arrives at an op without backward is an error, not a zero. */
static void not_differentiable(void **state) {
  cz_device *d = any_device();
  tower w;
  cz_value out[CZ_OP_OUT];
  tower_params(&w, d, true);
  OK(cz_graph_create(&w.g, w.params));
  cz_graph_op(w.g, out, CZ_OP_sumsq, "norm of a", 1, (cz_value[]){cz_graph_param(w.g, w.a)}, NULL);
  cz_graph_loss(w.g, out[0]);
  refuse(cz_graph_finish(w.g, &(cz_graph_options){.train = true}), CZ_EINVAL, "norm of a (sumsq)");
  cz_graph_destroy(&w.g);

  OK(cz_graph_create(&w.g, w.params));
  refuse(cz_graph_finish(w.g, &(cz_graph_options){.train = true}), CZ_EINVAL, "no loss");
  cz_graph_destroy(&w.g);

  OK(cz_graph_create(&w.g, w.params)); /* scored, it is fine */
  double got, want = 0, x[D * D];
  cz_graph_op(w.g, out, CZ_OP_sumsq, "norm of a", 1, (cz_value[]){cz_graph_param(w.g, w.a)}, NULL);
  cz_graph_keep(w.g, out[0]);
  OK(cz_graph_finish(w.g, &(cz_graph_options){0}));
  OK(cz_graph_forward(w.g, &(cz_graph_run_options){0}));
  OK(cz_graph_read(w.g, &got, out[0], 1));
  OK(cz_device_read_real(d, x, w.a->value, D * D));
  for (int i = 0; i < D * D; i++) want += x[i] * x[i];
  /* a sum of sixteen squares */
  assert_true(fabs(got - want) <= (d->real == CZ_F64 ? 1e-14 : 16 * 0x1p-24) * want);
  tower_close(&w);
  any_close(&d);
}

/* Extents over capacity, feeds of a wrong size or type, reads of what is not there. */
static void wrong_feeds(void **state) {
  cz_device *d = any_device();
  tower w;
  double x[D * D];
  const int32_t ids[2 * T] = {0};
  tower_params(&w, d, true);
  tower_build(&w);
  OK(cz_graph_finish(w.g, &(cz_graph_options){.train = true}));
  refuse(cz_graph_set_extent(w.g, w.t, T + 1), CZ_EINVAL,
         "extent t: 4 does not fit its capacity 3");
  refuse(cz_graph_set_extent(w.g, w.t, -1), CZ_EINVAL, "-1");
  refuse(cz_graph_feed_int(w.g, w.ids, ids, T + 1), CZ_EINVAL, "input ids wants 3 numbers, not 4");
  OK(cz_graph_set_extent(w.g, w.t, 2));
  refuse(cz_graph_feed_int(w.g, w.ids, ids, T), CZ_EINVAL, "wants 2 numbers, not 3");
  refuse(cz_graph_feed_real(w.g, w.ids, x, 2), CZ_EINVAL, "ids can't be fed this type");
  refuse(cz_graph_feed_int(w.g, w.loss, ids, 1), CZ_EINVAL, "loss can't be fed this type");
  refuse(cz_graph_feed_int(w.g, CZ_ABSENT, ids, 1), CZ_EINVAL, "an absent value");
  refuse(cz_graph_read(w.g, x, CZ_ABSENT, 1), CZ_EINVAL, "no memory to read");
  refuse(cz_graph_read(w.g, x, w.targets, 1), CZ_EINVAL, "targets is not a real value");
  refuse(cz_graph_read(w.g, x, w.denominator, 2), CZ_EINVAL, "denominator has 1 numbers, not 2");
  tower_close(&w);
  any_close(&d);
}

/* A net refuses batches whose ids, spans or sizes can't be. */
static void wrong_batches(void **state) {
  cz_device *d = any_device();
  cz_model *m = tiny_model("t5-nano", d, 1);
  cz_net *net;
  batch b;
  cz_rand r = {.state = test_seed()};
  cz_net_options o = net_options(0);
  OK(cz_net_create(&net, m, &o));
  random_batch(&b, &r, m, 3, false);
  OK(cz_net_feed(net, &b.feed));
  int32_t kept = b.enc[0];
  if (b.feed.encoder.tokens) {
    b.enc[0] = 37;
    refuse(cz_net_feed(net, &b.feed), CZ_EINVAL,
           "encoder: token id 37 at position 0 is outside the vocabulary of 37");
    b.enc[0] = -1;
    refuse(cz_net_feed(net, &b.feed), CZ_EINVAL, "token id -1");
    b.enc[0] = kept;
  }
  kept = b.targets[1], b.targets[1] = 37;
  refuse(cz_net_feed(net, &b.feed), CZ_EINVAL, "target 37 at row 1");
  b.targets[1] = kept;
  kept = b.dec_spans[3], b.dec_spans[3] += 1;
  assert_int_equal(cz_net_feed(net, &b.feed), CZ_EINVAL);
  b.dec_spans[3] = kept;
  b.feed.denominator = 0;
  refuse(cz_net_feed(net, &b.feed), CZ_EINVAL, "loss denominator 0");
  b.feed.denominator = 1;
  b.feed.segments = MOST_SEGMENTS + 1;
  assert_int_equal(cz_net_feed(net, &b.feed), CZ_EINVAL);
  cz_net_destroy(&net);
  cz_model_destroy(&m);
  any_close(&d);
}

/* Devices whose linear kernel is wrong in one way. */
static cz_device *real;
static cz_kernel broken;
static bool break_backward;

static const cz_kernels *fake_kernels(cz_device *d, cz_op op, cz_dtype dtype) {
  static cz_kernels fake;
  if (op != CZ_OP_linear) return real->kernels(d, op, dtype);
  fake = *real->kernels(d, op, dtype);
  *(break_backward ? &fake.backward : &fake.forward) = broken;
  return &fake;
}

static void right(const cz_call *c) { cz_op_rows[CZ_OP_linear]->kernels[CZ_F64].forward(c); }
static void right_back(const cz_call *c) { cz_op_rows[CZ_OP_linear]->kernels[CZ_F64].backward(c); }

static void writes_past_the_end(const cz_call *c) {
  right(c);
  ((double *)c->out[0].data)[T * D] = 0;
}

static void writes_before_the_start(const cz_call *c) {
  right(c);
  ((double *)c->out[0].data)[-1] = 0;
}

static void forgets_a_row(const cz_call *c) {
  cz_call less = *c;
  less.in[0].dim[0]--;
  right(&less);
}

static void writes_past_a_gradient(const cz_call *c) {
  right_back(c);
  ((double *)c->din[CZ_LINEAR_W].data)[D * D] = 1;
}

static void forgets_a_gradient(const cz_call *c) {
  cz_call less = *c;
  less.mode[CZ_LINEAR_W] = CZ_GRAD_SKIP;
  right_back(&less);
}

static void writes_an_input(const cz_call *c) {
  right(c);
  ((double *)c->in[CZ_LINEAR_W].data)[-1] = 5;
}

static cz_status run_broken(tower *w, cz_kernel kernel, bool backward, double *loss) {
  static cz_device fake;
  real = open_device("guard:ref");
  fake = *real;
  fake.kernels = fake_kernels;
  broken = kernel, break_backward = backward;
  tower_params(w, &fake, false);
  tower_build(w);
  cz_status st = cz_graph_finish(w->g, &(cz_graph_options){.train = true});
  if (st != CZ_OK) return st;
  tower_feed(w);
  st = cz_graph_train(w->g, &(cz_graph_run_options){.training = true});
  if (st == CZ_OK) OK(cz_graph_read(w->g, loss, w->loss, 1));
  return st;
}

static void broken_close(tower *w) {
  tower_close(w);
  cz_device_close(&real);
}

/* The guard finds each of them: damage is named with op and tensor, forgotten writes end
 * as NaN. */
static void guard(void **state) {
  tower w;
  double loss, x[D * D];
  OK(run_broken(&w, right, false, &loss));
  assert_true(isfinite(loss));
  broken_close(&w);
  refuse(run_broken(&w, writes_past_the_end, false, &loss), CZ_ECORRUPT,
         "after first (linear) the memory after tensor first");
  broken_close(&w);
  refuse(run_broken(&w, writes_before_the_start, false, &loss), CZ_ECORRUPT,
         "after first (linear) the memory before tensor first");
  broken_close(&w);
  OK(run_broken(&w, forgets_a_row, false, &loss));
  assert_true(isnan(loss));
  broken_close(&w);
  refuse(run_broken(&w, writes_past_a_gradient, true, &loss), CZ_ECORRUPT,
         "after second (linear) the memory after gradient of b");
  broken_close(&w);
  OK(run_broken(&w, forgets_a_gradient, true, &loss));
  OK(cz_device_read_real(&(cz_device){.real = CZ_F64, .read = real->read}, x, w.b->grad, D * D));
  for (int i = 0; i < D * D; i++) assert_true(isnan(x[i]));
  broken_close(&w);
  refuse(run_broken(&w, writes_an_input, false, &loss), CZ_ECORRUPT,
         "the memory after parameter table");
  broken_close(&w);
}

/* On a device that lacks a kernel the graph is not finished, and the message says which. */
static void no_kernel(void **state) {
  tower w;
  double loss;
  refuse(run_broken(&w, NULL, true, &loss), CZ_EINVAL,
         "op linear has no f64 backward kernel on guard:ref");
  broken_close(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(tied),
                                     cmocka_unit_test(frozen),
                                     cmocka_unit_test(ready_once),
                                     cmocka_unit_test(poisoned),
                                     cmocka_unit_test(not_differentiable),
                                     cmocka_unit_test(wrong_feeds),
                                     cmocka_unit_test(wrong_batches),
                                     cmocka_unit_test(guard),
                                     cmocka_unit_test(no_kernel)};
  test_seed();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
