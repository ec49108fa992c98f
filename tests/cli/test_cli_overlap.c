/* A file that a model is trained on and scored on is told before anything runs, once, with both
 * keys; what differs is not. */
#include "made_up.h"

static int count(const char *text, const char *word) {
  int n = 0;
  for (const char *at = text; (at = strstr(at, word)); at += strlen(word)) n++;
  return n;
}

static void expect_warning(outcome o, const char *said, const char *file, int line) {
  expect_code(o, 0, file, line);
  const char *at = strstr(o.err, said), *step = strstr(o.err, "step ");
  if (!at || count(o.err, "this is also") != 1)
    fail_msg("%s:%d: '%s' once, and nothing else, is not in: %s", file, line, said, o.err);
  if (step && step < at) fail_msg("%s:%d: said after training: %s", file, line, o.err);
}
#define WARNED(said, o) expect_warning(o, said, __FILE__, __LINE__)

static void expect_silence(outcome o, const char *file, int line) {
  expect_code(o, 0, file, line);
  if (strstr(o.err, "this is also")) fail_msg("%s:%d: %s", file, line, o.err);
}
#define SILENT(o) expect_silence(o, __FILE__, __LINE__)

#define ONE_SEED "seeds=[1]"

static void test_own_test_file(void **state) {
  shell("ln train.tsv link.tsv && cp train.tsv copy.tsv");
  SILENT(cloze("run", "x.yaml", "--out", "apart", ONE_SEED));
  WARNED(
      "tasks.list.0.test: train.tsv: this is also the task's `train`, train.tsv: the score tells",
      cloze("run", "x.yaml", "--out", "same", ONE_SEED,
            "stages.evaluate.tasks.list.0.test=train.tsv"));
  WARNED("tasks.list.0.test: link.tsv: this is also the task's `train`, train.tsv",
         cloze("run", "x.yaml", "--out", "link", ONE_SEED,
               "stages.evaluate.tasks.list.0.test=link.tsv"));
  WARNED("tasks.list.0.test: copy.tsv: this is also the task's `train`, train.tsv",
         cloze("run", "x.yaml", "--out", "copy", ONE_SEED,
               "stages.evaluate.tasks.list.0.test=copy.tsv"));
  WARNED(
      "tasks.list.0.dev: train.tsv: this is also the task's `train`, train.tsv", /* a stage alone */
      cloze("evaluate", "evaluate.yaml", "--out", "alone", "tasks.list.0.dev=train.tsv"));
  SILENT(cloze("finetune", "finetune.yaml", "--out", "tuned", /* scores nothing */
               "tasks.list.0.test=train.tsv"));
  SILENT(cloze("run", "x.yaml", "--out", "dev", ONE_SEED, /* scores test */
               "stages.evaluate.tasks.list.0.dev=train.tsv"));
}

/* As long as the other and different in its last byte; and the empty place of a split. */
static void test_other_files(void **state) {
  write_text("train.tsv", "fine day\tgood\nsad day\tbad\n");
  write_text("near.tsv", "fine day\tgood\nsad dax\tbad\n");
  SILENT(cloze("run", "x.yaml", "--out", "near", ONE_SEED,
               "stages.evaluate.tasks.list.0.test=near.tsv"));
  SILENT(cloze("evaluate", "evaluate.yaml", "--out", "train", "evaluate.split=train",
               "tasks.list.0.train=test.tsv", "tasks.list.0.dev=near.tsv"));
}

/* The task of `evaluate` has another file as its own, and the stage that it starts from trains on
 * what is scored. */
static void test_other_stage(void **state) {
  write_text("more.tsv", "good day\tgood\nbad night\tbad\n");
  WARNED("tasks.list.0.test: train.tsv: this is also `train` of task mood in stage finetune, "
         "train.tsv: the score tells",
         cloze("run", "x.yaml", "--out", "stages", ONE_SEED,
               "stages.evaluate.tasks.list.0.train=more.tsv",
               "stages.evaluate.tasks.list.0.test=train.tsv"));
  /* The model was trained on it two stages ago. */
  shell("sed -e 's/^  evaluate:/  second: {kind: finetune, init: $finetune, tasks: {list: [{name: "
        "tsv, train: more.tsv, labels: \"good,bad\"}]}}\\n&/' -e '/kind: "
        "evaluate/{n;s/finetune/second/}' "
        "x.yaml >y.yaml");
  WARNED("tasks.list.0.test: train.tsv: this is also `train` of task mood in stage finetune",
         cloze("run", "y.yaml", "--out", "chain", ONE_SEED,
               "stages.evaluate.tasks.list.0.train=more.tsv",
               "stages.evaluate.tasks.list.0.test=train.tsv"));
  /* Two halves: what the other row's model was trained on is no matter. */
  SILENT(cloze("run", "x.yaml", "--out", "halves", ONE_SEED, "baseline=a",
               "rows=[{name: a, paper: {P: 1}, set: {pretrain.objective.name: random_spans}}, "
               "{name: b, set: "
               "{finetune.tasks.list.0.train: test.tsv, evaluate.tasks.list.0.train: test.tsv, "
               "evaluate.tasks.list.0.test: train.tsv}}]"));
  SILENT(
      cloze("run", "x.yaml", "--out", "asked", ONE_SEED, "stages.evaluate.evaluate.split=train"));
}

static void test_held_out(void **state) {
  shell("cp corpus.h5 copy.h5");
  WARNED(
      "held_out.corpus: corpus.h5: this is also the stage's `corpus`, corpus.h5: held_out_loss is",
      cloze("pretrain", "pretrain.yaml", "--out", "h1", "held_out={corpus: corpus.h5}"));
  WARNED("held_out.corpus: copy.h5: this is also the stage's `corpus`, corpus.h5",
         cloze("pretrain", "pretrain.yaml", "--out", "h2", "held_out={corpus: copy.h5}"));
  EXPECT(0, cloze("corpus", "--tokenizer", SAMPLE "/tokenizer.json", "--out", "held.h5",
                  SAMPLE "/section.dev.tsv"));
  SILENT(cloze("pretrain", "pretrain.yaml", "--out", "h3", "held_out={corpus: held.h5}"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_own_test_file), cmocka_unit_test(test_other_files),
      cmocka_unit_test(test_other_stage), cmocka_unit_test(test_held_out)};
  return cmocka_run_group_tests(tests, make_run_files, drop_folder);
}
