/* Files that are not what they should be: each mistake is named, and no flipped or
 * missing byte crashes the reader. */
#include "text/common.h"

#include "base/fs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VOCAB "\"vocab\":[[\"<unk>\",0.0],[\"a\",-1.5],[\"b\",-2]]"
#define MODEL "\"model\":{\"type\":\"Unigram\",\"unk_id\":0," VOCAB "}"
#define ADDED "\"added_tokens\":[]"
#define TOKEN(id, content, more)                                                                   \
  "{\"id\":" #id ",\"content\":\"" content "\",\"single_word\":false,\"lstrip\":false,\"rstrip\":" \
  "false,\"normalized\":false,\"special\":true" more "}"
#define FILE_OF(parts) "{\"version\":\"1.0\"," parts "}"

static cz_status parse(const char *json) {
  cz_tokenizer *t;
  cz_status st = cz_tokenizer_parse(&t, json, strlen(json), "file.json");
  if (st != CZ_OK) assert_null(t);
  cz_tokenizer_destroy(&t);
  return st;
}

/* Each JSON is refused with a message that names the file and holds the words. */
static void test_mistakes(void **state) {
  static const struct {
    const char *json, *words;
  } cases[] = {
      {"", "file.json:"},
      {"[]", "expected an object"},
      {"{", "file.json:1:"},
      {"{\"version\":\"2.0\"," ADDED "," MODEL "}", "version"},
      {"{" ADDED "," MODEL "}", "version"},
      {FILE_OF(MODEL), "added_tokens"},
      {FILE_OF(ADDED), "model"},
      {FILE_OF(ADDED ",\"model\":{\"type\":\"Wordpiece\",\"vocab\":{}}"),
       "the model 'Wordpiece' is not supported; there are Unigram, "},
      {FILE_OF(ADDED ",\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[]}"), "model.vocab"},
      {FILE_OF(ADDED ",\"model\":{\"vocab\":[]}"), "model.type"},
      {FILE_OF(ADDED ",\"model\":{\"type\":\"Unigram\",\"unk_id\":3," VOCAB "}"), "model.unk_id"},
      {FILE_OF(ADDED ",\"model\":{\"type\":\"Unigram\",\"unk_id\":-1," VOCAB "}"), "model.unk_id"},
      {FILE_OF(ADDED ",\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[]}"), "model.vocab"},
      {FILE_OF(ADDED ",\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"a\"]]}"),
       "model.vocab[0]"},
      {FILE_OF(
           ADDED
           ",\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"a\",1],[\"b\",\"c\"]]}"),
       "model.vocab[1]"},
      {FILE_OF(ADDED ",\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"alpha\":1," VOCAB "}"),
       "unknown key 'alpha'"},
      {FILE_OF(ADDED ",\"normalizer\":{\"type\":\"Bert\"}," MODEL),
       "normalizer: the normalizer 'Bert' is not supported; there are Sequence, "},
      {FILE_OF(ADDED ",\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},{"
                     "\"type\":\"Nfc\"}]}," MODEL),
       "normalizer.normalizers[1]"},
      {FILE_OF(ADDED ",\"normalizer\":{\"type\":\"NFC\",\"x\":1}," MODEL), "unknown key 'x'"},
      {FILE_OF(ADDED ",\"normalizer\":7," MODEL), "normalizer"},
      {FILE_OF(ADDED
               ",\"normalizer\":{\"type\":\"Strip\",\"strip_left\":1,\"strip_right\":true}," MODEL),
       "normalizer.strip_left"},
      {FILE_OF(ADDED ",\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"[a\"},"
                     "\"content\":\"\"}," MODEL),
       "normalizer.pattern"},
      {FILE_OF(ADDED ",\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"(?i)a\"},"
                     "\"content\":\"\"}," MODEL),
       "normalizer.pattern"},
      {FILE_OF(ADDED ",\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"\\\\h\"},"
                     "\"content\":\"\"}," MODEL),
       "normalizer.pattern"},
      {FILE_OF(ADDED ",\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"\"},"
                     "\"content\":\"\"}," MODEL),
       "normalizer.pattern"},
      {FILE_OF(
           ADDED
           ",\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"!!!!\"}," MODEL),
       "base64"},
      {FILE_OF(ADDED
               ",\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"\"}," MODEL),
       "precompiled_charsmap"},
      {FILE_OF(ADDED ",\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"/////"
                     "w==\"}," MODEL),
       "precompiled_charsmap"},
      {FILE_OF(ADDED ",\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"\\\\C\"},"
                     "\"content\":\"\"}," MODEL),
       "normalizer.pattern: the escape '\\C'"},
      {FILE_OF(ADDED ",\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":"
                     "\"(*LIMIT_MATCH=1)a\"},\"content\":\"\"}," MODEL),
       "normalizer.pattern: verbs"},
      {FILE_OF(ADDED ",\"pre_tokenizer\":{\"type\":\"ByteLevel\"}," MODEL),
       "pre_tokenizer.add_prefix_space"},
      {FILE_OF(ADDED ",\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"ab\"}," MODEL),
       "pre_tokenizer.replacement"},
      {FILE_OF(ADDED ",\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_"
                     "scheme\":\"frist\"}," MODEL),
       "did you mean 'first'"},
      {FILE_OF(ADDED ",\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{"
                     "\"SpecialToken\":{\"id\":\"x\",\"type_id\":0}}],"
                     "\"pair\":[],\"special_tokens\":{}}," MODEL),
       "'x' is not among the special_tokens"},
      {FILE_OF(ADDED ",\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{"
                     "\"SpecialToken\":{\"id\":\"x\",\"type_id\":0}}],"
                     "\"pair\":[],\"special_tokens\":{\"x\":{\"id\":\"x\",\"ids\":[3],\"tokens\":["
                     "\"x\"]}}}," MODEL),
       "post_processor: the special token's id 3 is not one of the tokenizer's 3"},
      {FILE_OF(ADDED ",\"decoder\":{\"type\":\"CTC\"}," MODEL),
       "the decoder 'CTC' is not supported"},
      {FILE_OF("\"added_tokens\":[" TOKEN(9, "x", "") "]," MODEL), "'x' has id 9"},
      {FILE_OF("\"added_tokens\":[" TOKEN(0, "a", "") "]," MODEL), "'a' has id 0"},
      {FILE_OF("\"added_tokens\":[" TOKEN(3, "", "") "]," MODEL), "added_tokens[0].content"},
      {FILE_OF("\"added_tokens\":[" TOKEN(3, "x", "") "," TOKEN(4, "x", "") "]," MODEL),
       "'x' is listed twice"},
      {FILE_OF("\"added_tokens\":[" TOKEN(3, "x", ",\"y\":0") "]," MODEL), "unknown key 'y'"},
      {FILE_OF(ADDED ",\"truncation\":5," MODEL), "truncation"},
      {FILE_OF(ADDED "," ADDED "," MODEL), "duplicate"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    cz_status st = parse(cases[i].json);
    if (st != CZ_EINVAL) fail_msg("case %zu was not refused: %s", i, cases[i].json);
    const char *message = cz_error_message();
    if (!strstr(message, "file.json") || !strstr(message, cases[i].words))
      fail_msg("case %zu: '%s' does not name '%s'", i, message, cases[i].words);
  }
}

static void test_smallest(void **state) {
  OK(parse(FILE_OF(ADDED "," MODEL)));
  OK(parse(FILE_OF(ADDED ",\"normalizer\":null,\"pre_tokenizer\":null,\"post_processor\":null,"
                         "\"decoder\":null,\"other\":1," MODEL)));
  OK(parse(FILE_OF("\"added_tokens\":[" TOKEN(3, "x", "") "]," MODEL)));
}

static void test_missing_file(void **state) {
  cz_tokenizer *t;
  assert_int_equal(cz_tokenizer_open(&t, "/nonexistent/tokenizer.json"), CZ_EIO);
  assert_null(t);
  assert_non_null(strstr(cz_error_message(), "/nonexistent/tokenizer.json"));
}

/* A regular expression that tries its text in 2^40 ways is given up, and named. */
static void test_endless(void **state) {
  static const char json[] =
      FILE_OF(ADDED ",\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":"
                    "\"(a+)+$\"},\"behavior\":\"Isolated\",\"invert\":false}," MODEL);
  static const char text[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab";
  cz_tokenizer *t;
  cz_tokenizer_scratch *scratch;
  cz_encoding e = {0};
  OK(cz_tokenizer_parse(&t, json, sizeof json - 1, "file.json"));
  OK(cz_tokenizer_scratch_create(&scratch, t));
  FAILS(cz_tokenizer_encode(t, &e, text, sizeof text - 1, SPECIAL, scratch), CZ_EINVAL,
        "the tokenizer's regular expression '(a+)+$' does not come to an end on a text of 41 bytes "
        "(PCRE2: match limit exceeded)");
  OK(cz_tokenizer_encode(t, &e, "aab", 3, SPECIAL, scratch));
  cz_encoding_free(&e);
  cz_tokenizer_scratch_destroy(&scratch);
  cz_tokenizer_destroy(&t);
}

/* Uses a file that happened to be accepted: whatever it says, encoding and decoding end
 * with a status. */
static void use(const cz_tokenizer *t) {
  static const char text[] = "The man's ½ e\xCC\x81 <extra_id_0> \xE6\x97\xA5 <mask> 12\t\n";
  cz_tokenizer_scratch *scratch;
  cz_encoding e = {0};
  cz_buf out = {0};
  OK(cz_tokenizer_scratch_create(&scratch, t));
  if (cz_tokenizer_encode(t, &e, text, sizeof text - 1, SPECIAL, scratch) == CZ_OK) {
    for (size_t i = 0; i < e.n; i++)
      assert_true(e.ids[i] >= 0 && e.ids[i] < cz_tokenizer_get_facts(t)->size &&
                  e.offsets[i].end < sizeof text);
    (void)!cz_tokenizer_decode(t, &out, e.ids, e.n, false);
  }
  cz_buf_free(&out);
  cz_encoding_free(&e);
  cz_tokenizer_scratch_destroy(&scratch);
}

static void damage(draws *d, char *text, size_t *n) {
  switch (draw(d, 4)) {
  case 0: *n = draw(d, *n); return;
  case 1: text[draw(d, *n)] ^= (char)(1 << draw(d, 8)); return;
  case 2: text[draw(d, *n)] = "{}[]\",:0-9eE\\x"[draw(d, 14)]; return;
  default: {
    size_t from = draw(d, *n), to = draw(d, *n), k = draw(d, 64);
    if (from + k <= *n && to + k <= *n) memmove(text + to, text + from, k);
  }
  }
}

static void fuzz(const char *name, int rounds) {
  draws d = draws_begin(name);
  char path[1024];
  cz_buf good = {0};
  int accepted = 0;
  fixture_path(path, name, "json");
  OK(cz_fs_read(path, &good));
  for (int i = 0; i < rounds; i++) {
    char *text = malloc(good.len + 1);
    size_t n = good.len;
    memcpy(text, good.data, n);
    for (uint64_t k = 1 + draw(&d, 3); k > 0 && n > 0; k--) damage(&d, text, &n);
    cz_tokenizer *t;
    if (cz_tokenizer_parse(&t, text, n, name) == CZ_OK) {
      accepted++;
      use(t);
    }
    cz_tokenizer_destroy(&t);
    free(text);
  }
  print_message("%s: %d of %d damaged files were still files\n", name, accepted, rounds);
  cz_buf_free(&good);
}

static void test_fuzz(void **state) {
  fuzz("t5_c", 900);
  fuzz("albert", 600);
  fuzz("added", 500);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_mistakes),
                                     cmocka_unit_test(test_smallest),
                                     cmocka_unit_test(test_missing_file),
                                     cmocka_unit_test(test_endless), cmocka_unit_test(test_fuzz)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
