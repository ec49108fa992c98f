/* Pattern files: what each form is read as, and what is said to each mistake that can be seen
 * without a tokenizer. */
#include "common/common.h"
#include "prompts/patterns.h"
#include "tasks/task.h"

#include <glob.h>
#include <stdio.h>

#define HEAD   "fields: {a: text, b: more}\nlabels: [x, y]\n"
#define ONE(p) HEAD "patterns: [\"" p "\"]\n"

static cz_pattern_file *parse(const char *text) {
  cz_pattern_file *f;
  OK(cz_patterns_parse(&f, "p.yaml", text, strlen(text), NULL));
  return f;
}

static void refuse_with(const char *text, const char *labels, const char *message) {
  cz_pattern_file *f = NULL;
  FAILS(cz_patterns_parse(&f, "p.yaml", text, strlen(text), labels), CZ_EUSAGE, message);
  assert_null(f);
}
#define refuse(text, message) refuse_with(text, NULL, message)

/* A pattern's pieces in a line: texts in quotes, fields by number with their changes, masks. */
static const char *shown(const cz_pattern_file *f, const cz_pattern *p) {
  static char out[512];
  size_t n = 0;
  out[0] = '\0';
  for (size_t i = 0; i < p->n; i++) {
    const cz_pattern_piece *piece = &p->pieces[i];
    n += (size_t)snprintf(out + n, sizeof out - n, "%s", i == p->second ? " || " : i ? " " : "");
    if (piece->kind == CZ_PIECE_TEXT)
      n += (size_t)snprintf(out + n, sizeof out - n, "'%s'", piece->text);
    if (piece->kind == CZ_PIECE_MASK)
      n += (size_t)snprintf(out + n, sizeof out - n, "mask%d", piece->masks);
    if (piece->kind != CZ_PIECE_SOURCE) continue;
    const cz_pattern_source *s = &f->sources[piece->source];
    for (size_t k = 0; k < s->n; k++)
      n += s->parts[k].text
               ? (size_t)snprintf(out + n, sizeof out - n, "<%s>", s->parts[k].text)
               : (size_t)snprintf(out + n, sizeof out - n, "%s%s%s", f->fields[s->parts[k].field],
                                  s->parts[k].changes & CZ_STRIP_PUNCTUATION ? "-" : "",
                                  s->parts[k].changes & CZ_LOWER_FIRST ? "_" : "");
    if (piece->shortenable) n += (size_t)snprintf(out + n, sizeof out - n, "*");
  }
  return out;
}

static void expect(const char *pattern, const char *pieces) {
  char text[512];
  snprintf(text, sizeof text, HEAD "patterns: ['%s']\n", pattern);
  cz_pattern_file *f = parse(text);
  assert_string_equal(shown(f, &f->patterns[0]), pieces);
  cz_patterns_close(&f);
}

static void test_pieces(void **state) {
  expect("{mask} : {a*}", "mask1 ':' a*");
  expect("  {a*}  {b}{mask:3}.", "a* b mask3 '.'");
  expect("{a*} || In summary, it is about {mask} .", "a* || 'In summary, it is about' mask1 '.'");
  expect("{a}||{mask}", "a || mask1");
  expect("{{a}} | {mask} {a*}", "'{a}} |' mask1 a*");
  expect("{a*|strip_punctuation} {a|lower_first|strip_punctuation} {mask}", "a-* a-_ mask1");
  expect("Is \"{a|inline}\" so? {mask}", "<Is \">a<\" so?> mask1");
  expect("{a|inline}{b|inline|lower_first} . {mask}", "ab_< .> mask1");
  expect("{b*} {a|inline} {mask}", "b* a mask1");
  expect("{mask} {a} [MASK]", "mask1 a '[MASK]'");
}

/* Sources that say the same are one, in all patterns and the plain one. */
static void test_sources(void **state) {
  cz_pattern_file *f = parse(HEAD "patterns: ['{mask} {a*} {b}', '{a} ( {mask} ) {b*}', "
                                  "'{mask} {a|strip_punctuation}', 'say {a|inline} {mask}']\n");
  assert_int_equal(f->n_sources, 4); /* a, b, a stripped, "say a" */
  assert_string_equal(shown(f, &f->plains[0]), "a* || b*");
  assert_int_equal(f->plains[0].masks, 0);
  cz_patterns_close(&f);
  f = parse(HEAD "plain: '{b*|lower_first} {a}'\npatterns: ['{mask} {a*}']\n");
  assert_string_equal(shown(f, &f->plains[0]), "b_* a");
  cz_patterns_close(&f);
  refuse(HEAD "plain: '{a} {mask}'\npatterns: ['{mask} {a*}']\n",
         "p.yaml:3:9: plain: there is a mask in what a classifier reads");
  refuse(HEAD "plain: ''\npatterns: ['{mask} {a*}']\n", "the pattern holds no field");
}

static void reads(const char *text, cz_input_kind input, size_t n, const char *const *plains) {
  cz_pattern_file *f = parse(text);
  assert_int_equal(f->input, input);
  assert_int_equal(f->n_plains, n);
  for (size_t i = 0; i < n; i++) assert_string_equal(shown(f, &f->plains[i]), plains[i]);
  cz_patterns_close(&f);
}
#define READS(text, input, n, ...) reads(text, input, n, (const char *const[]){__VA_ARGS__})

/* What a classifier reads of a record: by `plain` alone, or as `input` says. */
static void test_inputs(void **state) {
  static const char three[] = "fields: {a: p, b: x, c: y}\nlabels: [0, 1]\ninput: choice\n";
  char text[512];
  READS(HEAD, CZ_INPUT_PAIR, 1, "a* || b*"); /* and there need be no patterns */
  READS("fields: {a: t}\nlabels: [x, y]\n", CZ_INPUT_SINGLE, 1, "a*");
  READS("fields: {a: t}\nlabels: [x, y]\ninput: single\n", CZ_INPUT_SINGLE, 1, "a*");
  READS(HEAD "plain: '{a} {b*}'\n", CZ_INPUT_SINGLE, 1, "a b*");
  READS(HEAD "input: pair\n", CZ_INPUT_PAIR, 1, "a* || b*");
  READS(HEAD "input: similarity\nplain: 'is {a*} . || {b}'\n", CZ_INPUT_SIMILARITY, 2,
        "'is' a* '.' || b", "b || 'is' a* '.'");
  READS(three, CZ_INPUT_CHOICE, 2, "a* || b*", "a* || c*");
  snprintf(text, sizeof text, "%splain: ['{a*} {b}', '{a*} {c}']\npatterns: ['{mask} {a}']\n",
           three);
  READS(text, CZ_INPUT_CHOICE, 2, "a* b", "a* c");
}

static void test_wrong_inputs(void **state) {
  static const char one[] = "fields: {a: p, b: x}\nlabels: [0, 1]\ninput: choice\n";
  char text[512];
  refuse(HEAD "input: pairs\n",
         "p.yaml:3:8: input: no kind of input is called 'pairs'; did you mean 'pair'?");
  refuse(HEAD "input: [pair]\n", "expected a text, found a list");
  refuse(
      HEAD "input: single\n",
      "p.yaml:3:8: input: input: single reads one text, and `plain` is '{a*} || {b*}', two with");
  refuse(HEAD "input: pair\nplain: '{a} {b}'\n",
         "input: pair reads two texts, and `plain` is '{a} {b}', without || between two");
  refuse("fields: {a: t}\nlabels: [x, y]\ninput: similarity\n",
         "input: similarity reads two texts, and `plain` is '{a*}', without || between two");
  refuse(one,
         "p.yaml:1:9: fields: input: choice without `plain` reads the first field with each of "
         "the others, one for each of the 2 labels, and there are 1 others");
  snprintf(text, sizeof text, "%splain: ['{a}', '{b}', '{a} {b}']\n", one);
  refuse(text, "p.yaml:4:8: plain: input: choice reads a text for each of the 2 labels, in their "
               "order, and here are 3");
  snprintf(text, sizeof text, "%splain: '{a} {b}'\n", one);
  refuse(text, "expected a list, found a single value");
  snprintf(text, sizeof text, "%splain: ['{a} {b}', '{a} {c}']\n", one);
  refuse(text, "unknown field 'c'");
  refuse(HEAD "plain: ['{a}', '{b}']\n", "expected a text, found a list");
  cz_buf many = {0};
  OK(cz_buf_addf(&many, "fields: {a: p}\ninput: choice\nlabels: [0"));
  for (int i = 1; i < 17; i++) OK(cz_buf_addf(&many, ", %d", i));
  OK(cz_buf_addf(&many, "]\nplain: ['{a}'"));
  for (int i = 1; i < 17; i++) OK(cz_buf_addf(&many, ", '{a}'"));
  OK(cz_buf_addf(&many, "]\n"));
  refuse(many.data, "input: choice among 17, at most 16 are computed");
  cz_buf_free(&many);
}

static void test_words(void **state) {
  cz_pattern_file *f =
      parse("fields: {a: text}\nlabel_column: section\nlabels: [games, 2, no]\n"
            "words: {games: fun, 2: [two, deux]}\n"
            "patterns:\n  - '{mask} {a}'\n"
            "  - {pattern: '{a} {mask}', words: {no: [non, nein], games: games}}\n");
  assert_string_equal(f->label_column, "section");
  assert_string_equal(f->columns[0], "text");
  assert_int_equal(f->n_labels, 3);
  const cz_label_words *w = f->patterns[0].words, *own = f->patterns[1].words;
  assert_int_equal(w[0].n, 1);
  assert_string_equal(w[0].words[0], "fun");
  assert_int_equal(w[1].n, 2);
  assert_string_equal(w[1].words[1], "deux");
  assert_string_equal(w[2].words[0], "no"); /* the label itself */
  assert_string_equal(own[0].words[0], "games");
  assert_string_equal(own[1].words[1], "deux"); /* the file's */
  assert_string_equal(own[2].words[1], "nein");
  cz_patterns_close(&f);
}

/* Answers of the records' own. */
static void test_choices(void **state) {
  static const char head[] = "fields: {a: text, b: other}\nlabels: [no, yes]\n";
  char text[400];
  snprintf(text, sizeof text,
           "%schoices: ['{b|lower_first}', 'not {a|inline}']\npatterns: ['{mask:3} {a*}']\n", head);
  cz_pattern_file *f = parse(text);
  const cz_pattern_source *first = &f->sources[f->choices[0]], *second = &f->sources[f->choices[1]];
  assert_int_equal(first->n, 1);
  assert_int_equal(first->parts[0].field, 1);
  assert_int_equal(first->parts[0].changes, CZ_LOWER_FIRST);
  assert_int_equal(second->n, 2);
  assert_string_equal(second->parts[0].text, "not ");
  cz_patterns_close(&f);
  f = parse("fields: {a: text}\npatterns: ['{mask} {a}']\n");
  assert_null(f->choices);
  cz_patterns_close(&f);
  static const char *const refused[][2] = {
      {"choices: ['{b}']\npatterns: ['{mask} {a}']\n",
       "p.yaml:3:10: choices: 1 choices for 2 labels"},
      {"choices: ['{b}', '{a}']\nwords: {no: nein}\npatterns: ['{mask} {a}']\n",
       "p.yaml:4:8: words: labels have `choices`"},
      {"choices: ['{b}', '{a}']\npatterns: [{pattern: '{mask} {a}', words: {no: nein}}]\n",
       "the answers are each record's own (`choices`), not words"},
      {"choices: ['{b}', '{a} {b}']\npatterns: ['{mask} {a}']\n",
       "p.yaml:3:19: choices.1: '{a} {b}' is more than one piece"},
      {"choices: ['{b}', '{a*}']\npatterns: ['{mask} {a}']\n",
       "'{a*}': an answer is never cut, so leave out the star"},
      {"choices: ['{b}', '{c}']\npatterns: ['{mask} {a}']\n", "unknown field 'c'"},
      {"choices: ['{b}', yes]\npatterns: ['{mask} {a}']\n", "holds no field"},
      {"choices: '{b}'\npatterns: ['{mask} {a}']\n", "p.yaml:3:11: choices: expected a list"},
  };
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    snprintf(text, sizeof text, "%s%s", head, refused[i][0]);
    refuse(text, refused[i][1]);
  }
}

static void test_given_labels(void **state) {
  static const char none[] = "fields: {a: text}\npatterns: ['{mask} {a}']\nwords: {x: [p]}\n";
  static const char both[] = "fields: {a: text}\nlabels: [x, y]\npatterns: ['{mask} {a}']\n";
  cz_pattern_file *f;
  OK(cz_patterns_parse(&f, "p.yaml", none, strlen(none), "x, y"));
  assert_int_equal(f->n_labels, 2);
  assert_string_equal(f->patterns[0].words[0].words[0], "p");
  assert_string_equal(f->patterns[0].words[1].words[0], "y");
  assert_string_equal(f->label_column, "label");
  cz_patterns_close(&f);
  OK(cz_patterns_parse(&f, "p.yaml", both, strlen(both), "x,y"));
  cz_patterns_close(&f);
  refuse_with(both, "y,x",
              "p.yaml:2:9: labels: these are not the labels that were given (2, the "
              "first is 'y')");
  refuse_with(none, "x", "one label ('x') leaves nothing to decide");
  refuse_with(none, " , ", "labels: ' , ' names none");
  refuse_with(none, "z,y", "p.yaml:3:12: words.x: unknown label 'x'; did you mean 'z'?");
  OK(cz_patterns_parse(&f, "p.yaml", none, strlen(none), NULL)); /* words wait for labels */
  assert_int_equal(f->n_labels, 0);
  cz_patterns_close(&f);
}

/* Records that have candidates: a task in the place of labels and all that belongs to them. */
static void test_candidates(void **state) {
#define TASK(more) "task: record\nfields: {a: text}\n" more "patterns: ['{mask} {a}']\n"
  cz_pattern_file *f;
  OK(cz_patterns_parse(&f, "p.yaml", TASK(""), strlen(TASK("")), NULL));
  assert_string_equal(f->task->name, "record");
  assert_int_equal(f->n_labels, 0);
  cz_patterns_close(&f);
  refuse(TASK("labels: [x, y]\n"), "p.yaml:3:9: labels: each record of this task has candidates");
  refuse(TASK("words: {x: y}\n"), "p.yaml:3:8: words: each record of this task has candidates");
  refuse(TASK("label_column: x\n"),
         "p.yaml:3:15: label_column: each record of this task has candidates");
  refuse(TASK("choices: ['{a}']\n"), "choices: each record of this task has candidates");
  refuse(TASK("plain: '{a}'\n"), "plain: each record of this task has candidates");
  refuse(TASK("input: single\n"), "input: each record of this task has candidates");
  refuse_with(TASK(""), "x,y",
              "p.yaml:1:7: task: labels were given ('x,y'); each record of this task has "
              "candidates of its own");
#define WSC(more) "task: wsc\nfields: {t: target, a: text}\n" more "patterns: ['{mask} {a}']\n"
  OK(cz_patterns_parse(&f, "p.yaml", WSC(""), strlen(WSC("")), NULL));
  assert_true(f->generates && !f->candidates && f->target == 0);
  assert_int_equal(f->n_labels, 2);
  assert_string_equal(f->labels[1], "True");
  cz_patterns_close(&f);
  refuse(WSC("words: {x: y}\n"),
         "p.yaml:3:8: words: this task's labels say whether the model writes");
  refuse_with(WSC(""), "x,y",
              "labels were given ('x,y'); this task's labels say whether the model");
  refuse("task: wsc\nfields: {t: text}\npatterns: ['{mask} {t}']\n",
         "p.yaml:2:9: fields: no field is the 'target' of task wsc");
  refuse("task: boolq\nfields: {a: text}\npatterns: ['{mask} {a}']\n",
         "p.yaml:1:7: task: records of task boolq have labels, not candidates of their own");
  refuse("task: recrd\nfields: {a: text}\npatterns: ['{mask} {a}']\n", "did you mean 'record'?");
}

static void test_templates(void **state) {
  refuse(ONE("{a*} ."), "p.yaml:3:13: patterns.0: there is no {mask} in the pattern");
  refuse(ONE("{mask} {a} {mask}"),
         "a second mask; several masks of one place are written {mask:2}");
  refuse(ONE("{mask:0} {a}"), "'{mask:0}': expected {mask}, or {mask:N} with N from 1 to 64");
  refuse(ONE("{mask:65} {a}"), "with N from 1 to 64");
  refuse(ONE("{mask:2x} {a}"), "'{mask:2x}'");
  refuse(ONE("{mask*} {a}"), "'{mask*}'");
  refuse(ONE("{mask} {c}"), "unknown field 'c'; did you mean 'a'?");
  refuse(ONE("{mask} {a"), "'{a' is never closed; a brace is written {{");
  refuse(ONE("{mask} {a {b}"), "'{a ' is never closed");
  refuse(ONE("{mask} {} {a}"), "'{}' names no field");
  refuse(ONE("{mask} {*}"), "unknown field ''");
  refuse(ONE("{mask} { a}"), "unknown field ' a'; did you mean 'a'?");
  refuse(ONE("{mask} {a|strip}"), "no attribute of a field is called 'strip'");
  refuse(ONE("{mask} {a|inlin}"), "did you mean 'inline'?");
  refuse(ONE("{mask} {a|}"), "an attribute is missing behind '|'");
  refuse(ONE("{mask} {a||inline}"), "an attribute is missing behind '|'");
  refuse(ONE("{mask} {a*|inline}"), "'a' is inline, so it cannot be shortened");
  refuse(ONE("{mask} ."), "the pattern holds no field");
  refuse(ONE(""), "there is no {mask}");
  refuse(ONE("{mask} {a} || || {b}"), "'||' stands here twice");
  refuse(ONE(" || {mask} {a}"), "nothing stands before '||'");
  refuse(ONE("{mask} {a} || "), "nothing stands behind '||'");
}

static void test_files(void **state) {
  refuse(HEAD "patterns: []\n", "p.yaml:3:11: patterns: there is no pattern");
  refuse(HEAD "patterns: '{mask} {a}'\n", "expected a list, found a single value");
  refuse(HEAD "pattern: ['{mask} {a}']\n", "unknown key 'pattern'; did you mean 'patterns'?");
  refuse(HEAD "labels: [x, y]\n", "the key 'labels' was given before, at line 2");
  refuse("labels: [x, y]\npatterns: ['{mask} {a}']\n", "the key 'fields' is missing");
  refuse("fields: {}\nlabels: [x, y]\npatterns: ['{mask} {a}']\n", "0 fields, expected 1 to 32");
  refuse("fields: {mask: t}\nlabels: [x, y]\npatterns: ['{mask}']\n",
         "a field can't be called 'mask'");
  refuse("fields: {'a b': t}\nlabels: [x, y]\npatterns: ['{mask}']\n",
         "'a b': the name of a field is");
  refuse("fields: {a: ''}\nlabels: [x, y]\npatterns: ['{mask} {a}']\n",
         "the column's name is empty");
  refuse("fields: {a: t}\nlabels: [x]\npatterns: ['{mask} {a}']\n",
         "p.yaml:2:9: labels: one label ('x') leaves nothing to decide");
  refuse("fields: {a: t}\nlabels: []\npatterns: ['{mask} {a}']\n", "the list of labels is empty");
  refuse("fields: {a: t}\nlabels: [x, y, x]\npatterns: ['{mask} {a}']\n",
         "p.yaml:2:16: labels.2: the label 'x' is declared twice");
  refuse("fields: {a: t}\nlabels: [x, '']\npatterns: ['{mask} {a}']\n", "the label is empty");
  refuse(HEAD "words: {z: w}\npatterns: ['{mask} {a}']\n",
         "p.yaml:3:12: words.z: unknown label 'z'");
  refuse(HEAD "words: {x: []}\npatterns: ['{mask} {a}']\n", "the label 'x' has no word");
  refuse(HEAD "words: {x: ''}\npatterns: ['{mask} {a}']\n", "a word of 'x' is empty");
  refuse(HEAD "words: {x: 'w '}\npatterns: ['{mask} {a}']\n",
         "p.yaml:3:13: words.x: the word 'w ' of 'x' has a space at its end");
  refuse(HEAD "words: {x: [v, ' w']}\npatterns: ['{mask} {a}']\n",
         "p.yaml:3:17: words.x.1: the word ' w' of 'x' has a space at its beginning");
  refuse(HEAD "words: {x: p, x: q}\npatterns: ['{mask} {a}']\n", "the key 'x' was given before");
  refuse(HEAD "patterns: [{words: {x: w}}]\n", "the key 'pattern' is missing");
  refuse(HEAD "patterns: [{pattern: '{mask} {a}', wrds: {x: w}}]\n",
         "unknown key 'wrds'; did you mean 'words'?");
  refuse(HEAD "patterns: [{pattern: '{mask} {a}', words: {q: w}}]\n", "unknown label 'q'");
  refuse(HEAD "patterns: [[a]]\n", "expected a text, found a list");
  cz_pattern_file *f = NULL;
  FAILS(cz_patterns_open(&f, under("missing.yaml"), NULL), CZ_EUSAGE, "there is no such file");
  assert_null(f);
}

/* Every file that comes with the program is read; where records have candidates there are no
 * labels.
 */
static void test_committed(void **state) {
  glob_t files;
  assert_int_equal(glob(CZ_SOURCE_DIR "/experiments/pet/patterns/*.yaml", 0, NULL, &files), 0);
  assert_true(files.gl_pathc >= 18);
  for (size_t i = 0; i < files.gl_pathc; i++) {
    cz_pattern_file *f;
    const char *path = files.gl_pathv[i];
    OK(cz_patterns_open(&f, path, NULL));
    assert_int_equal(f->n_labels == 0, strstr(path, "/record") != NULL);
    cz_patterns_close(&f);
  }
  globfree(&files);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_pieces),     cmocka_unit_test(test_sources),
      cmocka_unit_test(test_inputs),     cmocka_unit_test(test_wrong_inputs),
      cmocka_unit_test(test_words),      cmocka_unit_test(test_choices),
      cmocka_unit_test(test_candidates), cmocka_unit_test(test_given_labels),
      cmocka_unit_test(test_templates),  cmocka_unit_test(test_files),
      cmocka_unit_test(test_committed),
  };
  return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
