#include "experiment/report/compare.h"
#include "experiment/report/contrasts.h"
#include "experiment/report/table.h"
#include "metrics/scores.h"
#include "tasks/baseline.h"
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

/* How far ROW lies above one of the programs beside it, seed by seed: these learned from the texts
 * of the same draw. X: room for the seeds. */
static cz_verdict fill_lead(cz_interval *lead, const cz_results *r, size_t column, size_t row,
                            bool strongest, const cz_noise *examples, double *x) {
  const cz_baselines *b = cz_results_baselines(r, column, row);
  const double *mine = values_of(r, column, row);
  size_t n = 0;
  if (!b->n) return CZ_VERDICT_NONE;
  const double *theirs = b->of_seed[strongest ? b->strongest : b->weakest];
  for (size_t s = 0; s < r->plan.n_seeds; s++)
    if (!isnan(mine[s]) && !isnan(theirs[s])) x[n++] = mine[s] - theirs[s];
  if (!n) return CZ_VERDICT_NONE;
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
    if (!isnan(mine[s])) x[n++] = mine[s];
  cell->ours = cz_stats_interval(x, n);
  cz_stats_add_examples(&cell->ours, &noise->own);
  cell->verdict = fill_lead(&cell->lead, r, column, row, false, &noise->lead, x);
  cell->best_verdict = fill_lead(&cell->best_lead, r, column, row, true, &noise->best_lead, x);
  if (row >= p->control) return CZ_OK;
  CZ_TRY(fill_difference(&cell->difference, r, column, row, cz_plan_baseline_of(p, row),
                         &noise->difference, x, y));
  CZ_TRY(fill_difference(&cell->over_control, r, column, row, cz_plan_control_of(p, row),
                         &noise->control, x, y));
  return CZ_OK;
}

/** The difference of ROW to OTHER under COLUMN, paired over the seeds that both have, with the
 * noise of their EXAMPLES; n is 0 without such a seed. */
cz_status cz_compare_difference(cz_interval *difference, const cz_results *r, size_t column,
                                size_t row, size_t other, const cz_noise *examples) {
  double *x;
  CZ_TRY(cz_alloc(&x, 2 * r->plan.n_seeds, sizeof *x));
  cz_status st =
      fill_difference(difference, r, column, row, other, examples, x, x + r->plan.n_seeds);
  free(x);
  return st;
}

/** The probability that a difference D under COLUMN is 0; NaN where it is not judged. */
double cz_compare_probability(const cz_results *r, size_t column, const cz_interval *d) {
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
    p[i] = cz_compare_probability(r, i / rows, &c->cells[i].difference);
    q[i] = judges_control(r, i / rows)
               ? cz_compare_probability(r, i / rows, &c->cells[i].over_control)
               : NAN;
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
  CZ_GO(st, correct(c), done);
  st = cz_contrasts_fill(c);
done:
  free(x);
  return st;
}

/** Frees the table; accepts a zero-initialised one. */
void cz_compare_close(cz_comparison *c) {
  free(c->cells);
  free(c->pairs);
  free(c->pair_tests);
  *c = (cz_comparison){0};
}

/** Row ROW under COLUMN. */
const cz_cell *cz_compare_at(const cz_comparison *c, size_t column, size_t row) {
  return &c->cells[column * c->results->plan.n_rows + row];
}

/** Whether ROW has something to say under COLUMN: a value, or why it has none. A run that is not
 * finished may get one yet. */
bool cz_compare_shows(const cz_comparison *c, size_t column, size_t row) {
  const cz_results *r = c->results;
  return r->done < r->total || cz_compare_at(c, column, row)->ours.n ||
         r->undefined[column * r->plan.n_rows + row].seeds;
}

/** Whether the paper has a number under COLUMN. */
bool cz_compare_has_paper(const cz_results *r, size_t column) {
  for (size_t row = 0; row < r->plan.n_rows; row++)
    if (!isnan(r->paper[column * r->plan.n_rows + row])) return true;
  return false;
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
 * NaN where it is not defined; n is 0 while a run that is not finished has unlike numbers of seeds
 * for its rows, whose means do not compare. */
cz_status cz_compare_agreement(cz_agreement *a, const cz_comparison *c, size_t column,
                               size_t point) {
  size_t rows = c->results->plan.n_rows, seeds = 0;
  bool unlike = false;
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
    unlike |= seeds && seeds != cell->ours.n;
    seeds = cell->ours.n;
    x[a->n] = cell->ours.mean, y[a->n++] = cell->paper;
  }
  if (unlike && c->results->done < c->results->total) a->n = 0;
  CZ_GO(st, cz_score_spearman(&a->spearman, x, y, a->n), done);
  if (a->n > 1) a->kendall = cz_score_kendall(x, y, a->n);
done:
  free(x);
  return st;
}

static const char *plainly(const char *kind, bool strongest) {
  static const char *const said[][2] = {
      {"majority", "always answering with the most frequent label"},
      {"largest_class", "always answering with the most frequent label of the test texts"},
      {"keyword", "answering with the label word that stands in the input"},
      {"naive_bayes", "naive Bayes over the words of the input"},
      {"strongest", "the strongest simple program of each task"},
      {"each", "the strongest simple program of each row"},
      {"copy", "copying the input"},
      {"lead", "copying the first words of the input"}};
  if (kind && !strongest && !strcmp(kind, "each")) return "the weakest simple program of each row";
  for (size_t i = 0; i < sizeof said / sizeof *said; i++)
    if (kind && !strcmp(kind, said[i][0])) return said[i][1];
  return "the programs that know nothing";
}

/* One row's lead over a column's baselines, and what it says. */
static const cz_interval *lead_of(const cz_cell *cell, bool strongest) {
  return strongest ? &cell->best_lead : &cell->lead;
}

static cz_verdict verdict_on(const cz_cell *cell, bool strongest) {
  return strongest ? cell->best_verdict : cell->verdict;
}

/* Rows by their lead over one baseline. Near: fails, with its mean above. */
typedef struct leads {
  cz_buf fails, near, above, beats;
  size_t n_fails, n_near, n_above, n_beats;
  bool unknown;  /* some row's noise of test examples is */
  bool interval; /* some lead has two seeds at least */
  bool missing;  /* some row has no score yet */
} leads;

static void free_leads(leads *l) {
  cz_buf_free(&l->fails), cz_buf_free(&l->near), cz_buf_free(&l->above), cz_buf_free(&l->beats);
}

static cz_status add_row(cz_buf *out, size_t *n, const char *name) {
  return cz_buf_addf(out, "%s%s", (*n)++ ? ", " : "", name);
}

static cz_status find_leads(leads *l, const cz_comparison *c, size_t column, bool strongest) {
  for (size_t i = 0; i < c->results->plan.n_rows; i++) {
    const cz_cell *cell = cz_compare_at(c, column, i);
    const cz_interval *lead = lead_of(cell, strongest);
    const char *name = c->results->plan.rows[i].name;
    l->interval |= lead->n > 1;
    switch (verdict_on(cell, strongest)) {
    case CZ_VERDICT_FAILS:
      CZ_TRY(add_row(&l->fails, &l->n_fails, name));
      if (lead->mean > 0) CZ_TRY(add_row(&l->near, &l->n_near, name));
      break;
    case CZ_VERDICT_ABOVE: CZ_TRY(add_row(&l->above, &l->n_above, name)); break;
    case CZ_VERDICT_BEATS: CZ_TRY(add_row(&l->beats, &l->n_beats, name)); break;
    case CZ_VERDICT_UNKNOWN: l->unknown = true; break;
    case CZ_VERDICT_NONE: l->missing = true; break;
    }
  }
  return CZ_OK;
}

/* Who does, and who does not, beat WHAT with its SCORE. */
static cz_status say_leads(cz_buf *out, const leads *l, const char *what, const char *score) {
  const char *known = l->unknown ? " with known test examples" : "",
             *clearly = l->interval ? " by more than the interval" : "";
  if (l->n_fails && !l->n_beats && !l->n_above)
    CZ_TRY(cz_buf_addf(out, "at this scale no row%s beats %s (%s)%s", known, what, score, clearly));
  else if (l->n_fails)
    CZ_TRY(cz_buf_addf(out, "%s %s not beat %s (%s)%s", l->fails.data,
                       l->n_fails > 1 ? "do" : "does", what, score, clearly));
  else if (l->n_beats && (l->missing || l->n_above))
    CZ_TRY(cz_buf_addf(out, "%s %s %s (%s) by more than the interval", l->beats.data,
                       l->n_beats > 1 ? "beat" : "beats", what, score));
  else if (l->n_beats)
    CZ_TRY(cz_buf_addf(out, "every row%s beats %s (%s) by more than the interval", known, what,
                       score));
  else if (l->missing)
    CZ_TRY(cz_buf_addf(out, "%s %s above %s (%s), with one seed and so without an interval",
                       l->above.data, l->n_above > 1 ? "are" : "is", what, score));
  else
    CZ_TRY(cz_buf_addf(out,
                       "every row%s is above %s (%s), with one seed and so without an interval",
                       known, what, score));
  if (l->n_fails && l->n_beats)
    CZ_TRY(cz_buf_addf(out, "; %s %s", l->beats.data, l->n_beats > 1 ? "do" : "does"));
  if (l->n_near)
    CZ_TRY(cz_buf_addf(out, "; in the mean %s %s above it", l->near.data,
                       l->n_near > 1 ? "are" : "is"));
  if ((l->n_fails || l->n_beats) && l->n_above)
    CZ_TRY(cz_buf_addf(out, "; %s %s above it with one seed", l->above.data,
                       l->n_above > 1 ? "are" : "is"));
  return cz_buf_addf(out, ".\n");
}

/** Whether two rows' programs are the same and get the same, mean over seeds. */
bool cz_compare_same_programs(const cz_baselines *a, const cz_baselines *b) {
  bool same = a->n == b->n;
  for (size_t i = 0; i < a->n && same; i++)
    same = a->value[i] == b->value[i] && !a->kind[i] == !b->kind[i] &&
           (!a->kind[i] || !strcmp(a->kind[i], b->kind[i]));
  return same;
}

/** Appends the programs of B with what they get, `majority 25.00, naive_bayes 40.00`. */
cz_status cz_compare_programs(cz_buf *out, const cz_baselines *b) {
  for (size_t i = 0; i < b->n; i++)
    CZ_TRY(cz_buf_addf(out, "%s%s %s", i ? ", " : "", b->kind[i] ? b->kind[i] : "simple",
                       cz_number_of(b->value[i], 2).text));
  return CZ_OK;
}

/** What the program is that rows under COLUMN are compared with; "each" where these have different
 * ones, null where it is not said. */
const char *cz_compare_kind(const cz_results *r, size_t column, bool strongest) {
  const char *kind = cz_results_baseline_kind(r, column, SIZE_MAX, strongest);
  if (r->shared[column]) return kind;
  for (size_t row = 0; row < r->plan.n_rows; row++) {
    const char *own = cz_results_baseline_kind(r, column, row, strongest);
    if (!cz_results_baselines(r, column, row)->n) continue;
    if (!own || (kind && strcmp(kind, own) != 0)) return "each";
    kind = own;
  }
  return kind;
}

/* Whether program KIND learned from a row's own texts, where rows have their own. */
static bool learned(const char *kind) {
  const cz_simple *s = kind ? cz_task_simple_find(kind) : NULL;
  return !s || !s->constant;
}

/* What the programs of the rows get: one number, or the lowest and highest of each row's own. */
static cz_status add_scores(cz_buf *out, const cz_results *r, size_t column, bool strongest) {
  double low = INFINITY, high = -INFINITY;
  if (r->shared[column])
    return cz_buf_addf(out, "%.2f", cz_results_baseline(r, column, SIZE_MAX, strongest));
  for (size_t row = 0; row < r->plan.n_rows; row++) {
    low = fmin(low, cz_results_baseline(r, column, row, strongest)); /* NaN stays out */
    high = fmax(high, cz_results_baseline(r, column, row, strongest));
  }
  CZ_TRY(cz_buf_addf(out, "%.2f", low));
  if (low < high) CZ_TRY(cz_buf_addf(out, " to %.2f", high));
  return learned(cz_compare_kind(r, column, strongest))
             ? cz_buf_addf(out, ", from the row's own texts")
             : CZ_OK;
}

/** One sentence: who does, and who does not, beat a column's strongest baseline, or its weakest
 * one, which knows least. Nothing when there is no such score. */
cz_status cz_compare_baseline(cz_buf *out, const cz_comparison *c, size_t column, bool strongest) {
  cz_buf score = {0};
  leads l;
  cz_status st;
  memset(&l, 0, sizeof l);
  CZ_GO(st, find_leads(&l, c, column, strongest), done);
  if (l.n_fails + l.n_above + l.n_beats == 0) goto done;
  CZ_GO(st, add_scores(&score, c->results, column, strongest), done);
  CZ_GO(st, cz_buf_addf(out, "%s: ", c->results->plan.columns[column].name), done);
  st = say_leads(out, &l, plainly(cz_compare_kind(c->results, column, strongest), strongest),
                 score.data);
done:
  cz_buf_free(&score);
  free_leads(&l);
  return st;
}

/* Whether some row's difference to the baseline row has no probability, though it has seeds. */
static bool some_differences_unknown(const cz_comparison *c, size_t column) {
  for (size_t i = 0; i < c->results->plan.n_rows; i++) {
    const cz_cell *cell = cz_compare_at(c, column, i);
    if (cell->difference.n > 1 && isnan(cell->p)) return true;
  }
  return false;
}

/* Whether rows were compared with the baseline row, and none differs. */
static bool rows_are_alike(const cz_comparison *c, size_t column) {
  size_t compared = 0;
  for (size_t i = 0; i < c->results->plan.n_rows; i++) {
    const cz_cell *cell = cz_compare_at(c, column, i);
    if (cell->differs) return false;
    compared += !isnan(cell->p);
  }
  return compared > 0;
}

/** One sentence: which rows differ from the baseline row beyond the noise. Nothing when none could
 * be compared. */
cz_status cz_compare_rows(cz_buf *out, const cz_comparison *c, size_t column) {
  const cz_plan *p = &c->results->plan;
  const char *noise = cz_results_scored(c->results, column) ? "the noise of seeds and examples"
                                                            : "the noise of the seeds";
  size_t named = 0;
  if (rows_are_alike(c, column))
    return cz_buf_addf(out, "%s: no row%s differs from %s beyond %s.\n", p->columns[column].name,
                       some_differences_unknown(c, column) ? " with known test examples" : "",
                       p->baseline, noise);
  for (size_t i = 0; i < p->n_rows; i++) {
    const cz_cell *cell = cz_compare_at(c, column, i);
    if (!cell->differs) continue;
    if (!named) CZ_TRY(cz_buf_addf(out, "%s: ", p->columns[column].name));
    CZ_TRY(cz_buf_addf(out, "%s%s is %s", named++ ? ", " : "", p->rows[i].name,
                       cell->difference.mean > 0 ? "above" : "below"));
  }
  return named ? cz_buf_addf(out, " %s beyond %s.\n", p->baseline, noise) : CZ_OK;
}

static cz_status agreement_remark(cz_buf *out, const cz_comparison *c, size_t column) {
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
      rows_are_alike(c, column)
          ? "; the rows do not differ beyond the noise, so this order may be chance"
          : "");
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
                         p->columns[column].name, p->rows[row].name, u->seeds, p->rows[row].n_seeds,
                         cz_compare_why(u)));
  }
  return CZ_OK;
}

/* Rows that have not all seeds. */
static cz_status fewer_remark(cz_buf *out, const cz_plan *p) {
  size_t n = 0;
  for (size_t row = 0; row < p->n_rows; row++)
    if (p->rows[row].n_seeds < p->n_seeds)
      CZ_TRY(cz_buf_addf(out, "%s%s (%zu)", n++ ? ", " : "Fewer seeds, by the file: ",
                         p->rows[row].name, p->rows[row].n_seeds));
  return n ? cz_buf_addf(out, ". Rows are compared over the seeds that both have.\n") : CZ_OK;
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

/** Appends what the table says in words after what is said first, one sentence a line: what is
 * missing or not known, who beats the strongest baselines and who does not, with an axis what
 * differs beyond the noise, and how far the order agrees with the paper's. */
cz_status cz_compare_remarks(cz_buf *out, const cz_comparison *c) {
  const cz_results *r = c->results;
  const cz_plan *p = &r->plan;
  if (p->n_seeds == 1)
    CZ_TRY(cz_buf_addf(out, "One seed says nothing about noise: there are no intervals.\n"));
  if (seeds_agree(r))
    CZ_TRY(cz_buf_addf(out, "All seeds have the same scores in every column: either these columns "
                            "cannot tell the seeds apart, or nothing depends on the seed.\n"));
  CZ_TRY(fewer_remark(out, p));
  for (size_t i = 0; i < p->n_columns; i++) {
    CZ_TRY(undefined_remark(out, r, i));
    CZ_TRY(lack_remark(out, c, i, LACKS_VERDICT));
    CZ_TRY(lack_remark(out, c, i, LACKS_STAR));
    CZ_TRY(cz_compare_baseline(out, c, i, true));
    if (p->axis.node) CZ_TRY(cz_compare_rows(out, c, i));
    CZ_TRY(agreement_remark(out, c, i));
  }
  return CZ_OK;
}
