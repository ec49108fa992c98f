#include "metrics/statistics.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

/** The mean of N numbers; NaN when N is 0. */
double cz_stats_mean(const double *x, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; i++) sum += x[i];
  return sum / (double)n;
}

/** The sample's standard deviation, over N - 1; NaN when N < 2. */
double cz_stats_deviation(const double *x, size_t n) {
  double mean = cz_stats_mean(x, n), sum = 0;
  if (n < 2) return NAN;
  for (size_t i = 0; i < n; i++) sum += (x[i] - mean) * (x[i] - mean);
  return sqrt(sum / (double)(n - 1));
}

/* The continued fraction of the incomplete beta function (Abramowitz and Stegun 26.5.8),
 * by Lentz's method from the front. */
static double beta_fraction(double x, double a, double b) {
  double c = 1, d = 1 - (a + b) * x / (a + 1), f;
  d = 1 / (fabs(d) < DBL_MIN ? DBL_MIN : d);
  f = d;
  for (int m = 1; m < 10000; m++) {
    double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
           odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    double terms[2] = {even, odd}, step = 1;
    for (int k = 0; k < 2; k++) {
      d = 1 + terms[k] * d;
      d = 1 / (fabs(d) < DBL_MIN ? DBL_MIN : d);
      c = 1 + terms[k] / c;
      if (fabs(c) < DBL_MIN) c = DBL_MIN;
      step = c * d;
      f *= step;
    }
    if (fabs(step - 1) < DBL_EPSILON) break;
  }
  return f;
}

/* The regularised incomplete beta function I_x(a, b). */
static double beta_share(double x, double a, double b) {
  if (x <= 0 || x >= 1) return x <= 0 ? 0 : 1;
  double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
  return x < (a + 1) / (a + b + 2) ? front * beta_fraction(x, a, b) / a
                                   : 1 - front * beta_fraction(1 - x, b, a) / b;
}

/** The probability that Student's t with FREEDOM degrees lies below T (Abramowitz and
 * Stegun 26.7.1). */
double cz_stats_student_cdf(double t, double freedom) {
  double tail = 0.5 * beta_share(freedom / (freedom + t * t), freedom / 2, 0.5);
  return t > 0 ? 1 - tail : tail;
}

/** The T below which Student's t with FREEDOM degrees lies with probability P, 0 < P < 1:
 * by bisection, to the last bits. */
double cz_stats_student_quantile(double p, double freedom) {
  CZ_CHECK(p > 0 && p < 1 && freedom > 0);
  if (p < 0.5) return -cz_stats_student_quantile(1 - p, freedom);
  double low = 0, high = 1;
  while (cz_stats_student_cdf(high, freedom) < p && high < 1e300) high *= 2;
  for (int i = 0; i < 200 && low < high; i++) {
    double middle = low + (high - low) / 2;
    if (middle <= low || middle >= high) break;
    *(cz_stats_student_cdf(middle, freedom) < p ? &low : &high) = middle;
  }
  return high;
}

/** Mean, deviation and half width of the two-sided 95 % interval: half = t(0.975, N - 1)
 * deviation / sqrt(N). One number has no interval. */
cz_interval cz_stats_interval(const double *x, size_t n) {
  cz_interval r = {
      .mean = cz_stats_mean(x, n), .deviation = cz_stats_deviation(x, n), .half = NAN, .n = n};
  if (n > 1)
    r.half = cz_stats_student_quantile(0.975, (double)(n - 1)) * r.deviation / sqrt((double)n);
  return r;
}

/** The interval of the differences X[i] - Y[i] of two rows that share the seed i (same
 * data order and initialisation): what seeds have in common cancels. */
cz_status cz_stats_paired(cz_interval *out, const double *x, const double *y, size_t n) {
  double *d;
  CZ_TRY(cz_alloc(&d, n, sizeof *d));
  for (size_t i = 0; i < n; i++) d[i] = x[i] - y[i];
  *out = cz_stats_interval(d, n);
  free(d);
  return CZ_OK;
}
