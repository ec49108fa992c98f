/* `cloze report`: the forms in which a run can be printed. */
#include "commands/commands.h"
#include "base/fs.h"
#include "base/log.h"
#include "experiment/report/report.h"

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
       : stages ? cz_report_stages(&text, &r.plan, argv[1])
                : cz_report_text(&text, &r, cz_terminal_escapes(STDOUT_FILENO));
  if (st != CZ_OK) goto done;
  fputs(text.data, stdout);
done:
  cz_buf_free(&text);
  cz_results_close(&r);
  return st;
}
