/* Metaspace, which is a pre-tokenizer and a decoder. Internal. */
#ifndef CZ_TEXT_METASPACE_H
#define CZ_TEXT_METASPACE_H

#include "text/parts.h"

CZ_MUST cz_status cz__metaspace_parse(void **data, cz_arena *arena, const json_t *o,
                                      const cz_json_place *at);
CZ_MUST cz_status cz__metaspace_split(const void *data, cz__work *w);
CZ_MUST cz_status cz__metaspace_decode(const void *data, cz__work *w);

#endif
