/* One tiny run of PET and one generation of iPET, from data files to the student, by the program on
 * the device ref, against scripts/make_pet_fixture.py: Hugging Face's BERT and PyTorch in float64,
 * with losses, loops and sets of its own, and the same random draws. A step's output is an input of
 * the next, so the student is right only if all before it was. */
#include "example_keys.h"
#include "few_shot/generation.h"
#include "program.h"

#include <math.h>
#include <stdlib.h>

#define PET FIXTURES "/pet"

enum { MEMBERS = 4, CLASSES = 3, UPDATES = 20, SEED = 5 };

/* Scores are kept in float32 and are below 4 here. */
static const double OF_SCORES = 1e-6, OF_NUMBERS = 1e-9;

static const char head[] =
    "seed: 5\n"
    "init: " PET "/model\n"
    "examples: {pattern: " PET "/p.yaml, train: " PET "/train.tsv, test: " PET "/test.tsv,\n"
    "  labelled: 7, unlabelled: 16, max_length: 22}\n"
    "train: {steps: 20, z_loss: 0, log_steps: 1}\n";
#define OPTIMIZER(rate)                                                                            \
  "optimizer: {name: adamw, learning_rate: " rate ", schedule: transformers_linear,\n"             \
  "  weight_decay: 0.01, clip_norm: 1, epsilon: 1e-8}\n"
#define CLASSIFY(more)                                                                             \
  "classify: {strategy: pet, repetitions: 2, lm: 0.3, lm_examples: 6" more "}\n"                   \
  "batch: {examples: 10}\n" OPTIMIZER("4e-3")

/* The stages, in the order of their generations and behind them the student. */
static const struct {
  const char *kind, *name, *keys;
} stages[] = {{"classify", "pet", CLASSIFY("")},
              {"classify", "ipet", CLASSIFY(", from: pet, scale: 2, share: 0.7")},
              {"distill", "student",
               "distill: {from: ipet, temperature: 2}\nbatch: {examples: 5}\n" OPTIMIZER("6e-3")}};

static json_t *expected;
static cz_tokenizer *tokenizer;
static cz_examples *examples;

static const json_t *at(const json_t *object, const char *key) {
  const json_t *value = json_object_get(object, key);
  if (!value) fail_msg("%s is missing", key);
  return value;
}

static const json_t *generation_of(size_t g) {
  return json_array_get(at(expected, "generations"), g);
}

static double item(const json_t *list, size_t i) {
  const json_t *value = json_array_get(list, i);
  if (!json_is_number(value)) fail_msg("item %zu is no number", i);
  return json_number_value(value);
}

/* GOT is within TOLERANCE of WANT; a NaN is not. */
static void near_to(double got, double want, double tolerance, const char *of, const char *what,
                    size_t i) {
  if (!(fabs(got - want) <= tolerance))
    fail_msg("%s, %s[%zu]: %.17g, expected %.17g", of, what, i, got, want);
}

static void check_scores(const float *got, const cz_text_set *set, const json_t *want,
                         const char *of, const char *name) {
  const json_t *list = at(want, name);
  assert_int_equal(json_array_size(list), set->n * CLASSES);
  for (size_t i = 0; i < set->n * CLASSES; i++)
    near_to((double)got[i], item(list, i), OF_SCORES, of, name, i);
}

static void check_all_scores(const cz_member_scores *got, const json_t *want, const char *of) {
  check_scores(got->t, &examples->t, want, of, "labelled");
  check_scores(got->d, &examples->d, want, of, "unlabelled");
  check_scores(got->test, &examples->test, want, of, "test");
}

/* Each update's loss and gradient norm. */
static void check_updates(const char *of, const json_t *want) {
  char path[300];
  cz_buf text = {0};
  size_t n = 0;
  snprintf(path, sizeof path, "%s/metrics.jsonl", of);
  OK(cz_fs_read(under(path), &text));
  OK(cz_buf_add(&text, "", 1));
  const char *line = text.data;
  for (json_t *j; (j = json_line(&line)); n++) {
    near_to(json_number_value(at(j, "loss")), item(at(want, "losses"), n), OF_NUMBERS, of, "loss",
            n);
    near_to(json_number_value(at(j, "gradient_norm")), item(at(want, "norms"), n), OF_NUMBERS, of,
            "norm", n);
    json_decref(j);
  }
  assert_int_equal(n, UPDATES);
  cz_buf_free(&text);
}

static void check_member(const json_t *want, const char *stage) {
  char of[200];
  cz_member_scores got;
  snprintf(of, sizeof of, "%s/members/p%d-r%d", stage, (int)json_integer_value(at(want, "pattern")),
           (int)json_integer_value(at(want, "repetition")));
  check_updates(of, want);
  OK(cz_member_scores_read(&got, examples, under(of)));
  check_all_scores(&got, want, of);
  near_to(got.before_training, json_number_value(at(want, "zero_shot")), 0, of, "zero_shot", 0);
  near_to(got.held_out_before, json_number_value(at(want, "heldout_mlm_before")), OF_NUMBERS, of,
          "held out, before", 0);
  near_to(got.held_out_after, json_number_value(at(want, "heldout_mlm_after")), OF_NUMBERS, of,
          "held out, after", 0);
  cz_member_scores_free(&got);
}

/* The stage's accuracy on the test set, as its result has it. */
static void check_accuracy(const char *stage, const char *name, const json_t *want) {
  char path[100];
  json_error_t why;
  snprintf(path, sizeof path, "%s/result.json", stage);
  json_t *result = json_load_file(under(path), 0, &why);
  if (!result) fail_msg("%s: %s", path, why.text);
  const json_t *scores = at(at(result, "metrics"), name);
  near_to(json_number_value(at(scores, "accuracy")), json_number_value(at(want, "accuracy")), 1e-12,
          stage, "accuracy", 0);
  json_decref(result);
}

/* What a stage's members say together: its own file of scores, and its accuracy. */
static void check_together(const char *stage, const char *name, const json_t *want) {
  cz_member_scores got;
  OK(cz_member_scores_read(&got, examples, under(stage)));
  check_all_scores(&got, want, stage);
  cz_member_scores_free(&got);
  check_accuracy(stage, name, want);
}

static void test_draws(void **state) {
  const cz_text_set *const sets[] = {&examples->t, &examples->d};
  static const char *const names[] = {"t", "d"};
  for (int k = 0; k < 2; k++) {
    const json_t *want = at(expected, names[k]);
    assert_int_equal(sets[k]->n, json_array_size(want));
    for (size_t i = 0; i < sets[k]->n; i++)
      assert_int_equal((const cz_record *)sets[k]->records[i] - examples->pool->items,
                       (int)item(want, i));
  }
}

static void check_generation(size_t g) {
  const json_t *want = generation_of(g), *members = at(want, "members");
  assert_int_equal(json_array_size(members), MEMBERS);
  for (size_t m = 0; m < MEMBERS; m++) check_member(json_array_get(members, m), stages[g].name);
  check_together(stages[g].name, "ensemble", at(want, "ensemble"));
}

static void test_generation_0(void **state) { check_generation(0); }

/* The sets that members of generation 1 are given, drawn by what generation 0 left. */
static void test_sets(void **state) {
  const cz_ipet settings = {.weighting = CZ_WEIGHT_ACCURACY,
                            .scale = 2,
                            .share = 0.7,
                            .target = 1000,
                            .first = 10,
                            .seed = SEED};
  cz_member_plan *plans;
  cz_generation before;
  cz_arena *arena;
  int32_t number;
  size_t n;
  OK(cz_generation_noted(under("pet"), &number, &plans, &n));
  assert_int_equal(n, MEMBERS);
  OK(cz_generation_read(&before, examples, under("pet"), plans, n));
  OK(cz_arena_create(&arena, "sets"));
  const cz_ensemble on_d = cz_generation_on(&before, &examples->d);
  const cz_ipet_given given = {.settings = &settings,
                               .before = &on_d,
                               .hashes = examples->d.hashes,
                               .in_t = &examples->in_t,
                               .labelled = examples->of_label};
  for (size_t m = 0; m < MEMBERS; m++) {
    const json_t *want = json_array_get(at(generation_of(1), "sets"), m);
    cz_ipet_set set;
    OK(cz_ipet_draw(&set, arena, &given, m, 1));
    assert_int_equal(set.teachers, json_array_size(at(want, "teachers")));
    assert_int_equal(set.n, json_array_size(at(want, "rows")));
    for (size_t i = 0; i < set.n; i++) {
      assert_int_equal(set.rows[i], (int)item(at(want, "rows"), i));
      assert_int_equal(set.labels[i], (int)item(at(want, "labels"), i));
    }
  }
  cz_arena_destroy(&arena);
  cz_generation_free(&before);
  free(plans);
}

static void test_generation_1(void **state) { check_generation(1); }

static void test_soft_targets(void **state) {
  const size_t n = examples->d.n * CLASSES;
  const json_t *want = at(expected, "targets");
  double *scores = calloc(n, sizeof *scores);
  cz_member_scores ensemble;
  OK(cz_member_scores_read(&ensemble, examples, under("ipet")));
  for (size_t i = 0; i < n; i++) scores[i] = (double)ensemble.d[i];
  cz_scores_softmax(scores, scores, examples->d.n, CLASSES, 2);
  assert_int_equal(json_array_size(want), n);
  for (size_t i = 0; i < n; i++) near_to(scores[i], item(want, i), 1e-7, "ipet", "targets", i);
  cz_member_scores_free(&ensemble);
  free(scores);
}

static void test_student(void **state) {
  const json_t *want = at(expected, "student");
  check_updates("student/members/plain-r0", want);
  check_together("student", "student", want);
}

/* A run that learnt nothing, or whose parts have no effect, would compare little. */
static void test_fixture(void **state) {
  const json_t *members = at(generation_of(0), "members");
  double zero_shot[MEMBERS];
  for (size_t m = 0; m < MEMBERS; m++)
    zero_shot[m] = json_number_value(at(json_array_get(members, m), "zero_shot"));
  assert_true(zero_shot[0] > 0 && zero_shot[2] > 0 && zero_shot[0] != zero_shot[2]);
  for (size_t m = 0; m < MEMBERS; m++) {
    const json_t *x = json_array_get(members, m);
    double moved = json_number_value(at(x, "heldout_mlm_after")) -
                   json_number_value(at(x, "heldout_mlm_before"));
    assert_true(fabs(moved) > 1e-2);
  }
}

static void run_stage(size_t k) {
  char name[100], text[2000];
  snprintf(name, sizeof name, "%s.yaml", stages[k].name);
  snprintf(text, sizeof text, "%s%s", head, stages[k].keys);
  write_text(name, text);
  EXPECT(0, cloze(stages[k].kind, name, "--out", stages[k].name, "--device", "ref"));
}

static int run_all(void **state) {
  const cz_examples_keys keys = {.pattern = PET "/p.yaml",
                                 NO_OTHER_KEYS,
                                 .train = PET "/train.tsv",
                                 .unlabelled_file = "",
                                 .test = PET "/test.tsv",
                                 .labelled = 7,
                                 .unlabelled = 16,
                                 .tested = -1,
                                 .max_length = 22,
                                 .draw = CZ_DRAW_BALANCED,
                                 .unlabelled_draw = CZ_UNLABELLED_RANDOM};
  json_error_t why;
  if (make_folder(state)) return -1;
  expected = json_load_file(PET "/expected.json", 0, &why);
  if (!expected) return print_error("expected.json:%d: %s\n", why.line, why.text), -1;
  for (size_t k = 0; k < sizeof stages / sizeof *stages; k++) run_stage(k);
  OK(cz_tokenizer_open(&tokenizer, PET "/model"));
  OK(cz_examples_open_for(&examples, &keys, tokenizer, SEED, CZ_READS_PROMPTS));
  return 0;
}

static int drop_all(void **state) {
  cz_examples_close(&examples);
  cz_tokenizer_destroy(&tokenizer);
  json_decref(expected);
  return drop_folder(state);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_fixture),      cmocka_unit_test(test_draws),
      cmocka_unit_test(test_generation_0), cmocka_unit_test(test_sets),
      cmocka_unit_test(test_generation_1), cmocka_unit_test(test_soft_targets),
      cmocka_unit_test(test_student),
  };
  return cmocka_run_group_tests(tests, run_all, drop_all);
}
