/* What one thread needs while it encodes or decodes: the text under transformation, the
 * pieces it falls into, the tokens they become. Internal.
 *
 * Encoding: the input is cut at added tokens, each remaining segment is normalised in
 * `text`, the results gather in `flat` as `pieces`, pre-tokenizers cut the pieces
 * further, the model turns each piece into tokens. Decoding: the ids' strings are
 * `words`, and decoders rewrite that list. */
#ifndef CZ_TEXT_WORK_H
#define CZ_TEXT_WORK_H

#include "text/aligned.h"

#include <string.h>

/* A pre-token: bytes [begin, end) of `flat`. */
typedef struct cz__piece {
  size_t begin, end;
  uint32_t origin; /* where it was cut from the input, in bytes; later insertions do not move it */
  int32_t token;   /* id of the added token that it is, or -1 */
} cz__piece;

typedef struct cz__pieces {
  cz__piece *data;
  size_t len, cap;
} cz__pieces;

/* A cut of a text: a list of matches covers it from end to end. */
typedef struct cz__match {
  size_t begin, end;
  bool hit;
} cz__match;

typedef struct cz__matches {
  cz__match *data;
  size_t len, cap;
} cz__matches;

/* A token of one piece: bytes [begin, end) of the piece. */
typedef struct cz__token {
  int32_t id;
  uint32_t begin, end;
} cz__token;

typedef struct cz__tokens {
  cz__token *data;
  size_t len, cap;
} cz__tokens;

/* A list of strings end to end: string i is [ends[i-1], ends[i]). */
typedef struct cz__words {
  cz_buf bytes;
  size_t *ends;
  size_t len, cap;
} cz__words;

typedef struct cz__work {
  cz__aligned text, spare; /* a segment and the room to rewrite it */
  uint32_t origin;         /* where the segment begins in the input */
  size_t input_bytes;      /* of the text that is encoded, or of the ids' strings */
  cz__aligned flat, next_flat;
  cz__pieces pieces, next_pieces;
  cz__changes changes;
  cz__matches matches;
  cz__tokens tokens;
  cz__words words, next_words;
  const bool *banned; /* by id: tokens that the model may not make of a text; or null: none */
  void *model_space;  /* the model's own */
  size_t model_space_cap;
  void *regex_space;   /* pcre2_match_data */
  void *regex_context; /* pcre2_match_context: limits of time and memory */
} cz__work;

/* What a decoder does to one word: appends it, rewritten, to next_words. */
typedef cz_status (*cz__word_fn)(const void *data, cz__work *w, const char *s, size_t n,
                                 size_t index);

void cz__work_free(cz__work *w);
CZ_MUST cz_status cz__work_room(const cz__work *w, size_t bytes);
CZ_MUST cz_status cz__words_end(cz__words *s);
void cz__words_clear(cz__words *s);
CZ_MUST cz_status cz__words_each(cz__work *w, cz__word_fn rewrite, const void *data);
void cz__work_swap_words(cz__work *w);
void cz__work_swap_pieces(cz__work *w);

static inline CZ_MUST cz_status cz__matches_add(cz__matches *m, size_t begin, size_t end,
                                                bool hit) {
  CZ_CHECK(begin <= end);
  if (m->len == m->cap) CZ_TRY(cz_grow(&m->data, &m->cap, m->len + 1, sizeof *m->data));
  m->data[m->len++] = (cz__match){begin, end, hit};
  return CZ_OK;
}

static inline CZ_MUST cz_status cz__pieces_add(cz__pieces *p, cz__piece piece) {
  if (p->len == p->cap) CZ_TRY(cz_grow(&p->data, &p->cap, p->len + 1, sizeof *p->data));
  p->data[p->len++] = piece;
  return CZ_OK;
}

static inline CZ_MUST cz_status cz__tokens_add(cz__tokens *t, int32_t id, uint32_t begin,
                                               uint32_t end) {
  if (t->len == t->cap) CZ_TRY(cz_grow(&t->data, &t->cap, t->len + 1, sizeof *t->data));
  t->data[t->len++] = (cz__token){id, begin, end};
  return CZ_OK;
}

/* The first place of the NEEDLE (n > 0 bytes) in S, or null. Texts here are mostly single
 * words, for which memmem's preparations cost more than the search. */
static inline const char *cz__find_bytes(const char *s, size_t s_n, const char *needle, size_t n) {
  const char *end = s + s_n;
  while ((size_t)(end - s) >= n && (s = memchr(s, needle[0], (size_t)(end - s) - n + 1))) {
    if (memcmp(s, needle, n) == 0) return s;
    s++;
  }
  return NULL;
}

#endif
