/* OUT/student of cloze pet when the run's student becomes another one: what stands there, which may
 * be the user's by now, is never removed. */
#include "few_shot_test.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PET                                                                                        \
  "pet --model @/bert --pattern @/p.yaml --train @/train.tsv --unlabeled @/pool.tsv --test "       \
  "@/test.tsv --jobs 1 common.examples.max_length=40 common.batch.examples=6 "                     \
  "common.train.steps=4 stages.supervised.train.steps=4 stages.student.train.steps="

static const char other[] = "/out/student: this student is not the run's any more; it is ";

/* README's way to correct a run: a student of so many STEPS, which has to be said. */
static int correct(int steps) {
  char words[1024];
  if (cz_fs_exists(under("out/run/result.json")))
    assert_int_equal(remove(under("out/run/result.json")), 0);
  snprintf(words, sizeof words, PET "%d --out @/out", steps);
  return cloze(&(start){0}, words);
}

static void corrected(int steps, int old) {
  char text[64];
  const int code = correct(steps);
  snprintf(text, sizeof text, "/out/student.old-%d now\n", old);
  if (code || !strstr(said(), other) || !strstr(said(), text))
    fail_msg("it ended with %d and said:\n%s", code, said());
}

/* All that lies in OUT is of the run with so many steps. */
static void is_of(int steps) {
  static const char *const files[] = {"student/model.safetensors", "student/cloze_task.json",
                                      "student.json", "predictions.jsonl", "result.json"};
  char a[100], b[100];
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    snprintf(a, sizeof a, "out/%s", files[i]);
    snprintf(b, sizeof b, "steps%d/%s", steps, files[i]);
    same_file(a, b);
  }
}

static void kept(void **state) {
  write_text("out/student/README.md", "mine\n");
  assert_int_equal(mkdir(under("out/student/notes"), 0755), 0);
  write_text("out/student/notes/mine.txt", "mine\n");
  assert_int_equal(correct(2), 0);
  assert_null(strstr(said(), other));
  same_file("out/student/README.md", "out/student/notes/mine.txt");
}

static void replaced(void **state) {
  corrected(4, 1);
  is_of(4);
  same_file("out/student.old-1/README.md", "out/student.old-1/notes/mine.txt");
  same_file("out/student.old-1/model.safetensors", "steps2/student/model.safetensors");
}

/* Of a link the name is changed, and not what it leads to. */
static void link_kept(void **state) {
  char to[700], path[700];
  assert_int_equal(rename(under("out/student"), under("elsewhere")), 0);
  snprintf(to, sizeof to, "%s", under("elsewhere"));
  snprintf(path, sizeof path, "%s", under("out/student"));
  assert_int_equal(symlink(to, path), 0);
  assert_int_equal(correct(4), 0);
  assert_null(strstr(said(), other)); /* the same student */
  corrected(2, 2);
  is_of(2);
  same_file("elsewhere/model.safetensors", "steps4/student/model.safetensors");
  char text[700] = {0};
  assert_true(readlink(under("out/student.old-2"), text, sizeof text - 1) > 0);
  assert_string_equal(text, to);
}

/* What lies where the new student is written is moved out of the way, where it is not a killed
 * run's. */
static void in_the_way(void **state) {
  assert_int_equal(mkdir(under("out/.student.cloze-new"), 0755), 0);
  assert_int_equal(mkdir(under("out/.student.cloze-new/notes"), 0755), 0);
  write_text("out/.student.cloze-new/notes/mine.txt", "mine\n");
  corrected(4, 3);
  if (!strstr(said(), ".student.cloze-new: this is in the way of a new student; it is "))
    fail_msg("it said:\n%s", said());
  is_of(4);
  same_file("out/student.old-4/notes/mine.txt", "out/student.old-1/notes/mine.txt");
}

/* Without a new student everything else is still of the old one. */
static void student_first(void **state) {
  assert_int_equal(mkdir(under("out/.student.cloze-new"), 0755), 0);
  const int held = open(under("out/.student.cloze-new"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  assert_int_equal(flock(held, LOCK_EX), 0);
  assert_int_equal(correct(2), 1);
  assert_non_null(strstr(said(), "out/student: another process is writing this folder"));
  same_file("out/predictions.jsonl", "steps4/predictions.jsonl");
  same_file("out/result.json", "steps4/result.json");
  close(held);
  assert_int_equal(correct(2), 0);
  is_of(2);
}

/* What an earlier version laid out has no student.json: files tell. */
static void without_record(void **state) {
  assert_int_equal(remove(under("out/student.json")), 0);
  assert_int_equal(correct(2), 0);
  assert_null(strstr(said(), other));
  is_of(2);
}

static int make(void **state) {
  if (make_few_shot(state)) return -1;
  run_into(&(start){0}, PET "2", "steps2");
  run_into(&(start){0}, PET "4", "steps4");
  run_into(&(start){0}, PET "2", "out");
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(kept),          cmocka_unit_test(replaced),
      cmocka_unit_test(link_kept),     cmocka_unit_test(in_the_way),
      cmocka_unit_test(student_first), cmocka_unit_test(without_record)};
  return cmocka_run_group_tests(tests, make, drop_runs);
}
