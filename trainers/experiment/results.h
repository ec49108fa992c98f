/* The results of a run, as far as its stages are done. The plan is the one that the run
 * recorded; a value that is missing is NaN. */
#ifndef CZ_EXPERIMENT_RESULTS_H
#define CZ_EXPERIMENT_RESULTS_H

#include "experiment/experiment.h"
#include "stages/estimate.h"

typedef struct cz_results {
  cz_plan plan;
  double *values;             /* [columns][rows][seeds], NaN where missing */
  double *paper;              /* [columns][rows], NaN where the paper has none */
  double *baseline;           /* [columns] what the scores stand beside; NaN where there is none */
  const char **baseline_kind; /* [columns] "majority", "copy", "lead"; null where there is none */
  cz_cost *costs;             /* [rows] mean over the finished seeds; shared stages count in full */
  size_t done, total;         /* different stages: with a result, all */
} cz_results;

CZ_MUST cz_status cz_results_overlap(size_t *shared, size_t *lost, const cz_plan *plan,
                                     const char *path);
CZ_MUST cz_status cz_results_open(cz_results *r, const char *run);
void cz_results_close(cz_results *r);

#endif
