/* UTF-8 (RFC 3629): checking bytes from outside, and walking through text that was
 * checked.
 *
 * Text from outside is checked once, where it is read; everything behind that trusts it
 * and may look at up to four bytes from the first byte of a character. */
#ifndef CZ_BASE_UTF8_H
#define CZ_BASE_UTF8_H

#include "base/mem.h"

#include <stddef.h>
#include <stdint.h>

/* check gives the length of the longest prefix that is UTF-8, so N means all of it;
 * expect is the same as an error with place and byte, of a file or of one line. The others trust
 * their text. escape is for messages, which must show foreign bytes and be UTF-8 themselves;
 * replace is for texts that were made of bytes. */
size_t cz_utf8_check(const char *s, size_t n);
size_t cz_utf8_put(char *out, uint32_t c);
size_t cz_utf8_back(const char *s, size_t end);
uint32_t cz_utf8_decode(const char *s, size_t *n);
CZ_MUST cz_status cz_utf8_expect(const char *text, size_t n, const char *name);
CZ_MUST cz_status cz_utf8_expect_line(const char *line, size_t n, const char *name, int64_t number);
CZ_MUST cz_status cz_utf8_escape(cz_buf *out, const char *bytes, size_t n);
CZ_MUST cz_status cz_utf8_replace(cz_buf *out, const char *bytes, size_t n);

/* The character at S and its length in bytes; inline, since tokenizers call it for every
 * byte of a corpus. */
static inline uint32_t cz_utf8_next(const char *s, size_t *n) {
  if ((unsigned char)*s >= 0x80) return cz_utf8_decode(s, n);
  *n = 1;
  return (unsigned char)*s;
}

/* Length in bytes of the character that starts with LEAD. */
static inline size_t cz_utf8_length(unsigned char lead) {
  return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

#endif
