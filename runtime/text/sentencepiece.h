/* A SentencePiece model file: a ModelProto of sentencepiece_model.proto, of which the pieces, the
 * kind of model, the id of the unknown piece and the map of characters are read. Internal. */
#ifndef CZ_TEXT_SENTENCEPIECE_H
#define CZ_TEXT_SENTENCEPIECE_H

#include "base/mem.h"

typedef enum cz__sp_type {
  CZ__SP_NORMAL = 1,
  CZ__SP_UNKNOWN,
  CZ__SP_CONTROL,
  CZ__SP_USER_DEFINED,
  CZ__SP_UNUSED,
  CZ__SP_BYTE
} cz__sp_type;

typedef struct cz__sp_piece {
  const char *text; /* n bytes of UTF-8 inside the file's; no NUL behind them */
  size_t n;
  float score;
  cz__sp_type type;
} cz__sp_piece;

typedef struct cz__sp_model {
  cz__sp_piece *pieces;
  size_t n, cap;
  uint64_t kind;   /* 1: Unigram; 2: BPE; 3: words; 4: characters */
  uint64_t unk_id; /* a piece */
  const char *map; /* precompiled_charsmap, inside the file's bytes; null: none */
  size_t map_n;
} cz__sp_model;

CZ_MUST cz_status cz__sp_parse(cz__sp_model *m, const char *bytes, size_t n, const char *name);
void cz__sp_free(cz__sp_model *m);

#endif
