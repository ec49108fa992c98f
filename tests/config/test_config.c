/* Configuration: what is read, how it is merged, and above all what is said about
 * mistakes. */
#include "common/common.h"
#include "base/fs.h"
#include "config/config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct noise {
  int64_t length, steps;
  double density, rate;
  bool shuffle;
  const char *name;
  int mode;
} noise;

static const char *const modes[] = {"paper", "code", "corrected", NULL};

static const cz_key_spec noise_keys[] = {
    CZ_KEY_AS("inputs_length", noise, length, INT, .min = 1, .max = INFINITY, .unit = "tokens",
              .help = "The cap of the inputs."),
    CZ_KEY(noise, steps, INT, .fallback = "10", .unit = "steps", .help = "How long."),
    CZ_KEY_AS("noise_density", noise, density, REAL, .fallback = "0.15", .min = 0, .max = 1,
              .help = "Share of tokens that are noise."),
    CZ_KEY(noise, rate, REAL, .fallback = "1e-3", .min = -INFINITY, .max = 5,
           .help = "The learning rate."),
    CZ_KEY(noise, shuffle, BOOL, .fallback = "true", .help = "Whether to shuffle."),
    CZ_KEY_AS("title", noise, name, TEXT, .fallback = "", .help = "A name."),
    CZ_KEY_AS("fidelity", noise, mode, ENUM, .fallback = "paper", .choices = modes,
              .help = "Which text to follow."),
};
static const cz_section noise_section =
    CZ_SECTION("objective", "What the model must guess.", noise_keys);

static cz_config *parse(const char *text) {
  cz_config *c = NULL;
  cz_status st = cz_config_parse(&c, "t.yaml", text, strlen(text));
  if (st != CZ_OK) print_error("%s\n", cz_error_message());
  assert_int_equal(st, CZ_OK);
  return c;
}

static void assert_says(cz_status st, const char *message) {
  assert_int_equal(st, CZ_EUSAGE);
  assert_string_equal(cz_error_message(), message);
}

/* Binds `objective:` of TEXT (after WORDS) and compares the whole message. */
static void bad(const char *text, const char *word, const char *message) {
  cz_config *c = parse(text);
  if (word) assert_int_equal(cz_config_set(c, word), CZ_OK);
  noise v;
  assert_says(cz_config_bind(cz_config_get(cz_config_root(c), "objective"), &noise_section, &v,
                             (const char *const[]){"name", NULL}),
              message);
  cz_config_destroy(&c);
}

static void test_binds_values_and_defaults(void **state) {
  cz_config *c = parse("objective:\n  name: random_spans # read elsewhere\n  inputs_length: 512\n  "
                       "noise_density: .5\n  shuffle: false\n"
                       "  title: '7'\n  fidelity: code\n");
  noise v;
  assert_int_equal(cz_config_bind(cz_config_get(cz_config_root(c), "objective"), &noise_section, &v,
                                  (const char *const[]){"name", NULL}),
                   CZ_OK);
  assert_true(v.length == 512 && v.steps == 10 && v.density == 0.5 && v.rate == 1e-3 &&
              !v.shuffle && v.mode == 1);
  assert_string_equal(v.name, "7");
  cz_config_destroy(&c);
  assert_says(
      cz_config_bind(NULL, &noise_section, &v, NULL),
      "objective: the key 'inputs_length' must be given (The cap of the inputs., in tokens)");
}

static void test_mistakes_are_placed(void **state) {
  bad("objective:\n  inputs_length: 512\n  noise_density: 1.5\n", NULL,
      "t.yaml:3:18: objective.noise_density: 1.5 is not between 0 and 1\n    noise_density: 1.5\n  "
      "                 ^");
  bad("objective:\n  noise_densty: 0.5\n", NULL,
      "t.yaml:2:3: objective: unknown key 'noise_densty'; did you mean 'noise_density'?\n    "
      "noise_densty: 0.5\n    ^");
  bad("objective: {inputs_length: 512.5}", NULL,
      "t.yaml:1:28: objective.inputs_length: expected an integer of at most 64 bits, found "
      "'512.5'\n  objective: {inputs_length: 512.5}\n            "
      "                 ^");
  bad("objective: {inputs_length: 0}", NULL,
      "t.yaml:1:28: objective.inputs_length: 0 is less than 1\n  objective: {inputs_length: 0}\n   "
      "                          ^");
  bad("objective: {inputs_length: 1, rate: 6}", NULL,
      "t.yaml:1:37: objective.rate: 6 is more than 5\n  objective: {inputs_length: 1, rate: 6}\n   "
      "                                   ^");
  bad("objective:\n  steps: 3\n", NULL,
      "t.yaml:2:3: objective: the key 'inputs_length' must be given (The cap of the inputs., in "
      "tokens)\n    steps: 3\n    ^");
  bad("objective: {inputs_length: 1, fidelity: papre}", NULL,
      "t.yaml:1:41: objective.fidelity: unknown value 'papre'; did you mean 'paper'?\n  objective: "
      "{inputs_length: 1, fidelity: papre}\n"
      "                                          ^");
  bad("objective: {inputs_length: 1, fidelity: xyzzy}", NULL,
      "t.yaml:1:41: objective.fidelity: unknown value 'xyzzy'; known are paper, code, corrected\n  "
      "objective: {inputs_length: 1, fidelity: xyzzy}\n"
      "                                          ^");
  bad("objective: {inputs_length: 1}", "objective.noise_density=1.5",
      "argument 'objective.noise_density=1.5': objective.noise_density: 1.5 is not between 0 and "
      "1");
  bad("objective: {inputs_length: 1}", "objective.noise_densty=.5",
      "argument 'objective.noise_densty=.5': objective: unknown key 'noise_densty'; did you mean "
      "'noise_density'?");
}

static void test_wrong_types(void **state) {
  static const char *const integers[] = {
      "1_000", "0x10",   "1e3", "abc", "true", "''", "'5'", "~", "99999999999999999999",
      "[1]",   "{a: 1}", "5 6", "+-5", "1-",   "--1"};
  static const char *const reals[] = {"1e-3x", "0x1p3", "nan",   ".nan",  ".inf",
                                      "inf",   "1e999", "1_0.5", "'0.5'", "~",
                                      "[0.5]", "1e",    "e5",    ".",     "1,5"};
  static const char *const bools[] = {"yes", "on", "True", "1", "'true'", "~", "[true]"};
  char text[128];
  noise v;
  for (size_t i = 0; i < sizeof integers / sizeof *integers + sizeof reals / sizeof *reals +
                             sizeof bools / sizeof *bools;
       i++) {
    size_t k = i, n = sizeof integers / sizeof *integers, m = sizeof reals / sizeof *reals;
    const char *value = k < n ? integers[k] : k < n + m ? reals[k - n] : bools[k - n - m];
    snprintf(text, sizeof text, "inputs_length: 1\n%s: %s\n",
             k < n       ? "steps"
             : k < n + m ? "rate"
                         : "shuffle",
             value);
    cz_config *c = parse(text);
    assert_int_equal(cz_config_bind(cz_config_root(c), &noise_section, &v, NULL), CZ_EUSAGE);
    const char *wanted = k < n       ? ": steps: expected an integer"
                         : k < n + m ? ": rate: expected a number, found "
                                     : ": shuffle: expected true or false, found ";
    if (!strstr(cz_error_message(), wanted)) fail_msg("%s -> %s", text, cz_error_message());
    cz_config_destroy(&c);
  }
}

static void test_text_or(void **state) {
  cz_config *c = parse("word: b\nquoted: ''\nnothing: ~\nlist: [b]\n");
  const cz_config_node *root = cz_config_root(c);
  static const char *const without[] = {"nothing", "list", "missing"};
  assert_string_equal(cz_config_text_or(root, "word", "a"), "b");
  assert_string_equal(cz_config_text_or(root, "quoted", "a"), "");
  for (int i = 0; i < 3; i++) assert_string_equal(cz_config_text_or(root, without[i], "a"), "a");
  assert_string_equal(cz_config_text_or(cz_config_get(root, "list"), "word", "a"), "a");
  assert_string_equal(cz_config_text_or(NULL, "word", "a"), "a");
  cz_config_destroy(&c);
}

static void test_yaml_mistakes(void **state) {
  static const struct {
    const char *text, *part;
  } cases[] = {
      {"a: 1\nb: [1, 2\nc: 3\n",
       "t.yaml:3:5: flow sequence without a closing bracket\n  c: 3\n      ^"},
      {"a: 1\n b: 2\n", "t.yaml:1:4: invalid multiline plain key"},
      {"a: 1\na: 2\n", "t.yaml:2:1: the key 'a' was given before, at line 1\n  a: 2\n  ^"},
      {"x:\n  a: 1\n  b: 2\n  a: 2\n", "t.yaml:4:3: x: the key 'a' was given before, at line 2"},
      {"", "t.yaml:1:1: there is nothing here"},
      {"# only a comment\n", "t.yaml:1:1: there is nothing here"},
      {"- 1\n- 2\n", "t.yaml:1:1: expected a mapping, found a list"},
      {"word", "t.yaml:1:1: expected a mapping, found a single value"},
      {"a: &x 1\nb: *x\n", "anchors and aliases are not read"},
      {"a: !!int 1\n", "tags (!) are not read"},
      {"? [a, b]\n: 1\n", "a key must be a word"},
      {"'': 1\n", "a key is empty"},
      {"a: 1\n---\nb: 2\n", "a second document in one file"},
      {"a: \"x\\0y\"\n", "a text holds a NUL byte"},
      {"a: x\x01y\n", "t.yaml:1:5: the byte 0x01 does not belong in a UTF-8 text"},
      {"a: \xED\xA0\x80\n", "t.yaml:1:4: the byte 0xed does not belong in a UTF-8 text"},
      {"a: \xC3", "t.yaml:1:4: the byte 0xc3 does not belong"},
      {"a: 1\n% m\x8Dni:\n", "t.yaml:2:1: directives (%) are not read"},
      {"a: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n",
       "nested deeper than 32 levels"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    cz_config *c = NULL;
    assert_int_equal(cz_config_parse(&c, "t.yaml", cases[i].text, strlen(cases[i].text)),
                     CZ_EUSAGE);
    assert_null(c);
    if (!strstr(cz_error_message(), cases[i].part)) fail_msg("case %zu: %s", i, cz_error_message());
  }
}

static void test_long_lines_and_wide_characters(void **state) {
  char text[4096] = "a: \"";
  for (int i = 0; i < 300; i++) strcat(text, "\xC3\xA4");
  strcat(text, "\"\nb: \xC3\xA4, c\nd: {e: \xC3\xA4\xC3\xA4, f: {}, f: 1}\n");
  cz_config *c = NULL;
  assert_says(cz_config_parse(&c, "t.yaml", text, strlen(text)),
              "t.yaml:3:19: d: the key 'f' was given before, at line 3\n  d: {e: \xC3\xA4\xC3\xA4, "
              "f: {}, f: 1}\n                    ^");
}

static void expect_canonical(const cz_config_node *node, const char *text) {
  cz_buf b = {0};
  assert_int_equal(cz_config_canonical(&b, node), CZ_OK);
  assert_string_equal(b.data, text);
  cz_buf_free(&b);
}

static void test_overrides(void **state) {
  cz_config *c = parse("a: {b: 1, c: [x, {y: 2}]}\nd:\n");
  const char *const words[] = {
      "a.b=2",   "a.c.1.y=1e-3", "a.n.e.w=hello: world # kept", "s=[1, 'two', {t: 3}]", "d.e=5",
      "q=\"5\"", "empty="};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    assert_int_equal(cz_config_set(c, words[i]), CZ_OK);
  expect_canonical(cz_config_root(c),
                   "{\"a\": {\"b\": 2, \"c\": [\"x\", {\"y\": 0.001}], \"n\": {\"e\": {\"w\": "
                   "\"hello: world # kept\"}}}, \"d\": {\"e\": 5}, "
                   "\"empty\": null, \"q\": \"5\", \"s\": [1, \"two\", {\"t\": 3}]}");
  assert_says(
      cz_config_set(c, "a.b.c=1"),
      "argument 'a.b.c=1': a.b.c: 'a.b' holds a single value, nothing can be set inside it");
  assert_says(cz_config_set(c, "a.c.2=1"),
              "argument 'a.c.2=1': a.c.2: 'a.c' is a list of 2 items, '2' is none of 0 to 1");
  assert_says(cz_config_set(c, "a.c.x=1"),
              "argument 'a.c.x=1': a.c.x: 'a.c' is a list of 2 items, 'x' is none of 0 to 1");
  assert_says(cz_config_set(c, "a..b=1"), "argument 'a..b=1': 'a..b' has an empty key");
  const cz_config_node *made = cz_config_get(cz_config_get(cz_config_root(c), "a"), "n");
  assert_says(cz_config_only(made, (const char *const[]){"f", NULL}),
              "argument 'a.n.e.w=hello: world # kept': a.n: unknown key 'e'; did you mean 'f'?");
  assert_says(cz_config_set(c, "word"), "argument 'word': expected key=value");
  assert_says(cz_config_set(c, "=1"), "argument '=1': expected key=value");
  assert_int_equal(cz_config_set(c, "a=[1, 2"), CZ_EUSAGE);
  assert_non_null(strstr(cz_error_message(), "argument 'a=[1, 2': "));
  cz_config_destroy(&c);
}

/* Bytes that are not UTF-8 and keys without end are refused before anything runs. */
static void test_foreign_words(void **state) {
  cz_config *c = NULL;
  OK(cz_config_parse(&c, "t.yaml", "a: 1\n", 5));
  assert_says(
      cz_config_set(c, "title=caf\xE9"),
      "argument 'title=caf\\xe9': the byte 0xe9, number 10, does not belong in a UTF-8 text");
  assert_says(cz_config_set(c, "t\x01=1"),
              "argument 't\x01=1': the byte 0x01, number 2, does not belong in a UTF-8 text");
  char *word = malloc(2 * 65000 + 4);
  size_t n = 0;
  for (int i = 0; i < 65000; i++) word[n++] = 'k', word[n++] = '.';
  memcpy(word + n, "k=1", 4);
  FAILS(cz_config_set(c, word), CZ_EUSAGE, "nested deeper than 32 levels");
  free(word);
  OK(cz_config_set(c, "b=[[[[1]]]]"));
  FAILS(cz_config_set(c, "b.0.0.0.0=[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"),
        CZ_EUSAGE, "nested deeper than 32 levels");
  cz_config_destroy(&c);
}

/* A mapping of 60,000 keys took 21 s to read: each key was compared with all before it. */
static void test_many_keys(void **state) {
  enum { KEYS = 60000 };
  cz_buf text = {0};
  cz_config *c = NULL;
  const cz_config_node *merged;
  clock_t began = clock();
  for (int i = 0; i < KEYS; i++) OK(cz_buf_addf(&text, "key%d: %d\n", i, i));
  OK(cz_config_parse(&c, "many.yaml", text.data, text.len));
  OK(cz_config_merge(c, &merged, cz_config_root(c), cz_config_root(c)));
  assert_int_equal(cz_config_count(merged), KEYS);
  for (int i = 0; i < KEYS; i += 7) {
    char key[32];
    int64_t v;
    snprintf(key, sizeof key, "key%d", i);
    OK(cz_config_int(&v, cz_config_get(merged, key), 0, 0));
    assert_int_equal(v, i);
  }
  assert_null(cz_config_get(merged, "key60000"));
  assert_true((double)(clock() - began) / CLOCKS_PER_SEC < 5);
  cz_config_destroy(&c);
  OK(cz_buf_addf(&text, "key31: 1\n"));
  assert_int_equal(cz_config_parse(&c, "many.yaml", text.data, text.len), CZ_EUSAGE);
  assert_non_null(strstr(cz_error_message(), "the key 'key31' was given before, at line 32"));
  cz_buf_free(&text);
}

static void test_words_alone(void **state) {
  cz_config *c = NULL;
  noise v;
  const char *const words[] = {"inputs_length=64", "noise_density=0.3", "title=a b",
                               "inputs_length=65"};
  assert_int_equal(cz_config_from_words(&c, words, 4), CZ_OK);
  assert_int_equal(cz_config_bind(cz_config_root(c), &noise_section, &v, NULL), CZ_OK);
  assert_true(v.length == 65 && v.density == 0.3 && !strcmp(v.name, "a b"));
  cz_config_destroy(&c);
  assert_int_equal(cz_config_from_words(&c, (const char *const[]){"inputs_length"}, 1), CZ_EUSAGE);
  assert_null(c);
}

static void test_merge_keeps_places(void **state) {
  cz_config *c =
      parse("x: {a: 1, b: {c: 2, d: [1, 2]}, z: 9}\ny: {b: {c: 3, e: 4, d: [7]}, a: bad, n: 1}\n");
  const cz_config_node *m, *root = cz_config_root(c);
  assert_int_equal(cz_config_merge(c, &m, cz_config_get(root, "x"), cz_config_get(root, "y")),
                   CZ_OK);
  expect_canonical(m,
                   "{\"a\": \"bad\", \"b\": {\"c\": 3, \"d\": [7], \"e\": 4}, \"n\": 1, \"z\": 9}");
  expect_canonical(cz_config_get(root, "x"),
                   "{\"a\": 1, \"b\": {\"c\": 2, \"d\": [1, 2]}, \"z\": 9}"); /* untouched */
  assert_string_equal(cz_config_key_at(m, 0), "a");
  int64_t v;
  assert_int_equal(cz_config_int(&v, cz_config_get(m, "a"), 0, 0), CZ_EUSAGE);
  assert_non_null(strstr(cz_error_message(), "t.yaml:2:33: y.a: expected an integer, found 'bad'"));
  cz_config_destroy(&c);
}

static void test_bases(void **state) {
  char name[64], message[512];
  assert_int_equal(make_folder(state), 0);
  write_text("root.yaml", "m: {d: 512,\n  l: x}\nk: 1\n");
  write_text("extra.yaml", "k: 2\nj: 3\n");
  write_text("sub/child.yaml", "base: [../root.yaml, ../extra.yaml]\nm: {d: 64}\n");
  write_text("sub/grandchild.yaml", "base: child.yaml\nj: 4\n");
  write_text("sub/loop.yaml", "base: loop2.yaml\n");
  write_text("sub/loop2.yaml", "a: 1\nbase: ./loop.yaml\n");
  write_text("sub/lost.yaml", "base: nothing.yaml\n");
  write_text("sub/broken.yaml", "base: broken2.yaml\n");
  write_text("sub/broken2.yaml", "a: [\n");
  cz_config *c = NULL;
  OK(cz_config_open(&c, under("sub/grandchild.yaml")));
  expect_canonical(cz_config_root(c), "{\"j\": 4, \"k\": 2, \"m\": {\"d\": 64, \"l\": \"x\"}}");
  int64_t v;
  assert_int_equal(
      cz_config_int(&v, cz_config_get(cz_config_get(cz_config_root(c), "m"), "l"), 0, 0),
      CZ_EUSAGE);
  snprintf(message, sizeof message,
           "%s/sub/../root.yaml:2:6: m.l: expected an integer, found 'x'\n    l: x}\n       ^",
           folder());
  assert_string_equal(cz_error_message(), message);
  cz_config_destroy(&c);
  static const char *const files[][2] = {
      {"loop.yaml", "loop2.yaml:2:7: base: "},
      {"lost.yaml", "lost.yaml:1:7: base: there is no file "},
      {"broken.yaml", "broken2.yaml:1:5: flow sequence without a closing bracket"},
      {"none.yaml", "none.yaml: there is no such file"}};
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    snprintf(name, sizeof name, "sub/%s", files[i][0]);
    FAILS(cz_config_open(&c, under(name)), CZ_EUSAGE, files[i][1]);
    assert_null(c);
  }
  assert_int_equal(cz_config_open(&c, folder()), CZ_EUSAGE);
  assert_int_equal(drop_folder(state), 0);
}

static void test_scales(void **state) {
  const char *text = "steps: 1000\nmodel: {d: 512, l: 6}\nscales:\n  nano: {steps: 10, model: {d: "
                     "64}}\n  mini: {steps: 100}\n";
  cz_config *c = parse(text);
  assert_int_equal(cz_config_scale(c, "nano"), CZ_OK);
  expect_canonical(cz_config_root(c),
                   "{\"model\": {\"d\": 64, \"l\": 6}, \"scale\": \"nano\", \"steps\": 10}");
  assert_int_equal(cz_config_scale(c, NULL), CZ_OK); /* resolved: run again as it stands */
  assert_int_equal(cz_config_scale(c, "nano"), CZ_OK);
  assert_int_equal(cz_config_scale(c, "mini"), CZ_EUSAGE);
  cz_config_destroy(&c);
  c = parse(text);
  assert_says(cz_config_scale(c, "nanno"),
              "t.yaml:4:3: scales: unknown scale 'nanno'; did you mean 'nano'?\n    nano: {steps: "
              "10, model: {d: 64}}\n    ^");
  assert_int_equal(cz_config_scale(c, NULL), CZ_OK);
  expect_canonical(cz_config_root(c), "{\"model\": {\"d\": 512, \"l\": 6}, \"steps\": 1000}");
  assert_says(cz_config_scale(c, "nano"),
              "t.yaml:1:1: this file has no scales; 'nano' was asked for\n  steps: 1000\n  ^");
  cz_config_destroy(&c);
  c = parse("scale: mini\na: 1\nscales: {mini: {a: 2}, nano: {a: 3}}\n");
  assert_int_equal(cz_config_scale(c, NULL), CZ_OK);
  expect_canonical(cz_config_root(c), "{\"a\": 2, \"scale\": \"mini\"}");
  cz_config_destroy(&c);
}

static void test_emitted_tree_reads_back(void **state) {
  const char *text = "# a comment\nname: 'true'\nlist: [1, two, '3', -5, 1e-3, ~, \"\"]\nrows:\n- "
                     "{name: a b, set: {x.y: [], z: {}}}\n- - - deep\n  "
                     "- 1\n-\n  - {k: v}\n  - [{a: 1}]\n"
                     "text: |\n  two\n  lines\nodd: [\"- x\", 'a: b', \"#c\", ' d ', '[', "
                     "\"\\u00e4\\u2028\\x07\", 0x10, 1_000, yes, '-', '---', "
                     "\"a#b\"]\n\"key: odd\": 1\n'5': 2\n";
  cz_config *c = parse(text), *again = NULL;
  cz_buf out = {0}, second = {0}, x = {0}, y = {0};
  assert_int_equal(cz_config_emit(&out, cz_config_root(c)), CZ_OK);
  assert_int_equal(cz_config_parse(&again, "again", out.data, out.len), CZ_OK);
  assert_int_equal(cz_config_emit(&second, cz_config_root(again)), CZ_OK);
  assert_string_equal(out.data, second.data);
  assert_int_equal(cz_config_canonical(&x, cz_config_root(c)), CZ_OK);
  assert_int_equal(cz_config_canonical(&y, cz_config_root(again)), CZ_OK);
  assert_string_equal(x.data, y.data);
  uint64_t h1, h2;
  assert_int_equal(cz_config_hash(&h1, cz_config_root(c)), CZ_OK);
  assert_int_equal(cz_config_hash(&h2, cz_config_root(again)), CZ_OK);
  assert_true(h1 == h2);
  cz_buf_free(&out), cz_buf_free(&second), cz_buf_free(&x), cz_buf_free(&y);
  cz_config_destroy(&c);
  cz_config_destroy(&again);
}

static void test_hash_sees_what_matters(void **state) {
  static const char *const texts[] = {"{a: 1, b: x}",   "{b: x, a: 1}",   "{b: \"x\", a: 1.0e0}",
                                      "{a: '1', b: x}", "{a: 1, b: [x]}", "{a: 1, b: y}",
                                      "{a: 1}"};
  static const int same[] = {1, 1, 1, 0, 0, 0, 0};
  uint64_t h[7];
  for (int i = 0; i < 7; i++) {
    cz_config *c = parse(texts[i]);
    assert_int_equal(cz_config_hash(&h[i], cz_config_root(c)), CZ_OK);
    assert_int_equal(h[i] == h[0], same[i]);
    cz_config_destroy(&c);
  }
}

/* What differs is named with both values, each once; what only looks different is not. */
static void test_compare(void **state) {
  static const char *const cases[][3] = {
      {"{a: 1, b: {c: 2}}", "{b: {c: 2.0}, a: 1e0}", ""},
      {"{a: 1, b: {c: 2}}", "{a: 1, b: {c: 3}}", "  b.c: 2 there, 3 now\n"},
      {"{a: 1}", "{a: 1, b: x}", "  b: nothing there, \"x\" now\n"},
      {"{a: [1, 2]}", "{a: [1]}", "  a.1: 2 there, nothing now\n"},
      {"{a: {b: 1}}", "{a: 5}", "  a: {\"b\": 1} there, 5 now\n"},
      {"{a: true, b: '5'}", "{a: false, b: 5}",
       "  a: true there, false now\n  b: \"5\" there, 5 now\n"},
      {"{}", "{a: 1, b: 1, c: 1, d: 1, e: 1, f: 1, g: 1, h: 1, i: 1, j: 1}", "  and 2 more\n"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    cz_config *there = parse(cases[i][0]), *now = parse(cases[i][1]);
    cz_buf out = {0};
    assert_int_equal(cz_config_compare(&out, cz_config_root(there), cz_config_root(now)), CZ_OK);
    const char *said = out.data ? out.data : "", *end = said + strlen(said) - strlen(cases[i][2]);
    assert_string_equal(i == 6 ? end : said, cases[i][2]);
    cz_buf_free(&out);
    cz_config_destroy(&there);
    cz_config_destroy(&now);
  }
}

static void test_walking_and_needing(void **state) {
  cz_config *c = parse("seeds: [1, 2, 3]\nrows: {a: {x: 1}, b: {}}\n");
  const cz_config_node *root = cz_config_root(c), *seeds, *rows, *none;
  assert_int_equal(cz_config_need(&seeds, root, "seeds"), CZ_OK);
  assert_int_equal(cz_config_need(&rows, root, "rows"), CZ_OK);
  assert_says(cz_config_need(&none, rows, "zeta"),
              "t.yaml:2:7: rows: the key 'zeta' is missing\n  rows: {a: {x: 1}, b: {}}\n        ^");
  assert_says(
      cz_config_need(&none, root, "seed"),
      "t.yaml:1:1: the key 'seed' is missing; is it 'seeds' here?\n  seeds: [1, 2, 3]\n  ^");
  assert_int_equal(cz_config_expect(seeds, CZ_CONFIG_SEQUENCE), CZ_OK);
  assert_says(
      cz_config_expect(seeds, CZ_CONFIG_MAPPING),
      "t.yaml:1:8: seeds: expected a mapping, found a list\n  seeds: [1, 2, 3]\n         ^");
  int64_t v;
  assert_int_equal(cz_config_int(&v, cz_config_at(seeds, 2), 0, 0), CZ_OK);
  assert_true(v == 3 && cz_config_count(seeds) == 3 && !cz_config_key_at(seeds, 0));
  assert_says(cz_config_error(cz_config_at(seeds, 1), "no %s", "good"),
              "t.yaml:1:12: seeds.1: no good\n  seeds: [1, 2, 3]\n             ^");
  assert_says(cz_config_only(root, (const char *const[]){"seed", "rows", NULL}),
              "t.yaml:1:1: unknown key 'seeds'; did you mean 'seed'?\n  seeds: [1, 2, 3]\n  ^");
  cz_config_destroy(&c);
}

static void test_help_comes_from_the_table(void **state) {
  cz_buf out = {0};
  assert_int_equal(cz_config_help(&out, &noise_section), CZ_OK);
  assert_non_null(strstr(out.data, "  inputs_length (integer, at least 1, in tokens; must be "
                                   "given)\n      The cap of the inputs.\n"));
  assert_non_null(strstr(out.data, "  noise_density (number, 0 to 1; default 0.15)\n"));
  assert_non_null(strstr(out.data, "  fidelity (paper or code or corrected; default paper)\n"));
  assert_non_null(strstr(out.data, "  title (text; default empty)\n"));
  out.len = 0;
  assert_int_equal(cz_config_markdown(&out, &noise_section), CZ_OK);
  assert_non_null(
      strstr(out.data, "| `rate` | number | at most 5 |  | 1e-3 | The learning rate. |\n"));
  cz_buf_free(&out);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_binds_values_and_defaults),
                                     cmocka_unit_test(test_mistakes_are_placed),
                                     cmocka_unit_test(test_wrong_types),
                                     cmocka_unit_test(test_text_or),
                                     cmocka_unit_test(test_compare),
                                     cmocka_unit_test(test_yaml_mistakes),
                                     cmocka_unit_test(test_long_lines_and_wide_characters),
                                     cmocka_unit_test(test_overrides),
                                     cmocka_unit_test(test_words_alone),
                                     cmocka_unit_test(test_foreign_words),
                                     cmocka_unit_test(test_many_keys),
                                     cmocka_unit_test(test_merge_keeps_places),
                                     cmocka_unit_test(test_bases),
                                     cmocka_unit_test(test_scales),
                                     cmocka_unit_test(test_emitted_tree_reads_back),
                                     cmocka_unit_test(test_hash_sees_what_matters),
                                     cmocka_unit_test(test_walking_and_needing),
                                     cmocka_unit_test(test_help_comes_from_the_table)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
