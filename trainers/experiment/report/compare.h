/* What a table of results says: every cell beside its noise, its baseline and the paper;
 * agreement with the paper; and the same in words. */
#ifndef CZ_EXPERIMENT_REPORT_COMPARE_H
#define CZ_EXPERIMENT_REPORT_COMPARE_H

#include "metrics/statistics.h"
#include "experiment/results.h"

typedef enum cz_verdict {
  CZ_VERDICT_NONE,  /* no score or no baseline */
  CZ_VERDICT_BEATS, /* above the baseline by more than the interval */
  CZ_VERDICT_ABOVE, /* above it, but one seed has no interval */
  CZ_VERDICT_FAILS  /* not above it by more than the interval */
} cz_verdict;

typedef struct cz_cell {  /* one row under one column */
  cz_interval ours;       /* over the seeds that are there; n 0: none yet */
  cz_interval difference; /* paired over seeds, to the plan's `baseline` row; n 0: none */
  bool differs;           /* the paired interval excludes zero */
  double paper;           /* NaN: none */
  cz_verdict verdict;
} cz_cell;

typedef struct cz_agreement { /* between the rows' means and the paper's */
  double spearman, kendall;
  size_t n; /* rows that both have */
} cz_agreement;

CZ_MUST cz_status cz_compare_cell(cz_cell *cell, const cz_results *r, size_t column, size_t row);
CZ_MUST cz_status cz_compare_agreement(cz_agreement *a, const cz_results *r, size_t column);
CZ_MUST cz_status cz_compare_remarks(cz_buf *out, const cz_results *r);

#endif
