/* How commands print: tables with aligned columns, and JSON. */
#ifndef CZ_EXPERIMENT_REPORT_TABLE_H
#define CZ_EXPERIMENT_REPORT_TABLE_H

#include "base/mem.h"

#include <jansson.h>
#include <stdbool.h>

/* Cells row by row, COLUMNS in a row; the first row is the header. Zero-initialised but
 * for `columns` is empty. */
typedef struct cz_grid {
  size_t columns;
  cz_buf text; /* every cell with its NUL */
  size_t *at, n, cap;
} cz_grid;

/* Text of a number; on the stack of the expression that prints it. */
typedef struct cz_number {
  char text[32];
} cz_number;

cz_number cz_number_of(double value, int digits);
cz_number cz_number_signed(double value);
CZ_MUST cz_status cz_grid_add(cz_grid *g, const char *format, ...) CZ_PRINTF(2, 3);
CZ_MUST cz_status cz_grid_print(cz_buf *out, const cz_grid *g, unsigned left, bool colours);
CZ_MUST cz_status cz_grid_page(cz_buf *out, const cz_grid *g, const char *caption);
void cz_grid_free(cz_grid *g);
CZ_MUST cz_status cz_print_json(cz_buf *out, json_t *taken);

#endif
