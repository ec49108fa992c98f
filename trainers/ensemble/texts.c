#include "ensemble/texts.h"
#include "base/hash.h"
#include "base/utf8.h"
#include "text/unicode.h"

#include <stdlib.h>

/* Appends TEXT in lower case, without white space at its ends, a run of it inside as one space. */
static cz_status add_normalised(cz_buf *out, const char *text) {
  size_t first = out->len;
  bool space = false;
  for (size_t n; *text; text += n) {
    uint32_t c = cz_utf8_next(text, &n), lower[2];
    if (cz_unicode_is_space(c)) {
      space = out->len > first;
      continue;
    }
    if (space) CZ_TRY(cz_buf_add(out, " ", 1));
    space = false;
    for (size_t i = 0, k = cz_unicode_lower(c, lower); i < k; i++) {
      char bytes[4];
      CZ_TRY(cz_buf_add(out, bytes, cz_utf8_put(bytes, lower[i])));
    }
  }
  return CZ_OK;
}

/** The hash of the text that consists of FIELDS [n_fields], UTF-8 that was checked. Fields are told
 * apart: "a", "b c" is another text than "a b", "c". */
cz_status cz_text_hash(uint64_t *hash, const char *const *fields, size_t n_fields) {
  cz_buf b = {0};
  cz_status st = CZ_OK;
  for (size_t i = 0; i < n_fields; i++) {
    CZ_GO(st, add_normalised(&b, fields[i]), done);
    CZ_GO(st, cz_buf_add(&b, "", 1), done); /* a NUL, which no field holds */
  }
  *hash = cz_hash64(b.data, b.len, 0);
done:
  cz_buf_free(&b);
  return st;
}

/* Hashes are spread already: their low bits are the place. */
static size_t slot_of(const cz_hash_set *s, uint64_t hash) {
  size_t at = (size_t)hash & (s->room - 1);
  while (s->slots[at] && s->slots[at] != hash) at = (at + 1) & (s->room - 1);
  return at;
}

static cz_status double_room(cz_hash_set *s) {
  cz_hash_set old = *s;
  uint64_t *slots;
  s->room = old.room ? 2 * old.room : 64;
  cz_status st = cz_alloc(&slots, s->room, sizeof *slots);
  if (st != CZ_OK) {
    *s = old;
    return st;
  }
  s->slots = slots;
  for (size_t i = 0; i < old.room; i++)
    if (old.slots[i]) s->slots[slot_of(s, old.slots[i])] = old.slots[i];
  free(old.slots);
  return CZ_OK;
}

/** Adds HASH; *ADDED is false when it was there before. */
cz_status cz_hash_set_add(cz_hash_set *s, bool *added, uint64_t hash) {
  if (!hash) {
    *added = !s->zero;
    s->zero = true;
    return CZ_OK;
  }
  if (2 * s->n >= s->room) CZ_TRY(double_room(s));
  size_t at = slot_of(s, hash);
  *added = !s->slots[at];
  s->slots[at] = hash;
  s->n += *added;
  return CZ_OK;
}

/** Adds all of HASHES [n]. */
cz_status cz_hash_set_add_all(cz_hash_set *s, const uint64_t *hashes, size_t n) {
  bool added;
  for (size_t i = 0; i < n; i++) CZ_TRY(cz_hash_set_add(s, &added, hashes[i]));
  return CZ_OK;
}

/** Whether HASH is in S. */
bool cz_hash_set_has(const cz_hash_set *s, uint64_t hash) {
  return hash ? s->room && s->slots[slot_of(s, hash)] : s->zero;
}

/** Frees the slots and empties the set. */
void cz_hash_set_free(cz_hash_set *s) {
  free(s->slots);
  *s = (cz_hash_set){0};
}
