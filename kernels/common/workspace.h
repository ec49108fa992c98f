/* Cutting a workspace into arrays. A layout function takes one array after the other. Run
 * at null first, with the same sizes, the cursor ends at the bytes that it needs: so what
 * is measured and what is used cannot differ. The cursor is a number, as null has no
 * offsets in C.
 *
 * Every step of the cursor is a multiple of 64, so offsets do not depend on where the
 * workspace begins, and arrays are aligned as well as the workspace itself is. Two
 * threads never write to one cache line through two arrays. */
#ifndef CZ_KERNELS_COMMON_WORKSPACE_H
#define CZ_KERNELS_COMMON_WORKSPACE_H

#include "kernels/common/language.h"

#include <stddef.h>
#include <stdint.h>

CZ_C_BEGIN

/* The next BYTES at the cursor, which moves on to the next multiple of a cache line. No
 * bytes are a pointer too, which must not be read through. */
static inline void *cz_take(uintptr_t *at, size_t bytes) {
  void *p = (void *)*at;
  *at += (bytes + 63) / 64 * 64;
  return p;
}

CZ_C_END

#endif
