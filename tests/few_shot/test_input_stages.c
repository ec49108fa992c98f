/* Records of single texts, pairs, similarity and choice as a user classifies them, by GPT-2's
 * family and BERT's: fine-tuning learns, the student that is distilled learns the same, what it
 * left answers like it, and what is predicted to be read is what was. */
#include "few_shot_test.h"

#include "device/random.h"

#include <jansson.h>
#include <math.h>

enum { LINES = 300, TESTED = 40 };

static const char *const families[] = {"gpt2", "bert"}, *const inputs[] = {"single", "pair",
                                                                           "similarity", "choice"};

/* Two texts p and q that are good or bad, whatever the other is, their number of good ones; and two
 * x and y of which one is good, with its number. No two records are the same. */
static void make_records(const char *name, int lines, uint32_t part) {
  static const char *const tell[] = {"wrong", "great"}, *const words[] = {"the", "of", "was",
                                                                          "who"};
  FILE *f = fopen(under(name), "w");
  cz_stream s;
  assert_non_null(f);
  cz_stream_init(&s, 9, "records of the test", part, 0);
  fprintf(f, "p\tq\tx\ty\tsum\tright\n");
  for (int i = 0; i < lines; i++) {
    const bool p = cz_stream_below(&s, 2), q = cz_stream_below(&s, 2), y = cz_stream_below(&s, 2);
    const bool good[] = {p, q, !y, y};
    for (int k = 0; k < 4; k++) {
      fprintf(f, "%u%d ", part, i);
      for (int64_t n = (int64_t)cz_stream_below(&s, 3); n > 0; n--)
        fprintf(f, "%s ", words[cz_stream_below(&s, 4)]);
      fprintf(f, "%s\t", tell[good[k]]);
    }
    fprintf(f, "%d\t%d\n", p + q, y);
  }
  assert_int_equal(fclose(f), 0);
}

static void write_tasks(void) {
  write_text("single.yaml", "fields: {a: x}\nlabel_column: right\nlabels: [0, 1]\n");
  write_text("pair.yaml", "fields: {a: p, b: q}\nlabel_column: sum\nlabels: [0, 1, 2]\n");
  write_text("similarity.yaml", "fields: {a: p, b: q}\nlabel_column: sum\nlabels: [0, 1, 2]\n"
                                "input: similarity\n");
  write_text("choice.yaml", "fields: {a: p, b: x, c: y}\nlabel_column: right\nlabels: [0, 1]\n"
                            "input: choice\n");
}

static const char common[] =
    "init: %s/%s\n"
    "examples: {pattern: %s/%s.yaml, train: %s/records.tsv, test: %s/tests.tsv, labelled: 100, "
    "max_length: 40}\n"
    "batch: {examples: 8}\n"
    "optimizer: {name: adamw, learning_rate: 0.01, schedule: transformers_linear, clip_norm: 1}\n"
    "train: {steps: 150, z_loss: 0}\n";

static const char stages[] =
    "stages:\n"
    "  ft: {kind: classify, classify: {strategy: finetune, repetitions: 1}}\n"
    "  student: {kind: distill, distill: {from: $ft}, train: {steps: 400}}\n"
    "rows: [{name: all}]\n"
    "columns: [{name: accuracy, value: student.student.accuracy}]\n";

/* The lines ALL are what the stages have in common. */
static void write_experiment(const char *name, const char *all) {
  cz_buf text = {0};
  OK(cz_buf_addf(&text, "seeds: [3]\ncommon:\n"));
  for (const char *line = all; *line; line = strchr(line, '\n') + 1)
    OK(cz_buf_addf(&text, "  %.*s\n", (int)strcspn(line, "\n"), line));
  OK(cz_buf_addf(&text, "%s", stages));
  write_bytes(name, text.data, text.len);
  cz_buf_free(&text);
}

static int make(void **state) {
  if (make_few_shot(state)) return -1;
  make_model_with("gpt2", "gpt2", false, 560, CZ_SOURCE_DIR "/tests/fixtures/text/gpt2.json");
  make_records("records.tsv", LINES, 1);
  make_records("tests.tsv", TESTED, 2);
  write_tasks();
  const char *d = folder();
  for (int f = 0; f < 2; f++)
    for (int i = 0; i < 4; i++) {
      char name[64], all[2048];
      snprintf(all, sizeof all, common, d, families[f], d, inputs[i], d, d);
      snprintf(name, sizeof name, "ft-%s-%s.yaml", families[f], inputs[i]);
      write_format(name, "seed: 3\n%sclassify: {strategy: finetune, repetitions: 1}\n", all);
      snprintf(name, sizeof name, "%s-%s.yaml", families[f], inputs[i]);
      write_experiment(name, all);
    }
  return 0;
}

static json_t *loaded(const char *name) {
  json_error_t why;
  json_t *o = json_load_file(under(name), 0, &why);
  if (!o) fail_msg("%s: %s", name, why.text);
  return o;
}

static double number(const json_t *o, const char *key) {
  const json_t *x = json_object_get(o, key);
  if (!json_is_number(x)) fail_msg("%s is no number", key);
  return json_number_value(x);
}

/* The folder of STAGE of the run RUN, under the tests' one. */
static void folder_of(char out[256], const char *run, const char *stage) {
  char name[128];
  size_t i;
  json_t *s;
  snprintf(name, sizeof name, "%s/plan.json", run);
  json_t *plan = loaded(name);
  out[0] = '\0';
  json_array_foreach(plan, i, s) {
    const char *at = json_string_value(json_object_get(s, "folder"));
    if (at && !strcmp(json_string_value(json_object_get(s, "stage")), stage))
      snprintf(out, 256, "%s/%s", run, at);
  }
  if (!*out) fail_msg("%s has no folder of %s", name, stage);
  json_decref(plan);
}

/* The labels of the lines of the file NAME: their member KEY; and the number of lines. */
static int labels_of(char labels[TESTED][8], const char *name, const char *key) {
  char *text = read_text(under(name), NULL);
  int lines = 0;
  for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), lines++) {
    json_t *o = json_loads(line, 0, NULL);
    assert_true(lines < TESTED && json_is_string(json_object_get(o, key)));
    snprintf(labels[lines], 8, "%s", json_string_value(json_object_get(o, key)));
    json_decref(o);
  }
  free(text);
  return lines;
}

/* The student's folder is enough: it answers as it did in its stage. */
static void answers_alike(const char *run) {
  char student[256], file[320], words[700], was[TESTED][8], is[TESTED][8];
  folder_of(student, run, "student");
  snprintf(words, sizeof words, "predict --model @/%s/model --input @/tests.tsv --out @/out.jsonl",
           student);
  expect(0, words, "");
  snprintf(file, sizeof file, "%s/predictions.student.jsonl", student);
  assert_int_equal(labels_of(was, file, "output"), TESTED);
  assert_int_equal(labels_of(is, "out.jsonl", "label"), TESTED);
  for (int i = 0; i < TESTED; i++)
    if (strcmp(was[i], is[i])) fail_msg("%s, row %d: %s was %s", run, i, is[i], was[i]);
}

/* What a model that is opened for nothing but its labels says of a text, one number where texts are
 * chosen among. */
static void exported(const char *run, bool choice) {
  char student[256], name[320];
  folder_of(student, run, "student");
  snprintf(name, sizeof name, "%s/model/config.json", student);
  json_t *config = loaded(name);
  const json_t *names = json_object_get(config, "id2label");
  assert_int_equal(json_object_size(names), choice ? 1 : strstr(run, "single") ? 2 : 3);
  assert_string_equal(json_string_value(json_object_get(names, "0")), choice ? "LABEL_0" : "0");
  json_decref(config);
  snprintf(name, sizeof name, "%s/model/cloze_task.json", student);
  json_t *task = loaded(name);
  assert_non_null(strstr(run, json_string_value(json_object_get(task, "input"))));
  assert_int_equal(json_is_array(json_object_get(task, "plain")), choice);
  json_decref(task);
}

/* Tokens and steps are those that were predicted. */
static void as_predicted(const char *run) {
  char words[128];
  json_t *result, *s;
  size_t i;
  snprintf(words, sizeof words, "show @/%s.yaml --cost --gflops 2 --gpu-gflops 1000 --json", run);
  expect(0, words, "scored_tokens");
  json_t *root = json_loads(strstr(said(), "{\n"), JSON_DISABLE_EOF_CHECK, NULL);
  const json_t *list = json_object_get(json_array_get(json_object_get(root, "rows"), 0), "stages");
  snprintf(words, sizeof words, "%s/result.json", run);
  result = loaded(words);
  const json_t *all =
      json_object_get(json_object_get(json_object_get(result, "metrics"), "all"), "3");
  assert_int_equal(json_array_size(list), 2);
  json_array_foreach(list, i, s) {
    const json_t *m = json_object_get(all, json_string_value(json_object_get(s, "name")));
    assert_true(number(m, "steps") == number(s, "steps"));
    assert_true(number(m, "scored_tokens") == number(s, "scored_tokens"));
    const double trained = number(m, "input_tokens"), told = number(s, "tokens");
    if (fabs(trained / told - 1) > 0.02)
      fail_msg("%s: trained on %g tokens, predicted %g", run, trained, told);
  }
  json_decref(result);
  json_decref(root);
}

static double accuracy_of(const char *run, const char *stage, const char *name) {
  char file[128];
  snprintf(file, sizeof file, "%s/result.json", run);
  json_t *result = loaded(file);
  const json_t *m = json_object_get(
      json_object_get(json_object_get(json_object_get(result, "metrics"), "all"), "3"), stage);
  const double x = number(json_object_get(m, name), "accuracy");
  json_decref(result);
  return x;
}

static void learns(void **state) {
  for (int f = 0; f < 2; f++)
    for (int i = 0; i < 4; i++) {
      char run[64], words[128];
      snprintf(run, sizeof run, "%s-%s", families[f], inputs[i]);
      snprintf(words, sizeof words, "run @/%s.yaml", run);
      run_into(&(start){0}, words, run);
      const double tuned = accuracy_of(run, "ft", "ensemble"),
                   student = accuracy_of(run, "student", "student");
      if (tuned < 0.9 || student < 0.85) fail_msg("%s: accuracy %g, %g", run, tuned, student);
      answers_alike(run);
      exported(run, i == 3);
      as_predicted(run);
    }
}

/* In 16 bits, and by the card's kernels. */
static void other_arithmetic(void **state) {
  for (int i = 2; i < 4; i++) {
    char words[128];
    json_t *result;
    snprintf(words, sizeof words, "classify @/ft-gpt2-%s.yaml train.precision=bf16", inputs[i]);
    run_into(&(start){0}, words, inputs[i]);
    assert_non_null(strstr(said(), "computes in bf16"));
    snprintf(words, sizeof words, "%s/result.json", inputs[i]);
    result = loaded(words);
    const double x =
        number(json_object_get(json_object_get(result, "metrics"), "ensemble"), "accuracy");
    if (x < 0.85) fail_msg("%s in 16 bits: accuracy %g", inputs[i], x);
    json_decref(result);
#ifdef CZ_HAVE_EMULATOR
    snprintf(words, sizeof words, "classify @/ft-bert-%s.yaml train.steps=5 --device emu",
             inputs[i]);
    run_into(&(start){0}, words, i == 2 ? "emu2" : "emu3");
#endif
  }
}

/* What cannot be is told where it is written. */
static void refused(void **state) {
  expect(2, "classify @/ft-bert-similarity.yaml classify.strategy=sentence_encoder --out @/no",
         "input: similarity puts 2 texts of a record together, and strategy sentence_encoder "
         "encodes one");
  expect(2, "classify @/ft-bert-single.yaml classify.strategy=pet --out @/no",
         "there are no `patterns`, which strategy pet wants");
  expect(2, "classify @/ft-gpt2-choice.yaml classify.strategy=tuning_free --out @/no",
         "there are no `patterns`, which strategy tuning_free wants");
  char student[256], name[320], words[700];
  folder_of(student, "bert-pair", "student");
  snprintf(name, sizeof name, "%s/model/cloze_task.json", student);
  snprintf(words, sizeof words, "predict --model @/%s/model --input @/tests.tsv --out @/o.jsonl",
           student);
  char *text = read_text(under(name), NULL);
  write_text(name,
             "{\"fields\": [\"p\", \"x\", \"y\"], \"labels\": [\"0\", \"1\"], \"max_length\": 40,"
             "\"input\": \"choice\"}");
  expect(1, words,
         "the model has 3 classes, cloze_task.json 2 labels, which are chosen among by one "
         "number for each");
  write_text(name, "{\"fields\": [\"p\", \"q\"], \"labels\": [\"0\", \"1\", \"2\"], "
                   "\"max_length\": 40, \"input\": \"pears\"}");
  expect(2, words, "no kind of input is called 'pears'");
  write_text(name, text);
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(learns), cmocka_unit_test(other_arithmetic),
                                     cmocka_unit_test(refused)};
  return cmocka_run_group_tests(tests, make, drop_runs);
}
