/* Byte pair encoding beyond the fixtures: merging against the plain rule, words of a megabyte,
 * GPT-2's words against its expression in PCRE2, and files that are not what they should be. */
#include "text/common.h"

#include "base/clock.h"
#include "base/utf8.h"
#include "text/bpe.h"
#include "text/byte_level.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>

enum { LETTERS = 5, MERGES = 60, LONGEST = 200 };

typedef struct rule {
  int32_t left, right, id;
} rule;

/* The definition: while there is a pair with a rule, the first rule in the list that fits anywhere
 * is applied at its leftmost place. */
static size_t merge_plainly(const rule *rules, size_t n_rules, int32_t *ids, uint32_t *lengths,
                            size_t n) {
  for (size_t r = 0; r < n_rules;) {
    size_t i = 0;
    while (i + 1 < n && (ids[i] != rules[r].left || ids[i + 1] != rules[r].right)) i++;
    if (i + 1 >= n) {
      r++;
      continue;
    }
    ids[i] = rules[r].id;
    lengths[i] += lengths[i + 1];
    memmove(ids + i + 1, ids + i + 2, (n - i - 2) * sizeof *ids);
    memmove(lengths + i + 1, lengths + i + 2, (n - i - 2) * sizeof *lengths);
    n--;
    r = 0;
  }
  return n;
}

/* Rules over tokens that earlier ones make, each pair once; now and then two make one token. */
static void random_rules(draws *d, rule rules[MERGES], cz__bpe_merges *merges) {
  int32_t id = LETTERS;
  for (size_t n = 0; n < MERGES;) {
    int32_t left = (int32_t)draw(d, (uint64_t)id), right = (int32_t)draw(d, (uint64_t)id);
    if (cz__bpe_find(merges, left, right)->rank != CZ__BPE_NONE) continue;
    assert_true(cz__bpe_merges_set(merges, left, right, (uint32_t)n, id));
    rules[n++] = (rule){left, right, id};
    if (draw(d, 4) > 0) id++;
  }
}

static void check_word(draws *d, const rule *rules, const cz__bpe_merges *merges,
                       cz__bpe_symbol *symbols) {
  int32_t ids[LONGEST];
  uint32_t lengths[LONGEST];
  size_t n = 1 + draw(d, draw(d, 2) ? 40 : LONGEST);
  uint64_t letters = 1 + draw(d, LETTERS); /* runs of one letter: ties and overlaps */
  for (size_t i = 0; i < n; i++) {
    ids[i] = (int32_t)draw(d, letters);
    lengths[i] = 1 + (uint32_t)draw(d, 3);
    symbols[i] = (cz__bpe_symbol){.id = ids[i], .length = lengths[i]};
  }
  size_t want = merge_plainly(rules, MERGES, ids, lengths, n),
         got = cz__bpe_merge_word(merges, symbols, n);
  if (got != want) fail_msg("%zu letters became %zu parts, not %zu", n, got, want);
  for (size_t i = 0; i < n && i < want; i++)
    if (symbols[i].id != ids[i] || symbols[i].length != lengths[i])
      fail_msg("part %zu of %zu letters is %d of length %u, not %d of %u", i, n, (int)symbols[i].id,
               symbols[i].length, (int)ids[i], lengths[i]);
}

static void test_merging(void **state) {
  draws d = draws_begin("merging");
  cz__bpe_symbol *symbols = malloc(cz__bpe_space(LONGEST));
  for (int round = 0; round < 100; round++) {
    rule rules[MERGES];
    cz_arena *arena;
    cz__bpe_merges merges;
    OK(cz_arena_create(&arena, "test"));
    OK(cz__bpe_merges_create(&merges, arena, MERGES));
    random_rules(&d, rules, &merges);
    for (int word = 0; word < 30; word++) check_word(&d, rules, &merges, symbols);
    cz_arena_destroy(&arena);
  }
  free(symbols);
}

/* A megabyte without a space; of one letter, where every merge is a tie; and of words that the
 * heap has to sort. Time that grew as the square would be hours. */
static void test_long_words(void **state) {
  static const char *const names[] = {"gpt2", "gpt2_gaps", "bpe_words", "bpe_fallback"};
  static const char *const words[] = {"a", "the", "internationalization", "x1x"};
  size_t n = 1 << 20;
  char *text = malloc(n);
  for (size_t k = 0; k < 4; k++) {
    cz_tokenizer *t = fixture_open(names[k]);
    cz_tokenizer_scratch *s;
    cz_encoding e = {0};
    OK(cz_tokenizer_scratch_create(&s, t));
    for (size_t j = 0; j < 4; j++) {
      size_t length = strlen(words[j]);
      for (size_t i = 0; i < n; i++) text[i] = words[j][i % length];
      double began = cz_seconds();
      OK(cz_tokenizer_encode(t, &e, text, n, (cz_encode_options){0}, s));
      assert_true(e.n > 0 && e.offsets[e.n - 1].end <= n);
      if (cz_seconds() - began > 20)
        fail_msg("%s: a megabyte of '%s' took %.0f s", names[k], words[j], cz_seconds() - began);
    }
    cz_encoding_free(&e);
    cz_tokenizer_scratch_destroy(&s);
    cz_tokenizer_destroy(&t);
  }
  free(text);
}

/* PCRE2's \s has U+180E, the library's has not; what PCRE2's Unicode does not know as a letter or
 * a number is not drawn: the fixture asks the library about every code point. */
static const char expression[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

static size_t random_text(draws *d, char *out) {
  static const char *const parts[] = {"'s",
                                      "'ll",
                                      "'",
                                      "'R",
                                      "re",
                                      "a",
                                      "Z",
                                      "1",
                                      "9",
                                      " ",
                                      "  ",
                                      "\n",
                                      "\t",
                                      "!",
                                      ".",
                                      "\xC3\xA9",
                                      "\xC2\xA0",
                                      "\xC2\xB2",
                                      "\xD6\x94",
                                      "\xCC\x81",
                                      "\xE3\x80\x80",
                                      "\xE2\x85\xA7",
                                      "\xE6\x97\xA5",
                                      "\xD9\xA3",
                                      "\xF0\x9F\x98\x80",
                                      "\xC2\x85",
                                      "\xE2\x80\x8B",
                                      "ve"};
  size_t n = 0;
  for (uint64_t k = 1 + draw(d, 14); k > 0; k--) {
    const char *part = parts[draw(d, sizeof parts / sizeof *parts)];
    memcpy(out + n, part, strlen(part));
    n += strlen(part);
  }
  return n;
}

static void test_words(void **state) {
  draws d = draws_begin("words of GPT-2");
  int error;
  PCRE2_SIZE where;
  pcre2_code *code = pcre2_compile((PCRE2_SPTR)expression, PCRE2_ZERO_TERMINATED,
                                   PCRE2_UTF | PCRE2_UCP, &error, &where, NULL);
  pcre2_match_data *match = pcre2_match_data_create(1, NULL);
  assert_true(code && match);
  for (int round = 0; round < 20000; round++) {
    char text[128];
    size_t n = random_text(&d, text);
    for (size_t at = 0; at < n;) {
      assert_true(pcre2_match(code, (PCRE2_SPTR)text, n, at, 0, match, NULL) > 0);
      const PCRE2_SIZE *hit = pcre2_get_ovector_pointer(match);
      assert_int_equal(hit[0], at); /* every character is in some word */
      size_t got = cz__gpt2_word(text + at, n - at);
      if (at + got != hit[1])
        fail_msg("'%.*s': the word at byte %zu ends at %zu, not at %zu", (int)n, text, at,
                 (size_t)hit[1], at + got);
      at = hit[1];
    }
  }
  pcre2_match_data_free(match);
  pcre2_code_free(code);
}

/* 256 bytes, 256 characters, and back. */
static void test_characters(void **state) {
  static const struct {
    unsigned char byte;
    uint32_t character;
  } known[] = {{' ', 0x120},  {'\n', 0x10a}, {0, 0x100},   {'!', '!'},    {'~', '~'},
               {0x7f, 0x121}, {0xa0, 0x142}, {0xa1, 0xa1}, {0xad, 0x143}, {0xff, 0xff}};
  cz_buf characters = {0}, bytes = {0};
  bool whole;
  for (int i = 0; i < 256; i++) {
    char c[2];
    OK(cz_buf_add(&characters, c, cz__byte_level_put(c, (unsigned char)i)));
  }
  OK(cz__byte_level_unmap(&bytes, &whole, characters.data, characters.len));
  assert_true(whole && bytes.len == 256);
  for (int i = 0; i < 256; i++) assert_int_equal((unsigned char)bytes.data[i], i);
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    char c[5] = {0};
    size_t n = cz__byte_level_put(c, known[i].byte), k;
    assert_int_equal(cz_utf8_next(c, &k), known[i].character);
    assert_int_equal(k, n);
  }
  OK(cz__byte_level_unmap(&bytes, &whole, "a\xC5\x84", 3)); /* U+0144 is none of them */
  assert_true(!whole && bytes.len == 256);
  cz_buf_free(&characters);
  cz_buf_free(&bytes);
}

#define FILE_OF(model)                                                                             \
  "{\"version\":\"1.0\",\"added_tokens\":[],\"model\":{\"type\":\"BPE\"," model "}}"
#define AB "\"vocab\":{\"a\":0,\"b\":1,\"ab\":2}"

static void test_mistakes(void **state) {
  static const struct {
    const char *json, *words;
  } cases[] = {
      {FILE_OF(AB), "model.merges"},
      {FILE_OF("\"vocab\":[],\"merges\":[]"), "model.vocab: expected an object {piece: id}"},
      {FILE_OF("\"vocab\":{\"a\":0,\"b\":2},\"merges\":[]"),
       "model.vocab: 'b' has id 2, but 2 pieces have the ids 0 to 1"},
      {FILE_OF("\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]"), "'a' and 'b' both have id 0"},
      {FILE_OF("\"vocab\":{\"a\":0,\"b\":-1},\"merges\":[]"), "model.vocab: 'b' has id -1"},
      {FILE_OF("\"vocab\":{\"a\":0,\"b\":1.5},\"merges\":[]"), "model.vocab.b: expected an id"},
      {FILE_OF(AB ",\"merges\":[\"a b\",\"a c\"]"),
       "model.merges[1]: the piece 'c' is not in the vocabulary"},
      {FILE_OF(AB ",\"merges\":[[\"b\",\"a\"]]"),
       "model.merges[0]: the piece 'ba' is not in the vocabulary"},
      {FILE_OF(AB ",\"merges\":[\"ab\"]"), "model.merges[0]: expected two pieces"},
      {FILE_OF(AB ",\"merges\":[\"a b c\"]"), "model.merges[0]: expected two pieces"},
      {FILE_OF(AB ",\"merges\":[[\"a\"]]"), "model.merges[0]: expected two pieces"},
      {FILE_OF(AB ",\"merges\":[],\"dropout\":0.1"), "model.dropout: expected null"},
      {FILE_OF(AB ",\"merges\":[],\"fuse_unk\":1"), "model.fuse_unk"},
      {FILE_OF(AB ",\"merges\":[],\"unk_token\":1"), "model.unk_token"},
      {FILE_OF(AB ",\"merges\":[],\"cache\":1"), "unknown key 'cache'"},
      {FILE_OF(AB ",\"merges\":[\"a b\"],\"continuing_subword_prefix\":\"##\""),
       "'b' is shorter than the continuing_subword_prefix '##'"},
      {FILE_OF(AB ",\"merges\":[],\"byte_fallback\":true,\"end_of_word_suffix\":\"</w>\""),
       "model.byte_fallback"},
      {"{\"version\":\"1.0\",\"added_tokens\":[],\"model\":{\"merges\":[]}}", "model.vocab"},
      {"{\"version\":\"1.0\",\"added_tokens\":[],\"decoder\":{\"type\":\"BPEDecoder\",\"suffix\":"
       "\"\"},\"model\":{\"type\":\"BPE\"," AB ",\"merges\":[]}}",
       "decoder.suffix"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    cz_tokenizer *t;
    FAILS(cz_tokenizer_parse(&t, cases[i].json, strlen(cases[i].json), "file.json"), CZ_EINVAL,
          cases[i].words);
    assert_non_null(strstr(cz_error_message(), "file.json"));
    assert_null(t);
  }
}

static void encodes(const char *model, const char *text, const char *tokens) {
  cz_tokenizer *t;
  cz_tokenizer_scratch *s;
  cz_encoding e = {0};
  cz_buf got = {0};
  OK(cz_tokenizer_parse(&t, model, strlen(model), "file.json"));
  OK(cz_tokenizer_scratch_create(&s, t));
  if (tokens) {
    OK(cz_tokenizer_encode(t, &e, text, strlen(text), (cz_encode_options){0}, s));
    for (size_t i = 0; i < e.n; i++) {
      size_t n;
      const char *token = cz_tokenizer_token(t, e.ids[i], &n);
      OK(cz_buf_addf(&got, "%s%.*s", i ? " " : "", (int)n, token));
    }
    assert_string_equal(got.data, tokens);
  } else {
    FAILS(cz_tokenizer_encode(t, &e, text, strlen(text), (cz_encode_options){0}, s), CZ_EINVAL,
          "the tokenizer's unk_token '?' is not in its vocabulary, nor is 'c'");
  }
  cz_buf_free(&got);
  cz_encoding_free(&e);
  cz_tokenizer_scratch_destroy(&s);
  cz_tokenizer_destroy(&t);
}

/* Of a pair that is given twice the later rank counts; ranks, not places in the text, decide. */
static void test_ranks(void **state) {
  encodes(FILE_OF("\"vocab\":{\"a\":0,\"b\":1,\"c\":2,\"ab\":3,\"bc\":4},\"merges\":[\"b c\",\"a "
                  "b\"]"),
          "abc", "a bc");
  encodes(FILE_OF("\"vocab\":{\"a\":0,\"b\":1,\"c\":2,\"ab\":3,\"bc\":4},\"merges\":[\"b c\",\"a "
                  "b\",\"b c\"]"),
          "abc", "ab c");
  encodes(FILE_OF("\"vocab\":{\"a\":0,\"b\":1,\"c\":2,\"ab\":3,\"bc\":4},\"merges\":[\"#version: "
                  "0.2\",\"a b\",[\"b\",\"c\"]]"),
          "abc", "ab c");
  encodes(FILE_OF("\"vocab\":{\"a\":0,\"aa\":1},\"merges\":[\"a a\"]"), "aaaaa", "aa aa a");
  encodes(FILE_OF(AB ",\"merges\":[\"a b\"],\"dropout\":0.0"), "abcab", "ab ab");
  encodes(FILE_OF(AB ",\"merges\":[],\"unk_token\":\"?\""), "ab", "a b");
  encodes(FILE_OF(AB ",\"merges\":[],\"unk_token\":\"?\""), "abc", NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_merging),  cmocka_unit_test(test_long_words),
      cmocka_unit_test(test_words),    cmocka_unit_test(test_characters),
      cmocka_unit_test(test_mistakes), cmocka_unit_test(test_ranks)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
