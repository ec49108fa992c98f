#include "base/number.h"

#include "base/mem.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *digits(const char *s, bool underscores) {
  while (isdigit((unsigned char)*s) || (underscores && *s == '_' && isdigit((unsigned char)s[-1]) &&
                                        isdigit((unsigned char)s[1])))
    s++;
  return s;
}

/* The end of the longest prefix of S of the form [+-] digits [. digits] [e [+-] digits],
 * with a digit on one side of the point; S itself when there is none. UNDERSCORES: one
 * may stand between two digits. */
static const char *decimal_end(const char *s, bool underscores) {
  const char *begin = *s == '+' || *s == '-' ? s + 1 : s, *whole = digits(begin, false);
  whole = whole > begin ? digits(whole, underscores) : whole;
  const char *end = whole;
  if (*whole == '.') {
    end = digits(whole + 1, false);
    if (end > whole + 1) end = digits(end, underscores);
    if (end == whole + 1 && whole == begin) return s;
  } else if (whole == begin) {
    return s;
  }
  if (*end != 'e' && *end != 'E') return end;
  const char *exponent = end + 1 + (end[1] == '+' || end[1] == '-'),
             *last = digits(exponent, false);
  return last > exponent ? digits(last, underscores) : end;
}

/** Reads a whole decimal integer, [+-] digits, nothing before or after it. CZ_EINVAL with
 * the text otherwise. */
cz_status cz_parse_int(const char *text, int64_t *out) {
  const char *begin = text + (*text == '+' || *text == '-'), *end = digits(begin, false);
  if (end == begin || *end) return CZ_FAIL(CZ_EINVAL, "expected an integer, found '%.200s'", text);
  errno = 0;
  long long v = strtoll(text, NULL, 10);
  if (errno) return CZ_FAIL(CZ_EINVAL, "integer out of range: '%.200s'", text);
  *out = v;
  return CZ_OK;
}

/** Reads a whole finite decimal number, nothing before or after it. CZ_EINVAL with the
 * text otherwise. */
cz_status cz_parse_real(const char *text, double *out) {
  const char *end = decimal_end(text, false);
  double v = end > text && !*end ? strtod(text, NULL) : NAN;
  if (!isfinite(v)) return CZ_FAIL(CZ_EINVAL, "expected a number, found '%.200s'", text);
  *out = v;
  return CZ_OK;
}

/* One of the words that float() knows, in any case, at S; its length, or 0. */
static size_t special(const char *s, double *value) {
  static const struct {
    const char *word;
    double value;
  } words[] = {{"infinity", INFINITY}, {"inf", INFINITY}, {"nan", NAN}};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (!strncasecmp(s, words[i].word, strlen(words[i].word)))
      return *value = words[i].value, strlen(words[i].word);
  return 0;
}

/** Reads TEXT as Python's float() does (Language Reference, "float"): blanks around it,
 * single underscores between digits, `inf`, `infinity` and `nan` in any case, values
 * beyond the range as infinities; no hexadecimal. Blanks and digits are those of ASCII.
 * CZ_EINVAL where float() raises ValueError. */
cz_status cz_parse_python_float(const char *text, double *out) {
  static const char blanks[] = " \t\n\r\f\v\x1c\x1d\x1e\x1f";
  const char *s = text + strspn(text, blanks), *end = decimal_end(s, true);
  bool sign = *s == '+' || *s == '-';
  size_t word = end > s ? 0 : special(s + sign, out);
  if (word) {
    if (*s == '-') *out = -*out;
    end = s + sign + word;
  }
  if (end == s || end[strspn(end, blanks)])
    return CZ_FAIL(CZ_EINVAL, "expected a number, found '%.200s'", text);
  if (word) return CZ_OK;
  cz_buf plain = {0};
  cz_status st = CZ_OK;
  for (; s < end && st == CZ_OK; s++)
    if (*s != '_') st = cz_buf_add(&plain, s, 1);
  if (st == CZ_OK) *out = strtod(plain.data, NULL);
  cz_buf_free(&plain);
  return st;
}

/** Writes the shortest of %.15g, %.16g and %.17g that reads back to the same double;
 * `inf`, `-inf` or `nan` otherwise. */
void cz_format_real(char out[32], double v) {
  for (int digits = 15; digits <= 17; digits++) {
    snprintf(out, 32, "%.*g", digits, v);
    if (strtod(out, NULL) == v) return;
  }
}
