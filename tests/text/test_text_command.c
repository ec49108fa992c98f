/* The command `cloze tokenize`: what it prints equals the library's ids and offsets, the
 * way back, and what it says to wrong input. */
#include "text/common.h"

#include "commands/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define T5    CZ_SOURCE_DIR "/tests/fixtures/text/t5_a.json"
#define BYTES CZ_SOURCE_DIR "/tests/fixtures/text/bytes.json"

/* A file that stands for one of the standard streams until it is given back. */
static int stand_in(FILE *stream, FILE *file) {
  fflush(stream);
  int kept = dup(fileno(stream));
  assert_true(kept >= 0 && dup2(fileno(file), fileno(stream)) >= 0);
  return kept;
}

static void give_back(FILE *stream, int kept) {
  fflush(stream);
  assert_true(dup2(kept, fileno(stream)) >= 0);
  close(kept);
}

/* Runs the command on INPUT and appends what it prints to OUT. */
static cz_status run(cz_buf *out, const char *input, size_t n, const char *const *words) {
  char copies[8][600], *argv[8], part[4096];
  int argc = 0;
  for (; words[argc]; argc++) argv[argc] = strcpy(copies[argc], words[argc]);
  FILE *in = tmpfile(), *printed = tmpfile();
  assert_true(in && printed && fwrite(input, 1, n, in) == n && fflush(in) == 0);
  rewind(in);
  clearerr(stdin);
  int kept_in = stand_in(stdin, in), kept_out = stand_in(stdout, printed);
  cz_status st = cz_command_tokenize(argc, argv);
  give_back(stdout, kept_out);
  give_back(stdin, kept_in);
  rewind(printed);
  for (size_t k; (k = fread(part, 1, sizeof part, printed)) > 0;) OK(cz_buf_add(out, part, k));
  OK(cz_buf_add(out, "", 0));
  fclose(in);
  fclose(printed);
  return st;
}

#define RUN(out, input, n, ...)                                                                    \
  run(out, input, n, (const char *const[]){"tokenize", __VA_ARGS__, NULL})

/* All texts of the fixture that are one line, through the command and back. */
static void test_lines(void **state) {
  json_t *root = fixture_json("t5_a", "cases.json");
  const json_t *cases = json_object_get(root, "cases");
  cz_buf in = {0}, out = {0}, back = {0};
  for (size_t i = 0; i < json_array_size(cases); i++) {
    const json_t *text = json_object_get(json_array_get(cases, i), "text");
    if (memchr(json_string_value(text), '\n', json_string_length(text))) continue;
    OK(cz_buf_add(&in, json_string_value(text), json_string_length(text)));
    OK(cz_buf_add(&in, "\n", 1));
  }
  OK(RUN(&out, in.data, in.len, T5, "--json"));
  OK(RUN(&back, out.data, out.len, T5, "--decode"));
  const char *line = out.data, *decoded = back.data;
  size_t checked = 0;
  for (size_t i = 0; i < json_array_size(cases); i++) {
    const json_t *c = json_array_get(cases, i), *text = json_object_get(c, "text"),
                 *want = json_object_get(c, "decoded");
    if (memchr(json_string_value(text), '\n', json_string_length(text))) continue;
    json_t *got = json_loadb(line, strcspn(line, "\n"), 0, NULL);
    assert_true(json_equal(json_object_get(got, "ids"), json_object_get(c, "ids")));
    assert_true(json_equal(json_object_get(got, "offsets"), json_object_get(c, "offsets")));
    assert_memory_equal(decoded, json_string_value(want), json_string_length(want));
    assert_int_equal(decoded[json_string_length(want)], '\n');
    decoded += json_string_length(want) + 1;
    line = strchr(line, '\n') + 1;
    json_decref(got);
    checked++;
  }
  assert_true(checked > 100 && *line == '\0');
  cz_buf_free(&in);
  cz_buf_free(&out);
  cz_buf_free(&back);
  json_decref(root);
}

static void test_forms_of_output(void **state) {
  cz_buf out = {0};
  OK(RUN(&out, "the man", 7, T5)); /* no newline at the end */
  assert_string_equal(out.data, "\xE2\x96\x81the \xE2\x96\x81man </s>\n");
  out.len = 0;
  OK(RUN(&out, "the man\n\n", 9, T5, "--no-special"));
  assert_string_equal(out.data, "\xE2\x96\x81the \xE2\x96\x81man\n\n");
  out.len = 0;
  OK(RUN(&out, "the man\nthe\n", 12, T5, "--count", "--no-special"));
  assert_non_null(strstr(out.data, "{\"lines\": 2, \"bytes\": 12, \"tokens\": 3, "));
  out.len = 0;
  OK(RUN(&out, "", 0, T5, "--json"));
  assert_int_equal(out.len, 0);
  OK(RUN(&out, "[]\n[1]\n", 7, T5, "--decode", "--skip-special"));
  assert_string_equal(out.data, "\n\n");
  cz_buf_free(&out);
}

static void test_wrong_input(void **state) {
  static const struct {
    const char *input;
    cz_status want;
    const char *words, *arguments[3];
  } cases[] = {
      {"the\nman \xff\n",
       CZ_EINVAL,
       "standard input:2: the text is not UTF-8: byte 0xff at offset 4",
       {T5, "--json"}},
      {"[1]\nx\n", CZ_EINVAL, "standard input:2: ", {T5, "--decode"}},
      {"[1, 2.5]\n", CZ_EINVAL, "item 1 is not an id", {T5, "--decode"}},
      {"[514]\n", CZ_EINVAL, "item 0 is not an id from 0 to 513", {T5, "--decode"}},
      {"[-1]\n", CZ_EINVAL, "item 0 is not an id", {T5, "--decode"}},
      {"{\"id\": [1]}\n", CZ_EINVAL, "expected a list of ids", {T5, "--decode"}},
      {"a\tb\nthe man\n", CZ_EINVAL, "standard input:2: no tab between", {T5, "--pair"}},
      {"a\tb\tc\n", CZ_EINVAL, "standard input:1: more than one tab", {T5, "--pair"}},
      {"\n", CZ_EINVAL, "standard input:1: no tab between", {T5, "--pair"}},
      {"a\t\xff\n", CZ_EINVAL, "the second text is not UTF-8", {T5, "--pair", "--json"}},
      {"", CZ_EINVAL, "--truncate, but its \"truncation\" is null", {T5, "--truncate"}},
      {"", CZ_EUSAGE, "--truncate, --no-special and --count encode", {T5, "--decode", "--pair"}},
      {"", CZ_EIO, "/nonexistent", {"/nonexistent"}},
      {"", CZ_EINVAL, "/tmp: no tokenizer.json, and nothing to make one of", {"/tmp"}},
      {"", CZ_EUSAGE, "wanted", {"--json"}},
      {"", CZ_EUSAGE, "--decode", {T5, "--decod"}},
      {"", CZ_EUSAGE, "--skip-special decodes", {T5, "--skip-special"}},
      {"", CZ_EUSAGE, "--count encode", {T5, "--decode", "--count"}},
      {"", CZ_EUSAGE, "unexpected word", {T5, BYTES}},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    cz_buf out = {0};
    const char *const *a = cases[i].arguments;
    cz_status st = RUN(&out, cases[i].input, strlen(cases[i].input), a[0], a[1], a[2]);
    if (st != cases[i].want) fail_msg("case %zu: status %d", i, (int)st);
    if (!strstr(cz_error_message(), cases[i].words))
      fail_msg("case %zu: '%s' does not say '%s'", i, cz_error_message(), cases[i].words);
    cz_buf_free(&out);
  }
}

/* The pairs of the fixture that the file's own truncation cuts, through the command, from a
 * folder. */
static size_t check_folder(const char *folder, const json_t *cases) {
  cz_buf in = {0}, out = {0};
  const json_t *c;
  size_t i, checked = 0;
  for (int round = 0; round < 2; round++) {
    const char *line = out.data;
    json_array_foreach(cases, i, c) {
      const json_t *a = json_array_get(c, 0), *b = json_array_get(c, 1),
                   *flags = json_array_get(c, 2), *want = json_array_get(c, 3);
      bool takes =
          json_is_string(b) && json_is_array(want) && json_is_true(json_array_get(flags, 0)) &&
          json_is_false(json_array_get(flags, 1)) && json_is_true(json_array_get(flags, 2)) &&
          !strpbrk(json_string_value(a), "\t\n") && !strpbrk(json_string_value(b), "\t\n") &&
          strlen(json_string_value(a)) == json_string_length(a) &&
          strlen(json_string_value(b)) == json_string_length(b);
      if (!takes) continue;
      if (round == 0) {
        OK(cz_buf_addf(&in, "%s\t%s\n", json_string_value(a), json_string_value(b)));
        continue;
      }
      json_t *got = json_loadb(line, strcspn(line, "\n"), 0, NULL);
      assert_true(json_equal(json_object_get(got, "ids"), json_array_get(want, 0)));
      assert_true(json_equal(json_object_get(got, "type_ids"), json_array_get(want, 1)));
      assert_true(json_equal(json_object_get(got, "offsets"), json_array_get(want, 2)));
      line = strchr(line, '\n') + 1;
      json_decref(got);
      checked++;
    }
    if (round == 0) OK(RUN(&out, in.data, in.len, folder, "--json", "--pair", "--truncate"));
  }
  cz_buf_free(&in);
  cz_buf_free(&out);
  return checked;
}

static void test_pairs_of_a_folder(void **state) {
  json_t *root = fixture_json("bert", "json");
  char folder[] = "/tmp/cloze_tokenize_XXXXXX", path[256];
  const json_t *tokenizer;
  size_t i, checked = 0;
  assert_non_null(mkdtemp(folder));
  snprintf(path, sizeof path, "%s/tokenizer.json", folder);
  json_array_foreach(json_object_get(root, "tokenizers"), i, tokenizer) {
    json_t *whole = json_deep_copy(json_object_get(tokenizer, "fields"));
    if (!json_is_null(json_object_get(whole, "truncation"))) {
      json_object_set_new(whole, "version", json_string("1.0"));
      if (!json_object_get(whole, "model"))
        json_object_set(whole, "model", json_object_get(root, "model"));
      assert_int_equal(json_dump_file(whole, path, 0), 0);
      checked += check_folder(folder, json_object_get(tokenizer, "cases"));
    }
    json_decref(whole);
  }
  assert_true(checked > 30);
  unlink(path);
  rmdir(folder);
  json_decref(root);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_lines), cmocka_unit_test(test_forms_of_output),
      cmocka_unit_test(test_pairs_of_a_folder), cmocka_unit_test(test_wrong_input)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
