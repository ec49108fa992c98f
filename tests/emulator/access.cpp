/* Shared memory, and every access of a kernel. Kernels are compiled with -fsanitize=thread in the
 * checking build of the module and linked without that sanitizer's library: the functions that the
 * compiler calls at each load and store are here. */
#include "emulator/access.h"
#include "emulator/counts.h"
#include "emulator/memory.h"

#include <link.h>
#include <stdlib.h>
#ifdef CZ_SANITIZED /* by address */
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n)
#define ASAN_UNPOISON_MEMORY_REGION(p, n)
#endif

enum { GUARD_BYTE = 0xa5, POISON = 0xff, GUARDS = 128 };
enum { ARENA = EMU_SHARED_BYTES + GUARDS * EMU_SHARED_GUARD };

/* ---- shared memory ---- */

[[maybe_unused]] static emu_cell *shared_cells(void) { /* of the one block that is checked */
  static emu_cell *cells = static_cast<emu_cell *>(calloc(ARENA / EMU_CELL, sizeof *cells));
  return cells;
}

void emu_begin_block(emu_worker *w, uint3 block, dim3 blocks) {
#ifdef CZ_EMULATOR_CHECKS
  emu_clocks_begin(1 + block.x + blocks.x * (block.y + blocks.y * block.z));
#endif
}

void emu_end_block(emu_worker *w) { ASAN_UNPOISON_MEMORY_REGION(w->shared, ARENA); }

void *emu_shared_array(emu_worker *w, const void *key, const char *name, size_t bytes,
                       size_t alignment) {
  if (!w->shared) w->shared = static_cast<unsigned char *>(aligned_alloc(EMU_PAGE, ARENA));
  if (!w->shared) abort();
  const size_t offset = (w->shared_end + EMU_SHARED_GUARD + alignment - 1) / alignment * alignment;
  memset(w->shared + w->shared_end, GUARD_BYTE, offset - w->shared_end);
  ASAN_POISON_MEMORY_REGION(w->shared + w->shared_end, offset - w->shared_end);
  memset(w->shared + offset, POISON, bytes);
#ifdef CZ_EMULATOR_CHECKS
  memset(static_cast<void *>(shared_cells() + offset / EMU_CELL), 0,
         (bytes + 1) / EMU_CELL * sizeof(emu_cell));
#endif
  w->shared_end = offset + bytes;
  w->shared_bytes += bytes;
  memset(w->shared + w->shared_end, GUARD_BYTE, EMU_SHARED_GUARD);
  ASAN_POISON_MEMORY_REGION(w->shared + w->shared_end, EMU_SHARED_GUARD);
  w->arrays.push_back(emu_array{key, name, offset, bytes});
  return w->shared + offset;
}

void *emu_shared(const void *key, const char *name, size_t bytes) {
  emu_worker *w = emu_worker_now;
  for (const emu_array &a : w->arrays)
    if (a.key == key) return w->shared + a.offset;
  if (w->shared_bytes + bytes > EMU_SHARED_BYTES || w->arrays.size() + 2 > GUARDS)
    emu_fail(emu_place{nullptr, 0}, "%s: %zu bytes of shared memory, and a block has %d", name,
             w->shared_bytes + bytes, EMU_SHARED_BYTES);
  return emu_shared_array(w, key, name, bytes, 16);
}

void *emu_shared_dynamic(void) {
  return emu_worker_now->shared + emu_worker_now->arrays.front().offset;
}

static const emu_array *array_at(const emu_worker *w, const void *p, size_t bytes) {
  const size_t at = (size_t)(static_cast<const unsigned char *>(p) - w->shared);
  for (const emu_array &a : w->arrays)
    if (at >= a.offset && at + bytes <= a.offset + a.bytes) return &a;
  return nullptr;
}

static bool in_arena(const emu_worker *w, const void *p) {
  const unsigned char *at = static_cast<const unsigned char *>(p);
  return at >= w->shared && at < w->shared + ARENA;
}

bool emu_in_shared(const void *p, size_t bytes) {
  const emu_worker *w = emu_worker_now;
  return in_arena(w, p) && array_at(w, p, bytes);
}

/* What a block wrote between its arrays; empty: nothing. */
std::string emu_shared_damage(const emu_worker *w) {
  size_t from = 0;
  for (size_t i = 0; i <= w->arrays.size(); i++) {
    const bool last = i == w->arrays.size();
    const size_t to = last ? w->shared_end + EMU_SHARED_GUARD : w->arrays[i].offset;
    ASAN_UNPOISON_MEMORY_REGION(w->shared + from, to - from);
    for (size_t at = from; at < to; at++)
      if (w->shared[at] != GUARD_BYTE)
        return emu_format_text("a write %zu bytes behind shared array %s, of %zu bytes", at - from,
                               i ? w->arrays[i - 1].name : "(none)",
                               i ? w->arrays[i - 1].bytes : 0);
    if (!last) from = w->arrays[i].offset + w->arrays[i].bytes;
  }
  return "";
}

/* ---- accesses ---- */

#ifdef CZ_EMULATOR_CHECKS

static struct {
  const unsigned char *argument;
  size_t argument_bytes;
} launch_now;

bool emu_begin_launch(const char *name, dim3 grid, dim3 block, size_t shared_bytes, void *argument,
                      size_t argument_bytes) {
  emu_time.launch++;
  launch_now.argument = static_cast<const unsigned char *>(argument);
  launch_now.argument_bytes = argument_bytes;
  emu_count_begin(name, grid, block, shared_bytes);
  return true;
}

void emu_end_launch(void) { emu_count_end(); }

struct module_search {
  const void *p;
  bool found, writable;
};

static int look_in(dl_phdr_info *info, size_t size, void *search) {
  module_search *s = static_cast<module_search *>(search);
  const uintptr_t at = (uintptr_t)s->p;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *h = &info->dlpi_phdr[i];
    const uintptr_t begin = info->dlpi_addr + h->p_vaddr;
    if (h->p_type == PT_LOAD && at >= begin && at < begin + h->p_memsz)
      return s->found = true, s->writable = h->p_flags & PF_W, 1;
  }
  return 0;
}

/* Constants of the program: tables that a compiler made, names of functions. */
static bool is_constant(const void *p) {
  module_search s = {p, false, false};
  dl_iterate_phdr(look_in, &s);
  return s.found;
}

static bool is_local(const emu_fiber *f, const void *p) {
  const unsigned char *at = static_cast<const unsigned char *>(p);
  return at >= f->stack && at < f->stack + EMU_STACK;
}

static bool is_argument(const void *p, size_t bytes) {
  const unsigned char *at = static_cast<const unsigned char *>(p);
  return at >= launch_now.argument && at + bytes <= launch_now.argument + launch_now.argument_bytes;
}

[[noreturn]] static void fail_access(const void *pc, emu_place at, bool writes, size_t bytes,
                                     const void *p, const char *why) {
  const std::string place = at.file ? emu_place_text(at) : emu_pc_text(pc);
  emu_fail(emu_place{nullptr, 0}, "%s: %s of %zu bytes at %p %s", place.c_str(),
           writes ? "write" : "read", bytes, p, why);
}

/* The cells of an address, or null for a constant, an argument or a local. */
static emu_cell *cells_at(const void *p, size_t bytes, bool writes, const void *pc, emu_place at) {
  const emu_worker *w = emu_worker_now;
  if (is_local(w->running, p)) return nullptr;
  if (in_arena(w, p)) {
    if (!array_at(w, p, bytes)) fail_access(pc, at, writes, bytes, p, "outside of shared arrays");
    return shared_cells() + (static_cast<const unsigned char *>(p) - w->shared) / EMU_CELL;
  }
  emu_allocation *a = emu_allocation_of(p);
  if (a) {
    const size_t from = (size_t)(static_cast<const unsigned char *>(p) - a->base);
    if (from + bytes > a->bytes) fail_access(pc, at, writes, bytes, p, emu_nearest_text(p));
    return emu_cells_of(a) + from / EMU_CELL;
  }
  if (!writes && (is_argument(p, bytes) || is_constant(p))) return nullptr;
  fail_access(pc, at, writes, bytes, p, emu_nearest_text(p));
}

static void check(const void *p, size_t bytes, bool writes, const void *pc, emu_place at) {
  const emu_fiber *f = emu_worker_now->running;
  emu_cell *cells = cells_at(p, bytes, writes, pc, at);
  if (!cells) return;
  emu_allocation *a = in_arena(emu_worker_now, p) ? nullptr : emu_allocation_of(p);
  if (emu_count_access(p, bytes, writes, pc, !a)) return;
  const size_t n = (bytes + EMU_CELL - 1) / EMU_CELL;
  for (size_t i = 0; i < n; i++) {
    if (!writes && !cells[i].set && !(a && a->filled))
      fail_access(pc, at, writes, bytes, p, "that nobody has written");
    const char *race = writes ? emu_note_write(&cells[i], f, pc) : emu_note_read(&cells[i], f, pc);
    if (race) fail_access(pc, at, writes, bytes, p, race);
  }
}

void emu_access(const void *p, size_t bytes, bool writes, emu_place at) {
  check(p, bytes, writes, __builtin_return_address(0), at);
}

/* What was written there is on its way and not to be read. */
void emu_forget(const void *p, size_t bytes) {
  const emu_worker *w = emu_worker_now;
  if (!in_arena(w, p)) return;
  emu_cell *cells = shared_cells() + (static_cast<const unsigned char *>(p) - w->shared) / EMU_CELL;
  for (size_t i = 0; i < bytes / EMU_CELL; i++) cells[i].set = false;
}

/* What the compiler calls. A thread of the host that runs no kernel is none of our business. */
static void compiled(const void *p, size_t bytes, bool writes, bool whole, const void *pc) {
  const emu_place nowhere = {nullptr, 0};
  if (!emu_worker_now || !emu_worker_now->running) return;
  if (whole && (uintptr_t)p % bytes)
    fail_access(pc, nowhere, writes, bytes, p, "which is not aligned");
  check(p, bytes, writes, pc, nowhere);
}

extern "C" {
#define EMU_ACCESSES(bytes)                                                                        \
  void __tsan_read##bytes(void *p) {                                                               \
    compiled(p, bytes, false, true, __builtin_return_address(0));                                  \
  }                                                                                                \
  void __tsan_write##bytes(void *p) {                                                              \
    compiled(p, bytes, true, true, __builtin_return_address(0));                                   \
  }                                                                                                \
  void __tsan_unaligned_read##bytes(void *p) {                                                     \
    compiled(p, bytes, false, false, __builtin_return_address(0));                                 \
  }                                                                                                \
  void __tsan_unaligned_write##bytes(void *p) {                                                    \
    compiled(p, bytes, true, false, __builtin_return_address(0));                                  \
  }
EMU_ACCESSES(1)
EMU_ACCESSES(2)
EMU_ACCESSES(4)
EMU_ACCESSES(8)
EMU_ACCESSES(16)
void __tsan_read_range(void *p, size_t n) {
  compiled(p, n, false, false, __builtin_return_address(0));
}
void __tsan_write_range(void *p, size_t n) {
  compiled(p, n, true, false, __builtin_return_address(0));
}
void __tsan_init(void) {}
void __tsan_func_entry(void *pc) {}
void __tsan_func_exit(void) {}
void __tsan_vptr_update(void **p, void *value) {}
void __tsan_vptr_read(void **p) {}

/* Copies that a compiler leaves to the library: objcopy renames them in the kernels' objects. */
void *emu_memcpy(void *to, const void *from, size_t n) {
  compiled(from, n, false, false, __builtin_return_address(0));
  compiled(to, n, true, false, __builtin_return_address(0));
  return memcpy(to, from, n);
}
void *emu_memmove(void *to, const void *from, size_t n) {
  compiled(from, n, false, false, __builtin_return_address(0));
  compiled(to, n, true, false, __builtin_return_address(0));
  return memmove(to, from, n);
}
void *emu_memset(void *to, int byte, size_t n) {
  compiled(to, n, true, false, __builtin_return_address(0));
  return memset(to, byte, n);
}
}

#else

bool emu_begin_launch(const char *name, dim3 grid, dim3 block, size_t shared_bytes, void *argument,
                      size_t argument_bytes) {
  return false;
}
void emu_end_launch(void) {}
void emu_access(const void *p, size_t bytes, bool writes, emu_place at) {}
void emu_forget(const void *p, size_t bytes) {}
void emu_count_event(emu_event event) {}
void emu_order_block(void) {}
void emu_order_lanes(int warp, unsigned mask) {}

#endif
