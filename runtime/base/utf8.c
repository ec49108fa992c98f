#include "base/utf8.h"

#include <stdbool.h>
#include <string.h>

/* How many of the bytes at S, of which N can be read, begin a character that could be sound: all
 * of it when WHOLE, at least 1 otherwise. The second byte's range rules out overlong forms,
 * surrogates and values above 10FFFF (RFC 3629, section 4). */
static size_t sound_part(const unsigned char *s, size_t n, bool *whole) {
  *whole = s[0] < 0x80;
  if (s[0] < 0xc2 || s[0] > 0xf4) return 1;
  size_t length = cz_utf8_length(s[0]), i = 1;
  unsigned char low = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80;
  unsigned char high = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;
  for (; i < length && i < n && s[i] >= low && s[i] <= high; i++) low = 0x80, high = 0xbf;
  *whole = i == length;
  return i;
}

/* Bytes of the character at S, of which N can be read, or 0 when it is none. */
static size_t character_bytes(const unsigned char *s, size_t n) {
  bool whole;
  size_t k = sound_part(s, n, &whole);
  return whole ? k : 0;
}

/** Bytes of S before the first byte that breaks UTF-8; N when all of it is sound. NUL is
 * a character like any other. */
size_t cz_utf8_check(const char *s, size_t n) {
  const uint64_t not_ascii = 0x8080808080808080ULL;
  size_t i = 0;
  while (i < n) {
    uint64_t eight;
    if (n - i >= sizeof eight && (memcpy(&eight, s + i, sizeof eight), !(eight & not_ascii))) {
      i += sizeof eight;
      continue;
    }
    size_t k = character_bytes((const unsigned char *)s + i, n - i);
    if (!k) return i;
    i += k;
  }
  return n;
}

/** Writes the character C (at most 4 bytes) and returns its length. C is a Unicode scalar
 * value. */
size_t cz_utf8_put(char *out, uint32_t c) {
  unsigned char *p = (unsigned char *)out;
  size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
  for (size_t i = n; --i > 0; c >>= 6) p[i] = (unsigned char)(0x80 | (c & 0x3f));
  p[0] = (unsigned char)(n == 1 ? c : n == 2 ? 0xc0 | c : n == 3 ? 0xe0 | c : 0xf0 | c);
  return n;
}

/** Where the character that ends at END begins. */
size_t cz_utf8_back(const char *s, size_t end) {
  while (end > 0 && ((unsigned char)s[--end] & 0xc0) == 0x80) {
  }
  return end;
}

/** The character at S and its length in bytes; S begins a sound character. */
uint32_t cz_utf8_decode(const char *s, size_t *n) {
  const unsigned char *p = (const unsigned char *)s;
  *n = cz_utf8_length(p[0]);
  switch (*n) {
  case 1: return p[0];
  case 2: return (uint32_t)(p[0] & 0x1f) << 6 | (p[1] & 0x3f);
  case 3: return (uint32_t)(p[0] & 0x0f) << 12 | (uint32_t)(p[1] & 0x3f) << 6 | (p[2] & 0x3f);
  default:
    return (uint32_t)(p[0] & 0x07) << 18 | (uint32_t)(p[1] & 0x3f) << 12 |
           (uint32_t)(p[2] & 0x3f) << 6 | (p[3] & 0x3f);
  }
}

/* Place of the first byte that is not UTF-8, or is NUL; N when there is none. */
static size_t first_foreign(const char *text, size_t n) {
  size_t bad = cz_utf8_check(text, n);
  const char *nul = n ? memchr(text, '\0', n) : NULL;
  return nul && (size_t)(nul - text) < bad ? (size_t)(nul - text) : bad;
}

static cz_status refuse_byte(const char *name, long long line, size_t column, char byte) {
  return CZ_FAIL(CZ_EINVAL, "%s:%lld:%zu: the byte 0x%02x does not belong in a UTF-8 text", name,
                 line, column, (unsigned char)byte);
}

/** Refuses a file's text, N bytes, that is not UTF-8 or holds a NUL byte, behind which a
 * C string ends: CZ_EINVAL `NAME:LINE:COLUMN: ...`, columns in bytes from 1. */
cz_status cz_utf8_expect(const char *text, size_t n, const char *name) {
  size_t line = 1, begin = 0, bad = first_foreign(text, n);
  if (bad == n) return CZ_OK;
  for (size_t i = 0; i < bad; i++)
    if (text[i] == '\n' || (text[i] == '\r' && text[i + 1] != '\n')) line++, begin = i + 1;
  return refuse_byte(name, (long long)line, bad - begin + 1, text[bad]);
}

/** The same for the one line NUMBER, from 1, of the file called NAME. */
cz_status cz_utf8_expect_line(const char *line, size_t n, const char *name, int64_t number) {
  size_t bad = first_foreign(line, n);
  return bad == n ? CZ_OK : refuse_byte(name, number, bad + 1, line[bad]);
}

/** Appends N BYTES, of which those that are not UTF-8 become `\xHH`: names of files are
 * bytes, and what is shown of them is text. */
cz_status cz_utf8_escape(cz_buf *out, const char *bytes, size_t n) {
  for (size_t at = 0; at < n;) {
    size_t sound = cz_utf8_check(bytes + at, n - at);
    CZ_TRY(cz_buf_add(out, bytes + at, sound));
    at += sound;
    if (at < n) CZ_TRY(cz_buf_addf(out, "\\x%02x", (unsigned char)bytes[at++]));
  }
  return cz_buf_add(out, "", 0);
}

/** Appends N BYTES, of which each longest run that begins a character and does not end it, and
 * each byte that begins none, becomes one U+FFFD (Unicode, section 3.9: substitution of maximal
 * subparts). */
cz_status cz_utf8_replace(cz_buf *out, const char *bytes, size_t n) {
  bool whole;
  for (size_t at = 0; at < n;) {
    size_t sound = cz_utf8_check(bytes + at, n - at);
    CZ_TRY(cz_buf_add(out, bytes + at, sound));
    at += sound;
    if (at == n) break;
    CZ_TRY(cz_buf_add(out, "\xEF\xBF\xBD", 3));
    at += sound_part((const unsigned char *)bytes + at, n - at, &whole);
  }
  return cz_buf_add(out, "", 0);
}
