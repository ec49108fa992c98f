/* Pearson, Spearman, Kendall: agreement of two lists of numbers. */
#include "metrics/scores.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

static bool constant(const double *x, size_t n) {
  for (size_t i = 1; i < n; i++)
    if (x[i] != x[0]) return false;
  return true;
}

static bool all_finite(const double *x, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (!isfinite(x[i])) return false;
  return true;
}

/** Why no correlation of the N predictions X with the references Y is defined, for a
 * message; null when it is. */
const char *cz_score_undefined(const double *x, const double *y, size_t n) {
  if (n < 2) return "there are fewer than two examples";
  if (!all_finite(x, n)) return "a prediction is not finite";
  if (!all_finite(y, n)) return "a reference is not finite";
  if (constant(x, n)) return "all predictions are equal";
  if (constant(y, n)) return "all references are equal";
  return NULL;
}

/** Pearson's correlation of N pairs; NaN when a side is constant or N < 2. Source:
 * scipy.stats.pearsonr. */
double cz_score_pearson(const double *x, const double *y, size_t n) {
  double mx = 0, my = 0, xx = 0, yy = 0, xy = 0;
  if (n < 2 || constant(x, n) || constant(y, n)) return NAN; /* rounding would make noise of it */
  for (size_t i = 0; i < n; i++) {
    mx += x[i] / (double)n;
    my += y[i] / (double)n;
  }
  for (size_t i = 0; i < n; i++) {
    double a = x[i] - mx, b = y[i] - my;
    xx += a * a;
    yy += b * b;
    xy += a * b;
  }
  double r = xy / (sqrt(xx) * sqrt(yy));
  return r > 1 ? 1 : r < -1 ? -1 : r;
}

typedef struct ranked {
  double value;
  size_t index;
} ranked;

static int by_value(const void *a, const void *b) {
  const ranked *x = a, *y = b;
  return x->value != y->value ? (x->value > y->value ? 1 : -1)
                              : (x->index > y->index) - (x->index < y->index);
}

/* Ranks from 1, ties share the mean of theirs. SORTED is scratch for N items. */
static void ranks_of(double *ranks, ranked *sorted, const double *x, size_t n) {
  for (size_t i = 0; i < n; i++) sorted[i] = (ranked){x[i], i};
  qsort(sorted, n, sizeof *sorted, by_value);
  for (size_t i = 0, j; i < n; i = j) {
    for (j = i + 1; j < n && sorted[j].value == sorted[i].value;) j++;
    for (size_t k = i; k < j; k++) ranks[sorted[k].index] = 0.5 * (double)(i + 1 + j);
  }
}

static bool any_nan(const double *x, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (isnan(x[i])) return true;
  return false;
}

/** Spearman's rank correlation: Pearson's of the ranks, ties at their mean rank; NaN when
 * a side is constant or holds a NaN. Source: scipy.stats.spearmanr. */
cz_status cz_score_spearman(double *out, const double *x, const double *y, size_t n) {
  *out = NAN;
  if (n < 2 || any_nan(x, n) || any_nan(y, n)) return CZ_OK;
  double *ranks;
  ranked *sorted;
  CZ_TRY(cz_alloc(&ranks, 2 * n, sizeof *ranks));
  cz_status st = cz_alloc(&sorted, n, sizeof *sorted);
  if (st == CZ_OK) {
    ranks_of(ranks, sorted, x, n);
    ranks_of(ranks + n, sorted, y, n);
    *out = cz_score_pearson(ranks, ranks + n, n);
    free(sorted);
  }
  free(ranks);
  return st;
}

/** Kendall's tau-b, which accounts for ties, in N^2 steps: for the few rows of a table.
 * NaN when a side is constant. Source: scipy.stats.kendalltau. */
double cz_score_kendall(const double *x, const double *y, size_t n) {
  double agree = 0, pairs_x = 0, pairs_y = 0; /* pairs that are not tied in x, in y */
  for (size_t i = 0; i < n; i++)
    for (size_t j = 0; j < i; j++) {
      int a = (x[i] > x[j]) - (x[i] < x[j]), b = (y[i] > y[j]) - (y[i] < y[j]);
      agree += a * b;
      pairs_x += a != 0;
      pairs_y += b != 0;
    }
  return agree / sqrt(pairs_x * pairs_y);
}
