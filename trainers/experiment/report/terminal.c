/* The report on a terminal: one table that shows all, one a column with the noise, costs,
 * and the same in words. */
#include "experiment/report/report.h"
#include "experiment/report/axis.h"
#include "experiment/report/compare.h"
#include "experiment/report/contrasts.h"
#include "experiment/report/few_shot.h"
#include "experiment/report/table.h"

#include <math.h>
#include <string.h>

static cz_status add_number(cz_grid *g, double value, int digits) {
  return cz_grid_add(g, "%s", cz_number_of(value, digits).text);
}

static cz_status add_mean(cz_grid *g, const cz_interval *x, const cz_undefined *u) {
  if (x->n == 0) return cz_grid_add(g, "%s", u->seeds ? "not defined" : "-");
  if (x->n == 1) return add_number(g, x->mean, 2);
  return cz_grid_add(g, "%s ± %s", cz_number_of(x->mean, 2).text,
                     cz_number_of(x->deviation, 2).text);
}

/* The two parts of a standard error: from seeds, from examples. */
static cz_status add_errors(cz_grid *g, const cz_interval *x) {
  if (x->n == 0) return cz_grid_add(g, "-");
  return cz_grid_add(g, "%s, %s", cz_number_of(x->seeds.error, 2).text,
                     cz_number_of(x->examples.error, 2).text);
}

/* The strongest baseline and what it is. */
static cz_status add_strongest(cz_grid *g, const cz_results *r, size_t column) {
  const char *kind = cz_results_baseline_kind(r, column, SIZE_MAX, true);
  double score = cz_results_baseline(r, column, SIZE_MAX, true);
  if (!r->shared[column]) return cz_grid_add(g, "each row's own");
  if (isnan(score)) return cz_grid_add(g, "-");
  return cz_grid_add(g, "%s %s", kind ? kind : "simple", cz_number_of(score, 2).text);
}

/* Whether the paper has something to put below a row; the table over an axis has it already. */
static bool has_paper(const cz_results *r, size_t row) {
  const cz_plan *p = &r->plan;
  bool has = false;
  for (size_t c = 0; c < p->n_columns; c++) has |= !isnan(r->paper[c * p->n_rows + row]);
  return has && !p->axis.node;
}

/* Rows x columns: our mean and deviation, and the paper's value below the same name. */
static cz_status summary(cz_grid *g, const cz_comparison *t) {
  const cz_results *r = t->results;
  const cz_plan *p = &r->plan;
  CZ_TRY(cz_grid_add(g, "row"));
  for (size_t c = 0; c < p->n_columns; c++)
    CZ_TRY(cz_grid_add(g, "%s%s%s%s", p->columns[c].name, p->columns[c].unit ? " (" : "",
                       p->columns[c].unit ? p->columns[c].unit : "",
                       p->columns[c].unit ? ")" : ""));
  for (size_t row = 0; row < p->n_rows; row++) {
    CZ_TRY(cz_grid_add(g, "%s", p->rows[row].name));
    for (size_t c = 0; c < p->n_columns; c++)
      CZ_TRY(add_mean(g, &cz_compare_at(t, c, row)->ours, &r->undefined[c * p->n_rows + row]));
    if (!has_paper(r, row)) continue;
    CZ_TRY(cz_grid_add(g, "  paper"));
    for (size_t c = 0; c < p->n_columns; c++)
      CZ_TRY(add_number(g, r->paper[c * p->n_rows + row], 2));
  }
  CZ_TRY(cz_grid_add(g, "simple baseline"));
  for (size_t c = 0; c < p->n_columns; c++) CZ_TRY(add_strongest(g, r, c));
  return CZ_OK;
}

static const char *verdict_text(cz_verdict v) {
  switch (v) {
  case CZ_VERDICT_BEATS: return "yes";
  case CZ_VERDICT_ABOVE: return "above";
  case CZ_VERDICT_FAILS: return "no";
  case CZ_VERDICT_UNKNOWN: return "examples unknown";
  case CZ_VERDICT_NONE: break;
  }
  return "-";
}

/* The difference to the control with its interval, and the verdict. */
static cz_status add_control(cz_grid *g, const cz_cell *c) {
  const cz_interval *d = &c->over_control;
  if (d->n == 0) return cz_grid_add(g, "-");
  if (d->n == 1)
    return cz_grid_add(g, "%s %s", cz_number_signed(d->mean).text,
                       verdict_text(c->control_verdict));
  return cz_grid_add(g, "%s ± %s %s", cz_number_signed(d->mean).text, cz_number_of(d->half, 2).text,
                     verdict_text(c->control_verdict));
}

static bool has_control(const cz_plan *p) { return p->control < p->n_rows; }

static cz_status column_header(cz_grid *g, const cz_results *r, size_t column) {
  const char *kind = cz_compare_kind(r, column, true);
  CZ_TRY(cz_grid_add(g, "row"));
  CZ_TRY(cz_grid_add(g, "seeds"));
  CZ_TRY(cz_grid_add(g, "mean ± deviation"));
  CZ_TRY(cz_grid_add(g, "error: seeds, examples"));
  CZ_TRY(cz_grid_add(g, "95 %% interval"));
  CZ_TRY(cz_grid_add(g, "minus %s, 95 %%", r->plan.baseline ? r->plan.baseline : "-"));
  CZ_TRY(cz_grid_add(g, "error: seeds, examples"));
  if (has_control(&r->plan))
    CZ_TRY(cz_grid_add(g, "minus %s, 95 %%, beats it", r->plan.rows[r->plan.control].listed));
  CZ_TRY(cz_grid_add(g, "beats %s", !kind ? "simple" : strcmp(kind, "each") ? kind : "its own"));
  return cz_grid_add(g, "the paper's");
}

/* How many seeds, and where the row has labelled texts what they draw: which of the two deviations
 * stands beside the mean. */
static cz_status add_seeds(cz_grid *g, const cz_plan *p, size_t row, size_t n) {
  const cz_seeds_draw d = cz_plan_row_draws(p, row);
  if (d == CZ_SEEDS_PLAIN) return cz_grid_add(g, "%zu", n);
  return cz_grid_add(g, "%zu %s", n, cz_contrasts_counted(d, n));
}

static cz_status column_rows(cz_grid *g, const cz_comparison *t, size_t column) {
  const cz_plan *p = &t->results->plan;
  CZ_TRY(column_header(g, t->results, column));
  for (size_t row = 0; row < p->n_rows; row++) {
    const cz_cell *c = cz_compare_at(t, column, row);
    const cz_interval *x = &c->ours, *d = &c->difference;
    double ends[2];
    if (!cz_compare_shows(t, column, row)) continue;
    CZ_TRY(cz_grid_add(g, "%s", p->rows[row].name));
    CZ_TRY(add_seeds(g, p, row, x->n));
    CZ_TRY(add_mean(g, x, &t->results->undefined[column * p->n_rows + row]));
    CZ_TRY(add_errors(g, x));
    cz_compare_ends(ends, t, column, row);
    if (x->n > 1)
      CZ_TRY(
          cz_grid_add(g, "%s .. %s", cz_number_of(ends[0], 2).text, cz_number_of(ends[1], 2).text));
    else
      CZ_TRY(cz_grid_add(g, "-"));
    if (d->n > 1)
      CZ_TRY(cz_grid_add(g, "%s ± %s%s", cz_number_signed(d->mean).text,
                         cz_number_of(d->half, 2).text, c->differs ? " *" : "  "));
    else
      CZ_TRY(cz_grid_add(g, "%s  ", d->n ? cz_number_signed(d->mean).text : "-"));
    CZ_TRY(add_errors(g, d));
    if (has_control(p)) CZ_TRY(add_control(g, c));
    CZ_TRY(cz_grid_add(g, "%s", verdict_text(c->best_verdict)));
    CZ_TRY(add_number(g, c->paper, 2));
  }
  return CZ_OK;
}

static cz_status print_baselines(cz_buf *out, const cz_results *r, size_t column) {
  const cz_baselines *b = cz_results_baselines(r, column, SIZE_MAX);
  if (!r->shared[column]) return cz_buf_addf(out, "; simple baseline: each row's own, below");
  if (b->n) CZ_TRY(cz_buf_addf(out, "; simple baseline: "));
  return cz_compare_programs(out, b);
}

/* Below a column's table: what the programs get that learned from a row's own texts; rows with the
 * same are named together. */
static cz_status print_own_baselines(cz_buf *out, const cz_results *r, size_t column) {
  const cz_plan *p = &r->plan;
  for (size_t row = 0; row < p->n_rows && !r->shared[column]; row++) {
    const cz_baselines *b = cz_results_baselines(r, column, row);
    size_t before = 0;
    while (before < row && !cz_compare_same_programs(cz_results_baselines(r, column, before), b))
      before++;
    if (!b->n || before < row) continue;
    CZ_TRY(cz_buf_addf(out, "  simple baseline of %s", p->rows[row].name));
    for (size_t k = row + 1; k < p->n_rows; k++)
      if (cz_compare_same_programs(cz_results_baselines(r, column, k), b))
        CZ_TRY(cz_buf_addf(out, ", %s", p->rows[k].name));
    CZ_TRY(cz_buf_addf(out, ": "));
    CZ_TRY(cz_compare_programs(out, b));
    CZ_TRY(cz_buf_addf(out, "\n"));
  }
  return CZ_OK;
}

/* Below a column's table: why seeds are missing from it. */
static cz_status print_undefined(cz_buf *out, const cz_results *r, size_t column) {
  const cz_plan *p = &r->plan;
  for (size_t row = 0; row < p->n_rows; row++) {
    const cz_undefined *u = &r->undefined[column * p->n_rows + row];
    if (u->seeds)
      CZ_TRY(cz_buf_addf(out, "  %s: not defined under %zu of %zu seeds: %s\n", p->rows[row].name,
                         u->seeds, p->rows[row].n_seeds, cz_compare_why(u)));
  }
  return CZ_OK;
}

static cz_status print_column(cz_buf *out, const cz_comparison *t, size_t column, bool colours) {
  const cz_results *r = t->results;
  const cz_column *c = &r->plan.columns[column];
  cz_grid g = {.columns = 9 + has_control(&r->plan)};
  cz_status st = CZ_OK;
  CZ_GO(st,
        cz_buf_addf(out, "\n%s%s%s%s%s", c->name, c->note ? ": " : "", c->note ? c->note : "",
                    c->paper ? "; the paper's " : " (no column of the paper)",
                    c->paper ? c->paper : ""),
        done);
  CZ_GO(st, print_baselines(out, r, column), done);
  if (!isnan(c->paper_noise))
    CZ_GO(st, cz_buf_addf(out, "; the paper's deviation over its own seeds %.3f", c->paper_noise),
          done);
  CZ_GO(st, cz_buf_addf(out, "; intervals cover %s\n", cz_compare_covered(t, column)), done);
  CZ_GO(st, column_rows(&g, t, column), done);
  CZ_GO(st, cz_grid_print(out, &g, 1, colours), done);
  CZ_GO(st, print_own_baselines(out, r, column), done);
  st = print_undefined(out, t->results, column);
done:
  cz_grid_free(&g);
  return st;
}

static cz_status print_costs(cz_buf *out, const cz_results *r, bool colours) {
  const bool scores = cz_results_scores_texts(r);
  cz_grid g = {.columns = scores ? 9 : 8};
  const char *const header[] = {"cost of one seed",
                                "training steps",
                                "million tokens read and written",
                                "million tokens of text",
                                "mean inputs",
                                "mean targets",
                                "seconds",
                                "seeds finished",
                                "million tokens scored"};
  cz_status st = CZ_OK;
  for (size_t i = 0; i < g.columns; i++) CZ_GO(st, cz_grid_add(&g, "%s", header[i]), done);
  for (size_t row = 0; row < r->plan.n_rows; row++) {
    const cz_cost *c = &r->costs[row];
    const cz_row_text *t = &r->texts[row];
    CZ_GO(st, cz_grid_add(&g, "%s", r->plan.rows[row].name), done);
    CZ_GO(st, add_number(&g, c->seeds ? c->steps : NAN, 0), done);
    CZ_GO(st, add_number(&g, c->seeds ? 1e-6 * c->tokens : NAN, 2), done);
    CZ_GO(st, add_number(&g, c->seeds ? 1e-6 * t->tokens : NAN, 2), done);
    CZ_GO(st, add_number(&g, c->seeds ? t->inputs : NAN, 1), done);
    CZ_GO(st, add_number(&g, c->seeds ? t->targets : NAN, 1), done);
    CZ_GO(st, add_number(&g, c->seeds ? c->seconds : NAN, 1), done);
    CZ_GO(st, cz_grid_add(&g, "%zu", c->seeds), done);
    if (scores) CZ_GO(st, add_number(&g, c->seeds ? 1e-6 * c->scored : NAN, 2), done);
  }
  CZ_GO(st, cz_buf_addf(out, "\n"), done);
  CZ_GO(st, cz_grid_print(out, &g, 1, colours), done);
done:
  cz_grid_free(&g);
  return st;
}

/* What stands in the tables below, before them. */
static cz_status explain(cz_buf *out, const cz_comparison *t) {
  const cz_plan *p = &t->results->plan;
  if (p->n_seeds < 2) return CZ_OK;
  CZ_TRY(cz_buf_addf(out,
                     "\n`error` has the parts of a mean's standard error: from the seeds, and "
                     "from the draw of the test examples\n(- where it is not known). The 95 %% "
                     "interval is of both, their squares added.\n"));
  if (p->baseline)
    CZ_TRY(
        cz_buf_addf(out,
                    "`minus %s` is the difference to that row with its 95 %% interval, paired by "
                    "seed and by example: the rows of a seed begin with\nthe same weights and go "
                    "through the documents in the same order; objectives read different "
                    "amounts.\n* differs from zero: at most 5 %% for the whole table, corrected "
                    "for its %zu comparison%s (Holm).\n",
                    p->baseline, t->tests, t->tests == 1 ? "" : "s"));
  if (!t->control_tests) return CZ_OK;
  return cz_buf_addf(out,
                     "`beats it` and what is said first of %s: at most 5 %% for the whole table, "
                     "corrected for its %zu comparison%s with it (Holm),\nso that a difference may "
                     "be larger than its own interval and still not be enough.\n",
                     p->rows[p->control].listed, t->control_tests,
                     t->control_tests == 1 ? "" : "s");
}

/* Rows, values of the axis, seeds, and what the table's numbers are. */
static cz_status print_size(cz_buf *out, const cz_results *r) {
  const cz_plan *p = &r->plan;
  size_t listed = 0;
  bool below = false;
  for (size_t row = 0; row < p->n_rows; row++)
    listed += cz_axis_first(p, row), below |= has_paper(r, row);
  CZ_TRY(cz_buf_addf(out, "%zu row%s", listed, listed == 1 ? "" : "s"));
  if (p->axis.node)
    CZ_TRY(cz_buf_addf(out, ", %zu value%s of %s", p->axis.n, p->axis.n == 1 ? "" : "s",
                       p->axis.name));
  return cz_buf_addf(
      out,
      ", %zu seed%s; mean ± sample deviation over seeds%s; the simple "
      "baseline is the strongest of the programs that are named under each column\n\n",
      p->n_seeds, p->n_seeds == 1 ? "" : "s", below ? ", the paper's value below" : "");
}

static cz_status print_first(cz_buf *out, const cz_comparison *t) {
  const size_t before = out->len;
  CZ_TRY(cz_compare_first(out, t));
  return out->len > before ? cz_buf_addf(out, "\n") : CZ_OK;
}

static cz_status print_all(cz_buf *out, const cz_comparison *t, bool colours) {
  const cz_plan *p = &t->results->plan;
  cz_grid g = {.columns = 1 + p->n_columns};
  cz_status st;
  CZ_GO(st,
        cz_buf_addf(out, "%s%s%s\n", p->title ? p->title : "experiment", p->source ? " - " : "",
                    p->source ? p->source : ""),
        done);
  CZ_GO(st, print_size(out, t->results), done);
  CZ_GO(st, print_first(out, t), done);
  CZ_GO(st, cz_axis_text(out, t, colours), done);
  CZ_GO(st, cz_contrasts_text(out, t, colours), done);
  CZ_GO(st, summary(&g, t), done);
  CZ_GO(st, cz_grid_print(out, &g, 1, colours), done);
  CZ_GO(st, explain(out, t), done);
  for (size_t c = 0; c < p->n_columns; c++) CZ_GO(st, print_column(out, t, c, colours), done);
  CZ_GO(st, cz_few_shot_text(out, t->results, colours), done);
  CZ_GO(st, print_costs(out, t->results, colours), done);
  CZ_GO(st, cz_buf_addf(out, "\n"), done);
  CZ_GO(st, cz_compare_remarks(out, t), done);
done:
  cz_grid_free(&g);
  return st;
}

/** Appends the report as text with aligned columns. COLOURS: with terminal codes. */
cz_status cz_report_text(cz_buf *out, const cz_results *r, bool colours) {
  cz_comparison t;
  if (r->plan.n_columns > 30)
    return CZ_FAIL(CZ_EUSAGE, "%zu columns are more than a page holds; use --csv or --json",
                   r->plan.n_columns);
  cz_status st = cz_compare_open(&t, r);
  if (st == CZ_OK) st = print_all(out, &t, colours);
  cz_compare_close(&t);
  return st;
}
