/* The report for programs: JSON, and CSV with one line for each row and column of the
 * table. */
#include "experiment/report/report.h"
#include "experiment/report/compare.h"
#include "experiment/report/table.h"

#include <math.h>
#include <string.h>

static cz_status add_quoted(cz_buf *out, const char *text) {
  if (!text) return CZ_OK;
  if (!strpbrk(text, ",\"\n\r")) return cz_buf_addf(out, "%s", text);
  CZ_TRY(cz_buf_addf(out, "\""));
  for (; *text; text++) CZ_TRY(cz_buf_addf(out, "%s%c", *text == '"' ? "\"" : "", *text));
  return cz_buf_addf(out, "\"");
}

/* A comma and the number; nothing after the comma when there is none. */
static cz_status add_real(cz_buf *out, double value) {
  return isnan(value) ? cz_buf_addf(out, ",") : cz_buf_addf(out, ",%.10g", value);
}

static const char *beats_text(cz_verdict v) {
  return v == CZ_VERDICT_NONE ? "" : v == CZ_VERDICT_BEATS ? "yes" : "no";
}

static cz_status csv_line(cz_buf *out, const cz_results *r, size_t column, size_t row) {
  const cz_plan *p = &r->plan;
  const double *values = &r->values[(column * p->n_rows + row) * p->n_seeds];
  cz_cell c;
  CZ_TRY(cz_compare_cell(&c, r, column, row));
  CZ_TRY(add_quoted(out, p->rows[row].name));
  CZ_TRY(cz_buf_addf(out, ","));
  CZ_TRY(add_quoted(out, p->columns[column].name));
  CZ_TRY(cz_buf_addf(out, ","));
  CZ_TRY(add_quoted(out, p->columns[column].unit));
  CZ_TRY(cz_buf_addf(out, ",%zu", c.ours.n));
  const double numbers[] = {c.ours.mean, c.ours.deviation, c.ours.half,
                            c.difference.n ? c.difference.mean : NAN,
                            c.difference.n ? c.difference.half : NAN};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
    CZ_TRY(add_real(out, c.ours.n ? numbers[i] : NAN));
  CZ_TRY(cz_buf_addf(out, ",%s,%s",
                     c.difference.n < 2 ? ""
                     : c.differs        ? "yes"
                                        : "no",
                     r->baseline_kind[column] ? r->baseline_kind[column] : ""));
  CZ_TRY(add_real(out, r->baseline[column]));
  CZ_TRY(cz_buf_addf(out, ",%s", beats_text(c.verdict)));
  CZ_TRY(add_real(out, c.paper));
  for (size_t s = 0; s < p->n_seeds; s++) CZ_TRY(add_real(out, values[s]));
  return cz_buf_addf(out, "\n");
}

/** Appends the report as CSV: a header, then one line for each row and column; empty
 * fields are missing values. */
cz_status cz_report_csv(cz_buf *out, const cz_results *r) {
  const cz_plan *p = &r->plan;
  CZ_TRY(cz_buf_addf(out, "row,column,unit,seeds,mean,deviation,half_interval,difference,"
                          "difference_half_interval,excludes_zero,baseline_kind,baseline,"
                          "beats_baseline,paper"));
  for (size_t s = 0; s < p->n_seeds; s++)
    CZ_TRY(cz_buf_addf(out, ",seed_%lld", (long long)p->seeds[s]));
  CZ_TRY(cz_buf_addf(out, "\n"));
  for (size_t c = 0; c < p->n_columns; c++)
    for (size_t row = 0; row < p->n_rows; row++) CZ_TRY(csv_line(out, r, c, row));
  return CZ_OK;
}

static json_t *real_or_null(double v) { return isfinite(v) ? json_real(v) : json_null(); }

static json_t *text_or_null(const char *text) { return text ? json_string(text) : json_null(); }

static json_t *interval_json(const cz_interval *x) {
  if (x->n == 0) return json_null();
  return json_pack("{s:f, s:o, s:o, s:I}", "mean", x->mean, "deviation", real_or_null(x->deviation),
                   "half_interval", real_or_null(x->half), "seeds", (json_int_t)x->n);
}

static cz_status add_cell(json_t *cells, const cz_results *r, size_t column, size_t row) {
  const cz_plan *p = &r->plan;
  cz_cell c;
  CZ_TRY(cz_compare_cell(&c, r, column, row));
  json_t *values = json_array();
  for (size_t s = 0; s < p->n_seeds; s++)
    json_array_append_new(values,
                          real_or_null(r->values[(column * p->n_rows + row) * p->n_seeds + s]));
  json_t *cell = json_pack(
      "{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "row", p->rows[row].name, "column",
      p->columns[column].name, "values", values, "ours", interval_json(&c.ours), "difference",
      interval_json(&c.difference), "excludes_zero",
      c.difference.n > 1 ? json_boolean(c.differs) : json_null(), "beats_baseline",
      c.verdict == CZ_VERDICT_NONE ? json_null() : json_boolean(c.verdict == CZ_VERDICT_BEATS),
      "paper", real_or_null(c.paper));
  return json_array_append_new(cells, cell) ? CZ_FAIL(CZ_ENOMEM, "no memory for the report")
                                            : CZ_OK;
}

static cz_status columns_json(json_t *list, const cz_results *r) {
  for (size_t i = 0; i < r->plan.n_columns; i++) {
    const cz_column *c = &r->plan.columns[i];
    cz_agreement a;
    CZ_TRY(cz_compare_agreement(&a, r, i));
    json_t *rank = a.n < 2 ? json_null()
                           : json_pack("{s:o, s:o, s:I}", "spearman", real_or_null(a.spearman),
                                       "kendall", real_or_null(a.kendall), "rows", (json_int_t)a.n);
    json_t *column = json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "name", c->name, "unit",
                               text_or_null(c->unit), "note", text_or_null(c->note), "paper",
                               text_or_null(c->paper), "paper_noise", real_or_null(c->paper_noise),
                               "baseline", real_or_null(r->baseline[i]), "baseline_kind",
                               text_or_null(r->baseline_kind[i]), "rank_agreement", rank);
    if (json_array_append_new(list, column)) return CZ_FAIL(CZ_ENOMEM, "no memory for the report");
  }
  return CZ_OK;
}

static cz_status remarks_json(json_t *list, const cz_results *r) {
  cz_buf text = {0};
  cz_status st = cz_compare_remarks(&text, r);
  for (char *line = text.data, *end; st == CZ_OK && line && (end = strchr(line, '\n'));
       line = end + 1)
    json_array_append_new(list, json_stringn(line, (size_t)(end - line)));
  cz_buf_free(&text);
  return st;
}

static cz_status fill_json(json_t *root, const cz_results *r) {
  const cz_plan *p = &r->plan;
  json_t *columns = json_array(), *cells = json_array(), *costs = json_array(),
         *remarks = json_array();
  json_object_set_new(root, "columns", columns);
  json_object_set_new(root, "cells", cells);
  json_object_set_new(root, "costs", costs);
  json_object_set_new(root, "remarks", remarks);
  CZ_TRY(columns_json(columns, r));
  for (size_t c = 0; c < p->n_columns; c++)
    for (size_t row = 0; row < p->n_rows; row++) CZ_TRY(add_cell(cells, r, c, row));
  for (size_t row = 0; row < p->n_rows; row++)
    json_array_append_new(costs, json_pack("{s:s, s:f, s:f, s:f, s:I}", "row", p->rows[row].name,
                                           "steps", r->costs[row].steps, "tokens",
                                           r->costs[row].tokens, "seconds", r->costs[row].seconds,
                                           "seeds", (json_int_t)r->costs[row].seeds));
  return remarks_json(remarks, r);
}

/** Appends the report as one JSON object; missing values are null. */
cz_status cz_report_json(cz_buf *out, const cz_results *r) {
  const cz_plan *p = &r->plan;
  json_t *seeds = json_array();
  for (size_t s = 0; s < p->n_seeds; s++) json_array_append_new(seeds, json_integer(p->seeds[s]));
  json_t *root =
      json_pack("{s:o, s:o, s:o, s:o, s:I, s:I}", "title", text_or_null(p->title), "source",
                text_or_null(p->source), "baseline", text_or_null(p->baseline), "seeds", seeds,
                "stages_done", (json_int_t)r->done, "stages", (json_int_t)r->total);
  cz_status st = root ? fill_json(root, r) : CZ_FAIL(CZ_ENOMEM, "no memory for the report");
  if (st == CZ_OK) return cz_print_json(out, root);
  json_decref(root);
  return st;
}
