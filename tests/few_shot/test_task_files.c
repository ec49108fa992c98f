/* Few-shot data from the official files of a task, which its own reader reads: a stage says of them
 * what it says of the same texts in tables, and asks for the labels that the files spell. */
#include "few_shot_test.h"

#include <jansson.h>

static const char stage[] = "seed: 3\n"
                            "init: %s/bert\n"
                            "examples: {pattern: %s/%s.yaml, labelled: 9, max_length: 40}\n"
                            "classify: {strategy: pet, repetitions: 1}\n"
                            "batch: {examples: 6}\n"
                            "optimizer: {name: adamw, learning_rate: 0.01}\n"
                            "train: {steps: 4, z_loss: 0}\n";

#define TASK                                                                                       \
  "examples.task.name=mnli examples.task.train=@/m.train.tsv examples.task.test=@/m.dev.tsv "
#define TABLE "examples.train=@/m.train.tsv examples.test=@/m.dev.tsv "
#define REST  "examples.unlabelled_file=@/m.pool.tsv examples.tests.mismatched=@/m.mm.tsv"

/* N texts of GLUE's columns for MNLI, told apart by WORD; test files have no labels. */
static void write_mnli(const char *name, int n, const char *word, bool labels) {
  static const char *const label[] = {"neutral", "entailment", "contradiction"},
                           *const tell[] = {"maybe it was \"so", "the good news", "not this time"};
  FILE *f = fopen(under(name), "w");
  assert_non_null(f);
  fprintf(f, "index\tgenre\tsentence1\tsentence2%s\n", labels ? "\tlabel1\tgold_label" : "");
  for (int i = 0; i < n; i++) {
    fprintf(f, "%d\tnews\t%d %s %s\tthat was %s", i, i, word, tell[i % 3], i % 2 ? "he" : "good");
    if (labels) fprintf(f, "\t%s\t%s", label[(i + 1) % 3], label[i % 3]);
    fprintf(f, "\n");
  }
  assert_int_equal(fclose(f), 0);
}

static int make(void **state) {
  if (make_few_shot(state)) return -1;
  write_text("m.yaml", "fields: {a: sentence1, b: sentence2}\nlabel_column: gold_label\n"
                       "labels: [contradiction, entailment, neutral]\n"
                       "words: {contradiction: wrong, entailment: right, neutral: maybe}\n"
                       "patterns: ['{a*} ? || {mask} , {b*}', '{a*} {mask} {b*}']\n");
  write_mnli("m.train.tsv", 36, "one", true);
  write_mnli("m.pool.tsv", 20, "two", false);
  write_mnli("m.dev.tsv", 12, "first", true);
  write_mnli("m.mm.tsv", 6, "other", true);
  write_format("mnli.yaml", stage, folder(), folder(), "m");
  return 0;
}

/* T, D, members and all that is judged, on each test file, as of tables. */
static void as_of_tables(void **state) {
  run_into(&(start){0}, "classify @/mnli.yaml " TABLE REST, "table");
  run_into(&(start){0}, "classify @/mnli.yaml " TASK REST, "task");
  char *table = metrics_of("table"), *task = metrics_of("task");
  assert_string_equal(table, task);
  same_file("table/predictions.ensemble.jsonl", "task/predictions.ensemble.jsonl");
  same_file("table/predictions.ensemble_mismatched.jsonl",
            "task/predictions.ensemble_mismatched.jsonl");
  free(table);
  free(task);
  expect(0, "classify @/mnli.yaml " TASK "--out @/rest", "T 9 texts, D 27");
}

/* A file that the task names belongs to what was computed from it. */
static void is_an_input(void **state) {
  run_into(&(start){0}, "classify @/mnli.yaml " TASK, "run");
  write_mnli("m.train.tsv", 37, "one", true);
  expect(2, "classify @/mnli.yaml " TASK "--out @/run", "m.train.tsv has changed since then");
  write_mnli("m.train.tsv", 36, "one", true);
}

/* Which labels the lines of a file of predictions have, and of which groups they are. */
static void expect_predicted(const char *name, const char *const *labels,
                             const char *const *groups) {
  char line[1 << 14];
  FILE *f = fopen(under(name), "r");
  assert_non_null(f);
  for (size_t i = 0; labels[i]; i++) {
    assert_non_null(fgets(line, sizeof line, f));
    json_t *o = json_loads(line, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(o, "target")), labels[i]);
    if (groups)
      assert_string_equal(json_string_value(json_object_get(o, "group")), groups[i]);
    else
      assert_int_equal(json_integer_value(json_object_get(o, "group")), i);
    json_decref(o);
  }
  assert_null(fgets(line, sizeof line, f));
  fclose(f);
}

/* SuperGLUE's files say false and true, which the task's labels write otherwise: pattern files have
 * either. */
static void boolq(void **state) {
  write_text("b.jsonl", "{\"question\": \"was it\", \"passage\": \"it was\", \"label\": true}\n"
                        "{\"question\": \"is it\", \"passage\": \"it was not\", \"label\": false}\n"
                        "{\"question\": \"are you\", \"passage\": \"you are\", \"label\": true}\n");
  for (int i = 0; i < 2; i++) {
    static const char *const targets[2][4] = {{"true", "false", "true", NULL},
                                              {"True", "False", "True", NULL}};
    const char *no = targets[i][1], *yes = targets[i][0];
    write_format("b.yaml",
                 "fields: {p: passage, q: question}\nlabels: [\"%s\", \"%s\"]\n"
                 "words: {\"%s\": \"wrong\", \"%s\": \"yes\"}\npatterns: ['{p*} {q} {mask}']\n",
                 no, yes, no, yes);
    forget("boolq");
    run_into(&(start){0},
             "classify @/zero.yaml examples.pattern=@/b.yaml examples.train='' "
             "examples.unlabelled_file='' examples.test='' examples.task.name=boolq "
             "examples.task.test=@/b.jsonl",
             "boolq");
    expect_predicted("boolq/predictions.ensemble.jsonl", targets[i], NULL);
  }
}

/* MultiRC's files are nested; answers to questions about one passage belong together. */
static void multirc(void **state) {
  static const char *const labels[] = {"True", "False", "False", NULL},
                           *const groups[] = {"multirc passage of record 0",
                                              "multirc passage of record 0",
                                              "multirc passage of record 2"};
  write_text("r.jsonl",
             "{\"passage\": {\"text\": \"the cat\", \"questions\": [{\"question\": \"who was it\", "
             "\"answers\": [{\"text\": \"the cat\", \"label\": 1}, {\"text\": \"a man\", "
             "\"label\": 0}]}]}}\n"
             "{\"passage\": {\"text\": \"his passage\", \"questions\": [{\"question\": \"what\", "
             "\"answers\": [{\"text\": \"the sense\", \"label\": 0}]}]}}\n");
  write_text("r.yaml", "fields: {p: paragraph, q: question, r: answer}\n"
                       "labels: [\"False\", \"True\"]\n"
                       "words: {\"False\": \"wrong\", \"True\": \"right\"}\n"
                       "patterns: ['{p*} {q} is {r} {mask} ?']\n");
  run_into(&(start){0},
           "classify @/zero.yaml examples.pattern=@/r.yaml examples.train='' "
           "examples.unlabelled_file='' examples.test='' examples.task.name=multirc "
           "examples.task.test=@/r.jsonl",
           "multirc");
  expect_predicted("multirc/predictions.ensemble.jsonl", labels, groups);
}

static const char experiment[] =
    "seeds: [3]\n"
    "common:\n"
    "  init: %s/bert\n"
    "  examples: {pattern: %s/m.yaml, task: {name: mnli, train: %s/m.train.tsv, test: "
    "%s/m.dev.tsv}, labelled: 6, max_length: 40}\n"
    "  classify: {strategy: tuning_free}\n"
    "stages:\n"
    "  asked: {kind: classify}\n"
    "  chosen: {kind: classify, examples: {chosen: 3, chosen_by: $asked}}\n"
    "rows: [{name: a}]\n"
    "columns: [{name: accuracy, value: chosen.ensemble.scores.accuracy}]\n";

/* What is predicted of a plan, of stages one of which draws what another one does. */
static void in_an_experiment(void **state) {
  const char *d = folder();
  write_format("ex.yaml", experiment, d, d, d, d);
  run_into(&(start){0}, "run @/ex.yaml", "ex");
  json_t *all = run_metrics("ex"), *stages = json_object_get(json_object_get(all, "a"), "3");
  expect(0, "show @/ex.yaml --cost --json", "scored_tokens");
  json_t *root = json_loads(strstr(said(), "{\n"), JSON_DISABLE_EOF_CHECK, NULL),
         *list = json_object_get(json_array_get(json_object_get(root, "rows"), 0), "stages");
  const json_t *asked = json_array_get(list, 0);
  assert_string_equal(json_string_value(json_object_get(asked, "name")), "asked");
  assert_true(
      json_number_value(json_object_get(asked, "scored_tokens")) ==
      json_number_value(json_object_get(json_object_get(stages, "asked"), "scored_tokens")));
  json_decref(all);
  json_decref(root);
  expect(2, "run @/ex.yaml stages.asked.examples.task.test=@/m.mm.tsv --out @/no",
         "the stage asked has another examples.task: it must have this one's T");
}

static void refused(int code, const char *words, const char *text) {
  char command[900];
  snprintf(command, sizeof command, "classify @/mnli.yaml %s --out @/out", words);
  forget("out");
  expect(code, command, text);
  assert_false(cz_fs_exists(under("out/result.json")));
}

static void bad_tasks(void **state) {
  refused(2, TASK "examples.train=@/train.tsv",
          "examples.train: train: beside `task`, whose files are read by the reader of task mnli: "
          "this one belongs into task.train");
  write_format("both.yaml",
               "seed: 1\ninit: %s/bert\nexamples:\n  pattern: %s/m.yaml\n  task: {name: mnli, "
               "train: %s/m.train.tsv}\n  test: %s/m.dev.tsv\nclassify: {strategy: tuning_free}\n",
               folder(), folder(), folder(), folder());
  forget("out");
  expect(2, "classify @/both.yaml --out @/out", "both.yaml:6:9: ");
  assert_non_null(strstr(said(), "test: beside `task`, whose files are read by the reader of task "
                                 "mnli: this one belongs into task.test"));
  refused(2, TASK "examples.columns=a,b", "columns: beside `task`: the reader of task mnli knows");
  refused(2, TASK "examples.group_column=a",
          "group_column: beside `task`: the reader of task mnli");
  refused(2, TASK "examples.backslashes=spaces", "backslashes: beside `task`: the reader of task");
  refused(2, TASK "examples.task.dev=@/m.mm.tsv",
          "dev: T is drawn from `train`, and `test` is judged");
  refused(2, TASK "examples.task.as=x", "unknown key 'as'");
  refused(2, "examples.task=mnli", "examples.task: expected a mapping");
  refused(2, "examples.task.name=mnil", "no task is called 'mnil'; did you mean 'mnli'");
  refused(2, "examples.task.name=record", "records of task record have no classes");
  refused(2, "examples.task.name=mnli examples.task.train=@/gone.tsv",
          "examples.task.train: there is no file ");
  refused(2,
          "examples.task.name=mnli examples.task.train=@/m.train.tsv "
          "examples.tests.mismatched=@/m.mm.tsv",
          "tests: they are judged beside the file `test`, which is missing");
}

/* What is wrong with the files themselves. */
static void bad_files(void **state) {
  refused(1,
          "examples.task.name=mnli examples.task.train=@/m.pool.tsv examples.task.test=@/m.dev.tsv",
          "m.pool.tsv:1: the header has no column 'gold_label', so no record has an answer");
  refused(1, "examples.task.name=rte examples.task.train=@/m.train.tsv",
          "m.train.tsv:1: the header has no column 'label'");
  refused(2, TASK "examples.pattern=" CZ_SOURCE_DIR "/experiments/pet/patterns/wsc.yaml",
          "wsc.yaml names task wsc, whose files `train` and `test` are then");
  refused(1, TASK "examples.pattern=@/p.yaml", "records of task mnli have no field 'text', which ");
  forget("out");
  expect(0,
         "classify @/mnli.yaml examples.task.name=mnli examples.task.train=@/m.train.tsv "
         "examples.task.test=@/m.pool.tsv --out @/out",
         "m.pool.tsv:1: the header has no column 'gold_label', so no record has an answer");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(as_of_tables),    cmocka_unit_test(is_an_input), cmocka_unit_test(boolq),
      cmocka_unit_test(multirc),         cmocka_unit_test(bad_tasks),   cmocka_unit_test(bad_files),
      cmocka_unit_test(in_an_experiment)};
  return cmocka_run_group_tests(tests, make, drop_runs);
}
