/* A stage reads what the members of an earlier one say, in `from` or `chosen_by`. When that stage
 * is made anew with another rate, what was begun with its old scores is not gone on with, and what
 * is finished is not taken for its own; with the old scores it comes to the same bytes. */
#include "few_shot_test.h"

#include <signal.h>

#define EARLIER "classify @/pet.yaml examples.unlabeled=@/known.tsv train.steps=20"
#define OTHER   " optimizer.learning_rate=0.002"
#define LATER   " examples.unlabeled=@/known.tsv train.steps=100"
#define CHOSEN                                                                                     \
  "classify @/pet.yaml examples.chosen=6 examples.chosen_by=@/pet classify.repetitions=1" LATER

/* A later stage, whose SCORES it reads, and its own first file that is gone on from. */
typedef struct later {
  const char *words, *begun, *scores, *whole;
} later;

static const later stages[] = {
    {"classify @/ipet.yaml" LATER, "members/p0-r0/logits.h5", "p1-r1/logits.h5", "logits.h5"},
    {"distill @/st.yaml" LATER, "members/plain-r0/checkpoint.h5", "pet/logits.h5",
     "model/model.safetensors"},
    {CHOSEN, "members/p0-r0/logits.h5", "pet/logits.h5", "logits.h5"}};
enum { STAGES = 3 };

static void make_earlier(const char *other) {
  char words[256];
  forget("pet");
  snprintf(words, sizeof words, EARLIER "%s", other);
  run_into(&(start){0}, words, "pet");
}

static void command(char out[512], const later *s) {
  snprintf(out, 512, "%s --out @/later", s->words);
}

/* The file that differs is named, and nothing was computed. */
static void refused(const later *s) {
  char words[512], scores[600];
  command(words, s);
  snprintf(scores, sizeof scores, "%s has changed since then\n", s->scores);
  expect(2, words, "later: this folder holds another run:\n  the file ");
  if (!strstr(said(), scores) || strstr(said(), "going on at step"))
    fail_msg("%s said:\n%s", words, said());
}

/* Leaves the stage killed when it had its first file. */
static void kill_midway(const later *s) {
  char words[512], begun[128];
  forget("later");
  command(words, s);
  snprintf(begun, sizeof begun, "later/%s", s->begun);
  const pid_t pid = launch(&(start){0}, words);
  wait_for_file(pid, under(begun));
  assert_int_equal(kill(pid, SIGKILL), 0);
  assert_int_equal(wait_for(pid), 128 + SIGKILL);
}

static void same_as_whole(const later *s) {
  char a[128], b[128];
  snprintf(a, sizeof a, "whole/%s", s->whole);
  snprintf(b, sizeof b, "later/%s", s->whole);
  same_file(a, b);
}

static void check(const later *s) {
  char words[512];
  command(words, s);
  make_earlier("");
  forget("whole");
  run_into(&(start){0}, s->words, "whole");
  kill_midway(s);
  make_earlier(OTHER);
  refused(s);
  make_earlier("");
  expect(0, words, "");
  same_as_whole(s);
  expect(0, words, ""); /* it is done, and of these scores */
  make_earlier(OTHER);
  refused(s);
}

static void generation(void **state) { check(&stages[0]); }
static void student(void **state) { check(&stages[1]); }
static void chosen(void **state) { check(&stages[2]); }

/* A generation does not read how the one before put its members together. */
static void together(void **state) {
  char words[512];
  forget("later");
  make_earlier("");
  command(words, &stages[0]);
  expect(0, words, "");
  make_earlier(" classify.weights=uniform");
  expect(0, words, "");
}

static int make(void **state) {
  if (make_few_shot(state)) return -1;
  make_texts("known.tsv", POOL_TEXTS, 2, true); /* the pool with its labels */
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[STAGES + 1] = {cmocka_unit_test(generation),
                                               cmocka_unit_test(student), cmocka_unit_test(chosen),
                                               cmocka_unit_test(together)};
  return cmocka_run_group_tests(tests, make, drop_runs);
}
