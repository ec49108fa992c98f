#include "experiment/report/compare.h"
#include "metrics/scores.h"
#include "tasks/score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double *values_of(const cz_results *r, size_t column, size_t row) {
  return &r->values[(column * r->plan.n_rows + row) * r->plan.n_seeds];
}

/* Whether COLUMN holds a score, and EXAMPLES, what the test examples add to the noise of one
 * of its numbers, is not known. The seeds' part alone would be too small, and a verdict from
 * it too bold. */
static bool lacks_examples(const cz_results *r, size_t column, const cz_noise *examples) {
  return isnan(examples->error) && cz_results_scored(r, column);
}

/* Is the score above what knows nothing, seen against the noise? */
static cz_verdict verdict_of(const cz_interval *lead) {
  if (lead->n == 0) return CZ_VERDICT_NONE;
  if (lead->n == 1) return lead->mean > 0 ? CZ_VERDICT_ABOVE : CZ_VERDICT_FAILS;
  return lead->mean - lead->half > 0 ? CZ_VERDICT_BEATS : CZ_VERDICT_FAILS;
}

/* How far the N values X, which are changed, lie above BASELINE. */
static cz_verdict fill_lead(cz_interval *lead, double *x, size_t n, double baseline,
                            const cz_noise *examples) {
  if (n == 0 || isnan(baseline)) return CZ_VERDICT_NONE;
  for (size_t s = 0; s < n; s++) x[s] -= baseline;
  *lead = cz_stats_interval(x, n);
  cz_stats_add_examples(lead, examples);
  return isnan(examples->error) ? CZ_VERDICT_UNKNOWN : verdict_of(lead); /* baselines have scores */
}

/* The difference of ROW to OTHER over the seeds that both have. X and Y: room for the seeds. */
static cz_status fill_difference(cz_interval *difference, const cz_results *r, size_t column,
                                 size_t row, size_t other, const cz_noise *examples, double *x,
                                 double *y) {
  const double *mine = values_of(r, column, row);
  size_t n = 0;
  if (other == SIZE_MAX || other == row) return CZ_OK;
  const double *theirs = values_of(r, column, other);
  for (size_t s = 0; s < r->plan.n_seeds; s++)
    if (!isnan(mine[s]) && !isnan(theirs[s])) x[n] = mine[s], y[n++] = theirs[s];
  if (!n) return CZ_OK;
  CZ_TRY(cz_stats_paired(difference, x, y, n));
  cz_stats_add_examples(difference, examples);
  return CZ_OK;
}

/* X and Y: room for the seeds. The control is compared by the others and not once more by
 * itself. */
static cz_status fill_cell(cz_cell *cell, const cz_results *r, size_t column, size_t row, double *x,
                           double *y) {
  const cz_plan *p = &r->plan;
  const cz_example_noise *noise = &r->noise[column * p->n_rows + row];
  const double *mine = values_of(r, column, row);
  size_t n = 0;
  for (size_t s = 0; s < p->n_seeds; s++)
    if (!isnan(mine[s])) y[n] = mine[s], x[n++] = mine[s];
  cell->ours = cz_stats_interval(x, n);
  cz_stats_add_examples(&cell->ours, &noise->own);
  cell->verdict = fill_lead(&cell->lead, x, n, cz_results_baseline(r, column, false), &noise->lead);
  cell->best_verdict =
      fill_lead(&cell->best_lead, y, n, cz_results_baseline(r, column, true), &noise->best_lead);
  if (row >= p->control) return CZ_OK;
  CZ_TRY(fill_difference(&cell->difference, r, column, row, cz_plan_baseline_of(p, row),
                         &noise->difference, x, y));
  CZ_TRY(fill_difference(&cell->over_control, r, column, row, cz_plan_control_of(p, row),
                         &noise->control, x, y));
  return CZ_OK;
}

/* The probability that a difference D under COLUMN is 0; NaN where it is not judged. */
static double probability(const cz_results *r, size_t column, const cz_interval *d) {
  return lacks_examples(r, column, &d->examples) ? NAN : cz_stats_p(d);
}

/* Of a loss, more is not better: its differences to the control get no verdict. */
static bool judges_control(const cz_results *r, size_t column) {
  return cz_column_all_scores(&r->plan.columns[column]);
}

/* Is the score above the control's, at 5 % for the whole table? */
static cz_verdict control_verdict(const cz_cell *c) {
  const cz_interval *d = &c->over_control;
  if (d->n == 0) return CZ_VERDICT_NONE;
  if (isnan(d->examples.error)) return CZ_VERDICT_UNKNOWN;
  if (d->n == 1) return verdict_of(d);
  return c->control_p <= 0.05 && d->mean > 0 ? CZ_VERDICT_BEATS : CZ_VERDICT_FAILS;
}

/* Corrects the probabilities of all differences to the baseline row for their number, and those of
 * all differences to the control for theirs: each is a question of its own. */
static cz_status correct(cz_comparison *c) {
  const cz_results *r = c->results;
  const size_t rows = r->plan.n_rows, n = r->plan.n_columns * rows;
  double *p, *q;
  cz_status st;
  CZ_TRY(cz_alloc(&p, 2 * n, sizeof *p));
  q = p + n;
  for (size_t i = 0; i < n; i++) {
    p[i] = probability(r, i / rows, &c->cells[i].difference);
    q[i] = judges_control(r, i / rows) ? probability(r, i / rows, &c->cells[i].over_control) : NAN;
    c->tests += !isnan(p[i]);
    c->control_tests += !isnan(q[i]);
  }
  CZ_GO(st, cz_stats_holm(p, p, n), done);
  CZ_GO(st, cz_stats_holm(q, q, n), done);
  for (size_t i = 0; i < n; i++) {
    cz_cell *cell = &c->cells[i];
    cell->p = p[i];
    cell->differs = p[i] <= 0.05;
    cell->control_p = q[i];
    if (judges_control(r, i / rows)) cell->control_verdict = control_verdict(cell);
  }
done:
  free(p);
  return st;
}

/** Works out the table of R, which is borrowed and must stay. Close with
 * cz_compare_close, also after a failure. */
cz_status cz_compare_open(cz_comparison *c, const cz_results *r) {
  const cz_plan *p = &r->plan;
  double *x = NULL;
  cz_status st;
  *c = (cz_comparison){.results = r};
  CZ_GO(st, cz_alloc(&c->cells, p->n_columns * p->n_rows, sizeof *c->cells), done);
  CZ_GO(st, cz_alloc(&x, 2 * p->n_seeds, sizeof *x), done);
  for (size_t i = 0; i < p->n_columns * p->n_rows; i++) {
    c->cells[i] = (cz_cell){.paper = r->paper[i], .p = NAN, .control_p = NAN};
    CZ_GO(st, fill_cell(&c->cells[i], r, i / p->n_rows, i % p->n_rows, x, x + p->n_seeds), done);
  }
  st = correct(c);
done:
  free(x);
  return st;
}

/** Frees the table; accepts a zero-initialised one. */
void cz_compare_close(cz_comparison *c) {
  free(c->cells);
  *c = (cz_comparison){0};
}

/** Row ROW under COLUMN. */
const cz_cell *cz_compare_at(const cz_comparison *c, size_t column, size_t row) {
  return &c->cells[column * c->results->plan.n_rows + row];
}

/* How many rows of COLUMN have a value, and under how many of them the noise of the test
 * examples is known. */
static size_t rows_with_examples(const cz_comparison *c, size_t column, size_t *rows) {
  size_t known = 0;
  *rows = 0;
  for (size_t row = 0; row < c->results->plan.n_rows; row++) {
    const cz_interval *x = &cz_compare_at(c, column, row)->ours;
    *rows += x->n > 0;
    known += x->n > 0 && !isnan(x->examples.error);
  }
  return known;
}

/** Whether the intervals of COLUMN cover the draw of the test examples, in every row that has
 * a value. */
bool cz_compare_knows_examples(const cz_comparison *c, size_t column) {
  size_t rows, known = rows_with_examples(c, column, &rows);
  return known > 0 && known == rows;
}

/** What the intervals of COLUMN cover, as a phrase. */
const char *cz_compare_covered(const cz_comparison *c, size_t column) {
  size_t rows, known = rows_with_examples(c, column, &rows);
  return known == 0     ? "seeds alone"
         : known < rows ? "seeds, and test examples where those are known"
                        : "seeds and test examples";
}

/* The lowest and the highest value of a column: the mean of those of its scores. */
static void column_range(double range[2], const cz_column *c) {
  double one[2], n = (double)c->n_paths;
  range[0] = range[1] = 0;
  for (size_t i = 0; i < c->n_paths; i++) {
    const char *metric = c->paths[i].metric;
    cz_task_metric_range(one, metric ? metric : "");
    range[0] += one[0] / n, range[1] += one[1] / n;
  }
}

/** ENDS of the interval of a row's mean as they are shown: Student's interval is symmetric and
 * may pass the lowest or the highest value that the column can have, where its end is shown
 * there. Half widths stay as they are. NaN without an interval. */
void cz_compare_ends(double ends[2], const cz_comparison *c, size_t column, size_t row) {
  const cz_interval *x = &cz_compare_at(c, column, row)->ours;
  double range[2];
  column_range(range, &c->results->plan.columns[column]);
  ends[0] = ends[1] = NAN;
  if (x->n < 2 || isnan(x->half)) return;
  ends[0] = fmax(x->mean - x->half, fmin(range[0], x->mean));
  ends[1] = fmin(x->mean + x->half, fmax(range[1], x->mean));
}

/** Why a score is not defined, as a phrase. */
const char *cz_compare_why(const cz_undefined *u) {
  return u->why ? u->why : "its stage does not say why";
}

/** Rank agreement of a column's means with the paper's over the rows, without the control, that
 * both have and whose noise of test examples is known; with an axis at POINT (SIZE_MAX: the last).
 * NaN where it is not defined. */
cz_status cz_compare_agreement(cz_agreement *a, const cz_comparison *c, size_t column,
                               size_t point) {
  size_t rows = c->results->plan.n_rows;
  double *x;
  cz_status st = CZ_OK;
  *a = (cz_agreement){.spearman = NAN, .kendall = NAN};
  CZ_TRY(cz_alloc(&x, 2 * rows, sizeof *x));
  double *y = x + rows;
  for (size_t i = 0; i < rows; i++) {
    const cz_cell *cell = cz_compare_at(c, column, i);
    if (!cz_plan_row_is(&c->results->plan, i, point) || !cell->ours.n || isnan(cell->paper) ||
        lacks_examples(c->results, column, &cell->ours.examples))
      continue;
    x[a->n] = cell->ours.mean, y[a->n++] = cell->paper;
  }
  CZ_GO(st, cz_score_spearman(&a->spearman, x, y, a->n), done);
  if (a->n > 1) a->kendall = cz_score_kendall(x, y, a->n);
done:
  free(x);
  return st;
}

static const char *plainly(const char *kind) {
  static const char *const said[][2] = {
      {"majority", "always answering with the most frequent label"},
      {"keyword", "answering with the label word that stands in the input"},
      {"naive_bayes", "naive Bayes over the words of the input"},
      {"strongest", "the strongest simple program of each task"},
      {"copy", "copying the input"},
      {"lead", "copying the first words of the input"}};
  for (size_t i = 0; i < sizeof said / sizeof *said; i++)
    if (kind && !strcmp(kind, said[i][0])) return said[i][1];
  return "the programs that know nothing";
}

/* MEAN_ABOVE: only rows whose mean is above the baseline. */
static cz_status list_rows(cz_buf *out, const cz_comparison *c, size_t column, cz_verdict verdict,
                           bool mean_above, size_t *n) {
  *n = 0;
  for (size_t i = 0; i < c->results->plan.n_rows; i++) {
    const cz_cell *cell = cz_compare_at(c, column, i);
    if (cell->best_verdict != verdict || (mean_above && !(cell->best_lead.mean > 0))) continue;
    CZ_TRY(cz_buf_addf(out, "%s%s", (*n)++ ? ", " : "", c->results->plan.rows[i].name));
  }
  return CZ_OK;
}

static bool some_unknown(const cz_comparison *c, size_t column) {
  for (size_t i = 0; i < c->results->plan.n_rows; i++)
    if (cz_compare_at(c, column, i)->best_verdict == CZ_VERDICT_UNKNOWN) return true;
  return false;
}

/* Whether some lead over the strongest baseline has an interval: two seeds at least. */
static bool some_interval(const cz_comparison *c, size_t column) {
  for (size_t i = 0; i < c->results->plan.n_rows; i++)
    if (cz_compare_at(c, column, i)->best_lead.n > 1) return true;
  return false;
}

/* One sentence: who does, and who does not, beat the strongest baseline of a column. */
static cz_status baseline_remark(cz_buf *out, const cz_comparison *c, size_t column) {
  const cz_results *r = c->results;
  const char *what = plainly(cz_results_baseline_kind(r, column, true));
  const double score = cz_results_baseline(r, column, true);
  cz_buf failing = {0}, nearly = {0}, above = {0}, beating = {0};
  const char *known = some_unknown(c, column) ? " with known test examples" : "",
             *clearly = some_interval(c, column) ? " by more than the interval" : "";
  size_t fails = 0, near = 0, leads = 0, beats = 0;
  cz_status st;
  if (isnan(score)) return CZ_OK;
  CZ_GO(st, list_rows(&failing, c, column, CZ_VERDICT_FAILS, false, &fails), done);
  CZ_GO(st, list_rows(&nearly, c, column, CZ_VERDICT_FAILS, true, &near), done);
  CZ_GO(st, list_rows(&above, c, column, CZ_VERDICT_ABOVE, false, &leads), done);
  CZ_GO(st, list_rows(&beating, c, column, CZ_VERDICT_BEATS, false, &beats), done);
  if (fails + leads + beats == 0) goto done;
  CZ_GO(st, cz_buf_addf(out, "%s: ", r->plan.columns[column].name), done);
  if (fails && !beats && !leads)
    CZ_GO(st,
          cz_buf_addf(out, "at this scale no row%s beats %s (%.2f)%s", known, what, score, clearly),
          done);
  else if (fails)
    CZ_GO(st,
          cz_buf_addf(out, "%s %s not beat %s (%.2f)%s", failing.data, fails > 1 ? "do" : "does",
                      what, score, clearly),
          done);
  else if (beats)
    CZ_GO(st,
          cz_buf_addf(out, "every row%s beats %s (%.2f) by more than the interval", known, what,
                      score),
          done);
  else
    CZ_GO(st,
          cz_buf_addf(out,
                      "every row%s is above %s (%.2f), with one seed and so without an interval",
                      known, what, score),
          done);
  if (fails && beats)
    CZ_GO(st, cz_buf_addf(out, "; %s %s", beating.data, beats > 1 ? "do" : "does"), done);
  if (near)
    CZ_GO(st,
          cz_buf_addf(out, "; in the mean %s %s above it", nearly.data, near > 1 ? "are" : "is"),
          done);
  if (fails && leads)
    CZ_GO(st,
          cz_buf_addf(out, "; %s %s above it with one seed", above.data, leads > 1 ? "are" : "is"),
          done);
  st = cz_buf_addf(out, ".\n");
done:
  cz_buf_free(&failing);
  cz_buf_free(&nearly);
  cz_buf_free(&above);
  cz_buf_free(&beating);
  return st;
}

/* One sentence: which rows differ from the baseline row beyond the noise. ALIKE: rows were
 * compared, and none does. */
static cz_status row_remark(cz_buf *out, const cz_comparison *c, size_t column, bool *alike) {
  const cz_plan *p = &c->results->plan;
  const char *noise = cz_results_scored(c->results, column) ? "the noise of seeds and examples"
                                                            : "the noise of the seeds";
  size_t named = 0, compared = 0;
  cz_buf text = {0};
  cz_status st = CZ_OK;
  for (size_t i = 0; i < p->n_rows; i++) {
    const cz_cell *cell = cz_compare_at(c, column, i);
    compared += !isnan(cell->p);
    if (!cell->differs) continue;
    CZ_GO(st,
          cz_buf_addf(&text, "%s%s is %s", named++ ? ", " : "", p->rows[i].name,
                      cell->difference.mean > 0 ? "above" : "below"),
          done);
  }
  *alike = compared && !named;
  if (compared && named)
    st = cz_buf_addf(out, "%s: %s %s beyond %s.\n", p->columns[column].name, text.data, p->baseline,
                     noise);
  else if (compared)
    st = cz_buf_addf(out, "%s: no row differs from %s beyond %s.\n", p->columns[column].name,
                     p->baseline, noise);
done:
  cz_buf_free(&text);
  return st;
}

static cz_status agreement_remark(cz_buf *out, const cz_comparison *c, size_t column, bool alike) {
  const cz_column *about = &c->results->plan.columns[column];
  cz_agreement a;
  double orders = 1;
  if (c->results->plan.axis.node) return CZ_OK; /* axis.c says it of each value */
  CZ_TRY(cz_compare_agreement(&a, c, column, SIZE_MAX));
  if (a.n < 2) return CZ_OK;
  for (size_t i = 2; i <= a.n; i++) orders *= (double)i;
  if (isnan(a.kendall))
    return cz_buf_addf(
        out, "%s: no rank agreement with the paper, because all rows are equal on one side.\n",
        about->name);
  return cz_buf_addf(
      out,
      "%s: rank agreement with the paper's %s over %zu rows: Spearman %.2f, Kendall %.2f (one "
      "order in %.0f agrees fully by chance)%s.\n",
      about->name, about->paper, a.n, a.spearman, a.kendall, orders,
      alike ? "; the rows do not differ beyond the noise, so this order may be chance" : "");
}

/* What a cell lacks for want of the examples' noise. */
typedef enum lack { LACKS_NOTHING, LACKS_VERDICT, LACKS_STAR } lack;

static lack lack_of(const cz_results *r, size_t column, const cz_cell *cell) {
  if (cell->ours.n == 0) return LACKS_NOTHING;
  if (cell->verdict == CZ_VERDICT_UNKNOWN || cell->best_verdict == CZ_VERDICT_UNKNOWN ||
      lacks_examples(r, column, &cell->ours.examples))
    return LACKS_VERDICT;
  return cell->difference.n && lacks_examples(r, column, &cell->difference.examples)
             ? LACKS_STAR
             : LACKS_NOTHING;
}

/* One sentence: the rows that lack WHAT for want of the examples' noise, and the first reason.
 * A row that lacks a star alone does so because of the baseline row. */
static cz_status lack_remark(cz_buf *out, const cz_comparison *c, size_t column, lack what) {
  const cz_plan *p = &c->results->plan;
  const cz_example_noise *noise = &c->results->noise[column * p->n_rows];
  const char *why = NULL;
  size_t n = 0;
  cz_buf rows = {0};
  cz_status st = CZ_OK;
  for (size_t i = 0; i < p->n_rows; i++) {
    if (lack_of(c->results, column, cz_compare_at(c, column, i)) != what) continue;
    CZ_GO(st, cz_buf_addf(&rows, "%s%s", n++ ? ", " : "", p->rows[i].name), done);
    if (!why) why = noise[what == LACKS_STAR ? cz_plan_baseline_of(p, i) : i].unknown;
  }
  if (n)
    st = cz_buf_addf(out, "%s: no %s for %s: the noise of the test examples is not known (%s).\n",
                     p->columns[column].name, what == LACKS_STAR ? "star" : "verdict", rows.data,
                     why ? why : "predictions are missing or too few");
done:
  cz_buf_free(&rows);
  return st;
}

/* Rows whose score is not defined under some seeds, and why. */
static cz_status undefined_remark(cz_buf *out, const cz_results *r, size_t column) {
  const cz_plan *p = &r->plan;
  for (size_t row = 0; row < p->n_rows; row++) {
    const cz_undefined *u = &r->undefined[column * p->n_rows + row];
    if (u->seeds)
      CZ_TRY(cz_buf_addf(out,
                         "%s: %s has no score under %zu of %zu seeds, because it is not defined "
                         "there: %s.\n",
                         p->columns[column].name, p->rows[row].name, u->seeds, p->n_seeds,
                         cz_compare_why(u)));
  }
  return CZ_OK;
}

/* Whether every value is the same, to the last bit, under all seeds that have it, and
 * some value has two. */
static bool seeds_agree(const cz_results *r) {
  const cz_plan *p = &r->plan;
  size_t compared = 0;
  for (size_t i = 0; i < p->n_columns * p->n_rows; i++) {
    const double *values = &r->values[i * p->n_seeds];
    double first = NAN;
    for (size_t s = 0; s < p->n_seeds; s++) {
      if (isnan(values[s])) continue;
      compared += !isnan(first);
      if (!isnan(first) && values[s] != first) return false;
      first = values[s];
    }
  }
  return compared > 0;
}

/** Appends what the table says in words, one sentence a line: what is missing or not known, who
 * beats the simple baselines and who does not, what differs beyond the noise, and how far the order
 * agrees with the paper's. */
cz_status cz_compare_remarks(cz_buf *out, const cz_comparison *c) {
  const cz_results *r = c->results;
  const cz_plan *p = &r->plan;
  if (r->done < r->total)
    CZ_TRY(cz_buf_addf(out, "The run is not finished: %zu of %zu stages are done.\n", r->done,
                       r->total));
  if (p->n_seeds == 1)
    CZ_TRY(cz_buf_addf(out, "One seed says nothing about noise: there are no intervals.\n"));
  if (seeds_agree(r))
    CZ_TRY(cz_buf_addf(out, "All seeds have the same scores in every column: either these columns "
                            "cannot tell the seeds apart, or nothing depends on the seed.\n"));
  for (size_t i = 0; i < p->n_columns; i++) {
    bool alike;
    CZ_TRY(undefined_remark(out, r, i));
    CZ_TRY(lack_remark(out, c, i, LACKS_VERDICT));
    CZ_TRY(lack_remark(out, c, i, LACKS_STAR));
    CZ_TRY(baseline_remark(out, c, i));
    CZ_TRY(row_remark(out, c, i, &alike));
    CZ_TRY(agreement_remark(out, c, i, alike));
  }
  return CZ_OK;
}
