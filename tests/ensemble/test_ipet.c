/* iPET: sizes of sets by the paper's numbers, the distribution of what is drawn by its definition,
 * and what holds for any settings: it ends, there is a teacher, no text is twice in a set, no set
 * is larger than D, and nothing depends on the order in which members are computed. */
#include "common/common.h"
#include "device/random.h"
#include "ensemble/sets.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MEMBERS = 24, CLASSES = 8, TEXTS = 300 };

/* |T|, labels; number of generations and sizes, T's first (pet.md 2). */
static void test_sizes(void **state) {
  static const struct {
    int64_t t, k, sizes[5];
  } rows[] = {{10, 3, {10, 50, 250, 1250}}, {50, 2, {50, 250, 1250}},
              {100, 2, {100, 500, 2500}},   {0, 4, {0, 10, 50, 250, 1250}},
              {999, 1, {999, 4995}},        {1000, 0, {1000}},
              {200, 1, {200, 1000}},        {1, 5, {1, 5, 25, 125, 625}}};
  cz_ipet s = cz_ipet_paper;
  for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
    assert_int_equal(cz_ipet_generations(&s, rows[r].t), rows[r].k);
    for (int64_t j = 0; j <= rows[r].k && j < 5; j++)
      assert_int_equal(cz_ipet_size(&s, rows[r].t, j), rows[r].sizes[j]);
  }
  /* the paper's last set is not cut at the target, and none behind it grows any more */
  assert_int_equal(cz_ipet_size(&s, 10, 4), 1250);
  assert_int_equal(cz_ipet_size(&s, 0, 6), 1250);
  assert_int_equal(cz_ipet_size(&s, 1000, 1), 1000);
  s.target = 200;
  assert_int_equal(cz_ipet_size(&s, 10, 2), 250);
  assert_int_equal(cz_ipet_size(&s, 10, 3), 250);
  s.target = 10000;
  assert_int_equal(cz_ipet_size(&s, 10, 4), 6250);
  s = cz_ipet_paper;
  s.scale = 10; /* exact powers: 1 to 1,000 takes three, not four */
  assert_int_equal(cz_ipet_generations(&s, 1), 3);
  assert_int_equal(cz_ipet_generations(&s, 100), 1);
}

static void expect_counts(const cz_ipet *s, const int64_t *t, int32_t classes, int64_t j,
                          const int64_t *want) {
  int64_t got[CLASSES];
  cz_ipet_counts(got, s, t, classes, j);
  for (int32_t c = 0; c < classes; c++) assert_int_equal(got[c], want[c]);
}

static void test_counts(void **state) {
  cz_ipet s = cz_ipet_paper;
  const int64_t mnli[] = {4, 3, 3}, lacks[] = {5, 0, 5}, none[4] = {0};
  expect_counts(&s, mnli, 3, 1, (const int64_t[]){16, 12, 12});
  expect_counts(&s, mnli, 3, 3, (const int64_t[]){496, 372, 372});
  expect_counts(&s, mnli, 3, 4, (const int64_t[]){496, 372, 372}); /* as many as the one before */
  expect_counts(&s, lacks, 3, 2, (const int64_t[]){120, 0, 120});
  expect_counts(&s, none, 4, 1, (const int64_t[]){3, 3, 2, 2});
  expect_counts(&s, none, 4, 2, (const int64_t[]){13, 13, 12, 12});
  expect_counts(&s, none, 4, 4, (const int64_t[]){313, 313, 312, 312});
  s.balance = CZ_BALANCE_EVEN;
  expect_counts(&s, mnli, 3, 1, (const int64_t[]){14, 13, 13});
  expect_counts(&s, lacks, 3, 1, (const int64_t[]){14, 13, 13});
  s.target = INT64_C(1) << 60;
  expect_counts(&s, mnli, 3, 200,
                (const int64_t[]){3002399751580328, 3002399751580327,
                                  3002399751580327}); /* 2^53 - 10 in all */
}

static void fill_members(cz_member *m, size_t n, const float *scores, size_t texts,
                         int32_t classes) {
  for (size_t i = 0; i < n; i++) {
    const float *of_member = scores ? scores + i * texts * (size_t)classes : NULL;
    m[i] = (cz_member){(int32_t)i / 3, (int32_t)i % 3, 0.5, of_member};
  }
}

/* 12 models: 3; 18: 4; 15: 4 of 3.5; 11 of 2.5: 2, half to even; 3 and fewer: 1, under `code` none.
 */
static void test_teachers(void **state) {
  static const struct {
    size_t members, paper;
    bool none;
  } rows[] = {{12, 3, false}, {18, 4, false}, {15, 4, false}, {11, 2, false},
              {4, 1, false},  {3, 1, true},   {2, 1, true}};
  cz_member m[MEMBERS];
  bool chosen[MEMBERS];
  size_t n;
  fill_members(m, MEMBERS, NULL, 0, 2);
  for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
    for (int f = CZ_FIDELITY_PAPER; f <= CZ_FIDELITY_CORRECTED; f++) {
      cz_ipet s = cz_ipet_paper;
      cz_ensemble e = {m, rows[r].members, 0, 2};
      s.fidelity = (cz_fidelity)f;
      if (f == CZ_FIDELITY_CODE && rows[r].none) {
        FAILS(cz_ipet_teachers(chosen, &n, &s, &e, 0, 1), CZ_EINVAL, "the mean of no model");
        continue;
      }
      size_t k = 0;
      OK(cz_ipet_teachers(chosen, &n, &s, &e, 1, 1));
      for (size_t i = 0; i < rows[r].members; i++) k += chosen[i];
      assert_true(n == rows[r].paper && k == n && !chosen[1]);
    }
  cz_ensemble one = {m, 1, 0, 2};
  FAILS(cz_ipet_teachers(chosen, &n, &cz_ipet_paper, &one, 0, 1), CZ_EINVAL, "has 1 in all");
}

/* Over many seeds each other member is a teacher as often as any. */
static void test_teachers_even(void **state) {
  enum { DRAWS = 3000, N = 9 };
  cz_member m[MEMBERS];
  cz_ensemble e = {m, N, 0, 2};
  int times[N] = {0};
  fill_members(m, N, NULL, 0, 2);
  for (uint64_t k = 0; k < DRAWS; k++) {
    cz_ipet s = cz_ipet_paper;
    bool chosen[N];
    size_t n;
    s.seed = test_seed() + k;
    OK(cz_ipet_teachers(chosen, &n, &s, &e, 4, 2));
    assert_int_equal(n, 2);
    for (int i = 0; i < N; i++) times[i] += chosen[i];
  }
  assert_int_equal(times[4], 0);
  for (int i = 0; i < N; i++) /* a binomial of 1 / 4 */
    assert_true(i == 4 || abs(times[i] - DRAWS / 4) < 6 * 24);
}

/* The one teacher of p0-r0 in generation 1 says nothing of that of p0-r1, nor of that of p0-r0 in
 * generation 2. */
static void test_teachers_keyed(void **state) {
  enum { DRAWS = 3000, N = 3 };
  cz_member m[N];
  cz_ensemble e = {m, N, 0, 2};
  int other = 0, later = 0;
  fill_members(m, N, NULL, 0, 2);
  for (uint64_t k = 0; k < DRAWS; k++) {
    cz_ipet s = cz_ipet_paper;
    bool a[N], b[N], c[N];
    size_t n;
    s.seed = test_seed() + k;
    OK(cz_ipet_teachers(a, &n, &s, &e, 0, 1));
    OK(cz_ipet_teachers(b, &n, &s, &e, 1, 1));
    OK(cz_ipet_teachers(c, &n, &s, &e, 0, 2));
    other += a[2] && b[2];
    later += a[2] && c[2];
  }
  assert_true(abs(other - DRAWS / 4) < 6 * 24 && abs(later - DRAWS / 4) < 6 * 24);
}

/* Four texts of one label with confidences w: that a and b are taken has the probability
 *     w_a / W w_b / (W - w_a) + w_b / W w_a / (W - w_b)
 * when one is drawn after the other, each with probability proportional to its weight. */
static void test_confidence(void **state) {
  enum { DRAWS = 20000, N = 4, C = 8 };
  static const double w[N] = {0.98, 0.5, 0.25, 0.15};
  float scores[2][N][C] = {{{0}}};
  uint64_t hashes[N] = {1, 2, 3, 4};
  int times[N][N] = {{0}};
  int64_t labelled[C] = {1, 1};
  cz_member m[2];
  cz_hash_set in_t = {0};
  double all = 0;
  for (int i = 0; i < N; i++) {
    all += w[i];
    scores[0][i][0] = scores[1][i][0] = (float)log(w[i] * (C - 1) / (1 - w[i]));
  }
  fill_members(m, 2, &scores[0][0][0], N, C);
  cz_ensemble e = {m, 2, N, C};
  cz_ipet s = cz_ipet_paper;
  s.scale = 3; /* two new ones of each label */
  for (uint64_t k = 0; k < DRAWS; k++) {
    cz_arena *arena;
    cz_ipet_set set;
    s.seed = test_seed() + k;
    cz_ipet_given given = {&s, &e, hashes, &in_t, labelled};
    OK(cz_arena_create(&arena, "test"));
    OK(cz_ipet_draw(&set, arena, &given, 0, 1));
    assert_true(set.n == 2 && set.missing[0] == 0 && set.missing[1] == 2);
    assert_true(set.labels[0] == 0 && set.labels[1] == 0);
    times[set.rows[0]][set.rows[1]]++;
    cz_arena_destroy(&arena);
  }
  for (int a = 0; a < N; a++)
    for (int b = a + 1; b < N; b++) {
      double p = w[a] / all * w[b] / (all - w[a]) + w[b] / all * w[a] / (all - w[b]);
      if (!(fabs(times[a][b] - DRAWS * p) < 5 * sqrt(DRAWS * p * (1 - p))))
        fail_msg("texts %d and %d were drawn %d times of %d, expected %.0f", a, b, times[a][b],
                 DRAWS, DRAWS * p);
    }
}

/* Generation 1 without T, two labels of one text each: the pool of label 0 are the two texts with
 * the highest score (paper) or the largest probability (code) of it, though all are of class 1. */
static void test_likely(void **state) {
  static float scores[2][4][2] = {{{5, 9}, {4, 4.5}, {1, 1.2F}, {0, 8}}};
  uint64_t hashes[] = {1, 2, 3, 4};
  const int64_t labelled[2] = {0, 0};
  cz_member m[2];
  memcpy(scores[1], scores[0], sizeof scores[0]);
  fill_members(m, 2, &scores[0][0][0], 4, 2);
  m[0].accuracy = m[1].accuracy = NAN; /* no T, nothing to weigh by */
  cz_ensemble e = {m, 2, 4, 2};
  cz_ipet s = cz_ipet_paper;
  s.first = 2;
  s.likely = 2;
  for (int f = CZ_FIDELITY_PAPER; f <= CZ_FIDELITY_CORRECTED; f++) {
    bool seen[4] = {false};
    if (f == CZ_FIDELITY_CODE) s.share = 1; /* one of one */
    s.fidelity = (cz_fidelity)f;
    for (s.seed = 0; s.seed < 50; s.seed++) {
      cz_arena *arena;
      cz_ipet_set set;
      cz_ipet_given given = {&s, &e, hashes, NULL, labelled};
      OK(cz_arena_create(&arena, "test"));
      OK(cz_ipet_draw(&set, arena, &given, 0, 1));
      assert_int_equal(set.n, 2);
      for (size_t i = 0; i < 2; i++) seen[set.rows[i]] |= set.labels[i] == 0;
      assert_true(set.labels[0] != set.labels[1]);
      OK(cz_ipet_draw(&set, arena, &given, 0, 2)); /* later ones: the class of highest score */
      assert_true(set.wanted[0] == 5 && set.missing[0] == 5 && set.n == 4);
      for (size_t i = 0; i < set.n; i++) assert_int_equal(set.labels[i], 1);
      cz_arena_destroy(&arena);
    }
    cz_ipet more = s; /* a pool is never smaller than what is wanted of it */
    more.first = 4;
    more.likely = 1;
    cz_arena *arena;
    cz_ipet_set set;
    cz_ipet_given given = {&more, &e, hashes, NULL, labelled};
    OK(cz_arena_create(&arena, "test"));
    OK(cz_ipet_draw(&set, arena, &given, 0, 1));
    assert_true(set.n == 4 && set.missing[0] == 0 && set.missing[1] == 0);
    cz_arena_destroy(&arena);
    const bool by_score[4] = {true, true}, by_probability[4] = {false, true, true};
    assert_memory_equal(seen, f == CZ_FIDELITY_PAPER ? by_score : by_probability, sizeof seen);
  }
}

/* Any settings and any D. */
typedef struct world {
  cz_ipet settings;
  cz_member members[MEMBERS];
  float *scores;
  uint64_t hashes[TEXTS];
  int64_t labelled[CLASSES], t;
  cz_ensemble e;
  cz_hash_set in_t;
} world;

static void random_settings(cz_ipet *s, cz_stream *r) {
  *s = cz_ipet_paper;
  s->fidelity = (cz_fidelity)cz_stream_below(r, 3);
  s->weighting = (cz_weighting)cz_stream_below(r, 2);
  s->balance = (cz_balance)cz_stream_below(r, 2);
  s->scale = cz_stream_below(r, 2) ? 5 : 1.01 + 8 * cz_stream_uniform(r);
  s->share = cz_stream_below(r, 2) ? 0.25 : 1 - cz_stream_uniform(r);
  s->first = 1 + (int64_t)cz_stream_below(r, 40);
  s->likely = (int64_t)cz_stream_below(r, 120);
  s->seed = cz_stream_u32(r);
}

static world *random_world(cz_stream *r) {
  world *w = calloc(1, sizeof *w);
  assert_non_null(w);
  size_t members = 1 + cz_stream_below(r, MEMBERS), n = cz_stream_below(r, TEXTS);
  int32_t classes = 1 + (int32_t)cz_stream_below(r, CLASSES);
  uint64_t texts = 1 + cz_stream_below(r, 2 * TEXTS);
  random_settings(&w->settings, r);
  w->scores = calloc(members * n * (size_t)classes + 1, sizeof *w->scores);
  assert_non_null(w->scores);
  float wide = cz_stream_below(r, 4) ? 6 : 1e30F; /* probabilities of 0 as well */
  for (size_t k = 0; k < members * n * (size_t)classes; k++)
    w->scores[k] = wide * (float)(cz_stream_uniform(r) - 0.5);
  for (size_t i = 0; i < n; i++) w->hashes[i] = cz_stream_below(r, texts);
  fill_members(w->members, members, w->scores, n, classes);
  bool zero = cz_stream_below(r, 3) == 0;
  for (size_t i = 0; i < members; i++)
    w->members[i].accuracy = zero ? NAN : (double)cz_stream_below(r, 3) / 4;
  for (uint64_t k = zero ? 0 : 1 + cz_stream_below(r, 30); k; k--) {
    OK(cz_hash_set_add_all(&w->in_t, (const uint64_t[]){cz_stream_below(r, texts)}, 1));
    w->labelled[cz_stream_below(r, (uint64_t)classes)]++;
    w->t++;
  }
  w->e = (cz_ensemble){w->members, members, n, classes};
  return w;
}

static void free_world(world *w) {
  free(w->scores);
  cz_hash_set_free(&w->in_t);
  free(w);
}

static void check_set(const cz_ipet_set *set, const world *w) {
  cz_hash_set seen = {0};
  int64_t counts[CLASSES] = {0}, wanted = 0;
  bool added;
  assert_in_range(set->teachers, 1, w->e.n_members - 1);
  assert_true(set->n <= w->e.n);
  for (size_t i = 0; i < set->n; i++) {
    uint64_t h = w->hashes[set->rows[i]];
    assert_true(i == 0 || set->rows[i] > set->rows[i - 1]);
    assert_false(cz_hash_set_has(&w->in_t, h));
    OK(cz_hash_set_add(&seen, &added, h));
    assert_true(added);
    counts[set->labels[i]]++;
  }
  for (int32_t c = 0; c < w->e.classes; c++) {
    wanted += set->wanted[c];
    assert_true(set->missing[c] >= 0 && counts[c] + set->missing[c] == set->wanted[c]);
  }
  assert_true((int64_t)set->n <= wanted);
  cz_hash_set_free(&seen);
}

/* What the defect of `code` may refuse, and an ensemble of one always is. */
static bool may_fail(const world *w) {
  return w->e.n_members == 1 || w->settings.fidelity == CZ_FIDELITY_CODE;
}

static void test_any_settings(void **state) {
  cz_stream r;
  int drawn = 0;
  cz_stream_init(&r, test_seed(), "worlds", 0, 0);
  for (int round = 0; round < 600; round++) {
    world *w = random_world(&r);
    cz_ipet_set sets[MEMBERS], again;
    cz_arena *arena;
    cz_ipet_given given = {&w->settings, &w->e, w->hashes, &w->in_t, w->labelled};
    int64_t generation = 1 + (int64_t)cz_stream_below(&r, 6);
    OK(cz_arena_create(&arena, "test"));
    for (size_t m = 0; m < w->e.n_members; m++) {
      cz_status st = cz_ipet_draw(&sets[m], arena, &given, m, generation);
      if (may_fail(w) && st == CZ_EINVAL) {
        sets[m].n = SIZE_MAX;
        continue;
      }
      OK(st);
      check_set(&sets[m], w);
      drawn++;
    }
    for (size_t m = w->e.n_members; m-- > 0;) { /* in another order, alone */
      if (sets[m].n == SIZE_MAX) continue;
      OK(cz_ipet_draw(&again, arena, &given, m, generation));
      assert_true(again.n == sets[m].n);
      assert_memory_equal(again.rows, sets[m].rows, again.n * sizeof *again.rows);
      assert_memory_equal(again.labels, sets[m].labels, again.n * sizeof *again.labels);
    }
    cz_arena_destroy(&arena);
    free_world(w);
  }
  print_message("%d sets\n", drawn);
  assert_true(drawn > 2000);
}

/* D as large as it must be: sizes are the paper's, labels are those of the teachers' mean. A class
 * that nobody predicts is missing, and a class that T lacks is said. */
static void test_whole_sets(void **state) {
  enum { N = 2000, M = 4, C = 4 };
  float *scores = calloc(M * N * C, sizeof *scores);
  uint64_t *hashes = calloc(N, sizeof *hashes);
  cz_hash_set in_t = {0};
  int64_t labelled[C] = {3, 3, 0, 4};
  cz_member m[M];
  cz_arena *arena;
  cz_ipet_set set, other;
  cz_ipet s = cz_ipet_paper;
  assert_true(scores && hashes);
  fill_members(m, M, scores, N, C);
  for (size_t i = 0; i < N; i++) {
    hashes[i] = i;
    for (size_t k = 0; k < M; k++) scores[(k * N + i) * C + i % 2] = 1 + (float)(i % 7);
  }
  cz_ensemble e = {m, M, N, C};
  cz_ipet_given given = {&s, &e, hashes, &in_t, labelled};
  OK(cz_arena_create(&arena, "test"));
  OK(cz_ipet_draw(&set, arena, &given, 2, 2));
  assert_int_equal(set.n, 2 * 3 * 24);
  assert_true(set.missing[0] == 0 && set.missing[1] == 0 && set.missing[3] == 4 * 24);
  assert_int_equal(set.never_added, 1);
  for (size_t i = 0; i < set.n; i++) assert_int_equal(set.labels[i], set.rows[i] % 2);
  OK(cz_ipet_draw(&other, arena, &given, 1, 2)); /* of another member, another set */
  assert_int_equal(other.n, set.n);
  assert_memory_not_equal(other.rows, set.rows, set.n * sizeof *set.rows);
  OK(cz_ipet_draw(&other, arena, &given, 2, 1)); /* and of another generation */
  assert_int_equal(other.n, 2 * 3 * 4);
  s.balance = CZ_BALANCE_EVEN;
  OK(cz_ipet_draw(&other, arena, &given, 2, 2));
  assert_true(other.never_added == 0 && other.wanted[2] == 60 && other.missing[2] == 60);
  for (size_t i = 0; i < M; i++) m[i].accuracy = 0;
  OK(cz_ipet_draw(&other, arena, &given, 2, 2));
  assert_true(other.even);
  s.fidelity = CZ_FIDELITY_CODE;
  FAILS(cz_ipet_draw(&other, arena, &given, 2, 2), CZ_EINVAL, "weigh 0");
  cz_arena_destroy(&arena);
  free(scores);
  free(hashes);
}

static void test_refused(void **state) {
  cz_ipet s = cz_ipet_paper;
  OK(cz_ipet_check(&s));
  s.scale = 1;
  FAILS(cz_ipet_check(&s), CZ_EINVAL, "1 times the one before; it must grow");
  s.scale = 1 + 1e-15; /* would take a year to get to 1,000 */
  FAILS(cz_ipet_check(&s), CZ_EINVAL, "must grow: from 1.01");
  s.scale = NAN;
  FAILS(cz_ipet_check(&s), CZ_EINVAL, "must grow");
  s.scale = 5;
  s.share = 0;
  FAILS(cz_ipet_check(&s), CZ_EINVAL, "0 of the other members");
  s.share = 0.25;
  s.first = 0;
  FAILS(cz_ipet_check(&s), CZ_EINVAL, "first 0");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_sizes),        cmocka_unit_test(test_counts),
      cmocka_unit_test(test_teachers),     cmocka_unit_test(test_teachers_even),
      cmocka_unit_test(test_confidence),   cmocka_unit_test(test_likely),
      cmocka_unit_test(test_any_settings), cmocka_unit_test(test_teachers_keyed),
      cmocka_unit_test(test_whole_sets),   cmocka_unit_test(test_refused),
  };
  return cmocka_run_group_tests_name("iPET", tests, NULL, NULL);
}
