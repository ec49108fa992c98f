/* Strategy sentence_encoder by the program, against scripts/make_encoder_fixture.py: the mean of
 * the last states of Hugging Face's BERT in float64 and scikit-learn's logistic regression. */
#include "few_shot_test.h"

#include "few_shot/scores_file.h"

#include <jansson.h>
#include <math.h>

#define FIXTURE CZ_SOURCE_DIR "/tests/fixtures/encoder"
#define MODEL   CZ_SOURCE_DIR "/tests/fixtures/pet/model"

enum { C = 3 };

static json_t *expected;
static cz_tokenizer *tokenizer;
static cz_examples *examples;

/* The softmax of SCORES [n, C] is what WANT has under NAME. */
static void check_set(const float *scores, const cz_text_set *set, const json_t *want,
                      const char *name, double tolerance) {
  const json_t *list = json_object_get(want, name);
  assert_int_equal(json_array_size(list), set->n * C);
  for (size_t i = 0; i < set->n; i++, scores += C) {
    double sum = 0;
    for (size_t c = 0; c < C; c++) sum += exp((double)scores[c]);
    for (size_t c = 0; c < C; c++) {
      const double p = exp((double)scores[c]) / sum,
                   x = json_number_value(json_array_get(list, i * C + c));
      if (!(fabs(p - x) <= tolerance))
        fail_msg("%s, text %zu, label %zu: %.9g, expected %.9g", name, i, c, p, x);
    }
  }
}

static void check_accuracy(const char *run, const json_t *want) {
  char path[200];
  snprintf(path, sizeof path, "%s/result.json", run);
  json_t *root = json_load_file(under(path), 0, NULL);
  const json_t *ensemble = json_object_get(json_object_get(root, "metrics"), "ensemble");
  const double got = json_number_value(json_object_get(ensemble, "accuracy")),
               x = json_number_value(json_object_get(want, "accuracy"));
  if (!(fabs(got - x) < 1e-12)) fail_msg("accuracy: %.9g, expected %.9g", got, x);
  json_decref(root);
}

/* By DEVICE in runs of so many tokens: of one text, of some, of all. */
static void compare(const char *device, int tokens, double tolerance) {
  const json_t *fits = json_object_get(expected, "fits");
  assert_int_equal(json_array_size(fits), 2);
  for (size_t k = 0; k < 2; k++) {
    const json_t *want = json_array_get(fits, k);
    cz_member_scores got;
    char words[300], run[50];
    snprintf(run, sizeof run, "%s-%d-%zu", device, tokens, k);
    snprintf(words, sizeof words,
             "classify @/encoder.yaml classify.strength=%g classify.score_tokens=%d --device %s",
             json_number_value(json_object_get(want, "strength")), tokens, device);
    run_into(&(start){0}, words, run);
    OK(cz_member_scores_read(&got, examples, under(run)));
    check_set(got.t, &examples->t, want, "t", tolerance);
    check_set(got.d, &examples->d, want, "d", tolerance);
    check_set(got.test, &examples->test, want, "test", tolerance);
    cz_member_scores_free(&got);
    check_accuracy(run, want);
  }
}

static void test_ref(void **state) {
  compare("ref", 1, 1e-6);
  compare("ref", 60, 1e-6);
  compare("ref", 4096, 1e-6);
}

static void test_cpu(void **state) { compare("cpu", 60, 1e-4); }

static int open_all(void **state) {
  const cz_examples_keys keys = {.pattern = FIXTURE "/encoder.yaml",
                                 NO_OTHER_KEYS,
                                 .train = FIXTURE "/t.tsv",
                                 .unlabelled_file = FIXTURE "/d.tsv",
                                 .test = FIXTURE "/test.tsv",
                                 .labelled = -1,
                                 .unlabelled = -1,
                                 .tested = -1,
                                 .max_length = 22,
                                 .draw = CZ_DRAW_BALANCED,
                                 .unlabelled_draw = CZ_UNLABELLED_RANDOM};
  json_error_t why;
  if (make_few_shot(state)) return -1;
  expected = json_load_file(FIXTURE "/expected.json", 0, &why);
  if (!expected) return print_error("expected.json:%d: %s\n", why.line, why.text), -1;
  write_text("encoder.yaml",
             "seed: 3\ninit: " MODEL "\nexamples: {pattern: " FIXTURE
             "/encoder.yaml, train: " FIXTURE "/t.tsv, unlabelled_file: " FIXTURE
             "/d.tsv, test: " FIXTURE "/test.tsv, labelled: -1, unlabelled: -1, max_length: 22}\n"
             "classify: {strategy: sentence_encoder}\n");
  OK(cz_tokenizer_open(&tokenizer, MODEL));
  OK(cz_examples_open_for(&examples, &keys, tokenizer, 3, CZ_READS_PROMPTS));
  return 0;
}

static int close_all(void **state) {
  cz_examples_close(&examples);
  cz_tokenizer_destroy(&tokenizer);
  json_decref(expected);
  return drop_runs(state);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_ref), cmocka_unit_test(test_cpu)};
  return cmocka_run_group_tests(tests, open_all, close_all);
}
