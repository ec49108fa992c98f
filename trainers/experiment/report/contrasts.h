/* The contrasts of a plan: the difference of two rows at each value of the axis, paired over seeds
 * and test examples, and what can be said of it. */
#ifndef CZ_EXPERIMENT_REPORT_CONTRASTS_H
#define CZ_EXPERIMENT_REPORT_CONTRASTS_H

#include "experiment/report/compare.h"

#include <jansson.h>

CZ_MUST cz_status cz_contrasts_fill(cz_comparison *t);
const cz_pair_cell *cz_contrasts_at(const cz_comparison *t, size_t column, size_t pair);
CZ_MUST cz_status cz_contrasts_means(double *means, size_t *seeds, const cz_results *r,
                                     size_t column, const size_t *rows, size_t n);
cz_seeds_draw cz_contrasts_draws(const cz_plan *p, const cz_pair *pair);
const char *cz_contrasts_over(cz_seeds_draw d);
const char *cz_contrasts_counted(cz_seeds_draw d, size_t n);
CZ_MUST cz_status cz_contrasts_words(cz_buf *out, const cz_comparison *t, size_t column);
CZ_MUST cz_status cz_contrasts_deviation(cz_buf *out, const cz_comparison *t);
CZ_MUST cz_status cz_contrasts_text(cz_buf *out, const cz_comparison *t, bool colours);
CZ_MUST cz_status cz_contrasts_page(cz_buf *out, const cz_comparison *t);
CZ_MUST cz_status cz_contrasts_json(json_t *root, const cz_comparison *t,
                                    json_t *(*interval)(const cz_interval *));

#endif
