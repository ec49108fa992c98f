/* Means over seeds and over examples, and how well they are known.
 *
 * A score that a report prints is the mean of a few runs that differ in their seed, each
 * scored on the same test examples. Two draws are behind it, and each moves it: the seeds
 * (weights, order of data, noise), and the examples, which are a sample of all that one
 * would like to score. A cz_interval keeps the standard error of each apart and adds
 * their squares; Student's t with Welch's and Satterthwaite's degrees of freedom makes
 * the 95 % interval of the sum. */
#ifndef CZ_METRICS_STATISTICS_H
#define CZ_METRICS_STATISTICS_H

#include "base/mem.h"

/* One source of noise: a standard error and its degrees of freedom. Error NaN: not
 * known. */
typedef struct cz_noise {
  double error, freedom;
} cz_noise;

typedef struct cz_interval {
  double mean, deviation;   /* over the seeds; the sample's, over n - 1 */
  cz_noise seeds, examples; /* the two parts of `total` */
  cz_noise total;           /* NaN with one seed: the seeds' part is then not known */
  double half;              /* 95 % interval: mean +- half; NaN where the total is */
  size_t n;                 /* seeds */
} cz_interval;

/* Plain statistics. Sums run in the order of the array, so a report has the same digits
 * every time. */
double cz_stats_mean(const double *x, size_t n);
double cz_stats_student_cdf(double t, double freedom);
double cz_stats_student_quantile(double p, double freedom);
cz_interval cz_stats_interval(const double *x, size_t n);
/* From scores to intervals. interval and paired fill in the seeds' part, add_examples the
 * other one; the sum of both is
 *
 *     e^2 = e_seeds^2 + e_examples^2
 *     f   = e^4 / (e_seeds^4 / f_seeds + e_examples^4 / f_examples)    degrees of freedom
 *
 * (Welch 1947, Satterthwaite 1946). */
CZ_MUST cz_status cz_stats_paired(cz_interval *out, const double *x, const double *y, size_t n);
void cz_stats_add_examples(cz_interval *x, const cz_noise *examples);
double cz_stats_p(const cz_interval *x);
CZ_MUST cz_status cz_stats_holm(double *adjusted, const double *p, size_t n);
CZ_MUST cz_status cz_stats_clusters(cz_noise *out, const uint64_t *cluster, const double *part,
                                    size_t n);
double cz_stats_share_error(double sum, size_t n);
double cz_stats_share_difference_error(double sum, double squares, size_t n);

#endif
