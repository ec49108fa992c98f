/* Draws of T and D: the paper's numbers by hand, and what holds for any file, label, size and seed.
 */
#include "common/common.h"
#include "device/random.h"
#include "ensemble/draw.h"

#include <stdio.h>
#include <stdlib.h>

enum { MOST = 400, CLASSES = 12 };

/* Rows whose texts are all different, of classes 0, 1, ..., 0, 1, ... */
static cz_pool round_robin(uint64_t *hashes, int32_t *labels, size_t n, int32_t classes) {
  for (size_t i = 0; i < n; i++) {
    hashes[i] = 1000 + i;
    labels[i] = (int32_t)i % classes;
  }
  return (cz_pool){hashes, labels, n, classes};
}

static void count(int64_t *counts, const cz_drawn *d, const cz_pool *pool) {
  memset(counts, 0, (size_t)pool->classes * sizeof *counts);
  for (size_t i = 0; i < d->n; i++) counts[pool->labels[d->rows[i]]]++;
}

/* MNLI's 10 texts are 4, 3, 3; Yelp's 2 each; AG's News 3, 3, 2, 2; Yahoo's 1 each. */
static void test_paper(void **state) {
  static const struct {
    int32_t classes;
    int64_t want[10];
  } rows[] = {{3, {4, 3, 3}},
              {5, {2, 2, 2, 2, 2}},
              {4, {3, 3, 2, 2}},
              {10, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1}}};
  uint64_t hashes[MOST];
  int32_t labels[MOST];
  for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
    cz_pool pool = round_robin(hashes, labels, 100, rows[r].classes);
    int64_t counts[CLASSES];
    cz_arena *arena;
    cz_drawn t, again;
    OK(cz_arena_create(&arena, "test"));
    OK(cz_draw_labelled(&t, arena, &pool, NULL, CZ_DRAW_PAPER, 10, 1));
    count(counts, &t, &pool);
    assert_memory_equal(counts, rows[r].want, (size_t)rows[r].classes * sizeof *counts);
    for (size_t i = 0; i < t.n; i++) assert_in_range(t.rows[i], 0, 10 + 2 * rows[r].classes);
    OK(cz_draw_labelled(&again, arena, &pool, NULL, CZ_DRAW_PAPER, 10, 2));
    assert_memory_equal(t.rows, again.rows, t.n * sizeof *t.rows); /* no seed */
    /* T is inside D */
    OK(cz_draw_unlabelled(&again, arena, &pool, NULL, CZ_UNLABELLED_PER_LABEL, 4, 0));
    assert_int_equal(again.n, 4 * rows[r].classes);
    assert_true(again.n >= t.n);
    size_t inside = 0;
    for (size_t i = 0; i < t.n; i++)
      for (size_t k = 0; k < again.n; k++) inside += t.rows[i] == again.rows[k];
    assert_int_equal(inside, t.n);
    cz_arena_destroy(&arena);
  }
}

static uint64_t hash_of(const char *a, const char *b) {
  uint64_t h;
  OK(cz_text_hash(&h, (const char *const[]){a, b}, b ? 2 : 1));
  return h;
}

static void test_same_texts(void **state) {
  uint64_t h = hash_of("One  \n two", NULL);
  assert_true(h == hash_of(" one\xC2\xA0TWO ", NULL));
  assert_true(h != hash_of("onetwo", NULL) && h != hash_of("one, two", NULL));
  assert_true(h != hash_of("one", "two") && h != hash_of("one two", ""));
  assert_true(hash_of("a", "b c") != hash_of("a b", "c"));
  assert_true(hash_of("GRÖSSE Δ", NULL) == hash_of("größe δ", NULL) ||
              hash_of("GRÖẞE Δ", NULL) == hash_of("größe δ", NULL));
  assert_true(hash_of("", NULL) == hash_of("\t", NULL) && hash_of("", NULL) != hash_of("", ""));
}

static void test_hash_set(void **state) {
  cz_hash_set s = {0};
  bool added;
  assert_false(cz_hash_set_has(&s, 0));
  for (uint64_t i = 0; i < 3000; i++) {
    assert_true(!cz_hash_set_has(&s, i << 40) || i == 0);
    OK(cz_hash_set_add(&s, &added, i << 40)); /* low bits all alike */
    assert_true(added);
    OK(cz_hash_set_add(&s, &added, i << 40));
    assert_false(added);
  }
  for (uint64_t i = 0; i < 3000; i++) assert_true(cz_hash_set_has(&s, i << 40));
  assert_false(cz_hash_set_has(&s, 1));
  cz_hash_set_free(&s);
  assert_false(cz_hash_set_has(&s, 5));
}

/* A file of any kind: labels that are rare, rows without one, texts that repeat, texts of the test
 * set. */
typedef struct file {
  uint64_t hashes[MOST];
  int32_t labels[MOST];
  cz_pool pool;
  cz_hash_set test;
} file;

static void random_file(file *f, cz_stream *s) {
  bool added;
  size_t n = cz_stream_below(s, MOST);
  int32_t classes = 1 + (int32_t)cz_stream_below(s, CLASSES);
  uint64_t texts = 1 + cz_stream_below(s, 2 * MOST);
  f->test = (cz_hash_set){0};
  for (size_t i = 0; i < n; i++) {
    f->hashes[i] = cz_stream_below(s, texts);
    f->labels[i] = (int32_t)cz_stream_below(s, (uint64_t)classes + 1) - 1;
    if (cz_stream_below(s, 2)) f->labels[i] = 0;
  }
  for (uint64_t k = cz_stream_below(s, 40); k; k--)
    OK(cz_hash_set_add(&f->test, &added, cz_stream_below(s, texts)));
  f->pool = (cz_pool){f->hashes, f->labels, n, classes};
}

/* Ascending rows, no text twice, none of EXCLUDED; every row is accounted for. */
static void check_drawn(const cz_drawn *d, const file *f, const cz_hash_set *excluded) {
  cz_hash_set seen = {0};
  bool added;
  for (size_t i = 0; i < d->n; i++) {
    uint64_t h = f->hashes[d->rows[i]];
    assert_true(i == 0 || d->rows[i] > d->rows[i - 1]);
    assert_false(cz_hash_set_has(excluded, h));
    OK(cz_hash_set_add(&seen, &added, h));
    assert_true(added);
  }
  cz_hash_set_free(&seen);
  size_t elsewhere = 0, repeated = 0;
  for (size_t i = 0; i < f->pool.n; i++) {
    bool before = false;
    for (size_t k = 0; k < i; k++) before |= f->hashes[k] == f->hashes[i];
    if (cz_hash_set_has(excluded, f->hashes[i]))
      elsewhere++;
    else
      repeated += before;
  }
  assert_true(d->elsewhere == elsewhere && d->repeated == repeated);
}

/* How many distinct texts of CLASS (-1: any label) there are to draw. */
static int64_t available(const file *f, int32_t class) {
  cz_arena *arena;
  cz_drawn d;
  bool can[MOST];
  int64_t n = 0;
  OK(cz_arena_create(&arena, "test"));
  OK(cz_draw_candidates(can, &d, &f->pool, &f->test));
  for (size_t i = 0; i < f->pool.n; i++)
    n += can[i] && (class < 0 ? f->labels[i] >= 0 : f->labels[i] == class);
  cz_arena_destroy(&arena);
  return n;
}

static void check_labelled(const cz_drawn *d, const file *f, cz_draw_kind kind, int64_t t) {
  int64_t counts[CLASSES], missing = 0, least = INT64_MAX, most = 0;
  int32_t absent = 0;
  count(counts, d, &f->pool);
  for (int32_t c = 0; c < f->pool.classes; c++) {
    absent += counts[c] == 0;
    if (kind == CZ_DRAW_RANDOM) continue;
    int64_t wanted = counts[c] + d->missing[c], all = available(f, c);
    missing += d->missing[c];
    least = wanted < least ? wanted : least;
    most = wanted > most ? wanted : most;
    assert_true(counts[c] == (wanted < all ? wanted : all));
    if (kind == CZ_DRAW_PAPER && c > 0) assert_true(wanted <= most);
  }
  assert_int_equal(d->absent, absent);
  assert_int_equal(d->below_labels, t < f->pool.classes);
  if (kind == CZ_DRAW_RANDOM) {
    int64_t all = available(f, -1);
    assert_null(d->missing);
    assert_int_equal(d->n, t < all ? t : all);
  } else {
    assert_int_equal((int64_t)d->n + missing, t);
    assert_true(most - least <= 1);
  }
}

/* Whether all of A's rows are among B's. */
static bool within(const cz_drawn *a, const cz_drawn *b) {
  size_t inside = 0;
  for (size_t i = 0; i < a->n; i++)
    for (size_t k = 0; k < b->n; k++) inside += a->rows[i] == b->rows[k];
  return inside == a->n;
}

static void test_any_file(void **state) {
  cz_stream s;
  cz_stream_init(&s, test_seed(), "files", 0, 0);
  for (int round = 0; round < 400; round++) {
    file *f = malloc(sizeof *f);
    cz_arena *arena;
    cz_drawn t, same, larger, d;
    cz_hash_set excluded = {0};
    assert_non_null(f);
    random_file(f, &s);
    OK(cz_arena_create(&arena, "test"));
    cz_draw_kind kind = (cz_draw_kind)cz_stream_below(&s, 3);
    int64_t n = (int64_t)cz_stream_below(&s, 60);
    uint64_t seed = cz_stream_u32(&s);
    OK(cz_draw_labelled(&t, arena, &f->pool, &f->test, kind, n, seed));
    check_drawn(&t, f, &f->test);
    check_labelled(&t, f, kind, n);
    OK(cz_draw_labelled(&same, arena, &f->pool, &f->test, kind, n, seed));
    assert_true(same.n == t.n && within(&same, &t));
    OK(cz_draw_labelled(&larger, arena, &f->pool, &f->test, kind, n + f->pool.classes, seed));
    assert_true(within(&t, &larger)); /* nested */
    for (size_t i = 0; i < f->pool.n; i++) {
      bool added;
      bool test = cz_hash_set_has(&f->test, f->hashes[i]);
      if (test) OK(cz_hash_set_add(&excluded, &added, f->hashes[i]));
    }
    for (size_t i = 0; i < t.n; i++) OK(cz_hash_set_add_all(&excluded, &f->hashes[t.rows[i]], 1));
    for (int u = CZ_UNLABELLED_ALL; u <= CZ_UNLABELLED_RANDOM; u++) {
      int64_t m = (int64_t)cz_stream_below(&s, 50);
      OK(cz_draw_unlabelled(&d, arena, &f->pool, &excluded, (cz_unlabelled_kind)u, m, seed));
      check_drawn(&d, f, &excluded);
      if (u == CZ_UNLABELLED_ALL) {
        size_t left = 0;
        for (size_t i = 0; i < f->pool.n; i++) {
          bool before = cz_hash_set_has(&excluded, f->hashes[i]);
          for (size_t k = 0; k < i; k++) before |= f->hashes[k] == f->hashes[i];
          left += !before;
        }
        assert_int_equal(d.n, left);
      }
      if (u == CZ_UNLABELLED_RANDOM) assert_true(d.n <= (size_t)m);
      for (int32_t c = 0; c < f->pool.classes && u == CZ_UNLABELLED_PER_LABEL; c++) {
        int64_t counts[CLASSES];
        count(counts, &d, &f->pool);
        assert_int_equal(counts[c] + d.missing[c], m);
      }
    }
    cz_hash_set_free(&excluded);
    cz_hash_set_free(&f->test);
    cz_arena_destroy(&arena);
    free(f);
  }
}

/* Each text of a label, and each label for what is left over, is drawn as often as any other; and
 * what is drawn of one label says nothing of what is drawn of the next. */
static void test_even(void **state) {
  enum { DRAWS = 4000, N = 24, LABELS = 4 };
  uint64_t hashes[N];
  int32_t labels[N];
  cz_pool pool = round_robin(hashes, labels, N, LABELS);
  int times[N] = {0}, one_more[LABELS] = {0}, both = 0;
  cz_arena *arena;
  for (uint64_t k = 0; k < DRAWS; k++) {
    cz_drawn t;
    int64_t counts[LABELS];
    OK(cz_arena_create(&arena, "test"));
    OK(cz_draw_labelled(&t, arena, &pool, NULL, CZ_DRAW_BALANCED, 9, test_seed() + k));
    assert_int_equal(t.n, 9);
    count(counts, &t, &pool);
    for (int c = 0; c < LABELS; c++) one_more[c] += counts[c] == 3;
    bool first[2] = {false, false}; /* texts of labels 0 and 1 */
    for (size_t i = 0; i < t.n; i++) {
      times[t.rows[i]]++;
      if (t.rows[i] < 2) first[t.rows[i]] = true;
    }
    both += first[0] && first[1];
    cz_arena_destroy(&arena);
  }
  for (int c = 0; c < LABELS; c++) /* six standard deviations of a binomial of 1 / 4 */
    assert_true(abs(one_more[c] - DRAWS / 4) < 6 * 28);
  for (int i = 0; i < N; i++) assert_true(abs(times[i] - DRAWS * 9 / N) < 6 * 31);
  /* a label has 2 or 3 of its 6 texts: 1/4 (3/6 2/6) + 1/4 (2/6 3/6) + 1/2 (2/6 2/6) = 5 / 36 */
  assert_true(abs(both - DRAWS * 5 / 36) < 6 * 22);
}

static void test_refused(void **state) {
  uint64_t hashes[] = {1, 2};
  int32_t labels[] = {0, 3};
  cz_pool pool = {hashes, labels, 2, 3};
  cz_arena *arena;
  cz_drawn d;
  OK(cz_arena_create(&arena, "test"));
  FAILS(cz_draw_labelled(&d, arena, &pool, NULL, CZ_DRAW_PAPER, 2, 0), CZ_EINVAL,
        "row 1 has class 3 of 3");
  labels[1] = -1;
  FAILS(cz_draw_labelled(&d, arena, &pool, NULL, CZ_DRAW_PAPER, -2, 0), CZ_EINVAL, "draw of -2");
  pool.labels = NULL;
  FAILS(cz_draw_labelled(&d, arena, &pool, NULL, CZ_DRAW_PAPER, 1, 0), CZ_EINVAL, "without labels");
  FAILS(cz_draw_unlabelled(&d, arena, &pool, NULL, CZ_UNLABELLED_PER_LABEL, 1, 0), CZ_EINVAL,
        "need rows with labels");
  OK(cz_draw_unlabelled(&d, arena, &pool, NULL, CZ_UNLABELLED_ALL, 0, 0));
  assert_int_equal(d.n, 2);
  cz_arena_destroy(&arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_paper),    cmocka_unit_test(test_same_texts),
      cmocka_unit_test(test_hash_set), cmocka_unit_test(test_any_file),
      cmocka_unit_test(test_even),     cmocka_unit_test(test_refused),
  };
  return cmocka_run_group_tests_name("draws", tests, NULL, NULL);
}
