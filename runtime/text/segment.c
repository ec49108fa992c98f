/* The tokens of one text before special ones are put around them, and their truncation. */
#include "text/post.h"

#include <stdlib.h>
#include <string.h>

/** Makes room for N tokens in all, with BLANKS also of those. */
cz_status cz__segment_reserve(cz__segment *s, size_t n, bool blanks) {
  if (n <= s->ids_cap && n <= s->offsets_cap && (!blanks || n <= s->blanks_cap)) return CZ_OK;
  CZ_TRY(cz_grow(&s->ids, &s->ids_cap, n, sizeof *s->ids));
  CZ_TRY(cz_grow(&s->offsets, &s->offsets_cap, n, sizeof *s->offsets));
  return blanks ? cz_grow(&s->blanks, &s->blanks_cap, n, sizeof *s->blanks) : CZ_OK;
}

/** Frees the tokens and empties the segment. */
void cz__segment_free(cz__segment *s) {
  free(s->ids);
  free(s->offsets);
  free(s->blanks);
  *s = (cz__segment){0};
}

/* Characters before byte AT; *AT_BYTE and *AT_CHARACTER are a place passed earlier.
 * Offsets mostly grow, so this is linear in all. */
static uint32_t characters_before(const char *text, size_t n, size_t at, size_t *byte,
                                  uint32_t *character) {
  if (at < *byte) *byte = *character = 0;
  for (; *byte < at && *byte < n; ++*byte)
    *character += ((unsigned char)text[*byte] & 0xc0) != 0x80;
  return *character;
}

/** Turns the offsets of S, tokens of TEXT, from bytes to characters (code points), as the Python
 * library counts. */
void cz__segment_characters(cz__segment *s, const char *text, size_t n) {
  size_t byte = 0;
  uint32_t character = 0;
  for (size_t i = 0; i < s->n; i++) {
    cz_text_span *o = &s->offsets[i];
    o->begin = characters_before(text, n, o->begin, &byte, &character);
    o->end = characters_before(text, n, o->end, &byte, &character);
  }
}

/** Reads the file's `truncation` (null: none). */
cz_status cz__truncation_parse(cz__truncation *t, const json_t *json, const cz_json_place *at) {
  static const char *const keys[] = {"direction", "max_length", "strategy", "stride"},
                           *const directions[] = {"Right", "Left"},
                           *const strategies[] = {"LongestFirst", "OnlyFirst", "OnlySecond"};
  int choice;
  int64_t stride;
  if (!json || json_is_null(json)) return CZ_OK;
  if (!json_is_object(json)) return cz_json_expected(at, NULL, json, "an object or null");
  CZ_TRY(cz_json_only(json, at, keys, 4));
  CZ_TRY(cz__json_count(&t->max_length, json, at, "max_length"));
  CZ_TRY(cz__json_count(&stride, json, at, "stride")); /* of windows behind the first */
  CZ_TRY(cz_json_get_choice(&choice, json, at, "strategy", strategies, 3));
  t->strategy = choice;
  choice = 0; /* the format's default */
  if (json_object_get(json, "direction"))
    CZ_TRY(cz_json_get_choice(&choice, json, at, "direction", directions, 2));
  t->left = choice == 1;
  t->any = true;
  return CZ_OK;
}

static void keep(const cz__truncation *t, cz__segment *s, size_t n) {
  if (n >= s->n) return;
  size_t from = t->left ? s->n - n : 0;
  memmove(s->ids, s->ids + from, n * sizeof *s->ids);
  memmove(s->offsets, s->offsets + from, n * sizeof *s->offsets);
  if (s->blanks) memmove(s->blanks, s->blanks + from, n * sizeof *s->blanks);
  s->n = n;
}

/* The longer of two texts is cut to what the shorter one leaves; where that is less than the
 * shorter one has, both get half (models.md 5.1). */
static void cut_longest(const cz__truncation *t, cz__segment *texts, size_t max) {
  size_t a = texts[0].n, b = texts[1].n, shorter = a < b ? a : b, longer = shorter;
  if (shorter <= max && max - shorter > shorter) longer = max - shorter;
  if (shorter + longer > max) {
    shorter = max / 2;
    longer = shorter + max % 2;
  }
  keep(t, &texts[0], a > b ? longer : shorter);
  keep(t, &texts[1], a > b ? shorter : longer);
}

/** Cuts TEXTS (one, with PAIR two) so that with ADDED special tokens they have max_length tokens
 * at most. CZ_EINVAL when the one text that may be cut can't make up for the rest. */
cz_status cz__truncation_apply(const cz__truncation *t, cz__segment *texts, bool pair,
                               size_t added) {
  if (!t->any) return CZ_OK;
  size_t total = texts[0].n + (pair ? texts[1].n : 0);
  if ((size_t)t->max_length < added)
    return CZ_FAIL(CZ_EINVAL,
                   "the tokenizer's truncation to %lld tokens leaves no room for %zu special ones",
                   (long long)t->max_length, added);
  size_t max = (size_t)t->max_length - added;
  if (max == 0 || total <= max) {
    for (int k = 0; max == 0 && k < 1 + (int)pair; k++) keep(t, &texts[k], 0);
    return CZ_OK;
  }
  if (t->strategy == CZ__LONGEST_FIRST) {
    if (pair)
      cut_longest(t, texts, max);
    else
      keep(t, &texts[0], max);
    return CZ_OK;
  }
  int which = t->strategy == CZ__ONLY_SECOND;
  if (which && !pair)
    return CZ_FAIL(CZ_EINVAL, "the tokenizer's truncation is OnlySecond and there is one text");
  if (texts[which].n <= total - max)
    return CZ_FAIL(
        CZ_EINVAL,
        "the tokenizer's truncation is to cut %zu tokens, but the %s text, which alone may be "
        "cut, has %zu",
        total - max, which ? "second" : "first", texts[which].n);
  keep(t, &texts[which], texts[which].n - (total - max));
  return CZ_OK;
}
