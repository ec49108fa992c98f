/* Which texts to label next, and near-duplicates, against all pairs (fixtures.h). */
#include "ensemble/near.h"
#include "ensemble/next.h"
#include "fixtures.h"
#include "base/clock.h"
#include "device/random.h"

#include <stdio.h>

enum { MEMBERS = 32, MOST = 256, CLASSES = 4 };

static size_t texts_of(const char **out, const json_t *c) {
  size_t n = size_of(c, "texts");
  assert_true(n <= MOST);
  for (size_t i = 0; i < n; i++)
    out[i] = json_string_value(json_array_get(member_of(c, "texts"), i));
  return n;
}

static void test_order(void **state) {
  const json_t *c;
  size_t i;
  json_array_foreach((json_t *)cases_of("next", 4), i, c) {
    const char *texts[MOST];
    size_t n = texts_of(texts, c), kept, members = (size_t)whole_of(c, "members");
    float *scores = floats_of(c, "scores");
    double mean[MOST * CLASSES], weights[MEMBERS];
    cz_member of[MEMBERS];
    cz_next next[MOST], few[MOST];
    bool even;
    for (size_t m = 0; m < members; m++)
      of[m] = (cz_member){(int32_t)m, 0, NAN, scores + m * n * CLASSES};
    const cz_ensemble e = {of, members, n, CLASSES};
    OK(cz_ensemble_weights(weights, &even, &e, NULL, CZ_WEIGHT_UNIFORM, CZ_FIDELITY_PAPER));
    cz_ensemble_mean(mean, &e, weights);
    for (uint64_t seed = 0; seed < 20; seed++) {
      OK(cz_label_next(next, &kept, SIZE_MAX, &e, mean, texts, 1, seed));
      assert_int_equal(kept, size_of(c, "rows"));
      for (size_t k = 0; k < kept; k++) {
        assert_int_equal(next[k].row, json_integer_value(json_array_get(member_of(c, "rows"), k)));
        expect(next[k].votes, json_array_get(member_of(c, "votes"), k), "votes", i);
        expect(next[k].entropy, json_array_get(member_of(c, "entropy"), k), "entropy", i);
      }
    }
    OK(cz_label_next(few, &kept, 5, &e, mean, texts, 1, 3)); /* the head of the same order */
    assert_int_equal(kept, 5);
    for (size_t k = 0; k < kept; k++) assert_int_equal(few[k].row, next[k].row);
    free(scores);
  }
}

static bool is_new(cz_near *near, const char *a, const char *b) {
  bool added;
  OK(cz_near_add(near, &added, (const char *const[]){a, b}, b ? 2 : 1));
  return added;
}

static void test_near(void **state) {
  cz_near *near;
  OK(cz_near_create(&near, 1));
  assert_true(is_new(near, "", NULL));
  assert_false(is_new(near, " \t... ", NULL)); /* no word either */
  assert_true(is_new(near, "one two", NULL));
  assert_false(is_new(near, "ONE,Two!", NULL));
  assert_false(is_new(near, "one", "two")); /* fields follow one another */
  assert_true(is_new(near, "two one", NULL));
  assert_true(is_new(near, "one", NULL));
  assert_true(is_new(near, "x y x y", NULL)); /* sets: how often does not count */
  assert_false(is_new(near, "x y x y x y x y x y x y", NULL));
  /* 10 shingles; one word more at the end leaves 10 of 11, one in the middle 8 of 13 */
  assert_true(is_new(near, "a b c d e f g h i j k l", NULL));
  assert_false(is_new(near, "a b c d e f g h i j k l m", NULL));
  assert_true(is_new(near, "a b c d e f Z g h i j k l", NULL));
  cz_near_destroy(&near);
  assert_null(near);
  cz_near_destroy(&near);
}

/* 40,000 texts of which each shares two thirds of its words with all others, and 40,000 that are
 * near one of ten: reading them costs the time, not comparing them. A text of a megabyte is read to
 * its 1,024th word. */
static void test_many(void **state) {
  enum { TEXTS = 40000 };
  cz_near *near;
  cz_stream s;
  char text[512];
  size_t kept = 0;
  double began = cz_seconds();
  cz_stream_init(&s, test_seed(), "many", 0, 0);
  OK(cz_near_create(&near, test_seed()));
  for (int i = 0; i < 2 * TEXTS; i++) {
    int at = i < TEXTS
                 ? snprintf(text, sizeof text, "the same words stand here %s",
                            "in each of the texts as if it were a footer of a letter")
                 : snprintf(text, sizeof text, "%d times a b c d e f g h i j k l m n o p", i % 10);
    for (int k = 0; k < 12 && i < TEXTS; k++)
      at += snprintf(text + at, sizeof text - (size_t)at, " w%u", cz_stream_u32(&s) % 100000);
    kept += is_new(near, text, NULL);
  }
  assert_in_range(kept, TEXTS - 5, TEXTS + 10);
  print_message("80,000 texts in %.2f s\n", cz_seconds() - began);
  char *large = malloc(1 << 20);
  assert_non_null(large);
  for (int i = 0; i < (1 << 20); i++) large[i] = i % 3 == 2 ? ' ' : (char)('a' + (i >> 4) % 26);
  large[(1 << 20) - 1] = '\0';
  assert_true(is_new(near, large, NULL));
  large[(1 << 20) - 2] = '#';
  assert_false(is_new(near, large, NULL));
  free(large);
  cz_near_destroy(&near);
}

int run_next_tests(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_order),
      cmocka_unit_test(test_near),
      cmocka_unit_test(test_many),
  };
  return cmocka_run_group_tests_name("next", tests, open_fixtures, close_fixtures);
}
