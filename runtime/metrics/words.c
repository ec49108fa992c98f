#include "metrics/words.h"
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/** True for what Python's str.split() splits at. */
bool cz__score_is_space(int32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

/** Appends TEXT in lower case, character by character as Unicode maps them, U+0130 to
 * two; Greek sigma becomes the same letter at a word's end as inside, where Python has a
 * rule for the end. CZ_EINVAL when TEXT is not UTF-8. */
cz_status cz__score_lower(cz_buf *out, const char *text) {
  const utf8proc_uint8_t *s = (const utf8proc_uint8_t *)text;
  while (*s) {
    utf8proc_int32_t c;
    utf8proc_uint8_t bytes[4];
    utf8proc_ssize_t n = utf8proc_iterate(s, -1, &c);
    if (n <= 0)
      return CZ_FAIL(CZ_EINVAL, "not UTF-8 at byte %td: %.80s", (const char *)s - text, text);
    s += n;
    CZ_TRY(cz_buf_add(out, bytes,
                      (size_t)utf8proc_encode_char(c == 0x130 ? 'i' : utf8proc_tolower(c), bytes)));
    if (c == 0x130) CZ_TRY(cz_buf_add(out, "\xCC\x87", 2));
  }
  return cz_buf_add(out, "", 0);
}

static size_t slot_of(const cz__names *names, const void *bytes, size_t n) {
  size_t i = cz_hash64(bytes, n, 0) & (names->n_slots - 1);
  for (;; i = (i + 1) & (names->n_slots - 1)) {
    int32_t at = names->slots[i];
    if (!at) return i;
    const cz__word *w = &names->words[at - 1];
    if (w->n == n && !memcmp(w->bytes, bytes, n)) return i;
  }
}

static cz_status more_slots(cz__names *names) {
  int32_t *old = names->slots, *slots;
  size_t n = names->n_slots ? 2 * names->n_slots : 64;
  CZ_TRY(cz_alloc(&slots, n, sizeof *slots));
  names->slots = slots;
  names->n_slots = n;
  free(old);
  for (size_t i = 0; i < names->n; i++)
    slots[slot_of(names, names->words[i].bytes, names->words[i].n)] = (int32_t)i + 1;
  return CZ_OK;
}

/** The number of a byte string, a new one when it is met for the first time. */
cz_status cz__name(cz__names *names, int32_t *id, const void *bytes, size_t n) {
  if (!names->arena) CZ_TRY(cz_arena_create(&names->arena, "words"));
  if (2 * names->n >= names->n_slots) CZ_TRY(more_slots(names));
  size_t at = slot_of(names, bytes, n);
  if (!names->slots[at]) {
    char *copy;
    CZ_TRY(cz_grow(&names->words, &names->cap, names->n + 1, sizeof *names->words));
    CZ_TRY(cz_arena_alloc(names->arena, &copy, n + 1, 1));
    if (n) memcpy(copy, bytes, n);
    names->words[names->n++] = (cz__word){copy, n};
    names->slots[at] = (int32_t)names->n;
  }
  *id = names->slots[at] - 1;
  return CZ_OK;
}

/** Frees the table and empties it. */
void cz__names_free(cz__names *names) {
  cz_arena_destroy(&names->arena);
  free(names->words);
  free(names->slots);
  *names = (cz__names){0};
}

/** Appends one number. */
cz_status cz__grams_add(cz__grams *tokens, int32_t id) {
  CZ_TRY(cz_grow(&tokens->ids, &tokens->cap, tokens->n + 1, sizeof *tokens->ids));
  tokens->ids[tokens->n++] = id;
  return CZ_OK;
}

/** Frees the list and empties it. */
void cz__grams_free(cz__grams *tokens) {
  free(tokens->ids);
  *tokens = (cz__grams){0};
}

/** Appends the words of TEXT between white space, as Python's str.split(). CZ_EINVAL when
 * TEXT is not UTF-8. */
cz_status cz__split_spaces(cz__grams *out, cz__names *names, const char *text) {
  const char *begin = text, *s = text;
  for (;;) {
    utf8proc_int32_t c = ' ';
    utf8proc_ssize_t n = *s ? utf8proc_iterate((const utf8proc_uint8_t *)s, -1, &c) : 0;
    if (n < 0) return CZ_FAIL(CZ_EINVAL, "not UTF-8 at byte %td: %.80s", s - text, text);
    if (cz__score_is_space(c)) {
      int32_t id;
      if (s > begin) {
        CZ_TRY(cz__name(names, &id, begin, (size_t)(s - begin)));
        CZ_TRY(cz__grams_add(out, id));
      }
      begin = s + n;
    }
    if (!n) return CZ_OK;
    s += n;
  }
}

/** From the n-grams of ORDER words to those of ORDER + 1, in place: each is named by the
 * pair (shorter gram, next word). NAMES is a table of its own per order, shared by the
 * texts that are compared. */
cz_status cz__grams_extend(cz__grams *grams, cz__names *names, const cz__grams *words,
                           size_t order) {
  size_t n = words->n > order ? words->n - order : 0;
  for (size_t i = 0; i < n; i++) {
    int32_t pair[2] = {grams->ids[i], words->ids[i + order]};
    CZ_TRY(cz__name(names, &grams->ids[i], pair, sizeof pair));
  }
  grams->n = n;
  return CZ_OK;
}

/** The size of the multiset intersection: each token counts as often as in the list that
 * has it less often. */
cz_status cz__grams_common(size_t *common, const cz__grams *a, const cz__grams *b, size_t n_names) {
  size_t *left;
  CZ_TRY(cz_alloc(&left, n_names, sizeof *left));
  *common = 0;
  for (size_t i = 0; i < a->n; i++) left[a->ids[i]]++;
  for (size_t i = 0; i < b->n; i++)
    if (left[b->ids[i]]) {
      left[b->ids[i]]--;
      ++*common;
    }
  free(left);
  return CZ_OK;
}
