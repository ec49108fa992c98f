/* Which unlabelled texts to label next: those that the members of an ensemble disagree on
 * (docs/pet.md 4.3). */
#ifndef CZ_ENSEMBLE_NEXT_H
#define CZ_ENSEMBLE_NEXT_H

#include "ensemble/ensemble.h"

/* Both in nats. */
typedef struct cz_next {
  int32_t row;
  double votes;   /* entropy of the classes that the members vote for */
  double entropy; /* of the ensemble's probabilities */
} cz_next;

CZ_MUST cz_status cz_label_next(cz_next *out, size_t *n, size_t limit, const cz_ensemble *e,
                                const double *mean, const char *const *fields, size_t n_fields,
                                uint64_t seed);

#endif
