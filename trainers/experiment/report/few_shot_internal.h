/* What the files that show few-shot stages share; nobody else includes it. */
#ifndef CZ_EXPERIMENT_REPORT_FEW_SHOT_INTERNAL_H
#define CZ_EXPERIMENT_REPORT_FEW_SHOT_INTERNAL_H

#include "experiment/report/contrasts.h"
#include "experiment/report/few_shot.h"
#include "experiment/report/table.h"

/* A line of a table: one classifier of a stage, or with no name the stage's members. */
typedef struct cz__line {
  size_t row, stage;
  const char *name; /* key of the stage's metrics; null: all of them */
} cz__line;

typedef struct cz__lines {
  cz__line *at;
  size_t n, cap;
} cz__lines;

/* few_shot.c */
const json_t *cz__line_metrics(const cz_results *r, const cz__line *l, size_t seed);
cz_interval cz__line_number(const cz_results *r, const cz__line *l, const char *path,
                            const char *minus, double scale, double *x);
CZ_MUST cz_status cz__line_head(cz_grid *g, const cz_results *r, const cz__line *l);
CZ_MUST cz_status cz__line_header(cz_grid *g);
json_t *cz__line_json(const cz_interval *x);

/* few_shot_lists.c */
CZ_MUST cz_status cz__few_shot_shares(cz_grid *g, const cz_results *r, const cz__lines *all,
                                      double *x);
CZ_MUST cz_status cz__few_shot_each_pattern(cz_grid *g, const cz_results *r, const cz__lines *all,
                                            double *x);
CZ_MUST cz_status cz__shares_json(json_t *o, const cz_results *r, const cz__line *l, double *x);
CZ_MUST cz_status cz__each_pattern_json(json_t *o, const cz_results *r, const cz__line *l,
                                        double *x);

/* few_shot_plots.c */
CZ_MUST cz_status cz__few_shot_plots(cz_buf *out, const cz_results *r, const cz__lines *all,
                                     double *x);
CZ_MUST cz_status cz__bins_json(json_t *o, const cz_results *r, const cz__line *l);

#endif
