/* Data files by column names: what is read, what is refused with which place, and that a record
 * that is wrong does not stop those behind it. */
#include "common/common.h"
#include "base/line_stream.h"
#include "base/lines.h"
#include "base/mem.h"
#include "tasks/readers/table.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const text_only[] = {"text"};
static const char *const two[] = {"title", "text"};

static cz_table_layout layout(const char *const *columns, size_t n, cz_table_labels labels) {
  return (cz_table_layout){.columns = columns, .n_columns = n, .label = "kind", .labels = labels};
}

static cz_table *open_as(const char *name, const char *content, cz_table_layout how) {
  cz_table *t;
  OK(cz_table_open(&t, write_text(name, content), &how));
  return t;
}

/* The next record has these fields, with bars between, and this label, null for none. */
static void expect(cz_table *t, int64_t number, const char *fields, const char *label) {
  cz_table_record r;
  bool more;
  char joined[256] = "";
  OK(cz_table_next(t, &r, &more));
  assert_true(more);
  assert_int_equal(r.number, number);
  char place[32]; /* the line is the one that messages name */
  snprintf(place, sizeof place, ":%lld", (long long)r.line);
  assert_string_equal(strrchr(r.place, ':'), place);
  const char *bar = strchr(fields, '|');
  snprintf(joined, sizeof joined, "%s%s%s", r.fields[0], bar ? "|" : "", bar ? r.fields[1] : "");
  assert_string_equal(joined, fields);
  if (label)
    assert_string_equal(r.label, label);
  else
    assert_null(r.label);
}

static void expect_end(cz_table *t) {
  cz_table_record r;
  bool more;
  OK(cz_table_next(t, &r, &more));
  assert_false(more);
  cz_table_close(&t);
}

static void expect_bad(cz_table *t, int64_t number, const char *message) {
  cz_table_record r;
  bool more;
  FAILS(cz_table_next(t, &r, &more), CZ_EINVAL, message);
  assert_int_equal(r.number, number);
}

/* Byte order mark, CR LF, quotes, doubled quotes, commas and line ends inside quotes, blank lines,
 * columns in another order and others beside them. */
static void test_csv(void **state) {
  static const char csv[] = "\xef\xbb\xbfkind,other,text,title\r\n"
                            "a,1,\"one, \"\"two\"\"\r\nthree\",T\r\n"
                            "\r\n"
                            "b,2, x ,\r\n";
  cz_table *t = open_as("a.csv", csv, layout(two, 2, CZ_LABELS_NEEDED));
  expect(t, 0, "T|one, \"two\"\nthree", "a");
  expect(t, 1, "| x ", "b");
  expect_end(t);
}

static void test_tsv(void **state) {
  cz_table *t = open_as("a.TSV", "text\tkind\nsay \"hi\", you\tx\n \t\nb\t\n",
                        layout(text_only, 1, CZ_LABELS_IF_THERE));
  expect(t, 0, "say \"hi\", you", "x");
  assert_null(cz_table_unlabelled(t));
  expect(t, 1, "b", NULL);
  assert_string_equal(cz_table_unlabelled(t), under("a.TSV:4: the label (column 'kind') is empty"));
  expect_end(t);
}

static void test_jsonl(void **state) {
  static const char lines[] = "{\"text\": \"\\u00fc [MASK] </s>\", \"kind\": 3, \"more\": []}\n\n"
                              "{\"text\": \"b\", \"kind\": true}\n"
                              "{\"text\": \"c\", \"kind\": null}\n"
                              "{\"text\": \"d\", \"knd\": \"x\"}";
  cz_table *t = open_as("a.jsonl", lines, layout(text_only, 1, CZ_LABELS_IF_THERE));
  expect(t, 0, "\xc3\xbc [MASK] </s>", "3");
  expect(t, 1, "b", "true");
  expect(t, 2, "c", NULL);
  expect(t, 3, "d", NULL);
  assert_non_null(strstr(cz_table_unlabelled(t), "a.jsonl:4: \"kind\" is missing"));
  expect_end(t);
  t = open_as("a.jsonl", lines, layout(text_only, 1, CZ_LABELS_NONE));
  expect(t, 0, "\xc3\xbc [MASK] </s>", NULL);
  cz_table_close(&t);
}

/* The next record comes from GROUP. */
static void expect_group(cz_table *t, const char *group) {
  cz_table_record r;
  bool more;
  OK(cz_table_next(t, &r, &more));
  assert_true(more);
  assert_string_equal(r.group, group);
}

/* What a record comes from: needed in each where it is asked for, and not looked at elsewhere. */
static void test_groups(void **state) {
  static const char *const given[] = {"from", "text"};
  cz_table_layout how = layout(text_only, 1, CZ_LABELS_NONE);
  cz_table *t = open_as("a.tsv", "text\tfrom\na\tp\n", how);
  expect(t, 0, "a", NULL);
  expect_end(t);
  how.group = "from";
  t = open_as("a.tsv", "text\tfrom\na\tp\nb\t\nc\tp q\n", how);
  expect_group(t, "p");
  expect_bad(t, 1, "a.tsv:3: the group (column 'from') is empty");
  expect_group(t, "p q");
  expect_end(t);
  t = open_as("a.jsonl", "{\"text\": \"a\", \"from\": 7}\n{\"text\": \"b\", \"form\": \"p\"}\n",
              how);
  expect_group(t, "7");
  expect_bad(t, 1, "a.jsonl:2: \"from\" is missing; did you mean 'form'?");
  cz_table_close(&t);
  FAILS(cz_table_open(&t, write_text("a.csv", "text,form\na,p\n"), &how), CZ_EINVAL,
        "a.csv:1: the header has no column 'from'; did you mean 'form'?");
  how.header = given, how.n_header = 2;
  t = open_as("a.csv", "p,a\n", how);
  expect_group(t, "p");
  cz_table_close(&t);
}

/* A column of labels that a test file lacks is remembered, one that training needs is demanded. */
static void test_no_labels(void **state) {
  cz_table *t = open_as("a.csv", "text,knd\nb,x\n", layout(text_only, 1, CZ_LABELS_IF_THERE));
  assert_non_null(
      strstr(cz_table_unlabelled(t), "a.csv has no column 'kind' (did you mean 'knd'?)"));
  expect(t, 0, "b", NULL);
  expect_end(t);
}

static void refuse(const char *name, const char *content, cz_table_layout how, cz_status code,
                   const char *message) {
  cz_table *t = NULL;
  FAILS(cz_table_open(&t, write_text(name, content), &how), code, message);
  assert_null(t);
}

static void test_headers(void **state) {
  const cz_table_layout need = layout(text_only, 1, CZ_LABELS_NEEDED),
                        none = layout(text_only, 1, CZ_LABELS_NONE);
  refuse("a.txt", "text\n", none, CZ_EUSAGE, "a.txt: expected a file called .csv, .tsv or .jsonl");
  refuse("csv", "text\n", none, CZ_EUSAGE, "expected a file called");
  refuse("a.csv", "", none, CZ_EINVAL, "a.csv: the file is empty");
  refuse("a.csv", "\n\n", none, CZ_EINVAL, "a.csv: the file is empty");
  refuse(
      "a.csv", "txt,kind\n", none, CZ_EINVAL,
      "a.csv:1: the header has no column 'text'; did you mean 'txt'? (the first line of the file "
      "must name its columns; --columns of a command, or the key examples.columns of an "
      "experiment's stage, may do so instead)");
  refuse("a.csv", "3,\"Wall St. falls\",more\n", none, CZ_EINVAL,
         "a.csv:1: the header has no column 'text'; known are 3, Wall St. falls, more (the first "
         "line of the file must name its columns; --columns of a command, or the key "
         "examples.columns of an experiment's stage, may do so instead)");
  refuse("a.csv", "text;kind\n", none, CZ_EINVAL, "are fields separated by commas?");
  refuse("a.tsv", "text,kind\n", none, CZ_EINVAL, "are fields separated by tabs?");
  refuse("a.csv", "text,kind,text\n", need, CZ_EINVAL,
         "a.csv:1: 2 columns of the header are called 'text'");
  refuse("a.csv", "text,label\n", need, CZ_EINVAL, "a.csv:1: the header has no column 'kind'");
  refuse("a.csv", "te\xffxt\n", none, CZ_EINVAL, "a.csv:1:3: the byte 0xff does not belong");
  cz_table *t = NULL;
  FAILS(cz_table_open(&t, under("missing.csv"), &need), CZ_EIO, "missing.csv");
}

/* A line that is no text ends the record that it stands in; what follows is not taken for it. */
static void test_bad_line_in_quotes(void **state) {
  cz_table *t = open_as("a.csv", "text,kind\n\"a\n\xff\nb\",x\nc,y\n\"d\ne\",\n",
                        layout(text_only, 1, CZ_LABELS_NEEDED));
  expect_bad(t, 0, "a.csv:3:1: the byte 0xff");
  expect_bad(t, 1, "a.csv:4: a quote inside a field");
  expect(t, 2, "c", "y");
  expect_bad(t, 3, "a.csv:6: the label (column 'kind') is empty"); /* where the record began */
  expect_end(t);
}

/* Each bad record is refused with its place, and the next is read. */
static void test_bad_records(void **state) {
  cz_table *t =
      open_as("a.csv", "text,kind\na,x\nb\nc \"q\" d,x\n\"e\nf\",y\ng,\n ,x\nh\xc3(,x\ni,y\n\"j\n",
              layout(text_only, 1, CZ_LABELS_NEEDED));
  expect(t, 0, "a", "x");
  expect_bad(t, 1, "a.csv:3: 1 fields, the first line has 2");
  expect_bad(t, 2, "a.csv:4: a quote inside a field: write it twice");
  expect(t, 3, "e\nf", "y");
  expect_bad(t, 4, "a.csv:7: the label (column 'kind') is empty");
  expect_bad(t, 5, "a.csv:8: there is no text in 'text'");
  expect_bad(t, 6, "a.csv:9:2: the byte 0xc3 does not belong");
  expect(t, 7, "i", "y");
  expect_bad(t, 8, "a.csv:11: a quote that opens in this record is never closed");
  expect_end(t);
  t = open_as("a.jsonl",
              "{\"text\": \"a\", \"kind\": \"x\"}\n{\"text\": \"b\"\n[1]\n{\"txt\": \"c\"}\n"
              "{\"text\": 5, \"kind\": \"x\"}\n{\"text\": \"d\", \"kind\": []}\n"
              "{\"text\": \"e\", \"text\": \"f\"}\n{\"text\": \"\", \"kind\": \"x\"}\n"
              "{\"text\": \"g\\u0000h\", \"kind\": \"x\"}\n{\"text\": \"i\"}\n"
              "{\"text\": \"j\", \"kind\": \"y\"}\n",
              layout(text_only, 1, CZ_LABELS_NEEDED));
  expect(t, 0, "a", "x");
  expect_bad(t, 1, "a.jsonl:2:");
  expect_bad(t, 2, "a.jsonl:3:1: expected a JSON object");
  expect_bad(t, 3, "a.jsonl:4: \"text\" is missing; did you mean 'txt'?");
  expect_bad(t, 4, "a.jsonl:5: \"text\" is a whole number, expected a text");
  expect_bad(t, 5, "a.jsonl:6: \"kind\" is a list, expected a text, a whole number");
  expect_bad(t, 6, "a.jsonl:7:");
  expect_bad(t, 7, "a.jsonl:8: there is no text in 'text'");
  expect_bad(t, 8, "a.jsonl:9:");
  expect_bad(t, 9, "a.jsonl:10: \"kind\" is missing");
  expect(t, 10, "j", "y");
  expect_end(t);
}

static void test_nul(void **state) {
  static const char nul[] = "text\na\0b\nc\n";
  const cz_table_layout none = layout(text_only, 1, CZ_LABELS_NONE);
  cz_table *t;
  OK(cz_table_open(&t, write_bytes("a.csv", nul, sizeof nul - 1), &none));
  expect_bad(t, 0, "a.csv:2:2: the byte 0x00 does not belong");
  expect(t, 1, "c", NULL);
  expect_end(t);
}

/* Every cut of lines that base/lines.h makes of a whole text, the stream makes too, whatever
 * pieces the input comes in: a pipe is written a byte at a time. */
static void test_lines(void **state) {
  static const char ends[] = "a\r\n\n\r\rx";
  uint64_t seed = test_seed();
  srand((unsigned)seed);
  for (int round = 0; round < 200; round++) {
    char text[64];
    size_t n = (size_t)rand() % sizeof text;
    for (size_t i = 0; i < n; i++) text[i] = ends[(size_t)rand() % (sizeof ends - 1)];
    int ways[2];
    assert_int_equal(pipe(ways), 0);
    pid_t writer = fork();
    if (writer == 0) {
      for (size_t i = 0; i < n; i++)
        if (write(ways[1], &text[i], 1) != 1) _exit(1);
      _exit(0);
    }
    close(ways[1]);
    cz_line_stream s = {.name = "pipe", .fd = ways[0], .is_open = true};
    cz_line_walk walk = cz_line_walk_over(text, n, "text");
    for (;;) {
      const char *line;
      char *streamed;
      size_t length, streamed_n;
      bool more, expected = cz_line_next(&walk, &line, &length);
      OK(cz_line_stream_next(&s, &streamed, &streamed_n, &more));
      assert_int_equal(more, expected);
      if (!more) break;
      assert_int_equal(streamed_n, length);
      assert_memory_equal(streamed, line, length);
      assert_int_equal(s.number, walk.number);
    }
    cz_line_stream_close(&s);
    int status;
    assert_int_equal(waitpid(writer, &status, 0), writer);
    assert_int_equal(status, 0);
  }
}

/* What a writer of CSV and one of JSON lines put into a file comes back, whatever it is. */
static void test_round_trip(void **state) {
  static const char *const bits[] = {"a",        "\"", ",",   "\n", " ",   "\t",
                                     "\xc3\xbc", "'",  "\\n", ";",  "\"\""};
  srand((unsigned)test_seed());
  for (int round = 0; round < 100; round++) {
    char fields[20][2][64];
    cz_buf csv = {0}, lines = {0};
    OK(cz_buf_addf(&csv, "title,text\n"));
    for (size_t i = 0; i < 20; i++) {
      json_t *o = json_object();
      for (size_t k = 0; k < 2; k++) {
        char *f = fields[i][k];
        strcpy(f, k ? "x" : ""); /* one field of a record has text */
        for (int n = rand() % 8; n > 0; n--)
          strcat(f, bits[(size_t)rand() % (sizeof bits / sizeof *bits)]);
        bool quoted = strpbrk(f, "\",\n") || rand() % 2;
        OK(cz_buf_addf(&csv, "%s%s", k ? "," : "", quoted ? "\"" : ""));
        for (const char *s = f; *s; s++) OK(cz_buf_addf(&csv, *s == '"' ? "\"\"" : "%c", *s));
        OK(cz_buf_addf(&csv, "%s%s", quoted ? "\"" : "", k ? rand() % 2 ? "\r\n" : "\n" : ""));
        assert_int_equal(json_object_set_new(o, two[k], json_string(f)), 0);
      }
      char *text = json_dumps(o, 0);
      OK(cz_buf_addf(&lines, "%s\n", text));
      free(text);
      json_decref(o);
    }
    cz_table *t[] = {open_as("r.csv", csv.data, layout(two, 2, CZ_LABELS_NONE)),
                     open_as("r.jsonl", lines.data, layout(two, 2, CZ_LABELS_NONE))};
    for (int which = 0; which < 2; which++) {
      cz_table_record r;
      bool more;
      for (size_t i = 0; i < 20; i++) {
        OK(cz_table_next(t[which], &r, &more));
        assert_true(more);
        assert_string_equal(r.fields[0], fields[i][0]);
        assert_string_equal(r.fields[1], fields[i][1]);
      }
      expect_end(t[which]);
    }
    cz_buf_free(&csv);
    cz_buf_free(&lines);
  }
}

/* Standard input is JSON lines. */
static void test_standard_input(void **state) {
  int kept = dup(0), fd = open(write_text("in", "{\"text\": \"a\"}\n{\"text\": 1}\n"), O_RDONLY);
  assert_true(kept >= 0 && fd >= 0 && dup2(fd, 0) == 0);
  const cz_table_layout none = layout(text_only, 1, CZ_LABELS_NONE);
  cz_table *t;
  OK(cz_table_open(&t, "-", &none));
  expect(t, 0, "a", NULL);
  expect_bad(t, 1, "standard input:2: \"text\" is a whole number");
  expect_end(t);
  assert_int_equal(dup2(kept, 0), 0);
  close(kept);
  close(fd);
}

/* What is in the pipe is told without waiting for more of it. */
static void test_pause(void **state) {
  int ways[2];
  char *line;
  size_t n;
  bool more;
  assert_int_equal(pipe(ways), 0);
  cz_line_stream s = {.name = "pipe", .fd = ways[0], .is_open = true};
  assert_int_equal(write(ways[1], "a\nb\r", 4), 4);
  OK(cz_line_stream_next(&s, &line, &n, &more));
  assert_string_equal(line, "a");
  assert_true(cz_line_stream_has_line(&s));
  OK(cz_line_stream_next(&s, &line, &n, &more));
  assert_string_equal(line, "b");
  assert_false(cz_line_stream_has_line(&s));
  assert_int_equal(write(ways[1], "\nc", 2), 2);
  close(ways[1]);
  OK(cz_line_stream_next(&s, &line, &n, &more));
  assert_string_equal(line, "c");
  OK(cz_line_stream_next(&s, &line, &n, &more));
  assert_false(more);
  cz_line_stream_close(&s);
}

/* 1 MB a text, quoted or not, and many fields. */
static void test_long(void **state) {
  enum { LONG = 1 << 20 };
  cz_buf b = {0};
  char *text = malloc(LONG + 1);
  assert_non_null(text);
  memset(text, 'x', LONG);
  text[LONG] = '\0';
  OK(cz_buf_addf(&b, "text\n\"%s\"\n%s\n", text, text));
  cz_table *t = open_as("a.csv", b.data, layout(text_only, 1, CZ_LABELS_NONE));
  cz_table_record r;
  bool more;
  for (int i = 0; i < 2; i++) {
    OK(cz_table_next(t, &r, &more));
    assert_int_equal(strlen(r.fields[0]), LONG);
  }
  expect_end(t);
  b.len = 0;
  OK(cz_buf_addf(&b, "text\na"));
  for (int i = 0; i < 70; i++) OK(cz_buf_addf(&b, ",b"));
  t = open_as("a.csv", b.data, layout(text_only, 1, CZ_LABELS_NONE));
  expect_bad(t, 0, "a.csv:2: more than 64 fields");
  cz_table_close(&t);
  cz_buf_free(&b);
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_csv),
      cmocka_unit_test(test_tsv),
      cmocka_unit_test(test_jsonl),
      cmocka_unit_test(test_no_labels),
      cmocka_unit_test(test_groups),
      cmocka_unit_test(test_headers),
      cmocka_unit_test(test_bad_records),
      cmocka_unit_test(test_nul),
      cmocka_unit_test(test_lines),
      cmocka_unit_test(test_bad_line_in_quotes),
      cmocka_unit_test(test_pause),
      cmocka_unit_test(test_round_trip),
      cmocka_unit_test(test_standard_input),
      cmocka_unit_test(test_long),
  };
  return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
