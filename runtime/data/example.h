/* One training example: what the model reads and what it must write, as token ids. */
#ifndef CZ_DATA_EXAMPLE_H
#define CZ_DATA_EXAMPLE_H

#include "base/mem.h"

#include <stdbool.h>
#include <stdint.h>

/* A growable list of token ids. Zero-initialised is empty. Free .data. */
typedef struct cz_ids {
  int32_t *data;
  size_t len, cap;
} cz_ids;

/* Appends one id. */
static inline CZ_MUST cz_status cz_ids_add(cz_ids *s, int32_t id) {
  if (s->len == s->cap) CZ_TRY(cz_grow(&s->data, &s->cap, s->len + 1, sizeof *s->data));
  s->data[s->len++] = id;
  return CZ_OK;
}

/* `inputs` is the encoder's text (or the prefix of a single stack), `targets` what is
 * predicted; both end with EOS where the objective says so. `text` is set by the source:
 * how many tokens of raw text the example was made of, before noise, sentinels, EOS and
 * caps. */
typedef struct cz_example {
  cz_ids inputs, targets;
  int64_t text;
} cz_example;

/* A raw piece of the corpus, before an objective corrupts it. (epoch, index) name it:
 * with the seed they key every random draw, so that a repeat of the corpus draws fresh
 * noise and a resumed run draws the same. */
typedef struct cz_piece {
  const int32_t *ids;
  int64_t n;
  uint32_t epoch, index;
} cz_piece;

/* To the reader an objective is this function. It empties OUT and fills it; an example
 * with no targets is dropped by the reader. */
typedef cz_status (*cz_corrupt_fn)(const void *self, const cz_piece *piece, cz_example *out);

/* How the reader cuts the corpus for an objective (docs/t5.md 3.1). */
typedef struct cz_cut {
  int64_t piece_tokens; /* raw tokens per piece */
  bool concatenate; /* join groups of documents before cutting; false: each document on its own */
  int64_t chunk_tokens;    /* of a longer document one aligned chunk of this many tokens is kept
                              (65,536) */
  int64_t group_documents; /* documents per group (128) */
} cz_cut;

#endif
