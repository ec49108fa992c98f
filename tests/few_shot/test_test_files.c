/* Several test files of one stage: the same models answer all of them, and what is said of each is
 * what a stage with that file alone says. And T inside D where T is all that has a label. */
#include "few_shot_test.h"

#include "few_shot/examples.h"

#include <jansson.h>
#include <math.h>

enum { OTHER_TEXTS = 24 };

static const char experiment[] =
    "seeds: [3]\n"
    "common:\n"
    "  init: %s/bert\n"
    "  examples: {pattern: %s/p.yaml, train: %s/train.tsv, unlabelled_file: %s/pool.tsv, test: "
    "%s/test.tsv, tests: {other: %s/other.tsv}, labelled: 12, max_length: 40}\n"
    "  batch: {examples: 6}\n"
    "  optimizer: {name: adamw, learning_rate: 0.01, schedule: transformers_linear}\n"
    "  train: {steps: 4, z_loss: 0}\n"
    "stages:\n"
    "  pet: {kind: classify, classify: {repetitions: 1}}\n"
    "  student: {kind: distill, distill: {from: $pet}}\n"
    "rows: [{name: a}]\n"
    "columns:\n"
    "  - {name: here, value: student.student.scores.accuracy}\n"
    "  - {name: there, value: student.student_other.scores.accuracy}\n"
    "  - {name: both, value: [pet.ensemble.scores.macro_f1, pet.ensemble_other.scores.macro_f1]}\n";

static int make(void **state) {
  if (make_few_shot(state)) return -1;
  const char *d = folder();
  make_texts("other.tsv", OTHER_TEXTS, 4, true);
  write_format("ex.yaml", experiment, d, d, d, d, d, d);
  return 0;
}

static double at(const json_t *o, const char *name, const char *section, const char *key) {
  const json_t *x = json_object_get(o, name);
  if (section) x = json_object_get(x, section);
  x = json_object_get(x, key);
  if (!json_is_number(x)) fail_msg("no number %s.%s.%s", name, section ? section : "", key);
  return json_number_value(x);
}

/* What BOTH has under NAME is what ALONE has under `ensemble`; sums may differ by their last bits,
 * as texts are scored beside others. */
static void same_judgement(const json_t *both, const char *name, const json_t *alone) {
  static const char *const own[] = {"accuracy", "macro_f1", "ece"};
  for (int i = 0; i < 3; i++) {
    const double x = at(both, name, NULL, own[i]), y = at(alone, "ensemble", NULL, own[i]);
    if (!(fabs(x - y) < 1e-5)) fail_msg("%s.%s: %.9g, alone %.9g", name, own[i], x, y);
  }
  assert_true(at(both, name, "naive_bayes", "accuracy") ==
              at(alone, "ensemble", "naive_bayes", "accuracy"));
}

static void as_each_alone(void **state) {
  run_into(&(start){0}, "classify @/pet.yaml train.steps=4", "test");
  run_into(&(start){0}, "classify @/pet.yaml train.steps=4 examples.test=@/other.tsv", "other");
  run_into(&(start){0}, "classify @/pet.yaml train.steps=4 examples.tests.other=@/other.tsv",
           "both");
  json_t *test = run_metrics("test"), *other = run_metrics("other"), *both = run_metrics("both");
  same_judgement(both, "ensemble", test);
  same_judgement(both, "ensemble_other", other);
  assert_true(at(test, "ensemble", NULL, "accuracy") != at(other, "ensemble", NULL, "accuracy"));
  same_file("test/predictions.ensemble.jsonl", "both/predictions.ensemble.jsonl");
  same_file("other/predictions.ensemble.jsonl", "both/predictions.ensemble_other.jsonl");
  /* members, their spread, and what they forget are those of `test` */
  const char *const keys[] = {"members", "agreement"};
  for (int i = 0; i < 2; i++)
    assert_true(json_equal(json_object_get(both, keys[i]), json_object_get(test, keys[i])));
  json_decref(test);
  json_decref(other);
  json_decref(both);
}

static void in_an_experiment(void **state) {
  run_into(&(start){0}, "run @/ex.yaml", "ex");
  json_t *all = run_metrics("ex");
  const json_t *stages = json_object_get(json_object_get(all, "a"), "3"),
               *student = json_object_get(stages, "student");
  assert_true(at(student, "student_other", "scores", "accuracy") >= 0);
  json_decref(all);
  expect(0, "report @/ex", "there");
  expect(0, "show @/ex.yaml --cost --json", "scored_tokens");
  json_t *root = json_loads(strstr(said(), "{\n"), JSON_DISABLE_EOF_CHECK, NULL),
         *list = json_object_get(json_array_get(json_object_get(root, "rows"), 0), "stages");
  all = run_metrics("ex");
  stages = json_object_get(json_object_get(all, "a"), "3");
  for (size_t i = 0; i < 2; i++) { /* all texts of both files are counted */
    const json_t *s = json_array_get(list, i);
    assert_true(json_number_value(json_object_get(s, "scored_tokens")) ==
                at(stages, json_string_value(json_object_get(s, "name")), NULL, "scored_tokens"));
  }
  json_decref(all);
  json_decref(root);
  expect(2, "run @/ex.yaml columns.1.value=student.student_othr.scores.accuracy --out @/no",
         "student.student_other.scores.accuracy");
}

/* The groups of the lines of a file of predictions, as they stand. */
static void groups_of(char *out, size_t n, const char *name) {
  char line[1 << 14];
  FILE *f = fopen(under(name), "r");
  assert_non_null(f);
  *out = '\0';
  while (fgets(line, sizeof line, f)) {
    json_t *o = json_loads(line, 0, NULL), *group = json_object_get(o, "group");
    const size_t used = strlen(out);
    if (json_is_string(group))
      snprintf(out + used, n - used, "%s ", json_string_value(group));
    else
      snprintf(out + used, n - used, "%d ", (int)json_integer_value(group));
    json_decref(o);
  }
  fclose(f);
}

/* Texts of one group were not drawn apart: their predictions say so. Without the key each is its
 * own. */
static void groups(void **state) {
  char found[256];
  write_text("grouped.tsv", "from\ttext\tlabel\np\ta man\tsports\nq\tthe news\tbusiness\n"
                            "p\ta news\tsports\n");
  run_into(&(start){0}, "classify @/zero.yaml examples.test=@/grouped.tsv", "alone");
  run_into(&(start){0},
           "classify @/zero.yaml examples.test=@/grouped.tsv examples.group_column=from", "groups");
  groups_of(found, sizeof found, "alone/predictions.ensemble.jsonl");
  assert_string_equal(found, "0 1 2 ");
  groups_of(found, sizeof found, "groups/predictions.ensemble.jsonl");
  assert_string_equal(found, "p q p ");
}

static void refused(int code, const char *words, const char *text) {
  char command[700];
  snprintf(command, sizeof command, "%s --out @/out", words);
  forget("out");
  expect(code, command, text);
  assert_false(cz_fs_exists(under("out/result.json")));
}

static void bad_files(void **state) {
  refused(2, "classify @/zero.yaml examples.tests=[other.tsv]",
          "examples.tests: expected a mapping");
  refused(2, "classify @/zero.yaml examples.unlabeled=@/pool.tsv",
          "examples.unlabeled: unlabeled: the file of unlabelled texts is `unlabelled_file`, and "
          "`unlabelled` is how many");
  refused(2, "classify @/zero.yaml examples.tests.other=@/gone.tsv",
          "examples.tests.other: there is no file ");
  refused(2, "classify @/zero.yaml examples.tests.other=''", "the name of a file is missing");
  refused(2, "classify @/zero.yaml examples.test='' examples.tests.other=@/other.tsv",
          "tests: they are judged beside the file `test`, which is missing");
  refused(2, "classify @/zero.yaml examples.tests={\"a/b\":x.tsv}",
          "tests: 'a/b' is no name of letters, digits, _ and -");
  write_text("fixed.yaml",
             "fields: {a: text}\nlabels: [sports, science, business]\nwords: {sports: "
             "sports, science: science, business: news}\npatterns: ['{mask} : {a}']\n");
  write_text("long.tsv",
             "text\tlabel\nwho\tsports\nit was the of and was is they it who the of and "
             "was is they it who the of and was is they it who the of and was is they it "
             "who the of and was is they it\tsports\n");
  refused(1, "classify @/zero.yaml examples.pattern=@/fixed.yaml examples.tests.other=@/long.tsv",
          "long.tsv:3: row 1");
  write_text("bad.tsv", "text\tlabel\na man\tmusic\n");
  refused(1, "classify @/zero.yaml examples.tests.other=@/bad.tsv",
          "bad.tsv:2: the label 'music' is not declared");
}

/* No text of any test file is in T or D, and a file without labels is answered and not judged. */
static void shares_no_text(void **state) {
  char *other = read_text(under("other.tsv"), NULL), *train = read_text(under("train.tsv"), NULL);
  write_format("mixed.tsv", "%s%s", train, strchr(other, '\n') + 1);
  forget("out");
  expect(0,
         "classify @/zero.yaml examples.train=@/mixed.tsv examples.labelled=-1 "
         "examples.tests.other=@/other.tsv --out @/out",
         "mixed.tsv: 24 texts are also in the test set and are left out");
  make_texts("plain.tsv", 5, 6, false);
  run_into(&(start){0}, "classify @/zero.yaml examples.tests.plain=@/plain.tsv", "plain");
  json_t *m = run_metrics("plain");
  assert_true(json_is_null(json_object_get(json_object_get(m, "ensemble_plain"), "accuracy")));
  assert_true(at(m, "ensemble", NULL, "accuracy") >= 0);
  json_decref(m);
  free(other);
  free(train);
}

/* All labelled texts are T, and under the paper's rule D has them too. */
static void all_are_labelled(void **state) {
  forget("out");
  expect(
      0,
      "classify @/zero.yaml examples.labelled=-1 examples.draw=paper examples.unlabelled_file='' "
      "--out @/out",
      "T 60 texts, D 60");
  forget("out");
  expect(0, "classify @/zero.yaml examples.labelled=-1 examples.unlabelled_file='' --out @/out",
         "T 60 texts, D 0");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(as_each_alone),    cmocka_unit_test(in_an_experiment),
      cmocka_unit_test(bad_files),        cmocka_unit_test(shares_no_text),
      cmocka_unit_test(all_are_labelled), cmocka_unit_test(groups)};
  return cmocka_run_group_tests(tests, make, drop_runs);
}
