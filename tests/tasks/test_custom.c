/* Tasks that a user describes: columns, headers, labels, numbers, quotes, and what is
 * said to each mistake. */
#include "setup.h"

#include <string.h>

#define WORDS(...)                                                                                 \
  (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)

static cz_task_set *load_for(cz_task_use use, const char *task, const char *content,
                             const char *const *words, size_t n) {
  cz_task_set *set;
  const cz_task_config config = task_config(task, words, n);
  OK(try_load(&set, task, &config, write_text("own", content), use));
  return set;
}
#define load_custom(...) load_for(CZ_TASK_TRAIN, __VA_ARGS__)
#define load_scored(...) load_for(CZ_TASK_EVALUATE, __VA_ARGS__)

static void refuse_for(cz_task_use use, const char *task, const char *content, cz_status code,
                       const char *message, const char *const *words, size_t n) {
  cz_task_set *set = NULL;
  const cz_task_config config = task_config(task, words, n);
  assert_int_equal(try_load(&set, task, &config, write_text("own", content), use), code);
  assert_null(set);
  if (!strstr(cz_error_message(), message))
    fail_msg("'%s' is not in: %s", message, cz_error_message());
}

#define refuse(...)        refuse_for(CZ_TASK_TRAIN, __VA_ARGS__)
#define refuse_scored(...) refuse_for(CZ_TASK_EVALUATE, __VA_ARGS__)

static void test_free_text(void **state) {
  cz_task_set *set = load_custom("tsv", "a \"b\tc\n\nd\te\n", NULL, 0);
  assert_int_equal(set->n, 2);
  assert_record(set, 0, "a \"b", "c");
  assert_null(set->labels);
  assert_int_equal(set->metrics[0], CZ_METRIC_ROUGE1);
  cz_task_set_destroy(&set);
  set = load_custom("tsv", "a\tb\n",
                    WORDS("prefix=echo:", "metrics=bleu", "baseline=lead", "lead_words=3"));
  assert_record(set, 0, "echo: a", "b");
  assert_string_equal(set->records[0].source, "a");
  assert_true(set->metrics[0] == CZ_METRIC_BLEU && set->metrics[1] == CZ_METRIC_NONE);
  assert_true(set->baseline == CZ_BASELINE_LEAD && set->lead_words == 3);
  cz_task_set_destroy(&set);
}

static void test_labels(void **state) {
  cz_task_set *set = load_custom("tsv", "kind\tword\tx\nfruit\tpear\t1\nroot\tbeet\t2\n",
                                 WORDS("header=true", "labels=fruit, root", "input_columns=x,word",
                                       "target_column=kind", "metrics=f1,accuracy"));
  assert_int_equal(set->n, 2);
  assert_record(set, 1, "2 beet", "root");
  assert_int_equal(set->records[1].label, 1);
  assert_int_equal(set->comparison, CZ_COMPARE_LABEL);
  assert_true(set->metrics[0] == CZ_METRIC_F1 && set->metrics[1] == CZ_METRIC_ACCURACY);
  cz_task_set_destroy(&set);
}

/* A column that names the source: by number or name, also one that is an input, and none of
 * them empty. */
static void test_groups(void **state) {
  static const char tsv[] = "text\tkind\tauthor\none\tx\tann\ntwo\ty\tann\nthree\tx\tbob\n";
  cz_task_set *set = load_scored("tsv", tsv, WORDS("header=true", "group_column=author"));
  assert_int_equal(set->n, 3);
  assert_string_equal(set->records[0].origin, "ann");
  assert_string_equal(set->records[1].origin, "ann");
  assert_string_equal(set->records[2].origin, "bob");
  assert_record(set, 1, "two", "y");
  cz_task_set_destroy(&set);
  set = load_scored("csv", "\"a, b\",x\nc,y\n", WORDS("group_column=1"));
  assert_string_equal(set->records[0].origin, "a, b");
  assert_string_equal(set->records[1].origin, "c");
  cz_task_set_destroy(&set);
  set = load_scored("tsv", tsv, WORDS("header=true"));
  assert_null(set->records[0].origin);
  cz_task_set_destroy(&set);
  set = load_custom("tsv", "a\tb\n", WORDS("group_column=3")); /* training needs no such column */
  assert_null(set->records[0].origin);
  cz_task_set_destroy(&set);
  refuse_scored("tsv", "a\tb\tc\nd\te\t\n", CZ_EINVAL, "own:2: the group is empty",
                WORDS("group_column=3"));
  refuse_scored("tsv", tsv, CZ_EINVAL, "has no column 'autor'; did you mean 'author'?",
                WORDS("header=true", "group_column=autor"));
  refuse_scored("tsv", "a\tb\n", CZ_EINVAL, "there are 2 columns, 3 is none of them",
                WORDS("group_column=3"));
  refuse_scored("tsv", "a\tb\n", CZ_EUSAGE, "column 'who' is no number, and header is false",
                WORDS("group_column=who"));
}

/* Quotes, doubled quotes, a line end inside quotes, blanks kept, blank lines skipped;
 * places count the file's lines. */
static void test_csv(void **state) {
  cz_task_set *set = load_custom("csv", "\"one, \"\"two\"\"\nthree\",x\n\n b ,y\r\n", NULL, 0);
  assert_int_equal(set->n, 2);
  assert_record(set, 0, "one, \"two\"\nthree", "x");
  assert_record(set, 1, " b ", "y");
  cz_task_set_destroy(&set);
  set = load_custom("csv", "a,x\rb,y\r\r\n \t\r\"c\r\rd\",x\r", NULL, 0); /* CR, and CR CR LF */
  assert_int_equal(set->n, 3);
  assert_record(set, 1, "b", "y");
  assert_record(set, 2, "c\n\nd", "x"); /* a blank line inside quotes is text */
  cz_task_set_destroy(&set);
  refuse("csv", "\"one\ntwo\",x\na\n", CZ_EINVAL, "own:3: 1 fields, the first line has 2", NULL, 0);
  refuse("csv", "a,x\n\"b\nc,d\n", CZ_EINVAL,
         "own:2: a quote that opens in this record is never closed", NULL, 0);
  /* a lenient parser takes all up to the next quote for one field, and every second
   * record is gone */
  refuse("csv", "a,x\n\"b,y\nc,x\n\"d\" e,y\n", CZ_EINVAL,
         "own:4: a quote inside a field: write it twice and put the field in quotes (the record "
         "began at line 2)",
         NULL, 0);
  refuse("csv", "text;kind\na;b\n", CZ_EINVAL,
         "own:1: the header has no column 'text'; known are text;kind; are fields separated by "
         "commas?",
         WORDS("header=true", "input_columns=text", "target_column=kind"));
  refuse("csv", "words,kind\na,b\n", CZ_EINVAL,
         "own:1: the header has no column 'text'; known are words, kind",
         WORDS("header=true", "input_columns=text", "target_column=kind"));
  refuse("csv", "text,kind,text\na,b,c\n", CZ_EINVAL,
         "own:1: 2 columns of the header are called 'text'; name it by its number",
         WORDS("header=true", "input_columns=text", "target_column=kind"));
  refuse("csv", "a 5\" disk,x\n", CZ_EINVAL, "own:1: a quote inside a field", NULL, 0);
  refuse("csv", "\"a\" disk,x\n", CZ_EINVAL, "own:1: a quote inside a field", NULL, 0);
  refuse("csv", "a,x\nb,\"y", CZ_EINVAL, "own:2: a quote that opens in this record is never closed",
         NULL, 0);
}

/* Zhang et al.: class number from 1, title, text, with \n for line ends. */
static void test_zhang(void **state) {
  static const char *const words[] = {"labels=World,Sports", "class_numbers=from_one",
                                      "input_columns=2,3",   "target_column=1",
                                      "unescape=true",       "prefix=ag"};
  cz_task_set *set =
      load_custom("csv", "\"2\",\"A title\",\"First.\\nSecond.\"\n\"1\",\"B\",\"C\"\n", words, 6);
  assert_record(set, 0, "ag A title First. Second.", "Sports");
  assert_record(set, 1, "ag B C", "World");
  cz_task_set_destroy(&set);
  refuse("csv", "\"3\",\"a\",\"b\"\n", CZ_EINVAL,
         "own:1: expected a class number from 1 to 2, found '3'", words, 6);
  refuse("csv", "\"World\",\"a\",\"b\"\n", CZ_EINVAL, "found 'World'", words, 6);
}

static void test_mistakes(void **state) {
  refuse("tsv", "a\tb\n", CZ_EINVAL, "own:1: there are 2 columns, 3 is none",
         WORDS("target_column=3"));
  refuse("tsv", "a\tb\n", CZ_EUSAGE, "column 'text' is no number, and header is false",
         WORDS("input_columns=text"));
  refuse("tsv", "txt\tb\n", CZ_EINVAL, "the header has no column 'text'; did you mean 'txt'?",
         WORDS("input_columns=text", "header=true"));
  refuse("tsv", "a\tb\nc\n", CZ_EINVAL, "own:2: 1 fields, the first line has 2", NULL, 0);
  refuse("tsv", "a\tgood\nb\tgod\n", CZ_EINVAL, "own:2: unknown label 'god'; did you mean 'good'?",
         WORDS("labels=good,bad"));
  refuse("tsv", "a\tmediocre\n", CZ_EINVAL, "unknown label 'mediocre'; known are good, bad",
         WORDS("labels=good,bad"));
  refuse("tsv", "a\t\n", CZ_EINVAL, "own:1: the label is empty", WORDS("labels=good,bad"));
  refuse("tsv", "a\t\n", CZ_EINVAL, "own:1: the target is empty", NULL, 0);
  refuse("tsv", "\tb\n", CZ_EINVAL, "own:1: the input is empty", WORDS("prefix=p"));
  refuse("tsv", "a\tb\n", CZ_EUSAGE, "one label leaves nothing", WORDS("labels=good"));
  refuse("tsv", "a\tb\n", CZ_EUSAGE, "'good' is declared twice", WORDS("labels=good,bad,good"));
  refuse("tsv", "a\tb\n", CZ_EUSAGE, "no score is called 'acuracy'; did you mean 'accuracy'?",
         WORDS("metrics=acuracy"));
  refuse("tsv", "a\tb\n", CZ_EUSAGE, "accuracy is for labels", WORDS("metrics=accuracy"));
  refuse("tsv", "a\tb\n", CZ_EUSAGE, "bleu is for free text",
         WORDS("labels=good,bad", "metrics=bleu"));
  refuse("tsv", "a\tb\n", CZ_EUSAGE, "f1 is for two labels, 3",
         WORDS("labels=a,b,c", "metrics=f1"));
  refuse("tsv", "a\tb\n", CZ_EUSAGE, "class_numbers needs labels",
         WORDS("class_numbers=from_zero"));
  refuse("tsv", "a\tb\n", CZ_EUSAGE, "5 are too many", WORDS("metrics=bleu,bleu,bleu,bleu,bleu"));
  refuse("tsv", "a\tb\n", CZ_EUSAGE, "pearson is not for", WORDS("metrics=pearson"));
  refuse("csv", "", CZ_EINVAL, "the file is empty", NULL, 0);
  refuse("csv", "a\xff,b\n", CZ_EINVAL, "own:1:2: the byte 0xff does not belong", NULL, 0);
  refuse("csv", "a,b\n", CZ_EINVAL, "no record of task csv", WORDS("header=true"));
}

int run_custom_tests(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_free_text), cmocka_unit_test(test_groups),
      cmocka_unit_test(test_labels),    cmocka_unit_test(test_csv),
      cmocka_unit_test(test_zhang),     cmocka_unit_test(test_mistakes),
  };
  return cmocka_run_group_tests_name("custom tasks", tests, NULL, NULL);
}
