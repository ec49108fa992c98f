/* What is drawn, text by text, against another implementation of the streams and of what is drawn
 * by them (fixtures.h, scripts/cloze_random.py). */
#include "ensemble/sets.h"
#include "fixtures.h"

enum { MEMBERS = 16, MOST = 64 };

static void expect_rows(const int32_t *got, size_t n, const json_t *c, const char *key, size_t i) {
  if (n != size_of(c, key)) fail_msg("case %zu: %zu %s, not %zu", i, n, key, size_of(c, key));
  for (size_t k = 0; k < n; k++) {
    long long want = json_integer_value(json_array_get(member_of(c, key), k));
    if (got[k] != want) fail_msg("case %zu: %s %zu is %d, not %lld", i, key, k, got[k], want);
  }
}

static size_t hashes_of(uint64_t *out, const json_t *c, const char *key) {
  int32_t *x = wholes_of(c, key);
  size_t n = size_of(c, key);
  assert_true(n <= MOST);
  for (size_t i = 0; i < n; i++) out[i] = (uint64_t)x[i];
  free(x);
  return n;
}

static void test_draws_of_t(void **state) {
  const json_t *c;
  size_t i;
  cz_hash_set test = {0};
  OK(cz_hash_set_add_all(&test, (const uint64_t[]){0, 1, 2, 3, 4}, 5));
  json_array_foreach((json_t *)cases_of("draws", 9), i, c) {
    uint64_t hashes[MOST];
    int32_t *labels = wholes_of(c, "labels");
    cz_pool pool = {hashes, labels, hashes_of(hashes, c, "hashes"),
                    (int32_t)whole_of(c, "classes")};
    cz_arena *arena;
    cz_drawn t;
    OK(cz_arena_create(&arena, "test"));
    OK(cz_draw_labelled(&t, arena, &pool, &test, (cz_draw_kind)whole_of(c, "kind"),
                        whole_of(c, "t"), (uint64_t)whole_of(c, "seed")));
    expect_rows(t.rows, t.n, c, "rows", i);
    cz_arena_destroy(&arena);
    free(labels);
  }
  cz_hash_set_free(&test);
}

static void fill_members(cz_member *members, const json_t *c, const float *scores, size_t size) {
  double *accuracy = reals_of(c, "accuracy");
  for (size_t m = 0; m < size_of(c, "accuracy"); m++)
    members[m] = (cz_member){(int32_t)m / 2, (int32_t)m % 2, accuracy[m], scores + m * size};
  free(accuracy);
}

static void test_sets(void **state) {
  const json_t *c;
  size_t i, drawn = 0;
  json_array_foreach((json_t *)cases_of("sets", 12), i, c) {
    uint64_t hashes[MOST], of_t[MOST];
    int64_t labelled[MOST];
    float *scores = floats_of(c, "scores");
    size_t n = hashes_of(hashes, c, "hashes");
    cz_member members[MEMBERS];
    cz_ensemble e = {members, (size_t)whole_of(c, "members"), n, (int32_t)whole_of(c, "classes")};
    cz_hash_set in_t = {0};
    cz_ipet s = cz_ipet_paper;
    cz_ipet_set set;
    cz_arena *arena;
    fill_members(members, c, scores, n * (size_t)e.classes);
    OK(cz_hash_set_add_all(&in_t, of_t, hashes_of(of_t, c, "in_t")));
    for (size_t k = 0; k < size_of(c, "labelled"); k++)
      labelled[k] = json_integer_value(json_array_get(member_of(c, "labelled"), k));
    s.fidelity = (cz_fidelity)whole_of(c, "fidelity");
    s.balance = json_is_true(member_of(c, "even")) ? CZ_BALANCE_EVEN : CZ_BALANCE_RATIO;
    s.likely = whole_of(c, "likely");
    s.seed = (uint64_t)whole_of(c, "seed");
    cz_ipet_given given = {&s, &e, hashes, &in_t, labelled};
    OK(cz_arena_create(&arena, "test"));
    OK(cz_ipet_draw(&set, arena, &given, (size_t)whole_of(c, "member"), whole_of(c, "generation")));
    for (int32_t k = 0; k < e.classes; k++)
      assert_int_equal(set.wanted[k],
                       json_integer_value(json_array_get(member_of(c, "wanted"), (size_t)k)));
    expect_rows(set.rows, set.n, c, "rows", i);
    expect_rows(set.labels, set.n, c, "labels", i);
    drawn += set.n;
    cz_arena_destroy(&arena);
    cz_hash_set_free(&in_t);
    free(scores);
  }
  assert_true(drawn > 100);
}

int run_drawn_tests(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_draws_of_t),
      cmocka_unit_test(test_sets),
  };
  return cmocka_run_group_tests_name("drawn", tests, open_fixtures, close_fixtures);
}
