/* A vocabulary as an object {piece: id}, of WordPiece and others. Internal. */
#ifndef CZ_TEXT_VOCAB_H
#define CZ_TEXT_VOCAB_H

#include "text/parts.h"
#include "text/trie.h"

typedef struct cz__vocab {
  cz__trie trie;       /* of all pieces; value: id */
  const char **pieces; /* by id, each with a NUL behind it */
  size_t *lengths;
  int32_t size; /* ids 0 .. size - 1 */
} cz__vocab;

CZ_MUST cz_status cz__vocab_parse(cz__vocab *v, cz_arena *arena, const json_t *o,
                                  const cz_json_place *at);
void cz__vocab_release(cz__vocab *v);

#endif
