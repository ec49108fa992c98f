/* The parts of a report that are over the values of the plan's axis. */
#ifndef CZ_EXPERIMENT_REPORT_AXIS_H
#define CZ_EXPERIMENT_REPORT_AXIS_H

#include "experiment/report/compare.h"

#include <jansson.h>

size_t cz_axis_row(const cz_plan *plan, const char *listed, size_t point);
bool cz_axis_first(const cz_plan *plan, size_t row);
bool cz_axis_paper_by_value(const cz_results *r, size_t column, size_t row);
const char *cz_axis_program_kind(const cz_results *r, size_t column, size_t number);
CZ_MUST cz_status cz_axis_program(cz_buf *out, const cz_results *r, size_t column, const char *kind,
                                  size_t point);
bool cz_axis_has_line(const cz_comparison *t, size_t column, size_t row);
bool cz_axis_has_table(const cz_comparison *t, size_t column);
bool cz_axis_shown(const cz_plan *plan, size_t row);
CZ_MUST cz_status cz_axis_text(cz_buf *out, const cz_comparison *t, bool colours);
json_t *cz_axis_point_json(const cz_results *r, size_t row);
CZ_MUST cz_status cz_axis_json(json_t *root, const cz_comparison *t);
/* axis_page.c */
CZ_MUST cz_status cz_axis_figures(cz_buf *out, const cz_comparison *t);

#endif
