/* A table over the values of its axis on the page: figures, and the same as a table. */
#include "experiment/report/axis.h"
#include "experiment/report/plot.h"
#include "experiment/report/table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum abscissa { BY_VALUE, BY_TOKENS, BY_SECONDS } abscissa;

/* Where ROW at its value stands. */
static double place(const cz_results *r, size_t row, abscissa by) {
  const cz_plan *p = &r->plan;
  double value = NAN;
  if (by == BY_TOKENS) return 1e-6 * r->points[row].tokens;
  if (by == BY_SECONDS) return r->points[row].seconds;
  if (cz_config_real(&value, cz_config_at(p->axis.list, p->rows[row].point), -INFINITY, INFINITY))
    cz_error_clear();
  return value;
}

/* The lines of a figure: N rows of the file with the points of NUMBERS, three for each value. The
 * control, which has no value, is a line across. */
static size_t fill_series(cz_series *series, double *numbers, const cz_comparison *t, size_t column,
                          abscissa by) {
  const cz_plan *p = &t->results->plan;
  double low = INFINITY, high = -INFINITY;
  size_t n = 0;
  for (size_t row = 0; row < p->n_rows; row++) {
    if (!cz_axis_first(p, row)) continue;
    const bool across = p->rows[row].point == SIZE_MAX;
    double *x = numbers + n * 3 * p->axis.n, *y = x + p->axis.n, *band = y + p->axis.n;
    for (size_t k = 0; k < p->axis.n; k++) {
      const size_t at = across ? row : cz_axis_row(p, p->rows[row].listed, k);
      x[k] = y[k] = band[k] = NAN;
      if (at == SIZE_MAX) continue;
      const cz_interval *ours = &cz_compare_at(t, column, at)->ours;
      x[k] = across ? (k ? high : low) : place(t->results, at, by);
      y[k] = ours->n ? ours->mean : NAN;
      band[k] = ours->n > 1 ? ours->half : NAN;
      if (!across && isfinite(x[k])) low = fmin(low, x[k]), high = fmax(high, x[k]);
    }
    series[n++] = (cz_series){p->rows[row].listed, x, y, band, across ? 2 : p->axis.n};
  }
  return n;
}

static cz_status column_figure(cz_buf *out, const cz_comparison *t, size_t column, abscissa by,
                               cz_series *series, double *numbers) {
  const cz_plan *p = &t->results->plan;
  const cz_column *c = &p->columns[column];
  char title[512], x_name[256];
  const size_t n = fill_series(series, numbers, t, column, by);
  if (by == BY_VALUE)
    snprintf(x_name, sizeof x_name, "%.200s", p->axis.n_keys > 1 ? p->axis.name : p->axis.set);
  else
    snprintf(x_name, sizeof x_name, "%s of %.200s", by == BY_TOKENS ? "million tokens" : "seconds",
             p->axis.stages);
  snprintf(title, sizeof title, "%.200s over %.250s", c->name, x_name);
  return cz_plot_lines_log(out, title, x_name, c->unit ? c->unit : "", series, n);
}

/* The rows at the last value beside the paper's. */
static cz_status paper_figure(cz_buf *out, const cz_comparison *t, size_t column, cz_dot *dots) {
  const cz_plan *p = &t->results->plan;
  char title[512], second[160];
  size_t n = 0;
  for (size_t row = 0; row < p->n_rows; row++) {
    const cz_cell *cell = cz_compare_at(t, column, row);
    double ends[2];
    if (!cz_plan_row_is(p, row, SIZE_MAX) && row < p->control) continue;
    if (row >= p->control && p->rows[row].point != SIZE_MAX && p->rows[row].point + 1 < p->axis.n)
      continue;
    cz_compare_ends(ends, t, column, row);
    dots[n++] = (cz_dot){.name = p->rows[row].listed,
                         .value = cell->ours.n ? cell->ours.mean : NAN,
                         .low = ends[0],
                         .high = ends[1],
                         .other = cell->paper};
  }
  snprintf(title, sizeof title, "%.200s at %s", p->columns[column].name,
           p->axis.values[p->axis.n - 1]);
  snprintf(second, sizeof second, "the paper's %.100s",
           p->columns[column].paper ? p->columns[column].paper : "");
  return cz_plot_dots(out, title, dots, n, cz_results_baseline(t->results, column, SIZE_MAX, true),
                      "ours, with the 95 % interval of the mean", second);
}

static cz_status head_cells(cz_buf *out, const cz_plan *p, size_t column, bool paper) {
  CZ_TRY(cz_buf_addf(out, "<div class=\"wide\"><table>\n<thead><tr><th>"));
  CZ_TRY(cz_html_text(out, p->columns[column].name));
  CZ_TRY(cz_buf_addf(out, "</th>"));
  for (size_t k = 0; k < p->axis.n; k++) {
    CZ_TRY(cz_buf_addf(out, "<th>"));
    CZ_TRY(cz_html_text(out, p->axis.values[k]));
    CZ_TRY(cz_buf_addf(out, "</th>"));
  }
  return cz_buf_addf(out, "%s</tr></thead>\n<tbody>\n", paper ? "<th>the paper's</th>" : "");
}

/* The mean at a value; below it the difference to the control with its interval, and the paper's
 * number where it is by value. */
static cz_status value_cell(cz_buf *out, const cz_cell *c, bool paper) {
  const cz_interval *x = &c->ours, *d = &c->over_control;
  CZ_TRY(cz_buf_addf(out, "<td>%s", cz_number_of(x->n ? x->mean : NAN, 2).text));
  if (x->n > 1) CZ_TRY(cz_buf_addf(out, " ± %s", cz_number_of(x->deviation, 2).text));
  if (d->n > 1)
    CZ_TRY(cz_buf_addf(out, "<small>%s ± %s%s</small>", cz_number_signed(d->mean).text,
                       cz_number_of(d->half, 2).text,
                       c->control_verdict == CZ_VERDICT_BEATS ? " +" : ""));
  if (paper && !isnan(c->paper))
    CZ_TRY(cz_buf_addf(out, "<small>paper %s</small>", cz_number_of(c->paper, 2).text));
  return cz_buf_addf(out, "</td>");
}

/* Programs that learned from the rows' own texts, a line each. */
static cz_status program_rows(cz_buf *out, const cz_results *r, size_t column) {
  const char *kind;
  for (size_t i = 0; (kind = cz_axis_program_kind(r, column, i)); i++) {
    CZ_TRY(cz_buf_addf(out, "<tr><td>"));
    CZ_TRY(cz_html_text(out, kind));
    CZ_TRY(cz_buf_addf(out, "</td>"));
    for (size_t k = 0; k < r->plan.axis.n; k++) {
      CZ_TRY(cz_buf_addf(out, "<td>"));
      CZ_TRY(cz_axis_program(out, r, column, kind, k));
      CZ_TRY(cz_buf_addf(out, "</td>"));
    }
    CZ_TRY(cz_buf_addf(out, "%s</tr>\n", cz_compare_has_paper(r, column) ? "<td></td>" : ""));
  }
  return CZ_OK;
}

static cz_status column_table(cz_buf *out, const cz_comparison *t, size_t column) {
  const cz_plan *p = &t->results->plan;
  const bool has_paper = cz_compare_has_paper(t->results, column);
  CZ_TRY(head_cells(out, p, column, has_paper));
  for (size_t row = 0; row < p->n_rows; row++) {
    if (!cz_axis_first(p, row) || !cz_axis_has_line(t, column, row)) continue;
    CZ_TRY(cz_buf_addf(out, "<tr><td>"));
    CZ_TRY(cz_html_text(out, p->rows[row].listed));
    CZ_TRY(cz_buf_addf(out, "</td>"));
    const bool by_value = cz_axis_paper_by_value(t->results, column, row);
    for (size_t k = 0; k < p->axis.n; k++) {
      const bool level = p->rows[row].point == SIZE_MAX;
      const size_t at = level ? (k ? SIZE_MAX : row) : cz_axis_row(p, p->rows[row].listed, k);
      if (at == SIZE_MAX)
        CZ_TRY(cz_buf_addf(out, "<td></td>"));
      else
        CZ_TRY(value_cell(out, cz_compare_at(t, column, at), by_value));
    }
    const double paper = t->results->paper[column * p->n_rows + row];
    if (has_paper)
      CZ_TRY(cz_buf_addf(out, "<td>%s</td>", by_value ? "" : cz_number_of(paper, 2).text));
    CZ_TRY(cz_buf_addf(out, "</tr>\n"));
  }
  CZ_TRY(program_rows(out, t->results, column));
  CZ_TRY(cz_buf_addf(out, "</tbody></table></div>\n"));
  if (!t->control_tests) return CZ_OK;
  return cz_buf_addf(out,
                     "<p class=\"soft\">The second line of a cell "
                     "is the difference to the control with its paired 95 %% interval, + where "
                     "it is above 0, at most 5 %% for the whole table, corrected for its %zu "
                     "comparison%s with the control (Holm).</p>\n",
                     t->control_tests, t->control_tests == 1 ? "" : "s");
}

/** Appends the figures over the axis: of each column over tokens and over seconds, or over the
 * value where it is no number of steps, and the rows at the last value beside the paper's. */
cz_status cz_axis_figures(cz_buf *out, const cz_comparison *t) {
  const cz_plan *p = &t->results->plan;
  cz_series *series = NULL;
  cz_dot *dots = NULL;
  double *numbers = NULL;
  cz_status st;
  CZ_GO(st, cz_alloc(&series, p->n_rows, sizeof *series), done);
  CZ_GO(st, cz_alloc(&dots, p->n_rows, sizeof *dots), done);
  CZ_GO(st, cz_alloc(&numbers, p->n_rows * 3 * p->axis.n, sizeof *numbers), done);
  CZ_GO(st, cz_buf_addf(out, "<h2>By "), done);
  CZ_GO(st, cz_html_text(out, p->axis.name), done);
  CZ_GO(st,
        cz_buf_addf(
            out,
            "</h2>\n<p class=\"soft\">The band is the 95 %% interval of the mean over "
            "seeds and, where it is "
            "known, test examples; the axis is logarithmic, 0 at its left end. A row that does not "
            "depend on it is a level line.</p>\n<div class=\"plots\">\n"),
        done);
  for (size_t c = 0; c < p->n_columns; c++) {
    if (!cz_axis_has_table(t, c)) continue;
    CZ_GO(st, column_figure(out, t, c, p->axis.steps ? BY_TOKENS : BY_VALUE, series, numbers),
          done);
    if (p->axis.steps) CZ_GO(st, column_figure(out, t, c, BY_SECONDS, series, numbers), done);
    CZ_GO(st, paper_figure(out, t, c, dots), done);
  }
  CZ_GO(st, cz_buf_addf(out, "</div>\n"), done);
  for (size_t c = 0; c < p->n_columns; c++)
    if (cz_axis_has_table(t, c)) CZ_GO(st, column_table(out, t, c), done);
done:
  free(numbers);
  free(dots);
  free(series);
  return st;
}
