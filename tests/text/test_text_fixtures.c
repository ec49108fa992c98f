/* Every shape of tokenizer.json on hostile texts: ids, offsets and decoded text equal the
 * Hugging Face library's. */
#include "text/common.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {
    "t5_a",       "t5_b",        "t5_c",    "bytes",     "xlmr",        "albert",
    "added",      "cuts",        "forms",   "gpt2",      "gpt2_gaps",   "gpt2_cut",
    "gpt2_whole", "byte_normal", "roberta", "bpe_words", "bpe_fallback"};

/* As the library encodes by itself. */
#define WHOLE ((cz_encode_options){.add_special = true, .characters = true})

typedef struct fixture {
  cz_tokenizer *t;
  cz_tokenizer_scratch *scratch;
  cz_encoding e;
  cz_buf out;
  const char *name;
} fixture;

static void check_ids(const fixture *f, const json_t *want, const char *what, size_t index) {
  assert_true(json_is_array(want));
  if (f->e.n != json_array_size(want))
    fail_msg("%s case %zu, %s: %zu tokens, the library has %zu", f->name, index, what, f->e.n,
             json_array_size(want));
  for (size_t i = 0; i < f->e.n; i++) {
    json_int_t id = json_integer_value(json_array_get(want, i));
    if (f->e.ids[i] != id)
      fail_msg("%s case %zu, %s: token %zu is %d, the library has %lld", f->name, index, what, i,
               (int)f->e.ids[i], (long long)id);
  }
}

static void check_offsets(const fixture *f, const json_t *want, size_t index) {
  for (size_t i = 0; i < f->e.n; i++) {
    const json_t *pair = json_array_get(want, i);
    json_int_t begin = json_integer_value(json_array_get(pair, 0)),
               end = json_integer_value(json_array_get(pair, 1));
    cz_text_span got = f->e.offsets[i];
    if (got.begin != begin || got.end != end)
      fail_msg("%s case %zu: token %zu spans [%u, %u], the library has [%lld, %lld]", f->name,
               index, i, got.begin, got.end, (long long)begin, (long long)end);
  }
}

static void check_decoded(fixture *f, const int32_t *ids, size_t n, const json_t *want, bool skip,
                          size_t index) {
  f->out.len = 0;
  OK(cz_tokenizer_decode(f->t, &f->out, ids, n, skip));
  bool equal = json_is_string(want) && json_string_length(want) == f->out.len &&
               memcmp(json_string_value(want), f->out.data, f->out.len) == 0;
  if (!equal)
    fail_msg("%s case %zu: decoded '%s', the library has '%s'", f->name, index, f->out.data,
             json_string_value(want));
}

static void check_case(fixture *f, const json_t *c, size_t index) {
  const json_t *text = json_object_get(c, "text");
  const char *s = json_string_value(text);
  size_t n = json_string_length(text);
  OK(cz_tokenizer_encode(f->t, &f->e, s, n, (cz_encode_options){0}, f->scratch));
  check_ids(f, json_object_get(c, "plain"), "without special tokens", index);
  OK(cz_tokenizer_encode(f->t, &f->e, s, n, WHOLE, f->scratch));
  check_ids(f, json_object_get(c, "ids"), "with special tokens", index);
  check_offsets(f, json_object_get(c, "offsets"), index);
  check_decoded(f, f->e.ids, f->e.n, json_object_get(c, "decoded"), false, index);
  check_decoded(f, f->e.ids, f->e.n, json_object_get(c, "skipped"), true, index);
}

/* Twice over all texts: the second time the word cache answers. */
static void run_fixture(const char *name) {
  fixture f = {.t = fixture_open(name), .name = name};
  OK(cz_tokenizer_scratch_create(&f.scratch, f.t));
  json_t *root = fixture_json(name, "cases.json");
  const json_t *cases = json_object_get(root, "cases");
  assert_true(json_array_size(cases) > 100);
  for (size_t i = 0; i < 2 * json_array_size(cases); i++) {
    size_t index = i % json_array_size(cases);
    check_case(&f, json_array_get(cases, index), index);
  }
  json_decref(root);
  cz_encoding_free(&f.e);
  cz_buf_free(&f.out);
  cz_tokenizer_scratch_destroy(&f.scratch);
  cz_tokenizer_destroy(&f.t);
}

static void test_equal_to_library(void **state) {
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) run_fixture(names[i]);
}

/* Small tokenizers whose added tokens want the same blanks: spans that are empty, or lie over one
 * another, come out as the library has them; where its own slice fails the text is refused. */
static void check_spans(const json_t *tokenizer, const json_t *vocabulary, size_t index,
                        size_t *refused) {
  fixture f = {.name = "added_spans"};
  size_t k;
  const json_t *c;
  json_t *whole = json_deep_copy(json_object_get(tokenizer, "fields"));
  json_object_set_new(whole, "version", json_string("1.0"));
  json_object_set_new(
      whole, "model",
      json_pack("{s:s, s:i, s:O}", "type", "Unigram", "unk_id", 0, "vocab", (json_t *)vocabulary));
  char *text = json_dumps(whole, JSON_COMPACT);
  OK(cz_tokenizer_parse(&f.t, text, strlen(text), f.name));
  OK(cz_tokenizer_scratch_create(&f.scratch, f.t));
  json_array_foreach(json_object_get(tokenizer, "cases"), k, c) {
    const json_t *s = json_array_get(c, 0), *ids = json_array_get(c, 1);
    const char *input = json_string_value(s);
    size_t n = json_string_length(s);
    if (json_is_null(ids)) {
      FAILS(cz_tokenizer_encode(f.t, &f.e, input, n, WHOLE, f.scratch), CZ_EINVAL,
            "lies in blanks that the token before it takes");
      ++*refused;
      continue;
    }
    OK(cz_tokenizer_encode(f.t, &f.e, input, n, WHOLE, f.scratch));
    check_ids(&f, ids, text, 1000 * index + k);
    check_offsets(&f, json_array_get(c, 2), 1000 * index + k);
  }
  free(text);
  json_decref(whole);
  cz_encoding_free(&f.e);
  cz_tokenizer_scratch_destroy(&f.scratch);
  cz_tokenizer_destroy(&f.t);
}

static void test_spans_of_added_tokens(void **state) {
  json_t *root = fixture_json("added_spans", "json");
  const json_t *list = json_object_get(root, "tokenizers");
  size_t refused = 0;
  assert_true(json_array_size(list) >= 100);
  for (size_t i = 0; i < json_array_size(list); i++)
    check_spans(json_array_get(list, i), json_object_get(root, "vocabulary"), i, &refused);
  assert_true(refused > 0);
  json_decref(root);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_equal_to_library),
                                     cmocka_unit_test(test_spans_of_added_tokens)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
