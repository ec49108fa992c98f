/* Device memory: allocations between guards, full of NaN at first, and what is known of them. */
#include "emulator/memory.h"

#include <atomic>
#include <map>
#include <mutex>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#ifdef CZ_SANITIZED /* by address */
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n)
#define ASAN_UNPOISON_MEMORY_REGION(p, n)
#endif

enum { GUARD = 256, GUARD_BYTE = 0xa5, POISON = 0xff };

static struct {
  std::mutex lock;
  std::map<uintptr_t, emu_allocation> held; /* by where they end */
  size_t bytes;
  std::atomic<unsigned> freed; /* how often */
} all;

static cudaError_t state(void) { return emu_failed() ? cudaErrorLaunchFailure : cudaSuccess; }

/* ---- what is known of an address ---- */

/* Kernels go back and forth between a few arrays: the last ones found are looked at first. */
emu_allocation *emu_allocation_of(const void *p) {
  static thread_local emu_allocation *found[4] EMU_NEAR;
  static thread_local unsigned oldest EMU_NEAR, freed EMU_NEAR;
  const unsigned char *at = static_cast<const unsigned char *>(p);
  if (freed != all.freed) {
    freed = all.freed;
    for (emu_allocation *&a : found) a = nullptr;
  }
  for (emu_allocation *a : found)
    if (a && at >= a->base && at < a->base + a->bytes) return a;
  std::lock_guard<std::mutex> hold(all.lock);
  const auto next = all.held.upper_bound((uintptr_t)p);
  if (next == all.held.end() || at < next->second.base) return nullptr;
  return found[oldest++ % 4] = &next->second;
}

void *emu_zeros(size_t n) {
  void *p =
      mmap(nullptr, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) {
    perror("emulator: what is known of memory");
    abort();
  }
  return p;
}

emu_shadow *emu_shadow_of(emu_allocation *a) {
  if (!a->shadow.cells)
    a->shadow = emu_shadow{static_cast<emu_cell *>(emu_zeros(a->bytes * sizeof(emu_cell))),
                           a->bytes, EMU_GRAIN};
  return &a->shadow;
}

/* Where an address lies that is in no allocation, or leaves one. */
const char *emu_nearest_text(const void *p) {
  static std::string text;
  const unsigned char *at = static_cast<const unsigned char *>(p);
  std::lock_guard<std::mutex> hold(all.lock);
  text = "which is no device memory";
  for (const auto &each : all.held) {
    const emu_allocation &a = each.second;
    if (at + GUARD < a.base || at >= a.base + a.bytes + GUARD) continue;
    text = emu_format_text("which is at byte %td of an allocation of %zu", at - a.base, a.bytes);
  }
  return text.c_str();
}

#if !defined(CZ_EMULATOR_CHECKS) && !defined(CZ_SANITIZED) /* which see every access */
/* Says of which allocation the surroundings were written. */
static void check_guard(const emu_allocation *a) {
  for (size_t i = 0; i < GUARD; i++) {
    const bool before = a->base[-1 - (ptrdiff_t)i] != GUARD_BYTE;
    if (before || a->base[a->bytes + i] != GUARD_BYTE)
      return emu_set_error(emu_format_text("a write %zu bytes %s device memory of %zu bytes", i + 1,
                                           before ? "before" : "behind", a->bytes));
  }
}

void emu_check_guards(void) {
  std::lock_guard<std::mutex> hold(all.lock);
  for (const auto &each : all.held) check_guard(&each.second);
}
#else
void emu_check_guards(void) {}
#endif

/* The host has written N bytes: they are no longer unknown. */
static void note_host_write(void *to, size_t n) {
  emu_allocation *a = n ? emu_allocation_of(to) : nullptr;
  if (!a || a->filled) return;
  a->filled = n == a->bytes;
#ifdef CZ_EMULATOR_CHECKS
  size_t count = 0;
  if (a->filled) return;
  const size_t from = (size_t)(static_cast<unsigned char *>(to) - a->base);
  emu_cell *cells = emu_shadow_at(emu_shadow_of(a), from, n, &count);
  for (size_t i = 0; i < count; i++) cells[i].set = 1;
#endif
}

/* Device memory has to hold N bytes from P on. */
static bool holds(const void *p, size_t n) {
  const emu_allocation *a = emu_allocation_of(p);
  return n == 0 || (a && static_cast<const unsigned char *>(p) + n <= a->base + a->bytes);
}

/* ---- memory ---- */

cudaError_t cudaMalloc(void **p, size_t bytes) {
  *p = nullptr;
  if (state() != cudaSuccess) return state();
  std::lock_guard<std::mutex> hold(all.lock);
  if (all.bytes + bytes > emu_memory_limit()) return emu_cuda_failed(cudaErrorMemoryAllocation);
  const size_t whole = (bytes + 2 * GUARD + 255) / 256 * 256;
  unsigned char *raw = static_cast<unsigned char *>(aligned_alloc(256, whole));
  if (!raw) return emu_cuda_failed(cudaErrorMemoryAllocation);
  unsigned char *base = raw + GUARD;
  memset(raw, GUARD_BYTE, GUARD);
  memset(base, POISON, bytes);
  memset(base + bytes, GUARD_BYTE, whole - GUARD - bytes);
  ASAN_POISON_MEMORY_REGION(raw, GUARD);
  ASAN_POISON_MEMORY_REGION(base + bytes, whole - GUARD - bytes);
  all.held[(uintptr_t)(base + bytes)] = emu_allocation{base, bytes, false, {}, nullptr, 0, 0};
  all.bytes += bytes;
  *p = base;
  return cudaSuccess;
}

cudaError_t cudaFree(void *p) {
  if (!p) return cudaSuccess;
  std::lock_guard<std::mutex> hold(all.lock);
  for (auto at = all.held.begin(); at != all.held.end(); ++at) {
    const emu_allocation *a = &at->second;
    if (a->base != p) continue;
    all.bytes -= a->bytes;
    if (a->shadow.cells) munmap(a->shadow.cells, a->bytes * sizeof(emu_cell));
    if (a->uses) munmap(a->uses, a->bytes);
    ASAN_UNPOISON_MEMORY_REGION(a->base - GUARD, a->bytes + 2 * GUARD);
    free(a->base - GUARD);
    all.held.erase(at);
    all.freed++; /* what was found last may be this one */
    return cudaSuccess;
  }
  return emu_cuda_failed(cudaErrorInvalidValue);
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total) {
  *total = emu_memory_limit();
  *free_bytes = *total > all.bytes ? *total - all.bytes : 0;
  return cudaSuccess;
}

cudaError_t cudaHostAlloc(void **p, size_t bytes, unsigned flags) {
  *p = aligned_alloc(256, (bytes + 255) / 256 * 256);
  return *p ? cudaSuccess : emu_cuda_failed(cudaErrorMemoryAllocation);
}

cudaError_t cudaFreeHost(void *p) {
  free(p);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t n, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  if (state() != cudaSuccess) return state();
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice,
             from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if ((to_device && !holds(to, n)) || (from_device && !holds(from, n)))
    return emu_cuda_failed(cudaErrorInvalidValue);
  if (n) memcpy(to, from, n);
  if (to_device) note_host_write(to, n);
  return cudaSuccess;
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t n, cudaMemcpyKind kind) {
  return cudaMemcpyAsync(to, from, n, kind, nullptr);
}

cudaError_t cudaMemsetAsync(void *p, int byte, size_t n, cudaStream_t stream) {
  if (state() != cudaSuccess) return state();
  if (!holds(p, n)) return emu_cuda_failed(cudaErrorInvalidValue);
  if (n) memset(p, byte, n);
  note_host_write(p, n);
  return cudaSuccess;
}
