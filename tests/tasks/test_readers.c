/* The tasks that are not one line of named fields: MultiRC, ReCoRD, the Winograd tasks,
 * SQuAD, pairs; and every reader on damaged bytes. */
#include "setup.h"

#include "device/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char multirc[] =
    "{\"passage\": {\"text\": \"P\", \"questions\": [{\"question\": \"Q1\", \"answers\": "
    "[{\"text\": \"a\", \"label\": 0}, {\"text\": \"b\", "
    "\"label\": 1}]}, {\"question\": \"Q2\", \"answers\": [{\"text\": \"c\", \"label\": 1}]}]}}\n"
    "{\"passage\": {\"text\": \"R\", \"questions\": [{\"question\": \"Q3\", \"answers\": "
    "[{\"text\": \"d\"}]}]}}\n";

static void test_multirc(void **state) {
  cz_task_set *set = load("multirc", multirc);
  assert_int_equal(set->n, 4);
  assert_record(set, 1, "multirc question: Q1 answer: b paragraph: P", "True");
  assert_record(set, 3, "multirc question: Q3 answer: d paragraph: R", "<unk>");
  assert_true(set->records[0].group == set->records[1].group &&
              set->records[1].group != set->records[2].group);
  assert_true(set->records[2].group != set->records[3].group);
  cz_task_set_destroy(&set);
}

/* Entities by character, not byte; highlights closed into sentences; a training record
 * per answer, one record per query otherwise. */
static const char record[] = "{\"passage\": {\"text\": \"\\u00c9lan met Bo\\n@highlight\\nBo "
                             "left.\\n@highlight\\nEnd\", \"entities\": [{\"start\": "
                             "9, \"end\": 10}, {\"start\": 0, "
                             "\"end\": 3}, {\"start\": 23, \"end\": 24}]}, \"qas\": [{\"query\": "
                             "\"@blank left\", \"answers\": [{\"text\": \"Bo\"}, "
                             "{\"text\": \"Al\"}, {\"text\": "
                             "\"Bo\"}]}, {\"query\": \"q2\"}]}\n";

static void test_record(void **state) {
  static const char inputs[] = "record query: @blank left entities: Bo, \xc3\x89lan passage: "
                               "\xc3\x89lan met Bo. Bo left. End";
  cz_task_set *set = load("record", record);
  assert_int_equal(set->n, 2);
  assert_record(set, 0, inputs, "Al");
  assert_int_equal(set->records[0].n_answers, 2);
  assert_string_equal(set->records[0].answers[1], "Bo");
  assert_string_equal(set->records[1].targets, "<unk>");
  cz_task_set_destroy(&set);
  set = load_as("record", record, CZ_FIDELITY_PAPER, CZ_TASK_TRAIN);
  assert_int_equal(set->n, 2);
  assert_record(set, 0, inputs, "Al");
  assert_record(set, 1, inputs, "Bo");
  assert_int_equal(set->records[1].n_answers, 1);
  cz_task_set_destroy(&set);
  assert_refused(
      "record",
      "{\"passage\": {\"text\": \"ab\", \"entities\": [{\"start\": 1, \"end\": 2}]}, \"qas\": []}",
      "lies outside the passage");
  assert_refused(
      "record",
      "{\"passage\": {\"text\": \"ab\", \"entities\": [{\"start\": -1, \"end\": 0}]}, \"qas\": []}",
      "lies outside the passage");
}

static const char wsc[] = "{\"text\": \"Mark told Pete many lies about himself, which he included "
                          "in his book.\", \"target\": {\"span1_index\": 0, "
                          "\"span1_text\": \"Mark\", "
                          "\"span2_index\": 8, \"span2_text\": \"he\"}, \"label\": true}\n"
                          "{\"text\": \"He left. Then he came.\", \"target\": {\"span1_index\": 0, "
                          "\"span1_text\": \"Jo\", \"span2_index\": 2, "
                          "\"span2_text\": \"he\"}, \"label\": "
                          "false}\n";

static void test_wsc(void **state) {
  cz_task_set *set = load("wsc", wsc);
  assert_int_equal(set->n, 2);
  assert_record(set, 0,
                "wsc: Mark told Pete many lies about himself, which *he* included in his book.",
                "Mark");
  assert_record(set, 1, "wsc: He left. Then *he* came.",
                "Jo"); /* the file's count is one off: the nearest pronoun */
  assert_int_equal(set->records[1].label, 0);
  cz_task_set_destroy(&set);
  set = load_as("wsc", wsc, CZ_FIDELITY_PAPER, CZ_TASK_TRAIN);
  assert_int_equal(set->n, 1); /* only the true ones teach what a pronoun stands for */
  cz_task_set_destroy(&set);
  assert_refused("wsc",
                 "{\"text\": \"She left.\", \"target\": {\"span1_text\": \"Jo\", \"span2_index\": "
                 "0, \"span2_text\": \"he\"}, \"label\": true}",
                 "file:1: the pronoun 'he' does not occur");
}

static void test_dpr(void **state) {
  static const char file[] = "The bee landed on the flower because it had pollen. \nit\nThe "
                             "bee,the flower\nthe flower\n\nA b said it.\nit\nA,b\nA\n";
  cz_task_set *set = load("dpr", file);
  assert_int_equal(set->n, 2);
  assert_record(set, 0, "wsc: The bee landed on the flower because *it* had pollen.", "the flower");
  assert_record(set, 1, "wsc: A b said *it*.", "A");
  cz_task_set_destroy(&set);
  assert_refused("dpr", "Text it.\nit\na,b\n\n", "file:4: the record ends after 3 of 4 lines");
  assert_refused("dpr", "Text it.\nit\na,b", "the file ends after 3 of 4 lines");
  assert_refused("dpr", "Text it.\nit\na,b\nc\n",
                 "file:4: the answer 'c' is none of the candidates");
  assert_refused("dpr", "Text.\nit\na,b\na\n", "file:4: the pronoun 'it' does not occur");
}

static void test_wnli(void **state) {
  static const char file[] = "index\tsentence1\tsentence2\tlabel\n"
                             "0\tThe trophy doesn't fit into the brown suitcase because it is too "
                             "large.\tThe trophy is too large.\t1\n"
                             "1\tSteve follows Fred's example in everything. He influences him "
                             "hugely.\tSteve influences him hugely.\t0\n"
                             "2\tLily spoke to Donna, breaking her silence.\tLily spoke to Donna, "
                             "breaking Donna's silence.\t1\n";
  cz_task_set *set = load("wnli", file);
  assert_int_equal(set->n, 3);
  assert_record(set, 0,
                "wsc: The trophy doesn't fit into the brown suitcase because *it* is too large.",
                "The trophy");
  assert_record(set, 1,
                "wsc: Steve follows Fred's example in everything. *He* influences him hugely.",
                "Steve");
  assert_record(set, 2, "wsc: Lily spoke to Donna, breaking *her* silence.", "Donna");
  assert_int_equal(set->records[1].label, 0);
  cz_task_set_destroy(&set);
  assert_refused("wnli", "sentence1\tsentence2\tlabel\nNobody.\tNo one.\t1\n",
                 "file:2:17: no pronoun");
}

static void test_squad(void **state) {
  static const char file[] = "{\"data\": [{\"paragraphs\": [{\"context\": \" One\\n two \", "
                             "\"qas\": [{\"question\": \"Q\", \"answers\": [{\"text\": \"two\"}, "
                             "{\"text\": \"One\"}]}, {\"question\": \"R\", \"answers\": []}]}]}]}";
  cz_task_set *set = load("squad", file);
  assert_int_equal(set->n, 2);
  assert_record(set, 0, "question: Q context: One two", "two");
  assert_int_equal(set->records[0].n_answers, 2);
  assert_string_equal(set->records[0].source, "One two");
  assert_record(set, 1, "question: R context: One two", "<unk>");
  cz_task_set_destroy(&set);
}

static void test_pairs(void **state) {
  cz_task_set *set = load("debian_section", "A game.\tgames\n_ plots.\tscience\n");
  assert_int_equal(set->n, 2);
  assert_record(set, 1, "section description: _ plots.", "science");
  assert_string_equal(set->records[1].source, "_ plots.");
  assert_int_equal(set->records[1].label, 1);
  cz_task_set_destroy(&set);
  set = load("debian_summarize", "A long text.\ta text\n");
  assert_record(set, 0, "summarize: A long text.", "a text");
  cz_task_set_destroy(&set);
  set = load("debian_en_de", "A house.\tEin Haus.\n");
  assert_record(set, 0, "translate English to German: A house.", "Ein Haus.");
  cz_task_set_destroy(&set);
  set = load("cnn_dm", "{\"article\": \"News .\", \"highlights\": \"Short .\"}\n");
  assert_record(set, 0, "summarize: News .", "Short .");
  cz_task_set_destroy(&set);
  assert_refused("debian_section", "A game.\tgame\n",
                 "file:1:9: unknown label 'game'; did you mean 'games'?");
  assert_refused("debian_section", "A game.\tgames\tsrc\textra\n", "file:1:19: 4 fields");
  assert_refused("debian_section", "A game. games\n", "file:1:1: 1 fields");
  assert_refused("debian_summarize", "\ttext\n", "file:1:1: the input is empty");
  assert_refused("debian_summarize", "text\t\n", "file:1:6: the target is empty");
}

/* The source package of a record is a third column, which a file has or has not. */
static void test_origins(void **state) {
  cz_task_set *set = load("debian_section", "A game.\tgames\tsrc a\n_ plots.\tscience\tsrc-b\n"
                                            "Another game.\tgames\tsrc a\n");
  assert_int_equal(set->n, 3);
  assert_record(set, 2, "section description: Another game.", "games");
  assert_string_equal(set->records[0].origin, "src a");
  assert_string_equal(set->records[1].origin, "src-b");
  assert_string_equal(set->records[2].origin, "src a");
  assert_true(set->records[0].group != set->records[2].group); /* no score takes them together */
  cz_task_set_destroy(&set);
  set = load("debian_section", "A game.\tgames\n");
  assert_null(set->records[0].origin);
  cz_task_set_destroy(&set);
  assert_refused("debian_section", "A.\tgames\ts\nB.\tgames\n",
                 "file:2: 2 fields, the first line has 3");
  assert_refused("debian_section", "A.\tgames\nB.\tgames\ts\n",
                 "file:2: 3 fields, the first line has 2");
  assert_refused("debian_section", "A.\tgames\t\n", "file:1:10: the source is empty");
  set = load("multirc", multirc); /* passages P with two questions and R */
  for (size_t i = 0; i < set->n; i++) {
    bool first = strstr(set->records[i].inputs, "paragraph: P") != NULL;
    assert_int_equal(!strcmp(set->records[i].origin, set->records[0].origin), first);
  }
  assert_true(set->records[0].group != set->records[2].group);
  cz_task_set_destroy(&set);
}

static void test_parallel(void **state) {
  const cz_task_config config = {0};
  cz_task_set *set;
  write_text("wmt.en", "One.\n\nThree.\n");
  write_text("wmt.de", "Eins.\nZwei.\nDrei.\n");
  OK(try_load(&set, "wmt_en_de", &config, under("wmt"), CZ_TASK_TRAIN));
  assert_int_equal(set->n, 2); /* an empty line has no translation */
  assert_record(set, 1, "translate English to German: Three.", "Drei.");
  cz_task_set_destroy(&set);
  write_text("wmt.de", "Eins.\nZwei.\n");
  assert_int_equal(try_load(&set, "wmt_en_de", &config, under("wmt"), CZ_TASK_TRAIN), CZ_EINVAL);
  assert_non_null(strstr(cz_error_message(), "wmt.de ends after line 2"));
  assert_int_equal(try_load(&set, "wmt_en_ro", &config, under("wmt"), CZ_TASK_TRAIN), CZ_EIO);
  assert_non_null(strstr(cz_error_message(), "wmt.ro"));
}

/* Every reader on cut and changed files: any status, no crash, and a set exactly when all
 * is well. */
static void test_damaged_files(void **state) {
  static const struct {
    const char *task, *file;
  } whole[] = {
      {"multirc", multirc},
      {"record", record},
      {"wsc", "{\"text\": \"Al said he ran.\", \"target\": {\"span1_text\": \"Al\", "
              "\"span2_index\": 2, \"span2_text\": \"he\"}, \"label\": true}"},
      {"dpr", "The bee saw it.\nit\nThe bee,a\na\n\n"},
      {"wnli", "sentence1\tsentence2\tlabel\nThe cat saw it and ran.\tThe cat saw the dog.\t1\n"},
      {"squad", "{\"data\": [{\"paragraphs\": [{\"context\": \"c d\", \"qas\": [{\"question\": "
                "\"q\", \"answers\": [{\"text\": \"d\"}]}]}]}]}"},
      {"mnli", "index\tsentence1\tsentence2\tgold_label\n0\tA\tB\tneutral\n"},
      {"stsb", "sentence1\tsentence2\tscore\nA\tB\t2.5\n"},
      {"cola", "x\t1\t\tText.\n"},
      {"debian_language", "A library.\tgnu-r\n"},
      {"tsv", "a\tb\nc\td\n"},
      {"csv", "\"a, \"\"b\"\"\nc\",d\ne,f\n"}};
  cz_stream s;
  cz_stream_init(&s, test_seed(), "damage", 0, 0);
  for (size_t w = 0; w < sizeof whole / sizeof *whole; w++) {
    const cz_task_config config = task_config(whole[w].task, NULL, 0);
    for (int trial = 0; trial < 150; trial++) {
      char bytes[2048];
      size_t n = strlen(whole[w].file);
      memcpy(bytes, whole[w].file, n);
      if (trial % 3 == 0) n = cz_stream_below(&s, n) + 1;
      for (int k = 0; k < trial % 4; k++)
        bytes[cz_stream_below(&s, n)] = (char)(trial % 2 ? "\t\n\"{},:\\x"[cz_stream_below(&s, 9)]
                                                         : (int)cz_stream_below(&s, 256));
      const char *path = write_bytes("file", bytes, n);
      cz_task_set *set = NULL;
      cz_status st = try_load(&set, whole[w].task, &config, path,
                              trial % 2 ? CZ_TASK_TRAIN : CZ_TASK_EVALUATE);
      assert_true((st == CZ_OK) == (set != NULL));
      if (st != CZ_OK) assert_true(st == CZ_EINVAL && strstr(cz_error_message(), "file"));
      cz_task_set_destroy(&set);
    }
  }
}

int run_reader_tests(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_origins),  cmocka_unit_test(test_multirc),
      cmocka_unit_test(test_record),   cmocka_unit_test(test_wsc),
      cmocka_unit_test(test_dpr),      cmocka_unit_test(test_wnli),
      cmocka_unit_test(test_squad),    cmocka_unit_test(test_pairs),
      cmocka_unit_test(test_parallel), cmocka_unit_test(test_damaged_files),
  };
  return cmocka_run_group_tests_name("readers", tests, NULL, NULL);
}
