/* ByteLevel: every byte of a text as a visible character, and the words of GPT-2. Internal. */
#ifndef CZ_TEXT_BYTE_LEVEL_H
#define CZ_TEXT_BYTE_LEVEL_H

#include "text/parts.h"

size_t cz__byte_level_put(char out[2], unsigned char byte);
CZ_MUST cz_status cz__byte_level_unmap(cz_buf *out, bool *whole, const char *s, size_t n);

CZ_MUST cz_status cz__byte_level_parse(void **data, cz_arena *arena, const json_t *o,
                                       const cz_json_place *at);
CZ_MUST cz_status cz__byte_level_normalize(const void *data, cz__work *w);
CZ_MUST cz_status cz__byte_level_split(const void *data, cz__work *w);
CZ_MUST cz_status cz__byte_level_decode(const void *data, cz__work *w);
CZ_MUST cz_status cz__byte_level_join(cz__parts *pre_tokenizers, cz__model *model);

/* gpt2_words.c */
size_t cz__gpt2_word(const char *s, size_t n);

#endif
