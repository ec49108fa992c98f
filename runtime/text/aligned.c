#include "text/aligned.h"

#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

/** Makes room for LEN bytes in all. */
cz_status cz__aligned_reserve(cz__aligned *a, size_t len) {
  CZ_TRY(cz_grow(&a->bytes, &a->bytes_cap, len, 1));
  CZ_TRY(cz_grow(&a->spans, &a->spans_cap, len, sizeof *a->spans));
  return CZ_OK;
}

/** Makes A the text itself, each byte aligned with its character, which begins ORIGIN
 * bytes into the input. */
cz_status cz__aligned_set(cz__aligned *a, const char *text, size_t n, uint32_t origin) {
  CZ_TRY(cz__aligned_reserve(a, n));
  if (n) memcpy(a->bytes, text, n); /* of an empty one neither side need have a place */
  for (size_t i = 0, k; i < n; i += k) {
    k = cz_utf8_length((unsigned char)text[i]);
    for (size_t j = 0; j < k; j++)
      a->spans[i + j] = (cz_text_span){origin + (uint32_t)i, origin + (uint32_t)(i + k)};
  }
  a->len = n;
  return CZ_OK;
}

/** Appends the bytes [BEGIN, END) of FROM with their alignment. */
cz_status cz__aligned_copy(cz__aligned *a, const cz__aligned *from, size_t begin, size_t end) {
  size_t n = end - begin;
  if (n == 0) return CZ_OK;
  CZ_TRY(cz__aligned_reserve(a, a->len + n));
  memcpy(a->bytes + a->len, from->bytes + begin, n);
  memcpy(a->spans + a->len, from->spans + begin, n * sizeof *a->spans);
  a->len += n;
  return CZ_OK;
}

/** Appends N new bytes that all stand for SPAN. */
cz_status cz__aligned_fill(cz__aligned *a, const char *bytes, size_t n, cz_text_span span) {
  if (n == 0) return CZ_OK;
  CZ_TRY(cz__aligned_reserve(a, a->len + n));
  memcpy(a->bytes + a->len, bytes, n);
  for (size_t i = 0; i < n; i++) a->spans[a->len + i] = span;
  a->len += n;
  return CZ_OK;
}

/** Exchanges two texts. */
void cz__aligned_swap(cz__aligned *a, cz__aligned *b) {
  cz__aligned t = *a;
  *a = *b;
  *b = t;
}

static size_t skip_characters(const cz__aligned *a, size_t at, size_t count) {
  for (; count > 0 && at < a->len; count--) at += cz_utf8_length((unsigned char)a->bytes[at]);
  return at;
}

/** Replaces A by the characters of CHANGES after dropping its first REMOVED_FIRST
 * characters; what the changes do not consume is dropped too. SPARE is overwritten. A
 * character inserted before everything else stands for the empty span at ORIGIN. */
cz_status cz__aligned_transform(cz__aligned *a, cz__aligned *spare, const cz__changes *changes,
                                size_t removed_first, uint32_t origin) {
  CZ_TRY(cz__aligned_reserve(spare, changes->len * 4));
  spare->len = 0;
  size_t at = skip_characters(a, 0, removed_first);
  for (size_t i = 0; i < changes->len; i++) {
    cz__change ch = changes->data[i];
    cz_text_span span = {origin, origin};
    if (ch.change > 0) {
      if (at > 0) span = a->spans[at - 1];
    } else {
      span = a->spans[at < a->len ? at : a->len - 1];
      at = skip_characters(a, at, 1 + (size_t)-ch.change);
    }
    size_t k = cz_utf8_put(spare->bytes + spare->len, ch.c);
    for (size_t j = 0; j < k; j++) spare->spans[spare->len + j] = span;
    spare->len += k;
  }
  cz__aligned_swap(a, spare);
  return CZ_OK;
}

/** Frees the text and empties it. */
void cz__aligned_free(cz__aligned *a) {
  free(a->bytes);
  free(a->spans);
  *a = (cz__aligned){0};
}
