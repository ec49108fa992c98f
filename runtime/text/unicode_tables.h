/* Characters on which utf8proc and the Hugging Face library disagree. Internal. */
#ifndef CZ_TEXT_UNICODE_TABLES_H
#define CZ_TEXT_UNICODE_TABLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool cz__newer_mark(uint32_t c);
bool cz__newer_nonspacing(uint32_t c);
bool cz__is_other(uint32_t c);
bool cz__newer_composition(uint32_t c);
bool cz__newer_punctuation(uint32_t c);
bool cz__newer_word(uint32_t c);
bool cz__newer_number(uint32_t c);
bool cz__newer_letter(uint32_t c);
bool cz__newer_regex_number(uint32_t c);
int32_t cz__newer_lower(uint32_t c);

#endif
