/* A module as one would be compiled elsewhere: it links nothing of the program, its memory cannot
 * be touched by the host, and it computes one op. The environment's STUB makes it one that does
 * not fit, or one whose launches fail. */
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include "device/module_side.h"

#include <stdlib.h>
#include <sys/mman.h>

enum { BLOCKS = 64, PAGE = 4096 };

static struct {
  void *at[BLOCKS];
  size_t bytes[BLOCKS];
  int blocks, launches;
} all;

static bool stub_is(const char *what) {
  const char *stub = getenv("STUB");
  return stub && !strcmp(stub, what);
}

static void allow(int protection) {
  for (int i = 0; i < all.blocks; i++) mprotect(all.at[i], all.bytes[i], protection);
}

static cz_status stub_alloc(cz_device *d, void **out, size_t bytes) {
  size_t whole = (bytes + PAGE - 1) / PAGE * PAGE + PAGE;
  void *p = mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (all.blocks == BLOCKS || p == MAP_FAILED)
    return CZ_FAIL(CZ_ENOMEM, "%s: no memory for %zu bytes", d->name, bytes);
  all.bytes[all.blocks] = whole;
  *out = all.at[all.blocks++] = p;
  return CZ_OK;
}

static void stub_release(cz_device *d, void *p, size_t bytes) {
  for (int i = 0; i < all.blocks; i++) {
    if (all.at[i] != p) continue;
    munmap(p, all.bytes[i]);
    all.at[i] = all.at[--all.blocks];
    all.bytes[i] = all.bytes[all.blocks];
    return;
  }
}

static cz_status stub_copy(cz_device *d, void *to, const void *from, size_t bytes) {
  allow(PROT_READ | PROT_WRITE);
  if (bytes) memcpy(to, from, bytes);
  allow(PROT_NONE);
  return CZ_OK;
}

static void add_forward(const cz_call *call) {
  const float *x = call->in[0].data, *y = call->in[1].data;
  float *z = call->out[0].data;
  allow(PROT_READ | PROT_WRITE);
  for (int64_t i = 0; i < cz_numel(&call->in[0]); i++) z[i] = x[i] + y[i];
  allow(PROT_NONE);
  all.launches++;
}

static const cz_kernels *stub_kernels(cz_device *d, cz_op op, cz_dtype dtype) {
  static const cz_kernels add = {.forward = add_forward};
  return op == CZ_OP_add && dtype == CZ_F32 ? &add : NULL;
}

static cz_status stub_sync(cz_device *d) { return CZ_OK; }

static cz_status stub_failed(cz_device *d) {
  if (!stub_is("launch") || all.launches < 2) return CZ_OK;
  cz_status st = CZ_FAIL(CZ_EIO, "error %d of %s: too many resources requested", 701, d->name);
  CZ_TRY(st);
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
                           .kernels = stub_kernels,
                           .sync = stub_sync,
                           .failed = stub_failed,
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
  all.launches = 0;
  return &device;
}
