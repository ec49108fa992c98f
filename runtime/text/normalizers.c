/* The normalizers: each rewrites w->text, whose bytes keep their alignment with the
 * input. */
#include "base/utf8.h"
#include "text/bert.h"
#include "text/byte_level.h"
#include "text/charsmap.h"
#include "text/forms.h"
#include "text/normalizers.h"
#include "text/replace.h"
#include "text/unicode.h"

#include <string.h>

/** Makes w->changes the text, behind its first REMOVED_FIRST characters. */
cz_status cz__changes_apply(cz__work *w, size_t removed_first) {
  return cz__aligned_transform(&w->text, &w->spare, &w->changes, removed_first, w->origin);
}

/** Keeps the characters for which DROP does not hold. */
cz_status cz__filter(cz__work *w, cz_unicode_class drop) {
  size_t removed_first = 0;
  bool any = false;
  w->changes.len = 0;
  for (size_t i = 0, k; i < w->text.len; i += k) {
    uint32_t c = cz_utf8_next(w->text.bytes + i, &k);
    if (!drop(c)) {
      CZ_TRY(cz__changes_add(&w->changes, c, 0));
      continue;
    }
    any = true;
    if (w->changes.len > 0) {
      w->changes.data[w->changes.len - 1].change--;
    } else {
      removed_first++;
    }
  }
  return any ? cz__changes_apply(w, removed_first) : CZ_OK;
}

static cz_status run_strip_accents(const void *data, cz__work *w) {
  return cz__filter(w, cz_unicode_is_mark);
}

/** Lower case, a character at a time. */
cz_status cz__lowercase(const void *data, cz__work *w) {
  w->changes.len = 0;
  for (size_t i = 0, k; i < w->text.len; i += k) {
    uint32_t lower[2];
    size_t n = cz_unicode_lower(cz_utf8_next(w->text.bytes + i, &k), lower);
    for (size_t j = 0; j < n; j++) CZ_TRY(cz__changes_add(&w->changes, lower[j], j > 0));
  }
  return cz__changes_apply(w, 0);
}

static bool nmt_drops(uint32_t c) {
  return (c >= 0x01 && c <= 0x08) || c == 0x0b || (c >= 0x0e && c <= 0x1f) || c == 0x7f ||
         c == 0x8f || c == 0x9f;
}

static bool nmt_blanks(uint32_t c) {
  return c == 0x09 || c == 0x0a || c == 0x0c || c == 0x0d || c == 0x1680 ||
         (c >= 0x200b && c <= 0x200f) || c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xfeff ||
         c == 0xfffd;
}

/* SentencePiece's cleaning for translation: control characters go, what counts as white
 * space becomes a space. */
static cz_status run_nmt(const void *data, cz__work *w) {
  CZ_TRY(cz__filter(w, nmt_drops));
  w->changes.len = 0;
  for (size_t i = 0, k; i < w->text.len; i += k) {
    uint32_t c = cz_utf8_next(w->text.bytes + i, &k);
    CZ_TRY(cz__changes_add(&w->changes, nmt_blanks(c) ? ' ' : c, 0));
  }
  return cz__changes_apply(w, 0);
}

typedef struct strip {
  bool left, right;
} strip;

static cz_status parse_strip(void **data, cz_arena *arena, const json_t *o,
                             const cz_json_place *at) {
  strip *s;
  CZ_TRY(cz_json_only(o, at, CZ__KEYS("strip_left", "strip_right")));
  CZ_TRY(cz_arena_alloc(arena, &s, 1, sizeof *s));
  CZ_TRY(cz_json_get_bool(&s->left, o, at, "strip_left"));
  CZ_TRY(cz_json_get_bool(&s->right, o, at, "strip_right"));
  *data = s;
  return CZ_OK;
}

static cz_status run_strip(const void *data, cz__work *w) {
  const strip *s = data;
  size_t begin = 0, end = w->text.len, k;
  while (s->right && end > 0) {
    size_t at = cz_utf8_back(w->text.bytes, end);
    if (!cz_unicode_is_space(cz_utf8_next(w->text.bytes + at, &k))) break;
    end = at;
  }
  while (s->left && begin < end && cz_unicode_is_space(cz_utf8_next(w->text.bytes + begin, &k)))
    begin += k;
  if (begin > 0) {
    memmove(w->text.bytes, w->text.bytes + begin, end - begin);
    memmove(w->text.spans, w->text.spans + begin, (end - begin) * sizeof *w->text.spans);
  }
  w->text.len = end - begin;
  return CZ_OK;
}

typedef struct literal {
  char *bytes;
  size_t n;
} literal;

static cz_status parse_prepend(void **data, cz_arena *arena, const json_t *o,
                               const cz_json_place *at) {
  literal *p;
  const char *s;
  CZ_TRY(cz_json_only(o, at, CZ__KEYS("prepend")));
  CZ_TRY(cz_arena_alloc(arena, &p, 1, sizeof *p));
  CZ_TRY(cz_json_get_bytes(&s, &p->n, o, at, "prepend"));
  *data = p;
  return cz__copy_bytes(&p->bytes, arena, s, p->n);
}

static cz_status run_prepend(const void *data, cz__work *w) {
  const literal *p = data;
  if (w->text.len == 0) return CZ_OK;
  w->spare.len = 0;
  CZ_TRY(cz__aligned_fill(&w->spare, p->bytes, p->n, w->text.spans[0]));
  CZ_TRY(cz__aligned_copy(&w->spare, &w->text, 0, w->text.len));
  cz__aligned_swap(&w->text, &w->spare);
  return CZ_OK;
}

static const cz__part_row rows[] = {
    {"BertNormalizer", cz__bert_normalizer_parse, cz__bert_normalizer_run, NULL},
    {"Precompiled", cz__charsmap_parse, cz__charsmap_run, NULL},
    {"NFC", NULL, cz__form_nfc, NULL},
    {"NFD", NULL, cz__form_nfd, NULL},
    {"NFKC", NULL, cz__form_nfkc, NULL},
    {"NFKD", NULL, cz__form_nfkd, NULL},
    {"Lowercase", NULL, cz__lowercase, NULL},
    {"StripAccents", NULL, run_strip_accents, NULL},
    {"Nmt", NULL, run_nmt, NULL},
    {"Strip", parse_strip, run_strip, NULL},
    {"Prepend", parse_prepend, run_prepend, NULL},
    {"Replace", cz__replace_parse, cz__replace_normalize, cz__replace_release},
    {"ByteLevel", NULL, cz__byte_level_normalize, NULL},
};

const cz__part_table cz__normalizers = {"normalizer", "normalizers", rows,
                                        sizeof rows / sizeof *rows};
