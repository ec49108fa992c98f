/* Philox against the known answers that Random123 publishes, and streams against what
 * their distributions must look like.
 *
 * Statistics use a fresh seed (CZ_TEST_SEED replays it) and bounds of six standard
 * deviations: one false alarm in half a billion. */
#include "common/common.h"
#include "device/random.h"
#include "kernels/common/philox.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct answer {
  uint32_t counter[4], key[2], out[4];
} answer;

/* Random123 (Salmon et al.), file kat_vectors, philox4x32 with ten rounds: zeros, ones,
 * digits of pi. */
static const answer known[] = {
    {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
     {0xffffffff, 0xffffffff},
     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
     {0xa4093822, 0x299f31d0},
     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

static void philox_known_answers(void **state) {
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    uint32_t out[4];
    cz_philox(out, known[i].counter, (uint64_t)known[i].key[1] << 32 | known[i].key[0]);
    for (int j = 0; j < 4; j++) assert_int_equal(out[j], known[i].out[j]);
  }
}

/* The documented place of each number: counter (quad, op, step, shard), key seed. */
static void philox_keys(void **state) {
  cz_key key = {
      .seed = 0x299f31d0a4093822u, .op = 0x85a308d3, .step = 0x13198a2e, .shard = 0x03707344};
  uint32_t quad[4], far[4];
  cz_philox_quad(quad, &key, 0x243f6a88);
  for (int j = 0; j < 4; j++) assert_int_equal(quad[j], known[2].out[j]);
  cz_philox_quad(far, &key, 0x243f6a88 + (1ULL << 32)); /* counters do not repeat beyond 2^32 */
  assert_memory_not_equal(quad, far, sizeof quad);
}

static void streams_are_keyed(void **state) {
  cz_stream a, b;
  const struct {
    uint64_t seed;
    const char *name;
    uint32_t a, b;
  } other[] = {{test_seed() + 1, "x", 1, 2},
               {test_seed(), "y", 1, 2},
               {test_seed(), "x", 2, 2},
               {test_seed(), "x", 1, 3}};
  for (size_t k = 0; k < sizeof other / sizeof *other; k++) {
    cz_stream_init(&a, test_seed(), "x", 1, 2);
    cz_stream_init(&b, other[k].seed, other[k].name, other[k].a, other[k].b);
    int same = 0;
    for (int i = 0; i < 64; i++) same += cz_stream_u32(&a) == cz_stream_u32(&b);
    assert_true(same <= 1);
  }
  cz_stream_init(&a, test_seed(), "x", 1, 2);
  for (int i = 0; i < 5; i++) cz_stream_u32(&a);
  b = a; /* a saved stream goes on where it was */
  for (int i = 0; i < 64; i++) assert_int_equal(cz_stream_u32(&a), cz_stream_u32(&b));
}

/* Fails unless the counts are as even as chance allows: chi-square is about normal with
 * mean bins - 1 and variance 2 (bins - 1). */
static void expect_even(const int *count, int bins, double expected, const char *what) {
  double chi = 0;
  for (int i = 0; i < bins; i++) chi += (count[i] - expected) * (count[i] - expected) / expected;
  double z = (chi - (bins - 1)) / sqrt(2.0 * (bins - 1));
  if (!(fabs(z) < 7))
    fail_msg("%s: chi-square %.1f over %d bins", what, chi,
             bins); /* its right tail is heavier than a normal one */
}

static void below_is_even(void **state) {
  static const uint64_t n[] = {1, 2, 3, 10, 97};
  cz_stream s;
  cz_stream_init(&s, test_seed(), "below", 0, 0);
  for (size_t k = 0; k < sizeof n / sizeof *n; k++) {
    int count[97] = {0};
    for (int i = 0; i < 50000; i++) {
      uint64_t x = cz_stream_below(&s, n[k]);
      assert_true(x < n[k]);
      count[x]++;
    }
    if (n[k] > 1) expect_even(count, (int)n[k], 50000.0 / (double)n[k], "below");
  }
  /* With n = 3/4 of the range, plain scaling of 64 bits would hit some thirds twice as
   * often; rejection may not. */
  int third[3] = {0};
  for (int i = 0; i < 50000; i++) third[cz_stream_below(&s, 3ULL << 62) % 3]++;
  expect_even(third, 3, 50000 / 3.0, "below a large number");
}

static void uniform_is_even(void **state) {
  int count[64] = {0};
  double sum = 0, lagged = 0, last = 0.5;
  cz_stream s;
  cz_stream_init(&s, test_seed(), "uniform", 0, 0);
  for (int i = 0; i < 200000; i++) {
    double x = cz_stream_uniform(&s);
    assert_true(x >= 0 && x < 1);
    count[(int)(64 * x)]++;
    sum += x - 0.5, lagged += (x - 0.5) * (last - 0.5);
    last = x;
  }
  expect_even(count, 64, 200000 / 64.0, "uniform");
  assert_true(fabs(sum) < 6 * sqrt(200000 / 12.0));
  assert_true(fabs(lagged) < 6 * sqrt(200000.0) / 12);
}

/* Each of the 24 orders of four items comes equally often. */
static void shuffle_is_even(void **state) {
  int count[24] = {0};
  cz_stream s;
  cz_stream_init(&s, test_seed(), "shuffle", 0, 0);
  for (int i = 0; i < 48000; i++) {
    int32_t x[4] = {0, 1, 2, 3};
    cz_stream_shuffle(&s, x, 4);
    int order = 0, seen = 0;
    for (int j = 0; j < 4; j++) {
      int less = 0;
      for (int k = j + 1; k < 4; k++) less += x[k] < x[j];
      order = order * (4 - j) + less;
      seen |= 1 << x[j];
    }
    assert_int_equal(seen, 15);
    count[order]++;
  }
  expect_even(count, 24, 2000, "shuffle");
  cz_stream_shuffle(&s, NULL, 0);
}

/* A bit of number I of a key's. */
static int top_bit(const cz_key *key, int i) {
  uint32_t r[4];
  cz_philox_quad(r, key, (uint64_t)i / 4);
  return (int)(r[i % 4] >> 31);
}

/* The same element of neighbouring steps, shards and ops is independent. */
static void keys_are_independent(void **state) {
  enum { N = 100000 };
  cz_key base = {.seed = test_seed(), .op = 7, .step = 11, .shard = 0},
         other[3] = {base, base, base};
  other[0].op++, other[1].step++, other[2].shard++;
  for (int k = 0; k < 3; k++) {
    int both = 0;
    for (int i = 0; i < N; i++) both += top_bit(&base, i) == top_bit(&other[k], i);
    assert_true(abs(both - N / 2) < 6 * sqrt(N / 4.0));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(philox_known_answers), cmocka_unit_test(philox_keys),
      cmocka_unit_test(streams_are_keyed),    cmocka_unit_test(below_is_even),
      cmocka_unit_test(uniform_is_even),      cmocka_unit_test(shuffle_is_even),
      cmocka_unit_test(keys_are_independent),
  };
  return cmocka_run_group_tests_name("random", tests, NULL, NULL);
}
