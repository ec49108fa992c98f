/* How far the members of an ensemble differ: the spread of their accuracies over patterns, and how
 * often two of them agree (docs/pet.md 4.3). */
#ifndef CZ_ENSEMBLE_AGREEMENT_H
#define CZ_ENSEMBLE_AGREEMENT_H

#include "ensemble/ensemble.h"

/* Of some numbers; deviation is the sample's, NaN of one. */
typedef struct cz_spread {
  double best, worst, mean, deviation;
} cz_spread;

typedef struct cz_agreement {
  double pairs; /* the mean over pairs of members of the share of texts that both class alike */
  double kappa; /* Fleiss's, 1: always, 0: as often as chance has it; NaN: all texts in one class */
} cz_agreement;

CZ_MUST cz_status cz_patterns_spread(cz_spread *out, const cz_member *of, const double *accuracy,
                                     size_t n_members);
CZ_MUST cz_status cz_members_agreement(cz_agreement *out, const int32_t *labels, size_t n_members,
                                       size_t n, int32_t classes);
void cz_members_votes(double *votes, const int32_t *labels, size_t n_members, size_t n,
                      int32_t classes);

#endif
