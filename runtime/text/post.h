/* What happens to tokens behind the model: truncation, trimmed offsets, special tokens and
 * type ids. Internal. */
#ifndef CZ_TEXT_POST_H
#define CZ_TEXT_POST_H

#include "text/parts.h"

/* One item of a layout: special tokens, or one of the texts. */
typedef struct cz__post_item {
  const int32_t *ids; /* null: the text */
  size_t n;
  int32_t type;
  int text; /* 0: the first, 1: the second */
} cz__post_item;

/* What stands around texts, in order. */
typedef struct cz__layout {
  const cz__post_item *items;
  size_t n;
} cz__layout;

/* A post-processor as it is read. */
typedef struct cz__processor {
  cz__layout layouts[2]; /* of one text, of two; items null: it lays nothing out */
  bool glued[2]; /* the special token before the first text, the second, becomes its first */
  bool trims;    /* blanks at the ends of a token are no part of its offsets, */
  bool add_prefix_space; /* but for one that the pre-tokenizer put before the text */
} cz__processor;

/* One trimming of offsets. */
typedef struct cz__trim {
  bool add_prefix_space;
  bool glued[2]; /* a text's first token is not the first one by then */
} cz__trim;

/* All post-processors of a file, one after the other. */
typedef struct cz__post {
  cz__layout layouts[2];
  cz__trim *trims;
  size_t n_trims;
} cz__post;

/* Blanks at the ends of a token's string, in characters. */
typedef struct cz__blanks {
  uint32_t left, right;
} cz__blanks;

/* The tokens of one text before they are put together. */
typedef struct cz__segment {
  int32_t *ids;
  cz_text_span *offsets; /* null: they have none */
  cz__blanks *blanks;    /* where offsets are trimmed */
  size_t n, ids_cap, offsets_cap, blanks_cap;
} cz__segment;

typedef struct cz__truncation {
  bool any, left; /* the file has one; it keeps the end of a text */
  enum { CZ__LONGEST_FIRST, CZ__ONLY_FIRST, CZ__ONLY_SECOND } strategy;
  int64_t max_length;
} cz__truncation;

extern const cz__part_table cz__processors;

CZ_MUST cz_status cz__post_build(cz__post *post, cz_arena *arena, const cz__parts *parts,
                                 const cz_json_place *at, int32_t size);
size_t cz__post_added(const cz__post *post, bool pair);
cz__blanks cz__blanks_of(const char *s, size_t n);
void cz__post_trim(const cz__post *post, cz__segment *s, int text, const char *bytes, size_t n,
                   bool add_special);
CZ_MUST cz_status cz__post_put(const cz__post *post, cz_encoding *out, const cz__segment *texts,
                               bool pair, bool add_special);

CZ_MUST cz_status cz__segment_reserve(cz__segment *s, size_t n, bool blanks);
void cz__segment_characters(cz__segment *s, const char *text, size_t n);
void cz__segment_free(cz__segment *s);

CZ_MUST cz_status cz__truncation_parse(cz__truncation *t, const json_t *json,
                                       const cz_json_place *at);
CZ_MUST cz_status cz__truncation_apply(const cz__truncation *t, cz__segment *texts, bool pair,
                                       size_t added);

#endif
