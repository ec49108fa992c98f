#include "experiment/report/few_shot.h"
#include "experiment/report/plot.h"
#include "experiment/report/table.h"
#include "json/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A line of a table: one classifier of a stage, or with no name the stage's members. */
typedef struct line {
  size_t row, stage;
  const char *name; /* key of the stage's metrics; null: all of them */
} line;

typedef struct lines {
  line *at;
  size_t n, cap;
} lines;

/* A number of a line: what stands at PATH, over the items of a list their mean, less what stands
 * at MINUS; times SCALE. */
typedef struct fact {
  const char *said, *path, *minus;
  double scale;
} fact;

static const fact sure[] = {{"accuracy %", "accuracy", NULL, 100},
                            {"macro F1 %", "macro_f1", NULL, 100},
                            {"ECE %", "ece", NULL, 100},
                            {"of 100 %", "coverage.100", NULL, 100},
                            {"of 90 %", "coverage.90", NULL, 100},
                            {"of 80 %", "coverage.80", NULL, 100},
                            {"of 50 %", "coverage.50", NULL, 100}},
                  patterns[] = {{"members %", "members.accuracy", NULL, 100},
                                {"best %", "agreement.best", NULL, 100},
                                {"worst %", "agreement.worst", NULL, 100},
                                {"mean %", "agreement.mean", NULL, 100},
                                {"deviation %", "agreement.deviation", NULL, 100},
                                {"pairs agree %", "agreement.pairs", NULL, 100},
                                {"kappa", "agreement.kappa", NULL, 1}},
                  forgetting[] = {
                      {"before", "members.heldout_mlm_before", NULL, 1},
                      {"after", "members.heldout_mlm_after", NULL, 1},
                      {"rise", "members.heldout_mlm_after", "members.heldout_mlm_before", 1}};

/* The tables; of classifiers, or of stages that have members. */
static const struct table {
  const char *key, *title, *note;
  bool judged;
  const fact *facts;
  size_t n;
} tables[] = {
    {"sure", "How sure it is",
     "ECE is the expected calibration error; `of 90 %` is the accuracy on the most certain 90 % of "
     "the test texts",
     true, sure, sizeof sure / sizeof *sure},
    {"patterns", "How far patterns differ",
     "test accuracy of the members, and best, worst, mean and deviation of the patterns' means; "
     "how "
     "often two members agree",
     false, patterns, sizeof patterns / sizeof *patterns},
    {"forgetting", "What members forget",
     "masked-LM loss of held-out text before and after their training, mean over members, nats",
     false, forgetting, sizeof forgetting / sizeof *forgetting}};
enum { TABLES = sizeof tables / sizeof *tables, LABELS = 12 };

static const json_t *metrics_of(const cz_results *r, const line *l, size_t seed) {
  const cz_plan *p = &r->plan;
  const json_t *m = r->few_shot[(l->row * p->n_stages + l->stage) * p->n_seeds + seed];
  return l->name ? json_object_get(m, l->name) : m;
}

static bool is_judged(const json_t *value) {
  return json_object_get(value, "ece") || json_object_get(value, "shares");
}

static cz_status add_line(lines *all, size_t row, size_t stage, const char *name) {
  for (size_t i = all->n; i-- > 0 && all->at[i].row == row && all->at[i].stage == stage;)
    if (!name || !strcmp(all->at[i].name, name)) return CZ_OK;
  CZ_TRY(cz_grow(&all->at, &all->cap, all->n + 1, sizeof *all->at));
  all->at[all->n++] = (line){row, stage, name};
  return CZ_OK;
}

/* The lines of JUDGED classifiers or of members. A stage that rows share stands in the first. */
static cz_status find_lines(lines *all, const cz_results *r, bool judged) {
  const cz_plan *p = &r->plan;
  for (size_t k = 0; k < p->n_rows * p->n_stages; k++) {
    const line l = {k / p->n_stages, k % p->n_stages, NULL};
    if (!cz_plan_at(p, 0, l.row, l.stage)->first) continue;
    for (size_t s = 0; s < p->n_seeds; s++) {
      json_t *metrics = (json_t *)metrics_of(r, &l, s), *value;
      const char *name;
      if (metrics && !judged && json_array_size(json_object_get(metrics, "members")))
        CZ_TRY(add_line(all, l.row, l.stage, NULL));
      if (!judged) continue;
      json_object_foreach(metrics, name, value) {
        if (is_judged(value)) CZ_TRY(add_line(all, l.row, l.stage, name));
      }
    }
  }
  return CZ_OK;
}

/* A number over the seeds that have it; X: room for them. */
static cz_interval over_seeds(const cz_results *r, const line *l, const fact *f, double *x) {
  size_t n = 0;
  for (size_t s = 0; s < r->plan.n_seeds; s++) {
    const json_t *m = metrics_of(r, l, s);
    double v = m ? cz_results_number(m, f->path) : NAN;
    if (f->minus && m) v -= cz_results_number(m, f->minus);
    if (!isnan(v)) x[n++] = f->scale * v;
  }
  return cz_stats_interval(x, n);
}

static cz_status add_interval(cz_grid *g, const cz_interval *x) {
  if (x->n < 2) return cz_grid_add(g, "%s", cz_number_of(x->n ? x->mean : NAN, 2).text);
  return cz_grid_add(g, "%s ± %s", cz_number_of(x->mean, 2).text,
                     cz_number_of(x->deviation, 2).text);
}

static cz_status add_head(cz_grid *g, const cz_results *r, const line *l) {
  CZ_TRY(cz_grid_add(g, "%s", r->plan.rows[l->row].name));
  return cz_grid_add(g, "%s%s%s", cz_plan_at(&r->plan, 0, l->row, l->stage)->name,
                     l->name ? "." : "", l->name ? l->name : "");
}

static cz_status fill_table(cz_grid *g, const cz_results *r, const struct table *t,
                            const lines *all, double *x) {
  g->columns = 2 + t->n;
  CZ_TRY(cz_grid_add(g, "row"));
  CZ_TRY(cz_grid_add(g, "of"));
  for (size_t k = 0; k < t->n; k++) CZ_TRY(cz_grid_add(g, "%s", t->facts[k].said));
  for (size_t i = 0; i < all->n; i++) {
    CZ_TRY(add_head(g, r, &all->at[i]));
    for (size_t k = 0; k < t->n; k++) {
      const cz_interval v = over_seeds(r, &all->at[i], &t->facts[k], x);
      CZ_TRY(add_interval(g, &v));
    }
  }
  return CZ_OK;
}

/* Shares of classes. */

/* The labels of a line: those of the first seed that has them. Null: none. */
static const json_t *labels_of(const cz_results *r, const line *l) {
  for (size_t s = 0; s < r->plan.n_seeds; s++) {
    const json_t *shares = json_object_get(metrics_of(r, l, s), "shares");
    if (json_object_size(shares)) return shares;
  }
  return NULL;
}

static cz_interval share_of(const cz_results *r, const line *l, const char *label, double *x) {
  size_t n = 0;
  for (size_t s = 0; s < r->plan.n_seeds; s++) {
    const json_t *v = json_object_get(json_object_get(metrics_of(r, l, s), "shares"), label);
    if (json_is_number(v)) x[n++] = 100 * json_number_value(v);
  }
  return cz_stats_interval(x, n);
}

/* The label with the largest share, or the smallest. */
static cz_status add_extreme(cz_grid *g, const cz_results *r, const line *l, bool largest,
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

static cz_status share_cells(cz_grid *g, const cz_results *r, const line *l, const json_t *labels,
                             double *x) {
  const char *label;
  json_t *value, *each = (json_t *)labels;
  CZ_TRY(add_head(g, r, l));
  CZ_TRY(add_extreme(g, r, l, true, x));
  CZ_TRY(add_extreme(g, r, l, false, x));
  if (g->columns == 4) return CZ_OK;
  json_object_foreach(each, label, value) {
    CZ_TRY(cz_grid_add(g, "%s", cz_number_of(share_of(r, l, label, x).mean, 1).text));
  }
  return CZ_OK;
}

/* The lines that have shares: with each label's, unless labels are many or differ between lines. */
static cz_status fill_shares(cz_grid *g, const cz_results *r, const lines *all, double *x) {
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
  g->columns = 4 + (each ? json_object_size(labels) : 0);
  CZ_TRY(cz_grid_add(g, "row"));
  CZ_TRY(cz_grid_add(g, "of"));
  CZ_TRY(cz_grid_add(g, "largest %%"));
  CZ_TRY(cz_grid_add(g, "smallest %%"));
  if (each) {
    json_object_foreach((json_t *)labels, label, value) { CZ_TRY(cz_grid_add(g, "%s", label)); }
  }
  for (size_t i = 0; i < all->n; i++)
    if (labels_of(r, &all->at[i])) CZ_TRY(share_cells(g, r, &all->at[i], labels, x));
  return CZ_OK;
}

enum { BINS = 15, CURVES = 16 }; /* bins as judge.h has them */

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
static void bins_of(bin bins[BINS], const cz_results *r, const line *l) {
  for (size_t b = 0; b < BINS; b++) bins[b] = (bin){0, 0, 0};
  for (size_t s = 0; s < r->plan.n_seeds; s++) {
    const json_t *list = json_object_get(metrics_of(r, l, s), "reliability"), *one;
    size_t i;
    json_array_foreach(list, i, one) { add_bin(bins, one); }
  }
}

/* The diagram of one row: its classifiers, and the diagonal. */
static cz_status row_diagram(cz_buf *out, const cz_results *r, const lines *all, size_t first,
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

static cz_status diagrams(cz_buf *out, const cz_results *r, const lines *all) {
  cz_status st = cz_buf_addf(out, "<div class=\"plots\">\n");
  for (size_t i = 0, last; i < all->n && st == CZ_OK; i = last) {
    for (last = i; last < all->n && all->at[last].row == all->at[i].row;) last++;
    st = row_diagram(out, r, all, i, last);
  }
  return st == CZ_OK ? cz_buf_addf(out, "</div>\n") : st;
}

/* The forms. Each prints what the grids have. */

typedef struct sheet {
  lines judged, members;
  double *x; /* [seeds] scratch */
} sheet;

static void close_sheet(sheet *s) {
  free(s->judged.at);
  free(s->members.at);
  free(s->x);
}

static cz_status open_sheet(sheet *s, const cz_results *r) {
  *s = (sheet){0};
  CZ_TRY(cz_alloc(&s->x, r->plan.n_seeds, sizeof *s->x));
  CZ_TRY(find_lines(&s->judged, r, true));
  return find_lines(&s->members, r, false);
}

static const lines *lines_of(const sheet *s, const struct table *t) {
  return t->judged ? &s->judged : &s->members;
}

static const char shares_title[] = "Which classes are answered",
                  shares_note[] = "share of each label among the answers, per cent";

/** Appends the tables as text; nothing where no stage has what they show. */
cz_status cz_few_shot_text(cz_buf *out, const cz_results *r, bool colours) {
  sheet s;
  cz_status st = open_sheet(&s, r);
  for (size_t k = 0; k <= TABLES && st == CZ_OK; k++) {
    const struct table *t = k < TABLES ? &tables[k] : NULL;
    cz_grid g = {0};
    if (t && lines_of(&s, t)->n) st = fill_table(&g, r, t, lines_of(&s, t), s.x);
    if (!t) st = fill_shares(&g, r, &s.judged, s.x);
    if (st == CZ_OK && g.n)
      st = cz_buf_addf(out, "\n%s: %s\n", t ? t->title : shares_title, t ? t->note : shares_note);
    if (st == CZ_OK && g.n) st = cz_grid_print(out, &g, 3, colours);
    cz_grid_free(&g);
  }
  close_sheet(&s);
  return st;
}

/** Appends the tables to the page, and the reliability diagrams of each row; nothing where no stage
 * has what they show. */
cz_status cz_few_shot_page(cz_buf *out, const cz_results *r) {
  sheet s;
  cz_status st = open_sheet(&s, r);
  for (size_t k = 0; k <= TABLES && st == CZ_OK; k++) {
    const struct table *t = k < TABLES ? &tables[k] : NULL;
    cz_grid g = {0};
    if (t && lines_of(&s, t)->n) st = fill_table(&g, r, t, lines_of(&s, t), s.x);
    if (!t) st = fill_shares(&g, r, &s.judged, s.x);
    if (st == CZ_OK && g.n)
      st = cz_buf_addf(out, "<h2>%s</h2>\n<p class=\"soft\">%s.</p>\n", t ? t->title : shares_title,
                       t ? t->note : shares_note);
    if (st == CZ_OK && g.n) st = cz_grid_page(out, &g, "");
    if (st == CZ_OK && g.n && t && t->facts == sure) st = diagrams(out, r, &s.judged);
    cz_grid_free(&g);
  }
  close_sheet(&s);
  return st;
}

static json_t *number_json(const cz_interval *x) {
  if (!x->n) return json_null();
  return json_pack("{s:o, s:o, s:I}", "mean", cz_json_real(x->mean), "deviation",
                   cz_json_real(x->n > 1 ? x->deviation : NAN), "seeds", (json_int_t)x->n);
}

static cz_status facts_json(json_t *o, const cz_results *r, const struct table *t, const line *l,
                            double *x) {
  for (size_t k = 0; k < t->n; k++) {
    fact f = t->facts[k];
    char name[160];
    f.scale = 1; /* files have shares as the results have them */
    snprintf(name, sizeof name, "%s%s", f.path, f.minus ? " rise" : "");
    const cz_interval v = over_seeds(r, l, &f, x);
    CZ_TRY(cz_json_set(o, name, number_json(&v)));
  }
  return CZ_OK;
}

static cz_status shares_json(json_t *o, const cz_results *r, const line *l, double *x) {
  json_t *shares = json_object(), *value;
  const char *label;
  CZ_TRY(cz_json_set(o, "shares", shares));
  json_object_foreach((json_t *)labels_of(r, l), label, value) {
    cz_interval v = share_of(r, l, label, x);
    v.mean /= 100, v.deviation /= 100;
    CZ_TRY(cz_json_set(shares, label, number_json(&v)));
  }
  return CZ_OK;
}

static cz_status bins_json(json_t *o, const cz_results *r, const line *l) {
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

static cz_status lines_json(json_t *list, const cz_results *r, const sheet *s,
                            const struct table *t) {
  const lines *all = lines_of(s, t);
  for (size_t i = 0; i < all->n; i++) {
    const line *l = &all->at[i];
    json_t *o = json_pack("{s:s, s:s, s:o}", "row", r->plan.rows[l->row].name, "stage",
                          cz_plan_at(&r->plan, 0, l->row, l->stage)->name, "name",
                          l->name ? json_string(l->name) : json_null());
    CZ_TRY(cz_json_add(list, o));
    CZ_TRY(facts_json(o, r, t, l, s->x));
    if (t->facts != sure) continue;
    CZ_TRY(shares_json(o, r, l, s->x));
    CZ_TRY(bins_json(o, r, l));
  }
  return CZ_OK;
}

/** Adds to ROOT the key `few_shot`: the tables, with the shares and the bins of each classifier;
 * nothing where no stage has what they show. */
cz_status cz_few_shot_json(json_t *root, const cz_results *r) {
  sheet s;
  cz_status st = open_sheet(&s, r);
  json_t *all = NULL;
  if (st == CZ_OK && s.judged.n + s.members.n)
    st = cz_json_set(root, "few_shot", all = json_object());
  for (size_t k = 0; k < TABLES && st == CZ_OK && all; k++) {
    json_t *list = json_array();
    st = cz_json_set(all, tables[k].key, list);
    if (st == CZ_OK) st = lines_json(list, r, &s, &tables[k]);
  }
  close_sheet(&s);
  return st;
}
