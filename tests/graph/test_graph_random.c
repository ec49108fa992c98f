/* Random graphs: any legal composition of ops must give the same bits planned and not,
 * recomputed and not, fused and not, guarded and not, and on ref the gradient that
 * central differences give. At least 20 graphs, more while time allows; CZ_TEST_SEED replays. On a
 * device of CZ_TEST_DEVICE as many as CZ_TEST_CASES says. */
#include "graph_test.h"

#include "base/clock.h"

#include <math.h>

/* What stands between the embedding and the loss: random ops, or one attention over keys that are
 * its values or have been copied to be. */
typedef enum body { RANDOM, KEYS_ARE_VALUES, KEYS_ARE_COPIED } body;

enum { D = 6, T = 11, ROWS = 7, B = 3, V = 9, MOST_PARAMS = 64, MOST_VALUES = 64 };

/* A graph under construction. Its shape depends on `draw` alone, so it can be built again
 * under other options. */
typedef struct maker {
  cz_graph *g;
  cz_params *params; /* first pass: declared; later: taken in order */
  cz_rand draw;
  size_t next; /* parameters asked for */
  bool declare;
  body body;
  bool kinks;                              /* ReLU may be drawn */
  cz_value x[MOST_VALUES], y[MOST_VALUES]; /* values of T rows and of ROWS rows */
  int nx, ny, nodes;
  cz_value ids, spans, row_spans, rows, targets, denominator, loss;
} maker;

static cz_param *a_param(maker *m, int ndim, int64_t rows, int64_t columns) {
  const int64_t dim[2] = {rows, columns};
  cz_param *p;
  if (cz_rand_int(&m->draw, 0, 3) == 0) /* one that is there already: tied */
    for (size_t i = 0; i < m->next; i++) {
      p = m->params->list[i];
      if (p->ndim == ndim && p->dim[0] == rows && (ndim == 1 || p->dim[1] == columns)) return p;
    }
  if (m->declare) {
    char name[32];
    snprintf(name, sizeof name, "p%zu", m->next);
    OK(cz_params_declare(m->params, &p, name, ndim, dim,
                         (cz_init){.kind = CZ_INIT_NORMAL, .scale = ndim == 2 ? 0.5 : 1}, true));
  }
  return m->params->list[m->next++];
}

static cz_value param(maker *m, int ndim, int64_t rows, int64_t columns) {
  cz_param *p = a_param(m, ndim, rows, columns);
  /* while the list is open parameters have no memory; the first pass only draws the
   * shape */
  return cz_graph_param(m->g, p);
}

static cz_value node(maker *m, cz_op op, int n, const cz_value *in, const void *attr) {
  char name[32];
  cz_value out[CZ_OP_OUT];
  snprintf(name, sizeof name, "n%d", m->nodes++);
  cz_graph_op(m->g, out, op, name, n, in, attr);
  return out[0];
}

static cz_value one_of(maker *m, const cz_value *list, int n) {
  return list[cz_rand_int(&m->draw, n > 4 ? n - 4 : 0, n - 1)];
} /* the newest more often */

static int an_activation(maker *m) {
  int kind = (int)cz_rand_int(&m->draw, 0, CZ_ACTIVATIONS - 1);
  return kind == CZ_ACTIVATION_RELU && !m->kinks ? CZ_ACTIVATION_GELU : kind;
}

static cz_value a_linear(maker *m, cz_value x) {
  cz_linear_attr a = {.layout = (int)cz_rand_int(&m->draw, 0, 1),
                      .activation =
                          cz_rand_int(&m->draw, 0, 2) ? CZ_ACTIVATION_NONE : an_activation(m),
                      .alpha = 0.7};
  cz_value w = param(m, 2, D, D),
           bias = cz_rand_int(&m->draw, 0, 1) ? param(m, 1, D, 0) : CZ_ABSENT;
  return node(m, CZ_OP_linear, 3, (cz_value[]){x, w, bias}, &a);
}

static cz_value a_norm(maker *m, cz_value x, cz_value branch, cz_value spans) {
  cz_norm_attr a = {.kind = (int)cz_rand_int(&m->draw, 0, 1), .eps = 1e-3};
  cz_value gain = param(m, 1, D, 0), shift = a.kind == CZ_NORM_LAYER && cz_rand_int(&m->draw, 0, 1)
                                                 ? param(m, 1, D, 0)
                                                 : CZ_ABSENT;
  if (shift == gain) shift = CZ_ABSENT; /* they may not be one value (twins) */
  bool with = cz_rand_int(&m->draw, 0, 2) == 0;
  a.dropout = with && cz_rand_int(&m->draw, 0, 1) ? 0.25 : 0;
  a.share_segment = with && cz_rand_int(&m->draw, 0, 1);
  return node(
      m, CZ_OP_norm, 5,
      (cz_value[]){x, gain, shift, with ? branch : CZ_ABSENT, a.share_segment ? spans : CZ_ABSENT},
      &a);
}

static cz_value a_dropout(maker *m, cz_value x, cz_value spans) {
  cz_dropout_attr a = {.p = 0.3, .share_segment = cz_rand_int(&m->draw, 0, 1)};
  return node(m, CZ_OP_dropout, 2, (cz_value[]){x, a.share_segment ? spans : CZ_ABSENT}, &a);
}

static cz_value an_act(maker *m, cz_value x, cz_value gate) {
  cz_activation_attr a = {.kind = an_activation(m)};
  return node(m, CZ_OP_activation, 2,
              (cz_value[]){x, cz_rand_int(&m->draw, 0, 1) ? gate : CZ_ABSENT}, &a);
}

static cz_value an_attention(maker *m, cz_value q, cz_value k, cz_value v, cz_value q_spans,
                             cz_value k_spans) {
  cz_attention_attr a = {.heads = 2,
                         .mask = CZ_ATTENTION_MASK_FULL,
                         .scale = 0.5,
                         .buckets = 8,
                         .max_distance = 12,
                         .bidirectional = true,
                         .dropout = cz_rand_int(&m->draw, 0, 1) ? 0.2 : 0,
                         .share_queries = cz_rand_int(&m->draw, 0, 1)};
  if (q_spans == k_spans && cz_rand_int(&m->draw, 0, 1)) a.mask = CZ_ATTENTION_MASK_CAUSAL;
  cz_value table = cz_rand_int(&m->draw, 0, 1) ? param(m, 2, 8, 2) : CZ_ABSENT;
  return node(m, CZ_OP_attention, 7, (cz_value[]){q, k, v, q_spans, k_spans, CZ_ABSENT, table}, &a);
}

/* h = x + dropout(b), y = norm(h): what the fusion looks for. Gives y; h stays usable. */
static cz_value a_residual(maker *m, cz_value x, cz_value b, cz_value *list, int *n,
                           cz_value spans) {
  if (cz_rand_int(&m->draw, 0, 1)) b = a_dropout(m, b, spans);
  cz_value h = node(m, CZ_OP_add, 2, (cz_value[]){x, b}, NULL);
  if (cz_rand_int(&m->draw, 0, 1)) list[(*n)++] = h;
  return a_norm(m, h, x, spans);
}

/* Adds one random op to the list of T-row or ROWS-row values. */
static void grow(maker *m, bool rows) {
  cz_value *list = rows ? m->y : m->x;
  int *n = rows ? &m->ny : &m->nx;
  cz_value spans = rows ? m->row_spans : m->spans, a = one_of(m, list, *n), b = one_of(m, list, *n),
           c = one_of(m, list, *n), made = a;
  switch (cz_rand_int(&m->draw, 0, 7)) {
  case 0: made = a_linear(m, a); break;
  case 1: made = a_norm(m, a, b, spans); break;
  case 2: made = node(m, CZ_OP_add, 2, (cz_value[]){a, b}, NULL); break;
  case 3: made = an_act(m, a, b); break;
  case 4: made = a_dropout(m, a, spans); break;
  case 5: made = an_attention(m, a, b, c, spans, spans); break;
  case 6: made = a_residual(m, a, b, list, n, spans); break;
  case 7:
    made = rows
               ? an_attention(m, a, one_of(m, m->x, m->nx), one_of(m, m->x, m->nx), spans, m->spans)
               : a_linear(m, a);
    break;
  }
  list[(*n)++] = made;
}

static void grow_random(maker *m, bool recompute) {
  int first = (int)cz_rand_int(&m->draw, 1, 8), second = (int)cz_rand_int(&m->draw, 0, 6);
  for (int i = 0; i < first; i++) {
    char name[16];
    snprintf(name, sizeof name, "block %d", i);
    if (cz_rand_int(&m->draw, 0, 2) == 0)
      cz_graph_block(m->g, name, cz_rand_int(&m->draw, 0, 2) && recompute);
    grow(m, false);
  }
  cz_graph_block(m->g, "rows", recompute);
  m->y[m->ny++] = node(m, CZ_OP_gather, 2, (cz_value[]){one_of(m, m->x, m->nx), m->rows}, NULL);
  for (int i = 0; i < second; i++) grow(m, true);
  if (cz_rand_int(&m->draw, 0, 3) == 0) cz_graph_keep(m->g, one_of(m, m->x, m->nx));
}

/* Both have the copy, so that the numbers of nodes, which dropout draws by, are the same. */
static void grow_attention(maker *m) {
  const cz_activation_attr same = {.kind = CZ_ACTIVATION_NONE};
  const cz_value x = m->x[0], q = a_linear(m, x),
                 copy = node(m, CZ_OP_activation, 2, (cz_value[]){x, CZ_ABSENT}, &same);
  const cz_value y =
      an_attention(m, q, x, m->body == KEYS_ARE_COPIED ? copy : x, m->spans, m->spans);
  m->y[m->ny++] = node(m, CZ_OP_gather, 2, (cz_value[]){y, m->rows}, NULL);
}

static void build(maker *m, bool recompute) {
  const int64_t two[2] = {B, 2}, one = 1;
  int64_t t = cz_graph_extent(m->g, "t", T + 5), r = cz_graph_extent(m->g, "r", ROWS + 9);
  m->nx = m->ny = m->nodes = 0, m->next = 0;
  m->ids = cz_graph_input(m->g, "ids", CZ_I32, 1, &t);
  m->spans = cz_graph_input(m->g, "spans", CZ_I32, 2, two);
  m->row_spans = cz_graph_input(m->g, "row_spans", CZ_I32, 2, two);
  m->rows = cz_graph_input(m->g, "rows", CZ_I32, 1, &r);
  m->targets = cz_graph_input(m->g, "targets", CZ_I32, 1, &r);
  m->denominator = cz_graph_input(m->g, "denominator", m->params->device->real, 1, &one);
  m->x[m->nx++] = node(m, CZ_OP_embedding, 2, (cz_value[]){param(m, 2, V, D), m->ids}, NULL);
  if (m->body == RANDOM)
    grow_random(m, recompute);
  else
    grow_attention(m);
  cz_graph_block(m->g, "head", false);
  cz_cross_entropy_attr attr = {.logit_scale = 0.8, .z_loss = 0.01};
  m->loss =
      node(m, CZ_OP_cross_entropy, 4,
           (cz_value[]){m->y[m->ny - 1], param(m, 2, V, D), m->targets, m->denominator}, &attr);
  cz_graph_loss(m->g, m->loss);
}

/* One random graph on one device, ready to be built under several options. */
typedef struct problem {
  cz_device *device;
  cz_params *params;
  uint64_t seed;
  body body;
  bool kinks;
  int32_t ids[T], rows[ROWS], targets[ROWS];
} problem;

/* Draws the shape on a throw-away list to learn the parameters, then allocates them. */
static void problem_open(problem *p, const char *device, uint64_t seed, body what, bool kinks) {
  cz_rand r = {.state = seed};
  *p = (problem){.seed = seed, .body = what, .kinks = kinks};
  p->device = any_open(device);
  OK(cz_params_create(&p->params, p->device));
  maker m = {
      .params = p->params, .draw = {.state = seed}, .declare = true, .body = what, .kinks = kinks};
  OK(cz_graph_create(&m.g, p->params));
  build(&m, false);
  cz_graph_destroy(&m.g);
  OK(cz_params_allocate(p->params));
  for (size_t i = 0; i < p->params->n; i++)
    fill_param(p->params->list[i], p->device, &r, p->params->list[i]->init.scale);
  for (int i = 0; i < T; i++) p->ids[i] = (int32_t)cz_rand_int(&r, 0, V - 1);
  for (int i = 0; i < ROWS; i++)
    p->rows[i] = (int32_t)cz_rand_int(&r, 0, T - 1),
    p->targets[i] = (int32_t)cz_rand_int(&r, -1, V - 1);
}

static void problem_close(problem *p) {
  cz_params_destroy(&p->params);
  any_close(&p->device);
}

/* False when finishing refuses the graph. */
static bool problem_build(maker *m, const problem *p, cz_graph_options options, bool recompute) {
  static const int32_t spans[2 * B] = {0, 4, 4, 5, 5, T}, row_spans[2 * B] = {0, 2, 2, 2, 2, ROWS};
  const double denominator = 4;
  *m = (maker){.params = p->params, .draw = {.state = p->seed}, .body = p->body, .kinks = p->kinks};
  OK(cz_graph_create(&m->g, p->params));
  build(m, recompute);
  if (cz_graph_finish(m->g, &options) != CZ_OK) return cz_graph_destroy(&m->g), false;
  OK(cz_graph_set_extent(m->g, -1, T));
  OK(cz_graph_set_extent(m->g, -2, ROWS));
  OK(cz_graph_feed_int(m->g, m->ids, p->ids, T));
  OK(cz_graph_feed_int(m->g, m->spans, spans, 2 * B));
  OK(cz_graph_feed_int(m->g, m->row_spans, row_spans, 2 * B));
  OK(cz_graph_feed_int(m->g, m->rows, p->rows, ROWS));
  OK(cz_graph_feed_int(m->g, m->targets, p->targets, ROWS));
  OK(cz_graph_feed_real(m->g, m->denominator, &denominator, 1));
  return true;
}

static const cz_graph_run_options training = {.key = {.seed = 77, .step = 2}, .training = true};

/* False when nothing is to be trained. */
static bool train(outcome *o, const problem *p, cz_graph_options options, bool recompute) {
  maker m;
  options.train = true;
  if (!problem_build(&m, p, options, recompute)) {
    if (!strstr(cz_error_message(), "nothing to train")) fail_msg("%s", cz_error_chain());
    return false;
  }
  if (p->params->grads)
    OK(p->device->fill(p->device, p->params->grads, 0,
                       (size_t)p->params->flat * cz_dtype_bytes(p->device->real)));
  /* nothing left by another graph */
  OK(cz_graph_train(m.g, &training));
  outcome_of_params(o, p->params);
  OK(cz_graph_read(m.g, &o->loss, m.loss, 1));
  cz_graph_destroy(&m.g);
  return true;
}

static void compare(const problem *p, const outcome *want, const char *what,
                    cz_graph_options options, bool recompute) {
  char text[160];
  outcome got;
  snprintf(text, sizeof text, "graph of seed %llu on %s: %s", (unsigned long long)p->seed,
           p->device->name, what);
  assert_true(train(&got, p, options, recompute));
  same_bits(text, &got, want);
  outcome_free(&got);
}

static void bits(const char *device, uint64_t seed) {
  problem p;
  outcome plain;
  problem_open(&p, device, seed, RANDOM, true);
  assert_true(train(&plain, &p, (cz_graph_options){0}, false));
  assert_true(isfinite(plain.loss));
  compare(&p, &plain, "no reuse", (cz_graph_options){.no_reuse = true}, false);
  compare(&p, &plain, "recomputed", (cz_graph_options){0}, true);
  compare(&p, &plain, "recomputed, no fusion", (cz_graph_options){.no_fusion = true}, true);
  compare(&p, &plain, "no fusion, no reuse",
          (cz_graph_options){.no_fusion = true, .no_reuse = true}, false);
  problem_close(&p);
  if (any_guard(device)) {
    problem_open(&p, any_guard(device), seed, RANDOM, true);
    compare(&p, &plain, "guarded", (cz_graph_options){0}, false);
    compare(&p, &plain, "guarded, recomputed", (cz_graph_options){0}, true);
    problem_close(&p);
  }
  outcome_free(&plain);
}

/* Frozen parameters change nothing for the others. */
static void frozen(const char *device, uint64_t seed) {
  problem p;
  outcome all, some;
  cz_rand r = {.state = seed + 1};
  problem_open(&p, device, seed, RANDOM, true);
  assert_true(train(&all, &p, (cz_graph_options){0}, false));
  for (size_t i = 0; i < p.params->n; i++) p.params->list[i]->trainable = cz_rand_int(&r, 0, 1);
  bool any = train(&some, &p, (cz_graph_options){0}, seed & 1);
  if (any) assert_true(some.loss == all.loss);
  int64_t at = 0;
  for (size_t i = 0; i < p.params->n; i++) {
    const cz_param *q = p.params->list[i];
    for (int64_t end = at + q->count, j = at; j < end; j++, at++) {
      double want = q->trainable ? all.grad[j] : 0, got = any ? some.grad[j] : 0;
      if (!(got == want))
        fail_msg("graph of seed %llu, %s parameter %s: %.17g, all trained %.17g",
                 (unsigned long long)seed, q->trainable ? "trained" : "frozen", q->name, got, want);
    }
  }
  outcome_free(&all);
  if (any) outcome_free(&some);
  problem_close(&p);
}

/* The loss after moving all parameters by STEP along DIR. Scored without differentiation,
 * dropout on. */
static double moved(maker *m, const problem *p, const double *start, const double *dir,
                    double step) {
  double loss, *x = calloc((size_t)p->params->count, sizeof *x);
  int64_t at = 0;
  assert_non_null(x);
  for (int64_t i = 0; i < p->params->count; i++) x[i] = start[i] + step * dir[i];
  for (size_t i = 0; i < p->params->n; at += p->params->list[i++]->count)
    OK(cz_device_write_real(p->device, p->params->list[i]->value, x + at,
                            p->params->list[i]->count));
  OK(cz_graph_forward(m->g, &training));
  OK(cz_graph_read(m->g, &loss, m->loss, 1));
  free(x);
  return loss;
}

/* Along a random direction, Richardson's extrapolation of two central differences. */
static void differences(uint64_t seed) {
  problem p;
  outcome o;
  maker m;
  cz_rand r = {.state = seed + 9};
  problem_open(&p, "ref", seed, RANDOM, false);
  assert_true(train(&o, &p, (cz_graph_options){0}, seed & 1) &&
              problem_build(&m, &p, (cz_graph_options){0}, false));
  double *start = calloc((size_t)o.n, sizeof *start), *dir = calloc((size_t)o.n, sizeof *dir),
         want = 0, square = 0, best = INFINITY;
  assert_true(start && dir);
  int64_t at = 0;
  for (size_t i = 0; i < p.params->n; at += p.params->list[i++]->count)
    OK(cz_device_read_real(p.device, start + at, p.params->list[i]->value,
                           p.params->list[i]->count));
  for (int64_t i = 0; i < o.n; i++) {
    dir[i] = cz_rand_normal(&r);
    want += dir[i] * o.grad[i];
    square += o.grad[i] * o.grad[i];
  }
  for (int k = 8; k <= 14 && best > 1; k += 2) {
    double h = ldexp(1, -k),
           coarse = (moved(&m, &p, start, dir, h) - moved(&m, &p, start, dir, -h)) / (2 * h);
    double fine = (moved(&m, &p, start, dir, h / 2) - moved(&m, &p, start, dir, -h / 2)) / h;
    double share =
        fabs((4 * fine - coarse) / 3 - want) / (1e-6 * sqrt(square) + 1e-14 * (1 + o.loss) / h);
    best = fmin(best, share);
  }
  if (!(best <= 1))
    fail_msg("graph of seed %llu: derivative %.12g is off by %g of its limit",
             (unsigned long long)seed, want, best);
  free(start);
  free(dir);
  cz_graph_destroy(&m.g);
  outcome_free(&o);
  problem_close(&p);
}

/* Gradients of keys and of values meet in one array. */
static void keys_are_values(void **state) {
  const char *device = any_name(NULL) ? any_name(NULL) : "cpu";
  for (uint64_t seed = 1; seed <= 4; seed++) {
    outcome o[2];
    for (int copied = 0; copied < 2; copied++) {
      problem p;
      problem_open(&p, device, seed, copied ? KEYS_ARE_COPIED : KEYS_ARE_VALUES, false);
      assert_true(train(&o[copied], &p, (cz_graph_options){0}, false));
      problem_close(&p);
    }
    nearly("keys that are values", &o[0], &o[1], 1e-5);
    outcome_free(&o[0]);
    outcome_free(&o[1]);
  }
}

enum { LEAST = 20 };

static void many(void **state) {
  const int most = any_cases(LEAST);
  for (int n = 0; n < most && any_name(NULL); n++) {
    uint64_t seed = test_seed() * 1000 + (uint64_t)n;
    bits(any_name(NULL), seed);
    frozen(any_name(NULL), seed);
  }
  if (any_name(NULL)) return;
  const char *said = getenv("CZ_TEST_SECONDS"); /* a longer search by hand */
  double began = cz_seconds(), limit = said ? atof(said) : 5;
  int n = 0;
  /* LEAST graphs however slow the machine is, then as many as the time allows */
  while (n < LEAST || (cz_seconds() - began < limit && (said || n < 400))) {
    uint64_t seed = test_seed() * 1000 + (uint64_t)n++;
    bits(n & 1 ? "ref" : "cpu", seed);
    frozen("ref", seed);
    differences(seed);
  }
  print_message("%d random graphs\n", n);
  assert_true(n >= LEAST);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(keys_are_values), cmocka_unit_test(many)};
  test_seed();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
