/* Names that are looked up: the nearest spelling of one that is unknown, and the one
 * message that says so.
 *
 * A misspelt key, task or option is answered with the nearest name, or with all names
 * where none is near. */
#ifndef CZ_BASE_NEAREST_H
#define CZ_BASE_NEAREST_H

#include "base/status.h"

#include <stddef.h>

/* What follows "unknown key 'WORD'" in a message; a value, so that it can stand in an
 * argument: cz_suggest(...).text. */
typedef struct cz_suggestion {
  char text[1024];
} cz_suggestion;

const char *cz_nearest(const char *word, const char *const *names, size_t count);
cz_suggestion cz_suggest(const char *word, const char *const *names, size_t count);
CZ_MUST cz_status cz_find_name(size_t *index, const char *what, const char *name,
                               const char *const *names, size_t count);

#endif
