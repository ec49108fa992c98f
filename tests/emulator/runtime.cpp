/* Device memory and the functions of the CUDA runtime that the module calls. Everything happens
 * when it is called; an error of a kernel stays, as on a card, until somebody takes it. */
#include "emulator/access.h"
#include "emulator/memory.h"

#include <chrono>
#include <map>
#include <mutex>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { GUARD = 256, GUARD_BYTE = 0xa5, POISON = 0xff };

static struct {
  std::mutex lock;
  std::map<uintptr_t, emu_allocation> held; /* by where they end */
  size_t bytes;
  cudaError_t last;
} all;

static size_t cells_bytes(size_t bytes) {
  return (bytes + EMU_CELL - 1) / EMU_CELL * sizeof(emu_cell);
}

static cudaError_t failed(cudaError_t error) { return all.last = error; }

static cudaError_t state(void) { return emu_failed() ? cudaErrorLaunchFailure : cudaSuccess; }

/* ---- what is known of an address ---- */

emu_allocation *emu_allocation_of(const void *p) {
  static thread_local emu_allocation *found;
  const unsigned char *at = static_cast<const unsigned char *>(p);
  if (found && found->base && at >= found->base && at < found->base + found->bytes) return found;
  std::lock_guard<std::mutex> hold(all.lock);
  const auto next = all.held.upper_bound((uintptr_t)p);
  if (next == all.held.end() || at < next->second.base) return nullptr;
  return found = &next->second;
}

/* Zeros that take memory when they are written. */
emu_cell *emu_cells_of(emu_allocation *a) {
  if (a->cells) return a->cells;
  void *p = mmap(nullptr, cells_bytes(a->bytes), PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) {
    perror("emulator: cells of an allocation");
    abort();
  }
  return a->cells = static_cast<emu_cell *>(p);
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

#ifndef CZ_EMULATOR_CHECKS /* which sees every access */
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
  if (n == a->bytes) a->filled = true;
#ifdef CZ_EMULATOR_CHECKS
  const size_t from = (size_t)(static_cast<unsigned char *>(to) - a->base);
  emu_cell *cells = emu_cells_of(a);
  for (size_t i = from / EMU_CELL; !a->filled && i < (from + n + EMU_CELL - 1) / EMU_CELL; i++)
    cells[i].set = true;
#endif
}

/* Device memory has to hold N bytes from P on. */
static bool holds(const void *p, size_t n) {
  const emu_allocation *a = emu_allocation_of(p);
  return n == 0 || (a && static_cast<const unsigned char *>(p) + n <= a->base + a->bytes);
}

/* ---- memory ---- */

static size_t limit(void) {
  const char *text = getenv("CZ_EMULATOR_MEMORY");
  return text ? (size_t)strtoull(text, nullptr, 10)
              : (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE) / 2;
}

cudaError_t cudaMalloc(void **p, size_t bytes) {
  *p = nullptr;
  if (state() != cudaSuccess) return state();
  std::lock_guard<std::mutex> hold(all.lock);
  if (all.bytes + bytes > limit()) return failed(cudaErrorMemoryAllocation);
  const size_t whole = (bytes + 2 * GUARD + 255) / 256 * 256;
  unsigned char *raw = static_cast<unsigned char *>(aligned_alloc(256, whole));
  if (!raw) return failed(cudaErrorMemoryAllocation);
  memset(raw, GUARD_BYTE, GUARD);
  memset(raw + GUARD, POISON, bytes);
  memset(raw + GUARD + bytes, GUARD_BYTE, whole - GUARD - bytes);
  all.held[(uintptr_t)(raw + GUARD + bytes)] = emu_allocation{raw + GUARD, bytes, false, nullptr};
  all.bytes += bytes;
  *p = raw + GUARD;
  return cudaSuccess;
}

cudaError_t cudaFree(void *p) {
  if (!p) return cudaSuccess;
  std::lock_guard<std::mutex> hold(all.lock);
  for (auto at = all.held.begin(); at != all.held.end(); ++at) {
    emu_allocation *a = &at->second;
    if (a->base != p) continue;
    all.bytes -= a->bytes;
    if (a->cells) munmap(a->cells, cells_bytes(a->bytes));
    free(a->base - GUARD);
    a->base = nullptr; /* of a last find */
    all.held.erase(at);
    return cudaSuccess;
  }
  return failed(cudaErrorInvalidValue);
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total) {
  *total = limit();
  *free_bytes = *total - all.bytes;
  return cudaSuccess;
}

cudaError_t cudaHostAlloc(void **p, size_t bytes, unsigned flags) {
  *p = aligned_alloc(256, (bytes + 255) / 256 * 256);
  return *p ? cudaSuccess : failed(cudaErrorMemoryAllocation);
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
    return failed(cudaErrorInvalidValue);
  if (n) memcpy(to, from, n);
  if (to_device) note_host_write(to, n);
  return cudaSuccess;
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t n, cudaMemcpyKind kind) {
  return cudaMemcpyAsync(to, from, n, kind, nullptr);
}

cudaError_t cudaMemsetAsync(void *p, int byte, size_t n, cudaStream_t stream) {
  if (state() != cudaSuccess) return state();
  if (!holds(p, n)) return failed(cudaErrorInvalidValue);
  if (n) memset(p, byte, n);
  note_host_write(p, n);
  return cudaSuccess;
}

/* ---- streams and events ---- */

struct CUstream_st {
  int unused;
};
struct CUevent_st {
  std::chrono::steady_clock::time_point at;
};

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags) {
  *stream = new CUstream_st();
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) { return state(); }
cudaError_t cudaDeviceSynchronize(void) { return state(); }

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags) {
  return state();
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags) {
  *event = new CUevent_st();
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  event->at = std::chrono::steady_clock::now();
  return state();
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) { return state(); }
cudaError_t cudaEventQuery(cudaEvent_t event) { return state(); }

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t first, cudaEvent_t second) {
  *ms = std::chrono::duration<float, std::milli>(second->at - first->at).count();
  return cudaSuccess;
}

/* ---- the card and errors ---- */

enum { CORES = 3 }; /* few, so that loops over more than a grid have more than one turn */

cudaError_t cudaGetDeviceCount(int *n) {
  *n = 1;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  return device == 0 ? cudaSuccess : failed(cudaErrorInvalidDevice);
}

cudaError_t cudaGetDevice(int *device) {
  *device = 0;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int device) {
  *p = {};
  snprintf(p->name, sizeof p->name, "emulator");
  p->totalGlobalMem = limit();
  p->sharedMemPerBlockOptin = EMU_SHARED_BYTES;
  p->multiProcessorCount = CORES;
  p->major = 9, p->minor = 0, p->warpSize = EMU_WARP;
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaPeekAtLastError(void) { return state() != cudaSuccess ? state() : all.last; }

cudaError_t cudaGetLastError(void) {
  const cudaError_t error = cudaPeekAtLastError();
  all.last = cudaSuccess;
  return error;
}

const char *cudaGetErrorName(cudaError_t error) {
  return error == cudaErrorLaunchFailure          ? "cudaErrorLaunchFailure"
         : error == cudaErrorMemoryAllocation     ? "cudaErrorMemoryAllocation"
         : error == cudaErrorInvalidConfiguration ? "cudaErrorInvalidConfiguration"
         : error == cudaErrorInvalidValue         ? "cudaErrorInvalidValue"
                                                  : "cudaError";
}

/* Of a kernel that failed, how. */
const char *cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorLaunchFailure && emu_failed() ? emu_error_text()
                                                         : cudaGetErrorName(error);
}
