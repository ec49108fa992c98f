/* However a few-shot stage is interrupted, shared out or threaded, it comes to the same bytes, and
 * members that are done are not computed again. */
#include "few_shot_test.h"

#include "device/random.h"

#include <signal.h>
#include <sys/stat.h>
#include <time.h>

/* A stage, its undisturbed run, and the members that it has. */
typedef struct stage {
  const char *words, *whole, *name, *model;
  const char *members[4];
} stage;

/* More steps than elsewhere, so that kills land inside. */
#define STEPS " train.steps=100"
static const stage pet = {.words = "classify @/pet.yaml" STEPS,
                          .whole = "pet",
                          .name = "ensemble",
                          .members = {"p0-r0", "p0-r1", "p1-r0", "p1-r1"}},
                   ipet = {.words = "classify @/ipet.yaml" STEPS,
                           .whole = "ipet",
                           .name = "ensemble",
                           .members = {"p0-r0", "p0-r1", "p1-r0", "p1-r1"}},
                   student = {.words = "distill @/st.yaml" STEPS,
                              .whole = "st",
                              .name = "student",
                              .model = "model/model.safetensors",
                              .members = {"plain-r0", "plain-r1"}};

static void same_stage_file(const stage *s, const char *run, const char *file) {
  char a[128], b[128];
  snprintf(a, sizeof a, "%s/%s", s->whole, file);
  snprintf(b, sizeof b, "%s/%s", run, file);
  same_file(a, b);
}

/* RUN is what the undisturbed run is, byte for byte. */
static void same_stage(const stage *s, const char *run) {
  char file[64], *m = metrics_of(s->whole), *n = metrics_of(run);
  assert_string_equal(m, n);
  free(m);
  free(n);
  same_stage_file(s, run, "logits.h5");
  snprintf(file, sizeof file, "predictions.%s.jsonl", s->name);
  same_stage_file(s, run, file);
  if (s->model) same_stage_file(s, run, s->model);
  for (int i = 0; i < 4 && s->members[i]; i++) {
    snprintf(file, sizeof file, "members/%s/logits.h5", s->members[i]);
    same_stage_file(s, run, file);
  }
}

/* What a file was when it was last looked at: another one has another inode, time or both. */
typedef struct seen {
  ino_t inode;
  struct timespec time;
} seen;

static seen look(const char *run, const char *member) {
  char name[128];
  struct stat s;
  snprintf(name, sizeof name, "%s/members/%s/logits.h5", run, member);
  if (stat(under(name), &s)) return (seen){0};
  return (seen){.inode = s.st_ino, .time = s.st_mtim};
}

/* Members of RUN that were done before are the same files; those that are now are noted. */
static int check_done(const stage *s, const char *run, seen before[4]) {
  int done = 0;
  for (int i = 0; i < 4 && s->members[i]; i++) {
    const seen now = look(run, s->members[i]);
    if (before[i].inode &&
        (now.inode != before[i].inode || now.time.tv_sec != before[i].time.tv_sec ||
         now.time.tv_nsec != before[i].time.tv_nsec))
      fail_msg("%s/members/%s was done and was computed again", run, s->members[i]);
    before[i] = now;
    done += now.inode > 0;
  }
  return done;
}

static void nap(double seconds) {
  const struct timespec t = {.tv_sec = (time_t)seconds,
                             .tv_nsec = (long)(1e9 * (seconds - (double)(time_t)seconds))};
  nanosleep(&t, NULL);
}

static double seconds_since(const struct timespec *t) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)(now.tv_sec - t->tv_sec) + 1e-9 * (double)(now.tv_nsec - t->tv_nsec);
}

/* Kills the stage at KILLS instants, RUN begun anew whenever it has ended; at more until something
 * was gone on with. */
static void kill_often(const stage *s, int kills, const start *how) {
  char words[256];
  cz_stream draw;
  seen before[4] = {0};
  int landed = 0, partly = 0, ended = 0;
  cz_stream_init(&draw, test_seed(), "instants of kills", 0, 0);
  struct timespec began;
  clock_gettime(CLOCK_MONOTONIC, &began);
  forget("killed");
  run_into(how, s->words, "killed");
  const double span = seconds_since(&began);
  forget("killed");
  snprintf(words, sizeof words, "%s --out @/killed", s->words);
  for (int tries = 0; landed < kills || !(partly || ended); tries++) {
    assert_true(tries < 20 * kills);
    pid_t pid = launch(how, words);
    nap(span * (0.05 + 0.6 * cz_stream_uniform(&draw)));
    kill(pid, SIGKILL);
    const int code = wait_for(pid);
    const int done = check_done(s, "killed", before);
    if (code == 0) {
      same_stage(s, "killed");
      forget("killed");
      memset(before, 0, sizeof before);
      ended++;
      continue;
    }
    if (code != 128 + SIGKILL)
      fail_msg("a run went wrong by itself after %d kills:\n%s", landed, said());
    landed++;
    partly += done > 0;
  }
  run_into(how, s->words, "killed");
  check_done(s, "killed", before);
  same_stage(s, "killed");
  print_message("%d kills, %d with members done, %d runs ended in between\n", landed, partly,
                ended);
}

static int number_of_kills(void) {
  const char *n = getenv("CZ_TEST_KILLS"); /* more by hand */
  return n ? atoi(n) : 8;
}

static void killed_members(void **state) { kill_often(&pet, number_of_kills(), &(start){0}); }
/* The second process dies with the first (test_few_shot_jobs). */
static void killed_jobs(void **state) {
  stage two = pet;
  two.words = "classify @/pet.yaml" STEPS " --jobs 2";
  kill_often(&two, number_of_kills() / 2, &(start){0});
}
static void killed_generation(void **state) {
  kill_often(&ipet, number_of_kills() / 2, &(start){0});
}
static void killed_student(void **state) { kill_often(&student, number_of_kills(), &(start){0}); }

/* Threads, processes and ranks share the work out and change no bit. */
static void shared_out(void **state) {
  static const stage *const stages[] = {&pet, &ipet, &student};
  for (size_t i = 0; i < 3; i++) {
    forget("two");
    run_into(&(start){.threads = 2}, stages[i]->words, "two");
    same_stage(stages[i], "two");
    char jobs[256];
    snprintf(jobs, sizeof jobs, "%s --jobs 2", stages[i]->words);
    forget("two");
    run_into(&(start){0}, jobs, "two");
    same_stage(stages[i], "two");
#ifdef CZ_HAVE_MPI
    forget("two");
    run_into(&(start){.ranks = 2}, stages[i]->words, "two");
    same_stage(stages[i], "two");
#endif
  }
}

/* A second run in a folder is told who works there, and leaves the first alone. */
static void second_run(void **state) {
  static const char words[] = "classify @/pet.yaml" STEPS " --out @/two";
  char line[256];
  forget("two");
  snprintf(line, sizeof line, "%s", words);
  pid_t pid = launch(&(start){0}, line);
  wait_for_file(pid, under("two/members/p0-r0/lock"));
  pid_t other = launch(&(start){0}, words);
  assert_int_equal(wait_for(other), 1);
  assert_non_null(strstr(said(), "two/lock: another process holds this lock: process "));
  assert_int_equal(wait_for(pid), 0);
  same_stage(&pet, "two");
}

/* Scores that cannot be read are said and computed again, also those of the member whose model has
 * become the stage's. */
static void damaged(void **state) {
  static const stage *const stages[] = {&pet, &student};
  for (size_t i = 0; i < 2; i++) {
    const stage *s = stages[i];
    char file[128];
    seen other = look(s->whole, s->members[1]);
    snprintf(file, sizeof file, "%s/members/%s/logits.h5", s->whole, s->members[0]);
    copy_file(under("kept.h5"), under(file));
    size_t n;
    char *bytes = read_text(under(file), &n);
    write_bytes(file, bytes, n / 2);
    free(bytes);
    snprintf(file, sizeof file, "%s/result.json", s->whole);
    copy_file(under("kept.json"), under(file));
    assert_int_equal(remove(under(file)), 0);
    run_into(&(start){0}, s->words, s->whole);
    assert_non_null(strstr(said(), "logits.h5"));
    assert_non_null(strstr(said(), "the member is computed again"));
    snprintf(file, sizeof file, "%s/members/%s/logits.h5", s->whole, s->members[0]);
    same_file("kept.h5", file);
    seen now = look(s->whole, s->members[1]);
    assert_true(now.inode == other.inode && now.time.tv_nsec == other.time.tv_nsec);
  }
}

static int make_whole(void **state) {
  if (make_few_shot(state)) return -1;
  run_into(&(start){0}, pet.words, pet.whole);
  run_into(&(start){0}, ipet.words, ipet.whole);
  run_into(&(start){0}, student.words, student.whole);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(shared_out),
                                     cmocka_unit_test(second_run),
                                     cmocka_unit_test(killed_members),
                                     cmocka_unit_test(killed_jobs),
                                     cmocka_unit_test(killed_generation),
                                     cmocka_unit_test(killed_student),
                                     cmocka_unit_test(damaged)};
  return cmocka_run_group_tests(tests, make_whole, drop_runs);
}
