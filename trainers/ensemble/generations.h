/* iPET (docs/pet.md 2): how many generations, how many texts of each label a member of generation j
 * is trained on, and which members of generation j - 1 label them for it.
 *
 * With c_0(l) the texts of label l in T and d the scale, generation j has c_j(l) = d c_(j-1)(l), T
 * and c_j(l) - c_0(l) texts of D. Without T generation 1 has `first` texts, as many of each label.
 * The first set of `target` texts or more is the last that grows: generations after it have as
 * many.
 *
 * N = lambda (n - 1) members label, rounded as Python's `round`, half to even. Of three members and
 * fewer that is 0: an error under `code`, elsewhere one labels all the same. */
#ifndef CZ_ENSEMBLE_GENERATIONS_H
#define CZ_ENSEMBLE_GENERATIONS_H

#include "ensemble/ensemble.h"

typedef enum cz_balance {
  CZ_BALANCE_RATIO, /* new texts keep T's ratio of labels (paper, v2 of the published code) */
  CZ_BALANCE_EVEN   /* as many of each label (v1.1) */
} cz_balance;

/* Their spellings; null-terminated. */
extern const char *const cz_balance_names[];

/* What does not change between generations and members. */
typedef struct cz_ipet {
  cz_fidelity fidelity;
  cz_weighting weighting;
  cz_balance balance;
  double scale;   /* d, at least 1.01 */
  double share;   /* lambda, of the other members, in (0, 1] */
  int64_t target; /* texts */
  int64_t first;  /* texts of generation 1 where T is empty */
  int64_t likely; /* there, a label's are drawn from so many that it fits best; 0: generation 1 is
                     drawn as the others */
  uint64_t seed;
} cz_ipet;

/* The paper's settings, seed 0. */
extern const cz_ipet cz_ipet_paper;

CZ_MUST cz_status cz_ipet_check(const cz_ipet *s);
int64_t cz_ipet_generations(const cz_ipet *s, int64_t t);
int64_t cz_ipet_size(const cz_ipet *s, int64_t t, int64_t generation);
void cz_ipet_counts(int64_t *counts, const cz_ipet *s, const int64_t *labelled, int32_t classes,
                    int64_t generation);
CZ_MUST cz_status cz_ipet_teachers(bool *chosen, size_t *n, const cz_ipet *s, const cz_ensemble *e,
                                   size_t member, int64_t generation);

/* The key of what is drawn for member M of a generation, for cz_stream_init. */
static inline uint32_t cz_member_key(const cz_member *m) {
  return (uint32_t)m->pattern << 16 | (uint32_t)m->repetition;
}

#endif
