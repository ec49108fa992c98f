/* Logistic regression on given vectors: what somebody with a sentence encoder would do with T. */
#ifndef CZ_ENSEMBLE_LOGISTIC_H
#define CZ_ENSEMBLE_LOGISTIC_H

#include "base/mem.h"

#include <stdbool.h>

/* In an arena. */
typedef struct cz_logistic {
  int32_t classes, width;
  bool *present;    /* [C] the class has a text */
  double *weights;  /* [C, D + 1], the intercept last */
  double objective; /* at the minimum */
  double gradient;  /* its largest magnitude there */
  int iterations;
} cz_logistic;

CZ_MUST cz_status cz_logistic_fit(cz_logistic *out, cz_arena *arena, const float *x,
                                  const int32_t *labels, size_t n, int32_t width, int32_t classes,
                                  double strength);
void cz_logistic_scores(double *scores, const cz_logistic *model, const float *x, size_t n);

#endif
