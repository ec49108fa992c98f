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

#endif
