/* A module as one would be compiled elsewhere: it links nothing of the program, its memory cannot
 * be touched by the host, and it computes one op. The environment's STUB makes it one that does
 * not fit, or one whose launches fail. */
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include "device/module_side.h"
#include "hidden.h"

#include <stdlib.h>

static int launches;

static bool stub_is(const char *what) {
  const char *stub = getenv("STUB");
  return stub && !strcmp(stub, what);
}

static cz_status stub_alloc(cz_device *d, void **out, size_t bytes) {
  *out = hidden_alloc(bytes);
  return *out ? CZ_OK : CZ_FAIL(CZ_ENOMEM, "%s: no memory for %zu bytes", d->name, bytes);
}

static void stub_release(cz_device *d, void *p, size_t bytes) { hidden_release(p); }

static cz_status stub_copy(cz_device *d, void *to, const void *from, size_t bytes) {
  hidden_show(true);
  if (bytes) memcpy(to, from, bytes);
  hidden_show(false);
  return CZ_OK;
}

static uint64_t late; /* reads that were not waited for */

static cz_status stub_read_later(cz_device *d, void *host, const void *from, size_t bytes,
                                 uint64_t *ticket) {
  *ticket = ++late;
  return stub_copy(d, host, from, bytes);
}

static cz_status stub_arrived(cz_device *d, uint64_t ticket, bool wait, bool *there) {
  *there = ticket <= late;
  return CZ_OK;
}

static void add_forward(const cz_call *call) {
  const float *x = call->in[0].data, *y = call->in[1].data;
  float *z = call->out[0].data;
  hidden_show(true);
  for (int64_t i = 0; i < cz_numel(&call->in[0]); i++) z[i] = x[i] + y[i];
  hidden_show(false);
  launches++;
}

static const cz_kernels *stub_kernels(cz_device *d, cz_op op, cz_dtype dtype) {
  static const cz_kernels add = {.forward = add_forward};
  return op == CZ_OP_add && dtype == CZ_F32 ? &add : NULL;
}

static cz_status stub_sync(cz_device *d) { return CZ_OK; }

static cz_status stub_failed(cz_device *d) {
  if (!stub_is("launch") || launches < 2) return CZ_OK;
  cz_status st = CZ_FAIL(CZ_EIO, "error %d of %s: too many resources requested", 701, d->name);
  CZ_TRY(st);
  return CZ_OK;
}

static cz_status stub_fill(cz_device *d, void *to, int byte, size_t bytes) {
  hidden_show(true);
  if (bytes) memset(to, byte, bytes);
  hidden_show(false);
  return CZ_OK;
}

struct cz_event { /* kernels that were launched before it */
  int launches;
};

static cz_status stub_event(cz_device *d, cz_event **event) {
  *event = calloc(1, sizeof **event);
  return *event ? CZ_OK : CZ_FAIL(CZ_ENOMEM, "%s: no event", d->name);
}

static void stub_event_free(cz_device *d, cz_event **event) {
  free(*event);
  *event = NULL;
}

static cz_status stub_record(cz_device *d, cz_event *event) {
  if (stub_is("record")) return CZ_FAIL(CZ_EIO, "error %d of %s: no events left", 702, d->name);
  event->launches = launches;
  return CZ_OK;
}

static cz_status stub_await(cz_device *d, cz_event *event) { return CZ_OK; }

static double stub_between(cz_device *d, const cz_event *first, const cz_event *second) {
  return 0.5 * (second->launches - first->launches);
}

static cz_status stub_info(cz_device *d, cz_device_info *info) {
  *info = (cz_device_info){.name = "stub card", .driver = "1.5", .memory = 1 << 20, .cores = 3};
  return CZ_OK;
}

static void stub_close(cz_device *d) {}

static cz_device device = {.name = "stub",
                           .real = CZ_F32,
                           .processor = "stub",
                           .alloc = stub_alloc,
                           .release = stub_release,
                           .write = stub_copy,
                           .read = stub_copy,
                           .read_later = stub_read_later,
                           .arrived = stub_arrived,
                           .kernels = stub_kernels,
                           .sync = stub_sync,
                           .failed = stub_failed,
                           .fill = stub_fill,
                           .copy = stub_copy,
                           .event = stub_event,
                           .event_free = stub_event_free,
                           .record = stub_record,
                           .await = stub_await,
                           .between = stub_between,
                           .info = stub_info,
                           .close = stub_close};

/** The module's symbol (device/module.h). */
__attribute__((visibility("default"))) cz_device *
cz_module_device(const cz_host_api *host, const char *which, char *why, size_t n);

cz_device *cz_module_device(const cz_host_api *host, const char *which, char *why, size_t n) {
  cz_host_api other = *host; /* a program that this module was not built for */
  if (stub_is("version")) other.version = 4;
  if (stub_is("call")) other.call_bytes += 16;
  if (stub_is("ops")) other.ops = "linear norm ";
  if (cz_module_refuses(&other, why, n)) return NULL;
  if (strcmp(which, "cuda") || stub_is("card")) {
    snprintf(why, n, "no card for %s", which);
    return NULL;
  }
  cz_host = host;
  cz_host->log("stub: opened");
  launches = 0;
  return &device;
}
