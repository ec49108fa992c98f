/* Folders of old files: the tokenizer.json that is made of each equals the one that transformers
 * makes; where the published files say otherwise, theirs; mistakes are named by file and line; no
 * damaged SentencePiece model crashes its reader. */
#include "text/common.h"

#include "base/fs.h"
#include "text/sentencepiece.h"

#include <stdio.h>
#include <stdlib.h>

#define FOLDERS CZ_SOURCE_DIR "/tests/fixtures/text/folders/"

static json_t *made_of(const char *folder_path) {
  cz_buf text = {0};
  OK(cz_tokenizer_json_of_folder(&text, folder_path));
  json_t *j = json_loadb(text.data, text.len, JSON_ALLOW_NUL, NULL);
  assert_non_null(j);
  cz_buf_free(&text);
  return j;
}

static void expect_equal(const json_t *got, const json_t *want, const char *name,
                         const char *part) {
  if (json_equal(got, want)) return;
  char *a = json_dumps(got, JSON_COMPACT | JSON_ENCODE_ANY),
       *b = json_dumps(want, JSON_COMPACT | JSON_ENCODE_ANY);
  fail_msg("%s: %s is\n%.2000s\nbut transformers has\n%.2000s", name, part, a ? a : "missing",
           b ? b : "missing");
}

static void test_equal_to_transformers(void **state) {
  static const char *const names[] = {"bert",    "bert_cased", "bert_more",    "bert_listed",
                                      "gpt2",    "gpt2_ends",  "roberta",      "t5",
                                      "t5_user", "albert",     "albert_cased", "xlmr"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char path[1024], expected[1024];
    const char *key;
    json_t *value;
    json_error_t why;
    snprintf(path, sizeof path, "%s%s", FOLDERS, names[i]);
    snprintf(expected, sizeof expected, "%s/expected.json", path);
    json_t *got = made_of(path), *want = json_load_file(expected, JSON_ALLOW_NUL, &why);
    if (!want) fail_msg("%s: %s", expected, why.text);
    json_object_foreach(want, key, value) {
      const json_t *mine = json_object_get(got, key);
      const char *inner;
      json_t *part;
      if (json_is_object(value))
        json_object_foreach(value, inner, part)
            expect_equal(json_object_get(mine, inner), part, names[i], inner);
      expect_equal(mine, value, names[i], key);
    }
    assert_int_equal(json_object_size(got), json_object_size(want));
    json_decref(got);
    json_decref(want);
    cz_tokenizer *t;
    OK(cz_tokenizer_open(&t, path)); /* and it is one */
    cz_tokenizer_destroy(&t);
  }
}

static const json_t *added_token(const json_t *root, const char *content) {
  size_t i;
  const json_t *token;
  json_array_foreach(json_object_get(root, "added_tokens"), i,
                     token) if (strcmp(json_string_value(json_object_get(token, "content")),
                                       content) == 0) return token;
  fail_msg("no added token '%s'", content);
  return NULL;
}

static void copy_to(const char *from, const char *name, const char *to) {
  char path[1024];
  cz_buf bytes = {0};
  snprintf(path, sizeof path, "%s%s/%s", FOLDERS, from, name);
  OK(cz_fs_read(path, &bytes));
  write_bytes(to, bytes.data, bytes.len);
  cz_buf_free(&bytes);
}

/* Where settings say nothing of the mask, it takes the space before it, as it does in the files
 * that were published; transformers 5 lost that. */
static void test_mask(void **state) {
  static const struct {
    const char *from, *files[2], *mask;
    bool takes;
  } cases[] = {{"roberta", {"vocab.json", "merges.txt"}, "<mask>", true},
               {"xlmr", {"sentencepiece.bpe.model"}, "<mask>", true},
               {"albert", {"spiece.model"}, "[MASK]", true},
               {"bert", {"vocab.txt"}, "[MASK]", false}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    for (size_t k = 0; k < 2 && cases[i].files[k]; k++) {
      char to[256];
      snprintf(to, sizeof to, "mask%zu/%s", i, cases[i].files[k]);
      copy_to(cases[i].from, cases[i].files[k], to);
    }
    char name[32];
    snprintf(name, sizeof name, "mask%zu", i);
    json_t *j = made_of(under(name)); /* by the names of the files and what is in them */
    const json_t *mask = added_token(j, cases[i].mask);
    assert_int_equal(json_is_true(json_object_get(mask, "lstrip")), cases[i].takes);
    assert_true(json_is_true(json_object_get(mask, "special")));
    json_decref(j);
  }
}

/* A model of three pieces: field 1, a message of text (1), score (2), type (3). */
static const char tiny[] = "\x0a\x0e\x0a\x05[CLS]\x15\x00\x00\x00\x00\x18\x03"
                           "\x0a\x0e\x0a\x05<unk>\x15\x00\x00\x00\x00\x18\x02"
                           "\x0a\x09\x0a\x02"
                           "1,\x15\x00\x00\x00\xc0"
                           "\x0a\x09\x0a\x02"
                           "a,\x15\x00\x00\x00\xc0"
                           "\x12\x03\xc0\x02\x01";

static void test_albert_numbers(void **state) {
  write_bytes("numbers/spiece.model", tiny, sizeof tiny - 1);
  json_t *j = made_of(under("numbers"));
  const json_t *model = json_object_get(j, "model"), *vocab = json_object_get(model, "vocab");
  assert_int_equal(json_array_size(vocab), 4);
  assert_true(json_real_value(json_array_get(json_array_get(vocab, 2), 1)) == -102);
  assert_true(json_real_value(json_array_get(json_array_get(vocab, 3), 1)) == -2);
  assert_int_equal(json_integer_value(json_object_get(model, "unk_id")), 1);
  json_decref(j);
}

static void refused(const char *name, const char *words) {
  cz_buf text = {0};
  FAILS(cz_tokenizer_json_of_folder(&text, under(name)), CZ_EINVAL, words);
  assert_non_null(strstr(cz_error_message(), name));
  cz_tokenizer *t;
  FAILS(cz_tokenizer_open(&t, under(name)), CZ_EINVAL, words);
  cz_buf_free(&text);
}

static void test_mistakes(void **state) {
  write_text("empty/other.txt", "x");
  refused("empty", "no tokenizer.json, and nothing to make one of: vocab.txt (BERT)");
  write_text("twice/vocab.txt", "[UNK]\na\nb\na \n");
  refused("twice", "vocab.txt:4: 'a' stands on line 2 already");
  write_text("nul/vocab.txt", "a\xff\n");
  refused("nul", "vocab.txt:1:2: the byte 0xff");
  write_text("class/vocab.txt", "[UNK]\n");
  write_text("class/tokenizer_config.json", "{\"tokenizer_class\": \"CamembertTokenizer\"}");
  refused("class", "tokenizer_config.json: tokenizer_class: 'CamembertTokenizer'");
  write_text("type/vocab.txt", "[UNK]\n");
  write_text("type/config.json", "{\"model_type\": \"llama\"}");
  refused("type", "config.json: model_type: 'llama'");
  write_text("half/vocab.json", "{}");
  write_text("half/config.json", "{\"model_type\": \"gpt2\"}");
  refused("half", "for gpt2 there must be vocab.json and merges.txt");
  write_text("neither/vocab.json", "{\"a\": 0}");
  write_text("neither/merges.txt", "#version: 0.2\n");
  refused("neither", "vocab.json: has neither <s> and </s>");
  write_text("merge/vocab.json", "{\"a\": 0, \"<|endoftext|>\": 1}");
  write_text("merge/merges.txt", "#version: 0.2\na a\r\nab\n");
  refused("merge", "merges.txt:3: expected two pieces with a space between them, found 'ab'");
  write_text("bool/vocab.txt", "[UNK]\n");
  write_text("bool/tokenizer_config.json", "{\"do_lower_case\": \"yes\"}");
  refused("bool", "tokenizer_config.json: do_lower_case");
  write_text("role/vocab.txt", "[UNK]\n");
  write_text("role/tokenizer_config.json", "{\"cls_token\": 7}");
  refused("role", "tokenizer_config.json: cls_token: expected a token");
  write_text("none/vocab.txt", "[UNK]\n");
  write_text("none/tokenizer_config.json", "{\"cls_token\": null}");
  refused("none", "needs a cls_token");
  write_text("added/vocab.txt", "[UNK]\n[CLS]\n[SEP]\n[PAD]\n[MASK]\n");
  write_text("added/added_tokens.json", "{\"x\": 9}");
  refused("added", "added_tokens.json: 'x' has id 9, but the vocabulary gives it 5");
}

static void model_refused(const void *bytes, size_t n, const char *words) {
  write_bytes("model/spiece.model", bytes, n);
  refused("model", words);
}

static void test_bad_models(void **state) {
  static const char kind[] = "\x0a\x03\x0a\x01"
                             "a\x12\x02\x18\x02",
                    unk[] = "\x0a\x03\x0a\x01"
                            "a"
                            "\x12\x03\xc0\x02\x05",
                    text[] = "\x0a\x03\x0a\x01\xff",
                    type[] = "\x0a\x05\x0a\x01"
                             "a\x18\x07",
                    nan[] = "\x0a\x08\x0a\x01"
                            "a\x15\x00\x00\xc0\x7f",
                    group[] = "\x0b";
  model_refused("", 0, "no pieces; not a SentencePiece model");
  model_refused("plain text", 10, "not a SentencePiece model, or cut short");
  model_refused(tiny, 10, "byte 2: a field that is longer than what is there");
  model_refused("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11, "a number of more than ten");
  model_refused("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, "longer than what is there");
  model_refused(kind, sizeof kind - 1, "of type 2; t5 has type 1, Unigram");
  model_refused(unk, sizeof unk - 1, "the unknown piece is 5 of 1 pieces");
  model_refused(text, sizeof text - 1, "a piece that is not UTF-8 text");
  model_refused(type, sizeof type - 1, "a piece of a type that there is not");
  model_refused(nan, sizeof nan - 1, "a score that is not finite");
  model_refused(group, sizeof group - 1, "a field of a kind that there is not");
  for (size_t n = 0; n + 1 < sizeof tiny; n++) { /* cut anywhere: refused, or fewer pieces */
    cz__sp_model m;
    if (cz__sp_parse(&m, tiny, n, "tiny") == CZ_OK) assert_true(m.n <= 4);
    cz__sp_free(&m);
  }
}

/* A changed tokenizer_config.json is another tokenizer, which a stage's key has to see. */
static void test_reads(void **state) {
  (void)state;
  static const char *const read[] = {"tokenizer.json", "tokenizer_config.json",
                                     "vocab.txt",      "merges.txt",
                                     "spiece.model",   "added_tokens.json"};
  for (size_t i = 0; i < sizeof read / sizeof *read; i++) assert_true(cz_tokenizer_reads(read[i]));
  assert_false(cz_tokenizer_reads("config.json"));
  assert_false(cz_tokenizer_reads("README.md"));
  assert_false(cz_tokenizer_reads(""));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_equal_to_transformers),
      cmocka_unit_test(test_reads),
      cmocka_unit_test_setup_teardown(test_mask, make_folder, drop_folder),
      cmocka_unit_test_setup_teardown(test_albert_numbers, make_folder, drop_folder),
      cmocka_unit_test_setup_teardown(test_mistakes, make_folder, drop_folder),
      cmocka_unit_test_setup_teardown(test_bad_models, make_folder, drop_folder)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
