/* One SIGTERM ends a command wherever it reads: while it hashes a file, reads weights, or checks
 * and encodes the records of a task. The files are so large that reading them to the end takes
 * many times as long as a stop may. */
#include "train_test.h"

#include "base/clock.h"
#include "base/stop.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/safetensors.h"
#include "data/reader.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
  STOPS_WITHIN = 5 /* seconds; about one on an idle machine */
};

static const struct timespec moment = {.tv_nsec = 5000000};

/* Whether the process PID has the file NAME open. */
static bool reads(pid_t pid, const char *name) {
  char folder_name[64], path[400], target[4096];
  snprintf(folder_name, sizeof folder_name, "/proc/%ld/fd", (long)pid);
  DIR *open_files = opendir(folder_name);
  bool found = false;
  for (const struct dirent *e; open_files && !found && (e = readdir(open_files));) {
    snprintf(path, sizeof path, "%s/%s", folder_name, e->d_name);
    ssize_t n = readlink(path, target, sizeof target - 1);
    target[n > 0 ? n : 0] = '\0';
    found = strstr(target, name);
  }
  if (open_files) closedir(open_files);
  return found;
}

static void wait_until_reads(pid_t pid, const char *name) {
  for (double began = cz_seconds(); !reads(pid, name); nanosleep(&moment, NULL))
    if (cz_seconds() - began > 60) {
      kill(pid, SIGKILL);
      int code = wait_for(pid);
      fail_msg("%s is never read; exit code %d:\n%s", name, code, said());
    }
}

/* The command was told to stop at BEGAN: it ends with 1, says so, and soon. */
static void expect_stop(pid_t pid, double began, const char *what) {
  int code = wait_for(pid);
  double took = cz_seconds() - began;
  print_message("%s: ended %.2f s after SIGTERM\n", what, took);
  if (code != 1 || !strstr(said(), "run the same command again"))
    fail_msg("%s: exit code %d, said:\n%s", what, code, said());
  if (took > STOPS_WITHIN) fail_msg("%s: SIGTERM took %.1f seconds", what, took);
}

static void stop_while_reading(const char *words, const char *name) {
  pid_t pid = launch(&(start){0}, words);
  wait_until_reads(pid, name);
  nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
  double began = cz_seconds();
  kill(pid, SIGTERM);
  expect_stop(pid, began, name);
}

/* A file of BYTES zeros that take no room. */
static void make_sparse(const char *name, off_t bytes) {
  int fd = open(under(name), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  assert_true(fd >= 0);
  if (ftruncate(fd, bytes)) fail_msg("%s can't be made %lld bytes long", name, (long long)bytes);
  close(fd);
}

/* A model's folder with one file more, which belongs to what is hashed. */
static void make_model(void) {
  if (cz_fs_exists(under("whole/model/extra.safetensors"))) return;
  expect(0, "pretrain @/pretrain.yaml --out @/whole train.steps=2", "done, see");
  make_sparse("whole/model/extra.safetensors", (off_t)1 << 37);
}

static void hashing(void **state) {
  make_model();
  stop_while_reading("finetune @/finetune.yaml init=@/whole/model --out @/run",
                     "extra.safetensors");
  assert_false(cz_fs_exists(under("run/result.json")));
  remove_tree("run");
}

static void hashing_in_a_run(void **state) {
  make_model();
  stop_while_reading("run @/experiment.yaml stages.finetune.init=@/whole/model --out @/run",
                     "extra.safetensors");
  remove_tree("run");
}

/* Both ranks are told; neither waits for the other for ever. */
static void hashing_on_two_ranks(void **state) {
#ifdef CZ_HAVE_MPI
  char runner[512], name[16];
  pid_t rank[2];
  make_model();
  write_format("runner.sh", "#!/bin/sh\necho $$ > %s/pid.$OMPI_COMM_WORLD_RANK\nexec \"$@\"\n",
               folder());
  snprintf(runner, sizeof runner, "%s", under("runner.sh"));
  assert_int_equal(chmod(runner, 0755), 0);
  pid_t pid = launch(&(start){.ranks = 2, .runner = runner},
                     "finetune @/finetune.yaml init=@/whole/model --comm mpi --out @/run");
  for (int r = 0; r < 2; r++) {
    snprintf(name, sizeof name, "pid.%d", r);
    wait_for_file(pid, under(name));
    nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
    char *text = read_text(under(name), NULL);
    rank[r] = (pid_t)atol(text);
    free(text);
  }
  for (int r = 0; r < 2; r++) wait_until_reads(rank[r], "extra.safetensors");
  double began = cz_seconds();
  for (int r = 0; r < 2; r++) kill(rank[r], SIGTERM);
  expect_stop(pid, began, "two ranks");
  remove_tree("run");
#else
  print_message("skipped: built without MPI\n");
  skip();
#endif
}

static void make_records(void) {
  FILE *f = fopen(under("many.tsv"), "w");
  assert_non_null(f);
  for (int i = 0; i < 2000000; i++) fputs("the of and in to was is the of\tyes\n", f);
  assert_int_equal(fclose(f), 0);
}

/* A corpus that is half written leaves nothing behind, and the one that it would have replaced
 * stays. */
static void corpus(void **state) {
  static const int signals[] = {SIGINT, SIGTERM};
  make_records();
  for (int i = 0; i < 2; i++) {
    write_format("made.h5", "before");
    pid_t pid = launch(&(start){0}, "corpus --tokenizer " CZ_SOURCE_DIR
                                    "/tests/fixtures/text/t5_a.json --documents line --out "
                                    "@/made.h5 @/many.tsv");
    wait_for_file(pid, under("made.h5.tmp"));
    nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    double began = cz_seconds();
    kill(pid, signals[i]);
    expect_stop(pid, began, "corpus");
    assert_false(cz_fs_exists(under("made.h5.tmp")));
    char *text = read_text(under("made.h5"), NULL);
    assert_string_equal(text, "before");
    free(text);
  }
  remove_tree("many.tsv");
}

/* Two million records: SIGTERM comes while they are read, checked or encoded, after a time that
 * the seed draws. */
static void records(void **state) {
  make_records();
  srand((unsigned)test_seed());
  for (int i = 0; i < 3; i++) {
    pid_t pid =
        launch(&(start){0}, "finetune @/finetune.yaml tasks.list.0.train=@/many.tsv --out @/run");
    wait_until_reads(pid, "many.tsv");
    nanosleep(&(struct timespec){.tv_nsec = rand() % 900000000}, NULL);
    double began = cz_seconds();
    kill(pid, SIGTERM);
    expect_stop(pid, began, "many.tsv");
  }
  remove_tree("run");
  remove_tree("many.tsv");
}

/* Readers of weights, checkpoints and corpora look at the request; a small file, which may be
 * needed to end in order, is still read. The last test: the request stays. */
static void readers(void **state) {
  cz_safetensors *s;
  cz_checkpoint *c;
  cz_reader *r;
  cz_buf text = {0};
  float *values;
  make_model();
  expect(
      0,
      "pretrain @/pretrain.yaml model.d_model=1024 optimizer.name=adamw train.steps=1 --out @/big",
      "done, see");
  make_sparse("small", CZ_FS_SMALL);
  make_sparse("large", CZ_FS_SMALL + 1);
  OK(cz_safetensors_open(&s, under("whole/model/model.safetensors")));
  OK(cz_reader_open(&r, under("corpus.h5"), NULL));
  const cz_safetensors_info *t = cz_safetensors_at(s, 0);
  OK(cz_alloc(&values, t->elements, sizeof *values));
  OK(cz_safetensors_read_f32(s, values, t->name, t->dims, t->rank));
  cz_stop_on_signals(false);
  assert_int_equal(raise(SIGTERM), 0);
  assert_true(cz_stop_requested());
  FAILS(cz_safetensors_read_f32(s, values, t->name, t->dims, t->rank), CZ_EINTERRUPT,
        "model.safetensors: stopped; run the same command again");
  FAILS(cz_checkpoint_open(&c, under("big")), CZ_EINTERRUPT, "checkpoint.h5: stopped");
  OK(cz_checkpoint_open(&c, under("whole")));
  cz_checkpoint_close(&c);
  FAILS(cz_reader_verify(r), CZ_EINTERRUPT, "corpus.h5: stopped");
  FAILS(cz_fs_read(under("large"), &text), CZ_EINTERRUPT, "large: stopped");
  OK(cz_fs_read(under("small"), &text));
  cz_buf_free(&text);
  free(values);
  cz_reader_close(&r);
  cz_safetensors_close(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(hashing),
                                     cmocka_unit_test(hashing_in_a_run),
                                     cmocka_unit_test(hashing_on_two_ranks),
                                     cmocka_unit_test(corpus),
                                     cmocka_unit_test(records),
                                     cmocka_unit_test(readers)};
  return cmocka_run_group_tests(tests, make_runs, drop_runs);
}
