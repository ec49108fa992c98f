/* The report as one page that needs nothing from outside: tables, remarks, dot plots
 * beside the paper's where there are any, loss curves. */
#include "experiment/report/report.h"
#include "experiment/report/axis.h"
#include "experiment/report/compare.h"
#include "experiment/report/contrasts.h"
#include "experiment/report/few_shot.h"
#include "experiment/report/curves.h"
#include "experiment/report/plot.h"
#include "experiment/report/table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Okabe and Ito's palette, which colour-blind readers tell apart, lightened on dark
 * ground. */
static const char style[] =
    "<style>\n"
    ":root{color-scheme:light "
    "dark;--bg:#fff;--fg:#1b1f24;--soft:#5b6470;--rule:#d8dde3;--grid:#e6e9ed;--head:#f4f6f8;\n"
    "--c0:#0072b2;--c1:#d55e00;--c2:#009e73;--c3:#b0568c;--c4:#8a6d00;--c5:#3f7fbf;--c6:#555555;--"
    "c7:#a33b20}\n"
    "@media(prefers-color-scheme:dark){:root{--bg:#14171b;--fg:#e8ebef;--soft:#a3adb8;--rule:#"
    "39414b;--grid:#2a3037;--head:#1d2228;\n"
    "--c0:#56b4e9;--c1:#ff9448;--c2:#3fd0a4;--c3:#e79ac6;--c4:#f0e442;--c5:#9cc4f0;--c6:#bbbbbb;--"
    "c7:#ff8f73}}\n"
    "body{margin:0 auto;max-width:1240px;padding:24px 20px "
    "60px;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif}\n"
    "h1{font-size:24px;margin:0 0 4px}h2{font-size:18px;margin:34px 0 "
    "8px}h3{font-size:15px;margin:22px 0 4px}p{margin:4px 0 "
    "10px;max-width:80ch}.soft{color:var(--soft)}\n"
    ".wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-"
    "size:14px}\n"
    "th,td{padding:5px 12px;border-bottom:1px solid "
    "var(--rule);text-align:right;white-space:nowrap}th:first-child,td:first-child{text-align:left}"
    "\n"
    "thead "
    "th{background:var(--head);font-weight:600;vertical-align:bottom}small{color:var(--soft);"
    "display:block;font-size:12px;font-weight:400}\n"
    ".plots{display:flex;flex-wrap:wrap;gap:18px}figure{margin:0;max-width:100%}figcaption{font-"
    "weight:600;font-size:14px;margin:8px 0 4px}\n"
    "svg{max-width:100%;height:auto}svg text{fill:var(--fg);font:12px system-ui,sans-serif}svg "
    ".tick,svg "
    ".axis{fill:var(--soft)}.grid{stroke:var(--grid)}\n"
    ".line{fill:none;stroke-width:2}.band{opacity:.18}.whisker{stroke-width:2.5}.hollow{fill:var(--"
    "bg);stroke-width:2.5}.mark{stroke:var(--fg);"
    "stroke-dasharray:5 4}\n"
    ".key{display:inline-block;width:10px;height:10px;border-radius:50%;margin-right:8px}\n"
    "</style>\n";

static cz_status add_escaped(cz_buf *out, const char *before, const char *text, const char *after) {
  CZ_TRY(cz_buf_addf(out, "%s", before));
  CZ_TRY(cz_html_text(out, text));
  return cz_buf_addf(out, "%s", after);
}

static cz_status head(cz_buf *out, const cz_results *r) {
  const cz_plan *p = &r->plan;
  const char *title = p->title ? p->title : "experiment";
  CZ_TRY(cz_buf_addf(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta "
                          "charset=\"utf-8\"/>\n<meta name=\"viewport\" "
                          "content=\"width=device-width, initial-scale=1\"/>\n"));
  CZ_TRY(add_escaped(out, "<title>", title, "</title>\n"));
  CZ_TRY(cz_buf_addf(out, "%s</head>\n<body>\n", style));
  CZ_TRY(add_escaped(out, "<h1>", title, "</h1>\n"));
  if (p->source) CZ_TRY(add_escaped(out, "<p class=\"soft\">", p->source, "</p>\n"));
  return cz_buf_addf(out,
                     "<p class=\"soft\">%zu rows, %zu seed%s, %zu of %zu stages done. Numbers are "
                     "means ± sample deviation over seeds.</p>\n",
                     p->n_rows, p->n_seeds, p->n_seeds == 1 ? "" : "s", r->done, r->total);
}

/* A heading and each line of what SAY says; nothing when it says nothing and is OPTIONAL. */
static cz_status remarks(cz_buf *out, const cz_comparison *t, const char *heading, bool optional,
                         cz_status (*say)(cz_buf *out, const cz_comparison *c)) {
  cz_buf text = {0};
  cz_status st;
  CZ_GO(st, say(&text, t), done);
  if (!text.len && optional) goto done;
  CZ_GO(st, add_escaped(out, "<h2>", heading, "</h2>\n"), done);
  for (char *line = text.data, *end; line && (end = strchr(line, '\n')); line = end + 1) {
    *end = '\0';
    CZ_GO(st, add_escaped(out, "<p>", line, "</p>\n"), done);
  }
done:
  cz_buf_free(&text);
  return st;
}

static cz_status table_head(cz_buf *out, const cz_results *r) {
  CZ_TRY(cz_buf_addf(out, "<h2>Rows</h2>\n<div class=\"wide\"><table>\n<thead><tr><th>row</th>"));
  for (size_t i = 0; i < r->plan.n_columns; i++) {
    const cz_column *c = &r->plan.columns[i];
    CZ_TRY(add_escaped(out, "<th>", c->name, ""));
    if (c->unit) CZ_TRY(add_escaped(out, " (", c->unit, ")"));
    if (c->paper) CZ_TRY(add_escaped(out, "<small>paper: ", c->paper, "</small>"));
    CZ_TRY(cz_buf_addf(out, "</th>"));
  }
  return cz_buf_addf(out, "</tr></thead>\n<tbody>\n");
}

/* One line below the mean: an interval, and the two parts of its standard error. */
static cz_status noise_line(cz_buf *out, const cz_interval *x, const char *before,
                            const char *after) {
  if (x->n < 2) return CZ_OK;
  return cz_buf_addf(out, "<small>%s± %s (seeds %s, examples %s)%s</small>", before,
                     cz_number_of(x->half, 2).text, cz_number_of(x->seeds.error, 2).text,
                     cz_number_of(x->examples.error, 2).text, after);
}

/* The programs that learned from a row's own texts, where other rows have others. */
static cz_status own_programs(cz_buf *out, const cz_results *r, size_t column, size_t row) {
  const cz_baselines *b = cz_results_baselines(r, column, row);
  cz_buf text = {0};
  if (r->shared[column] || !b->n) return CZ_OK;
  cz_status st = cz_compare_programs(&text, b);
  if (st == CZ_OK) st = add_escaped(out, "<small>baselines: ", text.data, "</small>");
  cz_buf_free(&text);
  return st;
}

static cz_status table_cell(cz_buf *out, const cz_comparison *t, size_t column, size_t row) {
  const cz_cell *c = cz_compare_at(t, column, row);
  const cz_undefined *u = &t->results->undefined[column * t->results->plan.n_rows + row];
  const cz_interval *x = &c->ours;
  char difference[64];
  CZ_TRY(cz_buf_addf(out, "<td>"));
  if (x->n == 0)
    CZ_TRY(cz_buf_addf(out, "%s", u->seeds ? "not defined" : "missing"));
  else if (x->n == 1)
    CZ_TRY(cz_buf_addf(out, "%s", cz_number_of(x->mean, 2).text));
  else
    CZ_TRY(cz_buf_addf(out, "%s ± %s", cz_number_of(x->mean, 2).text,
                       cz_number_of(x->deviation, 2).text));
  if (u->seeds) {
    CZ_TRY(cz_buf_addf(out, "<small>not defined under %zu seed%s: ", u->seeds,
                       u->seeds == 1 ? "" : "s"));
    CZ_TRY(add_escaped(out, "", cz_compare_why(u), "</small>"));
  }
  CZ_TRY(noise_line(out, x, "95 % ", ""));
  snprintf(difference, sizeof difference, "%s ", cz_number_signed(c->difference.mean).text);
  CZ_TRY(noise_line(out, &c->difference, difference, c->differs ? " *" : ""));
  snprintf(difference, sizeof difference, "over the control %s ",
           cz_number_signed(c->over_control.mean).text);
  CZ_TRY(noise_line(out, &c->over_control, difference,
                    c->control_verdict == CZ_VERDICT_BEATS ? " +" : ""));
  if (c->best_verdict == CZ_VERDICT_FAILS)
    CZ_TRY(cz_buf_addf(out, "<small>%sdoes not beat its baseline%s</small>",
                       c->best_lead.mean > 0 ? "above in the mean, but " : "",
                       x->n > 1 ? " by more than the interval" : ""));
  if (c->best_verdict == CZ_VERDICT_UNKNOWN)
    CZ_TRY(cz_buf_addf(out, "<small>no verdict: test examples unknown</small>"));
  CZ_TRY(own_programs(out, t->results, column, row));
  if (!isnan(c->paper))
    CZ_TRY(cz_buf_addf(out, "<small>paper %s</small>", cz_number_of(c->paper, 2).text));
  return cz_buf_addf(out, "</td>");
}

static cz_status baseline_cells(cz_buf *out, const cz_comparison *t) {
  const cz_results *r = t->results;
  CZ_TRY(cz_buf_addf(out, "<tr><td>simple baseline</td>"));
  for (size_t c = 0; c < r->plan.n_columns; c++) {
    const cz_baselines *b = cz_results_baselines(r, c, SIZE_MAX);
    CZ_TRY(cz_buf_addf(out, "<td>%s", !r->shared[c] ? "each row's own" : b->n ? "" : "none"));
    for (size_t i = 0; i < b->n; i++) {
      CZ_TRY(cz_buf_addf(out, "%s<small>", cz_number_of(b->value[i], 2).text));
      CZ_TRY(add_escaped(out, "", b->kind[i] ? b->kind[i] : "simple", "</small>"));
    }
    CZ_TRY(cz_buf_addf(out, "</td>"));
  }
  CZ_TRY(cz_buf_addf(out, "</tr>\n<tr><td>intervals cover</td>"));
  for (size_t c = 0; c < r->plan.n_columns; c++)
    CZ_TRY(cz_buf_addf(out, "<td>%s</td>", cz_compare_covered(t, c)));
  return cz_buf_addf(out, "</tr>\n");
}

/* What the lines of a cell are. */
static cz_status explain(cz_buf *out, const cz_comparison *t) {
  const cz_plan *p = &t->results->plan;
  if (p->n_seeds < 2) return CZ_OK;
  CZ_TRY(cz_buf_addf(
      out, "<p class=\"soft\">The second line of a cell is the 95 %% interval of its mean, "
           "and the two parts of the standard error: from the seeds, and from the draw of "
           "the test examples (- where it is not known).</p>\n"));
  if (p->baseline) {
    CZ_TRY(add_escaped(out, "<p class=\"soft\">The third line is the difference to ", p->baseline,
                       ", paired by seed and by example: the rows of a seed begin with the same "
                       "weights and go through the documents in the same order; objectives read "
                       "different amounts. "));
    CZ_TRY(cz_buf_addf(out,
                       "* marks one that differs from zero, at most 5 %% for the whole table, "
                       "corrected for its %zu comparison%s (Holm).</p>\n",
                       t->tests, t->tests == 1 ? "" : "s"));
  }
  if (!t->control_tests) return CZ_OK;
  return cz_buf_addf(out,
                     "<p class=\"soft\">+ marks a difference to the control that is above zero, at "
                     "most 5 %% for the whole table, corrected for its %zu comparison%s with the "
                     "control (Holm).</p>\n",
                     t->control_tests, t->control_tests == 1 ? "" : "s");
}

static cz_status table(cz_buf *out, const cz_comparison *t) {
  const cz_plan *p = &t->results->plan;
  CZ_TRY(table_head(out, t->results));
  for (size_t row = 0; row < p->n_rows; row++) {
    CZ_TRY(cz_buf_addf(out, "<tr><td><span class=\"key\" style=\"background:var(--c%zu)\"></span>",
                       row % CZ_PLOT_COLOURS));
    CZ_TRY(cz_html_text(out, p->rows[row].name));
    if (cz_plan_row_draws(p, row) != CZ_SEEDS_PLAIN)
      CZ_TRY(cz_buf_addf(out, "<small>± over %s</small>",
                         cz_contrasts_over(cz_plan_row_draws(p, row))));
    CZ_TRY(cz_buf_addf(out, "</td>"));
    for (size_t c = 0; c < p->n_columns; c++) CZ_TRY(table_cell(out, t, c, row));
    CZ_TRY(cz_buf_addf(out, "</tr>\n"));
  }
  CZ_TRY(baseline_cells(out, t));
  CZ_TRY(cz_buf_addf(out, "</tbody></table></div>\n"));
  return explain(out, t);
}

static cz_status column_plot(cz_buf *out, const cz_comparison *t, size_t column, cz_dot *dots) {
  const cz_results *r = t->results;
  const cz_column *c = &r->plan.columns[column];
  char title[512], second[160];
  for (size_t row = 0; row < r->plan.n_rows; row++) {
    const cz_cell *cell = cz_compare_at(t, column, row);
    double ends[2];
    cz_compare_ends(ends, t, column, row);
    dots[row] = (cz_dot){.name = r->plan.rows[row].name,
                         .value = cell->ours.n ? cell->ours.mean : NAN,
                         .low = ends[0],
                         .high = ends[1],
                         .other = cell->paper};
  }
  snprintf(title, sizeof title, "%s%s%s", c->name, c->note ? ": " : "", c->note ? c->note : "");
  snprintf(second, sizeof second, "the paper's %s", c->paper ? c->paper : "");
  return cz_plot_dots(out, title, dots, r->plan.n_rows,
                      cz_results_baseline(r, column, SIZE_MAX, true),
                      "ours, with the 95 % interval of the mean", second);
}

static cz_status dot_plots(cz_buf *out, const cz_comparison *t) {
  const cz_results *r = t->results;
  bool paper = false;
  cz_dot *dots;
  for (size_t c = 0; c < r->plan.n_columns; c++) paper |= cz_compare_has_paper(r, c);
  CZ_TRY(cz_alloc(&dots, r->plan.n_rows, sizeof *dots));
  cz_status st = cz_buf_addf(
      out,
      "<h2>Rows with their noise%s</h2>\n<p class=\"soft\">The dashed line is the strongest simple "
      "baseline.%s</p>\n<div class=\"plots\">\n",
      paper ? ", beside the paper's" : "",
      paper ? " The scales of the two halves differ: look at the order." : "");
  for (size_t c = 0; c < r->plan.n_columns && st == CZ_OK; c++) st = column_plot(out, t, c, dots);
  if (st == CZ_OK) st = cz_buf_addf(out, "</div>\n");
  free(dots);
  return st;
}

static cz_status stage_curves(cz_buf *out, const cz_plan *p, const char *run, size_t stage,
                              cz_curve *curves, cz_series *series) {
  char title[256];
  cz_status st = CZ_OK;
  size_t n = 0;
  for (size_t row = 0; row < p->n_rows && st == CZ_OK; row++) {
    if (!cz_axis_shown(p, row)) continue;
    st = cz_curve_read(&curves[row], p, run, row, stage);
    const cz_curve *c = &curves[row];
    series[n] = (cz_series){
        .name = p->rows[row].name, .x = c->step, .y = c->mean, .band = c->deviation, .n = c->n};
    n++;
  }
  snprintf(title, sizeof title, "%s: training loss", cz_plan_at(p, 0, 0, stage)->name);
  if (st == CZ_OK) st = cz_plot_lines(out, title, "step", "nats per predicted token", series, n);
  for (size_t row = 0; row < p->n_rows; row++) cz_curve_free(&curves[row]);
  return st;
}

static cz_status loss_curves(cz_buf *out, const cz_results *r, const char *run) {
  const cz_plan *p = &r->plan;
  cz_curve *curves = NULL;
  cz_series *series = NULL;
  cz_status st;
  CZ_GO(st, cz_alloc(&curves, p->n_rows, sizeof *curves), done);
  CZ_GO(st, cz_alloc(&series, p->n_rows, sizeof *series), done);
  CZ_GO(st,
        cz_buf_addf(
            out, "<h2>Loss</h2>\n<p class=\"soft\">Smoothed; mean over seeds, the band is the "
                 "deviation. Objectives predict different tokens, so the "
                 "heights of pretraining curves can't be compared.</p>\n<div class=\"plots\">\n"),
        done);
  for (size_t i = 0; i < p->n_stages; i++)
    if (cz_plan_at(p, 0, 0, i)->kind->leaves & CZ_LEAVES_CURVE)
      CZ_GO(st, stage_curves(out, p, run, i, curves, series), done);
  st = cz_buf_addf(out, "</div>\n");
done:
  free(curves);
  free(series);
  return st;
}

static cz_status costs(cz_buf *out, const cz_results *r) {
  const bool scores = cz_results_scores_texts(r);
  CZ_TRY(cz_buf_addf(out,
                     "<h2>What a seed cost</h2>\n<div class=\"wide\"><table>\n<thead><tr>"
                     "<th>row</th><th>steps</th><th>million tokens read and written</th>"
                     "<th>million tokens of text</th><th>mean inputs</th>"
                     "<th>mean targets</th><th>seconds</th><th>seeds finished</th>%s</tr>"
                     "</thead>\n<tbody>\n",
                     scores ? "<th>million tokens scored</th>" : ""));
  for (size_t row = 0; row < r->plan.n_rows; row++) {
    const cz_cost *c = &r->costs[row];
    const cz_row_text *t = &r->texts[row];
    const double numbers[] = {c->steps,  1e-6 * c->tokens, 1e-6 * t->tokens,
                              t->inputs, t->targets,       c->seconds};
    static const int digits[] = {0, 2, 2, 1, 1, 1};
    CZ_TRY(add_escaped(out, "<tr><td>", r->plan.rows[row].name, "</td>"));
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
      CZ_TRY(cz_buf_addf(out, "<td>%s</td>",
                         cz_number_of(c->seeds ? numbers[i] : NAN, digits[i]).text));
    CZ_TRY(cz_buf_addf(out, "<td>%zu</td>", c->seeds));
    if (scores)
      CZ_TRY(
          cz_buf_addf(out, "<td>%s</td>", cz_number_of(c->seeds ? 1e-6 * c->scored : NAN, 2).text));
    CZ_TRY(cz_buf_addf(out, "</tr>\n"));
  }
  return cz_buf_addf(out, "</tbody></table></div>\n");
}

static cz_status page(cz_buf *out, const cz_comparison *t, const char *run) {
  CZ_TRY(head(out, t->results));
  CZ_TRY(remarks(out, t, "First", true, cz_compare_first));
  if (t->results->plan.axis.node) CZ_TRY(cz_axis_figures(out, t));
  CZ_TRY(cz_contrasts_page(out, t));
  CZ_TRY(table(out, t));
  CZ_TRY(remarks(out, t, "In words", false, cz_compare_remarks));
  if (!t->results->plan.axis.node) CZ_TRY(dot_plots(out, t));
  CZ_TRY(cz_few_shot_page(out, t->results));
  CZ_TRY(loss_curves(out, t->results, run));
  CZ_TRY(costs(out, t->results));
  return cz_buf_addf(out, "</body>\n</html>\n");
}

/** Appends the report as one HTML page, well-formed as XML too; RUN is the run's folder,
 * from which the loss curves come. */
cz_status cz_report_html(cz_buf *out, const cz_results *r, const char *run) {
  cz_comparison t;
  cz_status st = cz_compare_open(&t, r);
  if (st == CZ_OK) st = page(out, &t, run);
  cz_compare_close(&t);
  return st;
}
