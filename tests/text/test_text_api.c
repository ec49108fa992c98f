/* The public calls beyond the fixtures: facts, look-ups, bad text, threads, reuse. */
#include "text/common.h"

#include "base/fs.h"
#include "base/hash.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_facts(void **state) {
  cz_tokenizer *t = fixture_open("t5_a"), *other = fixture_open("t5_b");
  const cz_tokenizer_facts *f = cz_tokenizer_get_facts(t);
  char path[1024];
  cz_buf bytes = {0};
  fixture_path(path, "t5_a", "json");
  OK(cz_fs_read(path, &bytes));
  assert_int_equal(f->size, 514);
  assert_int_equal(f->pad, 0);
  assert_int_equal(f->eos, 1);
  assert_int_equal(f->unk, 2);
  assert_true(f->hash == cz_hash64(bytes.data, bytes.len, 0));
  assert_true(f->hash != cz_tokenizer_get_facts(other)->hash);
  for (int k = 0; k < 12; k++) { /* eleven sentinels, counting down from the last id */
    char name[32];
    assert_int_equal(
        cz_tokenizer_id(t, name, (size_t)snprintf(name, sizeof name, "<extra_id_%d>", k)),
        k < 11 ? 513 - k : -1);
  }
  cz_buf_free(&bytes);
  cz_tokenizer_destroy(&other);
  cz_tokenizer_destroy(&t);
}

static void test_look_ups(void **state) {
  static const char *const names[] = {"t5_a", "bytes", "xlmr", "albert", "added"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    cz_tokenizer *t = fixture_open(names[i]);
    int32_t size = cz_tokenizer_get_facts(t)->size;
    size_t n;
    for (int32_t id = 0; id < size; id++) {
      const char *token = cz_tokenizer_token(t, id, &n);
      assert_non_null(token);
      assert_int_equal(token[n], 0);
      assert_int_equal(cz_tokenizer_id(t, token, n), id);
    }
    assert_null(cz_tokenizer_token(t, -1, &n));
    assert_null(cz_tokenizer_token(t, size, &n));
    assert_int_equal(cz_tokenizer_id(t, "no such token", 13), -1);
    assert_int_equal(cz_tokenizer_id(t, "", 0), -1);
    cz_tokenizer_destroy(&t);
  }
}

static void test_bad_text(void **state) {
  cz_tokenizer *t = fixture_open("t5_a");
  cz_tokenizer_scratch *s;
  cz_encoding e = {0};
  OK(cz_tokenizer_scratch_create(&s, t));
  assert_int_equal(cz_tokenizer_encode(t, &e, "the \xff man", 9, SPECIAL, s), CZ_EINVAL);
  assert_non_null(strstr(cz_error_message(), "byte 0xff at offset 4"));
  assert_int_equal(e.n, 0);
  OK(cz_tokenizer_encode(t, &e, "the man", 7, SPECIAL, s)); /* the scratch is still good */
  assert_int_equal(e.ids[e.n - 1], 1);
  OK(cz_tokenizer_encode(t, &e, NULL, 0, SPECIAL, s));
  assert_int_equal(e.n, 1);
  cz_encoding_free(&e);
  cz_tokenizer_scratch_destroy(&s);
  cz_tokenizer_destroy(&t);
}

static void test_no_unknown(void **state) {
  static const char json[] = "{\"version\":\"1.0\",\"added_tokens\":[],\"model\":{\"type\":"
                             "\"Unigram\",\"unk_id\":null,\"vocab\":[[\"a\",-1],[\"aa\",-1.5]]}}";
  cz_tokenizer *t;
  cz_tokenizer_scratch *s;
  cz_encoding e = {0};
  OK(cz_tokenizer_parse(&t, json, strlen(json), "json"));
  OK(cz_tokenizer_scratch_create(&s, t));
  OK(cz_tokenizer_encode(t, &e, "aaa", 3, SPECIAL, s));
  assert_int_equal(e.n, 2);
  assert_int_equal(cz_tokenizer_encode(t, &e, "aba", 3, SPECIAL, s), CZ_EINVAL);
  assert_non_null(strstr(cz_error_message(), "no piece for 'b'"));
  cz_encoding_free(&e);
  cz_tokenizer_scratch_destroy(&s);
  cz_tokenizer_destroy(&t);
}

/* Ids that do not exist yield nothing, as in the library. */
static void test_decode_strangers(void **state) {
  cz_tokenizer *t = fixture_open("t5_a");
  cz_buf with = {0}, without = {0};
  int32_t ids[] = {-1, 20, 9999999, 21, INT32_MAX, INT32_MIN};
  OK(cz_tokenizer_decode(t, &with, ids, 6, true));
  OK(cz_tokenizer_decode(t, &without, (int32_t[]){20, 21}, 2, true));
  assert_string_equal(with.data, without.data);
  cz_buf_free(&with);
  cz_buf_free(&without);
  cz_tokenizer_destroy(&t);
}

enum { THREADS = 4, ROUNDS = 30 };

typedef struct job {
  const cz_tokenizer *t;
  const json_t *cases;
  uint64_t hash;
  int start;
} job;

/* Encodes all cases in an order of its own; the sum of hashes does not depend on the
 * order. */
static void *encode_all(void *data) {
  job *j = data;
  cz_tokenizer_scratch *s;
  cz_encoding e = {0};
  size_t n = json_array_size(j->cases);
  if (cz_tokenizer_scratch_create(&s, j->t) != CZ_OK) return NULL;
  for (size_t i = 0; i < ROUNDS * n; i++) {
    const json_t *text =
        json_object_get(json_array_get(j->cases, (i + (size_t)j->start * 31) % n), "text");
    if (cz_tokenizer_encode(j->t, &e, json_string_value(text), json_string_length(text), SPECIAL,
                            s) != CZ_OK)
      break;
    j->hash +=
        cz_hash64(e.ids, e.n * sizeof *e.ids, 1) + cz_hash64(e.offsets, e.n * sizeof *e.offsets, 2);
  }
  cz_encoding_free(&e);
  cz_tokenizer_scratch_destroy(&s);
  return NULL;
}

static void test_threads(void **state) {
  cz_tokenizer *t = fixture_open("t5_b");
  json_t *root = fixture_json("t5_b", "cases.json");
  pthread_t threads[THREADS];
  job jobs[THREADS];
  for (int i = 0; i < THREADS; i++) {
    jobs[i] = (job){.t = t, .cases = json_object_get(root, "cases"), .start = i};
    assert_int_equal(pthread_create(&threads[i], NULL, encode_all, &jobs[i]), 0);
  }
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  for (int i = 1; i < THREADS; i++) assert_true(jobs[i].hash == jobs[0].hash);
  assert_true(jobs[0].hash != 0);
  json_decref(root);
  cz_tokenizer_destroy(&t);
}

/* A word of a megabyte, and as many words: memory and time stay linear. */
static void test_long_text(void **state) {
  cz_tokenizer *t = fixture_open("bytes");
  cz_tokenizer_scratch *s;
  cz_encoding e = {0};
  cz_buf out = {0};
  size_t n = 1 << 20;
  char *text = malloc(n + 1);
  OK(cz_tokenizer_scratch_create(&s, t));
  for (size_t i = 0; i < n; i++) text[i] = "thequickbrown~"[i % 14];
  OK(cz_tokenizer_encode(t, &e, text, n, (cz_encode_options){0}, s));
  assert_int_equal(e.offsets[e.n - 1].end, n);
  OK(cz_tokenizer_decode(t, &out, e.ids, e.n, false));
  assert_int_equal(out.len, n);
  assert_memory_equal(out.data, text, n);
  for (size_t i = 0; i < n; i++) text[i] = i % 2 ? ' ' : 'a';
  OK(cz_tokenizer_encode(t, &e, text, n, (cz_encode_options){0}, s));
  assert_int_equal(e.n, n / 2);
  free(text);
  cz_buf_free(&out);
  cz_encoding_free(&e);
  cz_tokenizer_scratch_destroy(&s);
  cz_tokenizer_destroy(&t);
}

/* With byte fallback nothing is lost but the spacing between words. */
static void test_round_trip(void **state) {
  draws d = draws_begin("round trip");
  cz_tokenizer *t = fixture_open("bytes");
  cz_tokenizer_scratch *s;
  cz_encoding e = {0};
  cz_buf out = {0};
  OK(cz_tokenizer_scratch_create(&s, t));
  for (int round = 0; round < 2000; round++) {
    static const char *const atoms[] = {"the",          "man", "\xC2\xBD",    "\xF0\x9F\x98\x80",
                                        "e\xCC\x81",    ".",   "Q",           "\x01",
                                        "\xE6\x97\xA5", "7",   "\xEF\xAC\x81"};
    char text[256] = "";
    uint64_t words = 1 + draw(&d, 6);
    for (uint64_t w = 0; w < words; w++) {
      if (w) strcat(text, " ");
      for (uint64_t k = 1 + draw(&d, 5); k > 0; k--)
        strcat(text, atoms[draw(&d, sizeof atoms / sizeof *atoms)]);
    }
    OK(cz_tokenizer_encode(t, &e, text, strlen(text), SPECIAL, s));
    out.len = 0;
    OK(cz_tokenizer_decode(t, &out, e.ids, e.n, true));
    assert_string_equal(out.data, text);
  }
  cz_buf_free(&out);
  cz_encoding_free(&e);
  cz_tokenizer_scratch_destroy(&s);
  cz_tokenizer_destroy(&t);
}

/* A tokenizer of the vocabulary {<unk>, a, A, blank} and the parts in FIELDS, and what
 * TEXT, encoded with it, is refused for; null: it is not. */
static void encodes(const char *fields, const char *text, const char *why) {
  cz_buf json = {0};
  cz_tokenizer *t;
  cz_tokenizer_scratch *s;
  cz_encoding e = {0};
  OK(cz_buf_addf(&json,
                 "{\"version\":\"1.0\",%s,\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[["
                 "\"<unk>\",0],[\"a\",-1],[\"A\",-2],[\" \",-3]]}}",
                 fields));
  OK(cz_tokenizer_parse(&t, json.data, json.len, "json"));
  OK(cz_tokenizer_scratch_create(&s, t));
  if (why)
    FAILS(cz_tokenizer_encode(t, &e, text, strlen(text), SPECIAL, s), CZ_EINVAL, why);
  else
    OK(cz_tokenizer_encode(t, &e, text, strlen(text), SPECIAL, s));
  cz_encoding_free(&e);
  cz_tokenizer_scratch_destroy(&s);
  cz_tokenizer_destroy(&t);
  cz_buf_free(&json);
}

#define ADDED_TOKEN(id, content, left, right)                                                      \
  "{\"id\":" #id ",\"content\":\"" content "\",\"single_word\":false,\"lstrip\":" #left            \
  ",\"rstrip\":" #right ",\"normalized\":true,\"special\":false}"

/* Two added tokens that want the same blanks gave a span that ends before it begins. */
static void test_crossed_tokens(void **state) {
  static const char both[] = "\"added_tokens\":[" ADDED_TOKEN(2, "A", false, true) "," ADDED_TOKEN(
      3, " ", true, false) "]";
  encodes(both, "A a", NULL);
  encodes(both, "A  b", "lies in blanks that the token before it takes");
}

/* Six rules that each make ten letters of one: 3 kB of rules made gigabytes of a word. */
static void test_growth(void **state) {
  static const char rule[] =
      "{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"aaaaaaaaaa\"}";
  cz_buf fields = {0};
  OK(cz_buf_addf(&fields,
                 "\"added_tokens\":[],\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":["));
  for (int i = 0; i < 12; i++) OK(cz_buf_addf(&fields, "%s%s", i ? "," : "", rule));
  OK(cz_buf_addf(&fields, "]}"));
  encodes(fields.data, "b", NULL);
  encodes(fields.data, "a", "the tokenizer's rules make more than");
  cz_buf_free(&fields);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_facts),
                                     cmocka_unit_test(test_look_ups),
                                     cmocka_unit_test(test_bad_text),
                                     cmocka_unit_test(test_no_unknown),
                                     cmocka_unit_test(test_decode_strangers),
                                     cmocka_unit_test(test_threads),
                                     cmocka_unit_test(test_long_text),
                                     cmocka_unit_test(test_crossed_tokens),
                                     cmocka_unit_test(test_growth),
                                     cmocka_unit_test(test_round_trip)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
