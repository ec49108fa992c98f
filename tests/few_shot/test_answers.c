/* Scores of answers of several tokens against scripts/make_answers_fixture.py, which is Hugging
 * Face's BERT in float64 with the orders of filling in written anew; what they do not depend on;
 * and the program with patterns of several masks. */
#include "few_shot_test.h"

#include "few_shot/member.h"

#include <jansson.h>
#include <math.h>

#define PET CZ_SOURCE_DIR "/tests/fixtures/pet"

enum { C = 3, SEVERAL = 3, ONE_MASK = 3, TEXTS = 9 };

static json_t *expected;
static cz_tokenizer *tokenizer;
static cz_examples *examples;
static cz_device *ref;
static cz_comm *comm;

static cz_members *members_of(cz_device *device, cz_fill_order order, int64_t score_tokens) {
  cz_members *m;
  const cz_members_options o = {.examples = examples,
                                .tokenizer = tokenizer,
                                .init = PET "/model",
                                .device = device,
                                .comm = comm,
                                .job = {.seed = 3},
                                .temperature = 1,
                                .decoding = order,
                                .score_tokens = score_tokens};
  OK(cz_members_open(&m, &o));
  return m;
}

static void test_scores(void **state) {
  for (cz_fill_order order = CZ_FILL_CONFIDENT_FIRST; order <= CZ_FILL_PARALLEL; order++) {
    const json_t *want = json_object_get(expected, cz_fill_order_names[order]);
    assert_int_equal(json_array_size(want), SEVERAL);
    cz_members *m = members_of(ref, order, 100);
    for (int32_t p = 0; p < SEVERAL; p++) {
      const json_t *list = json_array_get(want, (size_t)p);
      float got[TEXTS * C];
      assert_int_equal(json_array_size(list), TEXTS * C);
      OK(cz_members_score(m, got, p, &examples->test));
      for (size_t i = 0; i < TEXTS * C; i++) {
        const double x = json_number_value(json_array_get(list, i));
        if (!(fabs((double)got[i] - x) <= 1e-6))
          fail_msg("%s, pattern %d, score %zu: %.9g, expected %.9g", cz_fill_order_names[order], p,
                   i, (double)got[i], x);
      }
    }
    cz_members_close(&m);
  }
}

/* The same scores whatever is computed beside a text, and on the other device. */
static void test_runs(void **state) {
  static const int64_t tokens[] = {1, 50, 333, 4096};
  cz_device *cpu;
  OK(cz_device_open(&cpu, "cpu"));
  for (cz_fill_order order = CZ_FILL_CONFIDENT_FIRST; order <= CZ_FILL_PARALLEL; order++) {
    float first[SEVERAL][TEXTS * C];
    for (size_t k = 0; k <= sizeof tokens / sizeof *tokens; k++) {
      const bool far = k == sizeof tokens / sizeof *tokens;
      cz_members *m = members_of(far ? cpu : ref, order, far ? 200 : tokens[k]);
      for (int32_t p = 0; p < SEVERAL; p++) {
        float got[TEXTS * C];
        OK(cz_members_score(m, got, p, &examples->test));
        if (!k) memcpy(first[p], got, sizeof got);
        for (int i = 0; i < TEXTS * C; i++)
          if (fabsf(got[i] - first[p][i]) > (far ? 1e-4f : 2e-6f))
            fail_msg("pattern %d, score %d: %.9g, in runs of one text %.9g", p, i, got[i],
                     first[p][i]);
      }
      cz_members_close(&m);
    }
  }
  cz_device_close(&cpu);
}

/* A text that has its N tokens under the pattern was not cut. */
static bool is_whole(const cz_members *m, int32_t pattern, size_t i) {
  cz_preparer p = {.prompts = examples->prompts,
                   .prompt = &examples->prompts->items[pattern],
                   .config = &cz_members_model(m)->config};
  cz_prepared out = {0};
  OK(cz_prepare_text(&p, &out, &examples->test, i, NULL));
  const bool whole = !p.cut_texts;
  cz_prepared_free(&out);
  cz_preparer_free(&p);
  return whole;
}

/* Words of one token where the pattern has room for more: as with one mask, whose scores are
 * logits, so that those of a text are more by the same number, the logarithm of its sum over all
 * words. */
static void test_one_token(void **state) {
  int compared = 0;
  for (cz_fill_order order = CZ_FILL_CONFIDENT_FIRST; order <= CZ_FILL_PARALLEL; order++) {
    cz_members *m = members_of(ref, order, 100);
    float several[TEXTS * C], one[TEXTS * C];
    OK(cz_members_score(m, several, SEVERAL - 1, &examples->test));
    OK(cz_members_score(m, one, ONE_MASK, &examples->test));
    for (size_t i = 0; i < TEXTS; i++) {
      if (!is_whole(m, SEVERAL - 1, i)) continue;
      const double off = (double)one[i * C] - (double)several[i * C];
      assert_true(off > 0);
      for (size_t c = 1; c < C; c++)
        assert_true(fabs((double)one[i * C + c] - (double)several[i * C + c] - off) < 4e-6);
      compared++;
    }
    cz_members_close(&m);
  }
  assert_true(compared >= 12);
}

/* Patterns with one mask and with several side by side, by the program. */
static void test_program(void **state) {
  char *first = NULL;
  write_format(
      "masks.yaml",
      "fields: {a: text}\nlabels: [sports, science, business]\nwords: {sports: sports, "
      "science: ['great-wrong', science], business: 'of-news'}\npatterns:\n  - '{mask:3} : {a*}'\n"
      "  - {pattern: '{a*} is {mask}', words: {science: science, business: news}}\n");
  for (cz_fill_order order = CZ_FILL_CONFIDENT_FIRST; order <= CZ_FILL_PARALLEL; order++) {
    char words[400];
    snprintf(words, sizeof words,
             "classify @/zero.yaml examples.pattern=@/masks.yaml classify.decoding=%s "
             "classify.calibrate=unlabeled_mean",
             cz_fill_order_names[order]);
    forget("out");
    run_into(&(start){0}, words, "out");
    size_t n;
    char *scores = read_text(under("out/members/p0-r0/logits.h5"), &n);
    if (first) assert_true(memcmp(first, scores, n) != 0); /* the key is heard */
    free(first);
    first = scores;
  }
  free(first);
  expect(2,
         "classify @/zero.yaml examples.pattern=@/masks.yaml classify.calibrate=unlabeled_mean "
         "classify.calibrated_start=true --out @/bad",
         "masks.yaml:5:6: patterns.0: this pattern has 3 masks: calibrated_start changes the bias "
         "of label words of one token");
  expect(2, "classify @/zero.yaml classify.decoding=at_random --out @/bad",
         "confident_first, left_to_right, parallel");
}

static int open_all(void **state) {
  const cz_examples_keys keys = {.pattern = PET "/answers.yaml",
                                 NO_OTHER_KEYS,
                                 .train = "",
                                 .unlabelled_file = "",
                                 .test = PET "/test.tsv",
                                 .labelled = 0,
                                 .unlabelled = 0,
                                 .tested = -1,
                                 .max_length = 22,
                                 .draw = CZ_DRAW_BALANCED,
                                 .unlabelled_draw = CZ_UNLABELLED_RANDOM};
  json_error_t why;
  if (make_few_shot(state)) return -1;
  expected = json_load_file(PET "/answers.json", 0, &why);
  if (!expected) return print_error("answers.json:%d: %s\n", why.line, why.text), -1;
  OK(cz_tokenizer_open(&tokenizer, PET "/model"));
  OK(cz_examples_open_for(&examples, &keys, tokenizer, 3, CZ_READS_PROMPTS));
  OK(cz_device_open(&ref, "ref"));
  OK(cz_comm_open(&comm, "self"));
  return 0;
}

static int close_all(void **state) {
  cz_comm_close(&comm);
  cz_device_close(&ref);
  cz_examples_close(&examples);
  cz_tokenizer_destroy(&tokenizer);
  json_decref(expected);
  return drop_runs(state);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_scores), cmocka_unit_test(test_runs),
                                     cmocka_unit_test(test_one_token),
                                     cmocka_unit_test(test_program)};
  return cmocka_run_group_tests(tests, open_all, close_all);
}
