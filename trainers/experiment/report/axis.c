/* A table over the values of its axis: one line a row of the file, one column a value; and the
 * same for programs. */
#include "experiment/report/axis.h"
#include "experiment/report/table.h"
#include "json/json.h"

#include <math.h>
#include <string.h>

/** The plan's row that is LISTED in the file and stands at POINT; SIZE_MAX: there is none. */
size_t cz_axis_row(const cz_plan *p, const char *listed, size_t point) {
  for (size_t row = 0; row < p->n_rows; row++)
    if (!strcmp(p->rows[row].listed, listed) && p->rows[row].point == point) return row;
  return SIZE_MAX;
}

/** Whether ROW is the first of those of its name in the file. */
bool cz_axis_first(const cz_plan *p, size_t row) {
  for (size_t r = 0; r < row; r++)
    if (!strcmp(p->rows[r].listed, p->rows[row].listed)) return false;
  return true;
}

/** Whether the paper has another number under COLUMN for each value of the row of the file that ROW
 * is of, or lacks some. */
bool cz_axis_paper_by_value(const cz_results *r, size_t column, size_t row) {
  const cz_plan *p = &r->plan;
  const double *paper = r->paper + column * p->n_rows;
  for (size_t k = row; k < p->n_rows; k++)
    if (!strcmp(p->rows[k].listed, p->rows[row].listed) &&
        !(paper[k] == paper[row] || (isnan(paper[k]) && isnan(paper[row]))))
      return true;
  return false;
}

/** Whether the row of the file that ROW is of has a line over the axis under COLUMN. */
bool cz_axis_has_line(const cz_comparison *t, size_t column, size_t row) {
  const cz_plan *p = &t->results->plan;
  for (size_t k = row; k < p->n_rows; k++)
    if (!strcmp(p->rows[k].listed, p->rows[row].listed) && cz_compare_shows(t, column, k))
      return true;
  return false;
}

/** Whether something under COLUMN is by the axis's value: rows that stand once need no table. */
bool cz_axis_has_table(const cz_comparison *t, size_t column) {
  const cz_plan *p = &t->results->plan;
  for (size_t row = 0; row < p->n_rows; row++)
    if (p->rows[row].point != SIZE_MAX && cz_compare_shows(t, column, row)) return true;
  return false;
}

/* Where program KIND stands among those beside ROW, which has a value of the axis; CZ_BASELINES: it
 * does not. */
static size_t program_at(const cz_results *r, size_t column, size_t row, const char *kind) {
  const cz_baselines *b = cz_results_baselines(r, column, row);
  for (size_t i = 0; i < b->n && r->plan.rows[row].point != SIZE_MAX; i++)
    if (b->kind[i] && !strcmp(b->kind[i], kind)) return i;
  return CZ_BASELINES;
}

/** The kind of the program that is line NUMBER of the table over the axis: programs whose texts are
 * the rows' own stand there, so none where all rows have the same. Null: there is no such line. */
const char *cz_axis_program_kind(const cz_results *r, size_t column, size_t number) {
  const char *seen[CZ_BASELINES] = {NULL};
  size_t n = 0;
  for (size_t row = 0; row < r->plan.n_rows && !r->shared[column]; row++) {
    const cz_baselines *b = cz_results_baselines(r, column, row);
    for (size_t i = 0; i < b->n && r->plan.rows[row].point != SIZE_MAX; i++) {
      size_t at = 0;
      while (at < n && b->kind[i] && strcmp(seen[at], b->kind[i]) != 0) at++;
      if (at == n && b->kind[i] && n < CZ_BASELINES) seen[n++] = b->kind[i];
    }
  }
  return number < n ? seen[number] : NULL;
}

/* What program KIND gets under SEED beside the rows at POINT: lowest and highest; infinite where
 * none has it. */
static void program_ends(double ends[2], const cz_results *r, size_t column, const char *kind,
                         size_t point, size_t seed) {
  ends[0] = INFINITY, ends[1] = -INFINITY;
  for (size_t row = 0; row < r->plan.n_rows; row++) {
    const size_t i = program_at(r, column, row, kind);
    if (i == CZ_BASELINES || r->plan.rows[row].point != point) continue;
    const double x = cz_results_baselines(r, column, row)->of_seed[i][seed];
    ends[0] = fmin(ends[0], x), ends[1] = fmax(ends[1], x); /* NaN stays out */
  }
}

/** Appends what program KIND gets at POINT, mean ± deviation over the draws; mean of the lowest and
 * mean of the highest where rows at this value have other texts under one seed. */
cz_status cz_axis_program(cz_buf *out, const cz_results *r, size_t column, const char *kind,
                          size_t point) {
  double low = 0, high = 0, squares = 0, n = 0;
  for (size_t s = 0; s < r->plan.n_seeds; s++) {
    double ends[2];
    program_ends(ends, r, column, kind, point, s);
    if (!isfinite(ends[0])) continue;
    const double d = ends[0] - low;
    low += d / ++n;
    squares += d * (ends[0] - low);
    high += (ends[1] - high) / n;
  }
  if (n < 1) return cz_buf_addf(out, "-");
  CZ_TRY(cz_buf_addf(out, "%s", cz_number_of(low, 2).text));
  if (low < high) return cz_buf_addf(out, " .. %s", cz_number_of(high, 2).text);
  return n < 2 ? CZ_OK : cz_buf_addf(out, " ± %s", cz_number_of(sqrt(squares / (n - 1)), 2).text);
}

/** Whether a figure of one curve a row shows ROW: with an axis of steps the longest training holds
 * the others. */
bool cz_axis_shown(const cz_plan *p, size_t row) {
  return !p->axis.steps || row >= p->control || cz_plan_row_is(p, row, SIZE_MAX);
}

/* Text. */

static cz_status add_mean(cz_grid *g, const cz_cell *c) {
  const cz_interval *x = &c->ours;
  const char *mark = c->control_verdict == CZ_VERDICT_BEATS ? " +" : "  ";
  if (x->n == 0) return cz_grid_add(g, "-  ");
  if (x->n == 1) return cz_grid_add(g, "%s%s", cz_number_of(x->mean, 2).text, mark);
  return cz_grid_add(g, "%s ± %s%s", cz_number_of(x->mean, 2).text,
                     cz_number_of(x->deviation, 2).text, mark);
}

static cz_status add_difference(cz_grid *g, const cz_interval *d) {
  if (d->n == 0) return cz_grid_add(g, "-  ");
  if (d->n == 1) return cz_grid_add(g, "%s  ", cz_number_signed(d->mean).text);
  return cz_grid_add(g, "%s ± %s  ", cz_number_signed(d->mean).text, cz_number_of(d->half, 2).text);
}

typedef enum line { MEANS, OVER_CONTROL, PAPER } line;

static cz_status add_at(cz_grid *g, const cz_comparison *t, size_t column, size_t row, line what) {
  const cz_cell *c = cz_compare_at(t, column, row);
  if (what == MEANS) return add_mean(g, c);
  if (what == OVER_CONTROL) return add_difference(g, &c->over_control);
  return cz_grid_add(g, "%s  ", cz_number_of(c->paper, 2).text);
}

/* Ends a line with LAST, below the paper's where that has numbers. */
static cz_status end_line(cz_grid *g, const cz_results *r, size_t column, const char *last) {
  return cz_compare_has_paper(r, column) ? cz_grid_add(g, "%s", last) : CZ_OK;
}

/* A line of one row of the file: its name or what the line has, the values, LAST. */
static cz_status row_line(cz_grid *g, const cz_comparison *t, size_t column, size_t row, line what,
                          const char *last) {
  const cz_plan *p = &t->results->plan;
  if (what == MEANS) CZ_TRY(cz_grid_add(g, "%s", p->rows[row].listed));
  if (what == OVER_CONTROL) CZ_TRY(cz_grid_add(g, "  minus %s", p->rows[p->control].listed));
  if (what == PAPER) CZ_TRY(cz_grid_add(g, "  the paper's"));
  for (size_t k = 0; k < p->axis.n; k++) {
    const size_t at = p->rows[row].point == SIZE_MAX ? (k ? SIZE_MAX : row)
                                                     : cz_axis_row(p, p->rows[row].listed, k);
    CZ_TRY(at == SIZE_MAX ? cz_grid_add(g, "%s", "") : add_at(g, t, column, at, what));
  }
  return end_line(g, t->results, column, last);
}

/* Means of one row of the file, below them its differences to the control, and what the paper has
 * where that is by value. */
static cz_status row_lines(cz_grid *g, const cz_comparison *t, size_t column, size_t row) {
  const cz_results *r = t->results;
  const bool by_value = cz_axis_paper_by_value(r, column, row);
  const double paper = r->paper[column * r->plan.n_rows + row];
  CZ_TRY(row_line(g, t, column, row, MEANS, by_value ? "" : cz_number_of(paper, 2).text));
  if (cz_plan_control_of(&r->plan, row) != SIZE_MAX)
    CZ_TRY(row_line(g, t, column, row, OVER_CONTROL, ""));
  return by_value ? row_line(g, t, column, row, PAPER, "") : CZ_OK;
}

/* Programs that learned from the rows' own texts, a line each. */
static cz_status program_lines(cz_grid *g, const cz_results *r, size_t column) {
  const char *kind;
  for (size_t i = 0; (kind = cz_axis_program_kind(r, column, i)); i++) {
    CZ_TRY(cz_grid_add(g, "%s", kind));
    for (size_t k = 0; k < r->plan.axis.n; k++) {
      cz_buf text = {0};
      cz_status st = cz_axis_program(&text, r, column, kind, k);
      if (st == CZ_OK) st = cz_grid_add(g, "%s  ", text.data);
      cz_buf_free(&text);
      CZ_TRY(st);
    }
    CZ_TRY(end_line(g, r, column, ""));
  }
  return CZ_OK;
}

static cz_status order_line(cz_grid *g, const cz_comparison *t, size_t column) {
  const cz_plan *p = &t->results->plan;
  if (!p->columns[column].paper || !cz_compare_has_paper(t->results, column)) return CZ_OK;
  CZ_TRY(cz_grid_add(g, "Kendall with the paper"));
  for (size_t k = 0; k < p->axis.n; k++) {
    cz_agreement a;
    CZ_TRY(cz_compare_agreement(&a, t, column, k));
    CZ_TRY(cz_grid_add(g, "%s  ", cz_number_of(a.kendall, 2).text));
  }
  return end_line(g, t->results, column, "");
}

/* The table's name; of an axis that sets one key that one, of several the file has them. */
static cz_status add_title(cz_buf *out, const cz_plan *p, size_t column) {
  const bool one = p->axis.n_keys < 2;
  return cz_buf_addf(out, "%s by %s%s%s%s\n", p->columns[column].name, p->axis.name,
                     one ? " (" : "", one ? p->axis.set : "", one ? ")" : "");
}

static cz_status print_column(cz_buf *out, const cz_comparison *t, size_t column, bool colours) {
  const cz_plan *p = &t->results->plan;
  cz_grid g = {.columns = p->axis.n + 1 + cz_compare_has_paper(t->results, column)};
  cz_status st;
  if (!cz_axis_has_table(t, column)) return CZ_OK;
  CZ_GO(st, add_title(out, p, column), done);
  CZ_GO(st, cz_grid_add(&g, "row"), done);
  for (size_t k = 0; k < p->axis.n; k++)
    CZ_GO(st, cz_grid_add(&g, "%s  ", p->axis.values[k]), done);
  CZ_GO(st, end_line(&g, t->results, column, "the paper's"), done);
  for (size_t row = 0; row < p->n_rows; row++)
    if (cz_axis_first(p, row) && cz_axis_has_line(t, column, row))
      CZ_GO(st, row_lines(&g, t, column, row), done);
  CZ_GO(st, program_lines(&g, t->results, column), done);
  CZ_GO(st, order_line(&g, t, column), done);
  CZ_GO(st, cz_grid_print(out, &g, 1, colours), done);
  if (t->control_tests)
    CZ_GO(st,
          cz_buf_addf(out,
                      "  + beats %s: at most 5 %% for the whole table, corrected for its %zu "
                      "comparison%s with it (Holm)\n",
                      p->rows[p->control].listed, t->control_tests,
                      t->control_tests == 1 ? "" : "s"),
          done);
  st = cz_buf_addf(out, "\n");
done:
  cz_grid_free(&g);
  return st;
}

/* What a value took in the stage of the axis. */
static double took(const cz_row_point *at, int what) {
  return what == 0 ? 1e-6 * at->tokens : what == 1 ? at->seconds : at->loss;
}

/* Whether some value has a loss: one stage trains at it, and says what it ended with. */
static bool has_loss(const cz_results *r) {
  for (size_t row = 0; row < r->plan.n_rows; row++)
    if (isfinite(r->points[row].loss)) return true;
  return false;
}

/* What the numbers are of: of a budget up to each value, else of a row's stages together at it. */
static cz_status add_costs_title(cz_buf *out, const cz_plan *p) {
  if (p->axis.steps)
    return cz_buf_addf(out, "%s up to each %s, mean over seeds\n", p->axis.stages, p->axis.name);
  return cz_buf_addf(out,
                     "What a row took at each %s, in the stages that the axis sets, mean over "
                     "seeds\n",
                     p->axis.name);
}

static cz_status print_costs(cz_buf *out, const cz_comparison *t, bool colours) {
  static const char *const names[] = {"million tokens", "seconds", "loss"};
  static const int digits[] = {3, 1, 2};
  const cz_plan *p = &t->results->plan;
  const int lines = 2 + has_loss(t->results);
  cz_grid g = {.columns = p->axis.n + 2};
  cz_status st;
  CZ_GO(st, add_costs_title(out, p), done);
  CZ_GO(st, cz_grid_add(&g, "row"), done);
  CZ_GO(st, cz_grid_add(&g, "what"), done);
  for (size_t k = 0; k < p->axis.n; k++) CZ_GO(st, cz_grid_add(&g, "%s", p->axis.values[k]), done);
  for (size_t row = 0; row < p->n_rows; row++) {
    if (!cz_axis_first(p, row) || p->rows[row].point == SIZE_MAX) continue;
    for (int what = 0; what < lines; what++) {
      CZ_GO(st, cz_grid_add(&g, "%s", what ? "" : p->rows[row].listed), done);
      CZ_GO(st, cz_grid_add(&g, "%s", names[what]), done);
      for (size_t k = 0; k < p->axis.n; k++) {
        const size_t at = cz_axis_row(p, p->rows[row].listed, k);
        const double x = at == SIZE_MAX ? NAN : took(&t->results->points[at], what);
        CZ_GO(st, cz_grid_add(&g, "%s", cz_number_of(x, digits[what]).text), done);
      }
    }
  }
  st = cz_grid_print(out, &g, 3, colours);
done:
  cz_grid_free(&g);
  return st;
}

/** Appends the table over the values of the axis as text; nothing without an axis. CZ_EUSAGE when
 * it is too wide. */
cz_status cz_axis_text(cz_buf *out, const cz_comparison *t, bool colours) {
  const cz_plan *p = &t->results->plan;
  if (!p->axis.node) return CZ_OK;
  if (p->axis.n > 28)
    return CZ_FAIL(CZ_EUSAGE, "%zu values of %s are more than a page holds; use --csv or --json",
                   p->axis.n, p->axis.name);
  for (size_t c = 0; c < p->n_columns; c++) CZ_TRY(print_column(out, t, c, colours));
  CZ_TRY(print_costs(out, t, colours));
  return cz_buf_addf(out, "\n");
}

/* JSON. */

static json_t *value_or_null(const cz_plan *p, size_t point) {
  return point == SIZE_MAX ? json_null() : json_string(p->axis.values[point]);
}

/** What a value of the axis took under ROW, for JSON; null where there is none. */
json_t *cz_axis_point_json(const cz_results *r, size_t row) {
  const cz_row_point *at = &r->points[row];
  if (!r->plan.axis.node || r->plan.rows[row].point == SIZE_MAX) return json_null();
  return json_pack("{s:s, s:o, s:o, s:o, s:o}", "row", r->plan.rows[row].listed, "value",
                   value_or_null(&r->plan, r->plan.rows[row].point), "tokens",
                   cz_json_real(at->tokens), "seconds", cz_json_real(at->seconds), "loss",
                   cz_json_real(at->loss));
}

static cz_status column_json(json_t *list, const cz_comparison *t, size_t column) {
  const cz_plan *p = &t->results->plan;
  json_t *begins = json_object(), *kendall = json_object();
  size_t from, times, known;
  bool clear;
  json_t *o = json_pack("{s:s, s:o, s:o}", "column", p->columns[column].name, "begins", begins,
                        "kendall", kendall);
  if (!o || json_array_append_new(list, o)) return CZ_FAIL(CZ_ENOMEM, "no memory for the report");
  for (size_t row = 0; row < p->control && p->control < p->n_rows; row++) {
    if (!cz_axis_first(p, row)) continue;
    from = cz_compare_begins(t, column, p->rows[row].listed, &times, &known);
    json_object_set_new(begins, p->rows[row].listed, value_or_null(p, from));
  }
  for (size_t k = 0; k < p->axis.n; k++) {
    cz_agreement a;
    CZ_TRY(cz_compare_agreement(&a, t, column, k));
    json_object_set_new(kendall, p->axis.values[k], cz_json_real(a.kendall));
  }
  CZ_TRY(cz_compare_order_begins(&from, &clear, t, column));
  json_object_set_new(o, "paper_order_from", value_or_null(p, from));
  json_object_set_new(o, "paper_order_beyond_noise", json_boolean(clear));
  return CZ_OK;
}

/** Adds to ROOT the key `axis`: its name, key and values; of each column from which value on a row
 * beats the control, and from which on the order is the paper's. Nothing without an axis. */
cz_status cz_axis_json(json_t *root, const cz_comparison *t) {
  const cz_plan *p = &t->results->plan;
  json_t *values = json_array(), *columns = json_array();
  if (!p->axis.node) return json_decref(values), json_decref(columns), CZ_OK;
  for (size_t k = 0; k < p->axis.n; k++)
    json_array_append_new(values, json_string(p->axis.values[k]));
  if (json_object_set_new(root, "axis",
                          json_pack("{s:s, s:s, s:o, s:o}", "name", p->axis.name, "set",
                                    p->axis.set, "values", values, "columns", columns)))
    return CZ_FAIL(CZ_ENOMEM, "no memory for the report");
  for (size_t c = 0; c < p->n_columns; c++) CZ_TRY(column_json(columns, t, c));
  return CZ_OK;
}
