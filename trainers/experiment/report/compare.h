/* What a table of results says: every cell beside its noise, its baseline and the paper;
 * agreement with the paper; and the same in words.
 *
 * cz_compare_open works a table out once: each cell's mean with the noise of its seeds
 * and of its test examples, its difference to the baseline row and its leads over the
 * simple baseline and over the strongest one, paired by seed and by example. The
 * differences of the whole table are then corrected together for their number (Holm), and
 * so are those to the control. A lead or difference of scores whose examples' part is not
 * known gets no verdict and no star, since the seeds' part alone is too small. The reports
 * print what stands in the table and decide nothing. */
#ifndef CZ_EXPERIMENT_REPORT_COMPARE_H
#define CZ_EXPERIMENT_REPORT_COMPARE_H

#include "experiment/results.h"

typedef enum cz_verdict {
  CZ_VERDICT_NONE,   /* no score or no baseline */
  CZ_VERDICT_BEATS,  /* above the baseline by more than the interval */
  CZ_VERDICT_ABOVE,  /* above it, but one seed has no interval */
  CZ_VERDICT_FAILS,  /* not above it by more than the interval */
  CZ_VERDICT_UNKNOWN /* the lead's noise of test examples is not known: no verdict */
} cz_verdict;

typedef struct cz_cell {    /* one row under one column */
  cz_interval ours;         /* over the seeds that exist; n 0: none yet */
  cz_interval difference;   /* to the plan's `baseline` row; n 0: none */
  cz_interval over_control; /* difference to the plan's control; n 0: none */
  cz_interval lead;         /* over the weakest program; n 0: none */
  cz_interval best_lead;    /* over the strongest baseline; n 0: none */
  double p;                 /* that the difference is 0, corrected (Holm); NaN: not known, as
                               without the examples' noise where test examples are behind it */
  bool differs;             /* p is at most 5 % */
  double control_p;         /* that the difference to the control is 0, corrected for the number of
                               these; NaN as p, and of a loss */
  double paper;             /* NaN: none */
  cz_verdict verdict;       /* of the lead */
  cz_verdict control_verdict; /* BEATS: above the control, and control_p is at most 5 % */
  cz_verdict best_verdict;    /* of the lead over the strongest: what reports say in words */
} cz_cell;

/* One test of a contrast under one column. */
typedef struct cz_pair_cell {
  cz_interval difference; /* n 0: none yet */
  double p; /* that it is 0, corrected (Holm) for the column's tests; NaN as cz_cell.p */
} cz_pair_cell;

typedef struct cz_agreement { /* between the rows' means and the paper's */
  double spearman, kendall;
  size_t n; /* rows that both have, and whose noise of test examples is known */
} cz_agreement;

typedef struct cz_comparison {
  const cz_results *results; /* borrowed */
  cz_cell *cells;            /* [columns][rows] */
  cz_pair_cell *pairs;       /* [columns][pairs of the plan] */
  size_t *pair_tests;        /* [columns] how many of them were corrected together */
  size_t tests;              /* differences that were corrected together */
  size_t control_tests;      /* and those to the control */
} cz_comparison;

CZ_MUST cz_status cz_compare_open(cz_comparison *c, const cz_results *r);
void cz_compare_close(cz_comparison *c);
const cz_cell *cz_compare_at(const cz_comparison *c, size_t column, size_t row);
bool cz_compare_shows(const cz_comparison *c, size_t column, size_t row);
bool cz_compare_has_paper(const cz_results *r, size_t column);
void cz_compare_ends(double ends[2], const cz_comparison *c, size_t column, size_t row);
CZ_MUST cz_status cz_compare_difference(cz_interval *difference, const cz_results *r, size_t column,
                                        size_t row, size_t other, const cz_noise *examples);
double cz_compare_probability(const cz_results *r, size_t column, const cz_interval *difference);
const char *cz_compare_why(const cz_undefined *u);
bool cz_compare_knows_examples(const cz_comparison *c, size_t column);
const char *cz_compare_covered(const cz_comparison *c, size_t column);
CZ_MUST cz_status cz_compare_agreement(cz_agreement *a, const cz_comparison *c, size_t column,
                                       size_t point);
bool cz_compare_same_programs(const cz_baselines *a, const cz_baselines *b);
CZ_MUST cz_status cz_compare_programs(cz_buf *out, const cz_baselines *b);
const char *cz_compare_kind(const cz_results *r, size_t column, bool strongest);
CZ_MUST cz_status cz_compare_baseline(cz_buf *out, const cz_comparison *c, size_t column,
                                      bool strongest);
CZ_MUST cz_status cz_compare_rows(cz_buf *out, const cz_comparison *c, size_t column);
CZ_MUST cz_status cz_compare_remarks(cz_buf *out, const cz_comparison *c);

/* first.c: what is said first, of the control and of the values of an axis. */
CZ_MUST cz_status cz_compare_first(cz_buf *out, const cz_comparison *c);
size_t cz_compare_begins(const cz_comparison *c, size_t column, const char *listed, size_t *times,
                         size_t *known);
CZ_MUST cz_status cz_compare_order_begins(size_t *from, bool *clear, const cz_comparison *c,
                                          size_t column);

#endif
