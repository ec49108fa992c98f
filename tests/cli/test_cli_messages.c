/* Mistakes of people who are new here: what they are told, and that it is told before
 * anything runs. */
#include "made_up.h"

#include <math.h>
#include <unistd.h>

/* `run` and, unless it is about the contents or the absence of data, `show` refuse the
 * experiment with WORD, saying TEXT, and no stage has begun. */
static void refuses(const char *word, const char *text) {
  REFUSED(2, text, cloze("run", "x.yaml", "--out", "none", word));
  assert_false(cz_fs_exists(under("none")));
  REFUSED(2, text, cloze("show", "x.yaml", word));
}

static void test_everything_is_checked_first(void **state) {
  refuses("stages.evaluate.evaluate.max_exmples=3",
          "unknown key 'max_exmples'; did you mean 'max_examples'?\n  (row spans, stage evaluate)");
  refuses("stages.evaluate.evaluate.split=tset",
          "unknown value 'tset'; did you mean 'test'?\n  (row spans, stage evaluate)");
  refuses("stages.finetune.train.step=3",
          "unknown key 'step'; did you mean 'steps'?\n  (row spans, stage finetune)");
  refuses("stages.finetune.batch.max_inputs=900",
          "does not fit a shard's 128 and 128\n  (row spans, stage finetune)");
  refuses("rows.1.set={pretrain.train.steps: 0}",
          "steps: 0 is not between 1 and 1000000000000\n  (row prefix, stage pretrain)");
  refuses("rows.1.set={pretrain.objective.name: prefix_lm, "
          "pretrain.objective.mean_noise_span_length: 2}",
          "(objective prefix_lm; ");
  refuses("rows.1.set={finetune.model.relative_attention_max_distance: 16}",
          "16 must be larger than half the buckets, 16\n  (row prefix, stage finetune)");
  refuses("common.trian.steps=3", "no kind of stage has 'trian'; did you mean 'train'?");
  refuses("common.objective.name=mass", "has no effect: every stage that takes this key sets it");
  refuses("stages.pretrain.objective.name=mass", "has no effect: every row sets this key");
  refuses("rows.1.set={pretran.train.steps: 3}",
          "'pretran.train.steps' does not begin with the name of a stage");
  refuses("stages.evaluate.tasks.list.0.metrics=acuracy",
          "no score is called 'acuracy'; did you mean 'accuracy'?");
  refuses("stages.evaluate.tasks.list.0.name=tvs", "'tvs'");
  refuses("stages.evaluate.tasks.list.0.tset=test.tsv", "unknown key 'tset'; did you mean 'test'?");
  refuses("stages.evaluate.init=$finetun",
          "'$finetun' is no stage before this one; did you mean $finetune");
  refuses("stages.evaluate.init=finetune",
          "there is no folder 'finetune', but a stage of this name; did you mean $finetune?");
  refuses("stages.evaluate.tasks.list.0.as=v1.1", "'v1.1' can't name a task");
  refuses("stages.evaluate.tasks.list.0.as=my/task", "'my/task' can't name a task");
  refuses("stages.pretrain.corpus=''",
          "the name of a file is missing\n  (row spans, stage pretrain)");
  refuses("stages.pretrain.held_out={corpus: ''}",
          "the name of a file is missing\n  (row spans, stage pretrain)");
  refuses("common.tokenizer=''", "the name of a file is missing\n  (row spans, stage pretrain)");
  refuses("stages.finetune.tasks.list.0.train=''", "task mood has no file for split train");
  refuses("common.train.loss_scale=1000",
          "common.train.loss_scale: the loss scale 1000 is no power of two from 1 on");
  refuses("common.train.attention=cudn",
          "unknown value 'cudn'; did you mean 'cudnn'?\n  (row spans, stage pretrain)");
  refuses("common.train.attention=cudnn",
          "x.yaml:6:10: common.model: attention cudnn: dropout is 0.1, and cuDNN does not draw "
          "this program's masks; it takes 0 alone");
  refuses("common.train.began_in=f32", "cannot go on in another precision");
  refuses("stages.finetune.init=corpus.h5", "corpus.h5 is no folder: a model's folder has "
                                            "config.json, model.safetensors and tokenizer.json");
}

/* Contents of files, and files that are not there: `run` alone wants them. */
static void test_files_are_checked_first(void **state) {
  write_text("label.tsv", "fine\tgood\nso so\tneither\n");
  write_text("columns.tsv", "fine\n");
  REFUSED(2, "x.yaml:23:",
          cloze("run", "x.yaml", "--out", "none", "stages.evaluate.tasks.list.0.test=test.tsv",
                "seeds=[1]", "data=d", "common.tokenizer=" SAMPLE "/tokenizer.json",
                "stages.evaluate.tasks.list.0.labels=good"));
  REFUSED(2,
          "stages.evaluate.tasks.list.0.test: there is no file nope.tsv\n  (task mood)\n  (row "
          "spans, stage evaluate)",
          cloze("run", "x.yaml", "--out", "none", "stages.evaluate.tasks.list.0.test=nope.tsv"));
  REFUSED(1, "label.tsv:2: unknown label 'neither'",
          cloze("run", "x.yaml", "--out", "none", "stages.evaluate.tasks.list.0.test=label.tsv"));
  write_text("sst2.tsv", "sentence\tlabel\nfine\t1\n");
  write_text("unlabelled.tsv", "index\tsentence\n0\tfine\n");
  REFUSED(1,
          "unlabelled.tsv:1: the header has no column 'label', so no record has an answer; is this "
          "a test file?\n  (task sst2)\n  (row spans, stage evaluate)",
          cloze("run", "x.yaml", "--out", "none",
                "stages.evaluate.tasks.list=[{name: sst2, train: sst2.tsv, test: unlabelled.tsv}]",
                "columns=[{name: a, value: evaluate.sst2.scores.accuracy}]"));
  REFUSED(1,
          "unlabelled.tsv:1: the header has no column 'label', so no record has an answer; is this "
          "a test file?\n  (task sst2)\n  (row spans, stage finetune)",
          cloze("run", "x.yaml", "--out", "none",
                "stages.finetune.tasks.list=[{name: sst2, train: unlabelled.tsv}]"));
  REFUSED(1,
          "unlabelled.tsv:1: the header has no column 'label', so no record has an answer; is this "
          "a test file?\n  (task sst2)\n  (row spans, stage evaluate)",
          cloze("run", "x.yaml", "--out", "none",
                "stages.evaluate.tasks.list=[{name: sst2, train: unlabelled.tsv}]",
                "stages.evaluate.evaluate.split=train",
                "columns=[{name: a, value: evaluate.sst2.scores.accuracy}]"));
  REFUSED(1, "columns.tsv:1: there are 1 columns",
          cloze("run", "x.yaml", "--out", "none", "stages.evaluate.tasks.list.0.test=columns.tsv"));
  REFUSED(2,
          "there is no file d/c.h5; the folder d (key `data`) is not there at all\n  (row prefix, "
          "stage pretrain)",
          cloze("run", "x.yaml", "--out", "none", "data=d",
                "rows.1.set={pretrain.corpus: $data/c.h5}"));
  REFUSED(1, "train.tsv: not a whole HDF5 file",
          cloze("run", "x.yaml", "--out", "none", "stages.pretrain.corpus=train.tsv"));
  assert_false(cz_fs_exists(under("none")));
  outcome o = cloze("show", "x.yaml", "stages.evaluate.tasks.list.0.test=nope.tsv");
  EXPECT(0, o);
  if (!strstr(o.err, "a run wants these files, which are not there yet:\n  nope.tsv\n"))
    fail_msg("%s", o.err);
}

static void test_columns(void **state) {
  refuses("columns.0.value=evaluate.mod.scores.accuracy",
          "no result has 'evaluate.mod.scores.accuracy'; did you mean "
          "'evaluate.mood.scores.accuracy'?");
  refuses("columns.0.value=evaluate.mood.scores.bleu",
          "there are evaluate.mood.scores.accuracy, evaluate.mood.scores.f1");
  refuses("columns.0.value=evaluate.mood.score.accuracy",
          "did you mean 'evaluate.mood.scores.accuracy'?");
  refuses("columns.1.value=[pretrain.loss, finetune.lost]",
          "there are finetune.loss, finetune.last_loss, finetune.steps");
  refuses("columns.0.paper=PP", "no row's `paper` has a 'PP'; did you mean 'P'?");
  outcome o = cloze("show", "x.yaml"); /* Q is the other scale's */
  EXPECT(0, o);
  assert_null(strstr(o.err, "no column is beside"));
  o = cloze("show", "x.yaml", "rows.1.paper={P: 2, PQ: 3}");
  EXPECT(0, o);
  if (!strstr(o.err, "row prefix: no column is beside the paper's 'PQ'; did you mean 'P'?"))
    fail_msg("%s", o.err);
}

/* Every value that a training stage leaves can be a column: the list of names that checks
 * know is that of the result. */
static void test_results_are_known(void **state) {
  json_t *result = json_load_file(under("base/result.json"), 0, NULL);
  const char *name;
  json_t *value;
  char word[256];
  assert_true(json_object_size(json_object_get(result, "metrics")) >= 8);
  json_object_foreach(json_object_get(result, "metrics"), name, value) {
    snprintf(word, sizeof word, "columns.1.value=pretrain.%s", name);
    EXPECT(0, cloze("show", "x.yaml", word));
  }
  json_decref(result);
}

static void test_models_of_another_family(void **state) {
  refuses("stages.finetune.model.name=lm-nano",
          "init: $pretrain: the model there (t5) has the architecture encoder-decoder, the "
          "recipe's (lm) has "
          "language model\n  (row spans, stage finetune)");
  refuses("stages.finetune.model.d_ff=48",
          "init: $pretrain: the model there has d_ff 32, the recipe's has 48");
  REFUSED(2,
          "base/model: the model there (t5) has the architecture encoder-decoder, the recipe's "
          "(lm) has language model",
          cloze("finetune", "finetune.yaml", "--out", "none", "model.name=lm-nano"));
}

/* A held-out value is known before it is there, and only where the stage has the
 * section. */
static void test_held_out_values(void **state) {
  write_text("held.yaml", made_up_experiment);
  REFUSED(2, "no result has 'pretrain.held_out_loss'",
          cloze("run", "held.yaml", "--out", "none",
                "columns=[{name: loss, value: pretrain.held_out_loss}]"));
  REFUSED(2,
          ", pretrain.held_out_loss, pretrain.held_out_perplexity, "
          "pretrain.held_out_tokens",
          cloze("run", "held.yaml", "--out", "none", "stages.pretrain.held_out={corpus: corpus.h5}",
                "columns=[{name: loss, value: pretrain.held_out_los}]"));
}

/* An empty `init` is none: the row without pretraining. */
static void test_no_init(void **state) {
  outcome o =
      cloze("run", "x.yaml", "--out", "scratch", "seeds=[1]", "rows.1.set={finetune.init: ''}");
  EXPECT(0, o);
  assert_non_null(
      strstr(o.err, "[5/5] seed 1, prefix: evaluate")); /* a pretraining, of the first row alone,
                                                           and two of the others each */
  REFUSED(2, "`init: FOLDER` is missing",
          cloze("evaluate", "evaluate.yaml", "--out", "none", "init=''"));
}

static void test_names_of_folders(void **state) {
  EXPECT(0, cloze("run", "x.yaml", "--out", "o'brien {1}: \"runs\"", "seeds=[1]"));
  REFUSED(2, "--out: the name of a folder is missing", cloze("run", "x.yaml", "--out", ""));
  REFUSED(2, "pretrain: --out DIR is missing", cloze("pretrain", "pretrain.yaml", "--out", ""));
}

static void test_scales(void **state) {
  REFUSED(2, "unknown scale 'bogus'; known are tiny", cloze("run", "x.yaml", "--scale", "bogus"));
  REFUSED(
      2, "the scales: choose one with --scale: tiny",
      cloze("run", "s.yaml",
            (write_text("s.yaml", "seeds: [1]\nrows: [{name: a}]\nscales: {tiny: {stages: {}}}\n"),
             "--out"),
            "none"));
  const char *table = CZ_SOURCE_DIR "/experiments/t5/table4.yaml";
  outcome o = cloze("show", table); /* its own scale */
  EXPECT(0, o);
  assert_non_null(strstr(o.out, "finetune_en_de"));
  if (!strstr(o.err, "  data/debian/pretrain.h5\n") ||
      !strstr(o.err, "(scripts/prepare_debian.sh makes data/debian)"))
    fail_msg("%s", o.err);
  REFUSED(
      2, "there is no file data/debian/tokenizer.json; scripts/prepare_debian.sh makes data/debian",
      cloze("run", table, "--out", "none"));
  REFUSED(2, "base/t5.yaml:", cloze("run", table, "--out", "none"));
  REFUSED(2, "there is no file other/tokenizer.json; the folder other (key `data`) is not there",
          cloze("run", table, "--out", "none", "data=other"));
  REFUSED(2, "other/tokenizer.json; make all makes other",
          cloze("run", table, "--out", "none", "data=other", "data_made_by=make all"));
}

/* Where in the program a mistake was found is for those who ask. */
static void test_no_trace(void **state) {
  const char *const calls[][5] = {
      {"pretrain", "pretrain.yaml", "--out", "none", "train.step=3"},
      {"pretrain", "pretrain.yaml", "--out", "none", "corpus=nope.h5"},
      {"finetune", "finetune.yaml", "--out", "none", "tasks.list.0.train=corpus.h5"}};
  for (int i = 0; i < 3; i++) {
    outcome o = cloze(calls[i][0], calls[i][1], calls[i][2], calls[i][3], calls[i][4]);
    if (!o.code || strstr(o.err, ".c:")) fail_msg("%s", o.err);
    setenv("CLOZE_DEBUG", "1", 1);
    o = cloze(calls[i][0], calls[i][1], calls[i][2], calls[i][3], calls[i][4]);
    unsetenv("CLOZE_DEBUG");
    if (!strstr(o.err, "  at main") && !strstr(o.err, ".c:")) fail_msg("%s", o.err);
  }
}

/* Weights that were cut off are found before the stages that come first have run. */
static void test_truncated_model(void **state) {
  shell("cp -r base/model cut_off && truncate -s -100 cut_off/model.safetensors");
  REFUSED(1, "cut_off/model.safetensors: ",
          cloze("run", "x.yaml", "--out", "none", "stages.finetune.init=cut_off"));
  REFUSED(1, "it is truncated",
          cloze("finetune", "finetune.yaml", "--out", "none", "init=cut_off"));
  assert_false(cz_fs_exists(under("none")));
}

/* What ranks can't divide is said before anything runs, once, with what would do. */
static void test_ranks(void **state) {
#ifdef CZ_MPIRUN
  static const char start[] = "export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 "
                              "OMPI_MCA_rmaps_base_oversubscribe=1; " CZ_MPIRUN " " CZ_PROGRAM
                              " run x.yaml --out none stages.pretrain.batch.shards=2 ";
  cz_buf text = {0};
  char command[1400];
  snprintf(command, sizeof command,
           "(%s stages.finetune.batch.shards=1) > said 2>&1; test $? -eq 2", start);
  shell(command);
  assert_int_equal(cz_fs_read(under("said"), &text), CZ_OK);
  assert_int_equal(cz_buf_add(&text, "", 1), CZ_OK);
  static const char words[] = "stages.finetune.batch.shards: 1 shards can't be divided among 2 "
                              "ranks: the number of ranks must divide the number of "
                              "shards; 2 shards would do";
  const char *said = strstr(text.data, words);
  if (!said || strstr(said + 1, words) || strstr(text.data, "saving after this step"))
    fail_msg("%s", text.data);
  assert_false(cz_fs_exists(under("none")));
  cz_buf_free(&text);
#else
  skip();
#endif
}

/* What was cut off is said once, with the caps that did it. */
static void test_cuts_are_told(void **state) {
  outcome o = cloze("finetune", "finetune.yaml", "--out", "cut", "batch.max_inputs=2",
                    "batch.max_targets=3");
  EXPECT(0, o);
  static const char words[] =
      " examples were longer than max_inputs 2 or max_targets 3 and were cut\n";
  const char *said = strstr(o.err, words);
  if (!said || strstr(said + sizeof words - 1, "were cut")) fail_msg("%s", o.err);
  o = cloze("finetune", "finetune.yaml", "--out", "uncut");
  EXPECT(0, o);
  assert_null(strstr(o.err, "were cut"));
}

/* What evaluation cuts off is said, counted in the result, and marked in the predictions. */
static void test_cut_inputs_are_told(void **state) {
  outcome o = cloze("evaluate", "evaluate.yaml", "--out", "short", "evaluate.max_inputs=2");
  EXPECT(0, o);
  if (!strstr(o.err, "warning: evaluate: tsv: 1 of 2 inputs were longer than evaluate.max_inputs 2 "
                     "and were cut\n"))
    fail_msg("%s", o.err);
  shell("grep -q '\"cut\": 1' short/result.json");
  shell("test $(grep -c '\"cut\": true' short/predictions.tsv.jsonl) -eq 1");
  o = cloze("evaluate", "evaluate.yaml", "--out", "long");
  EXPECT(0, o);
  assert_null(strstr(o.err, "inputs were longer"));
  shell("grep -q '\"cut\": 0' long/result.json");
}

/* A copy of the model `base` whose second half of weights is VALUE. */
static void make_broken(const char *name, float value) {
  char path[64], command[64];
  cz_buf weights = {0};
  snprintf(command, sizeof command, "cp -r base %s", name);
  shell(command);
  snprintf(path, sizeof path, "%s/model/model.safetensors", name);
  OK(cz_fs_read(under(path), &weights));
  for (size_t at = 4; at < weights.len / 2; at += 4)
    memcpy(weights.data + weights.len - at, &value, sizeof value);
  OK(cz_fs_write_atomic(under(path), weights.data, weights.len));
  cz_buf_free(&weights);
}

/* A weight that is not finite gives no score, no output and no trace; each names the tensor and
 * the place in it. Weights that are finite and so large that sums overflow: where that is seen. */
static void test_not_finite(void **state) {
  static const char *const devices[] = {"cpu", "ref"};
  make_broken("broken", NAN);
  make_broken("infinite", INFINITY);
  make_broken("huge", 3e38f);
  write_text("three.jsonl", "{\"input_ids\": [5, 6, 7, 1], \"target_ids\": [8, 9, 1]}\n");
  for (int d = 0; d < 2; d++) {
    REFUSED(1, "broken/model: nan in tensor ",
            cloze("evaluate", "evaluate.yaml", "--out", "unscored", "init=broken/model", "--device",
                  devices[d]));
    assert_false(cz_fs_exists(under("unscored/result.json")));
    REFUSED(1, "broken/model: nan in tensor ",
            cloze_with("fine day\n", "generate", "broken/model", "--device", devices[d]));
    REFUSED(1, "infinite/model: inf in tensor ",
            cloze("trace", "infinite/model", "--batch", "three.jsonl", "--out", "three.h5",
                  "--device", devices[d]));
    REFUSED(1, "] is not finite",
            cloze("trace", "broken/model", "--batch", "three.jsonl", "--out", "three.h5",
                  "--device", devices[d]));
    assert_false(cz_fs_exists(under("three.h5")));
  }
  REFUSED(1, "not finite", cloze("evaluate", "evaluate.yaml", "--out", "huge1", "init=huge/model"));
  REFUSED(1, "not finite", cloze_with("fine day\n", "generate", "huge/model"));
}

/* A stage that starts from a model that was changed says which file, and both hashes. */
static void test_changed_model(void **state) {
  cz_buf weights = {0};
  shell("cp -r base touched");
  outcome o = cloze("evaluate", "evaluate.yaml", "--out", "as-left", "init=touched/model");
  EXPECT(0, o);
  assert_null(strstr(o.err, "has changed since its stage left it"));
  assert_int_equal(cz_fs_read(under("touched/model/model.safetensors"), &weights), CZ_OK);
  weights.data[weights.len - 4] ^= 1; /* the last bit of a weight */
  assert_int_equal(
      cz_fs_write_atomic(under("touched/model/model.safetensors"), weights.data, weights.len),
      CZ_OK);
  cz_buf_free(&weights);
  o = cloze("evaluate", "evaluate.yaml", "--out", "as-changed", "init=touched/model");
  EXPECT(0, o);
  if (!strstr(o.err, "warning: touched/model/model.safetensors has changed since its stage left "
                     "it: its hash was ") ||
      strstr(o.err, "config.json has changed"))
    fail_msg("%s", o.err);
}

/* Text that is not UTF-8 is refused before a folder is made; names of files are bytes and always
 * work. */
static void test_bytes(void **state) {
  REFUSED(2, "the byte 0xe9, number 10, does not belong in a UTF-8 text",
          cloze("run", "x.yaml", "--out", "no-folder", "title=caf\xe9"));
  assert_false(cz_fs_exists(under("no-folder")));
  EXPECT(0, cloze("run", "x.yaml", "--out", "caf\xe9: #1", "seeds=[1]"));
  outcome o = cloze("run", "x.yaml", "--out", "caf\xe9: #1", "seeds=[1]");
  EXPECT(0, o);
  assert_null(strstr(o.err, "seed 1"));
  shell("rm 'caf\xe9: #1/result.json' 'caf\xe9: #1'/stages/evaluate-*/result.json");
  EXPECT(0, cloze("run", "x.yaml", "--out", "caf\xe9: #1", "seeds=[1]"));
  EXPECT(0, cloze("report", "caf\xe9: #1", "--html", "caf\xe9.html"));
  EXPECT(0, cloze("report", "caf\xe9: #1", "--stages"));
  shell("grep -q 'init: .*caf.*xe9' 'caf\xe9: #1'/stages/finetune-*/config.yaml");
}

/* One bad file never ends a listing. */
static void test_listing(void **state) {
  assert_int_equal(cz_fs_make_dirs(under("some")), CZ_OK);
  write_text("some/a.yaml", "title: caf\xe9\nrows: []\n");
  write_text("some/b\xe9.yaml", "title: well\nrows: []\n");
  write_text("some/c.yaml", "title: [1]\nrows: []\n");
  write_text("some/d.yaml", "title: last\nrows: []\n");
  static const char *const wanted[] = {"a.yaml", "the byte 0xe9", "b\\xe9.yaml", "well",
                                       "c.yaml", "expected",      "d.yaml",      "last"};
  outcome o = cloze("list", "experiments", "--in", "some");
  EXPECT(0, o);
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
    if (!strstr(o.out, wanted[i])) fail_msg("no '%s' in %s", wanted[i], o.out);
  int lines = 0; /* a line a file: a reason of several lines would break the table */
  for (const char *at = o.out; *at; at++) lines += *at == '\n';
  if (lines != 5) fail_msg("%d lines for a header and four files:\n%s", lines, o.out);
  o = cloze("list", "experiments", "--in", "some", "--json");
  EXPECT(0, o);
  json_error_t why;
  json_t *all = json_loads(o.out, 0, &why);
  assert_int_equal(json_array_size(json_object_get(all, "experiments")), 4);
  json_decref(all);
}

/* What is wrong in a file is named with its line. */
static void test_places(void **state) {
  write_text("bad.txt", "first\n\none\ntwo\nth\xffree\nfour\n\nlast\n");
  REFUSED(1, "bad.txt:5:3: the byte 0xff does not belong in a UTF-8 text",
          cloze("corpus", "--tokenizer", SAMPLE "/tokenizer.json", "--out", "b.h5", "bad.txt"));
  REFUSED(1, "bad.txt:5:3: the byte 0xff does not belong in a UTF-8 text",
          cloze("objective", "lm", "--tokenizer", SAMPLE "/tokenizer.json", "--text", "bad.txt"));
  write_text("ids.jsonl", "{\"input_ids\": [5, 1], \"target_ids\": [7, 1]}\n{\"input_ids\": [5, "
                          "64], \"target_ids\": [7, 1]}\n");
  REFUSED(1, "ids.jsonl:2: element 1 of input_ids, 64, is not in the vocabulary of 64",
          cloze("trace", FIXTURES "/t5/v1_0", "--batch", "ids.jsonl", "--out", "b.h5"));
}

static void test_no_model(void **state) {
  REFUSED(2,
          "base is no model's folder: a model's folder has config.json, model.safetensors and "
          "tokenizer.json; did you mean base/model?",
          cloze_with("x\n", "generate", "base"));
  REFUSED(2, "nowhere is not there: a model's folder has",
          cloze_with("x\n", "generate", "nowhere"));
  REFUSED(2, "init: base is no model's folder",
          cloze("finetune", "finetune.yaml", "--out", "none", "init=base"));
  REFUSED(2, "init: base is no model's folder",
          cloze("evaluate", "evaluate.yaml", "--out", "none", "init=base"));
  write_text("lost.yaml", "seed: 5\ntokenizer: " SAMPLE
                          "/tokenizer.json\nmodel: {name: t5-nano}\ntasks: {list: []}\n");
  REFUSED(2, "lost.yaml:1:1: `init: FOLDER` is missing: which model is to be scored?",
          cloze("evaluate", "lost.yaml", "--out", "none"));
}

static void test_names_in_output(void **state) {
  cz_buf text = {0};
  outcome o = cloze("run", "x.yaml", "--out", "words");
  EXPECT(0, o);
  static const char *const said[] = {"pretrain: step 2 of 2, loss ", " tokens/s, ", " elapsed, ",
                                     "mood: example ", "finetune: mood: 2 examples\n"};
  for (int i = 0; i < 5; i++)
    if (!strstr(o.err, said[i])) fail_msg("'%s' is not in: %s", said[i], o.err);
  static const char *const heads[] = {"mean ± deviation", "95 % interval", "minus spans, 95 %",
                                      "beats naive_bayes", "the paper's"};
  for (int i = 0; i < 5; i++)
    if (!strstr(o.out, heads[i])) fail_msg("'%s' is not in: %s", heads[i], o.out);
  o = cloze("report", "words", "--stages");
  EXPECT(0, o);
  int lines = 0;
  for (const char *s = o.out; *s; s++) lines += *s == '\n';
  assert_int_equal(lines, 1 + 2 * 2 * 3);
  assert_non_null(strstr(o.out, "2  prefix  evaluate  done   words/stages/evaluate-"));
  assert_int_equal(cz_fs_read(under("words/plan.json"), &text), CZ_OK);
  assert_non_null(
      strstr(text.data, "\"row\": 1, \"name\": \"prefix\", \"stage\": \"evaluate\", \"key\": \""));
  cz_buf_free(&text);
}

static void test_help_keys(void **state) {
  static const char *const wanted[] = {
      "seed (",
      "values of pretrain, finetune: loss last_loss steps ",
      "held_out, besides: held_out_loss held_out_perplexity held_out_tokens\n",
      "data_made_by (",
      "init (",
      "corpus (",
      "tokenizer (",
      "kind (",
      "rows (",
      "columns (",
      "scales (",
      "paper_noise (",
      "seeds (",
      "baseline (",
      "set (",
      "value (",
      "scores: mcc",
      "scores: rouge1, rouge2, rougeL",
      "scores of tsv and csv: accuracy",
      "last_loss"};
  static const char *const topics[] = {"keys", "keys-markdown", "man"};
  outcome o = cloze("help", "keys");
  EXPECT(0, o);
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
    if (!strstr(o.out, wanted[i])) fail_msg("cloze help keys lacks '%s'", wanted[i]);
  for (int i = 0; i < 3; i++) {
    o = cloze("help", topics[i]);
    EXPECT(0, o);
    if (strstr(o.out, ".h)") || strstr(o.out, ".c)"))
      fail_msg("cloze help %s sends its reader to C", topics[i]);
  }
}

/* Manuals name the devices that there are in the same words. */
static void test_help_devices(void **state) {
  static const char *const commands[] = {"run",   "pretrain", "evaluate", "generate",
                                         "graph", "bench",    "trace"};
  for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
    outcome o = cloze("help", commands[i]);
    EXPECT(0, o);
    if (!strstr(o.out, " or another of `cloze list devices`: cuda, auto, emu\n"))
      fail_msg("cloze help %s lacks the devices", commands[i]);
    assert_non_null(
        strstr(o.out, i < 6 ? " cpu (default) or another" : " ref (float64, default) or another"));
  }
}

/* A file of the other kind: an experiment is no stage. */
static void test_experiment_as_a_stage(void **state) {
  static const char *const kinds[] = {"pretrain", "finetune", "evaluate"};
  char said[200];
  for (int i = 0; i < 3; i++) {
    snprintf(said, sizeof said,
             ": stages: this is a key of an experiment, which cloze run takes; cloze %s takes the "
             "file of one stage\n",
             kinds[i]);
    REFUSED(2, said, cloze(kinds[i], "x.yaml", "--out", "none"));
  }
  write_text("title.yaml", "title: alone\n");
  REFUSED(2, "title.yaml:1:8: title: this is a key of an experiment, which cloze run takes",
          cloze("pretrain", "title.yaml", "--out", "none"));
  assert_false(cz_fs_exists(under("none")));
}

/* The oracle computes the op of cuDNN's attention, too: that is no cuDNN, which the log would say.
 */
static void test_no_cudnn(void **state) {
  static const char *const names[] = {"ref", "guard:ref", "cpu"};
  char said[100];
  for (int i = 0; i < 3; i++) {
    snprintf(said, sizeof said, "attention cudnn: device %s has no cuDNN; a card has", names[i]);
    REFUSED(2, said,
            cloze("pretrain", "pretrain.yaml", "--out", "none", "--device", names[i],
                  "model.dropout=0", "train.attention=cudnn"));
  }
  assert_false(cz_fs_exists(under("none")));
  outcome o = cloze("pretrain", "pretrain.yaml", "--out", "auto", "train.attention=auto");
  EXPECT(0, o);
  assert_non_null(strstr(o.err, "pretrain: attention: our own kernels; device cpu has no cuDNN\n"));
}

/* A program without the CUDA module says that, and where it looked. */
static void test_no_cuda_module(void **state) {
  char said[400];
  assert_int_equal(setenv("CZ_MODULE_PATH", folder(), 1), 0);
  snprintf(said, sizeof said,
           "device cuda: there is no CUDA module: libcloze_cuda.so was looked for in %s\n",
           folder());
  REFUSED(2, said, cloze("pretrain", "pretrain.yaml", "--out", "none", "--device", "cuda"));
  outcome o = cloze("generate", "base/model", "--device", "auto");
  EXPECT(0, o);
  snprintf(said, sizeof said,
           "device: cpu, because device cuda: there is no CUDA module: libcloze_cuda.so was "
           "looked for in %s\n",
           folder());
  if (!strstr(o.err, said)) fail_msg("%s is not in %s", said, o.err);
  cz_buf text = {0}; /* a run's log has what was chosen */
  EXPECT(0, cloze("pretrain", "pretrain.yaml", "--out", "chosen", "--device", "auto"));
  assert_int_equal(cz_fs_read(under("chosen/log.txt"), &text), CZ_OK);
  assert_non_null(strstr(text.data, "pretrain: on device cpu, "));
  cz_buf_free(&text);
  write_text("libcloze_cuda.so", "no library");
  o = cloze("generate", "base/model", "--device", "cuda");
  EXPECT(2, o);
  assert_null(strstr(o.err, "is no CUDA module"));
  assert_non_null(strstr(o.err, "libcloze_cuda.so"));
  assert_int_equal(unlink(under("libcloze_cuda.so")), 0);
  assert_int_equal(unsetenv("CZ_MODULE_PATH"), 0);
}

/* What can't be written is no success, however much of it the C library held back. */
static void test_full_output(void **state) {
  static const char *const words[] = {"help",
                                      "help keys",
                                      "help keys-markdown",
                                      "help man",
                                      "help run",
                                      "--version",
                                      "list models",
                                      "list devices --json",
                                      "devices",
                                      "graph pretrain.yaml",
                                      "show x.yaml --cost",
                                      "objective lm --tokenizer " SAMPLE
                                      "/tokenizer.json --text test.tsv",
                                      "tokenize " SAMPLE "/tokenizer.json < test.tsv",
                                      "generate base/model < test.tsv"};
  char command[400];
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
    snprintf(command, sizeof command, "'%s' %s > plain", CZ_PROGRAM, words[i]);
    shell(command);
    snprintf(command, sizeof command,
             "'%s' %s > /dev/full 2> said; test $? = 1 && grep -q 'standard output' said",
             CZ_PROGRAM, words[i]);
    shell(command);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_everything_is_checked_first),
                                     cmocka_unit_test(test_files_are_checked_first),
                                     cmocka_unit_test(test_columns),
                                     cmocka_unit_test(test_results_are_known),
                                     cmocka_unit_test(test_models_of_another_family),
                                     cmocka_unit_test(test_scales),
                                     cmocka_unit_test(test_no_init),
                                     cmocka_unit_test(test_names_of_folders),
                                     cmocka_unit_test(test_no_trace),
                                     cmocka_unit_test(test_truncated_model),
                                     cmocka_unit_test(test_ranks),
                                     cmocka_unit_test(test_cut_inputs_are_told),
                                     cmocka_unit_test(test_not_finite),
                                     cmocka_unit_test(test_changed_model),
                                     cmocka_unit_test(test_bytes),
                                     cmocka_unit_test(test_listing),
                                     cmocka_unit_test(test_cuts_are_told),
                                     cmocka_unit_test(test_places),
                                     cmocka_unit_test(test_no_model),
                                     cmocka_unit_test(test_names_in_output),
                                     cmocka_unit_test(test_help_keys),
                                     cmocka_unit_test(test_help_devices),
                                     cmocka_unit_test(test_held_out_values),
                                     cmocka_unit_test(test_experiment_as_a_stage),
                                     cmocka_unit_test(test_no_cuda_module),
                                     cmocka_unit_test(test_no_cudnn),
                                     cmocka_unit_test(test_full_output)};
  return cmocka_run_group_tests(tests, make_run_files, drop_folder);
}
