/* Help, exit codes and messages of the program: 0 done, 1 failed, 2 wrong usage or
 * configuration. */
#include "program.h"

enum { MAXIMUM_COMMANDS = 40 };

/* The commands that `cloze help` lists, in the lines that begin with two blanks. */
static size_t list_commands(char names[MAXIMUM_COMMANDS][32]) {
  size_t n = 0;
  outcome o = cloze("help");
  EXPECT(0, o);
  for (const char *line = o.out; *line; line += strcspn(line, "\n"), line += *line == '\n')
    if (n < MAXIMUM_COMMANDS && !strncmp(line, "  ", 2) && line[2] != ' ' &&
        sscanf(line, " %31s", names[n]) == 1 && strcmp(names[n], "help"))
      n++;
  return n;
}

static void test_every_command_has_help(void **state) {
  char names[MAXIMUM_COMMANDS][32], synopsis[64];
  size_t n = list_commands(names);
  assert_true(n >= 14);
  assert_non_null(strstr(cloze("help").out, "experiments, models, objectives, tasks, devices\n"));
  for (size_t i = 0; i < n; i++) {
    static char long_form[1 << 14];
    outcome o = cloze(names[i], "--help");
    EXPECT(0, o);
    snprintf(synopsis, sizeof synopsis, "cloze %s", names[i]);
    if (!strstr(o.out, synopsis))
      fail_msg("cloze %s --help does not show '%s'", names[i], synopsis);
    snprintf(long_form, sizeof long_form, "%s", o.out);
    assert_string_equal(cloze("help", names[i]).out, long_form);
    o = cloze("help", "man");
    EXPECT(0, o);
    snprintf(synopsis, sizeof synopsis, ".SS %s\n", names[i]);
    if (!strstr(o.out, synopsis)) fail_msg("the manual page lacks %s", names[i]);
  }
}

static void test_every_command_refuses_wrong_options(void **state) {
  char names[MAXIMUM_COMMANDS][32];
  size_t n = list_commands(names);
  for (size_t i = 0; i < n; i++) {
    REFUSED(2, "--no-such-option", cloze(names[i], "--no-such-option"));
    if (strcmp(names[i], "list") && strcmp(names[i], "devices")) /* content with no word */
      REFUSED(2, "cloze: ", cloze(names[i]));
  }
}

static void test_wrong_words(void **state) {
  EXPECT(0, cloze("--version"));
  REFUSED(2, "a command is missing", run_program("", (const char *const[]){NULL}));
  REFUSED(2, "no command is called 'runn'; did you mean 'run'?", cloze("runn"));
  REFUSED(2, "no command is called 'tokenise'; did you mean 'tokenize'?",
          cloze("help", "tokenise"));
  REFUSED(2, "unknown option --bogus; known are --batch", cloze("trace", "--bogus"));
  REFUSED(2, "unknown option --sedes; did you mean '--seeds'?",
          cloze("run", "x.yaml", "--sedes", "3"));
  REFUSED(2, "option --batch wants a value", cloze("trace", FIXTURES "/t5/v1_0", "--batch"));
  REFUSED(2, "takes no value", cloze("trace", FIXTURES "/t5/v1_0", "--no-grad=1"));
  REFUSED(2, "there is no such file", cloze("run", "missing.yaml"));
  REFUSED(2, "no device is called 'gpu'",
          cloze("run", CZ_SOURCE_DIR "/experiments/quickstart.yaml", "--device", "gpu"));
  REFUSED(2, "unknown key 'sedes'; did you mean 'seeds'",
          cloze("show", CZ_SOURCE_DIR "/experiments/quickstart.yaml", "sedes=[1]"));
  REFUSED(2, "did you mean", cloze("objective", "random_span", "--keys"));
}

/* Not the user's fault in writing, but in what the machine gives: 1. */
static void test_failures(void **state) {
  write_text("bad.json", "{\"model\": ");
  EXPECT(1, cloze("tokenize", "bad.json"));
  EXPECT(1, cloze("tokenize", "missing.json"));
  EXPECT(1, cloze("corpus", "--tokenizer", T5_JSON, "--out", "x.h5", "missing.txt"));
  REFUSED(2, "missing is not there: a model's folder has",
          cloze("trace", "missing", "--batch", "b.jsonl", "--out", "x.h5"));
  assert_false(cz_fs_exists(under("x.h5")));
}

static void test_keys(void **state) {
  static const char *const some[] = {"noise_density", "mean_noise_span_length", "learning_rate",
                                     "input_tokens",  "max_examples",           "input_columns"};
  outcome o = cloze("help", "keys");
  EXPECT(0, o);
  for (size_t i = 0; i < sizeof some / sizeof *some; i++)
    if (!strstr(o.out, some[i])) fail_msg("cloze help keys lacks %s", some[i]);
}

/* What is not written in a document is guessed: defaults, and the codes that a stopped
 * program leaves. */
static void test_what_help_says(void **state) {
  outcome o = cloze("help", "bench");
  EXPECT(0, o);
  const char *objectives = strstr(o.out, "\nobjectives: ");
  assert_non_null(objectives);
  assert_non_null(strstr(objectives, "--model M       t5-small (default)"));
  assert_non_null(strstr(cloze("help").out, "130 or 143 stopped by a second ctrl-C"));
  assert_non_null(strstr(cloze("help", "man").out, "130 or 143 stopped by a second SIGINT"));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_command_has_help),
                                     cmocka_unit_test(test_every_command_refuses_wrong_options),
                                     cmocka_unit_test(test_wrong_words),
                                     cmocka_unit_test(test_failures),
                                     cmocka_unit_test(test_keys),
                                     cmocka_unit_test(test_what_help_says)};
  int failed = cmocka_run_group_tests(tests, make_folder, drop_folder);
  failed += run_text_tests();
  return failed + run_model_tests();
}
