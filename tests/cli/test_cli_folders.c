/* Folders of runs: whose they are, what differs, what is lost, and that nothing that
 * somebody made is written over. */
#include "made_up.h"

#include <unistd.h>

/* Makes the plan one whose keys this program would not give. */
static void change_keys(const char *name) {
  cz_buf text = {0};
  assert_int_equal(cz_fs_read(under(name), &text), CZ_OK);
  for (char *s = text.data; (s = strstr(s, "\"key\": \"")); s++) s[8] = s[8] == '0' ? '1' : '0';
  assert_int_equal(cz_fs_write_atomic(under(name), text.data, text.len), CZ_OK);
  cz_buf_free(&text);
}

/* A folder that holds another run says which keys and files differ. */
static void test_folders(void **state) {
  EXPECT(0, cloze("run", "x.yaml", "--out", "run", "seeds=[1]"));
  REFUSED(2,
          "/run: this folder holds another run:\n  seeds.0: 1 there, 2 now\n  "
          "stages.finetune.train: nothing there, {\"steps\": 3} now\n",
          cloze("run", "x.yaml", "--out", "run", "seeds=[2]", "stages.finetune.train.steps=3"));
  write_text("test.tsv", "fine\tgood\nsad\tbad\nsad\tbad\n");
  REFUSED(
      2,
      "/run: this folder holds another run:\n  the file test.tsv has changed since then\nto go on",
      cloze("run", "x.yaml", "--out", "run", "seeds=[1]"));
  assert_int_equal(unlink(under("run/result.json")), 0);
  outcome o = cloze(
      "run", "x.yaml", "--out", "run",
      "seeds=[1]"); /* not finished: what depends on the file is made anew, and that is said */
  EXPECT(0, o);
  if (!strstr(o.err, "are made anew:\n  the file test.tsv has changed since then") ||
      strstr(o.err, "spans: finetune"))
    fail_msg("%s", o.err);
  assert_int_equal(unlink(under("run/result.json")), 0);
  change_keys("run/plan.json");
  o = cloze("run", "x.yaml", "--out", "run", "seeds=[1]");
  EXPECT(0, o);
  if (!strstr(o.err,
              "were made by another version of cloze or from other files; they are made anew"))
    fail_msg("%s", o.err);
  change_keys("run/plan.json");
  REFUSED(2, "were made by another version of cloze",
          cloze("run", "x.yaml", "--out", "run", "seeds=[1]"));
  EXPECT(0, cloze("report", "run"));
  REFUSED(
      2,
      "base: this folder holds another run:\n  train.steps: 3 there, 4 now\nto go on with that run",
      cloze("pretrain", "pretrain.yaml", "--out", "base", "train.steps=4"));
  EXPECT(0, cloze("pretrain", "pretrain.yaml", "--out", "base",
                  "optimizer.learning_rate=1e-2")); /* another spelling of the same */
}

/* A stage by itself belongs to the contents of its files, finished or not. */
static void test_changed_inputs(void **state) {
  EXPECT(0, cloze("finetune", "finetune.yaml", "--out", "tuned"));
  EXPECT(0, cloze("evaluate", "evaluate.yaml", "--out", "scored"));
  EXPECT(0, cloze("pretrain", "pretrain.yaml", "--out", "again"));
  write_text("train.tsv", "fine day\tgood\nsad day\tbad\nbad day\tbad\n");
  REFUSED(2, "tuned: this folder holds another run:\n  the file train.tsv has changed since then",
          cloze("finetune", "finetune.yaml", "--out", "tuned"));
  assert_int_equal(unlink(under("tuned/result.json")), 0);
  REFUSED(2, "the file train.tsv has changed since then",
          cloze("finetune", "finetune.yaml", "--out", "tuned"));
  write_text("train.tsv", "fine day\tgood\nsad day\tbad\n"); /* as it was: the run goes on */
  EXPECT(0, cloze("finetune", "finetune.yaml", "--out", "tuned"));
  EXPECT(0, cloze("corpus", "--tokenizer", SAMPLE "/tokenizer.json", "--out", "corpus.h5",
                  SAMPLE "/pretrain.txt", "test.tsv"));
  assert_int_equal(unlink(under("again/result.json")), 0);
  REFUSED(2, "again: this folder holds another run:\n  the file corpus.h5 has changed since then",
          cloze("pretrain", "pretrain.yaml", "--out", "again"));
  EXPECT(0, cloze("pretrain", "pretrain.yaml", "--out",
                  "other")); /* another model, in the place of the one that was scored */
  assert_int_equal(
      rename(under("other/model/model.safetensors"), under("base/model/model.safetensors")), 0);
  REFUSED(2, "the file base/model/model.safetensors has changed since then",
          cloze("evaluate", "evaluate.yaml", "--out", "scored"));
}

static void test_one_folder_twice(void **state) {
  char text[64];
  int handle;
  assert_int_equal(cz_fs_make_dirs(under("busy")), CZ_OK);
  assert_int_equal(cz_fs_lock(under("busy/lock"), &handle), CZ_OK);
  snprintf(text, sizeof text, "another process holds this lock: process %ld on ", (long)getpid());
  REFUSED(1, text, cloze("pretrain", "pretrain.yaml", "--out", "busy"));
  REFUSED(1, text, cloze("run", "x.yaml", "--out", "busy"));
  REFUSED(1, ", which began at 20", cloze("run", "x.yaml", "--out", "busy"));
  cz_fs_unlock(&handle);
  EXPECT(0, cloze("pretrain", "pretrain.yaml", "--out", "busy"));
}

/* A run that was moved goes on: its models moved with it. */
static void test_moved_run(void **state) {
  EXPECT(0, cloze("run", "x.yaml", "--out", "here", "seeds=[1]"));
  shell("rm here/result.json here/stages/finetune-*/result.json && mv here there");
  outcome o = cloze("run", "x.yaml", "--out", "there", "seeds=[1]");
  EXPECT(0, o);
  if (!strstr(o.err, "finetune: going on at step 2 of 2") || strstr(o.err, "pretrain: step"))
    fail_msg("%s", o.err);
  EXPECT(0, cloze("pretrain", "pretrain.yaml", "--out", "second",
                  "seed=6")); /* of a stage by itself the path still counts */
  EXPECT(0, cloze("finetune", "finetune.yaml", "--out", "one"));
  REFUSED(2,
          "one: this folder holds another run:\n  init: \"base/model\" there, \"second/model\" now",
          cloze("finetune", "finetune.yaml", "--out", "one", "init=second/model"));
}

/* So do the other files of earlier stages that a stage names. */
static void test_moved_references(void **state) {
  static const char dev[] = "stages.finetune.tasks.list.0.dev=$pretrain/config.yaml";
  EXPECT(0, cloze("run", "x.yaml", "--out", "left", "seeds=[1]", dev));
  shell("grep -q 'dev: .*/left/stages/pretrain-[0-9a-f]*/config.yaml' "
        "left/stages/finetune-*/config.yaml");
  shell("rm left/result.json left/stages/finetune-*/result.json && mv left right");
  outcome o = cloze("run", "x.yaml", "--out", "right", "seeds=[1]", dev);
  EXPECT(0, o);
  if (!strstr(o.err, "finetune: going on at step 2 of 2") || strstr(o.err, "pretrain: step"))
    fail_msg("%s", o.err);
}

/* A folder that is not finished may be mended: what differs and what is lost is said;
 * where nothing would stay it is another experiment's. */
static void test_unfinished_folders(void **state) {
  EXPECT(0, cloze("run", "x.yaml", "--out", "half", "seeds=[1]"));
  shell("rm half/result.json");
  REFUSED(2,
          "/half: this folder holds another run, and none of its stages would stay:\n  seeds.0: 1 "
          "there, 2 now\nchoose another --out",
          cloze("run", "x.yaml", "--out", "half", "seeds=[2]"));
  outcome o = cloze("run", "x.yaml", "--out", "half", "seeds=[1]", "stages.finetune.train.steps=3");
  EXPECT(0, o);
  if (!strstr(o.err, "/half: the experiment is not what it was here:\n  stages.finetune.train: "
                     "nothing there, {\"steps\": 3} now\n"
                     "4 of its 6 stages no longer belong to it\n"))
    fail_msg("%s", o.err);
  assert_null(strstr(o.err, "pretrain: step"));
}

/* What was lost of a run is made anew, and nothing else; reports do without. */
static void test_damaged_folders(void **state) {
  EXPECT(0, cloze("run", "x.yaml", "--out", "torn", "seeds=[1]"));
  shell("rm torn/plan.json");
  outcome o = cloze("report", "torn");
  EXPECT(1, o);
  if (!strstr(o.err,
              "torn/plan.json: there is no such file\n  (run the experiment again with --out torn"))
    fail_msg("%s", o.err);
  o = cloze("run", "x.yaml", "--out", "torn", "seeds=[1]");
  EXPECT(0, o);
  if (!strstr(o.err, "plan.json can't be read; it is written anew") || strstr(o.err, "[1/6]"))
    fail_msg("%s", o.err);
  shell("rm torn/result.json && echo '[' > torn/plan.json");
  REFUSED(1, "torn/plan.json:", cloze("report", "torn"));
  EXPECT(0, cloze("run", "x.yaml", "--out", "torn", "seeds=[1]"));
  shell("for f in torn/stages/evaluate-*/result.json; do echo '{' > $f; done; rm -r "
        "torn/stages/pretrain-*/model");
  o = cloze("report", "torn");
  EXPECT(0, o);
  if (!strstr(o.err,
              "result.json is damaged and left out: run the experiment again with --out torn") ||
      !strstr(o.out, "The run is not finished: 4 of 6 stages are done."))
    fail_msg("%s%s", o.err, o.out);
  o = cloze("report", "torn", "--stages");
  EXPECT(0, o);
  assert_non_null(strstr(o.out, "pretrain  no model"));
  o = cloze("run", "x.yaml", "--out", "torn", "seeds=[1]");
  EXPECT(0, o);
  if (!strstr(o.err, "[1/6] seed 1, spans: pretrain") ||
      !strstr(o.err, "[6/6] seed 1, prefix: evaluate") || strstr(o.err, ": finetune\n"))
    fail_msg("%s", o.err);
  o = cloze("run", "x.yaml", "--out", "torn", "seeds=[1]");
  EXPECT(0, o);
  assert_null(strstr(o.err, "seed 1"));
}

/* Rows that share a stage share its number: the counter and the report count the same. */
static void test_counter(void **state) {
  outcome o = cloze("run", "x.yaml", "--out", "shared", "seeds=[1]",
                    "rows.1.set={evaluate.evaluate.max_length: 5}");
  EXPECT(0, o);
  if (!strstr(o.err, "[4/4] seed 1, prefix: evaluate") || strstr(o.err, "/6]"))
    fail_msg("%s", o.err);
  shell("rm shared/stages/evaluate-*/result.json");
  o = cloze("report", "shared");
  EXPECT(0, o);
  assert_non_null(strstr(o.out, "The run is not finished: 2 of 4 stages are done."));
}

/* A folder with files that no run left there is somebody's own. */
static void test_folders_of_others(void **state) {
  static const char said[] = "mine holds other files and no run; name a new folder";
  assert_int_equal(cz_fs_make_dirs(under("mine")), CZ_OK);
  write_text("mine/experiment.yaml", made_up_experiment);
  write_text("mine/config.yaml", made_up_stage);
  REFUSED(2, said, cloze("run", "mine/experiment.yaml", "--out", "mine"));
  REFUSED(2, said, cloze("pretrain", "pretrain.yaml", "--out", "mine"));
  REFUSED(2, said, cloze("finetune", "finetune.yaml", "--out", "mine"));
  REFUSED(2, said, cloze("evaluate", "evaluate.yaml", "--out", "mine"));
  expect_content("mine/experiment.yaml", made_up_experiment);
  expect_content("mine/config.yaml", made_up_stage);
  REFUSED(2, "base holds other files and no run",
          cloze("run", "x.yaml", "--out", "base")); /* a stage's */
  assert_int_equal(cz_fs_make_dirs(under("empty")), CZ_OK);
  EXPECT(0, cloze("pretrain", "pretrain.yaml", "--out", "empty"));
  assert_int_equal(unlink(under("empty/lock")), 0); /* copied by somebody who left it out */
  EXPECT(0, cloze("pretrain", "pretrain.yaml", "--out", "empty"));
}

/* What is read is not written over, by whatever name it goes. */
static void test_outputs_that_are_inputs(void **state) {
  static const char line[] = "{\"input_ids\": [5, 6, 1], \"target_ids\": [7, 1]}\n";
  write_text("text.txt", "one\n\ntwo\n");
  write_text("b.jsonl", line);
  assert_int_equal(symlink("text.txt", under("other.txt")), 0);
  REFUSED(2, "--out is also an input: text.txt",
          cloze("corpus", "--tokenizer", T5_JSON, "--out", "text.txt", "test.tsv", "text.txt"));
  REFUSED(2, "--out is also an input: text.txt",
          cloze("corpus", "--tokenizer", T5_JSON, "--out", "./other.txt", "text.txt"));
  REFUSED(2, "--out is also an input: t.json",
          cloze("corpus", "--tokenizer", (write_text("t.json", "{}"), "t.json"), "--out", "t.json",
                "text.txt"));
  REFUSED(2, "--out is also an input: b.jsonl",
          cloze("trace", FIXTURES "/t5/v1_0", "--batch", "b.jsonl", "--out", "b.jsonl"));
  REFUSED(
      2, "--out is also an input: base/model/model.safetensors",
      cloze("trace", "base/model", "--batch", "b.jsonl", "--out", "base/model/model.safetensors"));
  expect_content("text.txt", "one\n\ntwo\n");
  expect_content("b.jsonl", line);
  expect_content("t.json", "{}");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_folders),
      cmocka_unit_test(test_one_folder_twice),
      cmocka_unit_test(test_moved_run),
      cmocka_unit_test(test_moved_references),
      cmocka_unit_test(test_unfinished_folders),
      cmocka_unit_test(test_damaged_folders),
      cmocka_unit_test(test_counter),
      cmocka_unit_test(test_folders_of_others),
      cmocka_unit_test(test_outputs_that_are_inputs),
      cmocka_unit_test(test_changed_inputs)}; /* last: it changes what the others read */
  return cmocka_run_group_tests(tests, make_run_files, drop_folder);
}
