/* Members that are trained on answers of several tokens, those of labels and those that records
 * bring along, against scripts/make_answers_fixture.py: PyTorch and Hugging Face's BERT in float64,
 * with the hinge written anew. What is built on such members; and data whose answers are none. */
#include "few_shot_test.h"

#include "few_shot/scores_file.h"

#include <jansson.h>
#include <math.h>

#define PET CZ_SOURCE_DIR "/tests/fixtures/pet"

static const char head[] =
    "seed: 5\n"
    "init: " PET "/model\n"
    "train: {steps: 20, z_loss: 0, log_steps: 1}\n"
    "optimizer: {name: adamw, learning_rate: 4e-3, schedule: transformers_linear,\n"
    "  weight_decay: 0.01, clip_norm: 1, epsilon: 1e-8}\n";

/* What a stage reads; the same as keys and as text. */
#define TEXTS(file, train, pool, test, labelled, unlabelled)                                       \
  "examples: {pattern: " PET "/" file ", train: " PET "/" train ", unlabelled_file: '" pool        \
  "', test: " PET "/" test ", labelled: " #labelled ", unlabelled: " #unlabelled                   \
  ", max_length: 22}\n"
static const char of_labels[] = TEXTS("trained.yaml", "train.tsv", "", "test.tsv", 7, 16),
                  of_records[] = TEXTS("choices.yaml", "choices.train.tsv", PET "/choices.pool.tsv",
                                       "choices.test.tsv", -1, -1);

static cz_examples_keys keys_of(bool records) {
  return (cz_examples_keys){.pattern = records ? PET "/choices.yaml" : PET "/trained.yaml",
                            NO_OTHER_KEYS,
                            .train = records ? PET "/choices.train.tsv" : PET "/train.tsv",
                            .unlabelled_file = records ? PET "/choices.pool.tsv" : "",
                            .test = records ? PET "/choices.test.tsv" : PET "/test.tsv",
                            .labelled = records ? -1 : 7,
                            .unlabelled = records ? -1 : 16,
                            .tested = -1,
                            .max_length = 22,
                            .draw = CZ_DRAW_BALANCED,
                            .unlabelled_draw = CZ_UNLABELLED_RANDOM};
}

/* GOT is number I of WHAT of member P, within TOLERANCE. */
static void same_number(const json_t *want, size_t p, const char *what, size_t i, double got,
                        double tolerance) {
  const double x = json_number_value(json_array_get(json_object_get(want, what), i));
  if (!(fabs(got - x) <= tolerance))
    fail_msg("member %zu, %s[%zu]: %.15g, expected %.15g", p, what, i, got, x);
}

/* Scores of all sets after training, and the accuracy before. */
static void check_scores(const char *folder, const cz_examples *e, const json_t *want, size_t p) {
  static const char *const names[] = {"labelled", "unlabelled", "test"};
  const size_t n[] = {e->t.n, e->d.n, e->test.n}, C = (size_t)e->classes;
  cz_member_scores got;
  OK(cz_member_scores_read(&got, e, under(folder)));
  const float *const scores[] = {got.t, got.d, got.test};
  for (int s = 0; s < 3; s++) {
    assert_int_equal(json_array_size(json_object_get(want, names[s])), n[s] * C);
    for (size_t i = 0; i < n[s] * C; i++)
      same_number(want, p, names[s], i, (double)scores[s][i], 1e-6);
  }
  assert_true(got.before_training == json_number_value(json_object_get(want, "zero_shot")));
  cz_member_scores_free(&got);
}

/* Trains the members of NAME, each with the auxiliary loss, and scores in confident_first. */
static void check_members(const char *name, bool records, size_t members) {
  char path[600], words[100];
  json_error_t why;
  cz_tokenizer *tokenizer;
  cz_examples *e;
  const cz_examples_keys keys = keys_of(records);
  snprintf(path, sizeof path, "%s/%s.json", PET, name);
  json_t *file = json_load_file(path, 0, &why);
  if (!file) fail_msg("%s:%d: %s", path, why.line, why.text);
  const json_t *list = json_object_get(file, "members");
  assert_int_equal(json_array_size(list), members);
  snprintf(path, sizeof path, "%s.yaml", name);
  write_format(path,
               "%s%sclassify: {strategy: pet, repetitions: 1, lm: 0.3, lm_examples: 6}\n"
               "batch: {examples: 10}\n",
               head, records ? of_records : of_labels);
  snprintf(words, sizeof words, "classify @/%s.yaml --device ref", name);
  run_into(&(start){0}, words, name);
  OK(cz_tokenizer_open(&tokenizer, PET "/model"));
  OK(cz_examples_open_for(&e, &keys, tokenizer, 5, CZ_READS_PROMPTS));
  for (size_t p = 0; p < members; p++) {
    const json_t *want = json_array_get(list, p);
    snprintf(path, sizeof path, "%s/members/p%zu-r0", name, p);
    same_updates(path, want);
    check_scores(path, e, want, p);
  }
  cz_examples_close(&e);
  cz_tokenizer_destroy(&tokenizer);
  json_decref(file);
}

/* Two patterns with several masks, one with one. */
static void labels(void **state) { check_members("trained", false, 3); }

static void records(void **state) { check_members("choices", true, 2); }

/* What is built on members: a generation of iPET, and a student of it. */
static void behind(void **state) {
  static const char *const names[] = {"trained", "choices"};
  const char *d = folder();
  for (int i = 0; i < 2; i++) {
    char words[100], next[20], student[20];
    const char *texts = i ? of_records : of_labels;
    snprintf(next, sizeof next, "next%d", i);
    snprintf(student, sizeof student, "student%d", i);
    write_format(
        "next.yaml",
        "%s%sclassify: {strategy: pet, repetitions: 1, from: %s/%s, scale: 2, share: 0.7}\n"
        "batch: {examples: 4}\n",
        head, texts, d, names[i]);
    write_format("student.yaml", "%s%sdistill: {from: %s/%s}\nbatch: {examples: 5}\n", head, texts,
                 d, next);
    snprintf(words, sizeof words, "classify @/next.yaml --device ref");
    run_into(&(start){0}, words, next);
    snprintf(words, sizeof words, "distill @/student.yaml --device ref");
    run_into(&(start){0}, words, student);
    char *metrics = metrics_of(student);
    assert_non_null(strstr(metrics, "\"student\""));
    free(metrics);
  }
}

static void make_records(const char *name, int n, int right) {
  static const char *const answers[] = {"The man was great.", "It is.", "They", "Who was it?"};
  FILE *f = fopen(under(name), "w");
  assert_non_null(f);
  fprintf(f, "premise\tchoice1\tchoice2\tjoiner%s\n", right ? "\tlabel" : "");
  for (int i = 0; i < n; i++) {
    fprintf(f, "%s %d wrong\t%s\t%s\t%s", name, i, answers[i % 4], answers[(i + 1 + i / 4) % 4],
            i % 2 ? "because" : ", so");
    fprintf(f, right ? "\t%d\n" : "\n", i % 2);
  }
  assert_int_equal(fclose(f), 0);
}

/* The pattern file of COPA, from data to a student that needs no answers. */
static void copa(void **state) {
  make_records("copa.tsv", 8, 1);
  make_records("copa-pool.tsv", 6, 0);
  make_records("copa-test.tsv", 6, 1);
  expect(0,
         "pet --model @/bert --pattern " CZ_SOURCE_DIR
         "/experiments/pet/patterns/copa.yaml --train "
         "@/copa.tsv --unlabeled @/copa-pool.tsv --test @/copa-test.tsv --out @/copa "
         "common.train.steps=2 common.examples.max_length=60 common.batch.examples=4",
         "");
  assert_true(cz_fs_exists(under("copa/predictions.jsonl")));
  expect(0, "predict --model @/copa/student --input @/copa-pool.tsv --out @/copa/answers", "");
  expect(0,
         "prompt check --model @/bert --pattern " CZ_SOURCE_DIR
         "/experiments/pet/patterns/copa.yaml --data @/copa.tsv --row 1 max_length=60",
         "    0: it is (");
}

/* A record whose answers are none, in any of the files, and a right answer that is not there. */
static void refused(void **state) {
  static const char file[] =
      "fields: {a: text, x: x, y: y}\nlabels: [first, second]\nchoices: ['{x}', '{y}']\n"
      "patterns: ['{a*} {mask:2}']\n%s";
  static const struct {
    const char *line, *why;
  } rows[] = {
      {"who\tman\t\tfirst", "row 1 has no answer for the label 'second'"},
      {"who\tman man man\tis\tfirst",
       "row 1: the answer of the label 'first' has 3 tokens, and the pattern '{a*} {mask:2}' has "
       "masks for 2; write {mask:3}"},
      {"who\tman\tMan\tfirst",
       "row 1: the answers of the labels 'first' and 'second' are the same"},
      {"who\tman\tis\tthird", "rows.tsv:3: the label 'third' is not declared in "},
  };
  static const char run[] =
      "classify @/zero.yaml examples.pattern=@/own.yaml "
      "examples.train=@/rows.tsv examples.unlabelled_file=@/fine.tsv examples.test=@/fine.tsv "
      "examples.labelled=-1 --out @/bad";
  write_format("own.yaml", file, "");
  write_text("fine.tsv", "text\tx\ty\tlabel\nwho was it\tman\tis\tfirst\n");
  write_text("one.yaml", "fields: {a: text, x: x, y: y}\nlabels: [first, second]\n"
                         "choices: ['{x}', '{y}']\npatterns: ['{a*} {mask}']\n");
  write_text("rows.tsv", "text\tx\ty\tlabel\nwho is\tman\tis\tfirst\n");
  expect(0, /* one mask is enough for answers of one token */
         "classify @/pet.yaml examples.pattern=@/one.yaml examples.train=@/rows.tsv "
         "examples.unlabelled_file=@/fine.tsv examples.unlabelled=0 examples.test=@/fine.tsv "
         "examples.labelled=-1 "
         "batch.examples=1 train.steps=2 --out @/one",
         "");
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    write_format("rows.tsv", "text\tx\ty\tlabel\nwho is\tman\tis\tfirst\n%s\n", rows[i].line);
    expect(1, run, rows[i].why);
    if (i < 3) expect(1, run, "/rows.tsv:3: row 1"); /* when the data are read, and not later */
  }
  write_text("other.tsv", "text\tx\ty\tlabel\nwho were they\tman\tis\tfirst\n");
  write_text("rows.tsv", "text\ty\tlabel\nwho is\tis\tfirst\n");
  expect(1, run, "x");
  expect(
      2,
      "classify @/zero.yaml examples.pattern=@/own.yaml examples.train=@/fine.tsv "
      "examples.unlabelled_file=@/fine.tsv "
      "examples.test=@/other.tsv classify.calibrate=content_free examples.labelled=0 --out @/bad",
      "own.yaml:4:13: patterns.0: calibrate: content_free wants texts without content");
  expect(
      2,
      "classify @/zero.yaml examples.pattern=@/own.yaml examples.train=@/fine.tsv "
      "examples.unlabelled_file=@/fine.tsv examples.test=@/other.tsv examples.unlabelled=0 "
      "classify.demonstrations=1 "
      "--out "
      "@/bad",
      "each record brings answers of its own along (`choices`): a masked LM fills them in, and a "
      "demonstration has label words");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(labels), cmocka_unit_test(records),
                                     cmocka_unit_test(behind), cmocka_unit_test(copa),
                                     cmocka_unit_test(refused)};
  return cmocka_run_group_tests(tests, make_few_shot, drop_runs);
}
