/* Scores and statistics against the usual Python packages (tests/fixtures/scores.json,
 * made by scripts/make_score_fixtures.py) and by hand. */
#include "metrics/scores.h"
#include "metrics/statistics.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { MOST = 128 };

static json_t *fixtures;

/* Equal to 1e-9 of the larger magnitude (or absolutely below 1); null stands for NaN. */
static void expect(double got, const json_t *want, const char *what, size_t i) {
  if (json_is_null(want)) {
    if (!isnan(got)) fail_msg("%s %zu: %.17g, expected NaN", what, i, got);
    return;
  }
  double w = json_number_value(want);
  assert_true(json_is_number(want));
  if (!(fabs(got - w) <= 1e-9 * fmax(1, fabs(w))))
    fail_msg("%s %zu: %.17g, expected %.17g", what, i, got, w);
}

static size_t ints(int32_t *out, const json_t *list) {
  for (size_t i = 0; i < json_array_size(list); i++)
    out[i] = (int32_t)json_integer_value(json_array_get(list, i));
  return json_array_size(list);
}

static size_t reals(double *out, const json_t *list) {
  assert_true(json_array_size(list) <= MOST);
  for (size_t i = 0; i < json_array_size(list); i++)
    out[i] = json_number_value(json_array_get(list, i));
  return json_array_size(list);
}

static size_t texts(const char **out, const json_t *list) {
  assert_true(json_array_size(list) <= MOST);
  for (size_t i = 0; i < json_array_size(list); i++)
    out[i] = json_string_value(json_array_get(list, i));
  return json_array_size(list);
}

static const json_t *group(const char *name, size_t at_least) {
  const json_t *g = json_object_get(fixtures, name);
  assert_true(json_array_size(g) >= at_least);
  return g;
}

static void test_labels(void **state) {
  const json_t *cases = group("labels", 40), *c;
  size_t k;
  json_array_foreach((json_t *)cases, k, c) {
    int32_t p[MOST], w[MOST], classes = (int32_t)json_integer_value(json_object_get(c, "classes"));
    size_t n = ints(w, json_object_get(c, "wanted"));
    assert_int_equal(ints(p, json_object_get(c, "predicted")), n);
    expect(cz_score_accuracy(p, w, n), json_object_get(c, "accuracy"), "accuracy", k);
    if (classes == 2) expect(cz_score_f1(p, w, n, 1), json_object_get(c, "f1"), "f1", k);
    expect(cz_score_f1_macro(p, w, n, classes), json_object_get(c, "f1_macro"), "macro f1", k);
    double m;
    assert_int_equal(cz_score_matthews(&m, p, w, n, classes), CZ_OK);
    expect(m, json_object_get(c, "matthews"), "matthews", k);
  }
  const char *const labels[] = {"negative", "positive"};
  assert_int_equal(cz_score_label("positive", labels, 2), 1);
  assert_int_equal(cz_score_label("Positive", labels, 2), -1);
  assert_int_equal(cz_score_label("", labels, 2), -1);
  assert_true(isnan(cz_score_accuracy(NULL, NULL, 0)));
  /* no label where "positive" was wanted is a miss; where "negative" was wanted, a false
   * alarm */
  assert_true(cz_score_f1((const int32_t[]){1, -1, -1, 0}, (const int32_t[]){1, 1, 0, 0}, 4, 1) ==
              0.5);
}

static void test_numbers(void **state) {
  const json_t *cases = group("numbers", 30), *c;
  size_t k, undefined = 0;
  json_array_foreach((json_t *)cases, k, c) {
    double x[MOST], y[MOST], s;
    size_t n = reals(x, json_object_get(c, "x"));
    assert_int_equal(reals(y, json_object_get(c, "y")), n);
    expect(cz_score_pearson(x, y, n), json_object_get(c, "pearson"), "pearson", k);
    assert_int_equal(cz_score_spearman(&s, x, y, n), CZ_OK);
    expect(s, json_object_get(c, "spearman"), "spearman", k);
    expect(cz_score_kendall(x, y, n), json_object_get(c, "kendall"), "kendall", k);
    undefined += json_is_null(json_object_get(c, "pearson"));
  }
  assert_in_range(undefined, 1, 10);
  double s, with_nan[] = {1, NAN, 3}, plain[] = {1, 2, 3};
  assert_int_equal(cz_score_spearman(&s, with_nan, plain, 3), CZ_OK);
  assert_true(isnan(s) && isnan(cz_score_pearson(with_nan, plain, 3)) &&
              isnan(cz_score_pearson(plain, plain, 1)));
}

/* Why there is no correlation. */
static void test_undefined(void **state) {
  const double up[3] = {1, 2, 3}, flat[3] = {2, 2, 2}, wild[3] = {1, INFINITY, 3};
  double s;
  assert_null(cz_score_undefined(up, up, 3));
  assert_non_null(strstr(cz_score_undefined(flat, up, 3), "all predictions are equal"));
  assert_non_null(strstr(cz_score_undefined(up, flat, 3), "all references are equal"));
  assert_non_null(strstr(cz_score_undefined(wild, up, 3), "a prediction is not finite"));
  assert_non_null(strstr(cz_score_undefined(up, wild, 3), "a reference is not finite"));
  assert_non_null(strstr(cz_score_undefined(up, up, 1), "fewer than two"));
  assert_true(isnan(cz_score_pearson(flat, up, 3)) && isnan(cz_score_pearson(wild, up, 3)));
  assert_int_equal(cz_score_spearman(&s, up, flat, 3), CZ_OK);
  assert_true(isnan(s));
}

static void test_likelihoods(void **state) {
  assert_true(fabs(cz_score_perplexity(3 * log(7), 3) - 7) < 1e-12 &&
              cz_score_perplexity(0, 5) == 1 && isnan(cz_score_perplexity(0, 0)));
  const json_t *cases = group("calibration", 10), *c;
  size_t k;
  double error;
  json_array_foreach((json_t *)cases, k, c) {
    double confidence[MOST];
    int32_t right[MOST], one[MOST];
    size_t n = reals(confidence, json_object_get(c, "confidence"));
    assert_int_equal(ints(right, json_object_get(c, "right")), n);
    for (size_t i = 0; i < n; i++) one[i] = 1;
    assert_int_equal(cz_score_calibration(&error, confidence, one, right, n,
                                          (size_t)json_integer_value(json_object_get(c, "bins"))),
                     CZ_OK);
    expect(error, json_object_get(c, "error"), "calibration", k);
  }
  const double bad[] = {0.5, 1.5}, worse[] = {NAN};
  const int32_t same[] = {0, 0};
  assert_int_equal(cz_score_calibration(&error, bad, same, same, 2, 10), CZ_EINVAL);
  assert_int_equal(cz_score_calibration(&error, worse, same, same, 1, 10), CZ_EINVAL);
}

static void test_squad(void **state) {
  const json_t *cases = group("squad", 60), *c;
  size_t k;
  json_array_foreach((json_t *)cases, k, c) {
    const char *references[MOST];
    double exact, f1;
    size_t n = texts(references, json_object_get(c, "references"));
    assert_int_equal(cz_score_squad(&exact, &f1,
                                    json_string_value(json_object_get(c, "prediction")), references,
                                    n),
                     CZ_OK);
    expect(exact, json_object_get(c, "exact"), "squad exact", k);
    expect(f1, json_object_get(c, "f1"), "squad f1", k);
  }
}

static void test_rouge(void **state) {
  const json_t *cases = group("rouge", 60), *c;
  size_t k;
  json_array_foreach((json_t *)cases, k, c) for (int kind = CZ_ROUGE_1; kind <= CZ_ROUGE_LSUM;
                                                 kind++) {
    const json_t *want = json_array_get(json_object_get(c, "scores"), (size_t)kind);
    cz_rouge r;
    assert_int_equal(cz_score_rouge(&r, json_string_value(json_object_get(c, "prediction")),
                                    json_string_value(json_object_get(c, "reference")),
                                    (cz_rouge_kind)kind),
                     CZ_OK);
    expect(r.precision, json_array_get(want, 0), "rouge precision", k);
    expect(r.recall, json_array_get(want, 1), "rouge recall", k);
    expect(r.f1, json_array_get(want, 2), "rouge f1", k);
  }
  double mean;
  assert_int_equal(cz_score_rouge_mean(&mean, (const char *const[]){"a b", "c"},
                                       (const char *const[]){"a b", "d"}, 2, CZ_ROUGE_1),
                   CZ_OK);
  assert_true(mean == 0.5);
}

static void expect_words(const char *tokenized, const json_t *words) {
  cz_buf joined = {0}, want = {0};
  size_t k;
  const json_t *w;
  json_array_foreach((json_t *)words, k, w)
      assert_int_equal(cz_buf_addf(&want, "%s%s", k ? " " : "", json_string_value(w)), CZ_OK);
  char *copy = strdup(tokenized), *rest = copy; /* the fixtures' first texts hold no space but the
                                                   ASCII ones after the tokenizer, or are skipped */
  for (char *word; (word = strtok_r(rest, " \t\n", &rest));)
    assert_int_equal(cz_buf_addf(&joined, "%s%s", joined.len ? " " : "", word), CZ_OK);
  if (!strstr(tokenized, "\xC2\xA0") && !strstr(tokenized, "\xE3\x80\x80") &&
      !strstr(tokenized, "\xE2\x80\x89"))
    assert_string_equal(joined.data ? joined.data : "", want.data ? want.data : "");
  free(copy);
  cz_buf_free(&joined), cz_buf_free(&want);
}

static void check_bleu(const json_t *c, size_t k, const char *name, cz_bleu_tokens kind) {
  const char *predictions[MOST], *references[MOST];
  const json_t *want = json_object_get(json_object_get(c, "scores"), name);
  size_t n = texts(references, json_object_get(c, "references"));
  assert_int_equal(texts(predictions, json_object_get(c, "predictions")), n);
  cz_bleu b;
  assert_int_equal(cz_score_bleu(&b, predictions, references, n, kind), CZ_OK);
  for (size_t i = 0; i < CZ_BLEU_ORDERS; i++) {
    assert_int_equal(b.correct[i],
                     json_integer_value(json_array_get(json_object_get(want, "correct"), i)));
    assert_int_equal(b.total[i],
                     json_integer_value(json_array_get(json_object_get(want, "total"), i)));
    expect(b.precisions[i], json_array_get(json_object_get(want, "precisions"), i),
           "bleu precision", k);
  }
  assert_int_equal(b.predicted_tokens,
                   json_integer_value(json_array_get(json_object_get(want, "lengths"), 0)));
  assert_int_equal(b.reference_tokens,
                   json_integer_value(json_array_get(json_object_get(want, "lengths"), 1)));
  expect(b.brevity, json_object_get(want, "brevity"), "bleu brevity", k);
  expect(b.score, json_object_get(want, "score"), "bleu", k);
  cz_buf tokenized = {0};
  assert_int_equal(cz_score_bleu_tokenize(&tokenized, predictions[0], kind), CZ_OK);
  expect_words(tokenized.data, json_object_get(want, "first"));
  cz_buf_free(&tokenized);
}

/* rouge_score keeps a to z and 0 to 9: a text in Devanagari has no word to be found. */
static void test_rouge_wordless(void **state) {
  const char *const texts[] = {"\u0939\u093f\u0928\u094d\u0926\u0940 \u092a\u093e\u0920", "ten",
                               "\u2026 7", "\u00c9\u00c8", ""};
  size_t n;
  double f1;
  assert_int_equal(cz_score_rouge_wordless(&n, texts, 5), CZ_OK);
  assert_int_equal(n, 3);
  assert_int_equal(cz_score_rouge_mean(&f1, texts, texts, 1, CZ_ROUGE_1), CZ_OK);
  assert_true(f1 == 0); /* even against itself */
  assert_int_equal(cz_score_rouge_wordless(&n, (const char *const[]){"\xFF"}, 1), CZ_EINVAL);
}

static void test_bleu(void **state) {
  const json_t *cases = group("bleu", 24), *c;
  size_t k;
  json_array_foreach((json_t *)cases, k, c) {
    check_bleu(c, k, "13a", CZ_BLEU_13A);
    check_bleu(c, k, "intl", CZ_BLEU_INTL);
    check_bleu(c, k, "none", CZ_BLEU_NONE);
  }
  cz_bleu b;
  assert_int_equal(cz_score_bleu(&b, NULL, NULL, 0, CZ_BLEU_13A), CZ_OK);
  assert_true(b.score == 0 && b.predicted_tokens == 0);
}

static void test_text_that_is_no_utf8(void **state) {
  static const char *const bad[] = {"a \xFF b", "a \xC3", "\xED\xA0\x80", "x\xF0\x9F"};
  const char *good = "a b";
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    double exact, f1;
    cz_rouge r;
    cz_bleu b;
    assert_int_equal(cz_score_squad(&exact, &f1, bad[i], &good, 1), CZ_EINVAL);
    assert_int_equal(cz_score_squad(&exact, &f1, good, &bad[i], 1), CZ_EINVAL);
    for (int kind = CZ_ROUGE_1; kind <= CZ_ROUGE_LSUM; kind++)
      assert_int_equal(cz_score_rouge(&r, bad[i], good, (cz_rouge_kind)kind), CZ_EINVAL);
    for (int kind = CZ_BLEU_13A; kind <= CZ_BLEU_NONE; kind++)
      assert_int_equal(cz_score_bleu(&b, &good, &bad[i], 1, (cz_bleu_tokens)kind), CZ_EINVAL);
  }
}

static void test_student(void **state) {
  const json_t *cases = group("student", 70), *c;
  size_t k;
  json_array_foreach((json_t *)cases, k, c) {
    double freedom = json_number_value(json_object_get(c, "freedom")),
           p = json_number_value(json_object_get(c, "p"));
    expect(cz_stats_student_quantile(p, freedom), json_object_get(c, "t"), "quantile", k);
    expect(cz_stats_student_cdf(p, freedom), json_object_get(c, "cdf_at_p"), "cdf", k);
  }
}

static void test_intervals(void **state) {
  const json_t *cases = group("intervals", 6), *c;
  size_t k;
  json_array_foreach((json_t *)cases, k, c) {
    double x[MOST], y[MOST];
    size_t n = reals(x, json_object_get(c, "x"));
    assert_int_equal(reals(y, json_object_get(c, "y")), n);
    cz_interval r;
    assert_int_equal(cz_stats_paired(&r, x, y, n), CZ_OK);
    assert_int_equal(r.n, n);
    expect(r.mean, json_object_get(c, "mean"), "mean", k);
    expect(r.deviation, json_object_get(c, "deviation"), "deviation", k);
    expect(r.mean - r.half, json_object_get(c, "low"), "low", k);
    expect(r.mean + r.half, json_object_get(c, "high"), "high", k);
  }
  cz_interval one = cz_stats_interval((const double[]){3}, 1), none = cz_stats_interval(NULL, 0);
  assert_true(one.mean == 3 && isnan(one.deviation) && isnan(one.half) && isnan(none.mean) &&
              isnan(none.half));
}

static int load(void **state) {
  json_error_t error;
  fixtures = json_load_file(CZ_SOURCE_DIR "/tests/fixtures/scores.json", 0, &error);
  if (!fixtures) print_error("scores.json:%d: %s\n", error.line, error.text);
  return fixtures ? 0 : -1;
}

static int unload(void **state) {
  json_decref(fixtures);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_labels),
                                     cmocka_unit_test(test_numbers),
                                     cmocka_unit_test(test_likelihoods),
                                     cmocka_unit_test(test_squad),
                                     cmocka_unit_test(test_rouge),
                                     cmocka_unit_test(test_rouge_wordless),
                                     cmocka_unit_test(test_undefined),
                                     cmocka_unit_test(test_bleu),
                                     cmocka_unit_test(test_text_that_is_no_utf8),
                                     cmocka_unit_test(test_student),
                                     cmocka_unit_test(test_intervals)};
  return cmocka_run_group_tests(tests, load, unload);
}
