/* Every access of a kernel: whether it may be made, and then either whether it races (races.cpp) or
 * what it costs (counts.cpp). */
#include "emulator/access.h"
#include "emulator/counts.h"
#include "emulator/memory.h"
#include "emulator/source_lines.h"

#include <link.h>
#include <stdlib.h>
#include <sys/mman.h>

static struct {
  const unsigned char *argument; /* of the launch */
  size_t argument_bytes;
  emu_cell *cells; /* of shared memory: of the one block that runs */
} all;

bool emu_begin_launch(const char *name, const void *kernel, dim3 grid, dim3 block, void *argument,
                      size_t argument_bytes) {
  all.argument = static_cast<const unsigned char *>(argument);
  all.argument_bytes = argument_bytes;
  if (!all.cells) all.cells = static_cast<emu_cell *>(emu_zeros(EMU_ARENA * sizeof(emu_cell)));
  emu_time_launch();
  emu_count_launch(name, kernel, grid, block);
  return true;
}

void emu_end_launch(void) { emu_count_launched(); }

void emu_begin_block(emu_worker *w, uint3 block, dim3 blocks) {
  const int warps = (w->threads + EMU_WARP - 1) / EMU_WARP;
  emu_time_block(block.x + blocks.x * (block.y + blocks.y * block.z), warps);
  emu_count_block(w);
}

void emu_end_block(emu_worker *w) { emu_count_block_end(w); }

void emu_passed_barrier(emu_worker *w) {
  emu_time_barrier();
  emu_count_barrier(w);
}

void emu_met(emu_worker *w, int warp, unsigned mask) {
  if (!((w->warps[warp].lanes & ~w->warps[warp].left) & ~mask)) emu_count_warp(warp);
}

/* ---- what lies at an address ---- */

struct segment_search {
  const unsigned char *p;
  const unsigned char *begin, *end;
};

static int look_in(dl_phdr_info *info, size_t size, void *search) {
  segment_search *s = static_cast<segment_search *>(search);
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *h = &info->dlpi_phdr[i];
    const unsigned char *begin = reinterpret_cast<unsigned char *>(info->dlpi_addr + h->p_vaddr);
    if (h->p_type == PT_LOAD && !(h->p_flags & PF_W) && s->p >= begin && s->p < begin + h->p_memsz)
      return s->begin = begin, s->end = begin + h->p_memsz, 1;
  }
  return 0;
}

/* Constants of the program, which it cannot write: tables that a compiler made, names of functions.
 */
static bool is_constant(const void *p) {
  static segment_search last;
  const unsigned char *at = static_cast<const unsigned char *>(p);
  if (last.begin && at >= last.begin && at < last.end) return true;
  segment_search s = {at, nullptr, nullptr};
  dl_iterate_phdr(look_in, &s);
  if (s.begin) last = s;
  return s.begin;
}

static bool is_local(const emu_fiber *f, const void *p) {
  const unsigned char *at = static_cast<const unsigned char *>(p);
  return at >= f->stack && at < f->stack + EMU_STACK;
}

static bool is_argument(const void *p, size_t bytes) {
  const unsigned char *at = static_cast<const unsigned char *>(p);
  return at >= all.argument && at + bytes <= all.argument + all.argument_bytes;
}

/* ---- checks ---- */

static bool reads(emu_use use) { return use == EMU_READ || use == EMU_READ_ROW; }

[[noreturn]] static void fail_access(emu_site site, emu_use use, size_t bytes, const void *p,
                                     const char *why) {
  emu_fail(emu_place{nullptr, 0}, "%s: %s of %zu bytes at %p %s", emu_kept(emu_site_text(site)),
           reads(use) ? "read" : "write", bytes, p, why);
}

/* An access to COUNT cells of an allocation, or of shared memory: A is null. */
static void check(emu_cell *cells, size_t count, emu_allocation *a, const void *p, size_t bytes,
                  emu_use use, emu_site site) {
  const emu_fiber *f = emu_worker_now->running;
  const bool unknown = (reads(use) || use == EMU_ADD) && !(a && a->filled);
  for (size_t i = 0; i < count; i++) {
    if (unknown && !emu_is_set(&cells[i], !a))
      fail_access(site, use, bytes, p, "that nobody has written");
    const char *race = emu_note(&cells[i], f, use, !a, site.pc);
    if (race) fail_access(site, use, bytes, p, race);
  }
}

static void access_shared(emu_worker *w, const void *p, size_t bytes, emu_use use, emu_site site) {
  emu_array *array = emu_shared_at(w, p, bytes);
  size_t count;
  if (!array) fail_access(site, use, bytes, p, "outside of shared arrays");
  if (emu_counting()) return emu_count_access(nullptr, p, bytes, use, site);
  emu_shadow shadow = {all.cells + array->offset, array->bytes, array->grain};
  const size_t from = (size_t)(static_cast<const unsigned char *>(p) - w->shared) - array->offset;
  emu_cell *cells = emu_shadow_at(&shadow, from, bytes, &count);
  if (shadow.grain < w->shared_grain) w->shared_grain = shadow.grain;
  array->grain = shadow.grain;
  check(cells, count, nullptr, p, bytes, use, site);
}

static void access_device(emu_allocation *a, const void *p, size_t bytes, emu_use use,
                          emu_site site) {
  const size_t from = (size_t)(static_cast<const unsigned char *>(p) - a->base);
  size_t count;
  if (from + bytes > a->bytes) fail_access(site, use, bytes, p, emu_nearest_text(p));
  if (emu_counting()) return emu_count_access(a, p, bytes, use, site);
  emu_cell *cells = emu_shadow_at(emu_shadow_of(a), from, bytes, &count);
  check(cells, count, a, p, bytes, use, site);
}

void emu_access(const void *p, size_t bytes, emu_use use, emu_site site) {
  emu_worker *w = emu_worker_now;
  if (is_local(w->running, p)) return;
  if (emu_in_arena(w, p)) return access_shared(w, p, bytes, use, site);
  emu_allocation *a = emu_allocation_of(p);
  if (a) return access_device(a, p, bytes, use, site);
  if (!reads(use) || !(is_argument(p, bytes) || is_constant(p)))
    fail_access(site, use, bytes, p, emu_nearest_text(p));
}

void emu_forget(const void *p, size_t bytes) {
  emu_worker *w = emu_worker_now;
  emu_array *array = emu_counting() ? nullptr : emu_shared_at(w, p, bytes);
  size_t count;
  if (!array) return;
  emu_shadow shadow = {all.cells + array->offset, array->bytes, array->grain};
  const size_t from = (size_t)(static_cast<const unsigned char *>(p) - w->shared) - array->offset;
  emu_cell *cells = emu_shadow_at(&shadow, from, bytes, &count);
  for (size_t i = 0; i < count; i++) cells[i].set = 0;
}

/* ---- what the compiler calls ---- */

/* A thread of the host that runs no kernel is none of our business. */
static void compiled(const void *p, size_t bytes, bool writes, bool whole, const void *pc) {
  const emu_use use = writes ? EMU_WRITE : EMU_READ;
  const emu_site site = {pc, {nullptr, 0}};
  if (!emu_worker_now || !emu_worker_now->running) return;
  if (whole && (uintptr_t)p % bytes) fail_access(site, use, bytes, p, "which is not aligned");
  emu_access(p, bytes, use, site);
}

/* Kernels are compiled with -fsanitize=thread and linked without that sanitizer's library. */
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
