/* Lines of a text. CR, LF, CRLF and CR CR LF (a CRLF that a program in text mode has
 * converted once more) all end a line: one rule for every reader of text. */
#ifndef CZ_BASE_LINES_H
#define CZ_BASE_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A walk over the lines of a text, which it borrows. */
typedef struct cz_line_walk {
  const char *name; /* of the file, for messages */
  const char *at, *end;
  int64_t number; /* of the line last given, from 1 */
} cz_line_walk;

/* The last line may lack its line end. Nothing follows a line end at the end of the text,
 * not even an empty line, so adding a missing one does not change the number of records.
 * Blank: no bytes but spaces and tabs; readers of records skip such lines. */
cz_line_walk cz_line_walk_over(const char *text, size_t n, const char *name);
bool cz_line_next(cz_line_walk *l, const char **line, size_t *n);
bool cz_line_is_blank(const char *line, size_t n);

#endif
