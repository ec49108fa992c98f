/* Plots of how sure classifiers are: reliability diagrams and curves of accuracy over coverage. */
#include "experiment/report/few_shot_internal.h"
#include "experiment/report/plot.h"
#include "json/json.h"

#include <math.h>
#include <stdio.h>

/* Bins and coverages as judge.h has them. */
enum { BINS = 15, COVERAGES = 4, CURVES = 16 };

/* Reliability: bins of all seeds together. */
typedef struct bin {
  double confidence, accuracy, texts; /* means over the texts */
} bin;

static void add_bin(bin *bins, const json_t *one) {
  const double texts = json_number_value(json_object_get(one, "texts")),
               c = json_number_value(json_object_get(one, "confidence")),
               a = json_number_value(json_object_get(one, "accuracy"));
  if (!(texts > 0) || !(c > 0 && c <= 1)) return;
  bin *b = &bins[(size_t)fmin(BINS - 1, ceil(c * BINS - 1e-9) - 1)]; /* (low, high] */
  b->texts += texts;
  b->confidence += (c - b->confidence) * texts / b->texts;
  b->accuracy += (a - b->accuracy) * texts / b->texts;
}

/* A result lists the bins that have texts, so they are told apart by their confidence. */
static void bins_of(bin bins[BINS], const cz_results *r, const cz__line *l) {
  for (size_t b = 0; b < BINS; b++) bins[b] = (bin){0, 0, 0};
  for (size_t s = 0; s < r->plan.n_seeds; s++) {
    const json_t *list = json_object_get(cz__line_metrics(r, l, s), "reliability"), *one;
    size_t i;
    json_array_foreach(list, i, one) { add_bin(bins, one); }
  }
}

/* The diagram of one row: its classifiers, and the diagonal. */
static cz_status row_diagram(cz_buf *out, const cz_results *r, const cz__lines *all, size_t first,
                             size_t last) {
  double numbers[CURVES][3][BINS]; /* x, y, no band */
  static const double diagonal[2] = {0, 1}, none[2] = {NAN, NAN};
  cz_series series[CURVES + 1] = {{"as sure as right", diagonal, diagonal, none, 2}};
  bin bins[BINS];
  char title[300];
  size_t n = 1;
  for (size_t i = first; i < last && n <= CURVES; i++) {
    size_t at = 0;
    bins_of(bins, r, &all->at[i]);
    double(*to)[BINS] = numbers[n - 1];
    for (size_t b = 0; b < BINS; b++) {
      if (!(bins[b].texts > 0)) continue;
      to[0][at] = bins[b].confidence, to[1][at] = bins[b].accuracy, to[2][at++] = NAN;
    }
    if (at) series[n++] = (cz_series){all->at[i].name, to[0], to[1], to[2], at};
  }
  snprintf(title, sizeof title, "%.200s: reliability", r->plan.rows[all->at[first].row].name);
  return n > 1 ? cz_plot_lines(out, title, "confidence", "accuracy", series, n) : CZ_OK;
}

/* Accuracy on the most certain part, of each classifier of one row: who answers less is more often
 * right, if his confidence is worth something. The band is the 95 % interval over seeds. */
static cz_status row_coverage(cz_buf *out, const cz_results *r, const cz__lines *all, size_t first,
                              size_t last, double *x) {
  static const int percent[COVERAGES] = {50, 80, 90, 100};
  double numbers[CURVES][3][COVERAGES]; /* x, y, band */
  cz_series series[CURVES] = {{0}};
  char title[300], path[32];
  size_t n = 0;
  for (size_t i = first; i < last && n < CURVES; i++) {
    double(*to)[COVERAGES] = numbers[n];
    size_t at = 0;
    for (size_t k = 0; k < COVERAGES; k++) {
      snprintf(path, sizeof path, "coverage.%d", percent[k]);
      const cz_interval v = cz__line_number(r, &all->at[i], path, NULL, 100, x);
      if (!v.n) continue;
      to[0][at] = percent[k], to[1][at] = v.mean, to[2][at++] = v.n > 1 ? v.half : NAN;
    }
    if (at) series[n++] = (cz_series){all->at[i].name, to[0], to[1], to[2], at};
  }
  snprintf(title, sizeof title, "%.200s: accuracy on the most certain",
           r->plan.rows[all->at[first].row].name);
  return n ? cz_plot_lines(out, title, "answered, per cent", "accuracy, per cent", series, n)
           : CZ_OK;
}

/** Appends for each row of ALL its reliability diagram and its curve of accuracy over coverage. X:
 * room for the seeds. */
cz_status cz__few_shot_plots(cz_buf *out, const cz_results *r, const cz__lines *all, double *x) {
  cz_status st = cz_buf_addf(out, "<div class=\"plots\">\n");
  for (size_t i = 0, last; i < all->n && st == CZ_OK; i = last) {
    for (last = i; last < all->n && all->at[last].row == all->at[i].row;) last++;
    st = row_diagram(out, r, all, i, last);
    if (st == CZ_OK) st = row_coverage(out, r, all, i, last, x);
  }
  return st == CZ_OK ? cz_buf_addf(out, "</div>\n") : st;
}

/** Adds the bins of all seeds together to O, a line of the JSON form. */
cz_status cz__bins_json(json_t *o, const cz_results *r, const cz__line *l) {
  bin bins[BINS];
  json_t *list = json_array();
  CZ_TRY(cz_json_set(o, "reliability", list));
  bins_of(bins, r, l);
  for (size_t b = 0; b < BINS; b++)
    if (bins[b].texts > 0)
      CZ_TRY(cz_json_add(list, json_pack("{s:o, s:o, s:o}", "confidence",
                                         cz_json_real(bins[b].confidence), "accuracy",
                                         cz_json_real(bins[b].accuracy), "texts",
                                         cz_json_real(bins[b].texts))));
  return CZ_OK;
}
