/* SentencePiece's precompiled character map, as the Hugging Face library applies it
 * (models.md 5.3). Internal. */
#ifndef CZ_TEXT_CHARSMAP_H
#define CZ_TEXT_CHARSMAP_H

#include "text/parts.h"

CZ_MUST cz_status cz__charsmap_parse(void **data, cz_arena *arena, const json_t *o,
                                     const cz_json_place *at);
CZ_MUST cz_status cz__charsmap_run(const void *data, cz__work *w);
CZ_MUST cz_status cz__base64_encode(cz_buf *out, const char *bytes, size_t n);

#endif
