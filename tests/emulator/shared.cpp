/* Shared memory of a block: an arena in which arrays lie between guards, filled with NaN. */
#include "emulator/emulator.h"

#include <stdlib.h>
#ifdef CZ_SANITIZED /* by address */
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n)
#define ASAN_UNPOISON_MEMORY_REGION(p, n)
#endif

static const size_t UNASKED = 48 * 1024; /* what a block has that has not asked for more */
enum { GUARD_BYTE = 0xa5, POISON = 0xff, ARRAYS = 128, DYNAMIC_ALIGNMENT = 128 };
static_assert(EMU_SHARED_BYTES + (ARRAYS + 2) * (EMU_SHARED_GUARD + 128) <= EMU_ARENA, "room");

static void *new_array(emu_worker *w, const void *key, const char *name, size_t bytes,
                       size_t alignment) {
  const size_t at = (w->shared_end + EMU_SHARED_GUARD + alignment - 1) / alignment * alignment;
  unsigned char *p = w->shared + at;
  ASAN_UNPOISON_MEMORY_REGION(w->shared + w->shared_end, at + bytes - w->shared_end);
  memset(w->shared + w->shared_end, GUARD_BYTE, at - w->shared_end);
  memset(p, POISON, bytes);
  memset(p + bytes, GUARD_BYTE, EMU_SHARED_GUARD);
  ASAN_POISON_MEMORY_REGION(w->shared + w->shared_end, at - w->shared_end);
  ASAN_POISON_MEMORY_REGION(p + bytes, EMU_SHARED_GUARD);
  w->shared_end = at + bytes;
  w->shared_bytes += bytes;
  w->arrays.push_back(emu_array{key, name, at, bytes, w->shared_grain});
  return p;
}

/* The address sanitizer is told of guards while a block runs. */
void emu_begin_shared(emu_worker *w, size_t dynamic_bytes) {
  if (!w->shared) w->shared = static_cast<unsigned char *>(aligned_alloc(EMU_PAGE, EMU_ARENA));
  if (!w->shared) abort();
  w->arrays.clear();
  w->shared_end = w->shared_bytes = 0;
  new_array(w, nullptr, "the dynamic array", dynamic_bytes, DYNAMIC_ALIGNMENT);
}

void emu_end_shared(emu_worker *w) { ASAN_UNPOISON_MEMORY_REGION(w->shared, EMU_ARENA); }

void *emu_shared(const void *key, const char *name, size_t bytes) {
  emu_worker *w = emu_worker_now;
  for (const emu_array &a : w->arrays)
    if (a.key == key) return w->shared + a.offset;
  const size_t has =
      w->arrays.front().bytes > CZ_SHARED_WITHOUT_ASKING ? emu_shared_limit() : UNASKED;
  if (w->shared_bytes + bytes > has)
    emu_fail(emu_place{nullptr, 0}, "%s: %zu bytes of shared memory, and the block has %zu", name,
             w->shared_bytes + bytes, has);
  if (w->arrays.size() == ARRAYS)
    emu_fail(emu_place{nullptr, 0}, "%s: more than %d shared arrays", name, ARRAYS);
  return new_array(w, key, name, bytes, 16);
}

void *emu_shared_dynamic(void) {
  return emu_worker_now->shared + emu_worker_now->arrays.front().offset;
}

emu_array *emu_shared_at(emu_worker *w, const void *p, size_t bytes) {
  const size_t at = (size_t)(static_cast<const unsigned char *>(p) - w->shared);
  for (emu_array &a : w->arrays)
    if (at >= a.offset && at + bytes <= a.offset + a.bytes) return &a;
  return nullptr;
}

bool emu_in_arena(const emu_worker *w, const void *p) {
  const unsigned char *at = static_cast<const unsigned char *>(p);
  return at >= w->shared && at < w->shared + EMU_ARENA;
}

bool emu_in_shared(const void *p, size_t bytes) {
  emu_worker *w = emu_worker_now;
  return emu_in_arena(w, p) && emu_shared_at(w, p, bytes);
}

/* What a block wrote between its arrays; empty: nothing. The address sanitizer has ended a process
 * that did. */
std::string emu_shared_damage(const emu_worker *w) {
#ifndef CZ_SANITIZED
  size_t from = 0;
  for (size_t i = 0; i <= w->arrays.size(); i++) {
    const bool last = i == w->arrays.size();
    const size_t to = last ? w->shared_end + EMU_SHARED_GUARD : w->arrays[i].offset;
    for (size_t at = from; at < to; at++)
      if (w->shared[at] != GUARD_BYTE)
        return emu_format_text("a write %zu bytes behind shared array %s, of %zu bytes", at - from,
                               i ? w->arrays[i - 1].name : "(none)",
                               i ? w->arrays[i - 1].bytes : 0);
    if (!last) from = w->arrays[i].offset + w->arrays[i].bytes;
  }
#endif
  return "";
}
