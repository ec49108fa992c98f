/* Records for prompts, of data files and of tasks whose official layouts have readers. */
#include "common/common.h"
#include "prompts/records.h"

#include <stdio.h>

static cz_pattern_file *open_file(const char *name) {
  char path[512];
  cz_pattern_file *f;
  snprintf(path, sizeof path, CZ_SOURCE_DIR "/experiments/pet/patterns/%s.yaml", name);
  OK(cz_patterns_open(&f, path, NULL));
  return f;
}

/* The sample's rows with a header, as scripts/prepare_debian.sh makes them. */
static void test_sections(void **state) {
  cz_pattern_file *f = open_file("debian_sections");
  cz_records *r;
  const char *path =
      write_text("t.tsv", "section\ttext\tmore\nmail\tone \"two\"\tx\ngames\tthree\ty\n"
                          "mail\tfour\tz\n");
  OK(cz_records_read(&r, f, path, CZ_LABELS_NEEDED));
  assert_int_equal(r->n, 3);
  assert_string_equal(r->items[0].fields[0], "one \"two\"");
  assert_int_equal(r->items[0].label, 5);
  assert_int_equal(r->items[1].label, 0);
  assert_int_equal(r->items[2].row, 2);
  assert_int_equal(r->of_label[5], 2);
  assert_int_equal(r->unlabelled, 0);
  cz_records_destroy(&r);
  OK(cz_records_read(&r, f, path, CZ_LABELS_NONE));
  assert_int_equal(r->items[0].label, -1);
  assert_int_equal(r->unlabelled, 3);
  assert_null(r->no_label);
  cz_records_destroy(&r);
  OK(cz_records_read(&r, f, write_text("u.csv", "text\na\n"), CZ_LABELS_IF_THERE));
  assert_non_null(strstr(r->no_label, "u.csv:1: the header has no column 'section'"));
  cz_records_destroy(&r);
  FAILS(cz_records_read(&r, f, write_text("u.csv", "text,section\n"), CZ_LABELS_NEEDED), CZ_EINVAL,
        "u.csv: there is no record in it");
  FAILS(cz_records_read(&r, f, write_text("u.csv", "text,section\na,gmaes\n"), CZ_LABELS_NEEDED),
        CZ_EINVAL, "u.csv:2: the label 'gmaes' is not declared in ");
  assert_null(r);
  cz_patterns_close(&f);
}

static cz_task_set *load(const char *task, const char *name, const char *content) {
  const cz_task_row *row;
  const cz_task_config config = {0};
  cz_task_set *set;
  OK(cz_task_find(&row, task));
  OK(cz_task_load(&set, row, &config, write_text(name, content), CZ_TASK_EVALUATE));
  return set;
}

/* MNLI's official file: the fields by their columns, labels by their text, whatever the order in
 * which task and pattern file number them. */
static void test_task(void **state) {
  cz_task_set *set = load("mnli", "mnli.tsv",
                          "index\tsentence1\tsentence2\tgold_label\n0\ta b.\tc\tneutral\n"
                          "1\td\te\tcontradiction\n");
  cz_pattern_file *f = open_file("mnli");
  cz_records *r;
  OK(cz_records_of_task(&r, f, set));
  assert_int_equal(r->n, 2);
  assert_string_equal(r->items[0].fields[0], "a b.");
  assert_string_equal(r->items[0].fields[1], "c");
  assert_string_equal(f->labels[r->items[0].label], "neutral");
  assert_string_equal(f->labels[r->items[1].label], "contradiction");
  cz_records_destroy(&r);
  cz_patterns_close(&f);
  f = open_file("cb");
  FAILS(cz_records_of_task(&r, f, set), CZ_EINVAL,
        "records of task mnli have no field 'premise', which ");
  assert_null(r);
  cz_patterns_close(&f);
  cz_task_set_destroy(&set);
}

/* MultiRC's nested file, whose reader makes a record of each answer. */
static void test_multirc(void **state) {
  cz_task_set *set = load("multirc", "m.jsonl",
                          "{\"passage\": {\"text\": \"p\", \"questions\": [{\"question\": \"q\", "
                          "\"answers\": [{\"text\": \"r\", \"label\": 1}, {\"text\": \"s\", "
                          "\"label\": 0}]}]}}\n");
  cz_pattern_file *f = open_file("multirc");
  cz_records *r;
  OK(cz_records_of_task(&r, f, set));
  assert_int_equal(r->n, 2);
  assert_string_equal(r->items[1].fields[0], "p");
  assert_string_equal(r->items[1].fields[2], "s");
  assert_string_equal(f->labels[r->items[0].label], "True");
  cz_records_destroy(&r);
  cz_patterns_close(&f);
  cz_task_set_destroy(&set);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_sections), cmocka_unit_test(test_task),
                                     cmocka_unit_test(test_multirc)};
  return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
