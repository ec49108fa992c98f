/* Noise of seeds and of examples, and scores of examples that are drawn again, against
 * SciPy, statsmodels, scikit-learn and sacreBLEU (tests/fixtures/noise.json, made by
 * scripts/make_noise_fixtures.py), and by hand. */
#include "metrics/bootstrap.h"
#include "metrics/statistics.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { MOST = 1024 };

static json_t *fixtures;

/* Equal to TOLERANCE of the larger magnitude (or absolutely below 1); null is NaN. */
static void expect_to(double tolerance, double got, const json_t *want, const char *what,
                      size_t i) {
  double w = json_number_value(want);
  if (json_is_null(want) && isnan(got)) return;
  assert_true(json_is_number(want));
  if (!(fabs(got - w) <= tolerance * fmax(1, fabs(w))))
    fail_msg("%s %zu: %.17g, expected %.17g", what, i, got, w);
}

static void expect(double got, const json_t *want, const char *what, size_t i) {
  expect_to(1e-9, got, want, what, i);
}

static const json_t *at(const json_t *o, const char *key) {
  const json_t *v = json_object_get(o, key);
  if (!v) fail_msg("the fixtures have no %s", key);
  return v;
}

static double real(const json_t *o, const char *key) { return json_number_value(at(o, key)); }

static size_t reals(double *out, const json_t *list) {
  assert_true(json_array_size(list) <= MOST);
  for (size_t i = 0; i < json_array_size(list); i++)
    out[i] = json_number_value(json_array_get(list, i));
  return json_array_size(list);
}

static void test_sums(void **state) {
  double x[MOST];
  const json_t *cases = at(fixtures, "sums"), *c;
  size_t i;
  assert_int_equal(json_array_size(cases), 6);
  json_array_foreach((json_t *)cases, i, c) {
    cz_interval r = cz_stats_interval(x, reals(x, at(c, "x")));
    double seeds = r.total.error;
    assert_true(seeds == r.seeds.error && isnan(r.examples.error));
    cz_stats_add_examples(&r, &(cz_noise){real(c, "examples"), real(c, "freedom")});
    assert_true(r.seeds.error == seeds && r.examples.error == real(c, "examples"));
    expect(r.total.error, at(c, "total"), "error", i);
    expect(r.total.freedom, at(c, "total_freedom"), "freedom", i);
    expect(r.half, at(c, "half"), "half", i);
    expect(cz_stats_p(&r), at(c, "p"), "p", i);
  }
}

/* What is not known stays out of the sum; what leaves the seeds out is no interval. */
static void test_sums_with_holes(void **state) {
  const cz_noise none = {NAN, NAN}, some = {3, 9};
  cz_interval r = cz_stats_interval((const double[]){1, 3}, 2);
  cz_stats_add_examples(&r, &none);
  assert_true(r.total.error == 1 && r.total.freedom == 1);
  r = cz_stats_interval((const double[]){5}, 1);
  cz_stats_add_examples(&r, &some);
  assert_true(isnan(r.half) && isnan(r.total.error) && r.examples.error == 3);
  assert_true(isnan(cz_stats_p(&r)));
  r = cz_stats_interval((const double[]){5, 5, 5}, 3); /* seeds that change nothing */
  assert_true(r.half == 0 && cz_stats_p(&r) == 0);
  cz_stats_add_examples(&r, &some);
  assert_true(r.total.error == 3 && r.total.freedom == 9);
  r = cz_stats_interval((const double[]){0, 0}, 2);
  assert_true(cz_stats_p(&r) == 1);
  cz_stats_add_examples(&r, &(cz_noise){0, 7});
  assert_true(r.half == 0 && cz_stats_p(&r) == 1);
}

/* Squares out of range leave the sum and its degrees of freedom what they are in range. */
static void test_sums_out_of_range(void **state) {
  static const double up = 1e200;
  cz_interval r = cz_stats_interval((const double[]){1, 3, 8}, 3), wide = r;
  wide.seeds.error *= up;
  cz_stats_add_examples(&r, &(cz_noise){0.5, 9});
  cz_stats_add_examples(&wide, &(cz_noise){0.5 * up, 9});
  assert_true(fabs(wide.total.error / up - r.total.error) <= 1e-14 * r.total.error);
  assert_true(fabs(wide.total.freedom - r.total.freedom) <= 1e-13 * r.total.freedom);
  wide.seeds.error = INFINITY;
  cz_stats_add_examples(&wide, &(cz_noise){3, 9});
  assert_true(isinf(wide.total.error) && isinf(wide.half) && wide.total.freedom == 2);
}

static void test_holm(void **state) {
  double p[MOST], adjusted[MOST];
  const json_t *cases = at(fixtures, "holm"), *c;
  size_t i;
  assert_int_equal(json_array_size(cases), 5);
  json_array_foreach((json_t *)cases, i, c) {
    size_t n = reals(p, at(c, "p"));
    assert_int_equal(cz_stats_holm(adjusted, p, n), CZ_OK);
    for (size_t k = 0; k < n; k++)
      expect(adjusted[k], json_array_get(at(c, "adjusted"), k), "adjusted", i);
  }
  const double holes[] = {NAN, 0.03, NAN, 0.01};
  assert_int_equal(cz_stats_holm(adjusted, holes, 4), CZ_OK);
  assert_true(isnan(adjusted[0]) && isnan(adjusted[2]));
  assert_true(adjusted[3] == 0.02 && adjusted[1] == 0.03);
  assert_int_equal(cz_stats_holm(NULL, NULL, 0), CZ_OK);
}

static void test_clusters(void **state) {
  double x[MOST], cluster[MOST], part[MOST];
  uint64_t key[MOST];
  const json_t *cases = at(fixtures, "clusters"), *c;
  size_t i;
  assert_int_equal(json_array_size(cases), 5);
  json_array_foreach((json_t *)cases, i, c) {
    size_t n = reals(x, at(c, "x"));
    reals(cluster, at(c, "cluster"));
    double mean = cz_stats_mean(x, n);
    for (size_t k = 0; k < n; k++) {
      part[k] = (x[k] - mean) / (double)n;
      key[k] = (uint64_t)cluster[k] * 0x123456789ABCDEF;
    }
    cz_noise noise;
    assert_int_equal(cz_stats_clusters(&noise, key, part, n), CZ_OK);
    expect(noise.error, at(c, "error"), "error", i);
    expect(noise.freedom, at(c, "freedom"), "freedom", i);
  }
  cz_noise one;
  assert_int_equal(cz_stats_clusters(&one, (const uint64_t[]){4, 4}, (const double[]){1, -1}, 2),
                   CZ_OK);
  assert_true(isnan(one.error)); /* one source says nothing about others */
}

static void test_shares(void **state) {
  const json_t *c;
  size_t i;
  json_array_foreach((json_t *)at(at(fixtures, "shares"), "one"), i, c) expect(
      cz_stats_share_error(real(c, "sum"), (size_t)real(c, "n")), at(c, "error"), "share", i);
  assert_int_equal(i, 4);
  json_array_foreach((json_t *)at(at(fixtures, "shares"), "two"), i, c) expect(
      cz_stats_share_difference_error(real(c, "sum"), real(c, "squares"), (size_t)real(c, "n")),
      at(c, "error"), "difference", i);
  assert_int_equal(i, 3);
}

static void test_weights(void **state) {
  static const uint32_t replicates[] = {0, 1, 999};
  const json_t *w = at(fixtures, "weights"), *keys = at(w, "clusters");
  uint64_t key[MOST];
  int32_t got[MOST];
  size_t n = json_array_size(keys);
  assert_true(n >= 60 && n <= MOST);
  for (size_t i = 0; i < n; i++)
    key[i] = strtoull(json_string_value(json_array_get(keys, i)), NULL, 10);
  for (size_t r = 0; r < 3; r++) {
    const json_t *row = json_array_get(at(w, "weights"), r);
    cz_bootstrap_weights(got, key, n, replicates[r]);
    for (size_t i = 0; i < n; i++)
      assert_int_equal(got[i], json_integer_value(json_array_get(row, i)));
  }
}

/* The weights are those of independent Poisson numbers with mean 1. */
static void test_weights_are_poisson(void **state) {
  double counts[4] = {0}, sum = 0, pair = 0;
  enum { N = 200000 };
  for (uint32_t i = 0; i < N; i++) {
    int32_t a = cz_bootstrap_weight(i / 1000, i % 1000),
            b = cz_bootstrap_weight(i / 1000, i % 1000 + 1);
    counts[a < 3 ? a : 3]++;
    sum += a;
    pair += (a - 1) * (b - 1);
  }
  static const double expected[4] = {0.36787944, 0.36787944, 0.18393972, 0.08030140};
  double chi = 0;
  for (int k = 0; k < 4; k++)
    chi += (counts[k] / N - expected[k]) * (counts[k] / N - expected[k]) / expected[k] * N;
  assert_true(chi < 16.27);                       /* 3 degrees of freedom, 0.1 % */
  assert_true(fabs(sum / N - 1) < 3.3 / sqrt(N)); /* std 1 */
  assert_true(fabs(pair / N) < 3.3 / sqrt(N));    /* no correlation with the next replicate */
}

static size_t rows(double *out, const json_t *list) {
  size_t n = 0;
  for (size_t i = 0; i < json_array_size(list); i++) n += reals(out + n, json_array_get(list, i));
  assert_true(n <= MOST);
  return json_array_size(list);
}

static void test_drawn(void **state) {
  static const char *const names[CZ_PARTS_KINDS] = {"mean",    "f1",       "macro_f1", "mcc",
                                                    "pearson", "spearman", "bleu"};
  const json_t *cases = at(fixtures, "drawn"), *c;
  double x[MOST], w[MOST], got;
  int32_t weights[MOST];
  size_t i;
  assert_int_equal(json_array_size(cases), 6);
  json_array_foreach((json_t *)cases, i, c) {
    size_t n = reals(w, at(c, "weights"));
    for (size_t k = 0; k < n; k++) weights[k] = (int32_t)w[k];
    for (int kind = 0; kind < CZ_PARTS_KINDS; kind++) {
      const json_t *want = at(c, names[kind]);
      cz_parts p = {.kind = kind, .n = rows(x, json_array_get(want, 0)), .x = x};
      assert_int_equal(p.n, n);
      assert_int_equal(cz_parts_score(&got, &p, weights), CZ_OK);
      expect(got, json_array_get(want, 1), names[kind], i);
      if (i) continue; /* the first case has each example once */
      assert_int_equal(cz_parts_score(&got, &p, NULL), CZ_OK);
      expect(got, json_array_get(want, 1), names[kind], i);
    }
  }
}

static void test_drawn_with_holes(void **state) {
  const double x[] = {100, NAN, 0, 100};
  const int32_t none[4] = {0}, two[4] = {0, 3, 1, 2};
  const cz_parts p = {CZ_PARTS_MEAN, 4, x};
  double got;
  assert_int_equal(cz_parts_score(&got, &p, NULL), CZ_OK);
  assert_true(fabs(got - 200.0 / 3) < 1e-12);
  assert_int_equal(cz_parts_score(&got, &p, two), CZ_OK);
  assert_true(fabs(got - 200.0 / 3) < 1e-12);
  for (int kind = 0; kind < CZ_PARTS_BLEU; kind++) { /* nobody was drawn */
    const cz_parts q = {kind, kind == CZ_PARTS_MEAN ? 4 : 1, (const double[]){1, 1, 2, 0}};
    assert_int_equal(cz_parts_score(&got, &q, none), CZ_OK);
    assert_true(isnan(got));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_sums),
                                     cmocka_unit_test(test_sums_with_holes),
                                     cmocka_unit_test(test_sums_out_of_range),
                                     cmocka_unit_test(test_holm),
                                     cmocka_unit_test(test_clusters),
                                     cmocka_unit_test(test_shares),
                                     cmocka_unit_test(test_weights),
                                     cmocka_unit_test(test_weights_are_poisson),
                                     cmocka_unit_test(test_drawn),
                                     cmocka_unit_test(test_drawn_with_holes)};
  json_error_t why;
  fixtures = json_load_file(CZ_SOURCE_DIR "/tests/fixtures/noise.json", 0, &why);
  if (!fixtures) return 1;
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  json_decref(fixtures);
  return failed;
}
