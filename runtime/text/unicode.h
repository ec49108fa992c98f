/* UTF-8 and the character classes that the tokenizers' rules speak of. Text is checked
 * once at the door; everything behind it trusts its UTF-8. */
#ifndef CZ_TEXT_UNICODE_H
#define CZ_TEXT_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef bool (*cz__char_class)(uint32_t c);

size_t cz__utf8_check(const char *s, size_t n);
size_t cz__utf8_put(char *out, uint32_t c);
size_t cz__utf8_back(const char *s, size_t end);
uint32_t cz__utf8_decode_tail(const unsigned char *p, size_t *n);

bool cz__is_space(uint32_t c);
bool cz__is_word(uint32_t c);
bool cz__is_numeric(uint32_t c);
bool cz__is_punctuation(uint32_t c);
bool cz__is_mark(uint32_t c);
size_t cz__lower(uint32_t c, uint32_t out[2]);

/* The character at S and its length in bytes. */
static inline uint32_t cz__utf8_next(const char *s, size_t *n) {
  const unsigned char *p = (const unsigned char *)s;
  if (p[0] < 0x80) {
    *n = 1;
    return p[0];
  }
  return cz__utf8_decode_tail(p, n);
}

/* Length in bytes of the character that starts with LEAD. */
static inline size_t cz__utf8_length(unsigned char lead) {
  return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/* The first place of the NEEDLE (n > 0 bytes) in S, or null. Texts here are mostly single
 * words, for which memmem's preparations cost more than the search. */
static inline const char *cz__find_bytes(const char *s, size_t s_n, const char *needle, size_t n) {
  const char *end = s + s_n;
  while ((size_t)(end - s) >= n && (s = memchr(s, needle[0], (size_t)(end - s) - n + 1))) {
    if (memcmp(s, needle, n) == 0) return s;
    s++;
  }
  return NULL;
}

#endif
