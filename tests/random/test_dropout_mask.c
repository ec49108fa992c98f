/* The numbers of dropout masks: what the header says of them, one by one, and that all ways to ask
 * for many give the same. */
#include "common/common.h"
#include "kernels/cases.h"
#include "kernels/common/dropout_mask.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static cz_key fresh_key(cz_rand *r) {
  return (cz_key){.seed = cz_rand_u64(r),
                  .step = (uint32_t)cz_rand_u64(r),
                  .shard = (uint32_t)cz_rand_u64(r),
                  .op = (uint32_t)cz_rand_u64(r)};
}

static void thresholds(void **state) {
  assert_int_equal(cz_dropout_threshold(0), 0);
  assert_int_equal(cz_dropout_threshold(0.5), 32768);
  assert_int_equal(cz_dropout_threshold(0.1), 6554);
  assert_int_equal(cz_dropout_threshold(1 - 1e-9), 65535); /* something is always kept */
  for (double p = 0; p < 1; p += 0.01) {
    const double kept = 65536.0 - cz_dropout_threshold(p);
    assert_true(fabs(kept / 65536 * cz_dropout_scale(p) - 1) < 1e-15);
    assert_true(fabs(1 - kept / 65536 - p) < 8e-6);
  }
}

/* Element 8 q + i: half i % 2, the lower first, of word i / 2 of call q. */
static void places(void **state) {
  cz_rand r = {.state = test_seed()};
  const cz_key key = fresh_key(&r);
  for (uint64_t e = 0; e < 4096; e++) {
    uint32_t word[4];
    cz_philox_quad(word, &key, e / 8);
    uint16_t half[8];
    for (int i = 0; i < 8; i++) half[i] = (uint16_t)(word[i / 2] >> (i % 2 ? 16 : 0));
    const double p = 0.3, factor = cz_dropout_mask_factor(&key, e, p);
    assert_true(factor == (half[e % 8] < 19661 ? 0 : 65536.0 / (65536 - 19661)));
  }
}

/* Any run of elements, from any place of a call on. */
static void runs(void **state) {
  enum { N = 300 };
  cz_rand r = {.state = test_seed()};
  for (int round = 0; round < 400; round++) {
    const cz_key key = fresh_key(&r);
    const uint64_t first = cz_rand_u64(&r) >> cz_rand_int(&r, 0, 60);
    const int64_t n = cz_rand_int(&r, 0, N);
    const double p = cz_rand_real(&r, 0, 0.999);
    float factor[N + 1];
    for (int i = 0; i <= N; i++) factor[i] = -1;
    cz_dropout_mask_fill(factor, n, &key, first, p);
    for (int64_t i = 0; i < n; i++)
      assert_true(factor[i] == (float)cz_dropout_mask_factor(&key, first + (uint64_t)i, p));
    assert_true(factor[n] == -1);
  }
}

/* Any run of a query's keys. */
static void keys(void **state) {
  enum { N = 200 };
  cz_rand r = {.state = test_seed()};
  for (int round = 0; round < 400; round++) {
    const cz_key key = fresh_key(&r);
    const uint64_t head = (uint64_t)cz_rand_int(&r, 0, 100000);
    const int64_t n = cz_rand_int(&r, 0, N), i = cz_rand_int(&r, 0, 3000),
                  j = cz_rand_int(&r, 0, 3000);
    const double p = cz_rand_real(&r, 0, 0.999);
    float factor[N + 1];
    for (int k = 0; k <= N; k++) factor[k] = -1;
    cz_dropout_mask_fill_keys(factor, n, &key, head, i, j, p);
    for (int64_t k = 0; k < n; k++) {
      const uint64_t e = cz_dropout_attention_element(head, i, j + k);
      assert_true(factor[k] == (float)cz_dropout_mask_factor(&key, e, p));
    }
    assert_true(factor[n] == -1);
  }
}

static int ascending(const void *a, const void *b) {
  const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

/* No two of a head's scores, and none of two heads, have one number; and a lane's eight have one
 * call, in the order of the two fragments that it holds. */
static void attention_elements(void **state) {
  enum { HEADS = 3, I = 70, J = 90, ALL = HEADS * I * J };
  uint64_t *e = calloc(ALL, sizeof *e);
  assert_non_null(e);
  int n = 0;
  for (int h = 0; h < HEADS; h++)
    for (int i = 0; i < I; i++)
      for (int j = 0; j < J; j++) {
        e[n++] = cz_dropout_attention_element((uint64_t)h, i, j);
        const uint64_t call =
            cz_dropout_attention_call((uint64_t)h, i - (i & 8), j - (j & 8) - (j & 1));
        const int fragment = j % 16 / 8, row = i % 16 / 8, column = j % 2;
        assert_int_equal(e[n - 1], call * 8 + (uint64_t)(fragment * 4 + row * 2 + column));
      }
  qsort(e, ALL, sizeof *e, ascending);
  for (int k = 1; k < ALL; k++) assert_true(e[k] != e[k - 1]);
  free(e);
}

/* Masks drop their share, in every place of a call. */
static void rates(void **state) {
  enum { N = 200000 };
  cz_rand r = {.state = test_seed()};
  float *factor = calloc(N, sizeof *factor);
  assert_non_null(factor);
  for (int k = 0; k < 4; k++) {
    const double p = (const double[]){0, 0.1, 0.5, 0.9}[k];
    const cz_key key = fresh_key(&r);
    cz_dropout_mask_fill(factor, N, &key, 0, p);
    int dropped[8] = {0};
    for (int i = 0; i < N; i++) dropped[i % 8] += factor[i] == 0;
    for (int i = 0; i < 8; i++)
      assert_true(fabs(dropped[i] - N / 8 * p) <= 6 * sqrt(N / 8 * p * (1 - p)) + 1);
  }
  free(factor);
}

int main(void) {
  test_seed();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(thresholds), cmocka_unit_test(places), cmocka_unit_test(runs),
      cmocka_unit_test(keys),       cmocka_unit_test(rates),  cmocka_unit_test(attention_elements),
  };
  return cmocka_run_group_tests_name("dropout_mask", tests, NULL, NULL);
}
