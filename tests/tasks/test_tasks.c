/* The list of tasks, and GLUE and SuperGLUE's uniform formats against docs/t5.md
 * 7.1. */
#include "setup.h"

#include "tasks/score.h"

#include <stdio.h>
#include <string.h>

static void test_list(void **state) {
  const cz_task_row *row;
  for (size_t i = 0; i < cz_task_count; i++) {
    const cz_task_row *r = cz_task_rows[i];
    OK(cz_task_find(&row, r->name));
    assert_ptr_equal(row, r);
    assert_true(r->help && r->read && r->format && r->section.n_keys >= 4);
    if (strcmp(r->name, "tsv") && strcmp(r->name, "csv"))
      assert_true(r->metrics[0] != CZ_METRIC_NONE);
    if (r->comparison == CZ_COMPARE_LABEL || r->comparison == CZ_COMPARE_NOUN)
      assert_non_null(r->labels);
    if (r->baseline == CZ_BASELINE_LEAD) assert_true(r->lead_words > 0);
  }
  assert_int_equal(cz_task_find(&row, "sst-2"), CZ_EUSAGE);
  assert_non_null(strstr(cz_error_message(), "did you mean 'sst2'"));
  assert_int_equal(cz_task_find(&row, "question answering in Latin"), CZ_EUSAGE);
  assert_non_null(strstr(cz_error_message(), "squad"));
}

typedef struct sample {
  const char *task, *file, *inputs, *targets;
} sample;

static void check(const sample *samples, size_t n) {
  for (size_t i = 0; i < n; i++) {
    cz_task_set *set = load(samples[i].task, samples[i].file);
    assert_int_equal(set->n, 1);
    assert_record(set, 0, samples[i].inputs, samples[i].targets);
    cz_task_set_destroy(&set);
    assert_null(set);
  }
}

static void test_glue(void **state) {
  static const sample samples[] = {
      {"cola", "gj04\t1\t\tOne more pseudo generalization.\n",
       "cola sentence: One more pseudo generalization.", "acceptable"},
      {"cola", "bc01\t0\t*\tThe man he slept.", "cola sentence: The man he slept.", "unacceptable"},
      {"cola", "index\tsentence\n0\tBill left.\n", "cola sentence: Bill left.", "<unk>"},
      {"sst2", "sentence\tlabel\na gem \t1\n", "sst2 sentence: a gem ", "positive"},
      {"sst2", "index\tsentence\n7\tawful\n", "sst2 sentence: awful", "<unk>"},
      {"mrpc",
       "\xef\xbb\xbfQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n0\t1\t2\tHe said \"no\t\"No\" "
       "he said\r\n",
       "mrpc sentence1: He said \"no sentence2: \"No\" he said", "not_equivalent"},
      {"qqp", "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n0\t1\t2\tWhy?\tHow?\t1\n",
       "qqp question1: Why? question2: How?", "duplicate"},
      {"mnli",
       "index\tgenre\tsentence1\tsentence2\tlabel1\tgold_label\n0\tx\tP p\tH "
       "h\tneutral\tcontradiction\n",
       "mnli hypothesis: H h premise: P p", "contradiction"},
      {"ax", "index\tsentence1\tsentence2\n0\tP\tH\n", "mnli hypothesis: H premise: P", "<unk>"},
      {"qnli", "index\tquestion\tsentence\tlabel\n0\tQ\tS\tnot_entailment\n",
       "qnli question: Q sentence: S", "not_entailment"},
      {"rte", "index\tsentence1\tsentence2\tlabel\n0\tA\tB\tentailment\n",
       "rte sentence1: A sentence2: B", "entailment"},
      {"stsb", "index\tsentence1\tsentence2\tscore\n0\tA\tB\t3.800\n",
       "stsb sentence1: A sentence2: B", "3.8"},
      {"stsb", "index\tsentence1\tsentence2\n0\tA\tB\n", "stsb sentence1: A sentence2: B", "<unk>"},
  };
  check(samples, sizeof samples / sizeof *samples);
}

/* Nearest fifth, halves to even: 2.5 x 5 = 12.5 gives 12, hence 2.4. */
static void test_scores_in_words(void **state) {
  static const char *const pairs[][2] = {{"0", "0.0"},   {"0.1", "0.0"}, {"0.3", "0.4"},
                                         {"2.5", "2.4"}, {"4.9", "4.8"}, {"4.95", "5.0"},
                                         {"5", "5.0"}};
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
    char file[128];
    snprintf(file, sizeof file, "sentence1\tsentence2\tscore\na\tb\t%s\n", pairs[i][0]);
    cz_task_set *set = load("stsb", file);
    assert_string_equal(set->records[0].targets, pairs[i][1]);
    cz_task_set_destroy(&set);
  }
}

/* The file of QQP has damaged lines; TFDS leaves them out, and so do we, aloud. No other
 * file is forgiven. */
static void test_short_lines(void **state) {
  cz_task_set *set = load("qqp", "id\tquestion1\tquestion2\tis_duplicate\n0\tA\n1\tB\tC\t0\n");
  assert_int_equal(set->n, 1);
  assert_record(set, 0, "qqp question1: B question2: C", "not_duplicate");
  cz_task_set_destroy(&set);
  assert_refused("qqp", "id\tquestion1\tquestion2\tis_duplicate\n0\tA\tB\t1\tmore\n",
                 "file:2:9: 5 fields, expected 4");
  assert_refused("rte", "index\tsentence1\tsentence2\tlabel\n0\tA\tB\tentailment\n1\tA\n",
                 "file:3:3: 2 fields, expected 4");
}

static void test_superglue(void **state) {
  static const sample samples[] = {
      {"boolq", "{\"question\": \"is it\", \"passage\": \"It is.\", \"idx\": 0, \"label\": true}\n",
       "boolq passage: It is. question: is it", "True"},
      {"boolq", "{\"question\": \"is it\", \"passage\": \"It is.\", \"idx\": 0}\n",
       "boolq passage: It is. question: is it", "<unk>"},
      {"cb", "{\"premise\": \"P\", \"hypothesis\": \"H\", \"label\": \"neutral\"}",
       "cb hypothesis: H premise: P", "neutral"},
      {"superglue_rte",
       "{\"premise\": \"P\", \"hypothesis\": \"H\", \"label\": \"not_entailment\"}",
       "rte hypothesis: H premise: P", "not_entailment"},
      {"axb", "{\"sentence1\": \"P\", \"sentence2\": \"H\", \"label\": \"entailment\"}",
       "rte hypothesis: H premise: P", "entailment"},
      {"axg", "{\"premise\": \"P\", \"hypothesis\": \"H\", \"label\": \"entailment\"}",
       "rte hypothesis: H premise: P", "entailment"},
      {"wic",
       "{\"word\": \"w\", \"sentence1\": \"a\", \"sentence2\": \"b\", \"start1\": 3, \"label\": "
       "false}",
       "wic sentence1: a sentence2: b word: w", "False"},
  };
  check(samples, sizeof samples / sizeof *samples);
}

/* Where appendix D of the paper and the code differ (t5.md 0.12). */
static void test_fidelity(void **state) {
  static const char copa[] = "{\"premise\": \"P\", \"choice1\": \"A\", \"choice2\": \"B\", "
                             "\"question\": \"cause\", \"label\": 1}";
  static const char wic[] = "{\"word\": \"w\", \"pos\": \"N\", \"sentence1\": \"a\", "
                            "\"sentence2\": \"b\", \"label\": true}";
  static const struct {
    const char *task, *file, *inputs[2], *targets[2];
  } cases[] = {
      {"copa",
       copa,
       {"copa choice1: A choice2: B premise: P question: cause",
        "copa choice1: A choice2: B premise: P question: cause"},
       {"True", "choice2"}},
      {"wic",
       wic,
       {"wic pos: N sentence1: a sentence2: b word: w", "wic sentence1: a sentence2: b word: w"},
       {"True", "True"}},
      {"multirc",
       "{\"passage\": {\"text\": \"<b>Sent 1: </b>It.<br>So.\", \"questions\": [{\"question\": "
       "\"Q\", \"answers\": [{\"text\": \"A\", \"label\": "
       "1}]}]}}",
       {"multirc question: Q answer: A paragraph: <b>Sent 1: </b>It.<br>So.",
        "multirc question: Q answer: A paragraph: Sent 1: It. So."},
       {"True", "True"}},
      {"squad",
       "{\"data\": [{\"paragraphs\": [{\"context\": \"It  cost $3, no_more (\\u00e9t\\u00e9).\", "
       "\"qas\": [{\"question\": \"How much?\", "
       "\"answers\": "
       "[{\"text\": \"$3\"}]}]}]}]}",
       {"question: How much? context: It cost $3, no_more (\xc3\xa9t\xc3\xa9).",
        "question: How much ? context: It cost $ 3 , no_more ( \xc3\xa9t\xc3\xa9 ) ."},
       {"$3", "$ 3"}},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (int code = 0; code < 2; code++) {
      cz_task_set *set = load_as(cases[i].task, cases[i].file,
                                 code ? CZ_FIDELITY_CODE : CZ_FIDELITY_PAPER, CZ_TASK_TRAIN);
      assert_record(set, 0, cases[i].inputs[code], cases[i].targets[code]);
      cz_task_set_destroy(&set);
    }
}

/* The first lines of the files as GLUE and SuperGLUE distribute them, with small made-up
 * records: for training, and as test files without answers. */
static void test_official_headers(void **state) {
  static const struct {
    const char *task, *file, *inputs, *target; /* target null: a test file */
  } cases[] = {
      {"cola", "gj04\t1\t\tThey ran.\n", "cola sentence: They ran.", "acceptable"},
      {"cola", "index\tsentence\n0\tThey ran.\n", "cola sentence: They ran.", NULL},
      {"sst2", "sentence\tlabel\nfine \t1\n", "sst2 sentence: fine ", "positive"},
      {"sst2", "index\tsentence\n0\tfine\n", "sst2 sentence: fine", NULL},
      {"mrpc", "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t7\t8\tA\tB\n",
       "mrpc sentence1: A sentence2: B", "equivalent"},
      {"mrpc", "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t7\t8\tA\tB\n",
       "mrpc sentence1: A sentence2: B", NULL},
      {"stsb",
       "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n"
       "0\tg\tf\t2012\t1\tn\tn\tA\tB\t3.300\n",
       "stsb sentence1: A sentence2: B", "3.2"},
      {"stsb",
       "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\n"
       "0\tg\tf\t2012\t1\tn\tn\tA\tB\n",
       "stsb sentence1: A sentence2: B", NULL},
      {"qqp", "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n0\t1\t2\tA\tB\t0\n",
       "qqp question1: A question2: B", "not_duplicate"},
      {"qqp", "id\tquestion1\tquestion2\n0\tA\tB\n", "qqp question1: A question2: B", NULL},
      {"mnli",
       "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\t"
       "sentence1_parse\tsentence2_parse\tsentence1\tsentence2\tlabel1\tgold_label\n"
       "0\t1\t1\tg\tp\tp\tp\tp\tP\tH\tneutral\tneutral\n",
       "mnli hypothesis: H premise: P", "neutral"},
      {"mnli",
       "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\t"
       "sentence1_parse\tsentence2_parse\tsentence1\tsentence2\tlabel1\tlabel2\tlabel3\tlabel4\t"
       "label5\tgold_label\n0\t1\t1\tg\tp\tp\tp\tp\tP\tH\tn\tn\tn\tn\tn\tentailment\n",
       "mnli hypothesis: H premise: P", "entailment"},
      {"mnli",
       "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\t"
       "sentence1_parse\tsentence2_parse\tsentence1\tsentence2\n0\t1\t1\tg\tp\tp\tp\tp\tP\tH\n",
       "mnli hypothesis: H premise: P", NULL},
      {"qnli", "index\tquestion\tsentence\tlabel\n0\tQ\tS\tnot_entailment\n",
       "qnli question: Q sentence: S", "not_entailment"},
      {"qnli", "index\tquestion\tsentence\n0\tQ\tS\n", "qnli question: Q sentence: S", NULL},
      {"rte", "index\tsentence1\tsentence2\tlabel\n0\tA\tB\tentailment\n",
       "rte sentence1: A sentence2: B", "entailment"},
      {"rte", "index\tsentence1\tsentence2\n0\tA\tB\n", "rte sentence1: A sentence2: B", NULL},
      {"wnli", "index\tsentence1\tsentence2\tlabel\n0\tJo left as he ran.\tJo ran.\t1\n",
       "wsc: Jo left as *he* ran.", "Jo"},
      {"wnli", "index\tsentence1\tsentence2\n0\tJo left as he ran.\tJo ran.\n",
       "wsc: Jo left as *he* ran.", NULL},
      {"ax", "index\tsentence1\tsentence2\n0\tP\tH\n", "mnli hypothesis: H premise: P", NULL},
      {"ax",
       "Lexical Semantics\tPredicate-Argument Structure\tLogic\tKnowledge\tDomain\tPremise\t"
       "Hypothesis\tLabel\n\tx\t\t\tNews\tP\tH\tcontradiction\n",
       "mnli hypothesis: H premise: P", "contradiction"},
      {"boolq", "{\"question\": \"q\", \"passage\": \"p\", \"idx\": 0, \"label\": false}\n",
       "boolq passage: p question: q", "False"},
      {"boolq", "{\"question\": \"q\", \"passage\": \"p\", \"idx\": 0}\n",
       "boolq passage: p question: q", NULL},
      {"cb", "{\"premise\": \"P\", \"hypothesis\": \"H\", \"label\": \"neutral\", \"idx\": 0}\n",
       "cb hypothesis: H premise: P", "neutral"},
      {"copa",
       "{\"premise\": \"P\", \"choice1\": \"A\", \"choice2\": \"B\", \"question\": \"cause\", "
       "\"label\": 0, \"idx\": 0}\n",
       "copa choice1: A choice2: B premise: P question: cause", "False"},
      {"superglue_rte",
       "{\"premise\": \"P\", \"hypothesis\": \"H\", \"label\": \"entailment\", \"idx\": 0}\n",
       "rte hypothesis: H premise: P", "entailment"},
      {"wic",
       "{\"word\": \"w\", \"sentence1\": \"a\", \"sentence2\": \"b\", \"idx\": 0, \"label\": true, "
       "\"start1\": 0, \"start2\": 0, \"end1\": 1, \"end2\": 1, \"version\": 1.1}\n",
       "wic sentence1: a sentence2: b word: w", "True"},
      {"wsc",
       "{\"text\": \"Jo ran as he left.\", \"target\": {\"span2_index\": 3, \"span1_index\": 0, "
       "\"span1_text\": \"Jo\", \"span2_text\": \"he\"}, \"idx\": 0}\n",
       "wsc: Jo ran as *he* left.", NULL},
      {"axb",
       "{\"idx\": 0, \"label\": \"entailment\", \"sentence1\": \"P\", \"sentence2\": \"H\", "
       "\"logic\": \"Negation\"}\n",
       "rte hypothesis: H premise: P", "entailment"},
      {"axg",
       "{\"premise\": \"P\", \"hypothesis\": \"H\", \"label\": \"not_entailment\", \"idx\": 0, "
       "\"pair_id\": 1}\n",
       "rte hypothesis: H premise: P", "not_entailment"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    cz_task_set *set = load(cases[i].task, cases[i].file);
    assert_int_equal(set->n, 1);
    assert_string_equal(set->records[0].inputs, cases[i].inputs);
    if (cases[i].target) {
      assert_string_equal(set->records[0].targets, cases[i].target);
      OK(cz_task_answered(set));
    } else { /* a message that says what is missing, and where */
      assert_int_equal(cz_task_answered(set), CZ_EINVAL);
      if (!strstr(cz_error_message(), "file:1: ") || !strstr(cz_error_message(), "so "))
        fail_msg("%s: %s", cases[i].task, cz_error_message());
    }
    cz_task_set_destroy(&set);
  }
}

/* CR, LF, CR LF and CR CR LF end a line; blank lines are no records, and lines keep their
 * numbers; NUL bytes are refused with their place. */
static void test_line_ends(void **state) {
  static const char *const ends[] = {"\n", "\r", "\r\n", "\r\r\n"};
  static const struct {
    const char *task, *lines[4], *wrong, *message;
  } cases[] = {
      {"sst2", {"sentence\tlabel", "a\t1", "b\t0", "c\t1"}, "d\t7", "file:7:3: unknown label '7'"},
      {"debian_summarize", {"w\tx", "a\tb", "c\td", "e\tf"}, "g", "file:7:1: 1 fields"},
      {"boolq",
       {"{\"question\": \"q\", \"passage\": \"p\"}", "{\"question\": \"q\", \"passage\": \"p\"}",
        "{\"question\": \"q\", \"passage\": \"p\"}", "{\"question\": \"q\", \"passage\": \"p\"}"},
       "{\"question\": 1}",
       "file:7: \"passage\" is missing"},
      {"wnli",
       {"sentence1\tsentence2\tlabel", "Jo left as he ran.\tJo ran.\t1",
        "Jo left as he ran.\tJo ran.\t1", "Jo left as he ran.\tJo ran.\t1"},
       "Jo",
       "file:7:1: 1 fields"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (size_t e = 0; e < 4; e++) {
      char text[1024];
      const char *const *l = cases[i].lines, *end = ends[e];
      size_t records = l[0][0] == 's' ? 3 : 4;
      snprintf(text, sizeof text, "%s%s%s%s \t%s%s%s%s%s%s", l[0], end, l[1], end, end, l[2], end,
               l[3], end, end);
      cz_task_set *set = load(cases[i].task, text);
      assert_int_equal(set->n, records);
      cz_task_set_destroy(&set);
      strcat(text, cases[i].wrong);
      assert_refused(cases[i].task, text, cases[i].message);
    }
}

static void test_wrong_files(void **state) {
  static const struct {
    const char *task, *file, *message;
  } cases[] = {
      {"sst2", NULL, "missing"},
      {"sst2", "", "the file is empty"},
      {"sst2", "sentence\tlabel\n", "no record of task sst2"},
      {"sst2", "sentence\tlabel\nfine\t1\nb\xc3(\t0\n",
       "file:3:2: the byte 0xc3 does not belong in a UTF-8"},
      {"sst2", "sentence\tlabel\nfine\t2\n", "file:2:6: unknown label '2'"},
      {"sst2", "sentence\tlabel\nfine\t\n", "file:2:6: the label is empty"},
      {"sst2", "text\tlabel\nfine\t1\n", "file:1: the header has no column 'sentence'"},
      {"rte", "index\tsentence1\tsentence2\tlabel\n0\tA\tB\tentailmnet\n",
       "file:2:7: unknown label 'entailmnet'; did you mean 'entailment'?"},
      {"stsb", "sentence1\tsentence2\tscore\na\tb\tvery\n",
       "file:2:5: expected a score, found 'very'"},
      {"stsb", "sentence1\tsentence2\tscore\na\tb\t5.1\n", "not between 0 and 5"},
      {"boolq", "{\"question\": \"q\", \"passage\": 3, \"label\": true}\n",
       "file:1: \"passage\" is a whole number, expected a text"},
      {"boolq", "{\"question\": \"q\", \"label\": true}\n", "file:1: \"passage\" is missing"},
      {"boolq",
       "{\"question\": \"q\", \"passage\": \"p\", \"label\": true}\n{\"question\": \"q\" \"p\"}\n",
       "file:2:"},
      {"boolq", "[1]\n", "file:1:1: expected a JSON object"},
      {"boolq", "{\"question\": \"q\", \"passage\": \"p\", \"label\": [1]}\n",
       "\"label\" is a list, expected a text"},
      {"boolq", "{\"question\": \"q\", \"passage\": \"p\", \"label\": \"maybe\"}\n",
       "unknown label 'maybe'"},
      {"multirc",
       "{\"passage\": {\"text\": \"t\", \"questions\": [{\"question\": \"q\", \"answers\": "
       "[{\"text\": \"a\", \"label\": 5}]}]}}",
       "file:1: question 1: unknown"},
      {"squad", "{\"data\": [{\"paragraphs\": [{\"context\": \"c\", \"qas\": [{}]}]}]}",
       "file: article 1, paragraph 1, question 1: \"question\" is missing"},
      {"squad", "{\"data\":\n [}", "file:2:"},
      {"squad", "{\"data\": []}", "no record"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    assert_refused(cases[i].task, cases[i].file, cases[i].message);
}

int main(void) {
  if (make_folder(NULL)) return 1;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_list),
      cmocka_unit_test(test_glue),
      cmocka_unit_test(test_scores_in_words),
      cmocka_unit_test(test_short_lines),
      cmocka_unit_test(test_superglue),
      cmocka_unit_test(test_fidelity),
      cmocka_unit_test(test_official_headers),
      cmocka_unit_test(test_line_ends),
      cmocka_unit_test(test_wrong_files),
  };
  int failed = cmocka_run_group_tests_name("tasks", tests, NULL, NULL) + run_reader_tests() +
               run_custom_tests() + run_score_tests();
  return failed + drop_folder(NULL);
}
