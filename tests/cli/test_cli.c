/* Help, exit codes and messages of the program: 0 done, 1 failed, 2 wrong usage or configuration. */
#include "program.h"
#include "trainers/flops.h"

#include <math.h>

enum { MOST_COMMANDS = 40 };

/* The commands that `cloze help` lists, in the lines that begin with two blanks. */
static size_t list_commands(char names[MOST_COMMANDS][32]) {
  size_t n = 0;
  outcome o = cloze("help");
  EXPECT(0, o);
  for (const char *line = o.out; *line; line += strcspn(line, "\n"), line += *line == '\n')
    if (n < MOST_COMMANDS && !strncmp(line, "  ", 2) && line[2] != ' ' && sscanf(line, " %31s", names[n]) == 1 && strcmp(names[n], "help")) n++;
  return n;
}

static void test_every_command_has_help(void **state) {
  char names[MOST_COMMANDS][32], synopsis[64];
  size_t n = list_commands(names);
  assert_true(n >= 14);
  assert_non_null(strstr(cloze("help").out, "experiments, models, objectives, tasks, devices\n"));
  for (size_t i = 0; i < n; i++) {
    static char long_form[1 << 14];
    outcome o = cloze(names[i], "--help");
    EXPECT(0, o);
    snprintf(synopsis, sizeof synopsis, "cloze %s", names[i]);
    if (!strstr(o.out, synopsis)) fail_msg("cloze %s --help does not show '%s'", names[i], synopsis);
    snprintf(long_form, sizeof long_form, "%s", o.out);
    assert_string_equal(cloze("help", names[i]).out, long_form);
    o = cloze("help", "man");
    EXPECT(0, o);
    snprintf(synopsis, sizeof synopsis, ".SS %s\n", names[i]);
    if (!strstr(o.out, synopsis)) fail_msg("the manual page lacks %s", names[i]);
  }
}

static void test_every_command_refuses_wrong_options(void **state) {
  char names[MOST_COMMANDS][32];
  size_t n = list_commands(names);
  for (size_t i = 0; i < n; i++) {
    REFUSED(2, "--no-such-option", cloze(names[i], "--no-such-option"));
    if (strcmp(names[i], "list")) REFUSED(2, "cloze: ", cloze(names[i])); /* list is content with no word */
  }
}

static void test_wrong_words(void **state) {
  EXPECT(0, cloze("--version"));
  REFUSED(2, "a command is missing", run_program("", (const char *const[]){NULL}));
  REFUSED(2, "no command 'runn'; did you mean run", cloze("runn"));
  REFUSED(2, "no command 'tokenise'; did you mean tokenize", cloze("help", "tokenise"));
  REFUSED(2, "unknown option --bogus\n", cloze("trace", "--bogus"));
  REFUSED(2, "unknown option --sedes; did you mean --seeds", cloze("run", "x.yaml", "--sedes", "3"));
  REFUSED(2, "option --batch wants a value", cloze("trace", FIXTURES "/t5/v1_0", "--batch"));
  REFUSED(2, "takes no value", cloze("trace", FIXTURES "/t5/v1_0", "--no-grad=1"));
  REFUSED(2, "there is no such file", cloze("run", "missing.yaml"));
  REFUSED(2, "no device 'gpu'", cloze("run", CZ_SOURCE_DIR "/experiments/quickstart.yaml", "--device", "gpu"));
  REFUSED(2, "unknown key 'sedes'; did you mean 'seeds'", cloze("show", CZ_SOURCE_DIR "/experiments/quickstart.yaml", "sedes=[1]"));
  REFUSED(2, "did you mean", cloze("objective", "random_span", "--keys"));
}

/* Not the user's fault in writing, but in what the machine gives: 1. */
static void test_failures(void **state) {
  write_scratch("bad.json", "{\"model\": ");
  EXPECT(1, cloze("tokenize", "bad.json"));
  EXPECT(1, cloze("tokenize", "missing.json"));
  EXPECT(1, cloze("corpus", "--tokenizer", T5_JSON, "--out", "x.h5", "missing.txt"));
  REFUSED(2, "missing is not there: a model's folder has", cloze("trace", "missing", "--batch", "b.jsonl", "--out", "x.h5"));
  assert_false(cz_fs_exists(in_scratch("x.h5")));
}

static void test_keys(void **state) {
  static const char *const some[] = {"noise_density", "mean_noise_span_length", "learning_rate", "input_tokens", "max_examples", "input_columns"};
  outcome o = cloze("help", "keys");
  EXPECT(0, o);
  for (size_t i = 0; i < sizeof some / sizeof *some; i++)
    if (!strstr(o.out, some[i])) fail_msg("cloze help keys lacks %s", some[i]);
}

/* What is not written in a document is guessed: defaults, and the codes that a stopped program leaves. */
static void test_what_help_says(void **state) {
  outcome o = cloze("help", "bench");
  EXPECT(0, o);
  const char *objectives = strstr(o.out, "\nobjectives: ");
  assert_non_null(objectives);
  assert_non_null(strstr(objectives, "--model M       t5-small (default)"));
  assert_non_null(strstr(cloze("help").out, "130 or 143 stopped by a second ctrl-C"));
  assert_non_null(strstr(cloze("help", "man").out, "130 or 143 stopped by a second SIGINT"));
}

static double number(const json_t *j, const char *key) {
  const json_t *n = json_object_get(j, key);
  if (!json_is_number(n)) fail_msg("there is no number '%s'", key);
  return json_number_value(n);
}

/* Six digits are printed. */
static void assert_like(const char *what, double found, double wanted) {
  if (!(fabs(found - wanted) <= 3e-5 * fabs(wanted))) fail_msg("%s: found %g, expected %g", what, found, wanted);
}

/* The keys that the first issue names, and that they fit together: FLOP as the formula has them, ops that add up to the step. */
static void test_bench_step(void **state) {
  static const char *const texts[] = {"cpu", "model", "device", "dtype"};
  outcome o = cloze("bench", "step", "--model", "t5-nano", "--segments", "2", "--inputs", "24", "--targets", "10", "--steps", "1", "--json");
  EXPECT(0, o);
  json_error_t why;
  json_t *j = json_loads(o.out, 0, &why), *x;
  if (!j) fail_msg("%s in: %s", why.text, o.out);
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) assert_true(json_is_string(json_object_get(j, texts[i])));
  assert_true(number(j, "tokens") == 2 * (24 + 10) && number(j, "steps") == 1 && number(j, "peak_rss_bytes") > 1e6);
  double seconds = number(j, "step_seconds"), rate = number(j, "gflop_per_s"), spent = 0, gflop = 0, parts = 0;
  assert_like("tokens_per_s", number(j, "tokens_per_s"), 68 / seconds);
  assert_like("gflop_per_s", rate, number(j, "gflop_per_step") / seconds);
  assert_like("share", number(j, "share"), rate / number(j, "ceiling_gflop_per_s"));
  const char *op;
  json_object_foreach(json_object_get(j, "by_op"), op, x) {
    spent += number(x, "seconds"), gflop += number(x, "gflop"), parts += number(x, "share_of_step");
    assert_true(number(x, "seconds") > -1e-6 * seconds && number(x, "gflop") >= 0);
    if (strcmp(op, "optimizer") && strcmp(op, "rest"))
      assert_like(op, number(x, "seconds"), number(x, "forward_seconds") + number(x, "backward_seconds"));
  }
  assert_like("the ops' seconds", spent, seconds);
  assert_like("the ops' shares", parts, 1);
  assert_like("the ops' FLOP", gflop, number(j, "gflop_per_step"));
  cz_model_config c;
  assert_int_equal(cz_model_config_named(&c, "t5-nano"), CZ_OK);
  double formula = 1e-9 * cz_flops_step(&c, &(cz_step_shape){.segments = 2, .inputs = 24, .targets = 10});
  if (!(fabs(gflop - formula) <= 0.01 * formula)) fail_msg("the graph counts %g GFLOP, the formula %g", gflop, formula);
  json_decref(j);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_command_has_help),
                                     cmocka_unit_test(test_every_command_refuses_wrong_options),
                                     cmocka_unit_test(test_wrong_words),
                                     cmocka_unit_test(test_failures),
                                     cmocka_unit_test(test_keys),
                                     cmocka_unit_test(test_what_help_says),
                                     cmocka_unit_test(test_bench_step)};
  int failed = cmocka_run_group_tests(tests, set_up, tear_down);
  failed += run_text_tests();
  return failed + run_model_tests();
}
