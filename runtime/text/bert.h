/* BERT's own parts: its normalizer, its pre-tokenizer, the decoder of its pieces (models.md 5.5).
 * Internal. */
#ifndef CZ_TEXT_BERT_H
#define CZ_TEXT_BERT_H

#include "text/parts.h"

CZ_MUST cz_status cz__bert_normalizer_parse(void **data, cz_arena *arena, const json_t *o,
                                            const cz_json_place *at);
CZ_MUST cz_status cz__bert_normalizer_run(const void *data, cz__work *w);
CZ_MUST cz_status cz__bert_split_parse(void **data, cz_arena *arena, const json_t *o,
                                       const cz_json_place *at);
CZ_MUST cz_status cz__bert_split_run(const void *data, cz__work *w);
CZ_MUST cz_status cz__wordpiece_decoder_parse(void **data, cz_arena *arena, const json_t *o,
                                              const cz_json_place *at);
CZ_MUST cz_status cz__wordpiece_decoder_run(const void *data, cz__work *w);

#endif
