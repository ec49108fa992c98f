/* Scores of answers of several tokens, and members that are trained on them, against
 * scripts/make_answers_fixture.py, which is Hugging Face's BERT and PyTorch in float64 with the
 * orders of filling in and the hinge written anew; what scores do not depend on; and the program
 * with patterns of several masks. */
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

/* The texts of the fixtures under the patterns of FILE, of which so many are LABELLED; T and D are
 * empty without. */
static cz_examples_keys keys_of(const char *file, int64_t labelled) {
  return (cz_examples_keys){.pattern = file,
                            .labels = "",
                            .columns = "",
                            .train = labelled ? PET "/train.tsv" : "",
                            .unlabeled = "",
                            .test = PET "/test.tsv",
                            .labelled = labelled,
                            .unlabelled = labelled ? 16 : 0,
                            .tested = -1,
                            .max_length = 22,
                            .draw = CZ_DRAW_BALANCED,
                            .unlabelled_draw = CZ_UNLABELLED_RANDOM};
}

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

static const char trained[] =
    "seed: 5\n"
    "init: " PET "/model\n"
    "examples: {pattern: " PET "/trained.yaml, train: " PET "/train.tsv, test: " PET "/test.tsv,\n"
    "  labelled: 7, unlabelled: 16, max_length: 22}\n"
    "train: {steps: 20, z_loss: 0, log_steps: 1}\n"
    "optimizer: {name: adamw, learning_rate: 4e-3, schedule: transformers_linear,\n"
    "  weight_decay: 0.01, clip_norm: 1, epsilon: 1e-8}\n";

/* GOT is number I of WHAT of member P, within TOLERANCE. */
static void same_number(const json_t *want, size_t p, const char *what, size_t i, double got,
                        double tolerance) {
  const double x = json_number_value(json_array_get(json_object_get(want, what), i));
  if (!(fabs(got - x) <= tolerance))
    fail_msg("member %zu, %s[%zu]: %.15g, expected %.15g", p, what, i, got, x);
}

/* Losses and gradient norms of all updates of member P. */
static void check_updates(const json_t *want, size_t p) {
  char path[64];
  json_error_t why;
  size_t n, i = 0;
  snprintf(path, sizeof path, "trained/members/p%zu-r0/metrics.jsonl", p);
  char *text = read_text(under(path), &n);
  for (const char *at = text; *at; i++) {
    const size_t length = strcspn(at, "\n");
    json_t *line = json_loadb(at, length, 0, &why);
    if (!line) fail_msg("%s: %s", path, why.text);
    same_number(want, p, "losses", i, json_number_value(json_object_get(line, "loss")), 1e-9);
    same_number(want, p, "norms", i, json_number_value(json_object_get(line, "gradient_norm")),
                1e-9);
    json_decref(line);
    at += length + (at[length] == '\n');
  }
  assert_int_equal(i, json_array_size(json_object_get(want, "losses")));
  free(text);
}

/* Two patterns with several masks, one with one; each member with the auxiliary loss, and scored
 * in confident_first after. */
static void test_training(void **state) {
  static const char *const names[] = {"labelled", "unlabelled", "test"};
  json_error_t why;
  json_t *file = json_load_file(PET "/trained.json", 0, &why);
  if (!file) fail_msg("trained.json:%d: %s", why.line, why.text);
  const json_t *members = json_object_get(file, "members");
  assert_int_equal(json_array_size(members), 3);
  write_format("trained.yaml",
               "%sclassify: {strategy: pet, repetitions: 1, lm: 0.3, lm_examples: 6}\n"
               "batch: {examples: 10}\n",
               trained);
  run_into(&(start){0}, "classify @/trained.yaml --device ref", "trained");
  cz_examples_keys keys = keys_of(PET "/trained.yaml", 7);
  cz_examples *e;
  OK(cz_examples_open(&e, &keys, tokenizer, 5));
  for (size_t p = 0; p < 3; p++) {
    const json_t *want = json_array_get(members, p);
    char folder[64];
    cz_member_scores got;
    check_updates(want, p);
    snprintf(folder, sizeof folder, "trained/members/p%zu-r0", p);
    OK(cz_member_scores_read(&got, e, under(folder)));
    const float *const scores[] = {got.t, got.d, got.test};
    const size_t n[] = {e->t.n, e->d.n, e->test.n};
    for (int s = 0; s < 3; s++) {
      assert_int_equal(json_array_size(json_object_get(want, names[s])), n[s] * C);
      for (size_t i = 0; i < n[s] * C; i++)
        same_number(want, p, names[s], i, (double)scores[s][i], 1e-6);
    }
    assert_true(got.before_training == json_number_value(json_object_get(want, "zero_shot")));
    cz_member_scores_free(&got);
  }
  cz_examples_close(&e);
  json_decref(file);
}

/* What is built on such members: a generation of iPET, and a student of it. */
static void test_behind(void **state) {
  const char *d = folder();
  char *metrics;
  write_format(
      "next.yaml",
      "%sclassify: {strategy: pet, repetitions: 1, from: %s/trained, scale: 2, share: 0.7}\n"
      "batch: {examples: 4}\n",
      trained, d);
  write_format("student.yaml", "%sdistill: {from: %s/next}\nbatch: {examples: 5}\n", trained, d);
  run_into(&(start){0}, "classify @/next.yaml --device ref", "next");
  run_into(&(start){0}, "distill @/student.yaml --device ref", "student");
  metrics = metrics_of("student");
  assert_non_null(strstr(metrics, "\"student\""));
  free(metrics);
}

static int open_all(void **state) {
  const cz_examples_keys keys = keys_of(PET "/answers.yaml", 0);
  json_error_t why;
  if (make_few_shot(state)) return -1;
  expected = json_load_file(PET "/answers.json", 0, &why);
  if (!expected) return print_error("answers.json:%d: %s\n", why.line, why.text), -1;
  OK(cz_tokenizer_open(&tokenizer, PET "/model"));
  OK(cz_examples_open(&examples, &keys, tokenizer, 3));
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
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_scores),    cmocka_unit_test(test_runs),
      cmocka_unit_test(test_one_token), cmocka_unit_test(test_program),
      cmocka_unit_test(test_training),  cmocka_unit_test(test_behind)};
  return cmocka_run_group_tests(tests, open_all, close_all);
}
