/* An experiment of few-shot stages by one process, by four ranks of MPI, by two of which one is
 * killed again and again, and by two processes of which only the second is: the same metrics, byte
 * for byte. */
#include "few_shot_test.h"

#include "base/clock.h"

#include <glob.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RUN "run @/experiment.yaml"

static const char experiment[] =
    "title: ranks\n"
    "seeds: [1, 2]\n"
    "common:\n"
    "  init: %s/bert\n"
    "  examples: {pattern: %s/p.yaml, train: %s/train.tsv, unlabelled_file: %s/pool.tsv, test: "
    "%s/test.tsv, labelled: 12, max_length: 40}\n"
    "  batch: {examples: 6}\n"
    "  optimizer: {name: adamw, learning_rate: 0.01}\n"
    "  train: {steps: 30, checkpoint_steps: 5}\n"
    "stages:\n"
    "  zero: {kind: classify, classify: {strategy: tuning_free, calibrate: unlabeled_mean}}\n"
    "  vectors: {kind: classify, classify: {strategy: sentence_encoder}}\n"
    "  pet: {kind: classify, classify: {strategy: pet, repetitions: 2, lm: 0.1, lm_examples: 2}}\n"
    "  ipet: {kind: classify, classify: {strategy: pet, repetitions: 2, from: $pet, scale: 2}}\n"
    "  student: {kind: distill, distill: {from: $pet}}\n"
    "rows:\n"
    "  - {name: zero, without: [vectors, pet, ipet, student]}\n"
    "  - {name: vectors, without: [zero, pet, ipet, student]}\n"
    "  - {name: PET, without: [zero, vectors, ipet]}\n"
    "  - {name: iPET, without: [zero, vectors], set: {student.distill.from: $ipet}}\n"
    "columns:\n"
    "  - {name: accuracy, value: [student.student.accuracy, vectors.ensemble.accuracy,\n"
    "     zero.calibrated.accuracy], take: first}\n";

/* How many members of RUN have left their scores. */
static size_t done_in(const char *run) {
  char pattern[256];
  glob_t found;
  snprintf(pattern, sizeof pattern, "%s/stages/*/members/*/logits.h5", under(run));
  if (glob(pattern, 0, NULL, &found)) return 0;
  const size_t n = found.gl_pathc;
  globfree(&found);
  return n;
}

/* Who holds a lock of a member of RUN and is not NOT; 0: nobody. */
static pid_t helper_in(const char *run, pid_t not ) {
  char pattern[256];
  glob_t found;
  long pid = 0;
  snprintf(pattern, sizeof pattern, "%s/stages/*/members/*/lock", under(run));
  if (glob(pattern, 0, NULL, &found)) return 0;
  for (size_t i = 0; i < found.gl_pathc; i++) {
    FILE *f = fopen(found.gl_pathv[i], "r");
    if (f && fscanf(f, "process %ld", &pid) == 1 && pid != (long)not )
      i = found.gl_pathc;
    else
      pid = 0;
    if (f) fclose(f);
  }
  globfree(&found);
  return (pid_t)pid;
}

/* Killed while it has a member under way; the first goes on with that, and says what happened. */
static void second_killed(void **state) {
  static const struct timespec nap = {.tv_nsec = 1000000};
  pid_t helper = 0;
  const pid_t parent = launch(&(start){0}, RUN " --jobs 2 --out @/two");
  for (int i = 0; i < 60000 && !helper; i++) {
    helper = helper_in("two", parent);
    if (!helper) nanosleep(&nap, NULL);
  }
  assert_true(helper > 0);
  assert_int_equal(getpgid(helper), getpgid(parent)); /* a process of this run and no other's */
  assert_int_equal(kill(helper, SIGKILL), 0);
  assert_int_equal(wait_for(parent), 0);
  assert_non_null(strstr(said(), "a process of --jobs ended with signal 9"));
  same_file("one/result.json", "two/result.json");
}

#ifdef CZ_HAVE_MPI
static void four_ranks(void **state) {
  run_into(&(start){.ranks = 4}, RUN, "ranks");
  same_file("one/result.json", "ranks/result.json");
}

/* A rank dies when members are done, others begun and none of some stages, three times; what two
 * ranks make of the rest is the same. Each rank says who it is. */
static void rank_killed(void **state) {
  static const struct timespec nap = {.tv_nsec = 1000000};
  char runner[512];
  write_format("runner.sh", "#!/bin/sh\necho $$ > %s/pid.$OMPI_COMM_WORLD_RANK\nexec \"$@\"\n",
               folder());
  snprintf(runner, sizeof runner, "%s", under("runner.sh"));
  assert_int_equal(chmod(runner, 0755), 0);
  for (size_t k = 0; k < 3; k++) {
    const size_t before = done_in("dead");
    const pid_t parent = launch(&(start){.ranks = 2, .runner = runner}, RUN " --out @/dead");
    const double began = cz_seconds();
    while (done_in("dead") < before + 3 && cz_seconds() - began < 120) nanosleep(&nap, NULL);
    char *rank = read_text(under(k & 1 ? "pid.1" : "pid.0"), NULL);
    const int killed = kill((pid_t)atol(rank), SIGKILL), code = wait_for(parent);
    if (killed || code == 0) fail_msg("kill %zu did not land; it said:\n%s", k, said());
    print_message("rank %zu killed with %zu members done\n", k & 1, done_in("dead"));
    free(rank);
  }
  run_into(&(start){.ranks = 2}, RUN, "dead");
  same_file("one/result.json", "dead/result.json");
}
#endif

static int make(void **state) {
  if (make_few_shot(state)) return -1;
  const char *d = folder();
  write_format("experiment.yaml", experiment, d, d, d, d, d);
  run_into(&(start){0}, RUN, "one");
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
#ifdef CZ_HAVE_MPI
      cmocka_unit_test(four_ranks), cmocka_unit_test(rank_killed),
#endif
      cmocka_unit_test(second_killed)};
  return cmocka_run_group_tests(tests, make, drop_runs);
}
