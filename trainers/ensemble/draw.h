/* Which texts are T, the labelled ones, and which are D, the unlabelled ones (docs/pet.md 4.1).
 *
 *     draw       T, of t texts
 *     paper      the first t / |L| of each label in file order; what is left over, one each to the
 *                first labels. No seed. T is inside D.
 *     balanced   as many of each label, drawn by the seed; which labels get one more also
 *     random     any, by the seed
 *
 *     unlabelled   D
 *     all          every text that is left
 *     per_label    the first N of each label in file order, as the paper's, labels dropped
 *     random       N of them by the seed
 *
 * The test set, T and D share no text, but for T inside D of `paper`: who draws gives what may not
 * be drawn. A text that stands in the file more than once counts once, at its first row. Draws of
 * T with one seed are nested: who asks for five of each label gets the one of each label as well.
 * Where somebody gives T, D and the test set as files, cz_draw_candidates counts what they share; a
 * test set that is too large is drawn as D is.
 *
 * Demonstrations are texts of T, as many of each label as their number allows. */
#ifndef CZ_ENSEMBLE_DRAW_H
#define CZ_ENSEMBLE_DRAW_H

#include "ensemble/texts.h"

typedef enum cz_draw_kind { CZ_DRAW_PAPER, CZ_DRAW_BALANCED, CZ_DRAW_RANDOM } cz_draw_kind;
typedef enum cz_unlabelled_kind {
  CZ_UNLABELLED_ALL,
  CZ_UNLABELLED_PER_LABEL,
  CZ_UNLABELLED_RANDOM
} cz_unlabelled_kind;

/* Their spellings; null-terminated. */
extern const char *const cz_draw_names[], *const cz_unlabelled_names[];

/* The rows of a file. */
typedef struct cz_pool {
  const uint64_t *hashes; /* [n] of cz_text_hash */
  const int32_t *labels;  /* [n] classes, -1: none; null: none has one */
  size_t n;
  int32_t classes;
} cz_pool;

/* What was drawn, and what the caller should say of it. In an arena. */
typedef struct cz_drawn {
  int32_t *rows; /* [n] ascending */
  size_t n;
  size_t repeated;   /* rows passed over, since their text stands in an earlier row */
  size_t elsewhere;  /* rows passed over, since their text may not be drawn */
  int64_t *missing;  /* [C] of each label, texts that were wanted and do not exist; random: null */
  int32_t absent;    /* labels without a text in T */
  bool below_labels; /* T was to have fewer texts than there are labels */
} cz_drawn;

void cz_draw_split(int64_t *counts, int64_t total, int32_t classes, const int32_t *order);
CZ_MUST cz_status cz_draw_candidates(bool *candidates, cz_drawn *counts, const cz_pool *pool,
                                     const cz_hash_set *excluded);
CZ_MUST cz_status cz_draw_labelled(cz_drawn *out, cz_arena *arena, const cz_pool *pool,
                                   const cz_hash_set *excluded, cz_draw_kind kind, int64_t t,
                                   uint64_t seed);
CZ_MUST cz_status cz_draw_unlabelled(cz_drawn *out, cz_arena *arena, const cz_pool *pool,
                                     const cz_hash_set *excluded, cz_unlabelled_kind kind,
                                     int64_t n, uint64_t seed);
CZ_MUST cz_status cz_draw_demonstrations(int32_t *items, size_t *n, const int32_t *labels,
                                         size_t texts, int32_t classes, uint64_t seed,
                                         int32_t pattern);

#endif
