/* Batches of a fixed number of examples: which texts come into which batch, over random sets
 * and sizes; ends of epochs as the published loops have them; two streams in one batch; the
 * same bits for any shards, for any rank and after a stop at any batch. */
#include "tokens_setup.h"

int run_example_tests(void);

/* The examples of a batch one after another, whatever the shards. */
static int64_t flat(int64_t *out, const seen *s, int batch, int64_t shards) {
  int64_t n = 0;
  for (int64_t k = 0; k < shards; k++)
    for (int64_t e = 0; e < s->n[batch][k]; e++) out[n++] = s->numbers[batch][k][e];
  return n;
}

typedef struct problem {
  int32_t texts;
  int64_t examples, shards;
  cz_prepared set;
  cz_batch_plan plan;
} problem;

static void make_problem(problem *p, cz_stream *s) {
  enum { LONGEST = 12 };
  *p = (problem){.texts = (int32_t)draw(s, 1, 40), .shards = draw(s, 1, SHARDS)};
  p->examples = p->shards * draw(s, 1, EACH / 2);
  make_set(&p->set, p->texts, LONGEST, 100, true);
  p->plan = plan_of(p->examples, p->shards, LONGEST);
}

static cz_source source_of(const problem *p, int64_t together) {
  cz_source s;
  OK(cz_source_prepared(&s, &p->set,
                        &(cz_prepared_use){.seed = test_seed(), .together = together}));
  return s;
}

/* The plan's properties: exactly so many examples a batch; each epoch is every text once; no text
 * twice in a batch unless the batch is larger than the set. */
static void check_batches(const problem *p, const seen *s) {
  int64_t drawn = 0, times[40] = {0}, batch[SHARDS * EACH];
  for (int i = 0; i < s->n_batches; i++) {
    int64_t n = flat(batch, s, i, p->shards), in_batch[40] = {0};
    assert_int_equal(n, p->examples);
    for (int64_t k = 0; k < p->shards; k++) assert_int_equal(s->n[i][k], n / p->shards);
    for (int64_t e = 0; e < n; e++, drawn++) {
      assert_in_range(batch[e], 0, p->texts - 1);
      assert_int_equal(times[batch[e]]++, drawn / p->texts); /* the epochs before, once each */
      if (++in_batch[batch[e]] > 1 && p->examples <= p->texts)
        fail_msg("%lld of %d texts a batch: batch %d has text %lld twice", (long long)p->examples,
                 p->texts, i, (long long)batch[e]);
    }
  }
}

static void test_random_plans(void **state) {
  for (uint32_t k = 0; k < 60; k++) {
    cz_stream r;
    problem p;
    static seen all, other, rest;
    int64_t a[SHARDS * EACH], b[SHARDS * EACH];
    cz_stream_init(&r, test_seed(), "examples", k, 0);
    make_problem(&p, &r);
    cz_source source = source_of(&p, p.examples);
    follow_tokens(&all, &source, &p.plan, NULL, 40);
    cz_source_destroy(&source);
    assert_int_equal(all.n_batches, 40);
    check_batches(&p, &all);
    source = source_of(&p, p.examples); /* a second rank's own stream */
    follow_tokens(&other, &source, &p.plan, NULL, 40);
    assert_memory_equal(&all, &other, sizeof all);
    cz_source_destroy(&source);
    cz_batch_plan one = plan_of(p.examples, 1, p.plan.max_inputs);
    source = source_of(&p, p.examples);
    if (p.examples <= EACH) {
      follow_tokens(&other, &source, &one, NULL, 40);
      for (int i = 0; i < 40; i++) {
        assert_int_equal(flat(a, &all, i, p.shards), flat(b, &other, i, 1));
        assert_memory_equal(a, b, (size_t)p.examples * sizeof *a);
      }
    }
    cz_source_destroy(&source);
    for (int stop = 0; stop < 39; stop += k % 10 ? 13 : 1) { /* in full for every tenth */
      source = source_of(&p, p.examples);
      follow_tokens(&rest, &source, &p.plan, &all.after[stop], 39 - stop);
      cz_source_destroy(&source);
      assert_memory_equal(rest.hash, all.hash + stop + 1, (size_t)(39 - stop) * sizeof *rest.hash);
    }
    cz_prepared_free(&p.set);
  }
}

/* PET at |T| = 10: a batch of 16 takes all ten texts of an epoch and six of the next; of 4, the
 * third one takes two of each, four different texts. Without the mending of orders some batch
 * would have had one twice. */
static void test_ten_texts(void **state) {
  problem p = {.texts = 10, .examples = 16, .shards = 4};
  static seen s;
  int64_t batch[16];
  make_set(&p.set, 10, 5, 100, true);
  p.plan = plan_of(16, 4, 5);
  cz_source source = source_of(&p, 16);
  follow_tokens(&s, &source, &p.plan, NULL, 40);
  check_batches(&p, &s);
  cz_source_destroy(&source);
  p.examples = 4, p.plan = plan_of(4, 1, 5), p.shards = 1;
  source = source_of(&p, 4);
  follow_tokens(&s, &source, &p.plan, NULL, 64);
  check_batches(&p, &s);
  cz_source_destroy(&source);
  source = source_of(&p, 0);
  follow_tokens(&s, &source, &p.plan, NULL, 64);
  int twice = 0;
  for (int i = 0; i < 64; i++) {
    flat(batch, &s, i, 1);
    for (int a = 0; a < 4; a++)
      for (int b = 0; b < a; b++) twice += batch[a] == batch[b];
  }
  assert_true(twice > 0); /* 13 batches of 64 meet the end of an epoch, half of them badly */
  cz_source_destroy(&source);
  cz_prepared_free(&p.set);
}

/* Each text is as likely as any in each place of a mended batch: over 4,000 ends of epochs the
 * first text of the second epoch, 400 +- 5 deviations of 19 each. */
static void test_mended_orders_are_fair(void **state) {
  problem p = {.texts = 10, .examples = 4, .shards = 1};
  int count[10] = {0};
  cz_example e = {0};
  make_set(&p.set, 10, 5, 100, true);
  for (uint64_t k = 0; k < 4000; k++) {
    cz_source s;
    OK(cz_source_prepared(&s, &p.set,
                          &(cz_prepared_use){.seed = test_seed() * 5000 + k, .together = 4}));
    OK(s.get(s.self, &e, 1, 0));
    count[e.number]++;
    cz_source_destroy(&s);
  }
  for (int i = 0; i < 10; i++)
    if (abs(count[i] - 400) > 95) fail_msg("text %d begins %d of 4,000 epochs", i, count[i]);
  cz_example_free(&e);
  cz_prepared_free(&p.set);
}

/* The published loops: micro-batches of 4, 4 for an update (pet.md 1.3, 1.6), or WHOLE where an
 * epoch leaves some over. */
static void check_left_over(int32_t texts, cz_ends ends, int64_t whole, int n_batches,
                            const int64_t (*sizes)[4]) {
  problem p = {.texts = texts};
  static seen s, rest;
  make_set(&p.set, texts, 5, 100, true);
  p.plan = plan_of(16, 4, 5);
  p.plan.ends = (int)ends;
  p.plan.whole = whole;
  cz_source source = source_of(&p, 0);
  follow_tokens(&s, &source, &p.plan, NULL, n_batches ? n_batches : 3);
  assert_int_equal(s.n_batches, n_batches);
  for (int i = 0; i < n_batches; i++)
    for (int k = 0; k < 4; k++) assert_int_equal(s.n[i][k], sizes[i][k]);
  for (int stop = 0; stop < n_batches - 1; stop++) {
    follow_tokens(&rest, &source, &p.plan, &s.after[stop], n_batches - 1 - stop);
    assert_memory_equal(rest.hash, s.hash + stop + 1,
                        (size_t)(n_batches - 1 - stop) * sizeof *s.hash);
  }
  cz_source_destroy(&source);
  cz_prepared_free(&p.set);
}

static void check_ends(int32_t texts, cz_ends ends, int n_batches, const int64_t (*sizes)[4]) {
  check_left_over(texts, ends, 0, n_batches, sizes);
}

static void test_ends(void **state) {
  /* 10 texts are 4, 4 and 2: counted over epochs, four micro-batches are an update; counted anew
   * in each epoch there never are four, and no update is made */
  check_ends(10, CZ_ENDS_SHORT, 4,
             (const int64_t[][4]){{4, 4, 2, 4}, {4, 2, 4, 4}, {2, 4, 4, 2}, {4, 4, 2, 4}});
  check_ends(10, CZ_ENDS_RESTART, 0, NULL);
  check_ends(10, CZ_ENDS_JOIN, 2, (const int64_t[][4]){{4, 4, 4, 4}, {4, 4, 4, 4}});
  /* 50 texts are 12 of 4 and one of 2, which the older code leaves over: three updates an epoch */
  check_ends(50, CZ_ENDS_RESTART, 4,
             (const int64_t[][4]){{4, 4, 4, 4}, {4, 4, 4, 4}, {4, 4, 4, 4}, {4, 4, 4, 4}});
  check_ends(50, CZ_ENDS_SHORT, 4,
             (const int64_t[][4]){{4, 4, 4, 4}, {4, 4, 4, 4}, {4, 4, 4, 4}, {2, 4, 4, 4}});
  /* 14 texts are exactly four micro-batches, the last of them short */
  check_ends(14, CZ_ENDS_RESTART, 2, (const int64_t[][4]){{4, 4, 4, 2}, {4, 4, 4, 2}});
  check_ends(1, CZ_ENDS_SHORT, 2, (const int64_t[][4]){{1, 1, 1, 1}, {1, 1, 1, 1}});
  /* three are an update; the last of an epoch, which is short, goes into the next one */
  check_left_over(14, CZ_ENDS_RESTART, 3, 4,
                  (const int64_t[][4]){{4, 4, 4, 0}, {2, 4, 4, 4}, {2, 4, 4, 4}, {2, 4, 4, 4}});
  check_left_over(26, CZ_ENDS_RESTART, 3, 4,
                  (const int64_t[][4]){{4, 4, 4, 0}, {4, 4, 4, 0}, {2, 4, 4, 4}, {4, 4, 4, 0}});
  check_left_over(10, CZ_ENDS_RESTART, 4, 0, NULL);
}

/* One pass ends with a short batch, and shards without a text. */
static void test_one_pass(void **state) {
  problem p = {.texts = 10};
  static seen s;
  make_set(&p.set, 10, 5, 100, false);
  p.plan = plan_of(16, 4, 5);
  p.plan.passes = 1;
  cz_source source;
  OK(cz_source_prepared(&source, &p.set, &(cz_prepared_use){.order = CZ_ORDER_FILE}));
  follow_tokens(&s, &source, &p.plan, NULL, 3);
  assert_int_equal(s.n_batches, 1);
  assert_true(s.n[0][0] == 4 && s.n[0][1] == 4 && s.n[0][2] == 2 && s.n[0][3] == 0);
  for (int i = 0; i < 10; i++) assert_int_equal(s.numbers[0][i / 4][i % 4], i);
  cz_source_destroy(&source);
  cz_prepared_free(&p.set);
}

/* Two streams: 4 labelled texts of 10 and 12 unlabelled ones of 50 in every batch, one and three
 * in each shard; each stream in epochs of its own, without a text twice in a batch. */
static void test_two_streams(void **state) {
  cz_prepared labelled = {0}, unlabelled = {0};
  static seen s, rest;
  int64_t times[2][50] = {{0}}, drawn[2] = {0};
  make_set(&labelled, 10, 5, 100, true);
  make_set(&unlabelled, 50, 9, 500, false);
  for (int life = 0; life < 2; life++) {
    cz_source parts[2], source;
    OK(cz_source_prepared(&parts[0], &labelled,
                          &(cz_prepared_use){.seed = test_seed(), .together = 4}));
    OK(cz_source_prepared(&parts[1], &unlabelled,
                          &(cz_prepared_use){.seed = test_seed() + 1, .together = 12}));
    OK(cz_source_interleave(&source, parts, (int64_t[]){4, 12}, 2));
    const cz_batch_plan plan = plan_of(16, 4, 9);
    if (!life) {
      follow_tokens(&s, &source, &plan, NULL, 60);
    } else {
      for (int stop = 58; stop >= 0; stop -= 3) { /* backwards too: the source starts over */
        follow_tokens(&rest, &source, &plan, &s.after[stop], 59 - stop);
        assert_memory_equal(rest.hash, s.hash + stop + 1, (size_t)(59 - stop) * sizeof *s.hash);
      }
    }
    cz_source_destroy(&source);
  }
  for (int i = 0; i < 60; i++) {
    bool in_batch[2][50] = {{0}};
    for (int k = 0; k < 4; k++) {
      assert_int_equal(s.n[i][k], 4);
      for (int e = 0; e < 4; e++) {
        const int which = e > 0;
        const int64_t number = s.numbers[i][k][e];
        assert_int_equal(s.firsts[i][k][e], (which ? 500 : 100) + number);
        assert_int_equal(times[which][number]++, drawn[which]++ / (which ? 50 : 10));
        assert_false(in_batch[which][number]);
        in_batch[which][number] = true;
      }
    }
  }
  cz_prepared_free(&labelled);
  cz_prepared_free(&unlabelled);
}

/* Counts without a common divisor: one round. A part that fails says so. */
static void test_uneven_streams(void **state) {
  cz_prepared a = {0}, b = {0};
  cz_source parts[2], source;
  static seen s;
  make_set(&a, 7, 5, 100, true);
  make_set(&b, 1, 5, 500, false);
  OK(cz_source_prepared(&parts[0], &a, &(cz_prepared_use){.order = CZ_ORDER_FILE}));
  OK(cz_source_prepared(&parts[1], &b, &(cz_prepared_use){.order = CZ_ORDER_FILE}));
  OK(cz_source_interleave(&source, parts, (int64_t[]){3, 2}, 2));
  const cz_batch_plan plan = plan_of(5, 1, 5);
  follow_tokens(&s, &source, &plan, NULL, 3);
  static const int64_t expected[3][5] = {
      {100, 101, 102, 500, 500}, {103, 104, 105, 500, 500}, {106, 100, 101, 500, 500}};
  for (int i = 0; i < 3; i++)
    for (int e = 0; e < 5; e++) assert_int_equal(s.firsts[i][0][e], expected[i][e]);
  cz_source_destroy(&source);
  cz_prepared_free(&a);
  cz_prepared_free(&b);
}

/* A change of each example as it is read: keyed by epoch and number, so it is another one each
 * epoch, and the same one whatever was read before. */
static cz_status add_epoch(const void *self, cz_example *e, uint32_t epoch, uint32_t number) {
  assert_int_equal(((const cz_prepared *)self)->count, 5);
  assert_int_equal(e->number, number);
  return epoch < 9 ? cz_ids_add(&e->labels, (int32_t)(1000 * epoch + number))
                   : CZ_FAIL(CZ_ECORRUPT, "epoch %u is rotten", epoch);
}

static void test_alter(void **state) {
  cz_prepared set = {0};
  cz_source source;
  cz_example e = {0};
  make_set(&set, 5, 1, 100, false);
  OK(cz_source_prepared(
      &source, &set,
      &(cz_prepared_use){.order = CZ_ORDER_FILE, .alter = add_epoch, .alter_self = &set}));
  for (uint32_t epoch = 0; epoch < 3; epoch++) {
    OK(source.get(source.self, &e, epoch, 4));
    assert_int_equal(e.labels.len, 1);
    assert_int_equal(e.labels.data[0], 1000 * epoch + 4);
  }
  FAILS(source.get(source.self, &e, 9, 0), CZ_ECORRUPT, "epoch 9 is rotten");
  cz_example_free(&e);
  cz_source_destroy(&source);
  cz_prepared_free(&set);
}

/** Runs the tests of this file. */
int run_example_tests(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_plans),
                                     cmocka_unit_test(test_ten_texts),
                                     cmocka_unit_test(test_mended_orders_are_fair),
                                     cmocka_unit_test(test_ends),
                                     cmocka_unit_test(test_one_pass),
                                     cmocka_unit_test(test_two_streams),
                                     cmocka_unit_test(test_uneven_streams),
                                     cmocka_unit_test(test_alter)};
  return cmocka_run_group_tests_name("examples", tests, NULL, NULL);
}
