/* The report for programs: JSON, and CSV with one line for each row and column of the
 * table. */
#include "experiment/report/report.h"
#include "experiment/report/axis.h"
#include "experiment/report/compare.h"
#include "experiment/report/contrasts.h"
#include "experiment/report/few_shot.h"
#include "experiment/report/table.h"
#include "json/json.h"

#include <math.h>
#include <stdio.h>
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
  return isfinite(value) ? cz_buf_addf(out, ",%.10g", value) : cz_buf_addf(out, ",");
}

static bool no_verdict(cz_verdict v) { return v == CZ_VERDICT_NONE || v == CZ_VERDICT_UNKNOWN; }

static const char *beats_text(cz_verdict v) {
  return no_verdict(v) ? "" : v == CZ_VERDICT_BEATS ? "yes" : "no";
}

/* Mean, then the noise: `columns_of_interval` names the fields. */
static cz_status add_interval(cz_buf *out, const cz_interval *x, bool deviation) {
  const double all[] = {x->mean,        x->deviation,     x->seeds.error, x->examples.error,
                        x->total.error, x->total.freedom, x->half};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (deviation || i != 1) CZ_TRY(add_real(out, x->n ? all[i] : NAN));
  return CZ_OK;
}

/* Kind, score, our lead with half its interval, verdict. */
static cz_status add_baseline(cz_buf *out, const cz_results *r, size_t column, size_t row,
                              bool strongest, const cz_interval *lead, cz_verdict verdict) {
  CZ_TRY(add_quoted(out, cz_results_baseline_kind(r, column, row, strongest)));
  CZ_TRY(add_real(out, cz_results_baseline(r, column, row, strongest)));
  CZ_TRY(add_real(out, lead->n ? lead->mean : NAN));
  CZ_TRY(add_real(out, lead->n ? lead->half : NAN));
  return cz_buf_addf(out, ",%s", beats_text(verdict));
}

/* With a control: the difference to it, half its interval, corrected probability, verdict. With an
 * axis: the row of the file, its value, and what that took. */
static cz_status add_beside(cz_buf *out, const cz_comparison *t, size_t row, const cz_cell *c) {
  const cz_plan *p = &t->results->plan;
  const cz_interval *d = &c->over_control;
  if (p->control < p->n_rows) {
    CZ_TRY(add_real(out, d->n ? d->mean : NAN));
    CZ_TRY(add_real(out, d->n ? d->half : NAN));
    CZ_TRY(add_real(out, c->control_p));
    CZ_TRY(cz_buf_addf(out, ",%s", beats_text(c->control_verdict)));
  }
  if (!p->axis.node) return CZ_OK;
  const cz_row_point *at = &t->results->points[row];
  CZ_TRY(cz_buf_addf(out, ","));
  CZ_TRY(add_quoted(out, p->rows[row].listed));
  CZ_TRY(cz_buf_addf(out, ","));
  CZ_TRY(
      add_quoted(out, p->rows[row].point == SIZE_MAX ? NULL : p->axis.values[p->rows[row].point]));
  CZ_TRY(add_real(out, at->tokens));
  CZ_TRY(add_real(out, at->seconds));
  return add_real(out, at->loss);
}

/* Whether some row has labelled texts, so that its deviation is one of two. */
static bool draws_texts(const cz_plan *p) {
  for (size_t row = 0; row < p->n_rows; row++)
    if (cz_plan_row_draws(p, row) != CZ_SEEDS_PLAIN) return true;
  return false;
}

static cz_status csv_line(cz_buf *out, const cz_comparison *t, size_t column, size_t row) {
  const cz_results *r = t->results;
  const cz_plan *p = &r->plan;
  const double *values = &r->values[(column * p->n_rows + row) * p->n_seeds];
  const cz_cell *c = cz_compare_at(t, column, row);
  const cz_undefined *u = &r->undefined[column * p->n_rows + row];
  CZ_TRY(add_quoted(out, p->rows[row].name));
  CZ_TRY(cz_buf_addf(out, ","));
  CZ_TRY(add_quoted(out, p->columns[column].name));
  CZ_TRY(cz_buf_addf(out, ","));
  CZ_TRY(add_quoted(out, p->columns[column].unit));
  CZ_TRY(cz_buf_addf(out, ",%zu", c->ours.n));
  CZ_TRY(add_interval(out, &c->ours, true));
  CZ_TRY(add_interval(out, &c->difference, false));
  CZ_TRY(add_real(out, c->p));
  CZ_TRY(cz_buf_addf(out, ",%s,", isnan(c->p) ? "" : c->differs ? "yes" : "no"));
  CZ_TRY(add_baseline(out, r, column, row, false, &c->lead, c->verdict));
  CZ_TRY(cz_buf_addf(out, ","));
  CZ_TRY(add_baseline(out, r, column, row, true, &c->best_lead, c->best_verdict));
  CZ_TRY(add_real(out, c->paper));
  CZ_TRY(cz_buf_addf(out, ","));
  if (u->seeds) CZ_TRY(add_quoted(out, cz_compare_why(u)));
  CZ_TRY(add_beside(out, t, row, c));
  if (draws_texts(p)) CZ_TRY(cz_buf_addf(out, ",%s", cz_contrasts_over(cz_plan_row_draws(p, row))));
  for (size_t s = 0; s < p->n_seeds; s++) CZ_TRY(add_real(out, values[s]));
  return cz_buf_addf(out, "\n");
}

/* Under the same header: the two rows, and the fields of their difference. */
static cz_status contrast_line(cz_buf *out, const cz_comparison *t, size_t column, size_t i) {
  const cz_plan *p = &t->results->plan;
  const cz_pair *pair = &p->pairs[i];
  const cz_pair_cell *c = cz_contrasts_at(t, column, i);
  const double *values = &t->results->values[column * p->n_rows * p->n_seeds];
  char name[700];
  snprintf(name, sizeof name, "%.300s minus %.300s", p->rows[pair->row].name,
           p->rows[pair->other].name);
  CZ_TRY(add_quoted(out, name));
  CZ_TRY(cz_buf_addf(out, ","));
  CZ_TRY(add_quoted(out, p->columns[column].name));
  CZ_TRY(cz_buf_addf(out, ","));
  CZ_TRY(add_quoted(out, p->columns[column].unit));
  CZ_TRY(cz_buf_addf(out, ",%zu,,,,,,,", c->difference.n));
  CZ_TRY(add_interval(out, &c->difference, false));
  CZ_TRY(add_real(out, c->p));
  CZ_TRY(cz_buf_addf(out, ",%s,,,,,,,,,,,,", isnan(c->p) ? "" : c->p <= 0.05 ? "yes" : "no"));
  if (p->control < p->n_rows) CZ_TRY(cz_buf_addf(out, ",,,,"));
  if (p->axis.node) {
    CZ_TRY(cz_buf_addf(out, ",,"));
    CZ_TRY(add_quoted(out, pair->point == SIZE_MAX ? NULL : p->axis.values[pair->point]));
    CZ_TRY(cz_buf_addf(out, ",,,"));
  }
  if (draws_texts(p))
    CZ_TRY(cz_buf_addf(out, ",%s", cz_contrasts_over(cz_contrasts_draws(p, pair))));
  for (size_t s = 0; s < p->n_seeds; s++)
    CZ_TRY(
        add_real(out, values[pair->row * p->n_seeds + s] - values[pair->other * p->n_seeds + s]));
  return cz_buf_addf(out, "\n");
}

/** Appends the report as CSV: a header, then one line for each row and column, and behind them one
 * for each contrast, whose fields are those of a difference; empty fields are missing values. */
cz_status cz_report_csv(cz_buf *out, const cz_results *r) {
  const cz_plan *p = &r->plan;
  cz_comparison t;
  cz_status st;
  CZ_GO(st, cz_compare_open(&t, r), done);
  CZ_GO(st,
        cz_buf_addf(out, "row,column,unit,seeds,mean,deviation,seeds_error,examples_error,error,"
                         "freedom,half_interval,difference,difference_seeds_error,"
                         "difference_examples_error,difference_error,difference_freedom,"
                         "difference_half_interval,p_holm,differs,baseline_kind,baseline,"
                         "lead,lead_half_interval,beats_baseline,strongest_kind,strongest,"
                         "strongest_lead,strongest_lead_half_interval,beats_strongest,paper,"
                         "undefined"),
        done);
  if (p->control < p->n_rows)
    CZ_GO(st,
          cz_buf_addf(out, ",over_control,over_control_half_interval,over_control_p_holm,"
                           "beats_control"),
          done);
  if (p->axis.node)
    CZ_GO(st, cz_buf_addf(out, ",file_row,value,axis_tokens,axis_seconds,axis_loss"), done);
  if (draws_texts(p)) CZ_GO(st, cz_buf_addf(out, ",deviation_over"), done);
  for (size_t s = 0; s < p->n_seeds; s++)
    CZ_GO(st, cz_buf_addf(out, ",seed_%lld", (long long)p->seeds[s]), done);
  CZ_GO(st, cz_buf_addf(out, "\n"), done);
  for (size_t c = 0; c < p->n_columns; c++)
    for (size_t row = 0; row < p->n_rows; row++) CZ_GO(st, csv_line(out, &t, c, row), done);
  for (size_t c = 0; c < p->n_columns; c++)
    for (size_t i = 0; i < p->n_pairs; i++) CZ_GO(st, contrast_line(out, &t, c, i), done);
done:
  cz_compare_close(&t);
  return st;
}

static json_t *text_or_null(const char *text) { return text ? cz_json_string(text) : json_null(); }

static json_t *interval_json(const cz_interval *x) {
  if (x->n == 0) return json_null();
  return json_pack("{s:o, s:o, s:o, s:I, s:{s:o, s:o, s:o, s:o}}", "mean", cz_json_real(x->mean),
                   "deviation", cz_json_real(x->deviation), "half_interval", cz_json_real(x->half),
                   "seeds", (json_int_t)x->n, "error", "seeds", cz_json_real(x->seeds.error),
                   "examples", cz_json_real(x->examples.error), "total",
                   cz_json_real(x->total.error), "freedom", cz_json_real(x->total.freedom));
}

static json_t *beats_json(cz_verdict v) {
  return no_verdict(v) ? json_null() : json_boolean(v == CZ_VERDICT_BEATS);
}

static json_t *undefined_json(const cz_undefined *u) {
  if (!u->seeds) return json_null();
  return json_pack("{s:I, s:o}", "seeds", (json_int_t)u->seeds, "why",
                   cz_json_string(cz_compare_why(u)));
}

/* What only a table with a control has. */
static void add_beside_json(json_t *cell, const cz_comparison *t, const cz_cell *c) {
  const cz_plan *p = &t->results->plan;
  if (p->control < p->n_rows) {
    json_object_set_new(cell, "over_control", interval_json(&c->over_control));
    json_object_set_new(cell, "over_control_p_holm", cz_json_real(c->control_p));
    json_object_set_new(cell, "beats_control", beats_json(c->control_verdict));
  }
}

static json_t *baselines_json(const cz_baselines *b) {
  json_t *all = json_object();
  for (size_t i = 0; i < b->n; i++)
    json_object_set_new(all, b->kind[i] ? b->kind[i] : "simple", cz_json_real(b->value[i]));
  return all;
}

/* The programs beside ROW with their scores, where other rows have others. */
static void add_programs_json(json_t *cell, const cz_results *r, size_t column, size_t row) {
  if (r->shared[column]) return;
  json_object_set_new(cell, "baselines", baselines_json(cz_results_baselines(r, column, row)));
}

static json_t *cell_json(const cz_comparison *t, size_t column, size_t row) {
  const cz_results *r = t->results;
  const cz_cell *c = cz_compare_at(t, column, row);
  json_t *cell = json_pack(
      "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "ours", interval_json(&c->ours),
      "difference", interval_json(&c->difference), "lead", interval_json(&c->lead), "p_holm",
      cz_json_real(c->p), "differs", isnan(c->p) ? json_null() : json_boolean(c->differs),
      "beats_baseline", beats_json(c->verdict), "strongest_kind",
      text_or_null(cz_results_baseline_kind(r, column, row, true)), "strongest_lead",
      interval_json(&c->best_lead), "beats_strongest", beats_json(c->best_verdict), "undefined",
      undefined_json(&r->undefined[column * r->plan.n_rows + row]), "paper",
      cz_json_real(c->paper));
  add_programs_json(cell, r, column, row);
  add_beside_json(cell, t, c);
  return cell;
}

static cz_status add_cell(json_t *cells, const cz_comparison *t, size_t column, size_t row) {
  const cz_plan *p = &t->results->plan;
  const double *at = &t->results->values[(column * p->n_rows + row) * p->n_seeds];
  json_t *values = json_array(), *cell = cell_json(t, column, row);
  for (size_t s = 0; s < p->n_seeds; s++) json_array_append_new(values, cz_json_real(at[s]));
  json_object_set_new(cell, "row", json_string(p->rows[row].name));
  if (cz_plan_row_draws(p, row) != CZ_SEEDS_PLAIN)
    json_object_set_new(cell, "deviation_over",
                        json_string(cz_contrasts_over(cz_plan_row_draws(p, row))));
  if (p->axis.node) json_object_set_new(cell, "point", cz_axis_point_json(t->results, row));
  json_object_set_new(cell, "column", json_string(p->columns[column].name));
  json_object_set_new(cell, "values", values);
  return json_array_append_new(cells, cell) ? CZ_FAIL(CZ_ENOMEM, "no memory for the report")
                                            : CZ_OK;
}

static cz_status columns_json(json_t *list, const cz_comparison *t) {
  const cz_results *r = t->results;
  for (size_t i = 0; i < r->plan.n_columns; i++) {
    const cz_column *c = &r->plan.columns[i];
    cz_agreement a;
    CZ_TRY(cz_compare_agreement(&a, t, i, SIZE_MAX));
    json_t *rank = a.n < 2 ? json_null()
                           : json_pack("{s:o, s:o, s:I}", "spearman", cz_json_real(a.spearman),
                                       "kendall", cz_json_real(a.kendall), "rows", (json_int_t)a.n);
    json_t *column =
        json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:o}", "name", c->name,
                  "unit", text_or_null(c->unit), "note", text_or_null(c->note), "paper",
                  text_or_null(c->paper), "paper_noise", cz_json_real(c->paper_noise), "baseline",
                  cz_json_real(cz_results_baseline(r, i, SIZE_MAX, false)), "baseline_kind",
                  text_or_null(cz_results_baseline_kind(r, i, SIZE_MAX, false)), "strongest",
                  cz_json_real(cz_results_baseline(r, i, SIZE_MAX, true)), "strongest_kind",
                  text_or_null(cz_results_baseline_kind(r, i, SIZE_MAX, true)), "baselines",
                  baselines_json(cz_results_baselines(r, i, SIZE_MAX)), "interval_covers_examples",
                  cz_compare_knows_examples(t, i), "rank_agreement", rank);
    if (json_array_append_new(list, column)) return CZ_FAIL(CZ_ENOMEM, "no memory for the report");
  }
  return CZ_OK;
}

static cz_status remarks_json(json_t *list, const cz_comparison *t) {
  cz_buf text = {0};
  cz_status st = cz_compare_first(&text, t);
  if (st == CZ_OK) st = cz_compare_remarks(&text, t);
  for (char *line = text.data, *end; st == CZ_OK && line && (end = strchr(line, '\n'));
       line = end + 1)
    json_array_append_new(list, json_stringn(line, (size_t)(end - line)));
  cz_buf_free(&text);
  return st;
}

static json_t *cost_json(const cz_results *r, size_t row) {
  const cz_cost *c = &r->costs[row];
  const cz_row_text *t = &r->texts[row];
  return json_pack("{s:s, s:f, s:f, s:f, s:f, s:I, s:o, s:o, s:o}", "row", r->plan.rows[row].name,
                   "steps", c->steps, "tokens", c->tokens, "scored_tokens", c->scored, "seconds",
                   c->seconds, "seeds", (json_int_t)c->seeds, "text_tokens",
                   cz_json_real(c->seeds ? t->tokens : NAN), "mean_inputs",
                   cz_json_real(c->seeds ? t->inputs : NAN), "mean_targets",
                   cz_json_real(c->seeds ? t->targets : NAN));
}

static cz_status fill_json(json_t *root, const cz_comparison *t) {
  const cz_plan *p = &t->results->plan;
  json_t *columns = json_array(), *cells = json_array(), *costs = json_array(),
         *remarks = json_array();
  json_object_set_new(root, "comparisons", json_integer((json_int_t)t->tests));
  json_object_set_new(root, "columns", columns);
  json_object_set_new(root, "cells", cells);
  json_object_set_new(root, "costs", costs);
  json_object_set_new(root, "remarks", remarks);
  if (p->control < p->n_rows) {
    json_object_set_new(root, "control", json_string(p->rows[p->control].listed));
    json_object_set_new(root, "control_comparisons", json_integer((json_int_t)t->control_tests));
  }
  CZ_TRY(cz_axis_json(root, t));
  CZ_TRY(cz_contrasts_json(root, t, interval_json));
  CZ_TRY(cz_few_shot_json(root, t->results));
  CZ_TRY(columns_json(columns, t));
  for (size_t c = 0; c < p->n_columns; c++)
    for (size_t row = 0; row < p->n_rows; row++) CZ_TRY(add_cell(cells, t, c, row));
  for (size_t row = 0; row < p->n_rows; row++)
    if (json_array_append_new(costs, cost_json(t->results, row)))
      return CZ_FAIL(CZ_ENOMEM, "no memory for the report");
  return remarks_json(remarks, t);
}

/** Appends the report as one JSON object; missing values are null. */
cz_status cz_report_json(cz_buf *out, const cz_results *r) {
  const cz_plan *p = &r->plan;
  cz_comparison t;
  json_t *root = NULL, *seeds = json_array();
  for (size_t s = 0; s < p->n_seeds; s++) json_array_append_new(seeds, json_integer(p->seeds[s]));
  root = json_pack("{s:o, s:o, s:o, s:o, s:I, s:I}", "title", text_or_null(p->title), "source",
                   text_or_null(p->source), "baseline", text_or_null(p->baseline), "seeds", seeds,
                   "stages_done", (json_int_t)r->done, "stages", (json_int_t)r->total);
  cz_status st = cz_compare_open(&t, r);
  if (st == CZ_OK) st = root ? fill_json(root, &t) : CZ_FAIL(CZ_ENOMEM, "no memory for the report");
  cz_compare_close(&t);
  if (st == CZ_OK) return cz_print_json(out, root);
  json_decref(root);
  return st;
}

/** Adds to INTO, an object {ROW: {...}}, the table: INTO.ROW.table.COLUMN is the row's mean
 * with its noise, its difference to the baseline row and its lead over the simple one. */
cz_status cz_report_rows(json_t *into, const cz_results *r) {
  const cz_plan *p = &r->plan;
  cz_comparison t;
  cz_status st = cz_compare_open(&t, r);
  for (size_t row = 0; row < p->n_rows && st == CZ_OK; row++) {
    json_t *table = json_object();
    for (size_t c = 0; c < p->n_columns; c++)
      json_object_set_new(table, p->columns[c].name, cell_json(&t, c, row));
    if (json_object_set_new(json_object_get(into, p->rows[row].name), "table", table))
      st = CZ_FAIL(CZ_ENOMEM, "no memory for the table");
  }
  cz_compare_close(&t);
  return st;
}
