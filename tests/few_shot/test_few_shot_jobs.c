/* The second process of `--jobs 2`: it ends with the one that made it, at once where that is
 * killed, with its work saved where that is asked to stop, and it joins nobody else. */
#include "few_shot_test.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* Longer than any test: only a signal ends it. */
#define WORDS                                                                                      \
  "classify @/pet.yaml train.steps=1000000 train.checkpoint_steps=20 --jobs 2 --out @/two"

/* Who holds the lock of a member. */
static pid_t holder(const char *member) {
  char name[128];
  long pid = 0;
  snprintf(name, sizeof name, "two/members/%s/lock", member);
  char *text = read_text(under(name), NULL);
  sscanf(text, "process %ld", &pid);
  free(text);
  return (pid_t)pid;
}

/* The process that PARENT has made; both have begun to train, a member each. */
static pid_t helper_of(pid_t parent) {
  pid_t holders[2];
  wait_for_file(parent, under("two/members/p0-r0/checkpoint.h5"));
  wait_for_file(parent, under("two/members/p0-r1/checkpoint.h5"));
  holders[0] = holder("p0-r0");
  holders[1] = holder("p0-r1");
  assert_true(holders[0] == parent || holders[1] == parent);
  const pid_t other = holders[holders[0] == parent];
  assert_true(other > 0 && other != parent);
  return other;
}

/* How HELPER, which is this process's child since its parent has ended, ends. */
static int end_of(pid_t helper) {
  int how;
  while (waitpid(helper, &how, 0) < 0) assert_int_equal(errno, EINTR);
  return how;
}

/* The helper is killed with its parent, and not asked to stop, which takes a moment in which a run
 * that is started again would meet it. */
static void killed(void **state) {
  forget("two");
  const pid_t parent = launch(&(start){0}, WORDS), helper = helper_of(parent);
  assert_int_equal(kill(parent, SIGKILL), 0);
  assert_int_equal(wait_for(parent), 128 + SIGKILL);
  const int how = end_of(helper);
  assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL);
}

/* Of the threads that the user asks for each process has its share, and not of the cores. */
static void threads_shared(void **state) {
  static const char wanted[] = "OMP_NUM_THREADS=";
  char file[64], *variable = NULL, found[64] = "";
  size_t room = 0;
  forget("two");
  const pid_t parent = launch(&(start){.threads = 6}, WORDS), helper = helper_of(parent);
  snprintf(file, sizeof file, "/proc/%ld/environ", (long)helper);
  FILE *f = fopen(file, "r");
  assert_non_null(f);
  while (getdelim(&variable, &room, '\0', f) > 0)
    if (!strncmp(variable, wanted, sizeof wanted - 1))
      snprintf(found, sizeof found, "%s", variable);
  fclose(f);
  free(variable);
  assert_string_equal(found, "OMP_NUM_THREADS=3");
  assert_int_equal(kill(parent, SIGKILL), 0);
  assert_int_equal(wait_for(parent), 128 + SIGKILL);
  end_of(helper);
}

/* The helper, which has heard nothing itself, is told to stop and has saved its work before its
 * parent ends: nothing is left for this process to wait for. */
static void stopped(void **state) {
  forget("two");
  const pid_t parent = launch(&(start){0}, WORDS);
  helper_of(parent);
  assert_int_equal(kill(parent, SIGTERM), 0);
  assert_int_equal(wait_for(parent), 1);
  assert_int_equal(waitpid(-1, NULL, 0), -1);
  assert_int_equal(errno, ECHILD);
  const char *once = strstr(said(), "run the same command again");
  assert_non_null(once);
  assert_null(strstr(once + 1, "run the same command again"));
  assert_null(strstr(said(), "warning: "));
  assert_false(cz_fs_exists(under("two/members/p1-r0/lock"))); /* neither went on to another */
}

/* ctrl-C reaches both; the helper goes on until its parent, which lets it save, says otherwise. */
static void interrupted(void **state) {
  forget("two");
  const pid_t parent = launch(&(start){0}, WORDS), helper = helper_of(parent);
  char file[100];
  snprintf(file, sizeof file, "two/members/p0-r%d/checkpoint.h5", holder("p0-r1") == helper);
  assert_int_equal(kill(helper, SIGINT), 0);
  for (int i = 0; i < 2; i++) { /* one that stops leaves one, and no second */
    assert_int_equal(remove(under(file)), 0);
    wait_for_file(parent, under(file));
  }
  assert_int_equal(kill(parent, SIGINT), 0);
  assert_int_equal(wait_for(parent), 1);
  assert_int_equal(waitpid(-1, NULL, 0), -1);
}

/* The parent may have ended before the helper could tie itself to it. */
static void orphan(void **state) {
  expect(1, "classify @/pet.yaml --out @/two --join 00000000000000ff:999999999",
         "--join: process 999999999, which asked for this one, has ended\n");
  static const char *const words[] = {"ff", "ff:", ":5", "ff:0", "ff:5x", "x:5"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
    char text[200];
    snprintf(text, sizeof text, "classify @/pet.yaml --out @/two --join %s", words[i]);
    expect(2, text, "as cloze --jobs gives it");
  }
}

static int make_stages(void **state) {
  if (make_few_shot(state)) return -1;
  return prctl(PR_SET_CHILD_SUBREAPER, 1); /* a helper whose parent ends becomes a child of ours */
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(killed), cmocka_unit_test(stopped),
                                     cmocka_unit_test(interrupted), cmocka_unit_test(orphan),
                                     cmocka_unit_test(threads_shared)};
  return cmocka_run_group_tests(tests, make_stages, drop_runs);
}
