/* CZ_LAYOUT_TOKENS: what a shard holds, by hand and over random sets; what is refused;
 * scoring in batches that are filled by a budget. */
#include "tokens_setup.h"

int run_example_tests(void);

enum { N = CZ_NOT_COUNTED };

#define IDS(...) ((const int32_t[]){__VA_ARGS__, END})

static void same_ids(const int32_t *found, const int32_t *expected, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    if (found[i] != expected[i])
      fail_msg("place %lld: found %d, expected %d", (long long)i, found[i], expected[i]);
}

static const cz_batch *first_batch(cz_batches **batches, const cz_source *source,
                                   const cz_batch_plan *plan) {
  const cz_batch *b;
  OK(cz_batches_open(batches, source, plan, NULL));
  OK(cz_batches_next(*batches, &b));
  assert_non_null(b);
  return b;
}

/* A labelled prompt with types and its mask at place 2; a masked text; a text to score; and one
 * with two masks. */
static void four_texts(cz_prepared *set) {
  add_example(set, IDS(2, 11, 4, 3, 12, 3), IDS(0, 0, 0, 0, 1, 1), NULL, IDS(2), 1);
  add_example(set, IDS(2, 4, 22, 4, 3), NULL, IDS(N, 21, N, 23, N), NULL, -1);
  add_example(set, IDS(2, 31, 3), NULL, NULL, IDS(0), -1);
  add_example(set, IDS(2, 4, 4, 3), NULL, IDS(N, N, N, 7), IDS(1, 2), 0);
}

static void test_by_hand(void **state) {
  cz_prepared set = {0};
  cz_source source;
  cz_batches *batches;
  four_texts(&set);
  OK(cz_source_prepared(&source, &set, &(cz_prepared_use){.order = CZ_ORDER_FILE}));
  cz_batch_plan plan = plan_of(4, 1, 8);
  const cz_batch *b = first_batch(&batches, &source, &plan);
  const cz_shard *s = b->shards;
  assert_true(b->segments == 4 && b->encoder_tokens == 0 && b->decoder_tokens == 18);
  assert_true(b->n_loss_rows == 3 && b->n_class_rows == 4 && b->n_classes == 3);
  same_ids(s->decoder.ids, IDS(2, 11, 4, 3, 12, 3, 2, 4, 22, 4, 3, 2, 31, 3, 2, 4, 4, 3), 18);
  same_ids(s->decoder.spans, IDS(0, 6, 6, 11, 11, 14, 14, 18), 8);
  same_ids(s->types, IDS(0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), 18);
  same_ids(s->targets, IDS(N, N, N, N, N, N, N, 21, N, 23, N, N, N, N, N, N, N, 7), 18);
  same_ids(s->loss_rows, IDS(7, 9, 17), 3);
  same_ids(s->loss_targets, IDS(21, 23, 7), 3);
  same_ids(s->class_rows, IDS(2, 11, 15, 16), 4);
  same_ids(s->classes, IDS(1, N, 0, 0), 4);
  same_ids(s->prefix, IDS(6, 5, 3, 4), 4);
  for (int i = 0; i < 4; i++) assert_int_equal(s->numbers[i], i);
  assert_null(s->soft);
  cz_batches_close(&batches);
  /* two shards: the first two texts in the first; the second has no masked token but one */
  plan = plan_of(4, 2, 8);
  b = first_batch(&batches, &source, &plan);
  assert_true(b->shards[0].segments == 2 && b->shards[0].n_class_rows == 1 &&
              b->shards[0].n_loss_rows == 2);
  same_ids(b->shards[1].class_rows, IDS(0, 4, 5), 3);
  same_ids(b->shards[1].loss_rows, IDS(6), 1);
  cz_batches_close(&batches);
  cz_source_destroy(&source);
  cz_prepared_free(&set);
}

/* Soft targets beside a set whose batches have them: rows of distributions, hard classes as
 * ones, unknown ones as zeros. */
static void test_soft(void **state) {
  cz_prepared soft = {0}, hard = {0};
  cz_source parts[2], source;
  cz_batches *batches;
  cz_example e = {0};
  cz_example_clear(&e);
  for (int32_t i = 0; i < 3; i++) OK(cz_ids_add(&e.inputs, i));
  OK(cz_ids_add(&e.rows, 0));
  e.soft = (cz_reals){.data = (double[]){.25, .75, 0}, .len = 3, .cap = 3};
  OK(cz_prepared_add(&soft, &e));
  e.soft = (cz_reals){0};
  FAILS(cz_prepared_add(&soft, &e), CZ_EINVAL, "over 0 classes, those before it over 3");
  assert_int_equal(soft.count, 1);
  e.klass = 2;
  OK(cz_prepared_add(&hard, &e));
  e.klass = -1;
  OK(cz_prepared_add(&hard, &e));
  cz_example_free(&e);
  const cz_prepared_use use = {.order = CZ_ORDER_FILE};
  OK(cz_source_prepared(&parts[0], &soft, &use));
  OK(cz_source_prepared(&parts[1], &hard, &use));
  OK(cz_source_interleave(&source, parts, (int64_t[]){1, 2}, 2));
  cz_batch_plan plan = plan_of(3, 1, 4);
  plan.soft_classes = 3;
  const cz_batch *b = first_batch(&batches, &source, &plan);
  const double expected[] = {.25, .75, 0, 0, 0, 1, 0, 0, 0};
  assert_memory_equal(b->shards->soft, expected, sizeof expected);
  same_ids(b->shards->classes, IDS(N, 2, N), 3);
  assert_true(b->n_class_rows == 3 && b->n_classes == 2);
  cz_batches_close(&batches);
  plan.soft_classes = 0;
  OK(cz_batches_open(&batches, &source, &plan, NULL));
  FAILS(cz_batches_next(batches, &b), CZ_EINVAL, "soft targets over 3 classes");
  cz_batches_close(&batches);
  plan.soft_classes = 2; /* the hard class 2 is not among two */
  OK(cz_batches_open(&batches, &parts[1], &plan, NULL));
  FAILS(cz_batches_next(batches, &b), CZ_EINVAL, "class 2 in batches with soft targets over 2");
  cz_batches_close(&batches);
  cz_source_destroy(&source);
  cz_prepared_free(&soft);
  cz_prepared_free(&hard);
}

/* Texts at the cap stay, longer ones are refused or cut: the last token stays the last, types and
 * labels go with their tokens, and a mask is never cut off. */
static void test_caps(void **state) {
  cz_prepared set = {0};
  cz_source source;
  cz_batches *batches;
  const cz_batch *b;
  add_example(&set, IDS(2, 5, 6, 3), IDS(0, 0, 1, 1), IDS(N, 9, 8, N), IDS(1, 3), 0);
  OK(cz_source_prepared(&source, &set, &(cz_prepared_use){.order = CZ_ORDER_FILE}));
  cz_batch_plan plan = plan_of(1, 1, 4);
  b = first_batch(&batches, &source, &plan);
  assert_true(b->cut == 0 && b->decoder_tokens == 4);
  cz_batches_close(&batches);
  plan = plan_of(1, 1, 3);
  OK(cz_batches_open(&batches, &source, &plan, NULL));
  FAILS(cz_batches_next(batches, &b), CZ_EINVAL, "example 0 of epoch 0 has 4 input");
  cz_batches_close(&batches);
  plan.on_long = CZ_LONG_CUT;
  b = first_batch(&batches, &source, &plan);
  assert_true(b->cut == 1 && b->decoder_tokens == 3);
  same_ids(b->shards->decoder.ids, IDS(2, 5, 3), 3);
  same_ids(b->shards->types, IDS(0, 0, 1), 3);
  same_ids(b->shards->targets, IDS(N, 9, N), 3);
  same_ids(b->shards->class_rows, IDS(1, 2), 2);
  cz_batches_close(&batches);
  plan = plan_of(1, 1, 2);
  plan.on_long = CZ_LONG_CUT;
  OK(cz_batches_open(&batches, &source, &plan, NULL));
  FAILS(cz_batches_next(batches, &b), CZ_EINVAL, "reads token 1 of an example of 4, which is cut");
  cz_batches_close(&batches);
  cz_source_destroy(&source);
  cz_prepared_free(&set);
}

/* Adds an example whose texts end at ENDS, with a ROW in each. */
static void add_several(cz_prepared *set, int32_t n, const int32_t *ends, const int32_t *rows,
                        int32_t klass) {
  cz_example e = {0};
  cz_example_clear(&e);
  for (int32_t i = 0; i < n; i++) OK(cz_ids_add(&e.inputs, i));
  for (; *ends != END; ends++) OK(cz_ids_add(&e.ends, *ends));
  for (; *rows != END; rows++) OK(cz_ids_add(&e.rows, *rows));
  e.klass = klass;
  OK(cz_prepared_add(set, &e));
  cz_example_free(&e);
}

/* SET, one example, is refused where PLAN's batch is laid out; it is freed. */
static void refuse_batch(cz_prepared *set, const cz_batch_plan *plan, const char *message) {
  cz_source source;
  cz_batches *batches;
  const cz_batch *b;
  OK(cz_source_prepared(&source, set, &(cz_prepared_use){.order = CZ_ORDER_FILE}));
  OK(cz_batches_open(&batches, &source, plan, NULL));
  FAILS(cz_batches_next(batches, &b), CZ_EINVAL, message);
  cz_batches_close(&batches);
  cz_source_destroy(&source);
  cz_prepared_free(set);
}

static void refuse_several(int32_t n, const int32_t *ends, const int32_t *rows, int64_t texts,
                           const char *message) {
  cz_prepared set = {0};
  cz_batch_plan plan = plan_of(1, 1, 8);
  plan.texts = texts;
  add_several(&set, n, ends, rows, 0);
  refuse_batch(&set, &plan, message);
}

/* Texts of one example are segments of their own, with one class for all of their rows. */
static void test_several(void **state) {
  cz_prepared set = {0};
  cz_source source;
  cz_batches *batches;
  add_several(&set, 5, IDS(2, 5), IDS(0, 2), 2);
  add_several(&set, 4, IDS(1, 4), IDS(0, 3), -1);
  add_several(&set, 2, IDS(1, 2), IDS(0, 1), 0);
  OK(cz_source_prepared(&source, &set, &(cz_prepared_use){.order = CZ_ORDER_FILE}));
  cz_batch_plan plan = plan_of(3, 1, 8);
  plan.texts = 2;
  assert_int_equal(cz_batch_room(&plan).segments, 6);
  const cz_batch *b = first_batch(&batches, &source, &plan);
  const cz_shard *s = b->shards;
  assert_true(b->segments == 6 && b->n_class_rows == 6 && b->n_classes == 2);
  same_ids(s->decoder.spans, IDS(0, 2, 2, 5, 5, 6, 6, 9, 9, 10, 10, 11), 12);
  same_ids(s->class_rows, IDS(0, 2, 5, 8, 9, 10), 6);
  same_ids(s->classes, IDS(2, N, 0), 3);
  same_ids(s->prefix, IDS(2, 3, 1, 3, 1, 1), 6);
  for (int i = 0; i < 6; i++) assert_int_equal(s->numbers[i], i / 2);
  cz_batches_close(&batches);
  plan = plan_of(3, 3, 8); /* a shard each */
  plan.texts = 2;
  plan.soft_classes = 3;
  b = first_batch(&batches, &source, &plan);
  assert_memory_equal(b->shards[0].soft, ((const double[]){0, 0, 1}), 3 * sizeof(double));
  assert_memory_equal(b->shards[1].soft, ((const double[]){0, 0, 0}), 3 * sizeof(double));
  same_ids(b->shards[2].classes, IDS(0), 1);
  cz_batches_close(&batches);
  cz_source_destroy(&source);
  cz_prepared_free(&set);
  refuse_several(4, IDS(2, 4), IDS(0, 2), 0, "2 texts with 2 rows of the head of classes and 0");
  refuse_several(4, IDS(2, 4), IDS(0, 2), 3, "in batches of examples of 3 texts");
  refuse_several(4, IDS(END), IDS(0, 2), 2, "1 texts with 2 rows");
  refuse_several(4, IDS(2, 4), IDS(0), 2, "2 texts with 1 rows");
  refuse_several(4, IDS(2, 3), IDS(0, 2), 2, "text 1 of 2 is tokens [2, 3) of 4");
  refuse_several(4, IDS(2, 4), IDS(0, 1), 2, "text 1 of 2 is tokens [2, 4) of 4, and its row is");
  refuse_several(4, IDS(0, 4), IDS(0, 1), 2, "text 0 of 2 is tokens [0, 0) of 4");
}

static void refuse_example(const int32_t *inputs, const int32_t *types, const int32_t *labels,
                           const int32_t *rows, const char *message) {
  cz_prepared set = {0};
  const cz_batch_plan plan = plan_of(1, 1, 8);
  add_example(&set, inputs, types, labels, rows, 0);
  refuse_batch(&set, &plan, message);
}

static void test_refused(void **state) {
  cz_prepared set = {0};
  cz_source source;
  cz_example e = {0};
  FAILS(cz_source_prepared(&source, &set, &(cz_prepared_use){0}), CZ_EINVAL, "no examples");
  FAILS(cz_prepared_add(&set, &e), CZ_EINVAL, "example 0 has no tokens");
  refuse_example(IDS(1, 2), IDS(0), NULL, NULL, "2 tokens have 1 types");
  refuse_example(IDS(1, 2), NULL, IDS(1, 2, 3), NULL, "3 labels");
  refuse_example(IDS(1, 2), NULL, NULL, IDS(2), "row 0 of the head of classes is token 2 of 2");
  refuse_example(IDS(1, 2), NULL, NULL, IDS(-1), "is token -1 of 2");
  refuse_example(IDS(1, 2), NULL, NULL, IDS(1, 1), "row 1 of the head of classes is token 1");
  FAILS(cz_source_interleave(&source, NULL, NULL, 0), CZ_EINVAL, "0 sources");
  FAILS(cz_source_interleave(&source, &source, (int64_t[]){0}, 1), CZ_EINVAL, "0 examples");
  cz_prepared_free(&set);
}

static void refuse_plan(cz_batch_plan plan, const char *message) {
  FAILS(cz_batches_check(&plan), CZ_EUSAGE, message);
}

static void test_bad_plans(void **state) {
  const cz_batch_plan good = plan_of(8, 2, 16);
  cz_batch_plan p = good;
  OK(cz_batches_check(&good));
  assert_int_equal(good.input_tokens, 128);
  p.examples = 7;
  cz_batch_budgets(&p);
  refuse_plan(p, "7 examples can't be shared by 2 shards");
  p = good, p.examples = -2;
  refuse_plan(p, "-2 examples");
  p = good, p.max_inputs = 0, cz_batch_budgets(&p);
  refuse_plan(p, "max_inputs must say");
  p = good, p.layout = CZ_LAYOUT_ENCDEC, cz_batch_budgets(&p);
  refuse_plan(p, "max_inputs and max_targets must say");
  p = good, p.input_tokens = 126;
  refuse_plan(p, "budgets of 126 input and 0 target tokens are not those of 8 examples");
  p = good, p.examples = 0, p.ends = CZ_ENDS_SHORT;
  refuse_plan(p, "epoch_ends short is a rule of batches of a fixed number");
  p = good, p.whole = 2;
  refuse_plan(p, "2 shards are whole of 2, which is for epochs that restart");
  p.ends = CZ_ENDS_RESTART;
  OK(cz_batches_check(&p));
  p.whole = 1;
  refuse_plan(p, "1 shards are whole of 2");
  p = good, p.max_inputs = 1 << 30, cz_batch_budgets(&p);
  refuse_plan(p, "expected 1 to 2^30");
  p = good, p.soft_classes = -1;
  refuse_plan(p, "soft targets over -1 classes");
  p = (cz_batch_plan){.layout = CZ_LAYOUT_STACK,
                      .input_tokens = 8,
                      .target_tokens = 8,
                      .shards = 1,
                      .window = 1,
                      .soft_classes = 2};
  refuse_plan(p, "none in this layout");
  p.soft_classes = 0, p.texts = 2;
  refuse_plan(p, "examples of 2 texts, expected one in this layout");
}

/* Scoring: all texts of a set once, longest first, in batches that a budget fills; each batch says
 * whose rows are whose, so that results come back in the set's order. */
static void test_scoring(void **state) {
  enum { TEXTS = 3000, LONGEST = 90, BUDGET = 512 };
  cz_prepared set = {0};
  cz_source source;
  cz_batches *batches;
  const cz_batch *b;
  static int64_t result[TEXTS];
  int64_t at_most = LONGEST, tokens = 0, before = BUDGET, n_batches = 0;
  memset(result, 0, sizeof result);
  make_set(&set, TEXTS, LONGEST, 1000, true);
  OK(cz_source_prepared(&source, &set, &(cz_prepared_use){.order = CZ_ORDER_LENGTH}));
  const cz_batch_plan plan = {
      .layout = CZ_LAYOUT_TOKENS, .shards = 1, .window = 1, .passes = 1, .input_tokens = BUDGET};
  OK(cz_batches_open(&batches, &source, &plan, NULL));
  for (OK(cz_batches_next(batches, &b)); b; n_batches++) {
    const cz_shard *s = b->shards;
    int64_t shortest = at_most, longest = 0;
    assert_int_equal(s->n_class_rows, s->segments);
    for (int64_t i = 0; i < s->segments; i++) {
      int64_t begin = s->decoder.spans[2 * i], length = s->decoder.spans[2 * i + 1] - begin;
      assert_true(length <= at_most); /* the batch before had none that is shorter */
      if (length < shortest) shortest = length;
      if (length > longest) longest = length;
      assert_int_equal(s->class_rows[i], begin);
      result[s->numbers[i]] += s->decoder.ids[begin];
    }
    assert_true(before + longest > BUDGET); /* the batch before had no room for it */
    at_most = shortest;
    before = b->decoder_tokens;
    tokens += b->decoder_tokens;
    OK(cz_batches_next(batches, &b));
  }
  for (int64_t i = 0; i < TEXTS; i++) assert_int_equal(result[i], 1000 + i);
  print_message("%lld batches, filled by %.3f\n", (long long)n_batches,
                (double)tokens / (double)(n_batches * BUDGET));
  cz_batches_close(&batches);
  cz_source_destroy(&source);
  cz_prepared_free(&set);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_by_hand), cmocka_unit_test(test_soft),
      cmocka_unit_test(test_caps),    cmocka_unit_test(test_refused),
      cmocka_unit_test(test_several), cmocka_unit_test(test_bad_plans),
      cmocka_unit_test(test_scoring),
  };
  test_seed();
  return cmocka_run_group_tests_name("tokens", tests, NULL, NULL) + run_example_tests();
}
