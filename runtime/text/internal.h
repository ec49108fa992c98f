/* The tokenizer's own structures, for the files that open it, encode and decode.
 * Internal. */
#ifndef CZ_TEXT_INTERNAL_H
#define CZ_TEXT_INTERNAL_H

#include "text/added.h"
#include "text/post.h"

struct cz_tokenizer {
  cz_arena *arena;
  cz__parts normalizers, pre_tokenizers, processors, decoders;
  cz__model model;
  cz__added added;
  cz__post post;
  cz__truncation truncation;
  cz_tokenizer_facts facts;
};

void cz__facts_find(cz_tokenizer *t);
CZ_MUST cz_status cz__facts_take(cz_tokenizer *t, const json_t *config, const cz_json_place *at,
                                 const char *tokenizer);

#endif
