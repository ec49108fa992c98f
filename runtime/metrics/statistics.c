#include "metrics/statistics.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

/** The mean of N numbers; NaN when N is 0. Of finite numbers it is finite. */
double cz_stats_mean(const double *x, size_t n) {
  double sum = 0, mean = 0;
  for (size_t i = 0; i < n; i++) {
    sum += x[i];
    mean += x[i] / (double)n;
  }
  return isinf(sum) ? mean : sum / (double)n;
}

/* The sample's standard deviation, over N - 1; NaN when N < 2. */
static double sample_deviation(const double *x, size_t n) {
  double mean = cz_stats_mean(x, n), sum = 0, largest = 0, shares = 0;
  if (n < 2) return NAN;
  for (size_t i = 0; i < n; i++) {
    sum += (x[i] - mean) * (x[i] - mean);
    largest = fmax(largest, fabs(x[i] - mean));
  }
  if (!isinf(sum)) return sqrt(sum / (double)(n - 1));
  for (size_t i = 0; i < n; i++)
    shares += (x[i] / largest - mean / largest) * (x[i] / largest - mean / largest);
  return largest * sqrt(shares / (double)(n - 1)); /* squares are out of range */
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

/* Adds the squares of two standard errors. The degrees of freedom are Welch's and
 * Satterthwaite's: (a + b)^2 / (a^2 / fa + b^2 / fb) for squared errors a and b. A part
 * that is not known is left out. */
static cz_noise added(const cz_noise *x, const cz_noise *y) {
  if (isnan(y->error)) return *x;
  if (isnan(x->error)) return *y;
  double largest = fmax(x->error, y->error), a = x->error * x->error, b = y->error * y->error;
  if (isinf((a + b) * (a + b))) { /* squares are out of range: only their ratio counts */
    if (isinf(largest)) return isinf(x->error) ? *x : *y;
    a = (x->error / largest) * (x->error / largest);
    b = (y->error / largest) * (y->error / largest);
    return (cz_noise){hypot(x->error, y->error),
                      (a + b) * (a + b) / (a * a / x->freedom + b * b / y->freedom)};
  }
  double below = a * a / x->freedom + b * b / y->freedom;
  return (cz_noise){sqrt(a + b), below > 0 ? (a + b) * (a + b) / below : x->freedom};
}

static double half_of(const cz_noise *total) {
  if (isnan(total->error)) return NAN;
  return cz_stats_student_quantile(0.975, total->freedom) * total->error;
}

/** Mean, deviation and the 95 % interval over N seeds: half = t(0.975, N - 1) deviation /
 * sqrt(N). One number has no interval. */
cz_interval cz_stats_interval(const double *x, size_t n) {
  const cz_noise unknown = {NAN, NAN};
  cz_interval r = {.mean = cz_stats_mean(x, n),
                   .deviation = sample_deviation(x, n),
                   .seeds = unknown,
                   .examples = unknown,
                   .n = n};
  if (n > 1) r.seeds = (cz_noise){r.deviation / sqrt((double)n), (double)(n - 1)};
  r.total = r.seeds;
  r.half = half_of(&r.total);
  return r;
}

/** The interval of the differences X[i] - Y[i] of two rows that share the seed i (same
 * order of documents, same initial weights): what seeds have in common cancels. */
cz_status cz_stats_paired(cz_interval *out, const double *x, const double *y, size_t n) {
  double *d;
  CZ_TRY(cz_alloc(&d, n, sizeof *d));
  for (size_t i = 0; i < n; i++) d[i] = x[i] - y[i];
  *out = cz_stats_interval(d, n);
  free(d);
  return CZ_OK;
}

/** Adds the part of the noise that the draw of the test examples has. With one seed that
 * part is known alone, and there is still no interval: it would leave the seeds out. */
void cz_stats_add_examples(cz_interval *x, const cz_noise *examples) {
  x->examples = *examples;
  if (isnan(x->seeds.error)) return;
  x->total = added(&x->seeds, examples);
  x->half = half_of(&x->total);
}

/** Two-sided probability of a mean this far from 0 if the true one is 0; NaN without a
 * total error. A difference without any noise has 0, and no difference has 1. */
double cz_stats_p(const cz_interval *x) {
  if (x->n == 0 || isnan(x->total.error)) return NAN;
  if (x->mean == 0) return 1;
  if (x->total.error == 0) return 0;
  return 2 * cz_stats_student_cdf(-fabs(x->mean) / x->total.error, x->total.freedom);
}

typedef struct ordered {
  double p;
  size_t index;
} ordered;

static int by_p(const void *a, const void *b) {
  const ordered *x = a, *y = b;
  return x->p != y->p ? (x->p > y->p) - (x->p < y->p)
                      : (x->index > y->index) - (x->index < y->index);
}

/** Holm's correction (1979) of N probabilities for their number: the k-th smallest, from
 * 0, times the number of those that are left, and none below a smaller one's; at largest
 * 1. NaN stays NaN and does not count. ADJUSTED may be P. */
cz_status cz_stats_holm(double *adjusted, const double *p, size_t n) {
  ordered *list;
  size_t m = 0;
  double above = 0;
  CZ_TRY(cz_alloc(&list, n, sizeof *list));
  for (size_t i = 0; i < n; i++) {
    if (!isnan(p[i])) list[m++] = (ordered){p[i], i};
    adjusted[i] = NAN;
  }
  qsort(list, m, sizeof *list, by_p);
  for (size_t k = 0; k < m; k++) {
    above = fmax(above, fmin(1, (double)(m - k) * list[k].p));
    adjusted[list[k].index] = above;
  }
  free(list);
  return CZ_OK;
}

typedef struct piece {
  uint64_t cluster;
  double part;
} piece;

static int by_cluster(const void *a, const void *b) {
  const piece *x = a, *y = b;
  if (x->cluster != y->cluster) return (x->cluster > y->cluster) - (x->cluster < y->cluster);
  return (x->part > y->part) - (x->part < y->part); /* a fixed order of the sum */
}

/** The standard error of a sum of N parts, centred at 0, whose clusters are drawn as
 * wholes: sqrt(G / (G - 1) sum over clusters of (sum of its parts)^2) with G - 1 degrees
 * of freedom, G clusters (Cameron and Miller 2015, section II). NaN with one cluster. For
 * the mean of x over M examples the parts are (x_i - mean) / M. */
cz_status cz_stats_clusters(cz_noise *out, const uint64_t *cluster, const double *part, size_t n) {
  piece *list;
  double squares = 0;
  size_t count = 0;
  CZ_TRY(cz_alloc(&list, n, sizeof *list));
  for (size_t i = 0; i < n; i++) list[i] = (piece){cluster[i], part[i]};
  qsort(list, n, sizeof *list, by_cluster);
  for (size_t i = 0, end; i < n; i = end, count++) {
    double sum = 0;
    for (end = i; end < n && list[end].cluster == list[i].cluster; end++) sum += list[end].part;
    squares += sum * sum;
  }
  free(list);
  double clusters = (double)count;
  *out = (cz_noise){NAN, NAN};
  if (clusters > 1) *out = (cz_noise){sqrt(clusters / (clusters - 1) * squares), clusters - 1};
  return CZ_OK;
}

/** The smallest standard error that a share SUM / N of N examples can be given: with all
 * of them right, their own variance is 0 and says nothing. Two right and two wrong
 * examples more (Agresti and Coull 1998). */
double cz_stats_share_error(double sum, size_t n) {
  double m = (double)n + 4, share = (sum + 2) / m;
  return sqrt(share * (1 - share) / m);
}

/** The same for the difference of two shares of the same N examples; SUM and SQUARES are
 * those of the examples' differences. Half an example more of each kind: right and wrong
 * on either side (Agresti and Min 2005). */
double cz_stats_share_difference_error(double sum, double squares, size_t n) {
  double m = (double)n + 2;
  return sqrt((squares + 1 - sum * sum / m) / m) / sqrt(m);
}
