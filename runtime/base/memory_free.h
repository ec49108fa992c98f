/* How much memory processes may still take before the system begins to kill some. */
#ifndef CZ_BASE_MEMORY_FREE_H
#define CZ_BASE_MEMORY_FREE_H

#include "base/status.h"

#include <stdint.h>

typedef struct cz_memory_free {
  int64_t bytes;    /* INT64_MAX: nothing says how many */
  const char *says; /* who: "CZ_MEMORY", "/proc/meminfo", "the control group"; static */
} cz_memory_free;

CZ_MUST cz_status cz_memory_free_find(cz_memory_free *m, const char *root);

#endif
