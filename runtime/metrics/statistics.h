/* Statistics for reports: mean and noise over seeds, paired intervals, Student's
 * quantile. Rank agreement with the paper is cz_score_spearman and cz_score_kendall of
 * scores.h. */
#ifndef CZ_METRICS_STATISTICS_H
#define CZ_METRICS_STATISTICS_H

#include "base/mem.h"

#include <stdbool.h>

/* A mean and its two-sided 95 % interval, mean - half to mean + half. */
typedef struct cz_interval {
  double mean;
  double deviation; /* of the sample, over n - 1; NaN when n < 2 */
  double half;      /* NaN when n < 2: one seed says nothing about noise */
  size_t n;
} cz_interval;

double cz_stats_mean(const double *x, size_t n);
double cz_stats_deviation(const double *x, size_t n);
double cz_stats_student_cdf(double t, double freedom);
double cz_stats_student_quantile(double p, double freedom);
cz_interval cz_stats_interval(const double *x, size_t n);
CZ_MUST cz_status cz_stats_paired(cz_interval *out, const double *x, const double *y, size_t n);

#endif
