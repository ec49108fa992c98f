/* Which classes are answered, and how good each pattern is: tables whose columns are what the
 * results list. */
#include "experiment/report/few_shot_internal.h"
#include "json/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { LABELS = 12, PATTERNS = 20 }; /* that have columns of their own */

/* The labels of a line: those of the first seed that has them. Null: none. */
static const json_t *labels_of(const cz_results *r, const cz__line *l) {
  for (size_t s = 0; s < r->plan.n_seeds; s++) {
    const json_t *shares = json_object_get(cz__line_metrics(r, l, s), "shares");
    if (json_object_size(shares)) return shares;
  }
  return NULL;
}

static cz_interval share_of(const cz_results *r, const cz__line *l, const char *label, double *x) {
  size_t n = 0;
  for (size_t s = 0; s < r->plan.n_seeds; s++) {
    const json_t *v = json_object_get(json_object_get(cz__line_metrics(r, l, s), "shares"), label);
    if (json_is_number(v)) x[n++] = 100 * json_number_value(v);
  }
  return cz_stats_interval(x, n);
}

/* The label with the largest share, or the smallest. */
static cz_status add_extreme(cz_grid *g, const cz_results *r, const cz__line *l, bool largest,
                             double *x) {
  const char *label, *best = "";
  json_t *value, *labels = (json_t *)labels_of(r, l);
  double found = NAN;
  json_object_foreach(labels, label, value) {
    const double mean = share_of(r, l, label, x).mean;
    if (isnan(found) || (largest ? mean > found : mean < found)) found = mean, best = label;
  }
  return cz_grid_add(g, "%s %s", best, cz_number_of(found, 1).text);
}

static cz_status share_cells(cz_grid *g, const cz_results *r, const cz__line *l,
                             const json_t *labels, double *x) {
  const char *label;
  json_t *value, *each = (json_t *)labels;
  CZ_TRY(cz__line_head(g, r, l));
  CZ_TRY(add_extreme(g, r, l, true, x));
  CZ_TRY(add_extreme(g, r, l, false, x));
  if (g->columns == 5) return CZ_OK;
  json_object_foreach(each, label, value) {
    CZ_TRY(cz_grid_add(g, "%s", cz_number_of(share_of(r, l, label, x).mean, 1).text));
  }
  return CZ_OK;
}

/** The lines of ALL that have shares: with each label's, unless labels are many or differ between
 * lines. X: room for the seeds. */
cz_status cz__few_shot_shares(cz_grid *g, const cz_results *r, const cz__lines *all, double *x) {
  const json_t *labels = NULL;
  const char *label;
  json_t *value;
  bool alike = true;
  for (size_t i = 0; i < all->n; i++) {
    const json_t *own = labels_of(r, &all->at[i]);
    if (own && !labels) labels = own;
    alike &= !own || json_object_size(own) == json_object_size(labels);
    json_object_foreach((json_t *)own, label, value) {
      alike &= json_object_get(labels, label) != NULL;
    }
  }
  const bool each = alike && json_object_size(labels) <= LABELS;
  if (!labels) return CZ_OK;
  g->columns = 5 + (each ? json_object_size(labels) : 0);
  CZ_TRY(cz__line_header(g));
  CZ_TRY(cz_grid_add(g, "largest %%"));
  CZ_TRY(cz_grid_add(g, "smallest %%"));
  if (each) {
    json_object_foreach((json_t *)labels, label, value) { CZ_TRY(cz_grid_add(g, "%s", label)); }
  }
  for (size_t i = 0; i < all->n; i++)
    if (labels_of(r, &all->at[i])) CZ_TRY(share_cells(g, r, &all->at[i], labels, x));
  return CZ_OK;
}

/** Adds the share of each label to O, a line of the JSON form. */
cz_status cz__shares_json(json_t *o, const cz_results *r, const cz__line *l, double *x) {
  json_t *shares = json_object(), *value;
  const char *label;
  CZ_TRY(cz_json_set(o, "shares", shares));
  json_object_foreach((json_t *)labels_of(r, l), label, value) {
    cz_interval v = share_of(r, l, label, x);
    v.mean /= 100, v.deviation /= 100;
    CZ_TRY(cz_json_set(shares, label, cz__line_json(&v)));
  }
  return CZ_OK;
}

/* The largest number of a pattern that a member of the line has; -1: none has a pattern. */
static json_int_t last_pattern(const cz_results *r, const cz__line *l) {
  json_int_t last = -1;
  for (size_t s = 0; s < r->plan.n_seeds; s++) {
    const json_t *member;
    size_t i;
    json_array_foreach(json_object_get(cz__line_metrics(r, l, s), "members"), i, member) {
      const json_int_t at = json_integer_value(json_object_get(member, "pattern"));
      if (json_is_integer(json_object_get(member, "pattern")) && at > last) last = at;
    }
  }
  return last;
}

/* Accuracy of the members of PATTERN, mean over repetitions, over the seeds that have it. */
static cz_interval pattern_accuracy(const cz_results *r, const cz__line *l, json_int_t pattern,
                                    double *x) {
  size_t n = 0;
  for (size_t s = 0; s < r->plan.n_seeds; s++) {
    const json_t *member;
    size_t i, found = 0;
    double sum = 0;
    json_array_foreach(json_object_get(cz__line_metrics(r, l, s), "members"), i, member) {
      const json_t *at = json_object_get(member, "pattern"),
                   *accuracy = json_object_get(member, "accuracy");
      if (!json_is_integer(at) || json_integer_value(at) != pattern || !json_is_number(accuracy))
        continue;
      sum += json_number_value(accuracy);
      found++;
    }
    if (found) x[n++] = sum / (double)found;
  }
  return cz_stats_interval(x, n);
}

/* "3: 61.20", the pattern with the highest mean, or the lowest. */
static cz_status add_pattern(cz_grid *g, const cz_results *r, const cz__line *l, bool highest,
                             double *x) {
  double found = NAN;
  json_int_t best = -1;
  for (json_int_t k = 0; k <= last_pattern(r, l); k++) {
    const cz_interval v = pattern_accuracy(r, l, k, x);
    if (!v.n || (best >= 0 && (highest ? v.mean <= found : v.mean >= found))) continue;
    found = v.mean, best = k;
  }
  if (best < 0) return cz_grid_add(g, "-");
  return cz_grid_add(g, "%lld: %s", (long long)best, cz_number_of(100 * found, 2).text);
}

static cz_status pattern_cells(cz_grid *g, const cz_results *r, const cz__line *l, size_t columns,
                               double *x) {
  CZ_TRY(cz__line_head(g, r, l));
  CZ_TRY(add_pattern(g, r, l, true, x));
  CZ_TRY(add_pattern(g, r, l, false, x));
  for (size_t k = 0; k < columns; k++) {
    const cz_interval v = pattern_accuracy(r, l, (json_int_t)k, x);
    CZ_TRY(cz_grid_add(g, "%s", cz_number_of(v.n ? 100 * v.mean : NAN, 2).text));
  }
  return CZ_OK;
}

/** The lines of ALL whose members have patterns: the best, the worst, and each of the first twenty.
 * X: room for the seeds. */
cz_status cz__few_shot_each_pattern(cz_grid *g, const cz_results *r, const cz__lines *all,
                                    double *x) {
  json_int_t last = -1;
  for (size_t i = 0; i < all->n; i++)
    if (last_pattern(r, &all->at[i]) > last) last = last_pattern(r, &all->at[i]);
  if (last < 0) return CZ_OK;
  const size_t columns = last < PATTERNS ? (size_t)last + 1 : PATTERNS;
  g->columns = 5 + columns;
  CZ_TRY(cz__line_header(g));
  CZ_TRY(cz_grid_add(g, "best"));
  CZ_TRY(cz_grid_add(g, "worst"));
  for (size_t k = 0; k < columns; k++) CZ_TRY(cz_grid_add(g, "%zu", k));
  for (size_t i = 0; i < all->n; i++)
    if (last_pattern(r, &all->at[i]) >= 0) CZ_TRY(pattern_cells(g, r, &all->at[i], columns, x));
  return CZ_OK;
}

/** Adds the accuracy of each pattern, between 0 and 1, to O, a line of the JSON form. */
cz_status cz__each_pattern_json(json_t *o, const cz_results *r, const cz__line *l, double *x) {
  json_t *each = json_object();
  CZ_TRY(cz_json_set(o, "each_pattern", each));
  for (json_int_t k = 0; k <= last_pattern(r, l); k++) {
    const cz_interval v = pattern_accuracy(r, l, k, x);
    char name[32];
    snprintf(name, sizeof name, "%lld", (long long)k);
    CZ_TRY(cz_json_set(each, name, cz__line_json(&v)));
  }
  return CZ_OK;
}
