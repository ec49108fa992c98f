/* Loss curves of a run: of one stage and row, mean and deviation over the seeds that are
 * there. */
#ifndef CZ_EXPERIMENT_REPORT_CURVES_H
#define CZ_EXPERIMENT_REPORT_CURVES_H

#include "experiment/experiment.h"

typedef struct cz_curve {
  double *step, *mean, *deviation; /* [n]; one allocation, at step */
  size_t n, seeds;
} cz_curve;

CZ_MUST cz_status cz_curve_read(cz_curve *c, const cz_plan *plan, const char *run, size_t row,
                                size_t stage);
void cz_curve_free(cz_curve *c);

#endif
