#include "text/unicode.h"

#include "text/unicode_tables.h"

#include <utf8proc.h>

/** White_Space of the Unicode Character Database: 25 code points. */
bool cz_unicode_is_space(uint32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13);
  return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
         c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

static utf8proc_category_t category(uint32_t c) { return utf8proc_category((utf8proc_int32_t)c); }

/** What `\w` matches in Rust's regex crate (UTS 18, annex C): alphabetic, marks, decimal
 * numbers, connectors, joiners. */
bool cz_unicode_is_word(uint32_t c) {
  utf8proc_category_t k = category(c);
  if (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_ND)
    return true; /* letters, marks, decimal digits */
  if (k == UTF8PROC_CATEGORY_NL || k == UTF8PROC_CATEGORY_PC || c == 0x200c || c == 0x200d)
    return true;
  if (cz__newer_word(c)) return true;
  return (c >= 0x24b6 && c <= 0x24e9) || (c >= 0x1f130 && c <= 0x1f149) ||
         (c >= 0x1f150 && c <= 0x1f169) || /* symbols that are alphabetic */
         (c >= 0x1f170 && c <= 0x1f189);
}

/** Categories Nd, Nl, No. */
bool cz_unicode_is_numeric(uint32_t c) {
  utf8proc_category_t k = category(c);
  return (k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO) || cz__newer_number(c);
}

/** ASCII punctuation (symbols such as `$` included) or a category P*, as of Unicode 8. */
bool cz_unicode_is_punctuation(uint32_t c) {
  if (c < 0x80)
    return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) ||
           (c >= 123 && c <= 126);
  utf8proc_category_t k = category(c);
  if (c == 0x166d || c == 0x111c9) return true; /* until Unicode 11 and 12 */
  return k >= UTF8PROC_CATEGORY_PC && k <= UTF8PROC_CATEGORY_PO && !cz__newer_punctuation(c);
}

/** Categories M*: combining marks of all kinds, as of Unicode 9. */
bool cz_unicode_is_mark(uint32_t c) {
  utf8proc_category_t k = category(c);
  if (c == 0x1cf2 || c == 0x1cf3) return true; /* until Unicode 12 */
  return k >= UTF8PROC_CATEGORY_MN && k <= UTF8PROC_CATEGORY_ME && !cz__newer_mark(c);
}

/** Category Mn: combining marks that take no room, as of Unicode 8. */
bool cz_unicode_is_nonspacing(uint32_t c) {
  if (c < 0x300) return false;
  if (c == 0x1734) return true; /* until Unicode 14 */
  return category(c) == UTF8PROC_CATEGORY_MN && !cz__newer_mark(c) && !cz__newer_nonspacing(c);
}

/** Categories Cc, Cf and Co: controls, invisible formats, private use, as of Unicode 8. */
bool cz_unicode_is_other(uint32_t c) { return cz__is_other(c); }

/** What `\p{L}` matches in Oniguruma: categories L*. */
bool cz_unicode_is_letter(uint32_t c) {
  utf8proc_category_t k = category(c);
  return (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO) || cz__newer_letter(c);
}

/** What `\p{N}` matches in Oniguruma: categories N*. */
bool cz_unicode_is_number(uint32_t c) {
  utf8proc_category_t k = category(c);
  return (k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO) || cz__newer_regex_number(c);
}

/** Lower case of C, one or two characters, without regard to neighbours (no final sigma);
 * returns how many. */
size_t cz_unicode_lower(uint32_t c, uint32_t out[2]) {
  if (c == 0x130) { /* the one character whose lower case is two */
    out[0] = 'i';
    out[1] = 0x307;
    return 2;
  }
  if (c < 0x80) {
    out[0] = c >= 'A' && c <= 'Z' ? c + 32 : c;
    return 1;
  }
  int32_t shift = cz__newer_lower(c);
  out[0] = shift ? c + (uint32_t)shift : (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
  return 1;
}
