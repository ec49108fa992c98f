/* The words of GPT-2's tokenizer, which its published code cuts with the expression
 *
 *     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 *
 * Alternatives are tried from left to right, each as long as it gets. All they ask of a character
 * is whether it is a letter, a number, white space or none of these, so they are scanned
 * here by hand; the test compares with PCRE2. */
#include "base/utf8.h"
#include "text/byte_level.h"
#include "text/unicode.h"

typedef enum kind { OTHER, LETTER, NUMBER, SPACE } kind;

static kind kind_of(uint32_t c) {
  if (c < 0x80) {
    uint32_t lower = c | 0x20;
    if (lower >= 'a' && lower <= 'z') return LETTER;
    if (c >= '0' && c <= '9') return NUMBER;
    return cz_unicode_is_space(c) ? SPACE : OTHER;
  }
  if (cz_unicode_is_letter(c)) return LETTER;
  return cz_unicode_is_number(c) ? NUMBER : cz_unicode_is_space(c) ? SPACE : OTHER;
}

/* Where the characters of that kind end that begin at AT. */
static size_t run_end(kind what, const char *s, size_t n, size_t at) {
  for (size_t k; at < n; at += k)
    if (kind_of(cz_utf8_next(s + at, &k)) != what) break;
  return at;
}

static size_t contraction(const char *s, size_t n) {
  if (s[0] != '\'' || n < 2) return 0;
  switch (s[1]) {
  case 's':
  case 't':
  case 'm':
  case 'd': return 2;
  case 'r':
  case 'v': return n > 2 && s[2] == 'e' ? 3 : 0;
  case 'l': return n > 2 && s[2] == 'l' ? 3 : 0;
  default: return 0;
  }
}

/* White space up to the end of the text is one word. Before anything else its last character is
 * left to what follows, unless it is the only one. */
static size_t blanks(const char *s, size_t n) {
  size_t end = run_end(SPACE, s, n, 0), last = cz_utf8_back(s, end);
  return end == n || last == 0 ? end : last;
}

/** Bytes of the first word of S, which is not empty: at least one character. */
size_t cz__gpt2_word(const char *s, size_t n) {
  size_t k = contraction(s, n);
  if (k) return k;
  size_t at = s[0] == ' ' && n > 1 ? 1 : 0;
  kind first = kind_of(cz_utf8_next(s + at, &k));
  return first == SPACE ? blanks(s, n) : run_end(first, s, n, at + k);
}
