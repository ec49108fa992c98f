/* Whole objectives: lengths against the table of t5.md 3.3, a piece rebuilt from its
 * inputs and targets, keyed draws, the list and its messages. */
#include "setup.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The objectives whose examples these tests know; others may stand beside them. */
static const char *const known[] = {"prefix_lm",       "lm",          "bert_style",
                                    "deshuffling",     "mass",        "iid_replace_spans",
                                    "iid_drop_tokens", "random_spans"};
enum { KNOWN = sizeof known / sizeof *known };

static void test_list(void **state) {
  const cz_objective_row *row;
  for (int i = 0; i < KNOWN; i++) {
    OK(cz_objective_find(&row, known[i]));
    assert_string_equal(row->name, known[i]);
  }
  for (size_t i = 0; i < cz_objective_count; i++) {
    assert_true(cz_objective_rows[i]->help && *cz_objective_rows[i]->help);
    OK(cz_objective_find(&row, cz_objective_rows[i]->name));
    assert_ptr_equal(row, cz_objective_rows[i]); /* a name stands once */
  }
  assert_int_equal(cz_objective_find(&row, "random_span"), CZ_EUSAGE);
  assert_non_null(strstr(cz_error_message(), "did you mean 'random_spans'"));
  assert_int_equal(cz_objective_find(&row, "electra pretraining"), CZ_EUSAGE);
  for (size_t i = 0; i < cz_objective_count; i++)
    assert_non_null(strstr(cz_error_message(), cz_objective_rows[i]->name));
}

/* Raw length, caps, and whether documents are joined, at the released settings (t5.md
 * 3.3). */
static void test_cuts(void **state) {
  static const struct {
    const char *name;
    int64_t raw, inputs, targets;
    bool joined;
  } cuts[] = {{"prefix_lm", 511, 512, 512, false},
              {"lm", 511, 0, 512, true},
              {"bert_style", 511, 512, 512, true},
              {"deshuffling", 511, 512, 512, false},
              {"mass", 511, 512, 512, true},
              {"iid_replace_spans", 511, 512, 192, true},
              {"iid_drop_tokens", 511, 512, 104, true},
              {"random_spans", 568, 512, 114, true}};
  for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
    cz_objective_config config = default_config(cuts[i].name);
    config.fidelity = CZ_FIDELITY_CODE;
    const cz_objective o = make_objective(cuts[i].name, config, 100);
    assert_int_equal(o.cut.piece_tokens, cuts[i].raw);
    assert_int_equal(o.inputs_cap, cuts[i].inputs);
    assert_int_equal(o.targets_cap, cuts[i].targets);
    assert_int_equal(o.cut.concatenate, cuts[i].joined);
    assert_int_equal(o.cut.chunk_tokens, 65536);
    assert_int_equal(o.cut.group_documents, 128);
  }
}

typedef struct moments {
  double inputs, targets, deviation; /* means, and the standard deviation of the targets */
  double over;                       /* share of the examples with more than `cap` target tokens */
  double crowded;                    /* share that needs more than 100 sentinels on one side */
} moments;

static int64_t sentinels_in(const cz_ids *ids) {
  int64_t n = 0;
  for (size_t i = 0; i < ids->len; i++) n += ids->data[i] >= 32000;
  return n;
}

static moments measure(const char *name, cz_objective_config config, int n, int64_t cap) {
  const cz_objective o = make_objective(name, config, 100);
  static int32_t ids[2000];
  cz_stream s;
  cz_stream_init(&s, test_seed(), "measure", 0, 0);
  fill_piece(ids, o.cut.piece_tokens, &s);
  cz_example e = {0};
  moments m = {0};
  double squares = 0;
  for (int i = 0; i < n; i++) {
    const cz_piece piece = {.ids = ids, .n = o.cut.piece_tokens, .index = (uint32_t)i};
    OK(cz_objective_apply(&o, &e, &piece));
    m.inputs += (double)e.inputs.len / n;
    m.targets += (double)e.targets.len / n;
    squares += (double)e.targets.len * (double)e.targets.len / n;
    m.over += (double)((int64_t)e.targets.len > cap) / n;
    m.crowded += (double)(sentinels_in(&e.inputs) > 100 || sentinels_in(&e.targets) > 100) / n;
  }
  m.deviation = sqrt(squares - m.targets * m.targets);
  free_example(&e);
  return m;
}

/* |found - printed| within 5.5 deviations of the difference of two sampled means (the
 * table's 20,000 masks and ours), and the table's rounding. */
static void assert_close(const char *what, double found, double printed, double deviation, int n,
                         double rounding) {
  double limit = 5.5 * deviation * sqrt(1.0 / n + 1.0 / 20000) + rounding;
  if (!(fabs(found - printed) <= limit))
    fail_msg("%s: found %.4f, the table says %.4f, limit %.4f", what, found, printed, limit);
}

/* The table of t5.md 3.3, with nothing said but the density: `paper` cuts nothing, so
 * that the means are those of whole targets. */
static void test_iid_lengths(void **state) {
  static const struct {
    const char *name;
    double density, inputs, targets, deviation, over, crowded;
    int64_t cap;
  } table[] = {{"iid_replace_spans", .10, 506.9, 98.9, 12.4, .35, 0, 103},
               {"iid_replace_spans", .15, 500.5, 143.6, 14.1, .0003, 0, 192},
               {"iid_drop_tokens", .15, 435.3, 77.7, 8.1, .0006, 0, 104},
               {"iid_replace_spans", .25, 480.0, 225.3, 15.2, .019, .26, 256},
               {"iid_replace_spans", .50, 384.6, 384.5, 12.6, 0, 1, 512}};
  enum { N = 6000 };
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    cz_objective_config config = default_config(table[i].name);
    config.noise_density = table[i].density;
    moments m = measure(table[i].name, config, N, table[i].cap);
    double spread = table[i].density < .5 ? 12 : 13; /* of the inputs, at most */
    assert_close("mean inputs", m.inputs, table[i].inputs, spread, N, .05);
    assert_close("mean targets", m.targets, table[i].targets, table[i].deviation, N, .05);
    assert_close("deviation of targets", m.deviation, table[i].deviation,
                 table[i].deviation / sqrt(2), N, .05);
    double p = table[i].over;
    assert_close("share over the cap", m.over, p, sqrt(p * (1 - p)), N, p >= .01 ? .005 : .0015);
    p = table[i].crowded;
    assert_close("share with over 100 sentinels", m.crowded, p, sqrt(p * (1 - p)), N,
                 p > 0 ? .005 : 1e-9);
  }
}

/* Random spans have one length each: 512 inputs, targets 126 / 114 / 105 / 99, and the
 * sentinels 32099 downwards on both sides. */
static void test_span_lengths(void **state) {
  static const struct {
    double mean;
    int64_t raw, targets, spans;
  } table[] = {{2, 552, 126, 42}, {3, 568, 114, 28}, {5, 581, 105, 17}, {10, 591, 99, 9}};
  static int32_t ids[600];
  cz_example e = {0};
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    cz_objective_config config = default_config("random_spans");
    config.mean_noise_span_length = table[i].mean;
    const cz_objective o = make_objective("random_spans", config, 100);
    assert_int_equal(o.cut.piece_tokens, table[i].raw);
    for (uint32_t k = 0; k < 200; k++) {
      const cz_piece piece = {.ids = ids, .n = table[i].raw, .index = k};
      cz_stream s;
      cz_stream_init(&s, test_seed(), "span lengths", k, 0);
      fill_piece(ids, piece.n, &s);
      OK(cz_objective_apply(&o, &e, &piece));
      assert_int_equal(e.inputs.len, 512);
      assert_int_equal(e.targets.len, table[i].targets);
      assert_int_equal(e.inputs.data[0], ids[0]); /* the first token is clear */
      assert_int_equal(e.inputs.data[510],
                       T5_SENTINEL - table[i].spans + 1); /* the last is noise */
      assert_int_equal(e.targets.data[table[i].targets - 2], ids[piece.n - 1]);
      int32_t next[2] = {T5_SENTINEL, T5_SENTINEL};
      for (size_t t = 0; t < e.inputs.len; t++) next[0] -= e.inputs.data[t] == next[0];
      for (size_t t = 0; t < e.targets.len; t++) next[1] -= e.targets.data[t] == next[1];
      assert_int_equal(T5_SENTINEL - next[0], table[i].spans);
      assert_int_equal(T5_SENTINEL - next[1], table[i].spans);
      assert_int_equal(sentinels_in(&e.inputs), table[i].spans);
      assert_int_equal(sentinels_in(&e.targets), table[i].spans);
    }
  }
  free_example(&e);
}

/* Joins inputs and targets of a sentinel objective back into the piece: runs of both
 * sides alternate, and the side whose run comes first is the one that does not begin with
 * a sentinel. */
static void rebuild_spans(const cz_example *e, cz_ids *out) {
  const cz_ids *side[2] = {&e->inputs, &e->targets};
  size_t at[2] = {0, 0}, end[2] = {e->inputs.len - 1, e->targets.len - 1};
  int turn = e->inputs.data[0] >= 32000;
  while (at[0] < end[0] || at[1] < end[1]) {
    while (at[turn] < end[turn] && side[turn]->data[at[turn]] < 32000)
      OK(cz_ids_add(out, side[turn]->data[at[turn]++]));
    turn = !turn;
    if (at[turn] < end[turn]) assert_true(side[turn]->data[at[turn]++] >= 32000);
  }
}

static int by_value(const void *a, const void *b) {
  return (*(const int32_t *)a > *(const int32_t *)b) - (*(const int32_t *)a < *(const int32_t *)b);
}

static void assert_same_bag(cz_ids *found, const cz_piece *piece) {
  int32_t sorted[700];
  memcpy(sorted, piece->ids, (size_t)piece->n * sizeof *sorted);
  qsort(sorted, (size_t)piece->n, sizeof *sorted, by_value);
  qsort(found->data, found->len, sizeof *sorted, by_value);
  assert_ids(found, sorted, (size_t)piece->n);
}

/* What each objective must keep of a piece, whatever its noise. */
static void check_example(const char *name, cz_example *e, const cz_piece *piece) {
  assert_int_equal(e->targets.data[e->targets.len - 1], T5_EOS);
  cz_ids all = {0};
  size_t n = (size_t)piece->n, in = e->inputs.len ? e->inputs.len - 1 : 0, out = e->targets.len - 1;
  if (strcmp(name, "lm")) assert_int_equal(e->inputs.data[in], T5_EOS);
  if (!strcmp(name, "iid_replace_spans") || !strcmp(name, "random_spans")) {
    rebuild_spans(e, &all);
    assert_ids(&all, piece->ids, n);
  } else if (!strcmp(name, "prefix_lm") || !strcmp(name, "iid_drop_tokens")) {
    for (size_t i = 0; i < in; i++) OK(cz_ids_add(&all, e->inputs.data[i]));
    for (size_t i = 0; i < out; i++) OK(cz_ids_add(&all, e->targets.data[i]));
    if (!strcmp(name, "prefix_lm"))
      assert_ids(&all, piece->ids, n);
    else
      assert_same_bag(&all, piece);
  } else {
    assert_int_equal(out, n);
    assert_memory_equal(e->targets.data, piece->ids, n * sizeof *piece->ids);
    for (size_t i = 0; i < in; i++) OK(cz_ids_add(&all, e->inputs.data[i]));
    if (!strcmp(name, "lm"))
      assert_int_equal(e->inputs.len, 0);
    else if (!strcmp(name, "deshuffling"))
      assert_same_bag(&all, piece);
    else
      assert_int_equal(in, n);
    if (!strcmp(name, "mass"))
      for (size_t i = 0; i < n; i++)
        assert_true(all.data[i] == piece->ids[i] || all.data[i] == T5_SENTINEL);
  }
  free(all.data);
}

/* Pieces of every small length and of random ones, in every objective, with 400 sentinels
 * so that none runs out. */
static void test_nothing_is_lost(void **state) {
  static int32_t ids[700];
  cz_stream s;
  cz_stream_init(&s, test_seed(), "nothing is lost", 0, 0);
  cz_example e = {0};
  for (int o = 0; o < KNOWN; o++) {
    const cz_objective objective = make_objective(known[o], default_config(known[o]), 400);
    for (int trial = 0; trial < 300; trial++) {
      int64_t n = trial < 40
                      ? trial + 1
                      : 1 + (int64_t)cz_stream_below(&s, (uint64_t)objective.cut.piece_tokens);
      fill_piece(ids, n, &s);
      const cz_piece piece = {.ids = ids, .n = n, .epoch = 3, .index = (uint32_t)trial};
      OK(cz_objective_apply(&objective, &e, &piece));
      check_example(known[o], &e, &piece);
    }
    const cz_piece nothing = {.ids = ids, .n = 0};
    OK(cz_objective_apply(&objective, &e, &nothing));
    assert_int_equal(e.inputs.len, 0);
    assert_int_equal(e.targets.len, 0);
  }
  free_example(&e);
}

static bool same_ids(const cz_ids *a, const cz_ids *b) {
  return a->len == b->len && (!a->len || !memcmp(a->data, b->data, a->len * sizeof *a->data));
}

typedef struct keyed {
  uint64_t seed;
  uint32_t epoch, index;
} keyed;

/* True when the objective makes of the piece the same inputs and targets under both
 * keys. */
static bool agree(const char *name, const int32_t *ids, keyed a, keyed b) {
  cz_example made[2] = {0};
  const keyed *const keys[] = {&a, &b};
  for (int i = 0; i < 2; i++) {
    cz_objective_config config = default_config(name);
    config.seed = keys[i]->seed;
    const cz_objective o = make_objective(name, config, 100);
    const cz_piece piece = {.ids = ids, .n = 300, .epoch = keys[i]->epoch, .index = keys[i]->index};
    OK(cz_objective_apply(&o, &made[i], &piece));
  }
  bool same =
      same_ids(&made[0].inputs, &made[1].inputs) && same_ids(&made[0].targets, &made[1].targets);
  free_example(&made[0]);
  free_example(&made[1]);
  return same;
}

/* The same piece gives the same example in any order; another seed, epoch or index gives
 * another. Eight pieces: a prefix ends at one of 299 places, so that two draws agree now
 * and then, but not eight pairs of them. */
static void test_draws_are_keyed(void **state) {
  enum { FIRST = 5, LAST = 12, PIECES = LAST - FIRST + 1 };
  uint64_t seed = test_seed();
  int32_t ids[300];
  cz_stream s;
  cz_stream_init(&s, seed, "keyed", 0, 0);
  fill_piece(ids, 300, &s);
  for (int i = 0; i < KNOWN; i++) {
    const char *name = known[i];
    int same[3] = {0};
    for (uint32_t k = FIRST; k <= LAST; k++) {
      const keyed key = {seed, 2, k},
                  others[3] = {{seed + 1, 2, k}, {seed, 3, k}, {seed, 2, k + PIECES}};
      for (int j = 0; j < 3; j++) same[j] += agree(name, ids, key, others[j]);
      assert_true(agree(name, ids, key, key));
    }
    for (int j = 0; j < 3; j++)
      assert_true(strcmp(name, "lm") ? same[j] < PIECES : same[j] == PIECES); /* lm draws nothing */
  }
}

/* MASS and token dropping corrupt the same tokens of the same piece: comparisons between
 * them are paired. */
static void test_masks_are_shared(void **state) {
  int32_t ids[300];
  cz_stream s;
  cz_stream_init(&s, test_seed(), "shared", 0, 0);
  fill_piece(ids, 300, &s);
  const cz_objective mass = make_objective("mass", default_config("mass"), 100);
  const cz_objective drop =
      make_objective("iid_drop_tokens", default_config("iid_drop_tokens"), 100);
  cz_example a = {0}, b = {0};
  const cz_piece piece = {.ids = ids, .n = 300, .index = 9};
  OK(cz_objective_apply(&mass, &a, &piece));
  OK(cz_objective_apply(&drop, &b, &piece));
  size_t kept = 0, dropped = 0;
  for (size_t i = 0; i < 300; i++) {
    if (a.inputs.data[i] == T5_SENTINEL)
      assert_int_equal(b.targets.data[dropped++], ids[i]);
    else
      assert_int_equal(b.inputs.data[kept++], ids[i]);
  }
  assert_int_equal(kept + 1, b.inputs.len);
  free_example(&a);
  free_example(&b);
}

/* Deshuffling puts every token of a short piece in every place equally often, the last
 * one too. */
static void test_every_token_moves(void **state) {
  enum { N = 5, DRAWS = 5000 };
  const cz_objective o = make_objective("deshuffling", default_config("deshuffling"), 100);
  const int32_t ids[N] = {10, 11, 12, 13, 14};
  int counts[N][N] = {{0}};
  cz_example e = {0};
  for (uint32_t i = 0; i < DRAWS; i++) {
    const cz_piece piece = {.ids = ids, .n = N, .index = i};
    OK(cz_objective_apply(&o, &e, &piece));
    for (int k = 0; k < N; k++) counts[k][e.inputs.data[k] - 10]++;
  }
  for (int i = 0; i < N * N; i++)
    assert_close("share of a token in a place", counts[i / N][i % N] / (double)DRAWS, 1.0 / N, 0.4,
                 DRAWS, 0);
  free_example(&e);
}

/* A piece longer than the raw length, as `cloze objective` may be given: both sides are
 * cut to their caps, EOS is kept. */
static void test_long_pieces_are_cut(void **state) {
  static int32_t ids[5000];
  cz_stream s;
  cz_stream_init(&s, test_seed(), "long", 0, 0);
  fill_piece(ids, 5000, &s);
  cz_example e = {0};
  for (int i = 0; i < KNOWN; i++) {
    const cz_objective o = make_objective(known[i], default_config(known[i]), 900);
    const cz_piece piece = {.ids = ids, .n = 5000};
    OK(cz_objective_apply(&o, &e, &piece));
    assert_true((int64_t)e.inputs.len <= o.inputs_cap && (int64_t)e.targets.len <= o.targets_cap);
    if (strcmp(known[i], "prefix_lm"))
      assert_int_equal(e.targets.len, o.targets_cap); /* its targets may be short by chance */
    assert_int_equal(e.targets.data[e.targets.len - 1], T5_EOS);
    if (o.inputs_cap) assert_int_equal(e.inputs.data[e.inputs.len - 1], T5_EOS);
  }
  free_example(&e);
}

static void test_mean_lengths(void **state) {
  double inputs, targets;
  const cz_objective o = make_objective("random_spans", default_config("random_spans"), 100);
  OK(cz_objective_mean_lengths(&o, &inputs, &targets, 10));
  assert_true(inputs == 512 && targets == 114);
  const cz_objective lm = make_objective("lm", default_config("lm"), 0);
  OK(cz_objective_mean_lengths(&lm, &inputs, &targets, 3));
  assert_true(inputs == 0 && targets == 512);
}

static void refuse(const char *name, cz_objective_config config, int32_t sentinels,
                   const char *words) {
  const cz_objective_row *row;
  cz_vocabulary v;
  cz_objective o;
  t5_vocabulary(&v, sentinels);
  OK(cz_objective_find(&row, name));
  assert_int_equal(cz_objective_init(&o, row, &config, &v), CZ_EUSAGE);
  if (!strstr(cz_error_message(), words)) fail_msg("'%s' is not in: %s", words, cz_error_message());
}

static void test_refusals(void **state) {
  refuse("mass", default_config("mass"), 0, "mass needs 1 sentinel ");
  refuse("bert_style", default_config("bert_style"), 0, "needs 1 sentinel");
  refuse("random_spans", default_config("random_spans"), 0, "needs 1 sentinel");
  cz_objective_config config = default_config("random_spans");
  config.fidelity = CZ_FIDELITY_CORRECTED;
  refuse("random_spans", config, 29, "needs 30 sentinels");
  config = default_config("lm");
  config.targets_length = 1;
  refuse("lm", config, 0, "targets_length 1 leaves no room");
  cz_vocabulary broken = {.size = 2, .eos = 1};
  cz_objective o;
  assert_int_equal(cz_objective_init(&o, cz_objective_rows[0], &config, &broken), CZ_EINVAL);
}

/* The key tables: what may be said to whom, ranges, nearest spelling. */
static void bind_fails(const char *name, const char *word, const char *words) {
  const cz_objective_row *row;
  cz_objective_config out = {0};
  cz_config *config;
  OK(cz_objective_find(&row, name));
  OK(cz_config_from_words(&config, &word, 1));
  assert_int_equal(cz_config_bind(cz_config_root(config), &row->section, &out, NULL), CZ_EUSAGE);
  if (!strstr(cz_error_message(), words)) fail_msg("'%s' is not in: %s", words, cz_error_message());
  cz_config_destroy(&config);
}

static void test_keys(void **state) {
  bind_fails("random_spans", "noise_densty=0.2", "noise_density");
  bind_fails("random_spans", "noise_density=0", "0");
  bind_fails("random_spans", "mean_noise_span_length=0.5", "mean_noise_span_length");
  bind_fails("prefix_lm", "noise_density=0.6", "noise_density");
  bind_fails("mass", "mean_noise_span_length=3", "mean_noise_span_length");
  bind_fails("mass", "fidelity=papr", "paper");
  bind_fails("lm", "inputs_length=-4", "inputs_length");
  cz_objective_config c = default_config("random_spans");
  assert_true(c.noise_density == 0.15 && c.mean_noise_span_length == 3 && c.inputs_length == 512 &&
              c.targets_length == 0);
  assert_int_equal(c.fidelity, CZ_FIDELITY_PAPER);
  assert_true(default_config("deshuffling").noise_density == 1 &&
              default_config("prefix_lm").noise_density == 0.5);
}

/* Documents are joined as the released code does it, or for all objectives alike. */
static void test_concatenate(void **state) {
  for (size_t i = 0; i < KNOWN; i++) {
    const char *name = known[i];
    const cz_objective_row *row;
    OK(cz_objective_find(&row, name));
    bool code = strcmp(name, "prefix_lm") && strcmp(name, "deshuffling");
    cz_objective_config config = default_config(name);
    assert_int_equal(config.concatenate, CZ_CONCATENATE_CODE);
    assert_int_equal(make_objective(name, config, 100).cut.concatenate, code);
    config.concatenate = CZ_CONCATENATE_YES;
    assert_true(make_objective(name, config, 100).cut.concatenate);
    config.concatenate = CZ_CONCATENATE_NO;
    assert_false(make_objective(name, config, 100).cut.concatenate);
    cz_vocabulary v; /* of a tokenizer without an end-of-sequence token */
    cz_objective o;
    t5_vocabulary(&v, 100);
    v.eos = -1;
    FAILS(cz_objective_init(&o, row, &config, &v), CZ_EUSAGE, "names none");
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_concatenate),
      cmocka_unit_test(test_list),
      cmocka_unit_test(test_cuts),
      cmocka_unit_test(test_iid_lengths),
      cmocka_unit_test(test_span_lengths),
      cmocka_unit_test(test_nothing_is_lost),
      cmocka_unit_test(test_draws_are_keyed),
      cmocka_unit_test(test_masks_are_shared),
      cmocka_unit_test(test_every_token_moves),
      cmocka_unit_test(test_long_pieces_are_cut),

      cmocka_unit_test(test_mean_lengths),
      cmocka_unit_test(test_refusals),
      cmocka_unit_test(test_keys),
  };
  test_seed();
  return cmocka_run_group_tests_name("objectives", tests, NULL, NULL) + run_block_tests() +
         run_fidelity_tests();
}
