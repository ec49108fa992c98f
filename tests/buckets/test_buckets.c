/* T5's position buckets: the reference's table of thresholds, its test vectors, and
 * whole-number arithmetic for other sizes.
 *
 * CZ_TEST_SEED replays the random sizes. */
#include "common/common.h"
#include "kernels/attention/attention.h"
#include "kernels/cases.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* First distance of each bucket at 32 buckets and distance 128, from the reference's
 * float32 formula (Raffel et al. 2020; t5.md 1.2). */
static const int two_sided[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91};
static const int one_sided[32] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                  16, 19, 21, 24, 27, 31, 35, 40, 46, 52, 59, 67, 77, 87, 99, 113};

static int from_thresholds(const int *first, int buckets, int64_t n) {
  int b = 0;
  while (b + 1 < buckets && n >= first[b + 1]) b++;
  return b;
}

static void test_thresholds(void **state) {
  (void)state;
  for (int64_t n = 0; n < 3000; n++) {
    int b = from_thresholds(two_sided, 16, n);
    assert_int_equal(cz_attention_bucket(-n, 32, 128, true), b);
    if (n) assert_int_equal(cz_attention_bucket(n, 32, 128, true), 16 + b);
    assert_int_equal(cz_attention_bucket(-n, 32, 128, false), from_thresholds(one_sided, 32, n));
    assert_int_equal(cz_attention_bucket(n, 32, 128, false), 0);
  }
}

/* t5.md, appendix C. */
static void test_vectors(void **state) {
  (void)state;
  static const int two[][2] = {{-1, 1},  {1, 17},    {7, 23},   {8, 24},
                               {-12, 9}, {-127, 15}, {500, 31}, {0, 0}};
  static const int one[][2] = {{-15, 15},  {-18, 16}, {-19, 17}, {-112, 30},
                               {-113, 31}, {1, 0},    {700, 0},  {0, 0}};
  for (size_t i = 0; i < sizeof two / sizeof *two; i++)
    assert_int_equal(cz_attention_bucket(two[i][0], 32, 128, true), two[i][1]);
  for (size_t i = 0; i < sizeof one / sizeof *one; i++)
    assert_int_equal(cz_attention_bucket(one[i][0], 32, 128, false), one[i][1]);
}

enum { LIMBS = 64 };

typedef struct big { /* a whole number below 2^2048, least limb first */
  uint32_t limb[LIMBS];
} big;

static big times(big a, uint32_t factor, int power) {
  for (; power > 0; power--) {
    uint64_t carry = 0;
    for (int i = 0; i < LIMBS; i++) {
      carry += (uint64_t)a.limb[i] * factor;
      a.limb[i] = (uint32_t)carry;
      carry >>= 32;
    }
    assert_int_equal(carry, 0);
  }
  return a;
}

static bool at_most(const big *a, const big *b) {
  for (int i = LIMBS - 1; i >= 0; i--)
    if (a->limb[i] != b->limb[i]) return a->limb[i] < b->limb[i];
  return true;
}

/* The formula without logarithms: with m = half - exact, ln(n / exact) / ln(distance /
 * exact) m >= k means distance^k exact^(m - k) <= n^m. */
static int exactly(int64_t n, int half, int distance) {
  int exact = half / 2, m = half - exact, k = 0;
  if (n < exact) return (int)n;
  const big one = {{1}};
  big reached = times(one, (uint32_t)n, m);
  for (; k + 1 < m; k++) {
    big next = times(times(one, (uint32_t)distance, k + 1), (uint32_t)exact, m - k - 1);
    if (!at_most(&next, &reached)) break;
  }
  return exact + k;
}

static void check_sizes(int buckets, int distance, bool bidirectional) {
  int half = bidirectional ? buckets / 2 : buckets;
  int64_t reach = distance + 70;
  assert_int_equal(cz_attention_exact(buckets, bidirectional), half / 2);
  int32_t *map = malloc((size_t)(2 * reach + 1) * sizeof *map);
  assert_non_null(map);
  cz_attention_buckets(map, reach, buckets, distance, bidirectional);
  for (int64_t n = 0; n <= reach; n++) {
    int left = exactly(n, half, distance), right = !bidirectional || !n ? 0 : half + left;
    if (map[reach - n] != left || (n && map[reach + n] != right) ||
        cz_attention_bucket(-n, buckets, distance, bidirectional) != left ||
        (n && cz_attention_bucket(n, buckets, distance, bidirectional) != right))
      fail_msg("%d buckets, distance %d, %s, offset %" PRId64 ": left %d, not %d; right %d, not %d",
               buckets, distance, bidirectional ? "two-sided" : "one-sided", n, map[reach - n],
               left, map[reach + n], right);
  }
  free(map);
}

static void test_against_whole_numbers(void **state) {
  (void)state;
  static const int buckets[] = {16, 32, 64}, distance[] = {64, 128, 256};
  for (int b = 0; b < 3; b++) {
    for (int d = 0; d < 3; d++) {
      check_sizes(buckets[b], distance[d], true);
      if (distance[d] > buckets[b] / 2) check_sizes(buckets[b], distance[d], false);
    }
  }
}

static void test_random_sizes(void **state) {
  (void)state;
  cz_rand r = {test_seed()};
  for (int i = 0; i < 40; i++) {
    bool both = cz_rand_int(&r, 0, 1);
    int buckets = (int)cz_rand_int(&r, both ? 4 : 2, 70), exact = cz_attention_exact(buckets, both);
    check_sizes(buckets, (int)cz_rand_int(&r, exact + 1, 600), both);
  }
}

/* The shape rule refuses what the formula cannot bear, and says the values. */
static void check_refused(int buckets, int distance, bool bidirectional, const char *say) {
  static const int64_t T = 3, width = 4;
  char why[256] = "";
  cz_arg out[CZ_OP_OUT] = {{0}};
  cz_attention_attr attr = {.heads = 2,
                            .scale = 1,
                            .buckets = buckets,
                            .max_distance = distance,
                            .bidirectional = bidirectional};
  cz_arg in[CZ_OP_IN] = {[CZ_ATTENTION_Q] = {NULL, CZ_F32, 2, {T, width}},
                         [CZ_ATTENTION_K] = {NULL, CZ_F32, 2, {T, width}},
                         [CZ_ATTENTION_V] = {NULL, CZ_F32, 2, {T, width}},
                         [CZ_ATTENTION_Q_SPANS] = {NULL, CZ_I32, 2, {1, 2}},
                         [CZ_ATTENTION_K_SPANS] = {NULL, CZ_I32, 2, {1, 2}},
                         [CZ_ATTENTION_POSITION_BIAS] = {NULL, CZ_F32, 2, {buckets, 2}}};
  bool fine = cz_op_rows[CZ_OP_attention]->shape(out, in, &attr, why, sizeof why);
  if (!say) {
    assert_true(fine);
  } else {
    assert_false(fine);
    if (!strstr(why, say)) fail_msg("\"%s\" does not say \"%s\"", why, say);
  }
}

static void test_refusals(void **state) {
  (void)state;
  check_refused(32, 128, true, NULL);
  check_refused(32, 9, true, NULL);
  check_refused(32, 8, true, "max_distance is 8; it must be larger than 8");
  check_refused(32, 16, false, "max_distance is 16; it must be larger than 16");
  check_refused(64, 16, false, "max_distance is 16; it must be larger than 32");
  check_refused(32, -5, false, "max_distance is -5");
  check_refused(3, 128, true, "buckets is 3; two directions need at least 4");
  check_refused(1, 128, false, "buckets is 1; positions need at least 2");
  check_refused(0, 128, false, "buckets is 0");
  check_refused(-8, 128, true, "buckets is -8");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_thresholds), cmocka_unit_test(test_vectors),
      cmocka_unit_test(test_against_whole_numbers), cmocka_unit_test(test_random_sizes),
      cmocka_unit_test(test_refusals)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
