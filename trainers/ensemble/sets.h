/* What a member of an iPET generation is trained on besides T: texts of D that some members of the
 * generation before label (docs/pet.md 2).
 *
 * Of each label c_j(l) - c_0(l) texts are drawn without replacement from those whose class of
 * highest mean score is l, one after another with probability proportional to confidence, the
 * largest softmax probability. The paper writes the score s_N itself, which may be negative and is
 * then no weight; all modes take the published code's. In generation 1 without T the pool of a
 * label are the `likely` texts that fit it best, whatever their class of highest score:
 *
 *     paper              by the mean score of l
 *     code, corrected    by the probability of l, which two texts have in common
 *
 * A pool may be smaller than what is wanted. The published code repeats it, and never ends when it
 * is empty; here it is used up, and `missing` counts the rest, in all modes. A text is never twice
 * in a set: not by its row, not as another row of D with the same text, not as one of T. */
#ifndef CZ_ENSEMBLE_SETS_H
#define CZ_ENSEMBLE_SETS_H

#include "ensemble/draw.h"
#include "ensemble/generations.h"

/* D, T, and what the generation before says of D. */
typedef struct cz_ipet_given {
  const cz_ipet *settings;
  const cz_ensemble *before; /* its scores are of the texts of D */
  const uint64_t *hashes;    /* [n] of D's texts */
  const cz_hash_set *in_t;   /* of T's texts; null: there is none */
  const int64_t *labelled;   /* [C] texts of each label in T */
} cz_ipet_given;

/* In an arena. */
typedef struct cz_ipet_set {
  int32_t *rows;   /* [n] of D, ascending */
  int32_t *labels; /* [n] that the teachers gave them */
  size_t n;
  int64_t *wanted;  /* [C] */
  int64_t *missing; /* [C] of those wanted, texts that D does not have */
  size_t teachers;
  bool even;           /* the teachers' weights were all 0: each counted alike */
  int32_t never_added; /* labels that T lacks and that its ratio will therefore never add */
} cz_ipet_set;

CZ_MUST cz_status cz_ipet_draw(cz_ipet_set *out, cz_arena *arena, const cz_ipet_given *given,
                               size_t member, int64_t generation);

#endif
