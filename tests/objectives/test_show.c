/* `cloze objective` from its words to its output: the example of the paper's Table 3 in
 * every objective, and what it says to wrong input. */
#include "setup.h"

#include "base/fs.h"
#include "commands/commands.h"
#include "objectives/vocabulary.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *tokenizer, *text, *ids, *output;

/* The example of the paper's Table 3 and single letters; sentinels run downwards from the
 * last id, as in T5, or upwards. */
static const char *const words[] = {"▁Thank", "▁you",  "▁for",  "▁inviting", "▁me", "▁to", "▁your",
                                    "▁party", "▁last", "▁week", "▁.",        "▁",   "a",   "b"};
enum {
  WORDS = sizeof words / sizeof *words,
  FIRST = 3,
  SENTINELS = 40,
  SIZE = FIRST + WORDS + SENTINELS
};

static void write_tokenizer(const char *path, bool upwards) {
  cz_buf b = {0};
  OK(cz_buf_addf(&b,
                 "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":["));
  static const char *const special[] = {"<pad>", "</s>", "<unk>"};
  static const char *const flags = "\"special\":true,\"single_word\":false,\"lstrip\":false,"
                                   "\"rstrip\":false,\"normalized\":false";
  for (int i = 0; i < FIRST; i++)
    OK(cz_buf_addf(&b, "%s{\"id\":%d,\"content\":\"%s\",%s}", i ? "," : "", i, special[i], flags));
  for (int k = 0; k < SENTINELS; k++)
    OK(cz_buf_addf(&b, ",{\"id\":%d,\"content\":\"<extra_id_%d>\",%s}", FIRST + WORDS + k,
                   upwards ? k : SENTINELS - 1 - k, flags));
  OK(cz_buf_addf(
      &b, "],\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"▁\","
          "\"prepend_scheme\":\"always\",\"split\":true},"
          "\"post_processor\":null,\"decoder\":{\"type\":\"Metaspace\",\"replacement\":\"▁\","
          "\"prepend_scheme\":\"always\",\"split\":true},"
          "\"model\":{\"type\":\"Unigram\",\"unk_id\":2,\"byte_fallback\":false,\"vocab\":["));
  for (int i = 0; i < FIRST; i++) OK(cz_buf_addf(&b, "[\"%s\",0.0],", special[i]));
  for (int i = 0; i < WORDS; i++)
    OK(cz_buf_addf(&b, "%s[\"%s\",-%d.0]", i ? "," : "", words[i], i + 1));
  OK(cz_buf_addf(&b, "]}}"));
  OK(cz_fs_write_atomic(path, b.data, b.len));
  cz_buf_free(&b);
}

/* Runs the command with standard output going to a file; RESULT gets it. */
static cz_status run(cz_buf *result, int argc, const char *const *argv) {
  char *copy[16];
  for (int i = 0; i < argc; i++) copy[i] = (char *)argv[i]; /* the command changes no word */
  fflush(stdout);
  int kept = dup(STDOUT_FILENO);
  FILE *f = fopen(output, "w");
  assert_non_null(f);
  dup2(fileno(f), STDOUT_FILENO);
  cz_status st = cz_command_objective(argc, copy);
  fflush(stdout);
  dup2(kept, STDOUT_FILENO);
  close(kept);
  fclose(f);
  result->len = 0;
  OK(cz_fs_read(output, result));
  return st;
}

#define RUN(result, ...)                                                                           \
  run((result), sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *),                       \
      (const char *const[]){__VA_ARGS__})

static void refuse(cz_status code, const char *message, cz_status found) {
  assert_int_equal(found, code);
  if (!strstr(cz_error_message(), message))
    fail_msg("'%s' is not in: %s", message, cz_error_message());
}

static void test_ids_as_json(void **state) {
  cz_buf out = {0};
  write_text(ids, "[3,4,5,6,7,8,9,10,11,12,13]\n[]\n[3]");
  OK(RUN(&out, "objective", "random_spans", "--tokenizer", tokenizer, "--ids", ids, "--json"));
  /* t5.md 3.3 (c): eleven tokens at 15 % and mean 3 lose the last two; one token keeps it
   * and writes a sentinel */
  assert_string_equal(
      out.data, "{\"inputs\": [3, 4, 5, 6, 7, 8, 9, 10, 11, 56, 1], \"targets\": [56, 12, 13, 1]}\n"
                "{\"inputs\": [], \"targets\": []}\n"
                "{\"inputs\": [3, 1], \"targets\": [56, 1]}\n");
  OK(RUN(&out, "objective", "--json", "lm", "--ids", ids, "--tokenizer", tokenizer));
  assert_string_equal(out.data,
                      "{\"inputs\": [], \"targets\": [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 1]}\n"
                      "{\"inputs\": [], \"targets\": []}\n{\"inputs\": [], \"targets\": [3, 1]}\n");
  cz_buf_free(&out);
}

/* Sentinels are found by name wherever their ids lie. */
static void test_sentinels_upwards(void **state) {
  cz_buf out = {0};
  const char *other = under("up.json");
  write_tokenizer(other, true);
  write_text(ids, "[3,4,5,6,7,8,9,10,11,12,13,3,4,5,6,7,8,9,10,11,12,13]\n");
  OK(RUN(&out, "objective", "iid_replace_spans", "noise_density=1", "--tokenizer", other, "--ids",
         ids, "--json"));
  assert_non_null(strstr(out.data, "{\"inputs\": [17, 1], "));
  OK(RUN(&out, "objective", "random_spans", "noise_density=0.3", "mean_noise_span_length=2",
         "--tokenizer", other, "--ids", ids, "--json"));
  assert_non_null(strstr(out.data, " 17, "));
  assert_non_null(strstr(out.data, " 18, "));
  cz_buf_free(&out);
}

/* The length table of t5.md 3.3 through the command, with nothing but the keys said. */
static void test_full_length(void **state) {
  cz_buf out = {0}, list = {0};
  OK(cz_buf_addf(&list, "["));
  for (int i = 0; i < 568; i++) OK(cz_buf_addf(&list, "%s%d", i ? ", " : "", FIRST + i % WORDS));
  OK(cz_buf_addf(&list, "]\n"));
  OK(cz_fs_write_atomic(ids, list.data, list.len));
  OK(RUN(&out, "objective", "random_spans", "noise_density=0.15", "mean_noise_span_length=3",
         "--tokenizer", tokenizer, "--ids", ids, "--json", "--seed", "7"));
  json_t *example = json_loads(out.data, 0, NULL);
  assert_non_null(example);
  const char *const sides[] = {"inputs", "targets"};
  for (int s = 0; s < 2; s++) {
    const json_t *side = json_object_get(example, sides[s]);
    int sentinels = 0;
    for (size_t i = 0; i < json_array_size(side); i++)
      sentinels += json_integer_value(json_array_get(side, i)) == SIZE - 1 - sentinels;
    assert_int_equal(json_array_size(side), s ? 114 : 512);
    assert_int_equal(sentinels, 28);
  }
  assert_int_equal(json_integer_value(json_array_get(json_object_get(example, "inputs"), 0)),
                   FIRST);
  json_decref(example);
  cz_buf_free(&out);
  cz_buf_free(&list);
}

static void test_seeds(void **state) {
  cz_buf a = {0}, b = {0};
  write_text(ids, "[3,4,5,6,7,8,9,10,11,12,13,3,4,5,6,7,8,9,10,11,12,13]\n");
  OK(RUN(&a, "objective", "deshuffling", "--tokenizer", tokenizer, "--ids", ids, "--json"));
  OK(RUN(&b, "objective", "deshuffling", "--tokenizer", tokenizer, "--ids", ids, "--json", "--seed",
         "0"));
  assert_string_equal(a.data, b.data);
  OK(RUN(&b, "objective", "deshuffling", "--tokenizer", tokenizer, "--ids", ids, "--json", "--seed",
         "1"));
  assert_string_not_equal(a.data, b.data);
  cz_buf_free(&a);
  cz_buf_free(&b);
}

/* Text is split into documents at blank lines; without a terminal marks stand for
 * colours. */
static void test_readable(void **state) {
  cz_buf out = {0};
  write_text(text,
             "\n \nThank you for inviting me\nto your party last week .\n\n  \nThank you .\n");
  OK(RUN(&out, "objective", "random_spans", "--tokenizer", tokenizer, "--text", text));
  assert_non_null(strstr(out.data, "document 2: 3 tokens -> 4 inputs, 3 targets\n"
                                   "  inputs   Thank you <extra_id_0> </s>\n"
                                   "  targets  <extra_id_0> . </s>\n"));
  assert_non_null(strstr(out.data, "document 1: "));
  OK(RUN(&out, "objective", "bert_style", "noise_density=1", "random_token_probability=1",
         "--tokenizer", tokenizer, "--text", text));
  assert_non_null(strstr(out.data, "*"));
  assert_null(strstr(out.data, "\033["));
  cz_buf_free(&out);
}

/* A tokenizer like BERT's: [PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3, [MASK] 4, then words. */
static void write_bert(const char *path) {
  static const char *const tokens[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]",
                                       "thank", "you",   "for",   "in",    "##vite"};
  enum { ALL = sizeof tokens / sizeof *tokens, SPECIAL_ONES = 5 };
  cz_buf b = {0};
  OK(cz_buf_addf(&b, "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,"
                     "\"added_tokens\":["));
  for (int i = 0; i < SPECIAL_ONES; i++)
    OK(cz_buf_addf(&b,
                   "%s{\"id\":%d,\"content\":\"%s\",\"special\":true,\"single_word\":false,"
                   "\"lstrip\":false,\"rstrip\":false,\"normalized\":false}",
                   i ? "," : "", i, tokens[i]));
  OK(cz_buf_addf(&b, "],\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},"
                     "\"post_processor\":null,\"decoder\":{\"type\":\"WordPiece\","
                     "\"prefix\":\"##\",\"cleanup\":true},\"model\":{\"type\":\"WordPiece\","
                     "\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":\"##\","
                     "\"max_input_chars_per_word\":100,\"vocab\":{"));
  for (int i = 0; i < ALL; i++) OK(cz_buf_addf(&b, "%s\"%s\":%d", i ? "," : "", tokens[i], i));
  OK(cz_buf_addf(&b, "}}}"));
  OK(cz_fs_write_atomic(path, b.data, b.len));
  cz_buf_free(&b);
}

/* What is predicted in place is shown by its place; the tokens around a text are the
 * tokenizer's. */
static void test_tokens(void **state) {
  cz_buf out = {0};
  const char *bert = under("bert.json");
  write_bert(bert);
  write_text(ids, "[5,6,7]\n[]\n[8,9]\n");
  OK(RUN(&out, "objective", "masked_lm", "noise_density=1", "random_token_probability=0",
         "kept_token_probability=0", "--tokenizer", bert, "--ids", ids, "--json"));
  assert_string_equal(
      out.data, "{\"inputs\": [2, 4, 4, 4, 3], \"types\": [], \"labels\": [-100, 5, 6, 7, -100], "
                "\"class\": null}\n"
                "{\"inputs\": [], \"types\": [], \"labels\": [], \"class\": null}\n"
                "{\"inputs\": [2, 4, 4, 3], \"types\": [], \"labels\": [-100, 8, 9, -100], "
                "\"class\": null}\n");
  write_text(ids, "[5,6]\n[8,8]\n");
  OK(RUN(&out, "objective", "next_sentence", "noise_density=0", "--tokenizer", bert, "--ids", ids,
         "--json"));
  assert_true(strstr(out.data, "{\"inputs\": [2, 5, 3, 6, 3], \"types\": [0, 0, 0, 1, 1], "
                               "\"labels\": [-100, -100, -100, -100, -100], \"class\": 0}\n") ||
              strstr(out.data, "{\"inputs\": [2, 5, 3, 8, 3], \"types\": [0, 0, 0, 1, 1], "
                               "\"labels\": [-100, -100, -100, -100, -100], \"class\": 1}\n"));
  write_text(text, "thank you for invite\n");
  OK(RUN(&out, "objective", "masked_lm", "noise_density=1", "random_token_probability=0",
         "kept_token_probability=0", "--tokenizer", bert, "--text", text));
  assert_string_equal(out.data, "document 1: 5 tokens -> 7 inputs, 5 labels\n"
                                "  inputs   [CLS] [MASK] [MASK] [MASK] [MASK] [MASK] [SEP]\n"
                                "  labels   1: thank 2: you 3: for 4: in 5: ##vite\n");
  OK(RUN(&out, "objective", "masked_lm", "noise_density=0", "--tokenizer", bert, "--text", text));
  assert_string_equal(out.data, "document 1: 5 tokens -> 7 inputs, 0 labels\n"
                                "  inputs   [CLS] thank you for invite [SEP]\n"
                                "  labels   (none)\n");
  refuse(CZ_EINVAL, "next_sentence takes runs of other documents; there is one document",
         RUN(&out, "objective", "next_sentence", "--tokenizer", bert, "--text", text));
  refuse(CZ_EUSAGE, "masked_lm needs a token before a text ([CLS], <s>); the tokenizer names none",
         RUN(&out, "objective", "masked_lm", "--tokenizer", tokenizer, "--text", text));
  refuse(CZ_EUSAGE, "causal_lm needs an end token behind a document; the tokenizer names none",
         RUN(&out, "objective", "causal_lm", "--tokenizer", bert, "--text", text));
  OK(RUN(&out, "objective", "causal_lm", "--tokenizer", tokenizer, "--ids", ids, "--json"));
  assert_string_equal(out.data, "{\"inputs\": [5, 6, 1], \"types\": [], \"labels\": [6, 1, -100], "
                                "\"class\": null}\n"
                                "{\"inputs\": [8, 8, 1], \"types\": [], \"labels\": [8, 1, -100], "
                                "\"class\": null}\n");
  cz_buf_free(&out);
}

static void test_help(void **state) {
  cz_buf out = {0};
  for (size_t i = 0; i < cz_objective_count; i++) {
    const cz_objective_row *row = cz_objective_rows[i];
    OK(RUN(&out, "objective", row->name, "--keys"));
    assert_non_null(strstr(out.data, row->help));
    for (size_t k = 0; k < row->section.n_keys; k++)
      assert_non_null(strstr(out.data, row->section.keys[k].name));
  }
  cz_buf_free(&out);
}

static void test_wrong_usage(void **state) {
  cz_buf out = {0};
  write_text(ids, "[3]\n");
#define WRONG(message, ...) refuse(CZ_EUSAGE, message, RUN(&out, "objective", __VA_ARGS__))
  WRONG("1 more word wanted", "--tokenizer", tokenizer, "--ids", ids);
  WRONG("did you mean 'deshuffling'", "deshufling", "--tokenizer", tokenizer, "--ids", ids);
  WRONG("did you mean '--tokenizer'?", "lm", "--tokeniser", tokenizer, "--ids", ids);
  WRONG("--tokenizer FILE is missing", "lm", "--ids", ids);
  WRONG("give either", "lm", "--tokenizer", tokenizer);
  WRONG("give either", "lm", "--tokenizer", tokenizer, "--ids", ids, "--text", text);
  WRONG("wants a value", "lm", "--tokenizer", tokenizer, "--ids");
  WRONG("--seed", "lm", "--tokenizer", tokenizer, "--ids", ids, "--seed", "-1");
  WRONG("mass", "lm", "mass", "--tokenizer", tokenizer, "--ids", ids);
  WRONG("noise_density", "mass", "noise_densty=0.1", "--tokenizer", tokenizer, "--ids", ids);
  WRONG("noise_density", "mass", "noise_density=1.5", "--tokenizer", tokenizer, "--ids", ids);
#undef WRONG
  cz_buf_free(&out);
}

static void test_bad_files(void **state) {
  static const struct {
    const char *content, *message;
  } cases[] = {{"", "the file is empty"},
               {"[3]\n{}\n", ":2: expected a JSON list"},
               {"[3, 4", ":1:"},
               {"[3.5]\n", ":1: item 1"},
               {"[3, 57]\n", "id 57"},
               {"[-1]\n", "id -1"},
               {"[99999999999]\n", "99999999999"},
               {"[3]\n\n[3, 57]\n", ":3:"},
               {"[\"a\"]\n", "item 1"}};
  cz_buf out = {0};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    write_text(ids, cases[i].content);
    refuse(CZ_EINVAL, cases[i].message,
           RUN(&out, "objective", "lm", "--tokenizer", tokenizer, "--ids", ids, "--json"));
  }
  write_text(text, "\n  \n\n");
  refuse(CZ_EINVAL, "no document in it",
         RUN(&out, "objective", "lm", "--tokenizer", tokenizer, "--text", text));
  refuse(CZ_EIO, "missing.jsonl",
         RUN(&out, "objective", "lm", "--tokenizer", tokenizer, "--ids", "missing.jsonl"));
  refuse(CZ_EIO, "missing.json",
         RUN(&out, "objective", "lm", "--tokenizer", "missing.json", "--ids", ids));
  cz_buf_free(&out);
}

static int make_files(void **state) {
  if (make_folder(state)) return -1;
  tokenizer = under("tokenizer.json"), text = under("text.txt"), ids = under("ids.jsonl"),
  output = under("output.txt");
  write_tokenizer(tokenizer, false);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_ids_as_json), cmocka_unit_test(test_sentinels_upwards),
      cmocka_unit_test(test_full_length), cmocka_unit_test(test_seeds),
      cmocka_unit_test(test_readable),    cmocka_unit_test(test_tokens),
      cmocka_unit_test(test_help),        cmocka_unit_test(test_wrong_usage),
      cmocka_unit_test(test_bad_files),
  };
  return cmocka_run_group_tests_name("cloze objective", tests, make_files, drop_folder);
}
