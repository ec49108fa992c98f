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
  OK(cz_records_read_as(&r, f, path, &(cz_table_layout){.labels = CZ_LABELS_NEEDED}));
  assert_int_equal(r->n, 3);
  assert_string_equal(r->items[0].fields[0], "one \"two\"");
  assert_int_equal(r->items[0].label, 5);
  assert_int_equal(r->items[1].label, 0);
  assert_int_equal(r->items[2].row, 2);
  assert_int_equal(r->of_label[5], 2);
  assert_int_equal(r->unlabelled, 0);
  cz_records_destroy(&r);
  OK(cz_records_read_as(&r, f, path, &(cz_table_layout){.labels = CZ_LABELS_NONE}));
  assert_int_equal(r->items[0].label, -1);
  assert_int_equal(r->unlabelled, 3);
  assert_null(r->no_label);
  cz_records_destroy(&r);
  OK(cz_records_read_as(&r, f, write_text("u.csv", "text\na\n"),
                        &(cz_table_layout){.labels = CZ_LABELS_IF_THERE}));
  assert_non_null(strstr(r->no_label, "u.csv has no column 'section'"));
  cz_records_destroy(&r);
  FAILS(cz_records_read_as(&r, f, write_text("u.csv", "text,section\n"),
                           &(cz_table_layout){.labels = CZ_LABELS_NEEDED}),
        CZ_EINVAL, "u.csv: there is no record in it");
  FAILS(cz_records_read_as(&r, f, write_text("u.csv", "text,section\na,gmaes\n"),
                           &(cz_table_layout){.labels = CZ_LABELS_NEEDED}),
        CZ_EINVAL, "u.csv:2: the label 'gmaes' is not declared in ");
  assert_null(r);
  cz_patterns_close(&f);
}

static cz_records *read_as(const char *pattern, const char *name, const char *content,
                           const char *const *header, size_t n, cz_backslashes backslashes) {
  cz_pattern_file *f = open_file(pattern);
  cz_records *r;
  OK(cz_records_read_as(&r, f, write_text(name, content),
                        &(cz_table_layout){.labels = CZ_LABELS_NEEDED,
                                           .header = header,
                                           .n_header = n,
                                           .backslashes = backslashes}));
  cz_patterns_close(&f);
  return r;
}

static void expect(const cz_records *r, size_t i, int32_t label, const char *const *fields) {
  assert_true(i < r->n);
  assert_int_equal(r->items[i].label, label);
  assert_int_equal(r->items[i].row, i);
  for (size_t k = 0; k < r->n_fields; k++) assert_string_equal(r->items[i].fields[k], fields[k]);
}

static const char *const ag[] = {"label", "title", "description"},
                         *const yelp[] = {"label", "text"},
                         *const yahoo[] = {"label", "title", "body", "answer"};

/* The official layouts: Zhang et al.'s files without a header, labels from 1, quotes doubled, and
 * backslashes as PET's readers take them; MNLI as GLUE has it and as its authors do. */
static void test_official(void **state) {
  cz_records *r = read_as("agnews", "ag.csv",
                          "\"3\",\"Wall St. \"\"Bears\"\"\",\"Short,\\band\\nine\"\r\n"
                          "\"4\",\"b\",\"c\"\r\n",
                          ag, 3, CZ_BACKSLASHES_SPACES);
  assert_int_equal(r->n, 2); /* the first line is a record */
  expect(r, 0, 2, (const char *[]){"Wall St. \"Bears\"", "Short, band nine"});
  expect(r, 1, 3, (const char *[]){"b", "c"});
  cz_records_destroy(&r);
  r = read_as("yelp_full", "yelp.csv", "\"5\",\"dr. a\\n\\nb \\\"\"c\"\"\"\n\"1\",\"d\\\"\n", yelp,
              2, CZ_BACKSLASHES_LINE_ENDS);
  expect(r, 0, 4, (const char *[]){"dr. a  b  \"c\""});
  expect(r, 1, 0, (const char *[]){"d "});
  cz_records_destroy(&r);
  r = read_as("yahoo", "yahoo.csv", "\"10\",\"why?\",\"\",\"so\\nit is\"\n", yahoo, 4,
              CZ_BACKSLASHES_LINE_ENDS);
  expect(r, 0, 9, (const char *[]){"why?", "", "so it is"});
  cz_records_destroy(&r);
  r = read_as("yelp_full", "yelp.csv", "\"1\",\"a\\nb\"\n", yelp, 2, CZ_BACKSLASHES_KEPT);
  expect(r, 0, 0, (const char *[]){"a\\nb"});
  cz_records_destroy(&r);
  r = read_as("mnli", "dev_matched.tsv",
              "index\tgenre\tsentence1\tsentence2\tlabel1\tgold_label\n"
              "0\tfiction\tA \"b\tc.\tneutral\tentailment\n",
              NULL, 0, CZ_BACKSLASHES_KEPT);
  expect(r, 0, 1, (const char *[]){"A \"b", "c."});
  cz_records_destroy(&r);
  r = read_as("mnli", "multinli.jsonl",
              "{\"gold_label\": \"contradiction\", \"sentence1\": \"a\", \"sentence2\": \"b\"}\n",
              yelp, 2, CZ_BACKSLASHES_KEPT); /* columns are those of tables: members have names */
  expect(r, 0, 0, (const char *[]){"a", "b"});
  cz_records_destroy(&r);
}

/* A record that is taken for a header, a header that is taken for a record, and columns that are
 * not what the pattern file wants. */
static void test_headers(void **state) {
  static const char *const twice[] = {"label", "text", "text"}, *const lacks[] = {"label", "txt"};
  const cz_table_layout first = {.labels = CZ_LABELS_NEEDED};
  cz_table_layout given = {.labels = CZ_LABELS_IF_THERE, .header = yelp, .n_header = 2};
  cz_pattern_file *f = open_file("yelp_full");
  cz_records *r;
  FAILS(cz_records_read_as(&r, f, write_text("a.csv", "5,good\n1,bad\n"), &first), CZ_EINVAL,
        "the key examples.columns of an experiment's stage, may do so instead");
  assert_non_null(strstr(cz_error_message(), "a.csv:1"));
  FAILS(cz_records_read_as(&r, f, write_text("a.csv", "Label,Text\n5,good\n"), &given), CZ_EINVAL,
        "a.csv:1: the first line names the columns, which `columns` does already");
  FAILS(cz_records_read_as(&r, f, write_text("a.csv", "Class Index,Review\n5,good\n"), &given),
        CZ_EINVAL, "of a file whose first line does, leave `columns` out");
  assert_non_null(strstr(cz_error_message(), "a.csv:1: the label 'Class Index' is not declared"));
  FAILS(cz_records_read_as(&r, f, write_text("a.csv", "5,good\nText,bad\n"), &given), CZ_EINVAL,
        "a.csv:2: the label 'Text' is not declared");
  assert_null(strstr(cz_error_message(), "leave `columns` out"));
  FAILS(cz_records_read_as(&r, f, write_text("a.csv", "5,good,fun\n"), &given), CZ_EINVAL,
        "a.csv:1: 3 fields, `columns` has 2");
  given.header = twice, given.n_header = 3;
  FAILS(cz_records_read_as(&r, f, write_text("a.csv", "5,good,fun\n"), &given), CZ_EUSAGE,
        "columns: several are called 'text'");
  given.header = lacks, given.n_header = 2;
  FAILS(cz_records_read_as(&r, f, write_text("a.csv", "5,good\n"), &given), CZ_EUSAGE,
        "columns: none is called 'text'");
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

/* The pattern files of tasks that have readers ask for fields and labels that their records have.
 */
static void test_fields_of_tasks(void **state) {
  static const struct {
    const char *task, *pattern, *line, *first, *label;
  } cases[] = {
      {"boolq", "boolq", "{\"question\": \"q\", \"passage\": \"p\", \"label\": true}", "p", "true"},
      {"wic", "wic",
       "{\"word\": \"w\", \"sentence1\": \"a\", \"sentence2\": \"b\", \"label\": false}", "a",
       "false"},
      {"cb", "cb", "{\"premise\": \"a\", \"hypothesis\": \"b\", \"label\": \"neutral\"}", "a",
       "neutral"},
      {"superglue_rte", "rte",
       "{\"premise\": \"a\", \"hypothesis\": \"b\", \"label\": \"entailment\"}", "a", "entailment"},
      {"axg", "rte", "{\"premise\": \"a\", \"hypothesis\": \"b\", \"label\": \"not_entailment\"}",
       "a", "not_entailment"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[400];
    snprintf(text, sizeof text, "%s\n%.*s}\n", cases[i].line,
             (int)(strstr(cases[i].line, ", \"label") - cases[i].line), cases[i].line);
    cz_task_set *set = load(cases[i].task, "t.jsonl", text);
    cz_pattern_file *f = open_file(cases[i].pattern);
    cz_records *r;
    OK(cz_records_of_task(&r, f, set));
    assert_int_equal(r->n, 2);
    assert_string_equal(r->items[0].fields[0], cases[i].first);
    assert_string_equal(f->labels[r->items[0].label], cases[i].label);
    assert_int_equal(r->items[1].label, -1); /* as in test files */
    assert_int_equal(r->unlabelled, 1);
    assert_non_null(strstr(r->no_label, "t.jsonl:2: \"label\" is missing"));
    cz_records_destroy(&r);
    cz_patterns_close(&f);
    cz_task_set_destroy(&set);
  }
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
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_sections), cmocka_unit_test(test_official),
      cmocka_unit_test(test_headers),  cmocka_unit_test(test_task),
      cmocka_unit_test(test_multirc),  cmocka_unit_test(test_fields_of_tasks)};
  return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
