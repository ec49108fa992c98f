/* Cutting a workspace into arrays. A layout function takes one array after the other; run
 * at null first, the cursor ends at the bytes it needs. */
#ifndef CZ_KERNELS_COMMON_WORKSPACE_H
#define CZ_KERNELS_COMMON_WORKSPACE_H

#include "kernels/common/language.h"

#include <stddef.h>

CZ_C_BEGIN

/* The next BYTES at the cursor, which moves on to the next multiple of a cache line. */
static inline void *cz_take(char **at, size_t bytes) {
  void *p = *at;
  *at += (bytes + 63) / 64 * 64;
  return p;
}

CZ_C_END

#endif
