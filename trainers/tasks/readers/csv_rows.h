/* Comma-separated rows from lines: quotes, doubled quotes and line ends inside quotes are
 * libcsv's business, blanks around a field belong to it, a stray quote is an error. */
#ifndef CZ_TASKS_READERS_CSV_ROWS_H
#define CZ_TASKS_READERS_CSV_ROWS_H

#include "tasks/readers/fields.h"

#include <csv.h>

typedef struct cz_csv_rows {
  struct csv_parser parser;
  bool is_open;
  cz_buf text; /* fields of the row under way, each with its NUL */
  size_t begins[CZ_FIELDS], n;
  size_t fed;         /* bytes of the row under way */
  int64_t first_line; /* where it began */
  int64_t row_line;   /* where the last whole row began */
  bool whole;
  cz_status st; /* what the parser's callbacks found */
} cz_csv_rows;

CZ_MUST cz_status cz_csv_rows_open(cz_csv_rows *r);
CZ_MUST cz_status cz_csv_rows_feed(cz_csv_rows *r, cz_fields *row, bool *whole, const cz_lines *at,
                                   const char *line);
CZ_MUST cz_status cz_csv_rows_drop(cz_csv_rows *r);
CZ_MUST cz_status cz_csv_rows_end(cz_csv_rows *r, const cz_lines *at);
void cz_csv_rows_close(cz_csv_rows *r);

#endif
