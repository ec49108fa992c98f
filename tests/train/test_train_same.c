/* One recipe with four shards: the same bits with one and two threads, one, two and four
 * ranks, and across stops. */
#include "train_test.h"

#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void baseline(void) {
  if (!cz_fs_exists(under("one/result.json")))
    run_into(&(start){0}, "pretrain @/pretrain.yaml", "one");
}

static void threads(void **state) {
  baseline();
  run_into(&(start){.threads = 2}, "pretrain @/pretrain.yaml", "two");
  same_run("one", "two");
  run_into(&(start){.threads = 3}, "pretrain @/pretrain.yaml", "three");
  same_run("one", "three");
}

#define WIDE                                                                                       \
  "pretrain @/pretrain.yaml model.name=t5-v1_1-nano model.d_model=128 model.d_kv=32 "              \
  "model.d_ff=192 model.num_heads=3 batch.shards=1 "                                               \
  "batch.input_tokens=320 "                                                                        \
  "batch.target_tokens=192 train.steps=5"

/* At these sizes every op of a step shares its rows among threads; below, most work
 * alone. */
static void threads_wide(void **state) {
  run_into(&(start){0}, WIDE, "wide");
  run_into(&(start){.threads = 2}, WIDE, "wide2");
  same_run("wide", "wide2");
  run_into(&(start){.threads = 3}, WIDE " train.recompute=true", "wide3");
  same_run("wide", "wide3");
}

/* What may not change a bit of a training run: the guard, recomputation, how often it is
 * saved. */
static void variants(void **state) {
  baseline();
  run_into(&(start){0}, "pretrain @/pretrain.yaml --device guard:cpu", "guard");
  same_run("one", "guard");
  run_into(&(start){0}, "pretrain @/pretrain.yaml train.recompute=true", "recompute");
  same_run("one", "recompute");
  run_into(&(start){0},
           "pretrain @/pretrain.yaml train.checkpoint_steps=1 train.checkpoint_seconds=0", "often");
  same_run("one", "often");
}

static void ranks(void **state) {
#ifdef CZ_HAVE_MPI
  baseline();
  for (int n = 1; n <= 4; n *= 2) {
    char out[16];
    snprintf(out, sizeof out, "ranks%d", n);
    run_into(&(start){.ranks = n}, "pretrain @/pretrain.yaml --comm mpi", out);
    same_run("one", out);
  }
  run_into(&(start){0}, "run @/experiment.yaml", "alone");
  run_into(&(start){.ranks = 2}, "run @/experiment.yaml --comm mpi", "together");
  same_file("alone/result.json", "together/result.json");
  int code = cloze(&(start){.ranks = 3}, "pretrain @/pretrain.yaml --comm mpi --out @/odd");
  assert_true(code != 0);
  if (!strstr(said(), "3") || !strstr(said(), "shards"))
    fail_msg("three ranks and four shards: %s", said());
#else
  print_message("skipped: built without MPI\n");
  skip();
#endif
}

/* A run that is told to stop saves and says how to go on; then it is as if nothing had
 * been. */
static void stopped(void **state) {
  const struct timespec moment = {.tv_nsec = 1000000};
  baseline();
  int stops = 0, code = 1;
  for (int again = 0; again < 40 && code; again++) {
    pid_t pid = launch(&(start){0}, "pretrain @/pretrain.yaml --out @/stopped");
    wait_until_said(pid, "activations");
    nanosleep(&moment, NULL);
    kill(pid, SIGINT);
    code = wait_for(pid);
    if (code == 0 && stops) break;
    if (code == 0) { /* a busy machine told it too late */
      remove_tree("stopped");
      code = 1;
      continue;
    }
    stops++;
    if (code != 1 || !strstr(said(), "run the same command again"))
      fail_msg("SIGINT: exit code %d, said:\n%s", code, said());
    assert_false(cz_fs_exists(under("stopped/result.json")));
  }
  print_message("stopped %d times\n", stops);
  assert_true(stops > 0 && code == 0);
  same_run("one", "stopped");
}

/* The second signal ends the process where it stands. */
static void stopped_twice(void **state) {
  pid_t pid = launch(&(start){0}, "pretrain @/pretrain.yaml train.steps=100000000 --out @/twice");
  wait_until_said(pid, "activations");
  kill(pid, SIGSTOP); /* so that the loop can't answer the first before the second is there */
  kill(pid, SIGTERM);
  kill(pid, SIGINT);
  kill(pid, SIGCONT);
  int code = wait_for(pid);
  if (code != 128 + SIGINT && code != 128 + SIGTERM) fail_msg("stopped twice: exit code %d", code);
  remove_tree("twice");
}

/* One of two ranks is told to stop: both save, leave together and say so. */
static void stopped_ranks(void **state) {
#ifdef CZ_HAVE_MPI
  char runner[512];
  baseline();
  write_format("runner.sh", "#!/bin/sh\necho $$ > %s/pid.$OMPI_COMM_WORLD_RANK\nexec \"$@\"\n",
               folder());
  snprintf(runner, sizeof runner, "%s", under("runner.sh"));
  assert_int_equal(chmod(runner, 0755), 0);
  int stops = 0, code = 1;
  for (int again = 0; again < 4 && code; again++) {
    pid_t pid = launch(&(start){.ranks = 2, .runner = runner},
                       "pretrain @/pretrain.yaml --comm mpi --out @/rank_stopped");
    wait_until_said(pid, "activations");
    char *rank = read_text(under(again & 1 ? "pid.1" : "pid.0"), NULL);
    kill((pid_t)atol(rank), SIGINT);
    free(rank);
    code = wait_for(pid);
    if (code == 0) break;
    stops++;
    if (code != 1 || !strstr(said(), "run the same command again") || strstr(said(), "MPI_ABORT"))
      fail_msg("SIGINT to a rank: exit code %d, said:\n%s", code, said());
  }
  print_message("ranks stopped %d times\n", stops);
  assert_true(stops > 0);
  if (code) run_into(&(start){.ranks = 4}, "pretrain @/pretrain.yaml --comm mpi", "rank_stopped");
  same_run("one", "rank_stopped");
#else
  skip();
#endif
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(threads),      cmocka_unit_test(threads_wide),
      cmocka_unit_test(variants),     cmocka_unit_test(ranks),
      cmocka_unit_test(stopped),      cmocka_unit_test(stopped_twice),
      cmocka_unit_test(stopped_ranks)};
  return cmocka_run_group_tests(tests, make_runs, drop_runs);
}
