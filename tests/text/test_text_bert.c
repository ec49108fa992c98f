/* BERT's files: vocabularies that are wrong, texts that are hard, special tokens by name, folders.
 */
#include "text/common.h"

#include "base/fs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIECES "\"[UNK]\":0,\"[CLS]\":1,\"[SEP]\":2,\"a\":3,\"##a\":4,\"##b\":5,\"\xC3\xA9\":6"
#define MODEL(vocab, more)                                                                         \
  "{\"type\":\"WordPiece\",\"vocab\":{" vocab "},\"unk_token\":\"[UNK]\","                         \
  "\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":100" more "}"
#define LEVEL(vocab, unk) "{\"type\":\"WordLevel\",\"vocab\":{" vocab "},\"unk_token\":\"" unk "\"}"
#define NORMALIZER(more)                                                                           \
  "{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true,"                \
  "\"lowercase\":true" more "}"
#define WHOLE(normalizer, model)                                                                   \
  "{\"version\":\"1.0\",\"added_tokens\":[],\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},"    \
  "\"normalizer\":" normalizer ",\"model\":" model "}"

static void test_mistakes(void **state) {
  static const struct {
    const char *json, *words;
  } cases[] = {
      {WHOLE("null", MODEL("\"[UNK]\":0,\"a\":2", "")),
       "model.vocab: 'a' has id 2, but 2 pieces have the ids 0 to 1"},
      {WHOLE("null", MODEL("\"[UNK]\":0,\"a\":1,\"b\":1", "")),
       "model.vocab: 'a' and 'b' both have id 1"},
      {WHOLE("null", MODEL("\"[UNK]\":0,\"a\":0.5", "")), "model.vocab.a: expected an id"},
      {WHOLE("null", MODEL("\"[UNK]\":-1", "")), "'[UNK]' has id -1"},
      {WHOLE("null", MODEL("", "")), "model.vocab: 0 pieces"},
      {WHOLE("null", MODEL("\"a\":0,\"a\":1", "")), "duplicate"},
      {WHOLE("null", MODEL(PIECES, ",\"x\":1")), "model: unknown key 'x'"},
      {WHOLE("null", "{\"type\":\"WordPiece\",\"vocab\":[]}"), "model.vocab: expected an object"},
      {WHOLE("null", "{\"type\":\"WordPiece\",\"vocab\":{\"a\":0}}"), "model.unk_token"},
      {WHOLE("null", "{\"type\":\"WordPiece\",\"vocab\":{\"a\":0},\"unk_token\":\"a\"}"),
       "model.continuing_subword_prefix"},
      {WHOLE("null", LEVEL(PIECES, "\",\"max_input_chars_per_word\":\"")), "unknown key"},
      {WHOLE("{\"type\":\"BertNormalizer\"}", MODEL(PIECES, "")), "normalizer.clean_text"},
      {WHOLE(NORMALIZER(",\"strip_accents\":1"), MODEL(PIECES, "")), "normalizer.strip_accents"},
      {WHOLE(NORMALIZER(",\"strip\":true"), MODEL(PIECES, "")), "unknown key 'strip'"},
      {WHOLE("null", MODEL(PIECES, "") ",\"decoder\":{\"type\":\"WordPiece\",\"prefix\":\"##\"}"),
       "decoder.cleanup"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    cz_tokenizer *t;
    cz_status st = cz_tokenizer_parse(&t, cases[i].json, strlen(cases[i].json), "file.json");
    if (st != CZ_EINVAL || !strstr(cz_error_message(), cases[i].words))
      fail_msg("case %zu: status %d, '%s' does not say '%s'", i, (int)st, cz_error_message(),
               cases[i].words);
  }
}

/* A hundred thousand brackets, where a value is wanted and where nothing reads it. */
static void test_nested(void **state) {
  static const char *const heads[] = {"{\"version\":\"1.0\",\"normalizer\":",
                                      "{\"version\":\"1.0\",\"other\":"};
  for (int i = 0; i < 4; i++) {
    cz_buf json = {0};
    cz_tokenizer *t;
    OK(cz_buf_addf(&json, "%s", heads[i / 2]));
    for (int k = 0; k < 100000; k++) OK(cz_buf_addf(&json, "%s", i % 2 ? "{\"a\":" : "["));
    FAILS(cz_tokenizer_parse(&t, json.data, json.len, "file.json"), CZ_EINVAL, "file.json:1:");
    cz_buf_free(&json);
  }
}

static void encode(cz_encoding *e, const char *json, const char *text, size_t n, cz_status want,
                   const char *words) {
  cz_tokenizer *t;
  cz_tokenizer_scratch *s;
  OK(cz_tokenizer_parse(&t, json, strlen(json), "file.json"));
  OK(cz_tokenizer_scratch_create(&s, t));
  if (want == CZ_OK) {
    OK(cz_tokenizer_encode(t, e, text, n, SPECIAL, s));
  } else {
    FAILS(cz_tokenizer_encode(t, e, text, n, SPECIAL, s), want, words);
  }
  cz_tokenizer_scratch_destroy(&s);
  cz_tokenizer_destroy(&t);
}

/* Without an unknown token known texts pass and others are refused, as in the library. */
static void test_no_unknown(void **state) {
  cz_encoding e = {0};
  static const char pieces[] = WHOLE("null", MODEL("\"a\":0,\"##b\":1", "")),
                    words[] = WHOLE("null", LEVEL("\"a\":0", "nobody"));
  encode(&e, pieces, "a ab", 4, CZ_OK, NULL);
  assert_int_equal(e.n, 3);
  encode(&e, pieces, "a aa", 4, CZ_EINVAL,
         "'aa' is unknown to the tokenizer, whose unk_token '[UNK]' is not in its vocabulary");
  encode(&e, words, "a b", 3, CZ_EINVAL,
         "'b' is unknown to the tokenizer, whose unk_token 'nobody'");
  encode(&e, pieces, "a \xff", 3, CZ_EINVAL, "the text is not UTF-8: byte 0xff at offset 2");
  cz_encoding_free(&e);
}

/* Where no piece has the prefix only whole pieces are known. */
static void test_no_prefix(void **state) {
  cz_encoding e = {0};
  encode(&e, WHOLE("null", MODEL("\"[UNK]\":0,\"a\":1", "")), "a aa", 4, CZ_OK, NULL);
  assert_int_equal(e.n, 2);
  assert_int_equal(e.ids[0], 1);
  assert_int_equal(e.ids[1], 0);
  cz_encoding_free(&e);
}

/* A megabyte without a space: unknown by its length, cut where the length is allowed; and as many
 * accents on one letter. */
static void test_long_words(void **state) {
  static const char bert[] = WHOLE(NORMALIZER(""), MODEL(PIECES, "")),
                    free_length[] = WHOLE(
                        "null", "{\"type\":\"WordPiece\",\"vocab\":{" PIECES "},"
                                "\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":\"##\","
                                "\"max_input_chars_per_word\":2000000}");
  size_t n = 1 << 20;
  char *text = malloc(n);
  cz_encoding e = {0};
  memset(text, 'a', n);
  encode(&e, bert, text, n, CZ_OK, NULL);
  assert_int_equal(e.n, 1);
  assert_int_equal(e.ids[0], 0);
  assert_int_equal(e.offsets[0].end, n);
  encode(&e, free_length, text, n, CZ_OK, NULL);
  assert_int_equal(e.n, n);
  for (size_t i = 2; i < n; i += 2) memcpy(text + i, i % 4 ? "\xCC\x81" : "\xCC\xA3", 2);
  encode(&e, bert, text, n, CZ_OK, NULL);
  assert_int_equal(e.n, 2);
  assert_int_equal(e.offsets[1].end, 2);
  cz_encoding_free(&e);
  free(text);
}

/* A folder with tokenizer.json and CONFIG; what opening it yields. */
static cz_status open_folder(cz_tokenizer **t, const char *config) {
  static const char json[] = WHOLE("null", MODEL(PIECES, ""));
  char folder[] = "/tmp/cloze_bert_XXXXXX", path[256];
  assert_non_null(mkdtemp(folder));
  snprintf(path, sizeof path, "%s/tokenizer.json", folder);
  OK(cz_fs_write_atomic(path, json, strlen(json)));
  if (config) {
    snprintf(path, sizeof path, "%s/tokenizer_config.json", folder);
    OK(cz_fs_write_atomic(path, config, strlen(config)));
  }
  cz_status st = cz_tokenizer_open(t, folder);
  unlink(path);
  snprintf(path, sizeof path, "%s/tokenizer.json", folder);
  unlink(path);
  rmdir(folder);
  return st;
}

static void test_special_tokens(void **state) {
  cz_tokenizer *t;
  OK(open_folder(&t, NULL)); /* by spelling */
  cz_tokenizer_facts f = *cz_tokenizer_get_facts(t);
  assert_true(f.unk == 0 && f.cls == 1 && f.sep == 2 && f.mask == -1 && f.pad == -1);
  cz_tokenizer_destroy(&t);
  OK(open_folder(&t, "{\"mask_token\":\"a\",\"pad_token\":{\"content\":\"##a\",\"lstrip\":false},"
                     "\"cls_token\":null,\"unk_token\":\"[UNK]\",\"other\":[1]}"));
  f = *cz_tokenizer_get_facts(t);
  assert_true(f.mask == 3 && f.pad == 4 && f.cls == -1 && f.sep == 2 && f.unk == 0);
  for (size_t i = 0; i < CZ_SPECIAL_TOKENS; i++) {
    const char *key;
    int32_t id = cz_tokenizer_special(t, i, &key);
    if (strcmp(key, "mask_token") == 0) assert_int_equal(id, 3);
    if (strcmp(key, "bos_token") == 0) assert_int_equal(id, -1);
  }
  cz_tokenizer_destroy(&t);
}

static void test_contradictions(void **state) {
  static const struct {
    const char *config, *words;
  } cases[] = {
      {"{\"mask_token\":\"[MASK]\"}", "tokenizer_config.json: mask_token: '[MASK]' is no token of"},
      {"{\"cls_token\":{\"content\":\"x\"}}", "cls_token: 'x' is no token of"},
      {"{\"cls_token\":{}}", "cls_token.content"},
      {"{\"sep_token\":7}", "sep_token: expected a token, an object with its content, or null"},
      {"{\"unk_token\":\"a\"}", "unk_token: a, but the model of"},
      {"{\"unk_token\":null}", "has '[UNK]' for unknown words"},
      {"[]", "expected an object"},
      {"{", "tokenizer_config.json:1:"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    cz_tokenizer *t;
    cz_status st = open_folder(&t, cases[i].config);
    if (st != CZ_EINVAL || t || !strstr(cz_error_message(), cases[i].words))
      fail_msg("case %zu: status %d, '%s' does not say '%s'", i, (int)st, cz_error_message(),
               cases[i].words);
  }
  cz_tokenizer *t;
  FAILS(cz_tokenizer_open(&t, "/tmp"), CZ_EINVAL, "/tmp: no tokenizer.json");
}

/* What stands in somebody's data as a special token is text where that is asked for. */
static void test_text_only(void **state) {
  static const char json[] =
      "{\"version\":\"1.0\",\"added_tokens\":[{\"id\":1,\"content\":\"[CLS]\",\"single_word\":"
      "false,"
      "\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":true}],\"pre_tokenizer\":"
      "{\"type\":\"BertPreTokenizer\"},\"model\":" MODEL(PIECES, "") "}";
  cz_tokenizer *t;
  cz_tokenizer_scratch *s;
  cz_encoding e = {0};
  OK(cz_tokenizer_parse(&t, json, strlen(json), "file.json"));
  OK(cz_tokenizer_scratch_create(&s, t));
  OK(cz_tokenizer_encode(t, &e, "a[CLS]a", 7, (cz_encode_options){0}, s));
  assert_int_equal(e.n, 3);
  assert_int_equal(e.ids[1], 1);
  OK(cz_tokenizer_encode(t, &e, "a[CLS]a", 7, (cz_encode_options){.text_only = true}, s));
  assert_int_equal(e.n, 5); /* [, CLS, ] are unknown words */
  for (size_t i = 0; i < e.n; i++) assert_int_equal(e.ids[i], i % 4 ? 0 : 3);
  cz_encoding_free(&e);
  cz_tokenizer_scratch_destroy(&s);
  cz_tokenizer_destroy(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_mistakes),       cmocka_unit_test(test_nested),
      cmocka_unit_test(test_no_unknown),     cmocka_unit_test(test_no_prefix),
      cmocka_unit_test(test_long_words),     cmocka_unit_test(test_special_tokens),
      cmocka_unit_test(test_contradictions), cmocka_unit_test(test_text_only)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
