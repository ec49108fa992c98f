/* What the files that read results share; nobody else includes it. */
#ifndef CZ_EXPERIMENT_RESULTS_INTERNAL_H
#define CZ_EXPERIMENT_RESULTS_INTERNAL_H

#include "experiment/results.h"

#include <jansson.h>

/* What the stages of one row and seed left, by the stage's number. */
typedef struct cz__stages {
  json_t **result; /* [n]; null where one is not done */
  size_t n;
  const cz_plan *plan;
  size_t row;
} cz__stages;

/* results.c: what stands in them. */
const json_t *cz__results_task(const cz__stages *stages, const cz_column_path *path);
double cz__results_value(const cz__stages *stages, const cz_column_path *path, const char *what);
double cz__results_mean(const cz__stages *stages, const cz_column *column, const char *what);

/* baselines.c: what simple programs get. */
CZ_MUST cz_status cz__results_baselines(cz_results *r, const cz__stages *stages, size_t column,
                                        size_t seed);
CZ_MUST cz_status cz__results_settle_baselines(cz_results *r);

#endif
