/* What users and machines do wrong: each fault ends with the right exit code and a
 * message that names it, and nothing that was computed is lost. */
#include "train_test.h"

#include "checkpoint/checkpoint.h"
#include "data/reader.h"
#include "device/random.h"

#include <dirent.h>
#include <signal.h>

#define PRETRAIN "pretrain @/pretrain.yaml --out @/run "
#define FINETUNE "finetune @/finetune.yaml --out @/run "

/* A configuration that is wrong can be mended in the same folder: all of these use
 * one. */
static void configuration(void **state) {
  expect(2, PRETRAIN "train.stepz=3", "train: unknown key 'stepz'; did you mean 'steps'?");
  expect(2, PRETRAIN "train.steps=many", "train.steps: expected an integer, found 'many'");
  expect(2, PRETRAIN "train.steps=0", "train.steps: 0 is not between 1 and");
  expect(2, PRETRAIN "batch.shards=0", "batch.shards: 0 is not between 1 and 65536");
  expect(2, PRETRAIN "batch.input_tokens=3",
         "batch: 3 input and 128 target tokens cannot be cut into 4 shards");
  expect(2, PRETRAIN "model.relative_attention_max_distance=16",
         "max_distance: 16 must be larger than half the buckets, 16");
  expect(2, PRETRAIN "model.name=t5-nanoo", "t5-nano");
  expect(2, PRETRAIN "model.vocab_size=100",
         "model.vocab_size: 100 is smaller than the tokenizer's ");
  expect(2, PRETRAIN "objective.name=random_span", "did you mean 'random_spans'?");
  expect(2, PRETRAIN "objective.name=causal_lm",
         "objective: causal_lm is for causal stacks that read tokens as they are; the family t5 is "
         "for models that begin to read with a start token");
  expect(2, PRETRAIN "objective.name=masked_lm", "masked_lm needs a token before a text");
  expect(2, PRETRAIN "optimizer.name=adam", "optimizer.name");
  expect(2, PRETRAIN "tasks={}", "unknown key 'tasks'");
  expect(2, "finetune @/pretrain.yaml --out @/run", "unknown key 'corpus'");
  expect(2, "pretrain @/pretrain.yaml", "--out DIR is missing");
  expect(2, "pretrain --out @/run", "1 more word wanted");
  expect(2, "pretrain @/pretrain.yaml --outt @/run",
         "unknown option --outt; did you mean '--out'?");
  expect(2, PRETRAIN "--device gpu", "no device is called 'gpu'");
  expect(2, "pretrain @/none.yaml --out @/run", "none.yaml: there is no such file");
  write_format("bad.yaml", "seed: 5\ntokenizer: [\n");
  expect(2, "pretrain @/bad.yaml --out @/run", "bad.yaml:");
  expect(0, PRETRAIN, "done, see");
  remove_tree("run");
}

static void files(void **state) {
  expect(2, PRETRAIN "corpus=@/none.h5", "corpus: there is no file ");
  expect(2, PRETRAIN "tokenizer=@/none.json", "tokenizer: there is no file ");
  expect(1, PRETRAIN "corpus=@/foreign.h5", "build the corpus again");
  expect(1, "pretrain @/pretrain.yaml --out @/pretrain.yaml/run", "Not a directory");
  write_format("one.tsv", "the of\n");
  expect(1, FINETUNE "tasks.list.0.train=@/one.tsv",
         "one.tsv:1: there are 1 columns, 2 is none of them");
  write_format("label.tsv", "the of\tmaybe\n");
  expect(1, FINETUNE "tasks.list.0.train=@/label.tsv", "label.tsv:1");
  write_format("empty.tsv", "%s", "");
  expect(1, FINETUNE "tasks.list.0.train=@/empty.tsv", "empty.tsv: the file is empty");
  expect(1, "corpus --tokenizer @/none.json --out @/x.h5 @/empty.tsv", "none.json");
  expect(1,
         "corpus --tokenizer " CZ_SOURCE_DIR
         "/tests/fixtures/text/t5_a.json --out @/x.h5 @/empty.tsv",
         "empty.tsv: the file is empty");
  assert_false(cz_fs_exists(under("x.h5")));
  size_t n;
  char *whole = read_text(under("corpus.h5"), &n);
  FILE *f = fopen(under("cut.h5"), "w");
  assert_int_equal(fwrite(whole, 1, n / 3, f), n / 3);
  fclose(f);
  free(whole);
  expect(1, PRETRAIN "corpus=@/cut.h5", "cut.h5: not a whole HDF5 file: truncated file");
  remove_tree("run");
}

/* Data against budgets: too long, too little, none. */
static void budgets(void **state) {
  expect(1, FINETUNE "batch.long=refuse batch.max_inputs=3",
         "target tokens, the limits are 3 and 32; raise them or cut long examples");
  remove_tree("run");
  expect(0, FINETUNE "batch.long=cut batch.max_inputs=3", "done, see");
  char *m = metrics_of("run");
  assert_non_null(strstr(m, "\"cut\": "));
  assert_null(strstr(m, "\"cut\": 0,"));
  free(m);
  remove_tree("run");
  expect(2, PRETRAIN "objective.inputs_length=512", "does not fit a shard's 64 and 32");
  expect(2, PRETRAIN "batch.input_tokens=0", "batch: input_tokens is missing: how many tokens");
  expect(2, PRETRAIN "batch.target_tokens=0", "batch: target_tokens is missing: how many tokens");
  expect(2, PRETRAIN "batch.epoch_ends=short", "epoch_ends short is a rule of batches of a fixed");
  expect(2, FINETUNE "batch.examples=6 batch.max_inputs=16 batch.max_targets=8",
         "6 examples can't be shared by 4 shards");
  expect(2, FINETUNE "batch.examples=8", "max_inputs and max_targets must say how long that is");
  expect(0, FINETUNE "batch.examples=8 batch.max_inputs=16 batch.max_targets=8", "done, see");
  m = metrics_of("run");
  assert_non_null(strstr(m, "\"examples\": 96")); /* 12 steps */
  free(m);
  remove_tree("run");
  write_format("small.tsv", "the of\tyes\n");
  expect(0, FINETUNE "tasks.list.0.train=@/small.tsv",
         "examples repeats some where training has only 1;"); /* in every shard of every batch */
  remove_tree("run");
}

/* Steps whose gradient is not finite are skipped and counted; a run of them ends the run,
 * and a checkpoint is never made from such parameters. */
static void not_finite(void **state) {
  expect(1,
         PRETRAIN "optimizer.learning_rate=1e30 train.checkpoint_steps=0 train.steps=100 "
                  "train.nonfinite_limit=4",
         "4 steps in a row had a loss or gradient that is not finite");
  assert_non_null(strstr(said(), "there is no checkpoint yet"));
  assert_non_null(strstr(said(), "update skipped (1 in a row)"));
  assert_false(cz_fs_exists(under("run/checkpoint.h5")) || cz_fs_exists(under("run/result.json")));
  remove_tree("run");
  expect(1, PRETRAIN "optimizer.learning_rate=1e30 train.checkpoint_steps=1",
         "the parameters are not finite after step 1 (learning rate 1e+30)");
  assert_false(cz_fs_exists(under("run/checkpoint.h5")));
  remove_tree("run");
}

/* Two runs in one folder: at the same time, and of two configurations. */
static void one_folder(void **state) {
  pid_t pid = launch(&(start){0}, PRETRAIN "train.steps=1000000");
  wait_for_file(pid, under("run/checkpoint.h5"));
  expect(1, PRETRAIN "train.steps=1000000", "run/lock: another process holds this lock: process ");
  kill(pid, SIGINT);
  assert_int_equal(wait_for(pid), 1);
  expect(2, PRETRAIN "train.steps=999",
         "/run: this folder holds another run:\n  train.steps: 1000000 there, 999 now\n");
  char *log = read_text(under("run/log.txt"), NULL);
  assert_non_null(strstr(log, "parameters"));
  free(log);
  remove_tree("run");
}

/* Where the N bytes of PART stand in a file of the folder; -1 when nowhere. */
static int64_t find_bytes(const char *from, const void *part, size_t n) {
  size_t size;
  char *bytes = read_text(from, &size), *at = bytes;
  while (at && (at = memchr(at, *(const char *)part, size - (size_t)(at - bytes)))) {
    if (size - (size_t)(at - bytes) < n) at = NULL;
    if (at && !memcmp(at, part, n)) break;
    if (at) at++;
  }
  int64_t found = at ? at - bytes : -1;
  free(bytes);
  return found;
}

static void flip(const char *to, const char *from, uint64_t bit) {
  size_t n;
  char *b = read_text(from, &n);
  b[bit / 8 % n] ^= (char)(1 << bit % 8);
  FILE *f = fopen(to, "w");
  assert_non_null(f);
  assert_int_equal(fwrite(b, 1, n, f), n);
  assert_int_equal(fclose(f), 0);
  free(b);
}

/* Bytes of a file. */
typedef struct stretch {
  uint64_t begin, n;
} stretch;

/* A random bit of them. */
static uint64_t bit_of(const stretch *x, cz_stream *s) {
  return 8 * (x->begin + cz_stream_below(s, x->n)) + cz_stream_below(s, 8);
}

/* Where a checkpoint's largest array lies. */
static stretch largest_array(const char *file) {
  cz_checkpoint *c;
  const cz_checkpoint_entry *e, *largest = NULL;
  OK(cz_checkpoint_open_file(&c, file));
  for (size_t i = 0; (e = cz_checkpoint_at(c, i)); i++)
    if (!largest || e->elements > largest->elements) largest = e;
  size_t n = largest->elements * cz_checkpoint_type_size(largest->type);
  char *data = malloc(n);
  assert_non_null(data);
  OK(cz_checkpoint_get(c, data, largest->name, largest->type, largest->dims, largest->rank));
  int64_t at = find_bytes(file, data, n);
  assert_true(at > 0 && n > 100); /* in one chunk */
  free(data);
  cz_checkpoint_close(&c);
  return (stretch){(uint64_t)at, n};
}

/* Where a corpus' tokens lie, which fit 16 bits and one chunk. */
static stretch all_tokens(const char *file) {
  cz_reader *r;
  cz_ids ids = {0};
  OK(cz_reader_open(&r, file, NULL));
  for (int64_t i = 0; i < cz_reader_about(r)->documents; i++)
    OK(cz_reader_append(r, &ids, i, 0, cz_reader_length(r, i)));
  uint16_t *stored = malloc(ids.len * sizeof *stored);
  assert_non_null(stored);
  for (size_t i = 0; i < ids.len; i++) stored[i] = (uint16_t)ids.data[i];
  const size_t n = ids.len * sizeof *stored;
  int64_t at = find_bytes(file, stored, n);
  assert_true(at > 0 && n > 1000);
  free(stored);
  free(ids.data);
  cz_reader_close(&r);
  return (stretch){(uint64_t)at, n};
}

/* A flipped bit in a checkpoint: the one before is taken, always when the bit is part of an
 * array, else unless the bit does not matter; the result is the same. Both broken: said, not
 * guessed. */
static void damaged_checkpoint(void **state) {
  cz_stream s;
  cz_stream_init(&s, test_seed(), "flips", 0, 0);
  expect(0, "pretrain @/pretrain.yaml --out @/whole train.steps=150", "done, see");
  char *want = metrics_of("whole");
  stop_midway("train.steps=150", "run/checkpoint.prev.h5");
  copy_file(under("newest"), under("run/checkpoint.h5"));
  copy_file(under("previous"), under("run/checkpoint.prev.h5"));
  copy_file(under("lines"), under("run/metrics.jsonl"));
  const stretch array = largest_array(under("newest"));
  int older = 0, newest = 0;
  for (int i = 0; i < 6; i++) {
    const bool in_array = i % 2 == 0;
    remove_tree("run/result.json");
    copy_file(under("run/metrics.jsonl"), under("lines"));
    copy_file(under("run/checkpoint.prev.h5"), under("previous"));
    flip(under("run/checkpoint.h5"), under("newest"),
         in_array ? bit_of(&array, &s)
                  : ((uint64_t)cz_stream_u32(&s) << 8) + cz_stream_u32(&s) % 8);
    expect(0, PRETRAIN "train.steps=150", "going on at step");
    older += strstr(said(), "checkpoint.prev.h5)") != NULL;
    newest += strstr(said(), "checkpoint.h5)") != NULL;
    if (in_array && !strstr(said(), "checkpoint.prev.h5)"))
      fail_msg("a flipped bit of an array was not found:\n%s", said());
    char *got = metrics_of("run");
    assert_string_equal(got, want);
    same_file("run/model/model.safetensors", "whole/model/model.safetensors");
    same_file("run/metrics.jsonl", "whole/metrics.jsonl");
    free(got);
  }
  print_message("flipped bits: %d times the checkpoint before, %d times the newest\n", older,
                newest);
  assert_true(older >= 3 && older + newest == 6);
  remove_tree("run/result.json");
  write_format("run/checkpoint.h5", "no checkpoint");
  write_format("run/checkpoint.prev.h5", "%s", "");
  expect(1, PRETRAIN "train.steps=150", "no checkpoint can be used");
  assert_non_null(strstr(said(), "checkpoint.prev.h5"));
  free(want);
  remove_tree("run");
  remove_tree("whole");
}

/* A checkpoint of cpu goes on under guard:cpu, whose memory has another layout, with the
 * same bits, and the other way round. */
static void other_layout(void **state) {
  expect(0, "pretrain @/pretrain.yaml --out @/whole train.steps=150", "done, see");
  stop_midway("train.steps=150", "run/checkpoint.prev.h5");
  expect(0, PRETRAIN "train.steps=150 --device guard:cpu", "going on at step");
  same_file("run/model/model.safetensors", "whole/model/model.safetensors");
  same_file("run/metrics.jsonl", "whole/metrics.jsonl");
  same_file("run/checkpoint.h5", "whole/checkpoint.h5");
  remove_tree("run");
  remove_tree("whole");
}

/* A flipped bit of a token is always found, when its chunk is read; one elsewhere in the corpus
 * is found, or lies where nobody reads. */
static void damaged_corpus(void **state) {
  cz_stream s;
  cz_stream_init(&s, test_seed(), "corpus flips", 0, 0);
  expect(0, "pretrain @/pretrain.yaml --out @/whole", "done, see");
  char *want = metrics_of("whole");
  const stretch tokens = all_tokens(under("corpus.h5"));
  int found = 0, tries = 12;
  for (int i = 0; i < tries; i++) {
    const bool in_tokens = i % 2 == 0;
    flip(under("flipped.h5"), under("corpus.h5"),
         in_tokens ? bit_of(&tokens, &s)
                   : ((uint64_t)cz_stream_u32(&s) << 8) + cz_stream_u32(&s) % 8);
    remove_tree("run");
    int code = cloze(&(start){0}, PRETRAIN "corpus=@/flipped.h5");
    if (code == 0) {
      if (in_tokens) fail_msg("a flipped bit of a token was not found");
      char *got = metrics_of("run");
      assert_string_equal(got, want);
      free(got);
    } else {
      found++;
      if (code != 1 || !strstr(said(), "flipped.h5"))
        fail_msg("flipped bit in the corpus: exit code %d, said:\n%s", code, said());
    }
  }
  print_message("flipped bits in the corpus: %d of %d found, the others changed nothing\n", found,
                tries);
  assert_true(found >= tries / 2);
  free(want);
  remove_tree("run");
  remove_tree("whole");
}

/* The disk is full at some point: the message names the file, and with room again the run
 * goes on and ends as if nothing had been. LLVM's OpenMP writes 1 kB of shared memory when
 * it starts, which the limit counts as a file. */
static void full_disk(void **state) {
  static const long limits[] = {1100, 3000, 20000, 60000, 100000, 115000};
  expect(0, "pretrain @/pretrain.yaml --out @/whole", "done, see");
  char *want = metrics_of("whole");
  int failed = 0;
  for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
    remove_tree("run");
    int code = cloze(&(start){.file_limit = limits[i]}, PRETRAIN);
    if (code == 0) continue; /* everything fits */
    failed++;
    if (code != 1 || !strstr(said(), "File too large") || !strstr(said(), "/run/"))
      fail_msg("files of %ld bytes: exit code %d, said:\n%s", limits[i], code, said());
    expect(0, PRETRAIN, "done, see");
    char *got = metrics_of("run");
    assert_string_equal(got, want);
    same_file("run/model/model.safetensors", "whole/model/model.safetensors");
    free(got);
  }
  assert_true(failed >= 4);
  free(want);
  remove_tree("run");
  remove_tree("whole");
}

/* An experiment's folder: spelled in another way it is the same; a file that was wrong
 * can be mended; a finished run belongs to its file. */
static void experiment_folder(void **state) {
  expect(1,
         "run @/experiment.yaml --out @/run stages.finetune.batch.long=refuse "
         "stages.finetune.batch.max_inputs=2",
         "the limits are 2 and");
  expect(0, "run @/experiment.yaml --out @/run", "full report");
  if (strstr(said(), "[1/3]")) fail_msg("the pretraining that was done is done again:\n%s", said());
  expect(0, "run @/experiment.yaml --out @/./run/", "full report");
  expect(2, "run @/experiment.yaml --out @/run stages.pretrain.train.steps=21",
         "this folder holds another run");
  remove_tree("run");
}

/* Models to start from that are not what the recipe says, or broken. */
static void wrong_init(void **state) {
  expect(0, "pretrain @/pretrain.yaml --out @/whole", "done, see");
  expect(
      2, FINETUNE "init=@/none",
      "none is not there: a model's folder has config.json, model.safetensors and tokenizer.json");
  expect(2, FINETUNE "init=@/whole/model model.d_model=32",
         "whole/model: the model there has d_model 16, the recipe's has 32");
  expect(2, FINETUNE "init=@/whole/model model.name=lm-nano",
         "whole/model: the model there (t5) has the architecture encoder-decoder, the recipe's "
         "(lm) has language model");
  size_t n;
  char *weights = read_text(under("whole/model/model.safetensors"), &n);
  FILE *f = fopen(under("whole/model/model.safetensors"), "w");
  assert_int_equal(fwrite(weights, 1, n - 10, f), n - 10);
  fclose(f);
  expect(1, FINETUNE "init=@/whole/model", "whole/model/model.safetensors");
  const float nothing = __builtin_nanf("");
  memcpy(weights + n - 400, &nothing, 4); /* NaN weights are found at the first step */
  f = fopen(under("whole/model/model.safetensors"), "w");
  assert_int_equal(fwrite(weights, 1, n, f), n);
  fclose(f);
  expect(1, FINETUNE "init=@/whole/model train.nonfinite_limit=2", "not finite");
  expect(2, "evaluate @/experiment.yaml --out @/run",
         "this is a key of an experiment, which cloze run takes");
  free(weights);
  remove_tree("run");
  remove_tree("whole");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(configuration),    cmocka_unit_test(files),
      cmocka_unit_test(budgets),          cmocka_unit_test(not_finite),
      cmocka_unit_test(one_folder),       cmocka_unit_test(damaged_checkpoint),
      cmocka_unit_test(damaged_corpus),   cmocka_unit_test(other_layout),
      cmocka_unit_test(full_disk),        cmocka_unit_test(wrong_init),
      cmocka_unit_test(experiment_folder)};
  return cmocka_run_group_tests(tests, make_runs, drop_runs);
}
