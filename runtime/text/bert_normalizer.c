/* BertNormalizer: cleaning, spaces around Chinese characters, accents off, lower case, each
 * optional. Nearly every character becomes at most one other, whatever stands beside it; what it
 * becomes is looked up in a table. A text with any other character goes step by step. */
#include "base/utf8.h"
#include "text/bert.h"
#include "text/forms.h"
#include "text/normalizers.h"

enum { TABLE_SIZE = 0x10000 };

/* What a character becomes: another one, with flags. */
#define DROPPED   (1U << 31)
#define SPACED    (1U << 30) /* with a space on either side */
#define ENTANGLED (1U << 29) /* by steps: several characters, or marks that change places */
#define CHARACTER 0x1fffffU

typedef struct normalizer {
  bool clean, space, strip, lower;
  uint32_t *table; /* of the characters below TABLE_SIZE */
} normalizer;

static bool is_dropped(uint32_t c) {
  return c != '\t' && c != '\n' && c != '\r' && (c == 0xfffd || cz_unicode_is_other(c));
}

/* The blocks that BERT took for Chinese; of extension E the library leaves out the first 256. */
static bool is_chinese(uint32_t c) {
  return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) ||
         (c >= 0x20000 && c <= 0x2a6df) || (c >= 0x2a700 && c <= 0x2b73f) ||
         (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b920 && c <= 0x2ceaf) ||
         (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

/* C without its accents: DROPPED when nothing else is left. */
static uint32_t stripped(uint32_t c) {
  uint32_t parts[CZ__FORM_PARTS], kept = DROPPED;
  size_t n;
  if (cz__form_parts(parts, &n, c, false) != CZ_OK) return ENTANGLED;
  for (size_t i = 0; i < n; i++) {
    if (cz_unicode_is_nonspacing(parts[i])) continue;
    if (kept != DROPPED || cz__combining_class(parts[i]) != 0) return ENTANGLED;
    kept = parts[i];
  }
  return kept;
}

static uint32_t look(const normalizer *b, uint32_t c) {
  uint32_t lower[2], flags = 0;
  if (b->clean && is_dropped(c)) return DROPPED;
  if (b->clean && cz_unicode_is_space(c)) c = ' ';
  if (b->space && is_chinese(c)) flags = SPACED;
  if (b->strip) c = stripped(c);
  if (c & (DROPPED | ENTANGLED)) return c;
  if (b->lower) {
    if (cz_unicode_lower(c, lower) != 1) return ENTANGLED;
    c = lower[0];
  }
  return c | flags;
}

/** Reads a BertNormalizer. `strip_accents` null: as `lowercase`. */
cz_status cz__bert_normalizer_parse(void **data, cz_arena *arena, const json_t *o,
                                    const cz_json_place *at) {
  normalizer *b;
  const json_t *strip = json_object_get(o, "strip_accents");
  CZ_TRY(cz_json_only(
      o, at, CZ__KEYS("clean_text", "handle_chinese_chars", "strip_accents", "lowercase")));
  CZ_TRY(cz_arena_alloc(arena, &b, 1, sizeof *b));
  CZ_TRY(cz_json_get_bool(&b->clean, o, at, "clean_text"));
  CZ_TRY(cz_json_get_bool(&b->space, o, at, "handle_chinese_chars"));
  CZ_TRY(cz_json_get_bool(&b->lower, o, at, "lowercase"));
  b->strip = b->lower;
  if (strip && !json_is_null(strip)) CZ_TRY(cz_json_get_bool(&b->strip, o, at, "strip_accents"));
  CZ_TRY(cz_arena_alloc(arena, &b->table, TABLE_SIZE, sizeof *b->table));
  for (uint32_t c = 0; c < TABLE_SIZE; c++) b->table[c] = look(b, c);
  *data = b;
  return CZ_OK;
}

static cz_status clean(cz__work *w) {
  CZ_TRY(cz__filter(w, is_dropped));
  w->changes.len = 0;
  for (size_t i = 0, k; i < w->text.len; i += k) {
    uint32_t c = cz_utf8_next(w->text.bytes + i, &k);
    CZ_TRY(cz__changes_add(&w->changes, cz_unicode_is_space(c) ? ' ' : c, 0));
  }
  return cz__changes_apply(w, 0);
}

static cz_status space_chinese(cz__work *w) {
  w->changes.len = 0;
  for (size_t i = 0, k; i < w->text.len; i += k) {
    uint32_t c = cz_utf8_next(w->text.bytes + i, &k);
    bool chinese = is_chinese(c);
    if (chinese) CZ_TRY(cz__changes_add(&w->changes, ' ', 0));
    CZ_TRY(cz__changes_add(&w->changes, c, chinese));
    if (chinese) CZ_TRY(cz__changes_add(&w->changes, ' ', 1));
  }
  return cz__changes_apply(w, 0);
}

static cz_status run_steps(const normalizer *b, cz__work *w) {
  if (b->clean) CZ_TRY(clean(w));
  if (b->space) CZ_TRY(space_chinese(w));
  if (b->strip) CZ_TRY(cz__form_nfd(NULL, w));
  if (b->strip) CZ_TRY(cz__filter(w, cz_unicode_is_nonspacing));
  return b->lower ? cz__lowercase(NULL, w) : CZ_OK;
}

static void put(cz__aligned *a, uint32_t c, cz_text_span span) {
  size_t k = 1;
  if (c < 0x80) {
    a->bytes[a->len] = (char)c;
  } else {
    k = cz_utf8_put(a->bytes + a->len, c);
  }
  for (size_t j = 0; j < k; j++) a->spans[a->len + j] = span;
  a->len += k;
}

/* By the table, into w->spare; *DONE is false at a character that can't be looked up. */
static cz_status run_table(const normalizer *b, cz__work *w, bool *done) {
  const cz__aligned *text = &w->text;
  CZ_TRY(cz__aligned_reserve(&w->spare, 2 * text->len)); /* spaces around one of three bytes */
  w->spare.len = 0;
  *done = false;
  for (size_t i = 0, k; i < text->len; i += k) {
    uint32_t c = cz_utf8_next(text->bytes + i, &k), x = c < TABLE_SIZE ? b->table[c] : look(b, c);
    if (x & ENTANGLED) return CZ_OK;
    if (x & DROPPED) continue;
    if (x & SPACED) put(&w->spare, ' ', text->spans[i]);
    put(&w->spare, x & CHARACTER, text->spans[i]);
    if (x & SPACED) put(&w->spare, ' ', text->spans[i]);
  }
  *done = true;
  cz__aligned_swap(&w->text, &w->spare);
  return CZ_OK;
}

/** The normalizer. */
cz_status cz__bert_normalizer_run(const void *data, cz__work *w) {
  bool done = false;
  CZ_TRY(run_table(data, w, &done));
  return done ? CZ_OK : run_steps(data, w);
}
