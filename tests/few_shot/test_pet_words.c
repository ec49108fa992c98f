/* What `cloze pet` and its neighbours say to who uses them for the first time: what is wrong is
 * named, with its file, before anything is computed; what is no mistake does not read like one; and
 * nothing is said twice, however many stages and processes there are. */
#include "few_shot_test.h"

#include <signal.h>
#include <unistd.h>

#define KEYS                                                                                       \
  " common.examples.max_length=40 common.batch.examples=6 common.train.steps=3 "                   \
  "stages.student.train.steps=3"
#define MORE " stages.supervised.train.steps=3"
#define PET  "pet --pattern @/p.yaml --model @/bert"
#define POOL " --unlabeled @/pool.tsv"
#define TEST " --test @/test.tsv"

/* How often TEXT stands in ALL. */
static int times(const char *all, const char *text) {
  int n = 0;
  for (const char *at = all; (at = strstr(at, text)); at++) n++;
  return n;
}

static void says(const char *text, int n) {
  const int found = times(said(), text);
  if (found != n) fail_msg("'%s' is said %d times, expected %d:\n%s", text, found, n, said());
}

/* WORDS are refused with TEXT before the first stage has begun. */
static void refused(int code, const char *words, const char *text) {
  char command[900];
  forget("out");
  snprintf(command, sizeof command, "%s --out @/out", words);
  expect(code, command, text);
  says("[1/", 0);
  assert_false(cz_fs_exists(under("out/run/stages")));
}

/* T, or D, is in the test set with all its texts: the files are named. */
static void no_text_left(void **state) {
  refused(1, PET POOL TEST " --train @/test.tsv" KEYS MORE, "test.tsv: all 30 texts stand in ");
  says("test.tsv, so T is empty; examples.labelled=0, cloze pet --zero-shot, does without", 1);
  refused(1, PET TEST " --train @/train.tsv --unlabeled @/test.tsv" KEYS MORE,
          "test.tsv: all 30 texts stand in ");
  says("train.tsv or in ", 1);
  says("test.tsv, so D is empty; ", 1);
  refused(1, PET TEST " --unlabeled @/test.tsv --zero-shot" KEYS, "test.tsv, so D is empty; ");
  says(" or in ", 0);
}

/* Nor labelled texts where none are to be. */
static void zero_shot_alone(void **state) {
  refused(2, PET POOL TEST " --zero-shot common.examples.train=@/train.tsv" KEYS,
          "pet: --zero-shot takes no labelled texts, and common.examples has 60");
}

/* No head is drawn first and refused then; a family that cannot have it is told before words. */
static void no_masked_lm(void **state) {
  static const char why[] = "body has no masked-LM head, which tokens at a mask are scored by; ";
  make_model("body", "bert", false);
  make_model("gpt", "gpt2", false);
  refused(2, "pet --pattern @/p.yaml --model @/body --train @/train.tsv" POOL TEST KEYS MORE, why);
  says(": common.init: ", 1);
  says("drawn from seed", 0);
  expect(2, "score --model @/body --text @/test.tsv", why);
  says("drawn from seed", 0);
  expect(2, "rank --model @/body --pattern @/p.yaml --data @/test.tsv", why);
  says("drawn from seed", 0);
  write_text("long.yaml", "fields: {a: text}\nlabels: [sports, science, business]\n"
                          "words: {sports: interminable}\npatterns: ['{mask} : {a*}']\n");
  refused(2, "pet --pattern @/long.yaml --model @/gpt --train @/train.tsv" POOL TEST KEYS MORE,
          "gpt: family gpt2 has no masked_lm head, and PET asks at masks; ");
}

/* A process of --jobs that is told to stop leaves it to who started it to say why. */
static void stopped(void **state) {
  char words[300];
  forget("works");
  snprintf(words, sizeof words,
           "run @/two/run/experiment.yaml --out @/works --works %ld "
           "common.train.steps=200000 common.optimizer.learning_rate=0.0001",
           (long)getpid());
  const pid_t pid = launch(&(start){0}, words);
  wait_until_said(pid, "g0 p0 r0: ");
  assert_int_equal(kill(pid, SIGTERM), 0);
  assert_int_equal(wait_for(pid), 0);
  says("run the same command again", 0);
  says("cloze: ", 0);
}

/* A run that failed before it computed anything is corrected in its folder. */
static void corrected(void **state) {
  static const char words[] =
      "pet --model @/bert --pattern @/fixed.yaml --zero-shot --jobs 1" POOL TEST KEYS;
  char command[900];
  forget("again");
  write_text("fixed.yaml", "fields: {a: text}\nlabels: [sports, science, business]\n"
                           "words: {science: tech, business: news}\n"
                           "patterns: ['{mask} : {a}', '{a*} || it was {mask} .']\n");
  snprintf(command, sizeof command, "%s common.examples.max_length=7 --out @/again", words);
  expect(1, command, "[1/");
  snprintf(command, sizeof command, "%s common.examples.max_length=39 --out @/again", words);
  expect(0, command, "");
  says("none of its stages would stay", 0);
  snprintf(command, sizeof command, "%s common.examples.max_length=38 --out @/again", words);
  expect(2, command, "again/run: this folder holds another run");
}

/* Test texts without labels are no failure. */
static void no_labels(void **state) {
  make_texts("bare.tsv", TEST_TEXTS, 3, false);
  forget("bare");
  run_into(&(start){0}, PET POOL " --test @/bare.tsv --train @/train.tsv --jobs 2" KEYS MORE,
           "bare");
  says("answers, no scores: ", 1);
  says("nothing is scored", 0);
  char *text = read_text(under("bare/run/report.txt"), NULL);
  assert_non_null(strstr(text, "bare.tsv has no column 'label'"));
  assert_null(strstr(text, "does not say why"));
  free(text);
}

/* What the data lack is said once, and is in each stage's log. */
static void said_once(void **state) {
  static const char *const warnings[] = {"train.tsv has no example of the label 'weather'",
                                         "train.tsv: T has no text of the label 'weather'"};
  json_t *entry;
  size_t i;
  forget("two");
  write_text("four.yaml", "fields: {a: text}\nlabels: [sports, science, business, weather]\n"
                          "words: {science: [science, tech], business: news, weather: who}\n"
                          "patterns: ['{mask} : {a*}', '{a*} || it was {mask} .']\n");
  run_into(
      &(start){0},
      "pet --pattern @/four.yaml --model @/bert --train @/train.tsv --jobs 2" POOL TEST KEYS MORE,
      "two");
  says(warnings[0], 1);
  says(warnings[1], 1);
  says("drawn from seed", 0);
  json_t *plan = json_load_file(under("two/run/plan.json"), 0, NULL);
  assert_int_equal(json_array_size(plan), 4);
  json_array_foreach(plan, i, entry) {
    char path[300];
    snprintf(path, sizeof path, "two/run/%s/log.txt",
             json_string_value(json_object_get(entry, "folder")));
    char *log = read_text(under(path), NULL);
    for (int k = 0; k < 2; k++) assert_int_equal(times(log, warnings[k]), 1);
    free(log);
  }
  json_decref(plan);
}

/* What is there, and of which seed; and where it lies when the folder around it is asked. */
static void seeds(void **state) {
  forget("seeds");
  run_into(&(start){0}, PET POOL TEST " --zero-shot seeds=[4,2]" KEYS, "seeds");
  says("seeds/predictions.jsonl; classifier: ", 1);
  says("seeds/student, as in cloze predict --model ", 1);
  says("are of seed 4, the first; ", 1);
  expect(2, "report @/seeds", "; did you mean ");
  says("seeds/run?", 1);
  expect(2, "inspect @/seeds", "; did you mean ");
  says("seeds/student?", 1);
  expect(2, "predict --model @/seeds --input @/test.tsv --out @/seeds.jsonl", "; did you mean ");
  says("seeds/student?", 1);
  forget("one");
  run_into(&(start){0}, PET POOL TEST " --zero-shot" KEYS, "one");
  says(", the first; ", 0);
}

/* The student says for itself what it answers and what was asked. */
static void student(void **state) {
  char *text = read_text(under("seeds/student/README.md"), NULL);
  assert_non_null(strstr(text, "what the members in stages/classify-"));
  assert_non_null(strstr(text, "- sports\n- science\n- business\n"));
  assert_non_null(strstr(text, "0. `{mask} : {a*}`, sports: `sports`; science: `science`, `tech`; "
                               "business: `news`\n"));
  free(text);
}

/* Words that set what is not there. */
static void words(void **state) {
  refused(2, PET POOL TEST " --train @/train.tsv" KEYS MORE " train.steps=3",
          "train.steps=3: a key of a stage stands below the stages that it is for: "
          "common.train.steps=3, or of one of them stages.pet.train.steps=3");
  refused(2, PET POOL TEST " --zero-shot" KEYS MORE,
          "stages.supervised.train.steps=3: --zero-shot has no stage supervised; its stages are "
          "zero_shot, untrained, student");
  refused(2, PET POOL TEST " --train @/train.tsv stages.generation1.train.steps=3" KEYS MORE,
          "this experiment has no stage generation1; its stages are zero_shot, supervised, pet, "
          "student");
  expect(0, "help pet", "");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(no_text_left), cmocka_unit_test(zero_shot_alone),
      cmocka_unit_test(no_masked_lm), cmocka_unit_test(said_once),
      cmocka_unit_test(stopped),      cmocka_unit_test(corrected),
      cmocka_unit_test(no_labels),    cmocka_unit_test(seeds),
      cmocka_unit_test(student),      cmocka_unit_test(words)};
  return cmocka_run_group_tests(tests, make_few_shot, drop_runs);
}
