/* `cloze predict` and `cloze score`: answers against Hugging Face's (fixtures of
 * scripts/make_likelihood_fixtures.py), streams, and what is refused. */
#define _GNU_SOURCE
#include "program.h"

#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define CASES FIXTURES "/score/cases.json"

static json_t *cases_of(const char *kind) {
  json_error_t why;
  json_t *root = json_load_file(CASES, 0, &why);
  if (!root) fail_msg("%s", why.text);
  json_t *cases = json_incref(json_object_get(root, kind));
  json_decref(root);
  return cases;
}

static void copy(const char *to, const char *name, const char *from) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", to, name);
  write_text(path, "");
  OK(cz_fs_copy(from, under(path)));
}

/* The folder `model`: the fixture NAME with its tokenizer. */
static void make_model(const char *name) {
  char from[4096];
  static const char *const files[] = {"config.json", "model.safetensors"};
  for (int i = 0; i < 2; i++) {
    snprintf(from, sizeof from, FIXTURES "/families/%s/%s", name, files[i]);
    copy("model", files[i], from);
  }
  snprintf(from, sizeof from, FIXTURES "/score/%s.json", name);
  copy("model", "tokenizer.json", from);
}

/* The folder `model`, a classifier of two fields into CLASSES labels A, B, ... */
static void make_classifier(const char *name, size_t classes, int max_length) {
  char text[512], labels[128] = "\"A\"";
  make_model(name);
  for (size_t i = 1; i < classes; i++)
    snprintf(labels + strlen(labels), sizeof labels - strlen(labels), ", \"%c\"", (char)('A' + i));
  snprintf(text, sizeof text,
           "{\"fields\": [\"first\", \"second\"], \"labels\": [%s], \"max_length\": %d}", labels,
           max_length);
  write_text("model/cloze_task.json", text);
}

static const json_t *item(const json_t *list, size_t i) { return json_array_get(list, i); }

static void check_close(const json_t *got, const json_t *want, double tolerance, const char *what) {
  if (json_is_null(want)) {
    assert_true(json_is_null(got));
    return;
  }
  assert_true(json_is_number(got));
  if (!(fabs(json_number_value(got) - json_number_value(want)) <= tolerance))
    fail_msg("%s: %.12g, expected %.12g", what, json_number_value(got), json_number_value(want));
}

static void write_lines(const char *name, const json_t *texts) {
  cz_buf all = {0};
  for (size_t i = 0; i < json_array_size(texts); i++)
    OK(cz_buf_addf(&all, "%s\n", json_string_value(item(texts, i))));
  write_bytes(name, all.data, all.len);
  cz_buf_free(&all);
}

static void check_scores(const json_t *c, const char *device, double tolerance) {
  const json_t *texts = json_object_get(c, "texts");
  make_model(json_string_value(json_object_get(c, "model")));
  write_lines("t.txt", texts);
  outcome o = cloze("score", "--model", "model", "--text", "t.txt", "--json", "--device", device);
  EXPECT(0, o);
  const char *at = o.out;
  for (size_t i = 0; i < json_array_size(texts); i++) {
    json_t *line = json_line(&at);
    assert_non_null(line);
    const json_t *want = item(json_object_get(c, "logprobs"), i),
                 *got = json_object_get(line, "logprobs");
    assert_true(json_equal(item(json_object_get(c, "tokens"), i), json_object_get(line, "tokens")));
    assert_int_equal(json_array_size(got), json_array_size(want));
    double sum = 0;
    for (size_t k = 0; k < json_array_size(want); k++) {
      check_close(item(got, k), item(want, k), tolerance, o.out);
      sum += json_number_value(item(want, k));
    }
    assert_true(fabs(json_number_value(json_object_get(line, "sum")) - sum) < 20 * tolerance);
    json_decref(line);
  }
  assert_null(json_line(&at));
}

static void test_scores(void **state) {
  json_t *cases = cases_of("language_models");
  assert_int_equal(json_array_size(cases), 6);
  for (size_t i = 0; i < json_array_size(cases); i++) {
    check_scores(item(cases, i), "ref", 1e-9);
    check_scores(item(cases, i), "cpu", 2e-5);
  }
  json_decref(cases);
}

static void test_score_refused(void **state) {
  make_model("bert_mlm");
  write_text("t.txt", "w31\nw5 w5 w5 w5 w5 w5 w5 w5 w5 w5 w5 w5 w5 w5 w5 w5 w5 w5 w5\n");
  outcome o = cloze("score", "--model", "model", "--text", "t.txt");
  EXPECT(1, o);
  assert_non_null(strstr(o.out, "  w31 -")); /* what came before is answered */
  REFUSED(1, "a text of 19 tokens (21 with special ones): at most 20 can be read", o);
  REFUSED(1, "t.txt:2", o);
  REFUSED(1, "t.txt:1",
          (write_text("t.txt", "\xff\n"),
           cloze("score", "--model", "model", "--text", "t.txt", "--json")));
  REFUSED(2, "--text FILE is missing", cloze("score", "--model", "model"));
  make_model("bert_class");
  write_text("t.txt", "w5\n");
  REFUSED(2, "model has no masked-LM head, which tokens at a mask are scored by",
          cloze("score", "--model", "model", "--text", "t.txt"));
  copy("t5", "config.json", FIXTURES "/t5/v1_1/config.json");
  copy("t5", "model.safetensors", FIXTURES "/t5/v1_1/model.safetensors");
  copy("t5", "tokenizer.json", FIXTURES "/score/gpt2_lm.json");
  REFUSED(2, "a model of family t5", cloze("score", "--model", "t5", "--text", "t.txt"));
}

static void check_answers(const json_t *c, const char *device, double tolerance) {
  const json_t *texts = json_object_get(c, "texts"), *p = json_object_get(c, "probabilities");
  const size_t classes = json_array_size(item(p, 0));
  cz_buf csv = {0};
  make_classifier(json_string_value(json_object_get(c, "model")), classes,
                  (int)json_integer_value(json_object_get(c, "max_length")));
  OK(cz_buf_addf(&csv, "second\tlabel\tfirst\n"));
  for (size_t i = 0; i < json_array_size(texts); i++)
    OK(cz_buf_addf(&csv, "%s\tnone\t%s\n", json_string_value(item(item(texts, i), 1)),
                   json_string_value(item(item(texts, i), 0))));
  write_bytes("in.tsv", csv.data, csv.len);
  cz_buf_free(&csv);
  outcome o = cloze("predict", "--model", "model", "--input", "in.tsv", "--out", "-", "--batch",
                    "5", "--device", device, "--abstain", "0.5");
  EXPECT(0, o);
  const char *at = o.out;
  for (size_t i = 0; i < json_array_size(texts); i++) {
    json_t *line = json_line(&at);
    char best[2] = "A";
    double most = 0;
    assert_non_null(line);
    assert_int_equal(json_integer_value(json_object_get(line, "row")), i);
    for (size_t k = 0; k < classes; k++) {
      const char label[2] = {(char)('A' + k), '\0'};
      const json_t *want = item(item(p, i), k);
      check_close(json_object_get(json_object_get(line, "probabilities"), label), want, tolerance,
                  o.out);
      if (json_number_value(want) > most) most = json_number_value(want), best[0] = label[0];
    }
    const json_t *label = json_object_get(line, "label");
    if (most < 0.5)
      assert_true(json_is_null(label));
    else
      assert_string_equal(json_string_value(label), best);
    json_decref(line);
  }
  assert_null(json_line(&at));
}

/* Scores are kept in float32, also where they are computed in float64. */
static void test_answers(void **state) {
  json_t *cases = cases_of("classifiers");
  assert_int_equal(json_array_size(cases), 5);
  for (size_t i = 0; i < json_array_size(cases); i++) {
    check_answers(item(cases, i), "ref", 1e-6);
    check_answers(item(cases, i), "cpu", 2e-5);
  }
  json_decref(cases);
}

/* Wrong records are answered in their place, and the others as if they were not there. */
static void test_wrong_records(void **state) {
  make_classifier("bert_class", 3, 16);
  static const char lines[] = "{\"first\": \"w7\", \"second\": \"w9 w11\"}\n"
                              "not JSON\n"
                              "\n"
                              "{\"first\": \"w7\"}\n"
                              "{\"first\": 5, \"second\": [1]}\n"
                              "{\"first\": \" \", \"second\": \"\"}\n"
                              "\xff\n"
                              "{\"first\": \"w7\", \"second\": \"w9 w11\"}\r\n"
                              "{\"first\": \"\", \"second\": \"w9\", \"more\": null}";
  static const char *const errors[] = {NULL,
                                       "standard input:2",
                                       "\"second\" is missing",
                                       "standard input:5: \"first\" is a whole number",
                                       "no text in 'first' nor",
                                       "standard input:7",
                                       NULL,
                                       NULL};
  outcome o = cloze_with(lines, "predict", "--model", "model", "--input", "-", "--out", "o.jsonl");
  REFUSED(1, "predict: 5 of 8 records were wrong", o);
  cz_buf out = {0};
  OK(cz_fs_read(under("o.jsonl"), &out));
  OK(cz_buf_add(&out, "", 1));
  const char *at = out.data;
  json_t *first = NULL;
  for (size_t i = 0; i < 8; i++) {
    json_t *line = json_line(&at);
    assert_non_null(line);
    assert_int_equal(json_integer_value(json_object_get(line, "row")), i);
    const char *why = json_string_value(json_object_get(line, "error"));
    assert_true(!why == !errors[i]);
    if (why && !strstr(why, errors[i])) fail_msg("'%s' is not in: %s", errors[i], why);
    if (i == 0) first = json_incref(json_object_get(line, "probabilities"));
    if (i == 6) assert_true(json_equal(first, json_object_get(line, "probabilities")));
    json_decref(line);
  }
  assert_null(json_line(&at));
  json_decref(first);
  cz_buf_free(&out);
}

static void test_predict_refused(void **state) {
#define PREDICT(...) cloze("predict", "--model", "model", "--input", "in.tsv", __VA_ARGS__)
  make_classifier("bert_class", 3, 16);
  write_text("in.tsv", "first\tsecond\nw5\tw6\n");
  REFUSED(2, "--abstain: '1.5' is no probability from 0 to 1",
          PREDICT("--out", "-", "--abstain", "1.5"));
  REFUSED(2, "--abstain: 'nan'", PREDICT("--out", "-", "--abstain", "nan"));
  REFUSED(2, "--batch: '0' is not between 1 and", PREDICT("--out", "-", "--batch", "0"));
  REFUSED(2, "--out FILE is missing", PREDICT("--batch", "1"));
  REFUSED(2, "--out is also an input", PREDICT("--out", "in.tsv"));
  REFUSED(2, "--out is also an input", PREDICT("--out", "model/cloze_task.json"));
  REFUSED(1, "no/where", PREDICT("--out", "no/where"));
  write_text("in.tsv", "frist\tsecond\nw5\tw6\n");
  REFUSED(1, "frist", PREDICT("--out", "-"));
  write_text("in.tsv", "first\tsecond\nw5\tw6\n");
  make_classifier("bert_class", 3, 18);
  REFUSED(1, "max_length of cloze_task.json is 18 tokens, the model has 17 positions",
          PREDICT("--out", "-"));
  make_classifier("bert_class", 4, 16);
  REFUSED(1, "the model has 3 classes, cloze_task.json 4 labels", PREDICT("--out", "-"));
  write_text("model/cloze_task.json", "{\"fields\": [\"first\"], \"max_length\": 16}");
  REFUSED(1, "labels", PREDICT("--out", "-"));
  write_text("model/cloze_task.json", "{\"fields\": [\"first\"], \"labels\": [\"A\", \"B\", \"C\"],"
                                      "\"max_length\": 16, \"plain\": \"{f0} {mask}\"}");
  REFUSED(2, "cloze_task.json:1:", PREDICT("--out", "-"));
  assert_int_equal(remove(under("model/cloze_task.json")), 0);
  REFUSED(2, "model: there is no cloze_task.json", PREDICT("--out", "-"));
  make_classifier("bert_class", 3, 16);
  make_model("bert_mlm");
  REFUSED(2, "model has no classification head", PREDICT("--out", "-"));
  REFUSED(2, "nowhere", cloze("predict", "--model", "nowhere", "--input", "-", "--out", "-"));
#undef PREDICT
}

/* What `plain` and `names` say is what is read. */
static void test_plain(void **state) {
  char both[4096];
  make_classifier("bert_class", 3, 16);
  write_text("in.jsonl", "{\"first\": \"w7 w8\", \"second\": \"w9\"}\n");
  outcome o = cloze("predict", "--model", "model", "--input", "in.jsonl", "--out", "-");
  EXPECT(0, o);
  snprintf(both, sizeof both, "%s", o.out);
  write_text("model/cloze_task.json",
             "{\"fields\": [\"first\", \"second\"], \"labels\": [\"A\", \"B\", \"C\"],"
             "\"max_length\": 16, \"names\": [\"x\", \"y\"], \"plain\": \"{y} || {x*}\"}");
  write_text("in.jsonl", "{\"first\": \"w9\", \"second\": \"w7 w8\"}\n");
  o = cloze("predict", "--model", "model", "--input", "in.jsonl", "--out", "-");
  EXPECT(0, o);
  assert_string_equal(o.out, both);
}

/* A file whose first line is a record, its columns named, is read as one that names them. */
static void test_columns(void **state) {
  char with[4096];
  make_classifier("bert_class", 3, 16);
  write_text("in.csv", "first,label,second\nw7\\nw8,x,w9\nw10,y,w11 w12\n");
  outcome o = cloze("predict", "--model", "model", "--input", "in.csv", "--out", "-");
  EXPECT(0, o);
  snprintf(with, sizeof with, "%s", o.out);
  write_text("in.csv", "w7\\nw8,x,w9\nw10,y,w11 w12\n");
#define PREDICT(...)                                                                               \
  cloze("predict", "--model", "model", "--input", "in.csv", "--out", "-", __VA_ARGS__)
  o = PREDICT("--columns", "first,label,second");
  EXPECT(0, o);
  assert_string_equal(o.out, with);
  o = PREDICT("--columns", "first,label,second", "--backslashes", "line_ends");
  EXPECT(0, o);
  assert_string_not_equal(o.out, with);
  snprintf(with, sizeof with, "%s", o.out);
  write_text("in.csv", "w7 w8,x,w9\nw10,y,w11 w12\n");
  o = PREDICT("--columns", "first,label,second");
  EXPECT(0, o);
  assert_string_equal(o.out, with);
  REFUSED(2, "columns: none is called 'second'", PREDICT("--columns", "first,label,more"));
  REFUSED(2, "--columns: expected the names of all columns", PREDICT("--columns", " , "));
  REFUSED(2, "no kind of --backslashes is called 'space'; did you mean 'spaces'?",
          PREDICT("--columns", "first,label,second", "--backslashes", "space"));
  o = PREDICT("--columns", "first,second");
  REFUSED(1, "2 of 2 records were wrong", o);
  assert_non_null(strstr(o.out, "in.csv:1: 3 fields, `columns` has 2"));
  REFUSED(1, "--columns of a command", PREDICT("--batch", "2"));
#undef PREDICT
}

/* A child with pipes at both ends. */
typedef struct piped {
  pid_t pid;
  int to, from;
} piped;

static piped start(const char *const *words) {
  int in[2], out[2];
  const char *argv[32] = {CZ_PROGRAM};
  for (int i = 0; words[i]; i++) argv[i + 1] = words[i];
  assert_true(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
  fflush(NULL);
  pid_t child = fork();
  if (child == 0) {
    signal(SIGPIPE, SIG_DFL);
    if (dup2(in[0], 0) < 0 || dup2(out[1], 1) < 0 || chdir(folder())) _exit(126);
    execv(CZ_PROGRAM, (char *const *)argv);
    _exit(127);
  }
  assert_true(child > 0);
  close(in[0]);
  close(out[1]);
  return (piped){child, in[1], out[0]};
}

static int finish(piped *p) {
  int status = 0;
  if (p->to >= 0) close(p->to);
  if (p->from >= 0) close(p->from);
  assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void put(const piped *p, const char *text) {
  assert_int_equal(write(p->to, text, strlen(text)), strlen(text));
}

/* LINES lines come within a minute, while nothing more is written. */
static void expect_lines(const piped *p, int lines) {
  struct pollfd ready = {.fd = p->from, .events = POLLIN};
  while (lines > 0) {
    char c;
    if (poll(&ready, 1, 60000) != 1) fail_msg("%d lines did not come", lines);
    assert_int_equal(read(p->from, &c, 1), 1);
    lines -= c == '\n';
  }
}

/* In a pipe: each pause is answered, and a reader that goes away is an error. */
static void test_pipes(void **state) {
  static const char line[] = "{\"first\": \"w7\", \"second\": \"w9\"}\n";
  const char *const words[] = {"predict", "--model", "model", "--input", "-", "--out", "-", NULL};
  make_classifier("bert_class", 3, 16);
  piped p = start(words);
  put(&p, line);
  expect_lines(&p, 1);
  put(&p, line);
  put(&p, "wrong\n");
  expect_lines(&p, 2);
  put(&p, "{\"first\": \"w7\", ");
  put(&p, "\"second\": \"\"}\n");
  expect_lines(&p, 1);
  close(p.from);
  p.from = -1;
  put(&p, line);
  assert_int_equal(finish(&p), 1);
  const char *const score[] = {"score", "--model", "model", "--text", "-", "--json", NULL};
  make_model("gpt2_lm");
  p = start(score);
  put(&p, "w5 w6 w7\n");
  expect_lines(&p, 1);
  put(&p, "w5\n\n");
  expect_lines(&p, 2);
  close(p.from);
  p.from = -1;
  put(&p, "w5\n");
  assert_int_equal(finish(&p), 1);
}

/* Labels of a hundred letters, so that answers are of half a kilobyte. */
static void write_long_labels(void) {
  char text[1024], x[101] = "";
  memset(x, 'x', 100);
  make_classifier("bert_class", 3, 16);
  snprintf(text, sizeof text,
           "{\"fields\": [\"first\", \"second\"], \"labels\": [\"A%s\", \"B%s\", \"C%s\"], "
           "\"max_length\": 16}",
           x, x, x);
  write_text("model/cloze_task.json", text);
}

/* LINES records of 300 bytes and more, of which one in a thousand is wrong. */
static void write_many(int lines) {
  cz_buf text = {0};
  char x[301] = "";
  memset(x, 'x', 300);
  for (int i = 0; i < lines; i++)
    OK(i % 1000 == 999 ? cz_buf_addf(&text, "{\"first\": \"w7\"}\n")
                       : cz_buf_addf(&text,
                                     "{\"first\": \"w7 w%d\", \"second\": \"w9\", \"more\": "
                                     "\"%s\"}\n",
                                     i % 20, x));
  write_bytes("in.jsonl", text.data, text.len);
  cz_buf_free(&text);
}

/* The largest memory, in MiB, of the program answering in.jsonl, whose answers are LINES. */
static double peak_of(int lines) {
  const char *const words[] = {CZ_PROGRAM, "predict", "--model", "model",     "--input",
                               "in.jsonl", "--out",   "o.jsonl", (char *)NULL};
  struct rusage used;
  int status = 0, n = 0;
  cz_buf out = {0};
  fflush(NULL);
  const pid_t child = fork();
  if (child == 0) {
    const int quiet = open("/dev/null", O_WRONLY);
    if (quiet < 0 || dup2(quiet, 1) < 0 || dup2(quiet, 2) < 0 || chdir(folder())) _exit(126);
    execv(CZ_PROGRAM, (char *const *)words);
    _exit(127);
  }
  assert_true(child > 0);
  assert_int_equal(wait4(child, &status, 0, &used), child);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), lines < 1000 ? 0 : 1);
  OK(cz_fs_read(under("o.jsonl"), &out));
  for (size_t i = 0; i < out.len; i++) n += out.data[i] == '\n';
  assert_int_equal(n, lines);
  cz_buf_free(&out);
  return (double)used.ru_maxrss / 1024;
}

/* A hundred times as many records take no more memory, though they are 7 MiB and their answers 8.
 * Under the sanitizers, which keep what is freed, only the answers are counted. */
static void test_constant_memory(void **state) {
  double peaks[2];
  write_long_labels();
  for (int k = 0; k < 2; k++) {
    const int lines = k ? 20000 : 200;
    write_many(lines);
    peaks[k] = peak_of(lines);
  }
  print_message("%.1f MiB for 200 records, %.1f MiB for 20,000\n", peaks[0], peaks[1]);
#ifndef CZ_SANITIZED
  assert_true(peaks[1] < peaks[0] + 3);
#endif
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_scores),          cmocka_unit_test(test_score_refused),
      cmocka_unit_test(test_answers),         cmocka_unit_test(test_wrong_records),
      cmocka_unit_test(test_predict_refused), cmocka_unit_test(test_plain),
      cmocka_unit_test(test_columns),         cmocka_unit_test(test_pipes),
      cmocka_unit_test(test_constant_memory)};
  signal(SIGPIPE, SIG_IGN);
  return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
