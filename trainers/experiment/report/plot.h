/* Plots as inline SVG: colours and text come from the page's style sheet, so that they
 * follow its light and dark themes. */
#ifndef CZ_EXPERIMENT_REPORT_PLOT_H
#define CZ_EXPERIMENT_REPORT_PLOT_H

#include "base/mem.h"

#include <stdbool.h>

enum { CZ_PLOT_COLOURS = 8 };

/* A line with a band; borrowed. NaN in Y breaks the line, NaN in BAND leaves it out. */
typedef struct cz_series {
  const char *name;
  const double *x, *y, *band;
  size_t n;
} cz_series;

/* A row of a dot plot. */
typedef struct cz_dot {
  const char *name;
  double value;     /* NaN: none */
  double low, high; /* ends of its interval; NaN: none */
  double other;     /* in the second panel; NaN: none */
} cz_dot;

/* All append to a page. Names and titles are texts of users: they are escaped here, never
 * by the caller. lines_log has a logarithmic x axis with 0 at its left end, and leaves out what is
 * below. Numbers that are not finite are left out and cannot reach the axes. */
CZ_MUST cz_status cz_html_text(cz_buf *out, const char *text);
CZ_MUST cz_status cz_plot_lines(cz_buf *out, const char *title, const char *x_name,
                                const char *y_name, const cz_series *series, size_t n);
CZ_MUST cz_status cz_plot_lines_log(cz_buf *out, const char *title, const char *x_name,
                                    const char *y_name, const cz_series *series, size_t n);
CZ_MUST cz_status cz_plot_dots(cz_buf *out, const char *title, const cz_dot *dots, size_t n,
                               double mark, const char *first, const char *second);

#endif
