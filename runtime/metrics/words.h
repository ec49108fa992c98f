/* Words as numbers, for the scores that count them (BLEU, ROUGE, SQuAD's F1): a word, or
 * a run of n of them, becomes the number under which its bytes were first seen, so that
 * comparing and counting are those of integers. Private to this folder. */
#ifndef CZ_METRICS_WORDS_H
#define CZ_METRICS_WORDS_H

#include "base/mem.h"

#include <stdbool.h>

/* A byte string, borrowed from the arena of its list. */
typedef struct cz__word {
  const char *bytes;
  size_t n;
} cz__word;

/* Gives equal byte strings equal numbers, counted from 0. Zero-initialised is empty; free
 * with cz__names_free. */
typedef struct cz__names {
  cz_arena *arena;
  cz__word *words;
  size_t n, cap;
  int32_t *slots; /* open addressing, number + 1 */
  size_t n_slots;
} cz__names;

/* A text as numbers of words or of n-grams, in order. */
typedef struct cz__grams {
  int32_t *ids;
  size_t n, cap;
} cz__grams;

/* Texts that are compared share one table, else their numbers mean different words. */
bool cz__score_is_space(int32_t c);
CZ_MUST cz_status cz__score_lower(cz_buf *out, const char *text);
CZ_MUST cz_status cz__name(cz__names *names, int32_t *id, const void *bytes, size_t n);
void cz__names_free(cz__names *names);
CZ_MUST cz_status cz__grams_add(cz__grams *tokens, int32_t id);
void cz__grams_free(cz__grams *tokens);
CZ_MUST cz_status cz__split_spaces(cz__grams *out, cz__names *names, const char *text);
CZ_MUST cz_status cz__grams_extend(cz__grams *grams, cz__names *names, const cz__grams *words,
                                   size_t order);
CZ_MUST cz_status cz__grams_common(size_t *common, const cz__grams *a, const cz__grams *b,
                                   size_t n_names);

#endif
