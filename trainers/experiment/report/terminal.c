/* The report on a terminal: one table that shows all, one a column with the noise, costs,
 * and the same in words. */
#include "experiment/report/report.h"
#include "experiment/report/compare.h"
#include "experiment/report/table.h"

#include <math.h>
#include <stdio.h>

static cz_status add_number(cz_grid *g, const char *format, double value) {
  char text[64];
  if (isnan(value)) return cz_grid_add(g, "-");
  snprintf(text, sizeof text, format, value);
  return cz_grid_add(g, "%s", text);
}

static cz_status add_mean(cz_grid *g, const cz_interval *x) {
  if (x->n == 0) return cz_grid_add(g, "-");
  if (x->n == 1) return cz_grid_add(g, "%.2f", x->mean);
  return cz_grid_add(g, "%.2f ± %.2f", x->mean, x->deviation);
}

/* Rows x columns: our mean and deviation, and the paper's value below the same name. */
static cz_status summary(cz_grid *g, const cz_results *r) {
  const cz_plan *p = &r->plan;
  cz_cell cell;
  CZ_TRY(cz_grid_add(g, "row"));
  for (size_t c = 0; c < p->n_columns; c++)
    CZ_TRY(cz_grid_add(g, "%s%s%s%s", p->columns[c].name, p->columns[c].unit ? " (" : "",
                       p->columns[c].unit ? p->columns[c].unit : "",
                       p->columns[c].unit ? ")" : ""));
  for (size_t row = 0; row < p->n_rows; row++) {
    CZ_TRY(cz_grid_add(g, "%s", p->rows[row].name));
    for (size_t c = 0; c < p->n_columns; c++) {
      CZ_TRY(cz_compare_cell(&cell, r, c, row));
      CZ_TRY(add_mean(g, &cell.ours));
    }
    CZ_TRY(cz_grid_add(g, "  paper"));
    for (size_t c = 0; c < p->n_columns; c++)
      CZ_TRY(add_number(g, "%.2f", r->paper[c * p->n_rows + row]));
  }
  CZ_TRY(cz_grid_add(g, "simple baseline"));
  for (size_t c = 0; c < p->n_columns; c++) CZ_TRY(add_number(g, "%.2f", r->baseline[c]));
  return CZ_OK;
}

static const char *verdict_text(cz_verdict v) {
  switch (v) {
  case CZ_VERDICT_BEATS: return "yes";
  case CZ_VERDICT_ABOVE: return "above";
  case CZ_VERDICT_FAILS: return "no";
  case CZ_VERDICT_NONE: break;
  }
  return "-";
}

static cz_status column_rows(cz_grid *g, const cz_results *r, size_t column) {
  const cz_plan *p = &r->plan;
  cz_cell cell;
  const char *kind = r->baseline_kind[column];
  CZ_TRY(cz_grid_add(g, "row"));
  CZ_TRY(cz_grid_add(g, "seeds"));
  CZ_TRY(cz_grid_add(g, "mean ± deviation"));
  CZ_TRY(cz_grid_add(g, "95 %% interval of mean"));
  CZ_TRY(cz_grid_add(g, "minus %s, 95 %%", p->baseline ? p->baseline : "-"));
  CZ_TRY(cz_grid_add(g, "beats %s", kind ? kind : "simple"));
  CZ_TRY(cz_grid_add(g, "the paper's"));
  for (size_t row = 0; row < p->n_rows; row++) {
    CZ_TRY(cz_compare_cell(&cell, r, column, row));
    CZ_TRY(cz_grid_add(g, "%s", p->rows[row].name));
    CZ_TRY(cz_grid_add(g, "%zu", cell.ours.n));
    CZ_TRY(add_mean(g, &cell.ours));
    if (cell.ours.n > 1)
      CZ_TRY(cz_grid_add(g, "%.2f .. %.2f", cell.ours.mean - cell.ours.half,
                         cell.ours.mean + cell.ours.half));
    else
      CZ_TRY(cz_grid_add(g, "-"));
    if (cell.difference.n > 1)
      CZ_TRY(cz_grid_add(g, "%+.2f ± %.2f%s", cell.difference.mean, cell.difference.half,
                         cell.differs ? " *" : "  "));
    else if (cell.difference.n == 1)
      CZ_TRY(cz_grid_add(g, "%+.2f  ", cell.difference.mean));
    else
      CZ_TRY(cz_grid_add(g, "-  "));
    CZ_TRY(cz_grid_add(g, "%s", verdict_text(cell.verdict)));
    CZ_TRY(add_number(g, "%.2f", cell.paper));
  }
  return CZ_OK;
}

static cz_status print_column(cz_buf *out, const cz_results *r, size_t column, bool colours) {
  const cz_column *c = &r->plan.columns[column];
  cz_grid g = {.columns = 7};
  cz_status st = CZ_OK;
  CZ_GO(st,
        cz_buf_addf(out, "\n%s%s%s%s%s", c->name, c->note ? ": " : "", c->note ? c->note : "",
                    c->paper ? "; the paper's " : " (no column of the paper)",
                    c->paper ? c->paper : ""),
        done);
  if (!isnan(r->baseline[column]))
    CZ_GO(st,
          cz_buf_addf(out, "; simple baseline (%s) %.2f",
                      r->baseline_kind[column] ? r->baseline_kind[column] : "simple",
                      r->baseline[column]),
          done);
  if (!isnan(c->paper_noise))
    CZ_GO(st, cz_buf_addf(out, "; the paper's deviation over its own seeds %.3f", c->paper_noise),
          done);
  CZ_GO(st, cz_buf_addf(out, "\n"), done);
  CZ_GO(st, column_rows(&g, r, column), done);
  CZ_GO(st, cz_grid_print(out, &g, 1, colours), done);
done:
  cz_grid_free(&g);
  return st;
}

static cz_status print_costs(cz_buf *out, const cz_results *r, bool colours) {
  cz_grid g = {.columns = 5};
  const char *const header[] = {"cost of one seed", "training steps",
                                "million tokens read and written", "seconds", "seeds finished"};
  cz_status st = CZ_OK;
  for (size_t i = 0; i < g.columns; i++) CZ_GO(st, cz_grid_add(&g, "%s", header[i]), done);
  for (size_t row = 0; row < r->plan.n_rows; row++) {
    const cz_cost *c = &r->costs[row];
    CZ_GO(st, cz_grid_add(&g, "%s", r->plan.rows[row].name), done);
    CZ_GO(st, add_number(&g, "%.0f", c->seeds ? c->steps : NAN), done);
    CZ_GO(st, add_number(&g, "%.2f", c->seeds ? 1e-6 * c->tokens : NAN), done);
    CZ_GO(st, add_number(&g, "%.1f", c->seeds ? c->seconds : NAN), done);
    CZ_GO(st, cz_grid_add(&g, "%zu", c->seeds), done);
  }
  CZ_GO(st, cz_buf_addf(out, "\n"), done);
  CZ_GO(st, cz_grid_print(out, &g, 1, colours), done);
done:
  cz_grid_free(&g);
  return st;
}

/** Appends the report as text with aligned columns. COLOURS: with terminal codes. */
cz_status cz_report_text(cz_buf *out, const cz_results *r, bool colours) {
  const cz_plan *p = &r->plan;
  cz_grid g = {.columns = 1 + p->n_columns};
  cz_status st;
  if (p->n_columns > 30)
    return CZ_FAIL(CZ_EUSAGE, "%zu columns are more than a page holds; use --csv or --json",
                   p->n_columns);
  CZ_TRY(cz_buf_addf(out, "%s%s%s\n", p->title ? p->title : "experiment", p->source ? " - " : "",
                     p->source ? p->source : ""));
  CZ_TRY(cz_buf_addf(out,
                     "%zu rows, %zu seed%s; mean ± sample deviation over seeds, the paper's value "
                     "below; the simple baseline is what a program gets that knows "
                     "nothing\n\n",
                     p->n_rows, p->n_seeds, p->n_seeds == 1 ? "" : "s"));
  CZ_GO(st, summary(&g, r), done);
  CZ_GO(st, cz_grid_print(out, &g, 1, colours), done);
  if (p->baseline && p->n_seeds > 1)
    CZ_GO(st,
          cz_buf_addf(out,
                      "\n`minus %s` is the difference to that row, paired over seeds (same data "
                      "order and initial weights), with its 95 %% interval; "
                      "* excludes "
                      "zero.\n",
                      p->baseline),
          done);
  for (size_t c = 0; c < p->n_columns; c++) CZ_GO(st, print_column(out, r, c, colours), done);
  CZ_GO(st, print_costs(out, r, colours), done);
  CZ_GO(st, cz_buf_addf(out, "\n"), done);
  CZ_GO(st, cz_compare_remarks(out, r), done);
done:
  cz_grid_free(&g);
  return st;
}
