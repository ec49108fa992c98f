/* The decoders: each rewrites the list of strings w->words into w->next_words and makes
 * that the current one. */
#include "base/utf8.h"
#include "text/bert.h"
#include "text/byte_level.h"
#include "text/metaspace.h"
#include "text/replace.h"

#include <string.h>

static cz_status add_word(cz__work *w, const char *s, size_t n) {
  CZ_TRY(cz_buf_add(&w->next_words.bytes, s, n));
  return cz__words_end(&w->next_words);
}

typedef struct strip {
  char mark[4];
  size_t mark_n;
  int64_t start, stop; /* at most so many at each end */
} strip;

static cz_status parse_strip(void **data, cz_arena *arena, const json_t *o,
                             const cz_json_place *at) {
  strip *s;
  uint32_t mark;
  CZ_TRY(cz_json_only(o, at, CZ__KEYS("content", "start", "stop")));
  CZ_TRY(cz_arena_alloc(arena, &s, 1, sizeof *s));
  CZ_TRY(cz__json_character(&mark, o, at, "content"));
  s->mark_n = cz_utf8_put(s->mark, mark);
  CZ_TRY(cz__json_count(&s->start, o, at, "start"));
  CZ_TRY(cz__json_count(&s->stop, o, at, "stop"));
  *data = s;
  return CZ_OK;
}

static cz_status strip_word(const void *data, cz__work *w, const char *s, size_t n, size_t index) {
  const strip *p = data;
  size_t k = p->mark_n;
  for (int64_t i = 0; i < p->start && n >= k && memcmp(s, p->mark, k) == 0; i++) {
    s += k;
    n -= k;
  }
  for (int64_t i = 0; i < p->stop && n >= k && memcmp(s + n - k, p->mark, k) == 0; i++) n -= k;
  return add_word(w, s, n);
}

static cz_status run_strip(const void *data, cz__work *w) {
  return cz__words_each(w, strip_word, data);
}

static cz_status run_fuse(const void *data, cz__work *w) {
  w->words.len = 0; /* the bytes stay; one end remains */
  return cz__words_end(&w->words);
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The byte that a token such as <0x0A> stands for, or -1. */
static int byte_of(const char *s, size_t n) {
  if (n != 6 || memcmp(s, "<0x", 3) != 0 || s[5] != '>') return -1;
  if (s[3] == '+')
    return hex_digit(s[4]); /* Rust's number parser, which decides here, takes a sign */
  return hex_digit(s[3]) < 0 || hex_digit(s[4]) < 0 ? -1 : hex_digit(s[3]) * 16 + hex_digit(s[4]);
}

/* The bytes from BEGIN on become one word when they are UTF-8, else one U+FFFD each. */
static cz_status end_bytes(cz__work *w, size_t begin) {
  cz_buf *b = &w->next_words.bytes;
  size_t n = b->len - begin;
  if (n == 0) return CZ_OK;
  if (cz_utf8_check(b->data + begin, n) == n) return cz__words_end(&w->next_words);
  b->len = begin;
  for (size_t i = 0; i < n; i++) CZ_TRY(add_word(w, "\xEF\xBF\xBD", 3));
  return CZ_OK;
}

static cz_status run_byte_fallback(const void *data, cz__work *w) {
  cz__words_clear(&w->next_words);
  size_t open = 0; /* where the run of bytes began in next_words */
  for (size_t i = 0; i < w->words.len; i++) {
    size_t begin = i ? w->words.ends[i - 1] : 0, n = w->words.ends[i] - begin;
    const char *s = w->words.bytes.data + begin;
    int byte = byte_of(s, n);
    if (byte >= 0) {
      CZ_TRY(cz_buf_add(&w->next_words.bytes, (char[1]){(char)byte}, 1));
      continue;
    }
    CZ_TRY(end_bytes(w, open));
    CZ_TRY(add_word(w, s, n));
    open = w->next_words.bytes.len;
  }
  CZ_TRY(end_bytes(w, open));
  cz__work_swap_words(w);
  return CZ_OK;
}

typedef struct bpe_decoder {
  char *suffix;
  size_t suffix_n;
} bpe_decoder;

static cz_status parse_bpe(void **data, cz_arena *arena, const json_t *o, const cz_json_place *at) {
  bpe_decoder *d;
  const char *s;
  CZ_TRY(cz_json_only(o, at, CZ__KEYS("suffix")));
  CZ_TRY(cz_arena_alloc(arena, &d, 1, sizeof *d));
  CZ_TRY(cz_json_get_bytes(&s, &d->suffix_n, o, at, "suffix"));
  if (d->suffix_n == 0) return cz_json_fail(at, "suffix", "an empty suffix is everywhere");
  CZ_TRY(cz__copy_bytes(&d->suffix, arena, s, d->suffix_n));
  *data = d;
  return CZ_OK;
}

/* The suffix ends a word: a space, but at the end of the text nothing. */
static cz_status end_words(const void *data, cz__work *w, const char *s, size_t n, size_t index) {
  const bpe_decoder *d = data;
  bool last = index + 1 == w->words.len;
  while (n > 0) {
    const char *hit = cz__find_bytes(s, n, d->suffix, d->suffix_n);
    size_t k = hit ? (size_t)(hit - s) : n;
    CZ_TRY(cz_buf_add(&w->next_words.bytes, s, k));
    if (hit && !last) CZ_TRY(cz_buf_add(&w->next_words.bytes, " ", 1));
    if (hit) k += d->suffix_n;
    s += k;
    n -= k;
  }
  return cz__words_end(&w->next_words);
}

static cz_status run_bpe(const void *data, cz__work *w) {
  return cz__words_each(w, end_words, data);
}

static const cz__part_row rows[] = {
    {"WordPiece", cz__wordpiece_decoder_parse, cz__wordpiece_decoder_run, NULL},
    {"Metaspace", cz__metaspace_parse, cz__metaspace_decode, NULL},
    {"Replace", cz__replace_parse, cz__replace_decode, cz__replace_release},
    {"Strip", parse_strip, run_strip, NULL},
    {"Fuse", NULL, run_fuse, NULL},
    {"ByteFallback", NULL, run_byte_fallback, NULL},
    {"ByteLevel", cz__byte_level_parse, cz__byte_level_decode, NULL},
    {"BPEDecoder", parse_bpe, run_bpe, NULL},
};

const cz__part_table cz__decoders = {"decoder", "decoders", rows, sizeof rows / sizeof *rows};
