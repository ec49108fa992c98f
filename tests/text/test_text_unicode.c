/* Character classes, lower case and normalisation forms of every code point equal the
 * Hugging Face library's; UTF-8 is checked strictly. */
#include "base/utf8.h"
#include "text/common.h"

#include "text/bert.h"
#include "text/forms.h"
#include "text/unicode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool in_fixture(const json_t *ranges, uint32_t c, size_t *at) {
  while (*at < json_array_size(ranges) &&
         json_integer_value(json_array_get(json_array_get(ranges, *at), 1)) < c)
    ++*at;
  return *at < json_array_size(ranges) &&
         json_integer_value(json_array_get(json_array_get(ranges, *at), 0)) <= c;
}

static void test_classes(void **state) {
  static const struct {
    const char *file, *name;
    cz_unicode_class is;
  } classes[] = {{"classes", "mark", cz_unicode_is_mark},
                 {"classes", "nonspacing", cz_unicode_is_nonspacing},
                 {"classes", "other", cz_unicode_is_other},
                 {"classes", "space", cz_unicode_is_space},
                 {"classes", "word", cz_unicode_is_word},
                 {"classes", "numeric", cz_unicode_is_numeric},
                 {"classes", "punctuation", cz_unicode_is_punctuation},
                 {"gpt2_classes", "letter", cz_unicode_is_letter},
                 {"gpt2_classes", "number", cz_unicode_is_number},
                 {"gpt2_classes", "space", cz_unicode_is_space}};
  for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
    json_t *root = fixture_json(classes[i].file, "json");
    const json_t *ranges = json_object_get(root, classes[i].name);
    size_t at = 0;
    assert_true(json_array_size(ranges) > 5);
    for (uint32_t c = 1; c < 0x110000; c++) {
      if (c >= 0xd800 && c < 0xe000) continue;
      bool want = in_fixture(ranges, c, &at);
      if (classes[i].is(c) != want)
        fail_msg("U+%04X: %s is %d, the library says %d", (unsigned)c, classes[i].name, !want,
                 want);
    }
    json_decref(root);
  }
}

static void test_lower(void **state) {
  json_t *root = fixture_json("classes", "json");
  const json_t *shifts = json_object_get(root, "lower");
  size_t at = 0;
  for (uint32_t c = 1; c < 0x110000; c++) {
    if (c >= 0xd800 && c < 0xe000) continue;
    uint32_t lower[2], want = c;
    size_t n = cz_unicode_lower(c, lower);
    if (c == 0x130) {
      assert_int_equal(n, 2);
      continue;
    }
    if (in_fixture(shifts, c, &at))
      want = (uint32_t)(c + json_integer_value(json_array_get(json_array_get(shifts, at), 2)));
    if (n != 1 || lower[0] != want)
      fail_msg("U+%04X: lower case U+%04X, the library says U+%04X", (unsigned)c,
               (unsigned)lower[0], (unsigned)want);
  }
  json_decref(root);
}

static uint64_t fnv1a(const char *s, size_t n, uint64_t h) {
  for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)s[i]) * 0x100000001b3ULL;
  return h;
}

typedef cz_status (*run_fn)(const void *data, cz__work *w);

/* Adds what RUN makes of TEXT to the hash H, unless it leaves it as it is. */
static uint64_t add_result(cz__work *w, run_fn run, const void *data, const char *text,
                           uint64_t h) {
  size_t n = strlen(text);
  OK(cz__aligned_set(&w->text, text, n, 0));
  OK(run(data, w));
  bool same = w->text.len == n && memcmp(w->text.bytes, text, n) == 0;
  return same ? h : fnv1a(w->text.bytes, w->text.len, h);
}

static void test_forms(void **state) {
  static const struct {
    const char *name;
    run_fn run;
  } forms[] = {{"NFC", cz__form_nfc},
               {"NFD", cz__form_nfd},
               {"NFKC", cz__form_nfkc},
               {"NFKD", cz__form_nfkd}};
  json_t *root = fixture_json("classes", "json");
  cz__work w = {0};
  for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
    uint64_t h = 0xcbf29ce484222325ULL;
    for (uint32_t c = 1; c < 0x30000; c++) { /* what lies above has no normalisation */
      if (c >= 0xd800 && c < 0xe000) continue;
      char one[5] = {0}, text[32];
      cz_utf8_put(one, c);
      h = add_result(&w, forms[i].run, NULL, one, h);
      snprintf(text, sizeof text, "\xEE\x84\xA3\xCD\x85%s",
               one); /* behind a mark of a high class */
      h = add_result(&w, forms[i].run, NULL, text, h);
      snprintf(text, sizeof text, "%s\xCC\xB4\xCC\x81", one); /* before marks of a low one */
      h = add_result(&w, forms[i].run, NULL, text, h);
    }
    char hex[17];
    snprintf(hex, sizeof hex, "%016llx", (unsigned long long)h);
    assert_string_equal(
        hex, json_string_value(json_object_get(json_object_get(root, "forms"), forms[i].name)));
  }
  cz__work_free(&w);
  json_decref(root);
}

/* BertNormalizer of SETTINGS, [clean, chinese, strip, lower, hash], over every character: alone,
 * and behind a letter, before marks that change places. */
static void check_bert(const json_t *settings) {
  static const char *const keys[] = {"clean_text", "handle_chinese_chars", "strip_accents",
                                     "lowercase"};
  json_t *o = json_pack("{s:s}", "type", "BertNormalizer");
  cz_json_place at = {.file = "settings"};
  cz_arena *arena;
  cz__work w = {0};
  void *data;
  uint64_t h = 0xcbf29ce484222325ULL;
  for (size_t i = 0; i < 4; i++) {
    const json_t *x = json_array_get(settings, i);
    json_object_set_new(o, keys[i],
                        json_is_null(x) ? json_null() : json_boolean(json_integer_value(x)));
  }
  OK(cz_arena_create(&arena, "test"));
  OK(cz__bert_normalizer_parse(&data, arena, o, &at));
  for (uint32_t c = 1; c < 0x110000; c++) {
    if (c >= 0xd800 && c < 0xe000) continue;
    char one[5] = {0}, text[32];
    cz_utf8_put(one, c);
    h = add_result(&w, cz__bert_normalizer_run, data, one, h);
    if (c >= 0x30000) continue; /* what lies above neither joins nor changes places */
    snprintf(text, sizeof text, "x%s\xCC\xA3\xE3\x80\xAE\xCC\x81", one);
    h = add_result(&w, cz__bert_normalizer_run, data, text, h);
  }
  char hex[17];
  snprintf(hex, sizeof hex, "%016llx", (unsigned long long)h);
  assert_string_equal(hex, json_string_value(json_array_get(settings, 4)));
  cz__work_free(&w);
  cz_arena_destroy(&arena);
  json_decref(o);
}

static void test_bert(void **state) {
  json_t *root = fixture_json("classes", "json");
  const json_t *list = json_object_get(root, "bert"), *settings;
  size_t i;
  assert_int_equal(json_array_size(list), 5);
  json_array_foreach(list, i, settings) check_bert(settings);
  json_decref(root);
}

static void test_utf8(void **state) {
  static const struct {
    const char *text;
    size_t n, good;
  } cases[] = {{"", 0, 0},
               {"abc", 3, 3},
               {"a\0b", 3, 3},
               {"\xc3\xa9", 2, 2},
               {"a\xff", 2, 1},
               {"a\xc3", 2, 1},
               {"\xc0\x80", 2, 0},
               {"\xe0\x80\x80", 3, 0},
               {"x\xed\xa0\x80", 4, 1},
               {"\xf4\x90\x80\x80", 4, 0},
               {"\xf0\x9f\x98", 3, 0},
               {"\x80", 1, 0},
               {"\xf4\x8f\xbf\xbf", 4, 4},
               {"\xef\xbf\xbe", 3, 3},
               {"ab\xe2\x82\x28", 5, 2}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    if (cz_utf8_check(cases[i].text, cases[i].n) != cases[i].good)
      fail_msg("case %zu: not %zu", i, cases[i].good);
  for (uint32_t c = 1; c < 0x110000; c++) {
    if (c >= 0xd800 && c < 0xe000) continue;
    char s[4];
    size_t k, n = cz_utf8_put(s, c);
    if (cz_utf8_check(s, n) != n || cz_utf8_next(s, &k) != c || k != n ||
        cz_utf8_length((unsigned char)s[0]) != n || cz_utf8_back(s, n) != 0)
      fail_msg("U+%04X does not survive", (unsigned)c);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_classes), cmocka_unit_test(test_lower),
                                     cmocka_unit_test(test_forms), cmocka_unit_test(test_bert),
                                     cmocka_unit_test(test_utf8)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
