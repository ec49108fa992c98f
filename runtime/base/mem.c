#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** Allocates COUNT zeroed items of SIZE bytes and stores the pointer in *OUT (the address
 * of any object pointer; null on failure). The caller frees. */
cz_status cz_alloc(void *out, size_t count, size_t size) {
  void *p = calloc(count ? count : 1, size ? size : 1);
  memcpy(out, &p, sizeof p);
  return p ? CZ_OK : CZ_FAIL(CZ_ENOMEM, "no memory for %zu items of %zu bytes", count, size);
}

/** Makes room for NEEDED items of SIZE bytes in the array whose pointer lies at ARRAY, at
 * least doubling; new room is zeroed. */
cz_status cz_grow(void *array, size_t *capacity, size_t needed, size_t size) {
  if (needed <= *capacity) return CZ_OK;
  size_t cap = *capacity ? *capacity : 16;
  while (cap < needed) {
    if (cap > SIZE_MAX / 2 / (size ? size : 1))
      return CZ_FAIL(CZ_ENOMEM, "no memory for %zu items of %zu bytes", needed, size);
    cap *= 2;
  }
  void *old, *p;
  memcpy(&old, array, sizeof old);
  p = realloc(old, cap * size);
  if (!p) return CZ_FAIL(CZ_ENOMEM, "no memory for %zu items of %zu bytes", cap, size);
  memset((char *)p + *capacity * size, 0, (cap - *capacity) * size);
  memcpy(array, &p, sizeof p);
  *capacity = cap;
  return CZ_OK;
}

/** Appends N bytes; BYTES may not point into the buffer. */
cz_status cz_buf_add(cz_buf *b, const void *bytes, size_t n) {
  CZ_TRY(cz_grow(&b->data, &b->cap, b->len + n + 1, 1));
  if (n) memcpy(b->data + b->len, bytes, n);
  b->len += n;
  b->data[b->len] = '\0';
  return CZ_OK;
}

/** Appends formatted text. */
cz_status cz_buf_addf(cz_buf *b, const char *format, ...) {
  va_list args, again;
  va_start(args, format);
  va_copy(again, args);
  int n = vsnprintf(NULL, 0, format, args);
  va_end(args);
  cz_status st = n < 0 ? CZ_FAIL(CZ_EINVAL, "bad format %s", format)
                       : cz_grow(&b->data, &b->cap, b->len + (size_t)n + 1, 1);
  if (st == CZ_OK) b->len += (size_t)vsnprintf(b->data + b->len, (size_t)n + 1, format, again);
  va_end(again);
  return st;
}

/** Frees the bytes and empties the buffer. */
void cz_buf_free(cz_buf *b) {
  free(b->data);
  *b = (cz_buf){0};
}

typedef struct block {
  struct block *next;
  size_t used, size;
  max_align_t bytes[];
} block;

struct cz_arena {
  const char *name;
  block *blocks;
};

/** Creates an empty arena. NAME is borrowed and appears in messages. */
cz_status cz_arena_create(cz_arena **arena, const char *name) {
  CZ_TRY(cz_alloc(arena, 1, sizeof **arena));
  (*arena)->name = name;
  return CZ_OK;
}

/** Allocates COUNT zeroed items of SIZE bytes that live as long as the arena; *OUT is the
 * address of any object pointer. */
cz_status cz_arena_alloc(cz_arena *arena, void *out, size_t count, size_t size) {
  enum { BLOCK = 64 << 10, ALIGN = sizeof(max_align_t) };
  if (size && count > (SIZE_MAX / 2) / size)
    return CZ_FAIL(CZ_ENOMEM, "arena %s: %zu items of %zu bytes are too many", arena->name, count,
                   size);
  size_t bytes = (count * size + ALIGN - 1) / ALIGN * ALIGN;
  if (!arena->blocks || arena->blocks->size - arena->blocks->used < bytes) {
    size_t room = bytes > BLOCK ? bytes : BLOCK;
    block *b = calloc(1, sizeof *b + room);
    if (!b) return CZ_FAIL(CZ_ENOMEM, "arena %s: no memory for %zu bytes", arena->name, room);
    b->size = room;
    b->next = arena->blocks;
    arena->blocks = b;
  }
  void *p = (char *)arena->blocks->bytes + arena->blocks->used;
  arena->blocks->used += bytes;
  memcpy(out, &p, sizeof p);
  return CZ_OK;
}

/** Copies TEXT into the arena. */
cz_status cz_arena_strdup(cz_arena *arena, char **out, const char *text) {
  size_t n = strlen(text) + 1;
  CZ_TRY(cz_arena_alloc(arena, out, n, 1));
  memcpy(*out, text, n);
  return CZ_OK;
}

/** Frees everything in the arena, clears the pointer, accepts null. */
void cz_arena_destroy(cz_arena **arena) {
  if (!*arena) return;
  for (block *b = (*arena)->blocks, *next; b; b = next) {
    next = b->next;
    free(b);
  }
  free(*arena);
  *arena = NULL;
}
