/* Orders of filling in an answer's masks against all permutations of them: of the orders in which
 * tokens can be filled in, that one is meant of which the definition holds at every step. The model
 * is a random function of the whole text, its values eighths, so that many tie and sums are exact.
 */
#include "base/hash.h"
#include "common/common.h"
#include "device/random.h"
#include "ensemble/fill.h"

#include <math.h>
#include <stdio.h>

enum { MASK = -1, MOST = 5 };

/* An answer and what stands at its masks. */
typedef struct answer {
  uint64_t seed;
  int32_t n, tokens[CZ_FILL_TOKENS];
} answer;

/* log p of token I of A where the tokens of FILLED stand and the others are masks. */
static double logp_of(const answer *a, uint64_t filled, int32_t i) {
  int32_t text[CZ_FILL_TOKENS + 2];
  for (int32_t k = 0; k < a->n; k++) text[k] = filled >> k & 1 ? a->tokens[k] : MASK;
  text[a->n] = i;
  text[a->n + 1] = a->tokens[i];
  const uint64_t h = cz_hash64(text, ((size_t)a->n + 2) * sizeof *text, a->seed);
  return -(double)(h % 12) / 8;
}

static answer answer_of(cz_stream *s, int32_t n) {
  answer a = {.seed = (uint64_t)cz_stream_u32(s), .n = n};
  for (int32_t i = 0; i < n; i++) a.tokens[i] = (int32_t)cz_stream_below(s, 3);
  return a;
}

/* As a scorer does it: asks for what is read and for nothing else. */
static double filled_in(const answer *a, cz_fill_order order, int *steps) {
  cz_fill f = {.n = a->n};
  for (*steps = 0; !cz_fill_is_whole(&f); ++*steps) {
    double logp[CZ_FILL_TOKENS];
    const uint64_t reads = cz_fill_reads(&f, order), before = f.filled;
    assert_true(reads && !(reads & before));
    for (int32_t i = 0; i < a->n; i++) logp[i] = reads >> i & 1 ? logp_of(a, before, i) : NAN;
    cz_fill_step(&f, order, logp);
    assert_true((f.filled & before) == before && f.filled != before);
    assert_true(!(f.filled & ~before & ~reads));
  }
  return f.score;
}

/* The score when PLACES are filled in one after the other; IS_GREEDY: each was at its time the
 * likeliest, and of those as likely the leftmost. */
static double in_order(const answer *a, const int32_t *places, bool *is_greedy) {
  uint64_t filled = 0;
  double sum = 0;
  *is_greedy = true;
  for (int32_t k = 0; k < a->n; k++) {
    const double mine = logp_of(a, filled, places[k]);
    for (int32_t j = k + 1; j < a->n; j++) {
      const double other = logp_of(a, filled, places[j]);
      if (other > mine || (other == mine && places[j] < places[k])) *is_greedy = false;
    }
    sum += mine;
    filled |= (uint64_t)1 << places[k];
  }
  return sum;
}

/* Permutation CODE of N places, as its Lehmer code has it. */
static void permute(int32_t *places, int32_t n, int32_t code) {
  int32_t left[MOST];
  for (int32_t i = 0; i < n; i++) left[i] = i;
  for (int32_t i = 0; i < n; i++) {
    const int32_t k = code % (n - i);
    code /= n - i;
    places[i] = left[k];
    for (int32_t j = k; j + 1 < n - i; j++) left[j] = left[j + 1];
  }
}

/* How many of all orders are greedy, of which *SUM is one's score. */
static int greedy_orders(double *sum, const answer *a) {
  int32_t places[MOST], orders = 1;
  int found = 0;
  for (int32_t i = 2; i <= a->n; i++) orders *= i;
  for (int32_t code = 0; code < orders; code++) {
    bool is_greedy;
    permute(places, a->n, code);
    const double s = in_order(a, places, &is_greedy);
    if (is_greedy) found++, *sum = s;
  }
  return found;
}

static void test_permutations(void **state) {
  cz_stream s;
  int differ[2] = {0};
  cz_stream_init(&s, test_seed(), "answers", 0, 0);
  for (int round = 0; round < 3000; round++) {
    const answer a = answer_of(&s, 1 + round % MOST);
    int32_t places[MOST];
    int steps;
    bool is_greedy;
    double greedy = NAN, at_once = 0;
    for (int32_t i = 0; i < a.n; i++) places[i] = i, at_once += logp_of(&a, 0, i);
    const double straight = in_order(&a, places, &is_greedy);
    assert_int_equal(greedy_orders(&greedy, &a), 1);
    assert_true(filled_in(&a, CZ_FILL_CONFIDENT_FIRST, &steps) == greedy && steps == a.n);
    assert_true(filled_in(&a, CZ_FILL_LEFT_TO_RIGHT, &steps) == straight && steps == a.n);
    assert_true(filled_in(&a, CZ_FILL_PARALLEL, &steps) == at_once && steps == 1);
    if (a.n == 1) assert_true(greedy == straight && greedy == at_once);
    differ[0] += greedy != straight, differ[1] += greedy != at_once;
  }
  assert_true(differ[0] > 500 && differ[1] > 500); /* or the orders would be one */
}

/* Where no token changes what the model says of another, all orders agree, and the order of an
 * answer's tokens does not matter. */
static void test_independent(void **state) {
  cz_stream s;
  cz_stream_init(&s, test_seed(), "independent", 0, 0);
  for (int round = 0; round < 400; round++) {
    const int32_t n =
        round % 40 ? 1 + (int32_t)cz_stream_below(&s, CZ_FILL_TOKENS) : CZ_FILL_TOKENS;
    double logp[CZ_FILL_TOKENS], moved[CZ_FILL_TOKENS], sum = 0;
    int32_t order[CZ_FILL_TOKENS];
    for (int32_t i = 0; i < n; i++) {
      order[i] = i;
      sum += logp[i] = -(double)cz_stream_below(&s, 32) / 8;
    }
    cz_stream_shuffle(&s, order, n);
    for (int32_t i = 0; i < n; i++) moved[i] = logp[order[i]];
    for (cz_fill_order o = CZ_FILL_CONFIDENT_FIRST; o <= CZ_FILL_PARALLEL; o++) {
      cz_fill f = {.n = n}, g = {.n = n};
      while (!cz_fill_is_whole(&f)) {
        cz_fill_step(&f, o, logp);
        cz_fill_step(&g, o, moved);
        if (o == CZ_FILL_CONFIDENT_FIRST) assert_true(f.score == g.score); /* likeliest so far */
      }
      assert_true(cz_fill_is_whole(&g) && f.score == sum && g.score == sum);
      cz_fill_step(&f, o, logp); /* nothing is left to do */
      assert_true(f.score == sum);
    }
  }
}

/* What is not finite is in the score, wherever it stands. */
static void test_not_finite(void **state) {
  for (cz_fill_order o = CZ_FILL_CONFIDENT_FIRST; o <= CZ_FILL_PARALLEL; o++)
    for (int bad = 0; bad < 3; bad++) {
      double logp[3] = {-1, -1, -1};
      cz_fill f = {.n = 3};
      int steps = 0;
      logp[bad] = NAN;
      for (; !cz_fill_is_whole(&f); steps++) cz_fill_step(&f, o, logp);
      assert_true(isnan(f.score) && steps == (o == CZ_FILL_PARALLEL ? 1 : 3));
    }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_permutations),
                                     cmocka_unit_test(test_independent),
                                     cmocka_unit_test(test_not_finite)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
