/* Outputs to scores, by hand: what is no label is wrong, groups count as a whole, nouns
 * are compared as WSC wants, baselines write what they say. */
#include "setup.h"

#include "base/number.h"

#include "tasks/baseline.h"
#include "tasks/score.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void assert_scores(cz_task_set *set, const char *const *outputs, double first,
                          double second) {
  double scores[CZ_TASK_METRICS];
  OK(cz_task_score(scores, set, outputs));
  if (!(fabs(scores[0] - first) < 1e-9 && fabs(scores[1] - second) < 1e-9))
    fail_msg("%s: found %.6f and %.6f, expected %.6f and %.6f", set->row->name, scores[0],
             scores[1], first, second);
  cz_task_set_destroy(&set);
}

#define TEXTS(...) ((const char *const[]){__VA_ARGS__})

static void test_labels(void **state) {
  static const char file[] = "sentence\tlabel\na\t1\nb\t0\nc\t1\nd\t0\n";
  assert_scores(load("sst2", file), TEXTS("positive", "negative", "positively", "positive"), 50, 0);
  /* F1: of the outputs that are no label each counts as the wrong one: 1 true, 2 false
   * positives, 1 false negative */
  static const char mrpc[] = "Quality\t#1 String\t#2 String\n1\ta\tb\n0\ta\tb\n1\ta\tb\n0\ta\tb\n";
  assert_scores(load("mrpc", mrpc), TEXTS("equivalent", "nonsense", "", "equivalent"),
                100 * 2.0 / (2 + 2 + 1), 25);
}

static void test_numbers(void **state) {
  static const char file[] = "sentence1\tsentence2\tscore\na\tb\t1\na\tb\t2\na\tb\t3\n";
  assert_scores(load("stsb", file), TEXTS("2.0", "4.0", "6.0"), 100, 100);
  /* so is a number with something behind it: the deviations are 2/3, 5/3, -7/3 */
  assert_scores(load("stsb", file), TEXTS("2.0", "3.0", "3.2 abc"),
                100 * -3 / sqrt(2 * (4.0 + 25 + 49) / 9), -50);
  /* "six" is -1: the deviations are 1/3, 7/3, -8/3 against -1, 0, 1 */
  assert_scores(load("stsb", file), TEXTS("2.0", "4.0", "six"),
                100 * -3 / sqrt(2 * (1.0 + 49 + 64) / 9), -50);
}

/* Python's float() and nothing else of what C reads: hexadecimal, infinities and NaN are no
 * scores. */
static void test_number_grammar(void **state) {
  static const struct {
    const char *text;
    double value; /* -1: no number */
  } cases[] = {{"3.8", 3.8},  {" 4.5\n", 4.5}, {"+2", 2},        {"-0.5", -0.5}, {".5", 0.5},
               {"5.", 5},     {"1e0", 1},      {"1_0", 10},      {"1E-1", 0.1},  {"0x5", -1},
               {"0X1p3", -1}, {"inf", -1},     {"Infinity", -1}, {"nan", -1},    {"nan(5)", -1},
               {"1__0", -1},  {"_1", -1},      {"1_", -1},       {"1e", -1},     {".", -1},
               {"", -1},      {"4 5", -1},     {"1e999", -1},    {"5,0", -1},    {"- 1", -1}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    double v;
    bool is_number = cz_parse_python_float(cases[i].text, &v) == CZ_OK && isfinite(v);
    if (is_number != (cases[i].value != -1) || (is_number && v != cases[i].value))
      fail_msg("'%s' is read as %g", cases[i].text, v);
  }
  static const char *const refused[] = {"0x5", "inf", "nan", "1_0", " 1", "1 ", "1e", ""};
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    double v;
    FAILS(cz_parse_real(refused[i], &v), CZ_EINVAL, "expected a number");
  }
  static const char file[] = "sentence1\tsentence2\tscore\na\tb\t1\na\tb\t2\na\tb\t3\n";
  assert_scores(load("stsb", file), TEXTS("2.0", "4.0", "0x6"), /* -1, as "six" above */
                100 * -3 / sqrt(2 * (1.0 + 49 + 64) / 9), -50);
  assert_refused("stsb", "sentence1\tsentence2\tscore\na\tb\t0x5\n",
                 "expected a score, found '0x5'");
}

static void test_groups(void **state) {
  static const char file[] =
      "{\"passage\": {\"text\": \"P\", \"questions\": [{\"question\": \"Q\", \"answers\": "
      "[{\"text\": \"a\", \"label\": 0}, {\"text\": \"b\", "
      "\"label\": 1}]}, {\"question\": \"R\", \"answers\": [{\"text\": \"c\", \"label\": 1}, "
      "{\"text\": \"d\", \"label\": 1}]}]}}\n";
  assert_scores(load("multirc", file), TEXTS("False", "True", "True", "False"), 80, 50);
}

static void test_nouns(void **state) {
  static const struct {
    const char *output, *noun;
    bool same;
  } cases[] = {{"Mark", "Mark", true},
               {"the fuzzy bunny", "Bunny", true},
               {"bunny", "his fuzzy bunny", true},
               {"Pete", "Mark", false},
               {"Mark's", "Mark", false},
               {"Mark's dog", "the dog of Mark's", true},
               {"Mark's dog", "Mark's", true},
               {"", "Mark", false},
               {"the", "Mark", false},
               {"bunny rabbit", "fuzzy bunny", false}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char file[256];
    snprintf(file, sizeof file,
             "{\"text\": \"x it\", \"target\": {\"span1_text\": \"%s\", \"span2_index\": 1, "
             "\"span2_text\": \"it\"}, \"label\": true}",
             cases[i].noun);
    cz_task_set *set = load("wsc", file);
    double scores[CZ_TASK_METRICS];
    OK(cz_task_score(scores, set, &cases[i].output));
    if ((scores[0] == 100) != cases[i].same)
      fail_msg("'%s' and '%s'", cases[i].output, cases[i].noun);
    cz_task_set_destroy(&set);
  }
}

static void test_texts(void **state) {
  static const char squad[] =
      "{\"data\": [{\"paragraphs\": [{\"context\": \"c\", \"qas\": [{\"question\": \"Q\", "
      "\"answers\": [{\"text\": \"the red cat\"}, "
      "{\"text\": \"cat\"}]}, {\"question\": \"R\", \"answers\": [{\"text\": \"blue dog\"}]}]}]}]}";
  assert_scores(load("squad", squad), TEXTS("A cat!", "dog"), 50, 100 * (1 + 2.0 / 3) / 2);
  assert_scores(load("debian_summarize", "x\tone two three\n"), TEXTS("one two four"),
                100 * 2.0 / 3, 50);
  assert_scores(load("debian_en_de", "x\tEin Haus am See.\n"), TEXTS("Ein Haus am See."), 100, 0);
  /* "intl" takes quotes of every script for tokens of their own, as the paper's SacreBLEU
   * did; "13a" would leave them on their words. By hand: eight tokens, all right but the
   * first: precisions 7/8, 6/7, 5/6, 4/5. */
  assert_scores(load("debian_en_de", "x\t\u201eDas Haus\u201c am See liegt.\n"),
                TEXTS("\u00abDas Haus\u201c am See liegt."), 100 * pow(0.5, 0.25), 0);
}

/* Sentences are told apart by " . ", so that the summary-level ROUGE-L sees them in any
 * order. */
static void test_rouge_by_sentence(void **state) {
  double scores[CZ_TASK_METRICS];
  cz_task_set *set = load("cnn_dm", "{\"article\": \"x\", \"highlights\": \"a b c . d e f .\"}\n");
  OK(cz_task_score(scores, set, TEXTS("d e f . a b c .")));
  assert_true(fabs(scores[2] - 100) < 1e-9);
  cz_task_set_destroy(&set);
}

static void test_unlabelled(void **state) {
  double scores[CZ_TASK_METRICS];
  static const char *const files[][2] = {
      {"sst2", "index\tsentence\n0\ta\n"},
      {"stsb", "index\tsentence1\tsentence2\n0\ta\tb\n"},
      {"squad", "{\"data\": [{\"paragraphs\": [{\"context\": \"c\", \"qas\": [{\"question\": "
                "\"Q\", \"answers\": []}]}]}]}"},
      {"record", "{\"passage\": {\"text\": \"A b.\", \"entities\": [{\"start\": 0, \"end\": 0}]}, "
                 "\"qas\": [{\"query\": \"@placeholder b\"}]}\n"}};
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    cz_task_set *set = load(files[i][0], files[i][1]);
    const char *why = i < 2 ? "no record has an answer" : "record 1 has no answer";
    FAILS(cz_task_answered(set), CZ_EINVAL, why);
    FAILS(cz_task_score(scores, set, TEXTS("positive")), CZ_EINVAL, why);
    cz_task_set_destroy(&set);
  }
  cz_task_set *set;
  const cz_task_config own = task_config("tsv", NULL, 0);
  OK(try_load(&set, "tsv", &own, write_text("own", "the next word is\t<unk>\n"),
              CZ_TASK_EVALUATE)); /* a text of the file's own */
  OK(cz_task_answered(set));
  cz_task_set_destroy(&set);
}

/* Six questions of one to three answers each, of which half are kept: whole ones, spread
 * over the file. Other tasks keep single records. */
static void test_subsample(void **state) {
  static const int answers[] = {3, 1, 2, 3, 1, 2};
  cz_buf text = {0};
  for (int i = 0; i < 6; i++) {
    OK(cz_buf_addf(
        &text,
        "{\"passage\": {\"text\": \"P\", \"questions\": [{\"question\": \"Q%d\", \"answers\": [",
        i));
    for (int k = 0; k < answers[i]; k++)
      OK(cz_buf_addf(&text, "%s{\"text\": \"a\", \"label\": 1}", k ? ", " : ""));
    OK(cz_buf_addf(&text, "]}]}}\n"));
  }
  cz_task_set *set = load("multirc", text.data);
  assert_int_equal(set->n, 12);
  cz_task_subsample(set, 6); /* questions 0, 2 and 4 */
  assert_int_equal(set->n, 3 + 2 + 1);
  static const int kept[] = {0, 0, 0, 2, 2, 4};
  for (size_t i = 0; i < set->n; i++) {
    char question[32];
    snprintf(question, sizeof question, "question: Q%d ", kept[i]);
    assert_non_null(strstr(set->records[i].inputs, question));
  }
  cz_task_subsample(set, 0);
  assert_int_equal(set->n, 6);
  cz_task_set_destroy(&set);
  set = load("debian_section", "a\tweb\nb\tweb\nc\tweb\nd\tweb\ne\tweb\n");
  cz_task_subsample(set, 3);
  assert_int_equal(set->n, 3);
  for (size_t i = 0; i < 3; i++)
    assert_string_equal(set->records[i].source,
                        ((const char *[]){"a", "b", "d"})[i]); /* 0, 5/3, 10/3 */
  cz_task_set_destroy(&set);
  cz_buf_free(&text);
}

static void test_baselines(void **state) {
  const char *outputs[3];
  cz_arena *arena;
  OK(cz_arena_create(&arena, "test"));
  cz_task_set *train = load("debian_section", "a\tweb\nb\tgames\nc\tweb\nd\tgames\ne\tmath\n");
  cz_task_set *dev = load("debian_section", "x\tweb\ny\tmath\n");
  OK(cz_task_baseline_outputs(outputs, arena, train, dev));
  assert_string_equal(outputs[0], "games"); /* as frequent as web, and before it */
  assert_string_equal(outputs[1], "games");
  cz_task_set_destroy(&train);
  train = load("debian_section", "a\tmath\nb\tgames\nc\tweb\nd\tgames\ne\tweb\nf\tweb\n");
  OK(cz_task_baseline_outputs(outputs, arena, train, dev));
  assert_string_equal(outputs[0], "web"); /* the most frequent, though last in the alphabet */
  cz_task_set_destroy(&train);
  cz_task_set_destroy(&dev);
  dev = load("debian_en_de", "A house.\tEin Haus.\n");
  OK(cz_task_baseline_outputs(outputs, arena, dev, dev));
  assert_string_equal(outputs[0], "A house.");
  cz_task_set_destroy(&dev);
  dev = load("debian_summarize", "1 2 3 4 5 6 7 8 9  10 11 12 13 14\tx\n1 2\ty\n");
  OK(cz_task_baseline_outputs(outputs, arena, dev, dev));
  assert_string_equal(outputs[0], "1 2 3 4 5 6 7 8 9  10 11 12");
  assert_string_equal(outputs[1], "1 2");
  cz_task_set_destroy(&dev);
  cz_arena_destroy(&arena);
}

/* The most frequent label of what is scored, of two as frequent the first in byte order; only of
 * records that may be drawn by label. */
static void test_largest_class(void **state) {
  const char *outputs[5];
  cz_arena *arena;
  bool applies;
  OK(cz_arena_create(&arena, "test"));
  cz_task_set *train = load("debian_section", "a\tmath\nb\tgames\nc\tweb\n");
  cz_task_set *dev = load("debian_section", "v\tweb\nw\tgames\nx\tweb\ny\tmath\nz\tgames\n");
  OK(cz_task_largest_class(&applies, outputs, arena, train, dev));
  assert_false(applies);
  assert_string_equal(cz_task_simple_find("largest_class")->name, "largest_class");
  assert_null(cz_task_simple_find("majority"));
  cz_task_row drawn = *dev->row;
  drawn.drawn_by_label = true;
  dev->row = &drawn;
  OK(cz_task_largest_class(&applies, outputs, arena, train, dev));
  assert_true(applies);
  for (int i = 0; i < 5; i++) assert_string_equal(outputs[i], "games");
  dev->n = 4; /* without the last: web is the most frequent, though last in the alphabet */
  OK(cz_task_largest_class(&applies, outputs, arena, train, dev));
  for (int i = 0; i < 4; i++) assert_string_equal(outputs[i], "web");
  cz_task_set_destroy(&train);
  cz_task_set_destroy(&dev);
  cz_arena_destroy(&arena);
}

static void test_keyword(void **state) {
  const char *outputs[5];
  cz_arena *arena;
  bool applies;
  OK(cz_arena_create(&arena, "test"));
  cz_task_set *train = load("debian_language", "a\tperl\nb\tperl\nc\truby\n");
  cz_task_set *dev = load("debian_language", "A library in Ruby, not perl\tperl\nrubygems\tperl\n"
                                             "for gnu-r.\tgnu-r\njavascript\tjava\n"
                                             "p\xc3\xa9rl perl\xc3\xa9 rustic\truby\n");
  OK(cz_task_keyword(&applies, outputs, arena, train, dev));
  assert_true(applies);
  assert_string_equal(outputs[0], "ruby");       /* the first that occurs, in any case */
  assert_string_equal(outputs[1], "perl");       /* a part of a word is no word: the majority */
  assert_string_equal(outputs[2], "gnu-r");      /* a label of two words */
  assert_string_equal(outputs[3], "javascript"); /* not java */
  assert_string_equal(outputs[4], "perl");
  cz_task_set_destroy(&train);
  cz_task_set_destroy(&dev);
  dev = load("debian_en_de", "A house.\tEin Haus.\n");
  OK(cz_task_keyword(&applies, outputs, arena, dev, dev));
  assert_false(applies);
  cz_task_set_destroy(&dev);
  cz_arena_destroy(&arena);
}

/* Manning, Raghavan and Schuetze 2008, example 13.1: three documents of class China, one that
 * is not; "Chinese Chinese Chinese Tokyo Japan" is China's, 0.0003 against 0.0001. */
static void test_naive_bayes(void **state) {
  const char *outputs[3];
  cz_arena *arena;
  bool applies;
  OK(cz_arena_create(&arena, "test"));
  cz_task_set *train = load("sst2", "sentence\tlabel\nChinese Beijing Chinese\t1\n"
                                    "Chinese, Chinese Shanghai\t1\nChinese Macao\t1\n"
                                    "Tokyo Japan CHINESE\t0\n");
  cz_task_set *dev = load("sst2", "sentence\tlabel\nChinese Chinese Chinese Tokyo Japan\t1\n"
                                  "Tokyo Japan unseen\t0\nunseen\t1\n");
  OK(cz_task_naive_bayes(&applies, outputs, arena, train, dev));
  assert_true(applies);
  assert_string_equal(outputs[0], "positive");
  assert_string_equal(outputs[1], "negative");
  assert_string_equal(outputs[2], "positive"); /* the prior alone */
  cz_task_set_destroy(&train);
  cz_task_set_destroy(&dev);
  cz_arena_destroy(&arena);
}

int run_score_tests(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_labels),
      cmocka_unit_test(test_numbers),
      cmocka_unit_test(test_number_grammar),
      cmocka_unit_test(test_groups),
      cmocka_unit_test(test_nouns),
      cmocka_unit_test(test_texts),
      cmocka_unit_test(test_rouge_by_sentence),
      cmocka_unit_test(test_unlabelled),
      cmocka_unit_test(test_subsample),
      cmocka_unit_test(test_baselines),
      cmocka_unit_test(test_largest_class),
      cmocka_unit_test(test_keyword),
      cmocka_unit_test(test_naive_bayes),
  };
  return cmocka_run_group_tests_name("task scores", tests, NULL, NULL);
}
