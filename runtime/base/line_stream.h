/* Lines of a file or a pipe, one at a time, in memory that does not grow with the file.
 *
 * Lines end as in base/lines.h, and are checked as they come: each is UTF-8 without a NUL
 * byte. A line that is not is refused with its place, and the one behind it can be read. */
#ifndef CZ_BASE_LINE_STREAM_H
#define CZ_BASE_LINE_STREAM_H

#include "base/mem.h"

#include <stdbool.h>

enum { CZ_LINE_BYTES = 64 << 20 }; /* that a line may have */

/* Zero-initialised can be closed. */
typedef struct cz_line_stream {
  const char *name; /* for messages; borrowed */
  int fd;
  bool is_open, ended;
  bool
      after_return; /* the last line ended in CR; what belongs to that end is still to be skipped */
  cz_buf bytes;     /* read; those before `at` have been given */
  size_t at;
  int64_t number; /* of the line last given, from 1 */
} cz_line_stream;

CZ_MUST cz_status cz_line_stream_open(cz_line_stream *s, const char *path);
CZ_MUST cz_status cz_line_stream_next(cz_line_stream *s, char **line, size_t *n, bool *more);
bool cz_line_stream_has_line(const cz_line_stream *s);
void cz_line_stream_close(cz_line_stream *s);

#endif
