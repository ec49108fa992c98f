/* The folder report: the results of a run as text, CSV, JSON and HTML. results.h reads
 * the run's folders into one struct; compare.h works out every cell of the table, its
 * noise, its baseline and its verdict; the four forms print what stands there and compute
 * nothing, so they cannot disagree. curves.h and plot.h make the page's figures, table.h
 * aligns columns for terminals. */
#ifndef CZ_EXPERIMENT_REPORT_REPORT_H
#define CZ_EXPERIMENT_REPORT_REPORT_H

#include "experiment/results.h"

/* Each appends a whole document to OUT; an unfinished run gives dashes or null where
 * values are missing, never 0. */
CZ_MUST cz_status cz_report_text(cz_buf *out, const cz_results *r, bool colours);
CZ_MUST cz_status cz_report_csv(cz_buf *out, const cz_results *r);
CZ_MUST cz_status cz_report_json(cz_buf *out, const cz_results *r);
CZ_MUST cz_status cz_report_html(cz_buf *out, const cz_results *r, const char *run);
CZ_MUST cz_status cz_report_rows(json_t *into, const cz_results *r);
CZ_MUST cz_status cz_report_stages(cz_buf *out, const cz_plan *plan, const char *run);

#endif
