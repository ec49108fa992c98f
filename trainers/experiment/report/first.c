/* What a table says first: that it is not finished; which rows are above its control, and with an
 * axis from which value on; at which value the rows stand in the paper's order, or which rows
 * differ; and whether they beat a program that knows nothing. */
#include "experiment/report/axis.h"
#include "experiment/report/compare.h"
#include "experiment/report/contrasts.h"
#include "experiment/report/table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Rows of one kind, as a list in words. */
typedef struct names {
  cz_buf text;
  size_t n;
} names;

static cz_status add_name(names *list, const char *name) {
  return cz_buf_addf(&list->text, "%s%s", list->n++ ? ", " : "", name);
}

static const char *do_or_does(const names *list) { return list->n > 1 ? "do" : "does"; }

/* Rows by what can be said of them beside the control. Below: beyond the noise. */
typedef struct sorted {
  names beat, above, fail, below, unknown;
  bool missing; /* some row has nothing to compare yet */
} sorted;

static void free_sorted(sorted *s) {
  names *const all[] = {&s->beat, &s->above, &s->fail, &s->below, &s->unknown};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) cz_buf_free(&all[i]->text);
}

static bool is_below(const cz_cell *c) { return c->control_p <= 0.05 && c->over_control.mean < 0; }

static cz_status sort_rows(sorted *s, const cz_comparison *c, size_t column) {
  const cz_plan *p = &c->results->plan;
  for (size_t row = 0; row < p->control; row++) {
    const cz_cell *cell = cz_compare_at(c, column, row);
    switch (cell->control_verdict) {
    case CZ_VERDICT_BEATS: CZ_TRY(add_name(&s->beat, p->rows[row].name)); break;
    case CZ_VERDICT_ABOVE: CZ_TRY(add_name(&s->above, p->rows[row].name)); break;
    case CZ_VERDICT_FAILS:
      CZ_TRY(add_name(&s->fail, p->rows[row].name));
      if (is_below(cell)) CZ_TRY(add_name(&s->below, p->rows[row].name));
      break;
    case CZ_VERDICT_UNKNOWN: CZ_TRY(add_name(&s->unknown, p->rows[row].name)); break;
    case CZ_VERDICT_NONE: s->missing = true; break;
    }
  }
  return CZ_OK;
}

/* The control and its mean under COLUMN. */
static cz_status add_control(cz_buf *out, const cz_comparison *c, size_t column) {
  const cz_plan *p = &c->results->plan;
  const cz_interval *x = &cz_compare_at(c, column, p->control)->ours;
  CZ_TRY(cz_buf_addf(out, "%s", p->rows[p->control].listed));
  return p->rows[p->control].point == SIZE_MAX
             ? cz_buf_addf(out, " (%s)", cz_number_of(x->mean, 2).text)
             : CZ_OK;
}

/* What a verdict beside the control has against it: the noise, and the number of verdicts. */
static cz_status add_noise(cz_buf *out, const cz_comparison *c) {
  return cz_buf_addf(out, " beyond the noise (corrected for %zu comparison%s)", c->control_tests,
                     c->control_tests == 1 ? "" : "s");
}

/* Of rows with two seeds at least: those above the control beyond the noise. */
static cz_status say_intervals(cz_buf *out, const cz_comparison *c, size_t column,
                               const sorted *s) {
  const char *known = s->unknown.n ? " with known test examples" : "";
  if (!s->beat.n) {
    CZ_TRY(cz_buf_addf(out, "no row%s beats ", known));
    CZ_TRY(add_control(out, c, column));
    CZ_TRY(add_noise(out, c));
    return cz_buf_addf(out, ": nothing here shows that what the rows do helps");
  }
  if (s->fail.n || s->above.n || s->missing)
    CZ_TRY(cz_buf_addf(out, "%s %s ", s->beat.text.data, s->beat.n > 1 ? "beat" : "beats"));
  else
    CZ_TRY(cz_buf_addf(out, "every row%s beats ", known));
  CZ_TRY(add_control(out, c, column));
  CZ_TRY(add_noise(out, c));
  if (s->fail.n) CZ_TRY(cz_buf_addf(out, "; %s %s not", s->fail.text.data, do_or_does(&s->fail)));
  if (s->above.n)
    CZ_TRY(cz_buf_addf(out, "; %s %s above it with one seed", s->above.text.data,
                       s->above.n > 1 ? "are" : "is"));
  return CZ_OK;
}

/* Of rows with one seed. */
static cz_status say_one_seed(cz_buf *out, const cz_comparison *c, size_t column, const sorted *s) {
  const names *list = s->above.n ? &s->above : &s->fail;
  CZ_TRY(cz_buf_addf(out, "%s %s %sabove ", list->text.data, list->n > 1 ? "are" : "is",
                     s->above.n ? "" : "not "));
  CZ_TRY(add_control(out, c, column));
  CZ_TRY(cz_buf_addf(out, ", with one seed and so without an interval"));
  if (s->above.n && s->fail.n)
    CZ_TRY(cz_buf_addf(out, "; %s %s not", s->fail.text.data, s->fail.n > 1 ? "are" : "is"));
  return CZ_OK;
}

static bool has_interval(const cz_comparison *c, size_t column) {
  for (size_t row = 0; row < c->results->plan.control; row++)
    if (!isnan(cz_compare_at(c, column, row)->control_p)) return true;
  return false;
}

/* One sentence: the rows of a plan without an axis beside the control. */
static cz_status control_sentence(cz_buf *out, const cz_comparison *c, size_t column) {
  sorted s;
  memset(&s, 0, sizeof s);
  cz_status st;
  CZ_GO(st, sort_rows(&s, c, column), done);
  if (s.beat.n + s.above.n + s.fail.n + s.unknown.n == 0) goto done;
  CZ_GO(st, cz_buf_addf(out, "%s: ", c->results->plan.columns[column].name), done);
  if (s.beat.n + s.above.n + s.fail.n == 0)
    st = cz_buf_addf(out, "no row can be compared with %s",
                     c->results->plan.rows[c->results->plan.control].listed);
  else
    st = has_interval(c, column) ? say_intervals(out, c, column, &s)
                                 : say_one_seed(out, c, column, &s);
  if (st == CZ_OK && s.below.n)
    st = cz_buf_addf(out, "; %s %s below it beyond the noise", s.below.text.data,
                     s.below.n > 1 ? "are" : "is");
  if (st == CZ_OK && s.unknown.n)
    st = cz_buf_addf(out, "; of %s the noise of the test examples is not known",
                     s.unknown.text.data);
  if (st == CZ_OK) st = cz_buf_addf(out, ".\n");
done:
  free_sorted(&s);
  return st;
}

/** The value of the axis from which on the row LISTED of the file beats the control under COLUMN
 * beyond the noise, at this and every longer one that is known; SIZE_MAX: at the last known one it
 * does not. TIMES: at how many values it does at all. KNOWN: how many there are. */
size_t cz_compare_begins(const cz_comparison *c, size_t column, const char *listed, size_t *times,
                         size_t *known) {
  const cz_plan *p = &c->results->plan;
  size_t from = SIZE_MAX;
  *times = *known = 0;
  for (size_t row = 0; row < p->control; row++) { /* values of a row stand in their order */
    const cz_plan_row *r = &p->rows[row];
    const cz_verdict v = cz_compare_at(c, column, row)->control_verdict;
    if (strcmp(r->listed, listed) || r->point == SIZE_MAX) continue;
    if (v != CZ_VERDICT_BEATS && v != CZ_VERDICT_FAILS && v != CZ_VERDICT_ABOVE) continue;
    ++*known;
    *times += v == CZ_VERDICT_BEATS;
    if (v != CZ_VERDICT_BEATS)
      from = SIZE_MAX;
    else if (from == SIZE_MAX)
      from = r->point;
  }
  return from;
}

/* "512 (0.5 million tokens)" of a value of the row. */
static cz_status add_value(cz_buf *out, const cz_comparison *c, const char *listed, size_t point) {
  const cz_plan *p = &c->results->plan;
  const size_t row = cz_axis_row(p, listed, point);
  const double tokens = row == SIZE_MAX ? NAN : c->results->points[row].tokens;
  CZ_TRY(cz_buf_addf(out, "%s", p->axis.values[point]));
  if (!p->axis.steps || !isfinite(tokens)) return CZ_OK;
  return cz_buf_addf(out, " steps (%s million tokens)", cz_number_of(1e-6 * tokens, 2).text);
}

/* One row of the file beside the control, over the values of the axis. */
static cz_status row_phrase(cz_buf *out, const cz_comparison *c, size_t column, const char *listed,
                            size_t *said, size_t *beaten) {
  size_t times, known, from = cz_compare_begins(c, column, listed, &times, &known);
  if (!known) return CZ_OK;
  *beaten += times;
  CZ_TRY(cz_buf_addf(out, "%s%s ", (*said)++ ? "; " : "", listed));
  if (from == SIZE_MAX && times)
    return cz_buf_addf(out, "at %zu of %zu values of %s, but not at the last", times, known,
                       c->results->plan.axis.name);
  if (from == SIZE_MAX) return cz_buf_addf(out, "at no %s", c->results->plan.axis.name);
  CZ_TRY(cz_buf_addf(out, "from "));
  CZ_TRY(add_value(out, c, listed, from));
  return cz_buf_addf(out, " on");
}

/* One sentence: from which value on each row beats the control. */
static cz_status axis_sentence(cz_buf *out, const cz_comparison *c, size_t column) {
  const cz_plan *p = &c->results->plan;
  cz_buf rows = {0};
  size_t said = 0, beaten = 0;
  cz_status st = CZ_OK;
  for (size_t row = 0; row < p->control && st == CZ_OK; row++)
    if (cz_axis_first(p, row))
      st = row_phrase(&rows, c, column, p->rows[row].listed, &said, &beaten);
  if (st != CZ_OK || !said) goto done;
  const bool intervals = has_interval(c, column);
  CZ_GO(st,
        cz_buf_addf(out, "%s: %s", p->columns[column].name,
                    !intervals ? "with one seed no row can be said to beat "
                    : beaten   ? ""
                               : "no row beats "),
        done);
  CZ_GO(st, add_control(out, c, column), done);
  if (intervals) {
    if (beaten) CZ_GO(st, cz_buf_addf(out, " is beaten"), done);
    CZ_GO(st, add_noise(out, c), done);
  }
  if (!intervals)
    st = cz_buf_addf(out, ": there is no interval.\n");
  else if (beaten)
    st = cz_buf_addf(out, " by %s.\n", rows.data);
  else
    st = cz_buf_addf(out, " at any %s: nothing here shows that what the rows do helps.\n",
                     p->axis.name);
done:
  cz_buf_free(&rows);
  return st;
}

/* Whether some row at POINT differs from the baseline row beyond the noise. */
static bool some_differ(const cz_comparison *c, size_t column, size_t point) {
  for (size_t row = 0; row < c->results->plan.n_rows; row++)
    if (cz_plan_row_is(&c->results->plan, row, point) && cz_compare_at(c, column, row)->differs)
      return true;
  return false;
}

/** The value of the axis from which on the rows' means under COLUMN stand in the paper's order, at
 * this and every longer one that is known; SIZE_MAX: at the last known one they do not. CLEAR: at
 * that value, where there is one, some row differs from the baseline row beyond the noise. */
cz_status cz_compare_order_begins(size_t *from, bool *clear, const cz_comparison *c,
                                  size_t column) {
  const cz_plan *p = &c->results->plan;
  *from = SIZE_MAX;
  *clear = false;
  for (size_t k = 0; k < p->axis.n; k++) {
    cz_agreement a;
    CZ_TRY(cz_compare_agreement(&a, c, column, k));
    if (a.n < 2 || isnan(a.kendall)) continue;
    if (a.kendall < 1 - 1e-9)
      *from = SIZE_MAX, *clear = false;
    else if (*from == SIZE_MAX)
      *from = k, *clear = some_differ(c, column, k);
  }
  return CZ_OK;
}

/* Kendall's agreement with the paper's order at each value; SAID: how many have one. */
static cz_status add_agreements(cz_buf *out, const cz_comparison *c, size_t column, size_t *said,
                                size_t *rows) {
  const cz_plan *p = &c->results->plan;
  *said = *rows = 0;
  for (size_t k = 0; k < p->axis.n; k++) {
    cz_agreement a;
    CZ_TRY(cz_compare_agreement(&a, c, column, k));
    if (a.n < 2 || isnan(a.kendall)) continue;
    *rows = a.n;
    CZ_TRY(cz_buf_addf(out, "%s %s at %s", (*said)++ ? "," : "", cz_number_of(a.kendall, 2).text,
                       p->axis.values[k]));
  }
  return CZ_OK;
}

/* One sentence: how far the order of the rows agrees with the paper's, and where it is the same. */
static cz_status order_sentence(cz_buf *out, const cz_comparison *c, size_t column) {
  const cz_plan *p = &c->results->plan;
  size_t from, said, rows;
  double orders = 1;
  bool clear;
  cz_buf agreements = {0};
  cz_status st;
  CZ_GO(st, add_agreements(&agreements, c, column, &said, &rows), done);
  if (!said) goto done;
  for (size_t i = 2; i <= rows; i++) orders *= (double)i;
  CZ_GO(st,
        cz_buf_addf(out, "%s: order of the rows beside the paper's %s (Kendall):%s; ",
                    p->columns[column].name, p->columns[column].paper, agreements.data),
        done);
  CZ_GO(st, cz_compare_order_begins(&from, &clear, c, column), done);
  if (from == SIZE_MAX)
    st = cz_buf_addf(out, "at the last one it is not the paper's.\n");
  else
    st = cz_buf_addf(out, "it is the paper's from %s on (one order in %.0f is so by chance)%s.\n",
                     p->axis.values[from], orders,
                     clear ? ""
                           : ", where no row differs from the baseline row beyond the noise, so "
                             "it may be chance");
done:
  cz_buf_free(&agreements);
  return st;
}

/* A mean as it is printed: an order that two printed numbers do not show is none to speak of. */
static double printed(double mean) { return strtod(cz_number_of(mean, 2).text, NULL); }

/* Rows that have a number at one value of the axis, and their means, as printed, over the seeds
 * that all of them have. */
typedef struct rivals {
  size_t *rows, n; /* [n] */
  double *means;   /* [n] */
  size_t seeds;
  bool more; /* some row has more seeds than these */
} rivals;

static void free_rivals(rivals *r) {
  free(r->rows);
  free(r->means);
}

/* Whether ROW belongs to POINT: one of its values, or of none but without a T of its own. */
static bool stands_at(const cz_plan *p, size_t row, size_t point) {
  const size_t own = p->rows[row].point;
  return own == point || (own == SIZE_MAX && cz_plan_row_draws(p, row) == CZ_SEEDS_PLAIN);
}

/* Those at POINT; none where no seed is of all. Free with free_rivals, also after a failure. */
static cz_status find_rivals(rivals *out, const cz_comparison *c, size_t column, size_t point) {
  const cz_plan *p = &c->results->plan;
  *out = (rivals){0};
  CZ_TRY(cz_alloc(&out->rows, p->n_rows, sizeof *out->rows));
  CZ_TRY(cz_alloc(&out->means, p->n_rows, sizeof *out->means));
  for (size_t row = 0; row < p->n_rows; row++)
    if (stands_at(p, row, point) && cz_compare_at(c, column, row)->ours.n)
      out->rows[out->n++] = row;
  CZ_TRY(cz_contrasts_means(out->means, &out->seeds, c->results, column, out->rows, out->n));
  for (size_t i = 0; i < out->n; i++) {
    out->means[i] = printed(out->means[i]);
    out->more |= cz_compare_at(c, column, out->rows[i])->ours.n > out->seeds;
  }
  if (!out->seeds) out->n = 0;
  return CZ_OK;
}

/* The highest mean below BELOW of the RIVALS; -infinity: there is none. The names of the rows that
 * have it. */
static cz_status add_highest(names *list, double *highest, const cz_plan *p, const rivals *r,
                             double below) {
  *highest = -INFINITY;
  for (size_t i = 0; i < r->n; i++)
    if (r->means[i] < below) *highest = fmax(*highest, r->means[i]);
  for (size_t i = 0; i < r->n; i++)
    if (r->means[i] == *highest) CZ_TRY(add_name(list, p->rows[r->rows[i]].listed));
  return CZ_OK;
}

/* "accuracy: highest mean at 50 labelled", and of further values "; at 100"; with the seeds that
 * the means are over where some row has more. */
static cz_status add_where(cz_buf *out, const cz_comparison *c, size_t column, size_t point,
                           const rivals *r, bool first) {
  const cz_plan *p = &c->results->plan;
  const char *value = p->axis.values[point];
  if (first)
    CZ_TRY(cz_buf_addf(out, "%s: highest mean at %s %s", p->columns[column].name, value,
                       p->axis.name));
  else
    CZ_TRY(cz_buf_addf(out, "; at %s", value));
  if (!r->more) return CZ_OK;
  return cz_buf_addf(out, ", over the %zu seed%s that all have,", r->seeds,
                     r->seeds == 1 ? "" : "s");
}

/* " at 50 labelled PET (55.40), then supervised (52.53)"; rows with one mean are level. Nothing
 * where fewer than two rows have one, or where they share no seed. */
static cz_status leaders_at(cz_buf *out, const cz_comparison *c, size_t column, size_t point,
                            bool first) {
  const cz_plan *p = &c->results->plan;
  double mean[2];
  names rows[2];
  rivals r;
  cz_status st;
  memset(rows, 0, sizeof rows);
  CZ_GO(st, find_rivals(&r, c, column, point), done);
  CZ_GO(st, add_highest(&rows[0], &mean[0], p, &r, INFINITY), done);
  CZ_GO(st, add_highest(&rows[1], &mean[1], p, &r, mean[0]), done);
  if (r.n < 2) goto done;
  CZ_GO(st, add_where(out, c, column, point, &r, first), done);
  for (int i = 0; i < 2 && rows[i].n; i++)
    CZ_GO(st,
          cz_buf_addf(out, "%s %s%s (%s)", i ? ", then" : "", rows[i].text.data,
                      rows[i].n > 1 ? " level" : "", cz_number_of(mean[i], 2).text),
          done);
done:
  cz_buf_free(&rows[0].text);
  cz_buf_free(&rows[1].text);
  free_rivals(&r);
  return st;
}

/* One sentence: which row has the highest mean at each value of an axis that is no budget, over
 * seeds that all rows there have. Nothing of a run that is not finished: further seeds and rows may
 * turn it. */
static cz_status leaders_sentence(cz_buf *out, const cz_comparison *c, size_t column) {
  const cz_plan *p = &c->results->plan;
  const size_t before = out->len;
  if (p->axis.steps || c->results->done < c->results->total ||
      !cz_column_all_scores(&p->columns[column]))
    return CZ_OK;
  for (size_t k = 0; k < p->axis.n; k++) CZ_TRY(leaders_at(out, c, column, k, out->len == before));
  return out->len > before ? cz_buf_addf(out, "; means decide this, not intervals.\n") : CZ_OK;
}

/* In which precision the finished stages train; nothing where it is float32 alone. */
static cz_status precision_sentence(cz_buf *out, const cz_results *r) {
  const cz_trained *t = r->trained;
  if (!t[0].stages || (!strcmp(t[0].precision, "f32") && !t[1].stages)) return CZ_OK;
  for (size_t i = 0; i < CZ_TRAINED && t[i].stages; i++)
    CZ_TRY(cz_buf_addf(out, "%s%zu in %s", i ? ", " : "Stages trained: ", t[i].stages,
                       t[i].precision));
  return cz_buf_addf(out, ".\n");
}

/* Whether a column has a baseline that knows less than its strongest. */
static bool has_weaker(const cz_comparison *c, size_t column) {
  bool weaker = false;
  for (size_t row = 0; row < c->results->plan.n_rows; row++) {
    const cz_baselines *b = cz_results_baselines(c->results, column, row);
    weaker |= b->n > 1 && b->value[b->strongest] > b->value[b->weakest];
  }
  return weaker;
}

/** Appends what is said first, a sentence a line: that stages are missing; in which precision they
 * were trained, where it is not float32; for each column which rows beat the control beyond the
 * noise, with an axis from which value on and at which value the paper's order appears, else which
 * rows differ from the baseline row; and who beats the weakest baseline, where a stronger one
 * follows below. */
cz_status cz_compare_first(cz_buf *out, const cz_comparison *c) {
  const cz_results *r = c->results;
  const cz_plan *p = &r->plan;
  if (r->done < r->total)
    CZ_TRY(cz_buf_addf(out, "The run is not finished: %zu of %zu stages are done.\n", r->done,
                       r->total));
  CZ_TRY(precision_sentence(out, r));
  CZ_TRY(cz_contrasts_deviation(out, c));
  for (size_t i = 0; i < p->n_columns; i++) {
    if (p->control < p->n_rows)
      CZ_TRY(p->axis.node ? axis_sentence(out, c, i) : control_sentence(out, c, i));
    if (p->axis.node) CZ_TRY(leaders_sentence(out, c, i));
    CZ_TRY(cz_contrasts_words(out, c, i));
    CZ_TRY(p->axis.node ? order_sentence(out, c, i) : cz_compare_rows(out, c, i));
    if (has_weaker(c, i)) CZ_TRY(cz_compare_baseline(out, c, i, false));
  }
  return CZ_OK;
}
