/* Where commands write: that it is none of what they read, and lines that are out of the program's
 * hands when a call returns. */
#ifndef CZ_COMMANDS_OUTPUTS_H
#define CZ_COMMANDS_OUTPUTS_H

#include "base/mem.h"

/* Lines, in order; zero-initialised can be closed. */
typedef struct cz_line_output {
  const char *name; /* for messages; borrowed */
  int fd;
} cz_line_output;

CZ_MUST cz_status cz_output_is_new(const char *out, const char *input, const char *folder);
CZ_MUST cz_status cz_line_output_open(cz_line_output *o, const char *path);
CZ_MUST cz_status cz_line_output_flush(cz_line_output *o, cz_buf *lines);
CZ_MUST cz_status cz_line_output_close(cz_line_output *o);

#endif
