/* The table of the CUDA device (device/device.h). */
#include "cuda/context.h"
#include "cuda/product.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cz_cuda *of(cz_device *d) { return d->stream; }

/* ---- memory ---- */

/* Cards are shared: what is missing may be held by somebody else; the emulator's is this process's.
 */
static cz_status no_memory(cz_cuda *c, size_t bytes) {
  size_t left = 0, all = 0;
  (void)cudaGetLastError();
  CZ_TRY(cz_cuda_checked(c, cudaMemGetInfo(&left, &all), "asking how much memory is left"));
  return CZ_FAIL(CZ_ENOMEM, "%s: %zu bytes are wanted; %zu of the %zu bytes of the %s are free%s",
                 c->device.name, bytes, left, all, c->card.name,
                 left < all && !c->device.host_memory
                     ? ". Another process may hold the rest: nvidia-smi lists them"
                     : "");
}

/* Zeros, aligned to 256 bytes as all that cudaMalloc gives. */
static cz_status cuda_alloc(cz_device *d, void **out, size_t bytes) {
  cz_cuda *c = of(d);
  *out = NULL;
  CZ_TRY(cz_cuda_alive(c));
  const cudaError_t error = cudaMalloc(out, bytes ? bytes : 1);
  if (error == cudaErrorMemoryAllocation) return no_memory(c, bytes);
  CZ_TRY(cz_cuda_checked(c, error, "allocating %zu bytes", bytes));
  cz_status st = cz_cuda_checked(c, cudaMemsetAsync(*out, 0, bytes ? bytes : 1, c->stream),
                                 "clearing %zu bytes", bytes);
  if (st == CZ_OK) return CZ_OK;
  (void)cudaFree(*out);
  *out = NULL;
  return st;
}

/* Errors are told by the next call that can fail. */
static void cuda_release(cz_device *d, void *p, size_t bytes) {
  cz_cuda *c = of(d);
  if (!cz_cuda_works(c, cudaStreamSynchronize(c->stream), c->errors.launched)) return;
  const cudaError_t error = cudaFree(p);
  if (error != cudaSuccess)
    cz_cuda_refused(c, "%s: releasing %zu bytes at %p: %s (%s)", d->name, bytes, p,
                    cudaGetErrorName(error), cudaGetErrorString(error));
}

static cz_status cuda_fill(cz_device *d, void *to, int byte, size_t bytes) {
  cz_cuda *c = of(d);
  CZ_TRY(cz_cuda_alive(c));
  if (!bytes) return CZ_OK;
  return cz_cuda_checked(c, cudaMemsetAsync(to, byte, bytes, c->stream), "filling %zu bytes",
                         bytes);
}

static cz_status cuda_copy(cz_device *d, void *to, const void *from, size_t bytes) {
  cz_cuda *c = of(d);
  CZ_TRY(cz_cuda_alive(c));
  if (!bytes) return CZ_OK;
  return cz_cuda_checked(c, cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, c->stream),
                         "copying %zu bytes on the card", bytes);
}

static cz_status cuda_write(cz_device *d, void *to, const void *host, size_t bytes) {
  CZ_TRY(cz_cuda_alive(of(d)));
  return cz_cuda_ring_write(of(d), to, host, bytes);
}

static cz_status cuda_read_later(cz_device *d, void *host, const void *from, size_t bytes,
                                 uint64_t *ticket) {
  CZ_TRY(cz_cuda_alive(of(d)));
  return cz_cuda_ring_read(of(d), host, from, bytes, ticket);
}

static cz_status cuda_arrived(cz_device *d, uint64_t ticket, bool wait, bool *there) {
  CZ_TRY(cz_cuda_alive(of(d)));
  return cz_cuda_ring_arrived(of(d), ticket, wait, there);
}

static cz_status cuda_read(cz_device *d, void *host, const void *from, size_t bytes) {
  uint64_t ticket;
  bool there;
  CZ_TRY(cuda_read_later(d, host, from, bytes, &ticket));
  return cuda_arrived(d, ticket, true, &there);
}

/* ---- order and time ---- */

static cz_status cuda_sync(cz_device *d) {
  cz_cuda *c = of(d);
  CZ_TRY(cz_cuda_alive(c));
  CZ_TRY(cz_cuda_waited(c, cudaStreamSynchronize(c->stream), c->errors.launched));
  return cz_cuda_failed(c);
}

static cz_status cuda_failed(cz_device *d) { return cz_cuda_failed(of(d)); }

struct cz_event {
  cudaEvent_t event;
  bool recorded;
  uint64_t launched; /* launches that were before it */
};

static cz_status cuda_event(cz_device *d, cz_event **event) {
  cz_cuda *c = of(d);
  *event = NULL;
  CZ_TRY(cz_cuda_alive(c));
  cz_event *e = calloc(1, sizeof *e);
  if (!e) return CZ_FAIL(CZ_ENOMEM, "%s: no memory for an event", d->name);
  cz_status st =
      cz_cuda_checked(c, cudaEventCreateWithFlags(&e->event, cudaEventDefault), "making an event");
  if (st == CZ_OK)
    *event = e;
  else
    free(e);
  return st;
}

static void cuda_event_free(cz_device *d, cz_event **event) {
  (void)d;
  if (*event) (void)cudaEventDestroy((*event)->event);
  free(*event);
  *event = NULL;
}

static cz_status cuda_record(cz_device *d, cz_event *event) {
  cz_cuda *c = of(d);
  CZ_TRY(cz_cuda_alive(c));
  CZ_TRY(cz_cuda_checked(c, cudaEventRecord(event->event, c->stream), "recording an event"));
  event->recorded = true;
  event->launched = c->errors.launched;
  return CZ_OK;
}

static cz_status cuda_await(cz_device *d, cz_event *event) {
  cz_cuda *c = of(d);
  CZ_TRY(cz_cuda_alive(c));
  if (!event->recorded)
    return CZ_FAIL(CZ_EINVAL, "%s: an event is awaited that was not recorded", d->name);
  return cz_cuda_waited(c, cudaEventSynchronize(event->event), event->launched);
}

/* Seconds; NaN when the card cannot tell. */
static double cuda_between(cz_device *d, const cz_event *first, const cz_event *second) {
  float ms;
  (void)d;
  const cudaError_t error = cudaEventElapsedTime(&ms, first->event, second->event);
  return error == cudaSuccess ? ms * 1e-3 : (double)NAN;
}

/* ---- what it is ---- */

/* Of the kernel's driver; empty where the system does not say. */
static void driver_version(char *text, size_t n) {
  *text = 0;
  FILE *f = fopen("/sys/module/nvidia/version", "r");
  if (!f) return;
  if (fgets(text, (int)n, f)) text[strcspn(text, "\n")] = 0;
  fclose(f);
}

static cz_status cuda_info(cz_device *d, cz_device_info *info) {
  const cz_cuda *c = of(d);
  const cz_cuda_card *card = &c->card;
  char version[64], library[64], account[128], attention[128] = "";
  memset(info, 0, sizeof *info);
  driver_version(version, sizeof version);
  cz_cuda_products_library(library, sizeof library);
  cz_cuda_products_account(c, account, sizeof account);
  if (cz_cuda_module.cudnn) cz_cuda_module.cudnn->account(c, attention, sizeof attention);
  snprintf(info->name, sizeof info->name, "%s", card->name);
  if (card->cards > 1)
    snprintf(info->name, sizeof info->name, "%.200s, the first of %d", card->name, card->cards);
  snprintf(info->driver, sizeof info->driver, "%s%sCUDA %d.%d", version, *version ? ", " : "",
           card->driver / 1000, card->driver % 1000 / 10);
  snprintf(info->capability, sizeof info->capability, "%d.%d", card->major, card->minor);
  snprintf(info->libraries, sizeof info->libraries, "CUDA runtime %d.%d, %s%s%s%s%s",
           card->runtime / 1000, card->runtime % 1000 / 10, library, *attention ? ", " : "",
           attention, *account ? "; " : "", account);
  info->memory = (int64_t)card->memory;
  info->cores = card->multiprocessors;
  return CZ_OK;
}

static void cuda_close(cz_device *d) {
  cz_cuda *c = of(d);
  if (c->stream) (void)cudaStreamSynchronize(c->stream);
  if (c->cudnn) cz_cuda_module.cudnn->close(c);
  cz_cuda_products_close(c);
  cz_cuda_ring_close(&c->up);
  cz_cuda_ring_close(&c->down);
  if (c->stream) (void)cudaStreamDestroy(c->stream);
  free(c);
}

/* Attention by cuDNN is the module's, where it has one; the rest is the table's. */
static const cz_kernels *cuda_kernels(cz_device *d, cz_op op, cz_dtype dtype) {
  const bool narrow = dtype == CZ_BF16 || dtype == CZ_F16;
  if (op == CZ_OP_attention_cudnn && narrow && cz_cuda_module.cudnn)
    return &cz_cuda_module.cudnn->kernels;
  return cz_cuda_kernels(d, op, dtype);
}

static const cz_device table = {.real = CZ_F32,
                                .alloc = cuda_alloc,
                                .release = cuda_release,
                                .write = cuda_write,
                                .read = cuda_read,
                                .read_later = cuda_read_later,
                                .arrived = cuda_arrived,
                                .kernels = cuda_kernels,
                                .sync = cuda_sync,
                                .failed = cuda_failed,
                                .fill = cuda_fill,
                                .copy = cuda_copy,
                                .event = cuda_event,
                                .event_free = cuda_event_free,
                                .record = cuda_record,
                                .await = cuda_await,
                                .between = cuda_between,
                                .info = cuda_info,
                                .close = cuda_close};

/* Whether every launch is waited for: a value that is neither 0 nor 1 is refused, whoever wrote
 * `true` meant one of them. */
static cz_status read_exact(bool *exact, const char *name) {
  const char *text = getenv("CZ_CUDA_SYNC");
  *exact = cz_cuda_module.exact;
  if (!text || !*text) return CZ_OK;
  *exact = !strcmp(text, "1");
  return *exact || !strcmp(text, "0")
             ? CZ_OK
             : CZ_FAIL(CZ_EUSAGE, "%s: CZ_CUDA_SYNC is '%s'; it takes 0 and 1", name, text);
}

/** Opens the device NAME, which is not copied, on CARD; the caller closes it. */
cz_status cz_cuda_open(cz_device **device, const char *name, const cz_cuda_card *card) {
  char library[64];
  bool exact;
  cz_status st;
  *device = NULL;
  CZ_TRY(read_exact(&exact, name));
  cz_cuda *c = calloc(1, sizeof *c);
  if (!c) return CZ_FAIL(CZ_ENOMEM, "%s: no memory for a device", name);
  c->device = table;
  c->device.name = name;
  c->device.host_memory = cz_cuda_module.host_memory;
  c->device.stream = c;
  c->device.processor = c->processor;
  c->card = *card;
  c->errors.exact = exact;
  cz_cuda_products_library(library, sizeof library);
  snprintf(c->processor, sizeof c->processor, "%.80s, compute %d.%d, %s", card->name, card->major,
           card->minor, library);
  CZ_GO(st,
        cz_cuda_checked(c, cudaStreamCreateWithFlags(&c->stream, cudaStreamNonBlocking),
                        "making a stream"),
        fail);
  CZ_GO(st, cz_cuda_products_open(c), fail);
  *device = &c->device;
  return CZ_OK;
fail:
  cuda_close(&c->device);
  return st;
}
