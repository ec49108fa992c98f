/* Memory: checked allocation, a growable buffer, and bump arenas by lifetime. */
#ifndef CZ_BASE_MEM_H
#define CZ_BASE_MEM_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* A growable run of bytes, always followed by a NUL that is not counted. Zero-initialised
 * is empty. */
typedef struct cz_buf {
  char *data;
  size_t len, cap;
} cz_buf;

/* Many small allocations that die together. Blocks never move, so addresses into an arena
 * stay good as it grows. Not for several threads at once. */
typedef struct cz_arena cz_arena;

/* `out` and `array` are addresses of pointers of any type, passed as void * because C has
 * no generic pointer to a pointer. A product count x size that overflows is CZ_ENOMEM, as
 * is memory that the system does not give. Growing at least doubles, so n appends copy
 * less than 2 n items. */
CZ_MUST cz_status cz_alloc(void *out, size_t count, size_t size);
CZ_MUST cz_status cz_grow(void *array, size_t *capacity, size_t needed, size_t size);

CZ_MUST cz_status cz_buf_add(cz_buf *b, const void *bytes, size_t n);
CZ_MUST cz_status cz_buf_addf(cz_buf *b, const char *format, ...) CZ_PRINTF(2, 3);
void cz_buf_free(cz_buf *b);

CZ_MUST cz_status cz_arena_create(cz_arena **arena, const char *name);
CZ_MUST cz_status cz_arena_alloc(cz_arena *arena, void *out, size_t count, size_t size);
CZ_MUST cz_status cz_arena_strdup(cz_arena *arena, char **out, const char *text);
void cz_arena_destroy(cz_arena **arena);

#endif
