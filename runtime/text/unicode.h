/* The character classes of tokenizers and scores.
 *
 * Each is the class of a published rule, in the Unicode version of the library that the
 * rule comes from (unicode_tables.c holds what was assigned or changed since), so that
 * results do not depend on the utf8proc of a machine. */
#ifndef CZ_TEXT_UNICODE_H
#define CZ_TEXT_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef bool (*cz_unicode_class)(uint32_t c);

bool cz_unicode_is_space(uint32_t c);
bool cz_unicode_is_word(uint32_t c);
bool cz_unicode_is_numeric(uint32_t c);
bool cz_unicode_is_punctuation(uint32_t c);
bool cz_unicode_is_mark(uint32_t c);
bool cz_unicode_is_nonspacing(uint32_t c);
bool cz_unicode_is_other(uint32_t c);
bool cz_unicode_is_letter(uint32_t c);
bool cz_unicode_is_number(uint32_t c);
size_t cz_unicode_lower(uint32_t c, uint32_t out[2]);

#endif
