/* Ensembles, calibration, agreement, judging and logistic regression against NumPy, SciPy and
 * scikit-learn (fixtures.h), and what they refuse. */
#include "ensemble/agreement.h"
#include "ensemble/calibrate.h"
#include "ensemble/ensemble.h"
#include "ensemble/judge.h"
#include "ensemble/logistic.h"
#include "few_shot/candidates.h"
#include "fixtures.h"
#include "tasks/bayes.h"

#include <stdio.h>

enum { MEMBERS = 32, MOST = 4096 };

/* Members p0-r0, p0-r1, p1-r0, ... whose scores lie one after another. */
static cz_ensemble ensemble_of(cz_member *members, size_t n_members, const float *scores, size_t n,
                               int32_t classes) {
  assert_true(n_members <= MEMBERS);
  for (size_t m = 0; m < n_members; m++) {
    const float *of_member = scores ? scores + m * n * (size_t)classes : NULL;
    members[m] = (cz_member){(int32_t)m / 2, (int32_t)m % 2, NAN, of_member};
  }
  return (cz_ensemble){members, n_members, n, classes};
}

static double cross_entropy_of(const json_t *c) {
  return json_number_value(member_of(c, "cross_entropy"));
}

static void test_means(void **state) {
  const json_t *c;
  size_t i;
  json_array_foreach((json_t *)cases_of("ensembles", 12), i, c) {
    size_t n = (size_t)whole_of(c, "n"), m = (size_t)whole_of(c, "members");
    int32_t classes = (int32_t)whole_of(c, "classes"), labels[MOST];
    float *scores = floats_of(c, "scores");
    double *accuracy = reals_of(c, "accuracy"), weights[MEMBERS], mean[MOST], targets[MOST];
    double temperature = json_number_value(member_of(c, "temperature"));
    cz_member members[MEMBERS];
    cz_ensemble e = ensemble_of(members, m, scores, n, classes);
    size_t size = n * (size_t)classes;
    bool even;
    OK(cz_ensemble_check(&e));
    OK(cz_ensemble_weights(weights, &even, &e, NULL, CZ_WEIGHT_UNIFORM, CZ_FIDELITY_CODE));
    assert_false(even);
    cz_ensemble_mean(mean, &e, weights);
    expect_all(mean, c, "uniform", size, i);
    for (size_t k = 0; k < m; k++) members[k].accuracy = accuracy[k];
    OK(cz_ensemble_weights(weights, &even, &e, NULL, CZ_WEIGHT_ACCURACY, CZ_FIDELITY_CODE));
    cz_ensemble_mean(mean, &e, weights);
    expect_all(mean, c, "weighted", size, i);
    cz_scores_labels(labels, mean, n, classes);
    for (size_t k = 0; k < n; k++)
      assert_int_equal(labels[k], json_integer_value(json_array_get(member_of(c, "labels"), k)));
    cz_scores_softmax(targets, mean, n, classes, temperature);
    expect_all(targets, c, "targets", size, i);
    cz_scores_softmax(mean, mean, n, classes, temperature); /* in place */
    assert_memory_equal(mean, targets, size * sizeof *mean);
    expect(cross_entropy_of(c) - cz_soft_targets_entropy(targets, n, classes, temperature),
           member_of(c, "divergence"), "divergence", i);
    free(scores);
    free(accuracy);
  }
}

/* What a subset weighs, and who does not count. */
static void test_subsets(void **state) {
  const float scores[] = {1, 2, /**/ 5, 1, /**/ 9, 0};
  cz_member members[MEMBERS];
  cz_ensemble e = ensemble_of(members, 3, scores, 1, 2);
  const bool last_two[] = {false, true, true}, none[] = {false, false, false};
  double w[3], mean[2];
  bool even;
  members[0].accuracy = 1, members[1].accuracy = 0.25, members[2].accuracy = 0.75;
  OK(cz_ensemble_weights(w, &even, &e, last_two, CZ_WEIGHT_ACCURACY, CZ_FIDELITY_PAPER));
  assert_true(w[0] == 0 && w[1] == 0.25 && w[2] == 0.75);
  cz_ensemble_mean(mean, &e, w);
  assert_true(mean[0] == 8 && mean[1] == 0.25);
  OK(cz_ensemble_weights(w, &even, &e, last_two, CZ_WEIGHT_UNIFORM, CZ_FIDELITY_PAPER));
  assert_true(w[0] == 0 && w[1] == 0.5 && w[2] == 0.5);
  FAILS(cz_ensemble_weights(w, &even, &e, none, CZ_WEIGHT_UNIFORM, CZ_FIDELITY_PAPER), CZ_EINVAL,
        "none of 3 was chosen");
  members[1].accuracy = members[2].accuracy = 0;
  FAILS(cz_ensemble_weights(w, &even, &e, last_two, CZ_WEIGHT_ACCURACY, CZ_FIDELITY_CODE),
        CZ_EINVAL, "all 2 members weigh 0");
  for (int f = CZ_FIDELITY_PAPER; f <= CZ_FIDELITY_CORRECTED; f += 2) {
    OK(cz_ensemble_weights(w, &even, &e, last_two, CZ_WEIGHT_ACCURACY, (cz_fidelity)f));
    assert_true(even && w[0] == 0 && w[1] == 0.5 && w[2] == 0.5);
  }
  members[2].accuracy = NAN;
  FAILS(cz_ensemble_weights(w, &even, &e, NULL, CZ_WEIGHT_ACCURACY, CZ_FIDELITY_PAPER), CZ_EINVAL,
        "member p1-r0 has no accuracy before training");
  members[2].accuracy = 71.5;
  FAILS(cz_ensemble_weights(w, &even, &e, NULL, CZ_WEIGHT_ACCURACY, CZ_FIDELITY_PAPER), CZ_EINVAL,
        "71.5, which is no share");
}

static void test_members_that_are_wrong(void **state) {
  float scores[] = {1, 2, 3, 4, 5, 6, 7, 8};
  cz_member members[MEMBERS];
  cz_ensemble e = ensemble_of(members, 2, scores, 2, 2);
  OK(cz_ensemble_check(&e));
  scores[6] = NAN;
  FAILS(cz_ensemble_check(&e), CZ_ENUMERIC, "p0-r1: the score of text 1 for class 0");
  scores[6] = 0;
  members[1].repetition = 0;
  FAILS(cz_ensemble_check(&e), CZ_EINVAL, "p0-r0 comes after p0-r0");
  members[1].repetition = 70000;
  FAILS(cz_ensemble_check(&e), CZ_EINVAL, "both are from 0 to 65535");
  e.n_members = 0;
  FAILS(cz_ensemble_check(&e), CZ_EINVAL, "no members");
}

static void test_accuracies(void **state) {
  const json_t *c;
  size_t i;
  json_array_foreach((json_t *)cases_of("accuracies", 4), i, c) {
    float *scores = floats_of(c, "scores");
    int32_t *wanted = wholes_of(c, "wanted");
    const cz_text_set set = {.labels = wanted, .n = size_of(c, "wanted")};
    expect(cz_text_set_accuracy(&set, scores, 3), member_of(c, "accuracy"), "accuracy", i);
    free(scores);
    free(wanted);
  }
  assert_true(isnan(cz_text_set_accuracy(&(cz_text_set){0}, NULL, 3)));
}

static void test_scores(void **state) {
  double p[3], shares[3];
  cz_scores_softmax(p, (const double[]){-INFINITY, 1e4, 1e4}, 1, 3, 1);
  assert_true(p[0] == 0 && p[1] == 0.5 && p[2] == 0.5);
  assert_true(fabs(cz_scores_entropy(p, 3) - log(2)) < 1e-15);
  assert_int_equal(cz_scores_label(p, 3), 1); /* the first of equal ones */
  assert_int_equal(cz_member_label((const float[]){0, 2, 2}, 3), 1);
  cz_label_shares(shares, (const int32_t[]){2, 0, 2, 2}, 4, 3);
  assert_true(shares[0] == 0.25 && shares[1] == 0 && shares[2] == 0.75);
  cz_label_shares(shares, NULL, 0, 3);
  assert_true(shares[0] == 0 && shares[2] == 0);
}

static void test_calibration(void **state) {
  const json_t *c;
  size_t i;
  json_array_foreach((json_t *)cases_of("calibration", 5), i, c) {
    int32_t classes = (int32_t)whole_of(c, "classes");
    size_t n = size_of(c, "scores") / (size_t)classes, size = size_of(c, "later");
    float *scores = floats_of(c, "scores"), *later = floats_of(c, "later");
    double offsets[MOST], p[MOST], *raw = reals_of(c, "later");
    bool few;
    OK(cz_calibrate_offsets(offsets, &few, CZ_CALIBRATE_UNLABELED_MEAN, scores, n, classes));
    expect_all(offsets, c, "mean", (size_t)classes, i);
    assert_int_equal(few, n < 20);
    cz_calibrate_scores(later, offsets, size / (size_t)classes, classes);
    for (size_t k = 0; k < size; k++)
      assert_true(fabs(later[k] - (raw[k] - offsets[k % (size_t)classes])) < 1e-5);
    OK(cz_calibrate_offsets(offsets, &few, CZ_CALIBRATE_CONTENT_FREE, scores, n, classes));
    assert_false(few);
    for (size_t k = 0; k < size; k++) raw[k] -= offsets[k % (size_t)classes];
    cz_scores_softmax(p, raw, size / (size_t)classes, classes, 1);
    expect_all(p, c, "probabilities", size, i);
    OK(cz_calibrate_offsets(offsets, &few, CZ_CALIBRATE_NONE, NULL, 0, classes));
    assert_true(offsets[0] == 0 && !few);
    free(scores);
    free(later);
    free(raw);
  }
  double offsets[2];
  bool few;
  FAILS(cz_calibrate_offsets(offsets, &few, CZ_CALIBRATE_UNLABELED_MEAN, NULL, 0, 2), CZ_EINVAL,
        "has no text");
  FAILS(cz_calibrate_offsets(offsets, &few, CZ_CALIBRATE_CONTENT_FREE,
                             (const float[]){0, 1, 2, INFINITY}, 2, 2),
        CZ_ENUMERIC, "text 1 for class 1");
}

/* The same offsets, subtracted inside the model. */
static void test_bias(void **state) {
  const double offsets[] = {1, -2};
  const int32_t words[] = {3, 0, 3, /**/ 4, -1, -1};
  float bias[5] = {10, 10, 10, 10, 10};
  OK(cz_calibrate_bias(bias, 5, offsets, words, 2, 3));
  assert_true(bias[0] == 9 && bias[1] == 10 && bias[2] == 10 && bias[3] == 9 && bias[4] == 12);
  FAILS(cz_calibrate_bias(bias, 5, offsets, (const int32_t[]){1, 1}, 2, 1), CZ_EINVAL,
        "token 1 is a label word of classes 0 and 1");
  FAILS(cz_calibrate_bias(bias, 5, offsets, (const int32_t[]){1, 5}, 2, 1), CZ_EINVAL,
        "class 1 has the label word 5 of 5");
}

static void test_agreement(void **state) {
  const json_t *c;
  size_t i;
  json_array_foreach((json_t *)cases_of("agreement", 5), i, c) {
    size_t members = (size_t)whole_of(c, "members");
    int32_t *labels = wholes_of(c, "labels");
    cz_agreement a;
    OK(cz_members_agreement(&a, labels, members, size_of(c, "labels") / members,
                            (int32_t)whole_of(c, "classes")));
    expect(a.pairs, member_of(c, "pairs"), "pairs", i);
    expect(a.kappa, member_of(c, "kappa"), "kappa", i);
    free(labels);
  }
  cz_agreement a;
  OK(cz_members_agreement(&a, (const int32_t[]){0, 1}, 1, 2, 2));
  assert_true(isnan(a.pairs) && isnan(a.kappa));
}

/* Two patterns of two repetitions and one of one. */
static void test_spread(void **state) {
  cz_member of[MEMBERS];
  cz_spread patterns;
  ensemble_of(of, 5, NULL, 0, 2);
  OK(cz_patterns_spread(&patterns, of, (const double[]){0.1, 0.3, 0.5, 0.9, 0.6}, 5));
  assert_true(fabs(patterns.best - 0.7) < 1e-12 && fabs(patterns.worst - 0.2) < 1e-12);
  assert_true(fabs(patterns.mean - 0.5) < 1e-12 && fabs(patterns.deviation - sqrt(0.07)) < 1e-12);
  OK(cz_patterns_spread(&patterns, of, (const double[]){0.1}, 1));
  assert_true(patterns.best == 0.1 && isnan(patterns.deviation));
}

static void test_judged(void **state) {
  const json_t *c;
  size_t i;
  cz_judged j;
  json_array_foreach((json_t *)cases_of("judged", 5), i, c) {
    double *p = reals_of(c, "p");
    int32_t *wanted = wholes_of(c, "wanted");
    size_t n = size_of(c, "wanted");
    OK(cz_judge(&j, p, wanted, n, 3));
    expect(j.accuracy, member_of(c, "accuracy"), "accuracy", i);
    expect(j.macro_f1, member_of(c, "macro_f1"), "macro F1", i);
    expect(j.ece, member_of(c, "ece"), "calibration error", i);
    for (int k = 0; k < CZ_JUDGE_COVERAGES; k++) {
      char key[8];
      snprintf(key, sizeof key, "%d", cz_judge_coverages[k]);
      const json_t *at = member_of(member_of(c, "coverage"), key);
      expect(j.coverage[k].accuracy, json_array_get(at, 0), "accuracy of the certain", i);
      expect(j.coverage[k].threshold, json_array_get(at, 1), "threshold", i);
    }
    for (size_t b = 0; b < CZ_JUDGE_BINS; b++) {
      const json_t *bin = json_array_get(member_of(c, "reliability"), b);
      assert_int_equal(j.reliability[b].n, json_integer_value(json_array_get(bin, 0)));
      expect(j.reliability[b].accuracy, json_array_get(bin, 1), "accuracy of a bin", b);
      expect(j.reliability[b].confidence, json_array_get(bin, 2), "confidence of a bin", b);
    }
    OK(cz_judge(&j, p, NULL, n, 3)); /* answers that are not known */
    assert_true(isnan(j.accuracy) && isnan(j.ece) && isnan(j.coverage[3].accuracy));
    free(p);
    free(wanted);
  }
  OK(cz_judge(&j, (const double[]){1 + 4e-15, 0}, (const int32_t[]){0}, 1, 2)); /* rounded */
  assert_true(j.coverage[0].threshold == 1);
  const double bad[][2] = {{NAN, 0.5}, {0.5, NAN}, {0.5, -0.1}, {1.5, 0}};
  for (size_t k = 0; k < sizeof bad / sizeof *bad; k++)
    FAILS(cz_judge(&j, bad[k], (const int32_t[]){0}, 1, 2), CZ_EINVAL, "no probability");
}

/* Four texts, of which the surest and the third are right: what each P leaves. */
static void test_judged_abstaining(void **state) {
  static const double p[] = {0.92, 0.08, 0.3, 0.7, 0.55, 0.45, 0.5, 0.5};
  static const struct {
    int percent;
    double coverage, accuracy;
  } cases[] = {{10, 1, 0.5},  {50, 1, 0.5},  {60, 0.5, 0.5}, {70, 0.5, 0.5},
               {80, 0.25, 1}, {90, 0.25, 1}, {95, 0, NAN},   {99, 0, NAN}};
  cz_judged j;
  OK(cz_judge(&j, p, (const int32_t[]){0, 0, 0, 1}, 4, 2));
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    int k = 0;
    while (k < CZ_JUDGE_ABSTAINS && cz_judge_abstains[k] != cases[i].percent) k++;
    assert_true(k < CZ_JUDGE_ABSTAINS);
    assert_true(j.abstain[k].coverage == cases[i].coverage);
    if (isnan(cases[i].accuracy))
      assert_true(isnan(j.abstain[k].accuracy));
    else
      assert_true(j.abstain[k].accuracy == cases[i].accuracy);
  }
  OK(cz_judge(&j, p, NULL, 4, 2));
  assert_true(isnan(j.abstain[0].coverage) && isnan(j.abstain[0].accuracy));
}

static void test_abstaining(void **state) {
  const double confidence[] = {0.9, 0.5, 0.7, 0.5};
  const int32_t said[] = {1, 1, 0, 0}, wanted[] = {1, 0, 0, 1};
  double share, accuracy;
  cz_score_abstain(&share, &accuracy, confidence, said, wanted, 4, 0.7);
  assert_true(share == 0.5 && accuracy == 1);
  cz_score_abstain(&share, &accuracy, confidence, said, wanted, 4, 0);
  assert_true(share == 1 && accuracy == 0.5);
  cz_score_abstain(&share, &accuracy, confidence, said, wanted, 4, 1);
  assert_true(share == 0 && isnan(accuracy));
  cz_score_abstain(&share, &accuracy, confidence, said, NULL, 4, 0.6);
  assert_true(share == 0.5 && isnan(accuracy));
}

static void test_logistic(void **state) {
  const json_t *c;
  size_t i;
  json_array_foreach((json_t *)cases_of("logistic", 6), i, c) {
    int32_t classes = (int32_t)whole_of(c, "classes"), width = (int32_t)whole_of(c, "width");
    float *x = floats_of(c, "x"), *new = floats_of(c, "new");
    int32_t *labels = wholes_of(c, "labels");
    size_t n = size_of(c, "new") / (size_t)width, size = n * (size_t)classes;
    double p[MOST], *want = reals_of(c, "probabilities");
    cz_arena *arena;
    cz_logistic model, same;
    OK(cz_arena_create(&arena, "test"));
    double strength = json_number_value(member_of(c, "strength"));
    OK(cz_logistic_fit(&model, arena, x, labels, size_of(c, "labels"), width, classes, strength));
    cz_logistic_scores(p, &model, new, n);
    cz_scores_softmax(p, p, n, classes, 1);
    for (size_t k = 0; k < size; k++) /* by Newton steps */
      if (!(fabs(p[k] - want[k]) < 1e-8))
        fail_msg("case %zu: probability %zu is %.12g, expected %.12g", i, k, p[k], want[k]);
    OK(cz_logistic_fit(&same, arena, x, labels, size_of(c, "labels"), width, classes, strength));
    assert_memory_equal(same.weights, model.weights,
                        (size_t)classes * ((size_t)width + 1) * sizeof *same.weights);
    cz_arena_destroy(&arena);
    free(x);
    free(new);
    free(labels);
    free(want);
  }
}

/* A class without a vector changes nothing for the others and is never predicted; one class alone
 * is always predicted; vectors that repeat, and vectors of zeros, are fitted. */
static void test_logistic_edges(void **state) {
  const float x[] = {1, 0, 2, 1, -1, 3, 0, -2};
  const int32_t three[] = {0, 2, 0, 2}, two[] = {0, 1, 0, 1}, one[] = {1, 1, 1, 1};
  const float zeros[8] = {0};
  double a[12], b[8];
  cz_arena *arena;
  cz_logistic m;
  OK(cz_arena_create(&arena, "test"));
  OK(cz_logistic_fit(&m, arena, x, two, 4, 2, 2, 1));
  cz_logistic_scores(b, &m, x, 4);
  OK(cz_logistic_fit(&m, arena, x, three, 4, 2, 3, 1));
  cz_logistic_scores(a, &m, x, 4);
  for (size_t i = 0; i < 4; i++) {
    assert_true(a[3 * i + 1] == -INFINITY);
    assert_true(fabs(a[3 * i] - b[2 * i]) < 1e-12 && fabs(a[3 * i + 2] - b[2 * i + 1]) < 1e-12);
  }
  OK(cz_logistic_fit(&m, arena, x, one, 4, 2, 2, 1));
  cz_logistic_scores(b, &m, x, 4);
  assert_int_equal(cz_scores_label(b, 2), 1);
  OK(cz_logistic_fit(&m, arena, zeros, (const int32_t[]){0, 1, 1, 1}, 4, 2, 2, 1));
  cz_logistic_scores(b, &m, zeros, 1);
  assert_true(fabs(b[1] - b[0] - log(3)) < 1e-7);
  FAILS(cz_logistic_fit(&m, arena, x, two, 0, 2, 2, 1), CZ_EINVAL, "on 0 vectors");
  FAILS(cz_logistic_fit(&m, arena, x, three, 4, 2, 2, 1), CZ_EINVAL, "vector 1 has class 2 of 2");
  FAILS(cz_logistic_fit(&m, arena, x, two, 4, 2, 2, 0), CZ_EINVAL, "strength 0");
  FAILS(cz_logistic_fit(&m, arena, (const float[]){0, NAN}, two, 1, 2, 2, 1), CZ_ENUMERIC,
        "number 1 of vector 0");
  cz_arena_destroy(&arena);
}

/* Naive Bayes on a few labelled texts, and the majority. */
static void test_bayes(void **state) {
  const json_t *c;
  size_t i;
  json_array_foreach((json_t *)cases_of("bayes", 3), i, c) {
    int32_t classes = (int32_t)whole_of(c, "classes"), *labels = wholes_of(c, "labels");
    size_t n = size_of(c, "texts"), m = size_of(c, "new");
    double p[MOST];
    cz_bayes *b;
    OK(cz_bayes_create(&b, classes));
    assert_int_equal(cz_bayes_classify(p, b, (const char *const[]){"Perl"}, 1), 0);
    assert_true(p[0] == 0 && p[1] == 0);
    for (size_t k = 0; k < n; k++) { /* cut in two fields, of which words count alike */
      const char *text = json_string_value(json_array_get(member_of(c, "texts"), k)), *rest;
      char first[256] = "";
      rest = strchr(text, ' ');
      memcpy(first, text, rest ? (size_t)(rest - text) : strlen(text));
      OK(cz_bayes_learn(b, labels[k], (const char *const[]){first, rest ? rest : ""}, 2));
    }
    for (size_t k = 0; k < m; k++) {
      const char *text = json_string_value(json_array_get(member_of(c, "new"), k));
      double *at = p + k * (size_t)classes;
      int32_t class = cz_bayes_classify(at, b, &text, 1);
      assert_int_equal(class, cz_scores_label(at, classes));
    }
    cz_scores_softmax(p, p, m, classes, 1);
    expect_all(p, c, "probabilities", m * (size_t)classes, i);
    cz_bayes_destroy(&b);
    cz_bayes_destroy(&b);
    free(labels);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_means),
      cmocka_unit_test(test_subsets),
      cmocka_unit_test(test_accuracies),
      cmocka_unit_test(test_members_that_are_wrong),
      cmocka_unit_test(test_scores),
      cmocka_unit_test(test_calibration),
      cmocka_unit_test(test_bias),
      cmocka_unit_test(test_agreement),
      cmocka_unit_test(test_spread),
      cmocka_unit_test(test_judged),
      cmocka_unit_test(test_judged_abstaining),
      cmocka_unit_test(test_abstaining),
      cmocka_unit_test(test_logistic),
      cmocka_unit_test(test_logistic_edges),
      cmocka_unit_test(test_bayes),
  };
  int failed = cmocka_run_group_tests_name("ensemble", tests, open_fixtures, close_fixtures);
  return failed + run_next_tests() + run_drawn_tests();
}
