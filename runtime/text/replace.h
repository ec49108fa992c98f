/* Replace, which is a normalizer and a decoder. Internal. */
#ifndef CZ_TEXT_REPLACE_H
#define CZ_TEXT_REPLACE_H

#include "text/parts.h"

CZ_MUST cz_status cz__replace_parse(void **data, cz_arena *arena, const json_t *o,
                                    const cz_json_place *at);
CZ_MUST cz_status cz__replace_normalize(const void *data, cz__work *w);
CZ_MUST cz_status cz__replace_decode(const void *data, cz__work *w);
void cz__replace_release(void *data);

#endif
