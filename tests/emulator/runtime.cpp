/* Streams, events, the card and errors of the CUDA runtime, as far as the module calls them.
 * Everything happens when it is called; an error of a kernel stays, as on a card, until somebody
 * takes it. */
#include "emulator/memory.h"

#include <atomic>
#include <chrono>
#include <stdio.h>
#include <stdlib.h>

static std::atomic<cudaError_t> last;

cudaError_t emu_cuda_failed(cudaError_t error) { return last = error; }

static cudaError_t state(void) { return emu_failed() ? cudaErrorLaunchFailure : cudaSuccess; }

/* The kernel whose launch CZ_EMULATOR_FAIL let fail, until somebody waits. */
static std::atomic<const char *> planted;

/* After a wait a failure shows. */
static cudaError_t waited(void) {
  if (const char *kernel = planted.exchange(nullptr))
    emu_set_error(emu_format_text("kernel %s: CZ_EMULATOR_FAIL has planted this", kernel));
  return state();
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

cudaError_t cudaStreamSynchronize(cudaStream_t stream) { return waited(); }
cudaError_t cudaDeviceSynchronize(void) { return waited(); }

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

cudaError_t cudaEventSynchronize(cudaEvent_t event) { return waited(); }
cudaError_t cudaEventQuery(cudaEvent_t event) { return waited(); }

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t first, cudaEvent_t second) {
  *ms = std::chrono::duration<float, std::milli>(second->at - first->at).count();
  return cudaSuccess;
}

/* ---- the card and errors ---- */

enum { MULTIPROCESSORS = 3 }; /* few, so that loops over more than a grid have more than one turn */

cudaError_t cudaGetDeviceCount(int *n) {
  *n = 1;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  return device == 0 ? cudaSuccess : emu_cuda_failed(cudaErrorInvalidDevice);
}

cudaError_t cudaGetDevice(int *device) {
  *device = 0;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int device) {
  *p = {};
  snprintf(p->name, sizeof p->name, "emulator");
  p->totalGlobalMem = emu_memory_limit();
  p->sharedMemPerBlockOptin = emu_shared_limit();
  p->multiProcessorCount = MULTIPROCESSORS;
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

/* Whether CZ_EMULATOR_FAIL=NAME:N says that this launch of a kernel, the N-th of that name, fails.
 * As on a card the launch itself does not say so, nor those behind it: a wait does. */
bool emu_planted_failure(const char *kernel) {
  static std::atomic<uint64_t> launches;
  const emu_environment &e = emu_environment_now();
  if (e.failing_kernel != kernel || ++launches != e.failing_launch) return false;
  planted = kernel;
  return true;
}

cudaError_t cudaPeekAtLastError(void) { return state() != cudaSuccess ? state() : last.load(); }

cudaError_t cudaGetLastError(void) {
  const cudaError_t error = cudaPeekAtLastError();
  last = cudaSuccess;
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
