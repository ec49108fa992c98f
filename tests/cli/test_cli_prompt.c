/* `cloze prompt check`: what it shows to people and programs, and its exit codes. */
#include "program.h"

#define BERT FIXTURES "/prompts/bert.json"
#define PATTERN                                                                                    \
  "fields: {a: text}\nlabels: [x, y]\nwords: {x: [good, great], y: bad}\n"                         \
  "patterns: ['{mask} : {a*}', '{a*} || it was {mask}']\n"

static json_t *check(const char *const *words) {
  outcome o = run_program("", words);
  EXPECT(0, o);
  json_error_t why;
  json_t *j = json_loads(o.out, 0, &why);
  if (!j) fail_msg("%s in: %s", why.text, o.out);
  return j;
}
#define CHECK(...) check((const char *const[]){"prompt", "check", __VA_ARGS__, "--json", NULL})

static json_int_t number(const json_t *o, const char *key) {
  assert_true(json_is_integer(json_object_get(o, key)));
  return json_integer_value(json_object_get(o, key));
}

static void test_json(void **state) {
  write_text("p.yaml", PATTERN);
  write_text("d.csv", "text,label\nthe good,x\n\"the the the the the the the the\",y\n");
  json_t *j = CHECK("--model", BERT, "--pattern", "p.yaml", "--data", "d.csv", "--row", "1",
                    "max_length=10");
  const json_t *patterns = json_object_get(j, "patterns"), *p = json_array_get(patterns, 0);
  assert_int_equal(json_array_size(patterns), 2);
  const json_t *data = json_object_get(j, "data");
  assert_int_equal(number(data, "records"), 2);
  assert_string_equal(json_string_value(json_object_get(data, "label")), "y");
  assert_int_equal(number(json_object_get(data, "labels"), "x"), 1);
  assert_int_equal(json_array_size(json_object_get(p, "ids")), 10);
  assert_int_equal(json_array_size(json_object_get(p, "tokens")), 10);
  assert_int_equal(json_array_size(json_object_get(p, "types")), 10);
  assert_int_equal(json_integer_value(json_array_get(json_object_get(p, "mask_rows"), 0)), 1);
  assert_string_equal(json_string_value(json_array_get(json_object_get(p, "tokens"), 1)), "[MASK]");
  assert_int_equal(number(p, "cut"), 2);
  assert_int_equal(number(p, "without_fields"), 4);
  assert_int_equal(number(p, "records_cut"), 1);
  const json_t *cut = json_array_get(json_object_get(p, "cut_fields"), 0);
  assert_string_equal(json_string_value(json_object_get(cut, "field")), "a");
  assert_int_equal(number(cut, "tokens"), 8);
  const json_t *x = json_object_get(json_object_get(p, "words"), "x");
  assert_int_equal(json_array_size(x), 2);
  assert_string_equal(json_string_value(json_object_get(json_array_get(x, 1), "word")), "great");
  assert_int_equal(json_array_size(json_object_get(json_array_get(x, 1), "ids")), 1);
  p = json_array_get(patterns, 1);
  const json_t *types = json_object_get(p, "types");
  assert_int_equal(json_integer_value(json_array_get(types, 0)), 0);
  assert_int_equal(json_integer_value(json_array_get(types, 9)), 1);
  json_decref(j);
}

static void test_text(void **state) {
  write_text("p.yaml", PATTERN);
  outcome o = cloze("prompt", "check", "--model", BERT, "--pattern", "p.yaml");
  EXPECT(0, o);
  assert_non_null(strstr(o.out, "pattern 1: {a*} || it was {mask}\n"));
  assert_non_null(strstr(o.out, "tokens  [CLS] [MASK] : [SEP]\n"));
  assert_non_null(strstr(o.out, "x: good ("));
  write_text("model/tokenizer.json", "{}");
  REFUSED(1, "model", cloze("prompt", "check", "--model", "model", "--pattern", "p.yaml"));
}

/* Without patterns a file is for classifiers, and what they read is shown. */
static void test_plain(void **state) {
  write_text("p.yaml", "fields: {a: a, b: b}\nlabels: [x, y]\ninput: similarity\n");
  write_text("d.csv", "a,b,label\nthe cat,sat on,x\n");
  json_t *j = CHECK("--model", FIXTURES "/transforms/gpt2.3", "--pattern", "p.yaml", "--data",
                    "d.csv", "max_length=7");
  const json_t *all = json_object_get(j, "patterns"), *p = json_array_get(all, 1);
  assert_string_equal(json_string_value(json_object_get(j, "input")), "similarity");
  assert_int_equal(json_array_size(all), 2);
  static const char *const tokens[] = {"<start>", "sat", "on",       "<delimiter>",
                                       "the",     "cat", "<extract>"};
  for (size_t i = 0; i < 7; i++)
    assert_string_equal(json_string_value(json_array_get(json_object_get(p, "tokens"), i)),
                        tokens[i]);
  assert_null(json_object_get(p, "words"));
  json_decref(j);
  outcome o = cloze("prompt", "check", "--model", FIXTURES "/transforms/bert.1/tokenizer.json",
                    "--pattern", "p.yaml", "--data", "d.csv");
  EXPECT(0, o);
  assert_non_null(strstr(o.out, "a classifier reads: similarity, 2 texts\ntext 0: {a*} || {b*}\n"));
  assert_non_null(strstr(o.out, "[CLS] sat on [SEP] the cat [SEP]\n"));
}

static void test_files(void **state) {
  /* a class without an example is said, a test file without labels too */
  write_text("p.yaml", PATTERN);
  write_text("d.tsv", "text\tlabel\ngood\tx\n");
  outcome o = cloze("prompt", "check", "--model", BERT, "--pattern", "p.yaml", "--data", "d.tsv");
  EXPECT(0, o);
  assert_non_null(strstr(o.err, "p.yaml:2:13: labels.1: d.tsv has no example of the label 'y'"));
  write_text("d.jsonl", "{\"text\": \"good\"}\n");
  o = cloze("prompt", "check", "--model", BERT, "--pattern", "p.yaml", "--data", "d.jsonl");
  EXPECT(0, o);
  assert_non_null(strstr(o.err, "d.jsonl:1: \"label\" is missing"));
}

/* The official files, which name no columns, and a file without labels. */
static void test_columns(void **state) {
  write_text("p.yaml", PATTERN);
  write_text("d.csv", "x,the\\good\ny,bad\n");
  json_t *j = CHECK("--model", BERT, "--pattern", "p.yaml", "--data", "d.csv", "--columns",
                    "label, text", "--backslashes", "spaces");
  const json_t *data = json_object_get(j, "data");
  assert_int_equal(number(data, "records"), 2);
  assert_string_equal(json_string_value(json_object_get(data, "label")), "x");
  const json_t *tokens =
      json_object_get(json_array_get(json_object_get(j, "patterns"), 0), "tokens");
  assert_string_equal(json_string_value(json_array_get(tokens, 4)), "good");
  json_decref(j);
  write_text("d.csv", "the good\nbad\n");
  outcome o = cloze("prompt", "check", "--model", BERT, "--pattern", "p.yaml", "--data", "d.csv",
                    "--columns", "text");
  EXPECT(0, o);
  assert_non_null(strstr(o.err, "d.csv: none of the columns that were given is called 'label'"));
  REFUSED(2, "--columns and --backslashes are of --data",
          cloze("prompt", "check", "--model", BERT, "--pattern", "p.yaml", "--columns", "text"));
}

static void test_refused(void **state) {
  write_text("p.yaml", PATTERN);
  write_text("d.tsv", "text\tlabel\ngood\tx\nbad\tz\n");
#define RUN(...) cloze("prompt", "check", "--model", BERT, "--pattern", "p.yaml", __VA_ARGS__)
  REFUSED(1, "d.tsv:3: the label 'z' is not declared in p.yaml; did you mean 'x'?",
          RUN("--data", "d.tsv"));
  REFUSED(2, "--row is of --data, which is missing", RUN("--row", "1"));
  write_text("d.tsv", "text\tlabel\ngood\tx\n");
  REFUSED(2, "--row 1: d.tsv has 1 records, numbered from 0", RUN("--data", "d.tsv", "--row", "1"));
  REFUSED(2, "--row: expected a number from 0 up", RUN("--data", "d.tsv", "--row", "-1"));
  REFUSED(2, "p.yaml:4:13: patterns.0: the pattern has 4 tokens before any field is filled in",
          RUN("max_length=3"));
  REFUSED(2, "did you mean 'max_length'?", RUN("maxlength=3"));
  REFUSED(2, "these are not the labels that were given", RUN("--labels", "y,x"));
  REFUSED(1, "missing.csv", RUN("--data", "missing.csv"));
  REFUSED(2, "the word after it is 'check', not 'chek'", cloze("prompt", "chek"));
  REFUSED(2, "--model DIR and --pattern FILE are wanted", cloze("prompt", "check"));
  write_text("fixed.yaml", "fields: {a: text, b: text}\nlabels: [x, y]\nwords: {x: good, y: bad}\n"
                           "patterns: ['{mask} {a} {b*}']\n");
  write_text("d.csv", "text\ngood\n\"good good good good good\"\n");
  REFUSED(
      1,
      "row 1 leaves no room: the pattern '{mask} {a} {b*}' has 8 tokens with it that may not be "
      "cut, 5 of its fields, and max_length is 6",
      cloze("prompt", "check", "--model", BERT, "--pattern", "fixed.yaml", "--data", "d.csv",
            "max_length=6"));
#undef RUN
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_json),  cmocka_unit_test(test_text),    cmocka_unit_test(test_plain),
      cmocka_unit_test(test_files), cmocka_unit_test(test_columns), cmocka_unit_test(test_refused)};
  return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
