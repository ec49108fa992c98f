#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include "fake.h"
#include "device/hidden.h"

#include <cuda_runtime_api.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ENTRIES = 1 << 16, ARGUMENT = 640, PINNED = 16, FRONT = 1 << 20 };

/* A card that works. */
fake_state fake = {.driver = 13000,
                   .cards = 1,
                   .major = 9,
                   .card = "Fake H100",
                   .library = 130100,
                   .memory = (size_t)1 << 30,
                   .algorithms = 2,
                   .algorithm = {{.seconds = {2e-3, 2e-3}, .runs = true},
                                 {.seconds = {1e-3, 1e-3}, .runs = true}}};

/* A program has no other way to be told: FAKE_CARD is a list of NAME=NUMBER. */
__attribute__((constructor)) static void from_environment(void) {
  const char *at = getenv("FAKE_CARD");
  for (char name[16]; at && *at; at += strcspn(at, ","), at += *at == ',') {
    long long number;
    if (sscanf(at, "%15[a-z]=%lld", name, &number) != 2) abort();
    if (!strcmp(name, "driver"))
      fake.driver = (int)number;
    else if (!strcmp(name, "cards"))
      fake.cards = (int)number;
    else if (!strcmp(name, "major"))
      fake.major = (int)number;
    else if (!strcmp(name, "minor"))
      fake.minor = (int)number;
    else if (!strcmp(name, "library"))
      fake.library = (size_t)number;
    else if (!strcmp(name, "memory"))
      fake.memory = (size_t)number;
    else
      abort();
  }
}

typedef struct entry {
  void (*run)(void *argument);
  unsigned char argument[ARGUMENT];
  double seconds, asked; /* asked: when, on the host's clock */
  bool kernel;
} entry;

struct CUevent_st {
  uint64_t place; /* reached when as many entries have run; 0: it was not recorded */
  double at;
};

static struct {
  entry *entry;
  uint64_t called, run;
  cudaError_t sticky, last;
  struct {
    unsigned char *at;
    size_t bytes;
  } pinned[PINNED];
} all;

void fake_wrong(const char *format, ...) {
  va_list args;
  va_start(args, format);
  if (!fake.wrong++) vsnprintf(fake.why, sizeof fake.why, format, args);
  va_end(args);
}

static cudaError_t failed(cudaError_t error) { return all.last = error; }

/* ---- the stream ---- */

static void run_next(void) {
  entry *e = &all.entry[all.run++ % ENTRIES];
  fake.waiting--;
  if (all.sticky) return;
  if (fake.clock < e->asked) fake.clock = e->asked;
  fake.clock += e->seconds;
  if (e->kernel && ++fake.kernels == fake.fail_at) {
    all.sticky = cudaErrorIllegalAddress;
    return;
  }
  e->run(e->argument);
}

static void run_until(uint64_t place) {
  if (all.run >= place) return;
  hidden_show(true);
  while (all.run < place) run_next();
  hidden_show(false);
  if (fake.host < fake.clock) fake.host = fake.clock;
}

void fake_put(void (*run)(void *argument), const void *argument, size_t bytes, double seconds,
              bool kernel) {
  if (!all.entry) all.entry = calloc(ENTRIES, sizeof *all.entry);
  if (!all.entry || bytes > ARGUMENT) abort();
  if (all.called - all.run == ENTRIES) run_until(all.run + 1);
  entry *e = &all.entry[all.called++ % ENTRIES];
  e->run = run;
  memcpy(e->argument, argument, bytes);
  e->seconds = seconds;
  e->asked = fake.host;
  e->kernel = kernel;
  fake.waiting++;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags) {
  if (flags != cudaStreamNonBlocking) fake_wrong("a stream that waits for the default one");
  *stream = calloc(1, sizeof **stream);
  (*stream)->put = fake_put;
  fake.streams++;
  return cudaSuccess;
}

/* A process that starts anew has a card that works. */
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  run_until(all.called);
  all.sticky = all.last = cudaSuccess;
  free(stream);
  fake.streams--;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  run_until(all.called);
  return all.sticky;
}

/* ---- events ---- */

static void reach(void *argument) {
  cudaEvent_t event;
  memcpy(&event, argument, sizeof event);
  event->at = fake.clock;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags) {
  *event = calloc(1, sizeof **event);
  fake.events++;
  return all.sticky;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  run_until(event->place);
  free(event);
  fake.events--;
  return all.sticky;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (all.sticky) return all.sticky;
  fake_put(reach, &event, sizeof event, 0, false);
  event->place = all.called;
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  run_until(event->place);
  return all.sticky;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  if (all.sticky) return all.sticky;
  return all.run >= event->place ? cudaSuccess : failed(cudaErrorNotReady);
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t first, cudaEvent_t second) {
  if (!first->place || !second->place) return failed(cudaErrorInvalidResourceHandle);
  if (all.run < second->place) return failed(cudaErrorNotReady);
  *ms = (float)((second->at - first->at) * 1e3);
  return all.sticky;
}

/* ---- memory ---- */

static size_t bytes_of(const void *p) {
  for (int i = 0; i < hidden.n; i++)
    if (hidden.at[i] == p) return hidden.bytes[i] - HIDDEN_PAGE;
  return 0;
}

/* Device memory has N bytes from P on. */
static bool on_card(const void *p, size_t n) {
  const unsigned char *at = p;
  for (int i = 0; i < hidden.n; i++) {
    const unsigned char *first = hidden.at[i];
    if (at >= first && at + n <= first + hidden.bytes[i] - HIDDEN_PAGE) return true;
  }
  return false;
}

/* Filled with what is a NaN in every type, for it is nobody's zero; of a large block the front,
 * since to hide and show pages that were touched takes long. */
cudaError_t cudaMalloc(void **p, size_t bytes) {
  const size_t whole = (bytes + HIDDEN_PAGE - 1) / HIDDEN_PAGE * HIDDEN_PAGE;
  *p = NULL;
  fake.allocations++;
  if (all.sticky) return all.sticky;
  if (fake.used + whole > fake.memory) return failed(cudaErrorMemoryAllocation);
  *p = hidden_alloc(bytes);
  if (!*p) return failed(cudaErrorMemoryAllocation);
  hidden_show(true);
  memset(*p, 0xff, bytes < FRONT ? bytes : FRONT);
  hidden_show(false);
  fake.used += whole;
  return cudaSuccess;
}

cudaError_t cudaFree(void *p) {
  const size_t bytes = bytes_of(p);
  run_until(all.called);
  if (!hidden_release(p)) return failed(cudaErrorInvalidValue);
  fake.used -= bytes;
  return all.sticky;
}

cudaError_t cudaMemGetInfo(size_t *left, size_t *whole) {
  *left = fake.memory - fake.used;
  *whole = fake.memory;
  return all.sticky;
}

cudaError_t cudaHostAlloc(void **p, size_t bytes, unsigned flags) {
  int i = 0;
  if (all.sticky) return all.sticky;
  while (i < PINNED && all.pinned[i].at) i++;
  if (i == PINNED) return failed(cudaErrorMemoryAllocation);
  all.pinned[i].at = *p = malloc(bytes);
  all.pinned[i].bytes = bytes;
  fake.pinned++;
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void *p) {
  for (int i = 0; i < PINNED; i++)
    if (all.pinned[i].at == p) all.pinned[i].at = NULL;
  free(p);
  fake.pinned--;
  return cudaSuccess;
}

static bool is_pinned(const void *p, size_t n) {
  const unsigned char *at = p;
  for (int i = 0; i < PINNED; i++) {
    const unsigned char *first = all.pinned[i].at;
    if (first && at >= first && at + n <= first + all.pinned[i].bytes) return true;
  }
  return false;
}

typedef struct copy {
  void *to;
  const void *from;
  int byte;
  size_t n, rows, pitch;
} copy;

static void run_copy(void *argument) {
  copy c;
  memcpy(&c, argument, sizeof c);
  memcpy(c.to, c.from, c.n);
}

static void run_fill(void *argument) {
  copy c;
  memcpy(&c, argument, sizeof c);
  for (size_t i = 0; i < c.rows; i++) memset((char *)c.to + i * c.pitch, c.byte, c.n);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t n, enum cudaMemcpyKind kind,
                            cudaStream_t stream) {
  const bool down = kind == cudaMemcpyDeviceToHost, up = kind == cudaMemcpyHostToDevice;
  const copy c = {.to = to, .from = from, .n = n};
  if (all.sticky) return all.sticky;
  if ((!up && !on_card(from, n)) || (!down && !on_card(to, n)))
    return failed(cudaErrorInvalidValue);
  if ((up && !is_pinned(from, n)) || (down && !is_pinned(to, n))) fake.unpinned++;
  fake_put(run_copy, &c, sizeof c, (double)n * 1e-10, false);
  return cudaSuccess;
}

cudaError_t cudaMemset2DAsync(void *p, size_t pitch, int byte, size_t n, size_t rows,
                              cudaStream_t stream) {
  const copy c = {.to = p, .byte = byte, .n = n, .rows = rows, .pitch = pitch};
  if (all.sticky) return all.sticky;
  if (rows && !on_card(p, (rows - 1) * pitch + n)) return failed(cudaErrorInvalidValue);
  fake_put(run_fill, &c, sizeof c, 0, false);
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *p, int byte, size_t n, cudaStream_t stream) {
  return cudaMemset2DAsync(p, n, byte, n, 1, stream);
}

/* ---- the card and errors ---- */

cudaError_t cudaGetDeviceCount(int *n) {
  *n = fake.cards;
  return fake.cards ? cudaSuccess : failed(cudaErrorNoDevice);
}

cudaError_t cudaSetDevice(int device) {
  return device == 0 ? cudaSuccess : failed(cudaErrorInvalidDevice);
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *p, int device) {
  memset(p, 0, sizeof *p);
  snprintf(p->name, sizeof p->name, "%s", fake.card);
  p->totalGlobalMem = fake.memory;
  p->multiProcessorCount = 132;
  p->sharedMemPerBlockOptin = 227 * 1024;
  p->major = fake.major, p->minor = fake.minor;
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version) {
  *version = fake.driver;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version) {
  *version = 13000;
  return cudaSuccess;
}

cudaError_t cudaPeekAtLastError(void) { return all.sticky ? all.sticky : all.last; }

cudaError_t cudaGetLastError(void) {
  const cudaError_t error = cudaPeekAtLastError();
  all.last = cudaSuccess;
  return error;
}

const char *cudaGetErrorName(cudaError_t error) {
  return error == cudaErrorIllegalAddress          ? "cudaErrorIllegalAddress"
         : error == cudaErrorMemoryAllocation      ? "cudaErrorMemoryAllocation"
         : error == cudaErrorInvalidValue          ? "cudaErrorInvalidValue"
         : error == cudaErrorLaunchOutOfResources  ? "cudaErrorLaunchOutOfResources"
         : error == cudaErrorInvalidResourceHandle ? "cudaErrorInvalidResourceHandle"
                                                   : "cudaErrorUnknown";
}

const char *cudaGetErrorString(cudaError_t error) { return "words of the driver"; }
