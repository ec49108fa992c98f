/* ReCoRD: questions whose candidates are the entities of a passage, in any number. Members against
 * scripts/make_record_fixture.py, which is PyTorch and Hugging Face's BERT in float64 with the
 * hinge, the draws of wrong candidates and the official scores written anew; SuperGLUE's own files
 * with the pattern file of the project, and files and keys that cannot be. */
#include "few_shot_test.h"

#include "few_shot/candidates.h"
#include "few_shot/scores_file.h"

#include <jansson.h>
#include <math.h>

#define PET CZ_SOURCE_DIR "/tests/fixtures/pet"
#define FILES                                                                                      \
  "pattern: " PET "/record.yaml, train: " PET "/record.train.jsonl, unlabelled_file: " PET         \
  "/record.pool.jsonl, test: " PET "/record.test.jsonl"

static const char stage[] =
    "seed: 5\n"
    "init: " PET "/model\n"
    "train: {steps: 20, z_loss: 0, log_steps: 1}\n"
    "optimizer: {name: adamw, learning_rate: 4e-3, schedule: transformers_linear,\n"
    "  weight_decay: 0.01, clip_norm: 1, epsilon: 1e-8}\n"
    "examples: {" FILES ", max_length: 22}\n"
    "batch: {examples: 10}\n"
    "classify: {strategy: pet, repetitions: 1, lm: 0.3, lm_examples: 6}\n";

static const cz_examples_keys keys = {.pattern = PET "/record.yaml",
                                      NO_OTHER_KEYS,
                                      .train = PET "/record.train.jsonl",
                                      .unlabelled_file = PET "/record.pool.jsonl",
                                      .test = PET "/record.test.jsonl",
                                      .labelled = -1,
                                      .unlabelled = -1,
                                      .tested = -1,
                                      .max_length = 22,
                                      .draw = CZ_DRAW_BALANCED,
                                      .unlabelled_draw = CZ_UNLABELLED_RANDOM};

static json_t *expected(void) {
  json_error_t why;
  json_t *file = json_load_file(PET "/record.json", 0, &why);
  if (!file) fail_msg("record.json:%d: %s", why.line, why.text);
  return file;
}

static cz_tokenizer *tokenizer;

static cz_examples *open_examples(const cz_examples_keys *k, uint64_t seed) {
  cz_examples *e;
  OK(cz_examples_open_for(&e, k, tokenizer, seed, CZ_READS_PROMPTS));
  return e;
}

/* GOT is number I of WHAT of WANT; null is minus infinity. */
static void same_number(const json_t *want, const char *what, size_t i, double got,
                        double tolerance) {
  const json_t *x = json_array_get(json_object_get(want, what), i);
  assert_non_null(x);
  const bool none = json_is_null(x);
  if (none ? got != -INFINITY : !(fabs(got - json_number_value(x)) <= tolerance))
    fail_msg("%s[%zu]: %.15g, expected %.15g", what, i, got,
             none ? -INFINITY : json_number_value(x));
}

static void check_scores(const char *folder, const cz_examples *e, const json_t *want) {
  static const char *const names[] = {"labelled", "unlabelled", "test"};
  const size_t n[] = {e->t.n, e->d.n, e->test.n}, C = (size_t)e->classes;
  cz_member_scores got;
  OK(cz_member_scores_read(&got, e, under(folder)));
  const float *const scores[] = {got.t, got.d, got.test};
  for (int s = 0; s < 3; s++) {
    assert_int_equal(json_array_size(json_object_get(want, names[s])), n[s] * C);
    for (size_t i = 0; i < n[s] * C; i++)
      same_number(want, names[s], i, (double)scores[s][i], 1e-6);
  }
  assert_true(got.before_training == json_number_value(json_object_get(want, "zero_shot")));
  cz_member_scores_free(&got);
}

/* Candidates of all texts as the fixture has drawn them. */
static void check_candidates(const cz_examples *e, const json_t *file) {
  const cz_text_set *const sets[] = {&e->t, &e->d, &e->test};
  const json_t *all = json_object_get(file, "candidates");
  for (size_t s = 0; s < 3; s++) {
    const json_t *texts = json_array_get(all, s);
    assert_int_equal(json_array_size(texts), sets[s]->n);
    for (size_t i = 0; i < sets[s]->n; i++) {
      const json_t *list = json_array_get(texts, i);
      const cz_record *r = sets[s]->records[i];
      assert_int_equal(json_array_size(list), r->n_candidates);
      for (size_t c = 0; c < r->n_candidates; c++)
        assert_string_equal(r->candidates[c], json_string_value(json_array_get(list, c)));
    }
  }
}

static const json_t *at(const json_t *o, const char *a, const char *b) {
  const json_t *x = json_object_get(json_object_get(o, a), b);
  if (!x) fail_msg("there is no %s.%s", a, b);
  return x;
}

/* What the ensemble is worth, by question, and what is not said of candidates. */
static void check_result(const json_t *file) {
  json_t *m = run_metrics("record");
  const double exact = json_number_value(at(file, "ensemble", "accuracy")),
               f1 = json_number_value(at(file, "ensemble", "f1"));
  const json_t *scores = at(m, "ensemble", "scores");
  assert_true(json_number_value(at(m, "ensemble", "accuracy")) == exact);
  assert_true(fabs(json_number_value(json_object_get(scores, "squad_em")) - 100 * exact) < 1e-9);
  assert_true(fabs(json_number_value(json_object_get(scores, "squad_f1")) - 100 * f1) < 1e-9);
  assert_true(json_is_null(at(m, "ensemble", "macro_f1")));
  assert_int_equal(json_object_size(at(m, "ensemble", "shares")), 0);
  assert_true(json_is_null(at(m, "agreement", "kappa")));
  for (size_t p = 0; p < 2; p++) {
    const json_t *got = json_array_get(json_object_get(m, "members"), p),
                 *want = json_array_get(json_object_get(file, "members"), p);
    assert_true(json_number_value(json_object_get(got, "accuracy")) ==
                json_number_value(json_object_get(want, "accuracy")));
  }
  json_decref(m);
}

/* A line a question: the answer is the candidate of the highest score, which all have. */
static void check_predictions(const cz_examples *e) {
  json_error_t why;
  size_t n, i = 0;
  char *text = read_text(under("record/predictions.ensemble.jsonl"), &n);
  for (char *save, *row = strtok_r(text, "\n", &save); row; row = strtok_r(NULL, "\n", &save)) {
    json_t *line = json_loads(row, 0, &why), *score;
    const cz_record *r = e->test.records[i++];
    const char *name, *best = NULL;
    double highest = -INFINITY;
    assert_non_null(line);
    const json_t *all = json_object_get(line, "candidates");
    assert_int_equal(json_object_size(all), r->n_candidates);
    json_object_foreach((json_t *)all, name, score) {
      assert_true(json_number_value(score) < 0);
      if (json_number_value(score) > highest) highest = json_number_value(score), best = name;
    }
    assert_string_equal(best, json_string_value(json_object_get(line, "output")));
    assert_string_equal(json_string_value(json_object_get(line, "target")), r->answers[0]);
    json_decref(line);
  }
  assert_int_equal(i, e->test.n);
  free(text);
}

static void members(void **state) {
  json_t *file = expected();
  cz_examples *e = open_examples(&keys, 5);
  check_candidates(e, file);
  write_text("record.yaml", stage);
  run_into(&(start){0}, "classify @/record.yaml --device ref", "record");
  for (size_t p = 0; p < 2; p++) {
    char folder[100];
    const json_t *want = json_array_get(json_object_get(file, "members"), p);
    snprintf(folder, sizeof folder, "record/members/p%zu-r0", p);
    same_updates(folder, want);
    check_scores(folder, e, want);
  }
  check_result(file);
  check_predictions(e);
  cz_examples_close(&e);
  json_decref(file);
}

/* T is so many questions, whatever the number of their answers, and a question's wrong candidates
 * are the same whatever else is in T; another seed draws others. */
static void drawn(void **state) {
  cz_examples_keys some = keys;
  cz_examples *all = open_examples(&keys, 5), *other = open_examples(&keys, 6), *few;
  size_t same = 0, questions = 0, differ = 0;
  some.labelled = 4;
  few = open_examples(&some, 5);
  for (size_t i = 0; i < few->t.n; i++) {
    questions += !i || few->t.hashes[i] != few->t.hashes[i - 1];
    assert_int_equal(few->t.labels[i], 0);
    assert_string_equal(few->t.records[i]->candidates[0], few->t.records[i]->answers[0]);
    for (size_t k = 0; k < all->t.n; k++) {
      const cz_record *a = few->t.records[i], *b = all->t.records[k];
      if (few->t.hashes[i] != all->t.hashes[k] || strcmp(a->answers[0], b->answers[0])) continue;
      assert_int_equal(a->n_candidates, b->n_candidates);
      for (size_t c = 0; c < a->n_candidates; c++)
        assert_string_equal(a->candidates[c], b->candidates[c]);
      same++;
    }
  }
  assert_int_equal(questions, 4);
  assert_int_equal(same, few->t.n);
  assert_int_equal(all->t.n, other->t.n);
  for (size_t i = 0; i < all->t.n; i++)
    for (size_t c = 0; c < all->t.records[i]->n_candidates; c++)
      differ += strcmp(all->t.records[i]->candidates[c], other->t.records[i]->candidates[c]) != 0;
  assert_true(differ > 0);
  cz_examples_close(&all);
  cz_examples_close(&other);
  cz_examples_close(&few);
}

/* A passage as SuperGLUE has it, with one query: %s are its words, its answers. */
static const char official[] =
    "{\"source\": \"x\", \"passage\": {\"text\": \"The man was great.\\n@highlight\\nWho was "
    "it?\", \"entities\": [{\"start\": 4, \"end\": 6}, {\"start\": 30, \"end\": 32}]}, \"qas\": "
    "[{\"query\": \"%s\", %s\"idx\": {\"passage\": 0}}], \"idx\": 0}\n";
#define BLANK    "it was @placeholder ."
#define ANSWERED "\"answers\": [{\"text\": \"man\"}], "

/* The project's pattern file, of a file without answers: all are answered, nothing is scored. */
static void unanswered(void **state) {
  json_error_t why;
  size_t n;
  write_format("asked.jsonl", official, BLANK, "");
  write_format("own-zero.yaml",
               "seed: 1\ninit: %s/bert\nexamples: {pattern: " CZ_SOURCE_DIR
               "/experiments/pet/patterns/record.yaml, test: %s/asked.jsonl, max_length: 64}\n"
               "classify: {strategy: tuning_free}\n",
               folder(), folder());
  run_into(&(start){0}, "classify @/own-zero.yaml", "own-zero");
  char *text = read_text(under("own-zero/predictions.ensemble.jsonl"), &n);
  json_t *line = json_loads(text, 0, &why);
  assert_non_null(line);
  assert_int_equal(json_object_size(json_object_get(line, "candidates")), 2);
  assert_true(json_is_number(at(line, "candidates", "man")));
  assert_true(json_is_number(at(line, "candidates", "Who")));
  assert_true(json_is_null(json_object_get(line, "target")));
  json_decref(line);
  free(text);
  expect(0,
         "prompt check --model @/bert --pattern " CZ_SOURCE_DIR
         "/experiments/pet/patterns/record.yaml --data @/asked.jsonl max_length=64",
         "man: man (");
}

/* The report says of each score of a file without answers why it has none, and a plan may name
 * those alone that a result has. */
static void unanswered_report(void **state) {
  int reasons = 0;
  write_format("asked.jsonl", official, BLANK, "");
  write_format("ex.yaml",
               "seeds: [1]\n"
               "stages:\n"
               "  c:\n"
               "    kind: classify\n"
               "    init: %s/bert\n"
               "    examples: {pattern: " CZ_SOURCE_DIR "/experiments/pet/patterns/record.yaml, "
               "test: %s/asked.jsonl, max_length: 64}\n"
               "    classify: {strategy: tuning_free}\n"
               "rows: [{name: a}]\n"
               "columns:\n"
               "  - {name: em, value: c.ensemble.scores.squad_em}\n"
               "  - {name: f1, value: c.ensemble.scores.squad_f1}\n"
               "  - {name: accuracy, value: c.ensemble.accuracy}\n"
               "  - {name: ece, value: c.ensemble.ece}\n",
               folder(), folder());
  run_into(&(start){0}, "run @/ex.yaml", "ex");
  char *text = read_text(under("ex/report.txt"), NULL);
  for (const char *at = text; (at = strstr(at, "a: not defined under 1 of 1 seeds: ")); reasons++)
    assert_non_null(at = strstr(at, "asked.jsonl:1: the record has no answer\n"));
  assert_int_equal(reasons, 4);
  free(text);
  expect(2, "run @/ex.yaml columns.0.value=c.ensemble.scores.accuracy --out @/no", "squad_em");
}

/* Files that are none, each named with its line. */
static void bad_files(void **state) {
  static const char run[] =
      "classify @/own-pet.yaml examples.pattern=@/own.yaml examples.train=@/bad.jsonl --out @/bad";
  static const struct {
    const char *query, *answers, *why;
  } rows[] = {
      {
          "it was it .",
          ANSWERED,
          "/bad.jsonl:2: the record has no 'before', which ",
      },
      {"@placeholder or @placeholder", ANSWERED,
       "its query has @placeholder 2 times, expected once"},
      {BLANK, "\"answers\": [{\"text\": \"men\"}], ",
       "/bad.jsonl:2: the answer 'men' is none of the record's 2 candidates"},
      {BLANK, "", "/bad.jsonl:2: the record has no answer"},
      {BLANK, "\"answers\": [{\"start\": 0}], ", "/bad.jsonl:2: query 1: \"text\" is missing"},
  };
  write_format("own-pet.yaml",
               "seed: 1\ninit: %s/bert\nbatch: {examples: 1}\ntrain: {steps: 1, z_loss: 0}\n"
               "optimizer: {name: adamw, learning_rate: 1e-3, schedule: constant}\n"
               "examples: {max_length: 40}\nclassify: {strategy: pet}\n",
               folder());
  write_text("own.yaml", "task: record\nfields: {p: text, before: before, after: after}\n"
                         "patterns: ['{p*} {before} {mask:2} {after}']\n");
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    char good[600], bad[600];
    snprintf(good, sizeof good, official, BLANK, ANSWERED);
    snprintf(bad, sizeof bad, official, rows[i].query, rows[i].answers);
    write_format("bad.jsonl", "%s%s", good, bad);
    expect(1, run, rows[i].why);
  }
  write_text("bad.jsonl",
             "{\"passage\": {\"text\": \"the man\", \"entities\": []}, \"qas\": [{\"query\": "
             "\"" BLANK "\", " ANSWERED "\"idx\": 0}]}\n");
  expect(1, run, "/bad.jsonl:1: the record has no candidate to choose");
  write_text("bad.jsonl",
             "{\"passage\": {\"text\": \"the man was it\", \"entities\": [{\"start\": 4, \"end\": "
             "13}]}, \"qas\": [{\"query\": \"" BLANK "\", \"answers\": [{\"text\": \"man was "
             "it\"}]}]}\n");
  expect(1, run,
         "/bad.jsonl:1: row 0: the candidate 'man was it' has 3 tokens, and the pattern '{p*} "
         "{before} {mask:2} {after}' has masks for 2; write {mask:3}");
}

/* What labels are needed for. */
static void refused(void **state) {
  static const struct {
    int code;
    const char *words, *why;
  } rows[] = {
      {2, "classify @/cand.yaml classify.calibrate=unlabeled_mean --out @/bad",
       "a label's scores are compared over texts, and each record of task record has "
       "candidates of its own"},
      {2, "classify @/cand.yaml classify.from=@/none --out @/bad",
       "generations add texts of each label to T, and each record of task record has "},
      {2, "classify @/cand.yaml classify.strategy=finetune classify.lm=0 --out @/bad",
       "a classifier has labels, the same for all texts"},
      {2,
       "classify @/cand.yaml classify.strategy=tuning_free classify.lm=0 classify.demonstrations=1 "
       "--out @/bad",
       "each record brings answers of its own along (`task`): a masked LM fills them in"},
      {2, "classify @/cand.yaml examples.columns=a,b --out @/bad",
       "columns: " PET "/record.yaml has task: record, whose official files have no columns"},
      {2, "classify @/cand.yaml examples.group_column=a --out @/bad", "group_column: "},
      {2, "classify @/cand.yaml examples.labels=a,b --out @/bad", "labels were given ('a,b')"},
      {2, "classify @/cand.yaml examples.chosen=1 examples.chosen_by=@/none --out @/bad",
       "chosen: " PET "/record.yaml has task: record"},
      {2,
       "pet --model " PET "/model --pattern " PET "/record.yaml --train " PET
       "/record.train.jsonl --unlabeled " PET "/record.pool.jsonl --test " PET
       "/record.test.jsonl --out @/bad",
       "cloze pet ends in a classifier, whose labels are the same for all texts"},
      {2,
       "rank --model " PET "/model --pattern " PET "/record.yaml --data " PET "/record.test.jsonl",
       "record.yaml:2:7: task: each record of task record has candidates of its own, and ranked "
       "are "
       "all words; a pattern file without `task` says in which `label_column`"},
  };
  write_text("cand.yaml", stage);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    expect(rows[i].code, rows[i].words, rows[i].why);
}

static int open_all(void **state) {
  if (make_few_shot(state)) return -1;
  OK(cz_tokenizer_open(&tokenizer, PET "/model"));
  return 0;
}

static int close_all(void **state) {
  cz_tokenizer_destroy(&tokenizer);
  return drop_runs(state);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(members),    cmocka_unit_test(drawn),
      cmocka_unit_test(unanswered), cmocka_unit_test(unanswered_report),
      cmocka_unit_test(bad_files),  cmocka_unit_test(refused)};
  return cmocka_run_group_tests(tests, open_all, close_all);
}
