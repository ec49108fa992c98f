/* Added tokens: strings that are cut out of the text before the model sees it (models.md
 * 5.1). Internal. */
#ifndef CZ_TEXT_ADDED_H
#define CZ_TEXT_ADDED_H

#include "text/parts.h"
#include "text/trie.h"

typedef struct cz__added_token {
  char *content, *normal; /* as written; as the normalizer leaves it when the token is matched in
                             normalised text */
  size_t content_n, normal_n;
  int32_t id;
  bool single_word, lstrip, rstrip, normalized, special;
} cz__added_token;

/* A set of them that is looked for together. */
typedef struct cz__added_set {
  cz__trie trie; /* value: index of the token */
  bool starts[256], any;
} cz__added_set;

typedef struct cz__added {
  cz__added_token *tokens;
  size_t n;
  cz__trie contents;         /* all of them by content; value: index */
  cz__added_set raw, normal; /* looked for before and after normalisation */
  int32_t *by_id;            /* index of the token with this id, or -1; `size` entries */
  bool *special;             /* of the id; `size` entries */
  int32_t size;              /* ids in all, the model's included */
} cz__added;

/* A stretch of text: an added token, or what lies between two. */
typedef struct cz__stretch {
  size_t begin, end;
  int32_t token; /* index, or -1 */
} cz__stretch;

/* Walks over a text. Zero-initialise, set `added`, `set`, `text` and `n`. */
typedef struct cz__added_scan {
  const cz__added *added;
  const cz__added_set *set;
  const char *text;
  size_t n, at, done;
  bool text_only;   /* special tokens are text */
  cz__stretch held; /* a token found behind text that had to be reported first */
  bool holds;
} cz__added_scan;

CZ_MUST cz_status cz__added_parse(cz__added *a, cz_arena *arena, const json_t *json,
                                  const cz_json_place *at, const cz__model *model,
                                  const cz__parts *normalizers);
CZ_MUST cz_status cz__added_next(cz__added_scan *scan, cz__stretch *out, bool *more);
void cz__added_release(cz__added *a);

#endif
