/* `cloze report`: the forms in which a run can be printed. */
#include "base/fs.h"
#include "base/log.h"
#include "base/args.h"
#include "experiment/experiment.h"
#include "experiment/report/table.h"

#include <stdio.h>
#include <unistd.h>

const char cz_report_usage[] =
    "cloze report RUN [--json | --csv | --stages] [--html FILE]\n"
    "The table of a run, finished or not: our mean and deviation over seeds, the difference to the "
    "baseline row paired over seeds with its 95 % "
    "interval,\n"
    "every score beside what a program that knows nothing gets, the paper's value, rank agreement "
    "with the paper, and what it took.\n"
    "  --json        as one JSON object\n"
    "  --csv         one line for each row and column\n"
    "  --stages      which folder is whose: for each seed, row and stage its folder and whether it "
    "is done; models are in FOLDER/model\n"
    "  --html FILE   one page with tables and plots that needs nothing from outside\n";

static cz_status write_html(const cz_results *r, const char *run, const char *path) {
  cz_buf html = {0};
  cz_status st = cz_report_html(&html, r, run);
  if (st == CZ_OK) st = cz_fs_write_atomic(path, html.data, html.len);
  if (st == CZ_OK) cz_log("report: %s", path);
  cz_buf_free(&html);
  return st;
}

static const char *state_of(const cz_stage_kind *kind, const char *folder) {
  if (cz_stage_done(kind, folder)) return "done";
  return cz_stage_has_result(folder) ? "no model" : cz_fs_exists(folder) ? "begun" : "-";
}

/* A line for each seed, row and stage; rows that share a stage show the same folder. */
static cz_status print_stages(cz_buf *out, const cz_plan *p, const char *run) {
  cz_grid g = {.columns = 5};
  const char *const header[] = {"seed", "row", "stage", "state", "folder"};
  cz_status st = CZ_OK;
  for (size_t i = 0; i < g.columns && st == CZ_OK; i++) st = cz_grid_add(&g, "%s", header[i]);
  for (size_t k = 0; k < p->n_seeds * p->n_rows * p->n_stages && st == CZ_OK; k++) {
    char folder[4096];
    CZ_GO(st, cz_plan_folder(folder, sizeof folder, run, &p->stages[k]), done);
    CZ_GO(st, cz_grid_add(&g, "%lld", (long long)p->seeds[k / p->n_stages / p->n_rows]), done);
    CZ_GO(st, cz_grid_add(&g, "%s", p->rows[k / p->n_stages % p->n_rows].name), done);
    CZ_GO(st, cz_grid_add(&g, "%s", p->stages[k].name), done);
    CZ_GO(st, cz_grid_add(&g, "%s", state_of(p->stages[k].kind, folder)), done);
    CZ_GO(st, cz_grid_add(&g, "%s", folder), done);
  }
  if (st == CZ_OK) st = cz_grid_print(out, &g, ~1u, false);
done:
  cz_grid_free(&g);
  return st;
}

/** The command `cloze report`; its usage says what it prints. */
cz_status cz_command_report(int argc, char **argv) {
  const char *html = NULL;
  bool json = false, csv = false, stages = false;
  const cz_option options[] = {{"--html", &html, NULL},
                               {"--json", NULL, &json},
                               {"--csv", NULL, &csv},
                               {"--stages", NULL, &stages}};
  cz_results r = {0};
  cz_buf text = {0};
  cz_status st;
  CZ_TRY(cz_args_parse(&argc, argv, options, sizeof options / sizeof *options));
  CZ_TRY(cz_args_count(argc, argv, 1, 1, cz_report_usage));
  if (json + csv + stages > 1)
    return CZ_FAIL(CZ_EUSAGE, "report: one of --json, --csv and --stages, not both");
  CZ_GO(st, cz_results_open(&r, argv[1]), done);
  if (html) CZ_GO(st, write_html(&r, argv[1], html), done);
  if (html && !json && !csv && !stages) goto done;
  st = json     ? cz_report_json(&text, &r)
       : csv    ? cz_report_csv(&text, &r)
       : stages ? print_stages(&text, &r.plan, argv[1])
                : cz_report_text(&text, &r, isatty(STDOUT_FILENO));
  if (st != CZ_OK) goto done;
  fputs(text.data, stdout);
done:
  cz_buf_free(&text);
  cz_results_close(&r);
  return st;
}
