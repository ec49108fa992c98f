/* One training example: what the model reads and what it must write, as token ids. */
#ifndef CZ_DATA_EXAMPLE_H
#define CZ_DATA_EXAMPLE_H

#include "base/mem.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

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

/* Appends N ids. */
static inline CZ_MUST cz_status cz_ids_append(cz_ids *s, const int32_t *ids, int64_t n) {
  CZ_TRY(cz_grow(&s->data, &s->cap, s->len + (size_t)n, sizeof *s->data));
  if (n) memcpy(s->data + s->len, ids, (size_t)n * sizeof *ids);
  s->len += (size_t)n;
  return CZ_OK;
}

/* A target that the loss leaves out; the number that torch's cross_entropy ignores by
 * default. */
enum { CZ_NOT_COUNTED = -100 };

/* A growable list of reals. Zero-initialised is empty. Free .data. */
typedef struct cz_reals {
  double *data;
  size_t len, cap;
} cz_reals;

/* `inputs` is the encoder's text (or the prefix of a single stack), `targets` what is
 * predicted; both end with EOS where the objective says so. `text` is set by the source:
 * how many tokens of raw text the example was made of, before noise, sentinels, EOS and
 * caps.
 *
 * What follows is for CZ_LAYOUT_TOKENS (batch.h), where one stack reads `inputs` as they
 * are, special tokens included, and `targets` are empty. Two losses may read it: at the
 * places where `labels` has a token that one is predicted; at `rows` a head of classes
 * reads, and `klass` or `soft` says what it should find. */
typedef struct cz_example {
  cz_ids inputs, targets;
  int64_t text;
  cz_ids types;    /* token type of each input; empty: all 0 */
  cz_ids labels;   /* token that each input predicts, or CZ_NOT_COUNTED; empty: none */
  cz_ids rows;     /* places in inputs that the head of classes reads, ascending; empty: none */
  cz_ids ends;     /* where inputs are several texts, none of which sees another, the place behind
                      each one's last token; they have a row each, and one class. Empty: one text */
  cz_reals soft;   /* probability of each class; empty: none */
  cz_ids answers;  /* [C, M] tokens of what each class says at the rows, behind the last -1; empty:
                      the same in all examples. Sets keep them, batches do not (prepared.h) */
  int32_t klass;   /* with rows: the class; negative: not known */
  int64_t number;  /* of the example in its set, whatever the order; -1: it has none */
  int64_t padding; /* of the inputs, at their end: positions that no attention reads */
} cz_example;

/* Empties the lists and keeps their memory; `text` is left alone. */
static inline void cz_example_clear(cz_example *e) {
  e->inputs.len = e->targets.len = e->types.len = e->labels.len = e->rows.len = e->soft.len =
      e->answers.len = e->ends.len = 0;
  e->klass = e->number = -1;
  e->padding = 0;
}

/* Frees the lists and leaves a zero-initialised example; accepts one. */
static inline void cz_example_free(cz_example *e) {
  free(e->inputs.data);
  free(e->targets.data);
  free(e->types.data);
  free(e->labels.data);
  free(e->rows.data);
  free(e->ends.data);
  free(e->soft.data);
  free(e->answers.data);
  *e = (cz_example){0};
}

/* A raw piece of the corpus, before an objective corrupts it. (epoch, index) name it:
 * with the seed they key every random draw, so that a repeat of the corpus draws fresh
 * noise and a resumed run draws the same. */
typedef struct cz_piece {
  const int32_t *ids;
  int64_t n;
  uint32_t epoch, index;
  bool ends;            /* the last token is the last one of its document */
  const int32_t *other; /* [n_other] a run of another document, where the cut wants one */
  int64_t n_other;
} cz_piece;

/* To the reader an objective is this function. It empties OUT and fills it; an example
 * with nothing to predict from is dropped by the reader (batch.h). */
typedef cz_status (*cz_corrupt_fn)(const void *self, const cz_piece *piece, cz_example *out);

/* How the reader cuts the corpus for an objective (docs/t5.md 3.1). */
typedef struct cz_cut {
  int64_t piece_tokens; /* raw tokens per piece */
  bool concatenate; /* join groups of documents before cutting; false: each document on its own */
  int64_t chunk_tokens;    /* of a longer document one aligned chunk of this many tokens is kept
                              (65,536) */
  int64_t group_documents; /* documents per group (128) */
  bool other;              /* each piece comes with a run of another document; not joined ones */
} cz_cut;

#endif
