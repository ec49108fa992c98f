/* Dropout seen from outside, on arrays of ones: which elements share a draw and which do
 * not, what a kept one is, how many are kept; and where a model has dropout. Bounds are
 * six standard deviations of the binomial: one false alarm in half a billion. */
#include "graph/internal.h"
#include "graph_test.h"

#include <math.h>

/* Rows are channels wide: more than one piece of the mask, no multiple of four. LONGEST
 * keys, as many as a head is wide. */
enum { SEGMENTS = 6, T = 62, D = 1031, H = 6, LONGEST = 20, E = H * LONGEST };
static const int32_t spans[2 * SEGMENTS] = {0, 7, 7, 7, 7, 27, 27, 28, 28, 48, 48, T};

/* The factors that one run drew: of two dropouts, and of an attention whose output shows
 * them (uniform weights, values that tell keys apart). */
typedef struct masks {
  cz_dtype real; /* that the device computes in */
  double one[T * D], two[T * D];
  double attention[T * E]; /* [T, H, LONGEST]: query, head, key of its segment */
} masks;

typedef struct setting {
  const char *device;
  double p;
  bool share, off;
  cz_key key;
} setting;

static cz_key fresh_key(void) { return (cz_key){.seed = test_seed(), .step = 5, .shard = 2}; }

/* Which keys a query sees: its head's column j belongs to key j of the segment. */
static void fill_values(double *v) {
  memset(v, 0, T * E * sizeof *v);
  for (int b = 0; b < SEGMENTS; b++)
    for (int32_t t = spans[2 * b]; t < spans[2 * b + 1]; t++)
      for (int h = 0; h < H; h++) v[t * E + h * LONGEST + t - spans[2 * b]] = 1;
}

static void build(cz_graph *g, cz_value in[4], cz_value out[3], const setting *s, cz_dtype real) {
  const int64_t wide[2] = {T, D}, heads[2] = {T, E}, pairs[2] = {SEGMENTS, 2};
  const cz_dropout_attr attr = {.p = s->p, .share_segment = s->share};
  const cz_attention_attr attention = {.heads = H,
                                       .mask = CZ_ATTENTION_MASK_FULL,
                                       .scale = 1,
                                       .dropout = s->p,
                                       .share_queries = s->share};
  const char *const names[2] = {"one", "two"};
  cz_value made[CZ_OP_OUT];
  in[0] = cz_graph_input(g, "ones", real, 2, wide),
  in[1] = cz_graph_input(g, "zeros", real, 2, heads);
  in[2] = cz_graph_input(g, "values", real, 2, heads),
  in[3] = cz_graph_input(g, "spans", CZ_I32, 2, pairs);
  for (int i = 0; i < 2; i++) {
    cz_graph_op(g, made, CZ_OP_dropout, names[i], 2,
                (cz_value[]){in[0], s->share ? in[3] : CZ_ABSENT}, &attr);
    cz_graph_keep(g, out[i] = made[0]);
  }
  cz_graph_op(g, made, CZ_OP_attention, "three", 7,
              (cz_value[]){in[1], in[1], in[2], in[3], in[3], CZ_ABSENT, CZ_ABSENT}, &attention);
  cz_graph_keep(g, out[2] = made[0]);
}

static void feed(cz_graph *g, const cz_value in[4]) {
  double *x = calloc(T * D, sizeof *x);
  assert_non_null(x);
  OK(cz_graph_feed_real(g, in[1], x, T * E));
  fill_values(x);
  OK(cz_graph_feed_real(g, in[2], x, T * E));
  for (int i = 0; i < T * D; i++) x[i] = 1;
  OK(cz_graph_feed_real(g, in[0], x, T * D));
  OK(cz_graph_feed_int(g, in[3], spans, 2 * SEGMENTS));
  free(x);
}

/* Attention's outputs times the number of keys. */
static void undo_mean(double *o) {
  for (int b = 0; b < SEGMENTS; b++)
    for (int i = spans[2 * b] * E; i < spans[2 * b + 1] * E; i++)
      o[i] *= spans[2 * b + 1] - spans[2 * b];
}

static masks *draw(const setting *s) {
  cz_device *device;
  cz_params *params;
  cz_graph *g;
  cz_value in[4], out[3];
  masks *m = calloc(1, sizeof *m);
  assert_non_null(m);
  device = any_open(s->device);
  m->real = device->real;
  OK(cz_params_create(&params, device));
  OK(cz_graph_create(&g, params));
  build(g, in, out, s, device->real);
  OK(cz_graph_finish(g, &(cz_graph_options){0}));
  feed(g, in);
  OK(cz_graph_forward(g, &(cz_graph_run_options){.key = s->key, .training = !s->off}));
  OK(cz_graph_read(g, m->one, out[0], T * D));
  OK(cz_graph_read(g, m->two, out[1], T * D));
  OK(cz_graph_read(g, m->attention, out[2], T * E));
  undo_mean(m->attention);
  cz_graph_destroy(&g);
  cz_params_destroy(&params);
  any_close(&device);
  return m;
}

static void within_chance(const char *what, double got, double n, double share) {
  double bound = 6 * sqrt(n * share * (1 - share)) + 1e-9;
  if (!(fabs(got - n * share) <= bound))
    fail_msg("%s: %.0f of %.0f, expected %.1f +- %.1f", what, got, n, n * share, bound);
}

/* Two masks that were drawn apart agree as often as chance has it. */
static void unrelated(const char *what, const double *a, const double *b, int n, double p) {
  int same = 0;
  for (int i = 0; i < n; i++) same += (a[i] > 0) == (b[i] > 0);
  within_chance(what, same, n, p * p + (1 - p) * (1 - p));
}

static void equal(const char *what, const double *a, const double *b, int n) {
  for (int i = 0; i < n; i++)
    if ((a[i] > 0) != (b[i] > 0))
      fail_msg("%s: element %d is kept in one and dropped in the other", what, i);
}

/* Every factor is 0 or FACTOR. */
static void only(const double *x, int n, double factor, double tolerance) {
  for (int i = 0; i < n; i++)
    if (x[i] != 0 && !(fabs(x[i] - factor) <= tolerance))
      fail_msg("a kept one became %.17g, not %.17g", x[i], factor);
}

static const char *const own[] = {"ref", "cpu", "guard:cpu", NULL};

/* How many of the mask's draws there are and how many keep, by their place in a call of
 * Philox. */
static void count_draws(double drawn[9], double left[9], const double *one, bool share) {
  for (int b = 0; b < SEGMENTS; b++) {
    const int from = spans[2 * b],
              to = share && from < spans[2 * b + 1] ? from + 1 : spans[2 * b + 1];
    for (int t = from; t < to; t++)
      for (int c = 0; c < D; c++) {
        int place = ((share ? b : t) * D + c) % 8;
        drawn[place]++, left[place] += one[t * D + c] != 0;
        drawn[8]++, left[8] += one[t * D + c] != 0; /* all places */
      }
  }
}

/* Kept ones are 2^16 / (2^16 - round(p 2^16)) to the last bit, and as many as p says; so at each
 * of the eight places of a call of Philox. */
static void values_and_rate(void **state) {
  static const double rates[] = {0.1, 0.5, 0.9, 0.02};
  for (const char *const *device = any_devices(own); *device; device++)
    for (int i = 0; i < 8; i++) {
      setting s = {*device, rates[i / 2], .share = i & 1, .key = fresh_key()};
      masks *m = draw(&s);
      double kept = 65536 - round(s.p * 65536), factor = 65536 / kept,
             exact = m->real == CZ_F64 ? factor : (double)(float)factor, drawn[9] = {0},
             left[9] = {0};
      only(m->one, T * D, exact, 0), only(m->two, T * D, exact, 0),
          only(m->attention, T * E, factor, 1e-5 * factor);
      count_draws(drawn, left, m->one, s.share);
      for (int place = 0; place < 9; place++)
        within_chance("kept", left[place], drawn[place], kept / 65536);
      free(m);
    }
}

/* Rate 0, and any rate when not training: ones stay ones. */
static void identity(void **state) {
  for (const char *const *device = any_devices(own); *device; device++)
    for (int i = 0; i < 4; i++) {
      masks *m = draw(
          &(setting){*device, i & 1 ? 0.5 : 0, .share = i & 2, .off = i & 1, .key = fresh_key()});
      for (int k = 0; k < T * D; k++) assert_true(m->one[k] == 1 && m->two[k] == 1);
      for (int b = 0; b < SEGMENTS; b++)
        for (int t = spans[2 * b]; t < spans[2 * b + 1]; t++)
          for (int k = 0; k < E; k++) {
            double want = k % LONGEST < spans[2 * b + 1] - spans[2 * b];
            assert_true(fabs(m->attention[t * E + k] - want) < 1e-5);
          }
      free(m);
    }
}

/* Segments of LONGEST keys: in their rows of attention every column is a draw. */
static const int full[2] = {2, 4};

static void share_a_segment(const masks *m, int from, int to) {
  for (int t = from + 1; t < to; t++) {
    equal("tokens of a segment", m->one + from * D, m->one + t * D, D);
    equal("queries of a segment", m->attention + from * E, m->attention + t * E, E);
  }
}

/* With shared masks the tokens of a segment have one, and segments have their own;
 * without, every token has its own. Heads never share. */
static void sharing(void **state) {
  const double p = 0.3;
  for (const char *const *device = any_devices(own); *device; device++)
    for (int share = 0; share < 2; share++) {
      masks *m = draw(&(setting){*device, p, .share = share, .key = fresh_key()});
      for (int b = 0; b < SEGMENTS; b++) {
        const int from = spans[2 * b], to = spans[2 * b + 1];
        if (from > 0)
          unrelated("segments side by side", m->one + (from - 1) * D, m->one + from * D, D, p);
        if (share) share_a_segment(m, from, to);
        for (int t = from + 1; t < to && !share; t++)
          unrelated("tokens of a segment", m->one + (t - 1) * D, m->one + t * D, D, p);
      }
      const double *a = m->attention + spans[2 * full[0]] * E,
                   *b = m->attention + spans[2 * full[1]] * E;
      if (!share) unrelated("queries of a segment", a, a + E, (LONGEST - 1) * E, p);
      unrelated("attention in two segments", a, b, share ? E : LONGEST * E, p);
      unrelated("heads side by side", a, a + LONGEST, E - LONGEST, p);
      free(m);
    }
}

/* Another name, step, shard or seed draws another mask; the same ones draw the same, on
 * any device. */
static void keys(void **state) {
  const double p = 0.4;
  for (int share = 0; share < 2; share++) {
    masks *first = draw(&(setting){"ref", p, .share = share, .key = fresh_key()});
    const int rows = share ? 1 : 7; /* of the first segment */
    unrelated("two names", first->one, first->two, rows * D, p);
    for (const char *const *device = any_devices(own); *device; device++) {
      masks *m = draw(&(setting){*device, p, .share = share, .key = fresh_key()});
      equal("another device", first->one, m->one, T * D),
          equal("another device", first->two, m->two, T * D);
      equal("another device", first->attention, m->attention, T * E);
      free(m);
      for (int k = 0; k < 4; k++) {
        static const char *const what[] = {"another step", "another shard", "another seed",
                                           "the other half of the seed"};
        cz_key key = fresh_key();
        key.step += k == 0, key.shard += k == 1, key.seed += k == 2 ? 1 : k == 3 ? 1ull << 32 : 0;
        m = draw(&(setting){*device, p, .share = share, .key = key});
        unrelated(what[k], first->one, m->one, rows * D, p),
            unrelated(what[k], first->two, m->two, rows * D, p);
        unrelated(what[k], first->attention + spans[2 * full[0]] * E,
                  m->attention + spans[2 * full[0]] * E, share ? E : LONGEST * E, p);
        free(m);
      }
    }
    free(first);
  }
}

static void check_node(const cz__node *n, double p, bool share) {
  const cz_dropout_attr *d = (const void *)n->attr;
  const cz_attention_attr *a = (const void *)n->attr;
  if (n->op == CZ_OP_dropout && (d->p != p || d->share_segment != share))
    fail_msg("%s: rate %g, shared %d", n->name, d->p, d->share_segment);
  if (n->op == CZ_OP_attention && (a->dropout != p || a->share_queries != share))
    fail_msg("%s: rate %g, shared %d", n->name, a->dropout, a->share_queries);
}

/* A model drops where t5.md 1.1 says: embedded tokens, attention weights, the hidden
 * layer of the feed-forward, what each sub-layer adds, the stack's output. All at the
 * model's rate, with the kind of mask that was asked for, no two with one key. */
static void places(void **state) {
  static const struct {
    const char *name;
    int dropouts, attentions;
  } models[] = {{"t5-nano", 2 + 3 * 2 + 2 + 4 * 2, 6},
                {"t5-v1_1-nano", 2 + 3 * 2 + 2 + 4 * 2, 6},
                {"lm-nano", 2 + 3 * 2, 2},
                {"prefix-lm-nano", 2 + 3 * 2, 2}};
  cz_device *device;
  OK(cz_device_open(&device, "ref"));
  for (int k = 0; k < 8; k++) {
    cz_net *net;
    cz_model *m = tiny_model(models[k / 2].name, device, 1);
    cz_net_options o = net_options(k & 1 ? 0.25 : -1); /* -1: the model's own 0.1 */
    o.no_fusion = true, o.dropout_per_token = k & 1;
    OK(cz_net_create(&net, m, &o));
    const cz_graph *g = net->graph;
    const double p = k & 1 ? 0.25 : 0.1;
    int count[CZ_OPS] = {0};
    for (size_t i = 0; i < g->n_nodes; i++) {
      const cz__node *n = &g->nodes[i];
      count[n->op]++;
      check_node(n, p, !o.dropout_per_token);
      for (size_t j = 0; j < i; j++)
        if (g->nodes[j].key == n->key)
          fail_msg("%s and %s draw the same masks", g->nodes[j].name, n->name);
    }
    assert_int_equal(count[CZ_OP_dropout], models[k / 2].dropouts);
    assert_int_equal(count[CZ_OP_attention], models[k / 2].attentions);
    cz_net_destroy(&net);
    cz_model_destroy(&m);
  }
  cz_device_close(&device);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(values_and_rate), cmocka_unit_test(identity),
                                     cmocka_unit_test(sharing), cmocka_unit_test(keys),
                                     cmocka_unit_test(places)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
