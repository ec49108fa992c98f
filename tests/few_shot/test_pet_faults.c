/* `cloze pet`, and an experiment of few-shot stages: killed at any instant, with one process and
 * with two; two in one folder; a data file that changes between generations; a disk that is full
 * when scores are written. Whatever happens, the same command again comes to the same bytes, and
 * does no member twice. */
#include "few_shot_test.h"

#include "device/random.h"

#include <glob.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>

#define KEYS                                                                                       \
  " common.examples.max_length=40 common.batch.examples=6 common.train.steps=60 "                  \
  "common.train.checkpoint_steps=5 common.optimizer.learning_rate=0.01 "                           \
  "stages.supervised.train.steps=20 stages.student.train.steps=60"
#define PET                                                                                        \
  "pet --model @/bert --pattern @/p.yaml --train @/mine.tsv --unlabeled @/pool.tsv --test "        \
  "@/test.tsv --ipet" KEYS

#define ONE " --jobs 1" /* by itself it takes a process a core */

enum { MEMBERS = 64 };

/* What is run, the folder of its undisturbed run, where its stages lie, and what must be equal. */
typedef struct subject {
  const char *words, *whole, *stages, *files[6];
} subject;

static const subject pet = {.words = PET,
                            .whole = "pet",
                            .stages = "run/stages",
                            .files = {"result.json", "predictions.jsonl", "label_next.jsonl",
                                      "student/model.safetensors", "student/cloze_task.json"}},
                     experiment = {.words = "run @/experiment.yaml",
                                   .whole = "experiment",
                                   .stages = "stages",
                                   .files = {"result.json"}};

static void same_as(const subject *s, const char *whole, const char *run) {
  char a[128], b[128];
  for (int i = 0; s->files[i]; i++) {
    snprintf(a, sizeof a, "%s/%s", whole, s->files[i]);
    snprintf(b, sizeof b, "%s/%s", run, s->files[i]);
    same_file(a, b);
  }
}

/* Members that have left their scores, and what their files were when they were last seen. */
typedef struct seen {
  char *path;
  struct stat file;
} seen;

static void forget_seen(seen *list) {
  for (int i = 0; i < MEMBERS; i++) free(list[i].path);
  memset(list, 0, MEMBERS * sizeof *list);
}

/* Scores of RUN that were there before are the same files; those that are now are noted. */
static int look(const subject *s, const char *run, seen *list) {
  char pattern[256];
  glob_t found;
  snprintf(pattern, sizeof pattern, "%s/%s/*/members/*/logits.h5", under(run), s->stages);
  const int how = glob(pattern, 0, NULL, &found);
  if (how) return 0;
  const int n = (int)found.gl_pathc;
  for (int k = 0; k < n; k++) {
    struct stat now;
    int i = 0;
    if (stat(found.gl_pathv[k], &now)) fail_msg("%s has gone", found.gl_pathv[k]);
    while (i < MEMBERS && list[i].path && strcmp(list[i].path, found.gl_pathv[k])) i++;
    assert_true(i < MEMBERS);
    const struct stat *was = &list[i].file;
    if (list[i].path && (was->st_ino != now.st_ino || was->st_mtim.tv_sec != now.st_mtim.tv_sec ||
                         was->st_mtim.tv_nsec != now.st_mtim.tv_nsec))
      fail_msg("%s was there and was computed again", list[i].path);
    if (!list[i].path) list[i].path = strdup(found.gl_pathv[k]);
    list[i].file = now;
  }
  globfree(&found);
  return n;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void nap(double seconds) {
  const struct timespec t = {.tv_sec = (time_t)seconds,
                             .tv_nsec = (long)(1e9 * (seconds - (double)(time_t)seconds))};
  nanosleep(&t, NULL);
}

/* How long S takes with MORE words. */
static double span_of(const subject *s, const char *more) {
  char words[1024];
  const double began = now();
  forget("killed");
  snprintf(words, sizeof words, "%s%s --out @/killed", s->words, more);
  expect(0, words, "");
  same_as(s, s->whole, "killed");
  forget("killed");
  return now() - began;
}

/* Kills S at KILLS instants, begun anew whenever it has ended; at more until something was gone on
 * with. */
static void kill_often(const subject *s, const char *more, int kills) {
  char words[1024];
  seen list[MEMBERS] = {0};
  cz_stream draw;
  int landed = 0, partly = 0;
  const double span = span_of(s, more);
  cz_stream_init(&draw, test_seed(), "instants of kills", s == &pet, strlen(more));
  snprintf(words, sizeof words, "%s%s --out @/killed", s->words, more);
  for (int tries = 0; landed < kills || !partly; tries++) {
    assert_true(tries < 20 * kills);
    const pid_t pid = launch(&(start){0}, words);
    nap(span * (0.05 + 0.5 * cz_stream_uniform(&draw)));
    kill(pid, SIGKILL);
    const int code = wait_for(pid), done = look(s, "killed", list);
    if (code == 0) {
      same_as(s, s->whole, "killed");
      forget("killed");
      forget_seen(list);
      continue;
    }
    if (code != 128 + SIGKILL)
      fail_msg("a run went wrong by itself after %d kills:\n%s", landed, said());
    landed++;
    partly += done > 0;
  }
  expect(0, words, "");
  look(s, "killed", list);
  same_as(s, s->whole, "killed");
  print_message("%d kills, %d with members done\n", landed, partly);
  forget_seen(list);
}

static int number_of_kills(void) {
  const char *n = getenv("CZ_TEST_KILLS"); /* more by hand */
  return n ? atoi(n) : 4;
}

static void killed_pet(void **state) { kill_often(&pet, ONE, number_of_kills()); }
static void killed_pet_jobs(void **state) { kill_often(&pet, " --jobs 2", number_of_kills()); }
static void killed_run(void **state) { kill_often(&experiment, "", number_of_kills()); }
static void killed_run_jobs(void **state) {
  kill_often(&experiment, " --jobs 2", number_of_kills());
}

/* A second run in a folder is told who works there, and leaves the first alone. */
static void second_run(void **state) {
  forget("two");
  const pid_t pid = launch(&(start){0}, PET ONE " --out @/two");
  wait_for_file(pid, under("two/run/lock"));
  const pid_t other = launch(&(start){0}, PET ONE " --out @/two");
  assert_int_equal(wait_for(other), 1);
  if (!strstr(said(), "two/run/lock: another process holds this lock: process "))
    fail_msg("it said:\n%s", said());
  assert_int_equal(wait_for(pid), 0);
  same_as(&pet, "pet", "two");
}

/* Writes mine.tsv, T: 12 texts; with TURNED two labels change places. */
static void write_t(bool turned) {
  char *text = read_text(under("train.tsv"), NULL);
  FILE *f = fopen(under("mine.tsv"), "w");
  int line = 0;
  assert_non_null(f);
  for (char *at = strtok(text, "\n"); at && line <= 12; at = strtok(NULL, "\n"), line++) {
    char *tab = strchr(at, '\t');
    const char *label = tab + 1;
    *tab = '\0';
    if (turned && !strcmp(label, "sports"))
      label = "science";
    else if (turned && !strcmp(label, "science"))
      label = "sports";
    fprintf(f, "%s\t%s\n", at, label);
  }
  assert_int_equal(fclose(f), 0);
  free(text);
}

/* Texts stay and labels change: what was made of the old ones is not mixed with what is made of the
 * new. */
static void changed_data(void **state) {
  forget("changed");
  forget("fresh");
  static const char words[] = PET ONE " stages.generation1.train.steps=200 --out @/changed";
  const pid_t pid = launch(&(start){0}, words);
  wait_until_said(pid, "g1 p0 r0: "); /* it has read them */
  write_t(true);
  assert_int_equal(wait_for(pid), 1);
  if (!strstr(said(), "changed/run: this run began with other data:\n  the file ") ||
      !strstr(said(), "mine.tsv has changed since then\nrun the same command again, "))
    fail_msg("it said:\n%s", strlen(said()) > 700 ? said() + strlen(said()) - 700 : said());
  expect(0, words, "changed/run: stages that read what follows are made anew:\n  the file ");
  expect(0, PET ONE " stages.generation1.train.steps=200 --out @/fresh", "");
  same_as(&pet, "fresh", "changed");
  write_t(false);
  expect(2, words, "mine.tsv has changed"); /* a finished run stays what it is */
  same_as(&pet, "fresh", "changed");
}

/* README's way to correct a run: what it leaves is then of the corrected one, the student too. */
static void corrected(void **state) {
  static const char word[] = " stages.student.train.steps=20";
  char words[1024];
  forget("corrected");
  forget("fresh");
  run_into(&(start){0}, PET ONE, "corrected");
  snprintf(words, sizeof words, "%s%s --out @/corrected", PET ONE, word);
  expect(2, words, "corrected/run: this folder holds another run");
  same_as(&pet, "pet", "corrected");
  assert_int_equal(remove(under("corrected/run/result.json")), 0);
  expect(0, words, "corrected/student: this student is not the run's any more; it is ");
  snprintf(words, sizeof words, "%s%s", PET ONE, word);
  run_into(&(start){0}, words, "fresh");
  same_as(&pet, "fresh", "corrected");
  same_file("fresh/student/config.json", "corrected/student/config.json");
  same_file("pet/student/model.safetensors", "corrected/student.old-1/model.safetensors");
  assert_false(cz_fs_exists(under("corrected/.student.cloze-new")));
  snprintf(words, sizeof words, "%s%s --out @/corrected", PET ONE, word);
  expect(0, words, "");
  assert_null(strstr(said(), "not the run's")); /* it is */
}

/* Draws by another seed: what is laid out is that seed's. */
static void another_seed(void **state) {
  forget("seed");
  run_into(&(start){0}, PET ONE " seeds=[2]", "seed");
  char *text = read_text(under("seed/student/README.md"), NULL);
  if (!strstr(text, ", seed 2, ")) fail_msg("it says:\n%s", text);
  free(text);
  text = read_text(under("seed/result.json"), NULL);
  assert_non_null(strstr(text, "\"student\": {"));
  free(text);
}

/* The first file of scores does not fit on the disk. */
static void full_disk(void **state) {
  forget("full");
  assert_int_equal(cloze(&(start){.file_limit = 3000}, PET ONE " --out @/full"), 1);
  if (!strstr(said(), "logits.h5: can't write ") || !strstr(said(), "File too large"))
    fail_msg("it said:\n%s", said());
  seen list[MEMBERS] = {0};
  assert_int_equal(look(&pet, "full", list), 0);
  expect(0, PET ONE " --out @/full", "");
  same_as(&pet, "pet", "full");
}

static int make_whole(void **state) {
  if (make_few_shot(state)) return -1;
  const char *d = folder();
  write_t(false);
  write_format("experiment.yaml",
               "title: killed\nseeds: [1, 2]\ncommon:\n  init: %s/bert\n  examples: {pattern: "
               "%s/p.yaml, train: %s/train.tsv, unlabelled_file: %s/pool.tsv, test: %s/test.tsv, "
               "labelled: 12, max_length: 40}\n  batch: {examples: 6}\n  optimizer: {name: adamw, "
               "learning_rate: 0.01}\n  train: {steps: 60, checkpoint_steps: 5}\nstages:\n"
               "  zero: {kind: classify, classify: {strategy: tuning_free}}\n"
               "  pet: {kind: classify, classify: {strategy: pet, repetitions: 1}}\n"
               "  ipet: {kind: classify, classify: {strategy: pet, repetitions: 1, from: $pet, "
               "scale: 2}}\n  st: {kind: distill, distill: {from: $ipet}}\nrows: [{name: all}]\n"
               "columns: [{name: accuracy, value: st.student.accuracy}]\n",
               d, d, d, d, d);
  run_into(&(start){0}, pet.words, pet.whole);
  run_into(&(start){0}, experiment.words, experiment.whole);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(second_run),     cmocka_unit_test(changed_data),
      cmocka_unit_test(corrected),      cmocka_unit_test(another_seed),
      cmocka_unit_test(full_disk),      cmocka_unit_test(killed_pet),
      cmocka_unit_test(killed_run),     cmocka_unit_test(killed_pet_jobs),
      cmocka_unit_test(killed_run_jobs)};
  return cmocka_run_group_tests(tests, make_whole, drop_runs);
}
