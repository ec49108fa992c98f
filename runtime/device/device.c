#include "device/device.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/nearest.h"
#include "device/module.h"
#include "device/probe.h"
#include "device/threads.h"
#include "kernels/cast/cast.h"
#include "kernels/common/bf16.h"
#include "kernels/common/cpu.h"
#include "kernels/common/half.h"
#include "kernels/common/units.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cblas.h>

enum { GUARD_BYTES = 64 }; /* on each side of a tensor of a guard */

/* Fresh small pages cost 14 GB/s / 1.9 GB/s = 7 times a warm write, huge ones 1.5 times
 * (docs/design.md 5): large blocks ask for huge pages. */
static cz_status host_alloc(cz_device *d, void **out, size_t bytes) {
  (void)d;
  void *p =
      mmap(NULL, bytes ? bytes : 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return CZ_FAIL(CZ_ENOMEM, "no memory for %zu bytes", bytes);
  if (bytes >= (2u << 20))
    madvise(p, bytes,
            MADV_HUGEPAGE); /* a wish: without it the pages are small, nothing else changes */
  *out = p;
  return CZ_OK;
}

static void host_release(cz_device *d, void *p, size_t bytes) {
  if (d->stream) cz_units_forget(d->stream, p, bytes); /* weights packed from there */
  munmap(p, bytes ? bytes : 1);
}

static cz_status host_copy_in(cz_device *d, void *to, const void *host, size_t bytes) {
  (void)d;
  if (bytes) memcpy(to, host, bytes);
  return CZ_OK;
}

static cz_status host_copy_out(cz_device *d, void *host, const void *from, size_t bytes) {
  (void)d;
  if (bytes) memcpy(host, from, bytes);
  return CZ_OK;
}

static cz_status host_read_later(cz_device *d, void *host, const void *from, size_t bytes,
                                 uint64_t *ticket) {
  *ticket = 0;
  return host_copy_out(d, host, from, bytes);
}

static cz_status host_arrived(cz_device *d, uint64_t ticket, bool wait, bool *there) {
  (void)d;
  (void)ticket;
  (void)wait;
  *there = true;
  return CZ_OK;
}

/* float32 has bfloat16 beside it; float64, the oracle, stays alone. */
static const cz_kernels *host_kernels(cz_device *d, cz_op op, cz_dtype dtype) {
  bool computes = dtype == d->real || (d->real == CZ_F32 && dtype == CZ_BF16);
  return computes ? &cz_op_rows[op]->kernels[dtype] : NULL;
}

static cz_status host_sync(cz_device *d) { /* kernels return when they have run */
  (void)d;
  return CZ_OK;
}

/* Kernels cannot fail, but the library that drives the matrix units can. */
static cz_status host_failed(cz_device *d) {
  char text[CZ_UNITS_TEXT];
  if (d->stream && cz_units_failed(d->stream, text, sizeof text))
    return CZ_FAIL(CZ_EIO, "%s", text);
  return CZ_OK;
}

static cz_status host_fill(cz_device *d, void *to, int byte, size_t bytes) {
  (void)d;
  if (bytes) memset(to, byte, bytes);
  return CZ_OK;
}

struct cz_event { /* of a host device, where a place in the order is a moment */
  double at;
};

static cz_status host_event(cz_device *d, cz_event **event) {
  (void)d;
  return cz_alloc(event, 1, sizeof **event);
}

static void host_event_free(cz_device *d, cz_event **event) {
  (void)d;
  free(*event);
  *event = NULL;
}

static cz_status host_record(cz_device *d, cz_event *event) {
  (void)d;
  event->at = cz_seconds();
  return CZ_OK;
}

static cz_status host_await(cz_device *d, cz_event *event) { /* all that was called has run */
  (void)d;
  (void)event;
  return CZ_OK;
}

static double host_between(cz_device *d, const cz_event *first, const cz_event *second) {
  (void)d;
  return second->at - first->at;
}

static cz_status host_info(cz_device *d, cz_device_info *info) {
  const cz_units *units = d->stream;
  const char *blas = "a BLAS of unknown kind";
  memset(info, 0, sizeof *info);
  CZ_TRY(cz_cpu_model(info->name, sizeof info->name));
  snprintf(info->capability, sizeof info->capability, "%s; %s", cz_cpu_instructions(),
           cz_cpu_extensions());
#ifdef CZ_HAVE_OPENBLAS
  blas = openblas_get_config();
#endif
  if (units)
    snprintf(info->libraries, sizeof info->libraries, "%s; %s; bf16 by %s", blas,
             cz_units_library(), cz_units_path_names[cz_units_path_of(units)]);
  info->memory = cz_memory_bytes();
  info->cores = cz_processors();
  return CZ_OK;
}

static void host_close(cz_device *d) {
  cz_units *units = d->stream;
  cz_units_close(&units);
  free(d);
}

/* Warns when the BLAS behind this process would fight with OpenMP: OpenBLAS built on its
 * own threads spins beside our loops and costs 60 % (docs/design.md 15); it is then held
 * to one thread, which our tiled products use anyway. */
static cz_status check_blas(void) {
#ifdef CZ_HAVE_OPENBLAS
  if (openblas_get_parallel() == 1) {
    openblas_set_num_threads(1);
    cz_warn("this OpenBLAS runs its own threads (libopenblas0-pthread); install "
            "libopenblas0-openmp for full speed");
  }
#if defined(__clang__)
  openblas_set_num_threads(1); /* of another OpenMP runtime than ours: threads.c */
#endif
#endif
  return CZ_OK;
}

/* How bfloat16 is computed is decided here, once; the bits of its results depend on that as those
 * of float32 do on the BLAS, so it is part of the kind of processor. */
static cz_status open_units(cz_device *d) {
  static char kinds[CZ_UNITS_PATHS][CZ_PROCESSOR_BYTES];
  char why[CZ_UNITS_TEXT] = "";
  d->stream = cz_units_open(getenv("CZ_BF16"), why, sizeof why);
  if (!d->stream) return CZ_FAIL(CZ_EUSAGE, "%s", why);
  const cz_units_path path = cz_units_path_of(d->stream);
  snprintf(kinds[path], sizeof kinds[path], "%s, bf16 by %s", cz_device_processor_kind(d->real),
           cz_units_path_names[path]);
  d->processor = kinds[path];
  return CZ_OK;
}

static cz_status open_host(cz_device **device, const cz_device_row *row) {
  CZ_TRY(cz_alloc(device, 1, sizeof **device));
  **device = (cz_device){.name = row->name,
                         .real = row->real,
                         .host_memory = true,
                         .guard_bytes = row->guard ? GUARD_BYTES : 0,
                         .processor = cz_device_processor_kind(row->real),
                         .alloc = host_alloc,
                         .release = host_release,
                         .write = host_copy_in,
                         .read = host_copy_out,
                         .read_later = host_read_later,
                         .arrived = host_arrived,
                         .kernels = host_kernels,
                         .sync = host_sync,
                         .failed = host_failed,
                         .fill = host_fill,
                         .copy = host_copy_in,
                         .event = host_event,
                         .event_free = host_event_free,
                         .record = host_record,
                         .await = host_await,
                         .between = host_between,
                         .info = host_info,
                         .close = host_close};
  if (row->real != CZ_F32) return CZ_OK;
  cz_status st;
  CZ_GO(st, cz_threads_check(), fail);
  CZ_GO(st, check_blas(), fail);
  CZ_GO(st, open_units(*device), fail);
  return CZ_OK;
fail:
  cz_device_close(device);
  return st;
}

static cz_status open_module(cz_device **device, const cz_device_row *row) {
  return cz_module_open(device, row->name);
}

/* Its memory is the host's. */
static cz_status open_emulated_guard(cz_device **device, const cz_device_row *row) {
  CZ_TRY(cz_module_open(device, "emu"));
  (*device)->name = row->name;
  (*device)->guard_bytes = GUARD_BYTES;
  return CZ_OK;
}

static cz_status open_auto(cz_device **device, const cz_device_row *row);

/* The first is the default. */
static const cz_device_row rows[] = {
    {"cpu", "all cores (default)", open_host, true, CZ_F32, false},
    {"ref", "serial: the oracle", open_host, true, CZ_F64, false},
    {"guard:cpu", "cpu with poisoned memory and sentinels around every tensor", open_host, true,
     CZ_F32, true},
    {"guard:ref", "ref with the same", open_host, true, CZ_F64, true},
    {"cuda", "the CUDA module; fails when it is not there", open_module, false, CZ_F32, false},
    {"emu", "the CUDA kernels in an emulator on the CPU: for tests", open_module, false, CZ_F32,
     false},
    {"emu:check", "emu with every access of a kernel looked at, and races", open_module, false,
     CZ_F32, false},
    {"guard:emu", "emu with poisoned memory and sentinels around every tensor", open_emulated_guard,
     false, CZ_F32, true},
    {"auto", "cuda when it works, else cpu, and says which and why", open_auto, false, CZ_F32,
     false},
};
enum { ROWS = sizeof rows / sizeof *rows };

/** The device number I of those that can be opened by name, null behind the last. Static. */
const cz_device_row *cz_device_at(size_t i) { return i < ROWS ? &rows[i] : NULL; }

static cz_status open_auto(cz_device **device, const cz_device_row *row) {
  (void)row;
  if (cz_module_open(device, "cuda") == CZ_OK) {
    cz_log("device: %s", (*device)->name);
    return CZ_OK;
  }
  cz_log("device: cpu, because %s", cz_error_message());
  cz_error_clear();
  return open_host(device, &rows[0]);
}

/** Opens a device by NAME, one of cz_device_at's; guard alone means guard:cpu. CZ_EUSAGE for
 * another name, or when cuda is not to be had; the message has the reason. The caller closes
 * it after everything that lives on it. */
cz_status cz_device_open(cz_device **device, const char *name) {
  const char *names[ROWS];
  size_t i;
  *device = NULL;
  for (i = 0; i < ROWS; i++) names[i] = rows[i].name;
  CZ_TRY(cz_find_name(&i, "device", strcmp(name, "guard") ? name : "guard:cpu", names, ROWS));
  return rows[i].open(device, &rows[i]);
}

/** Closes the device and clears the pointer; accepts null. */
void cz_device_close(cz_device **device) {
  if (*device) (*device)->close(*device);
  *device = NULL;
}

/** The kernels that CALL needs: those of OP in the dtype of the call (cz_call_dtype). They
 * are the device's. CZ_EINVAL names op, dtype, pass and device when there is no such
 * kernel. */
cz_status cz_device_kernels(cz_device *d, const cz_kernels **kernels, cz_op op, const cz_call *call,
                            bool backward) {
  cz_dtype dtype = cz_call_dtype(call);
  const cz_kernels *k = d->kernels(d, op, dtype);
  if (!k || !(backward ? k->backward : k->forward))
    return CZ_FAIL(CZ_EINVAL, "op %s has no %s %s kernel on %s", cz_op_rows[op]->name,
                   cz_dtype_names[dtype], backward ? "backward" : "forward", d->name);
  *kernels = k;
  return CZ_OK;
}

/* As users write it: a precision (nn/model.h). */
static const char *precision_of(cz_dtype t) { return t == CZ_F16 ? "fp16" : cz_dtype_names[t]; }

/** CZ_EUSAGE, with what the device computes in, when it has no products in DTYPE. */
cz_status cz_device_computes(cz_device *d, cz_dtype dtype) {
  char has[64] = "";
  size_t n = 0;
  for (int t = 0; t < CZ_I32; t++) {
    const cz_kernels *k = d->kernels(d, CZ_OP_linear, (cz_dtype)t);
    if (!k || !k->forward) continue;
    if (t == (int)dtype) return CZ_OK;
    n += (size_t)snprintf(has + n, sizeof has - n, "%s%s", n ? " and " : "", precision_of(t));
  }
  return CZ_FAIL(CZ_EUSAGE, "%s does not compute in %s, it does in %s%s", d->name,
                 precision_of(dtype), n ? has : "none that this program knows",
                 dtype == CZ_F16 && strcmp(d->name, "cuda") != 0 ? "; --device cuda does" : "");
}

/** Rounds N numbers into another dtype (kernels/cast); queued like a kernel. CZ_EINVAL when the
 * device has no such kernel. */
cz_status cz_device_cast(cz_device *d, void *to, cz_dtype to_dtype, const void *from,
                         cz_dtype from_dtype, int64_t n) {
  const cz_cast_attr attr = {.y = cz_dtype_choice(to_dtype)};
  const cz_kernels *kernels;
  cz_call call = {.n_in = 1, .n_out = 1, .attr = &attr, .stream = d->stream};
  call.in[CZ_CAST_X] = (cz_arg){.data = (void *)from, .dtype = from_dtype, .ndim = 1, .dim = {n}};
  call.out[0] = (cz_arg){.data = to, .dtype = to_dtype, .ndim = 1, .dim = {n}};
  CZ_TRY(cz_device_kernels(d, &kernels, CZ_OP_cast, &call, false));
  kernels->forward(&call);
  return d->failed(d);
}

/** Allocates BYTES of zeroed device memory, aligned to at least 64 bytes, and stores the
 * address in *OUT (the address of any pointer). */
cz_status cz_device_alloc(cz_device *d, void *out, size_t bytes) {
  void *p = NULL;
  CZ_TRY(d->alloc(d, &p, bytes));
  memcpy(out, &p, sizeof p);
  return CZ_OK;
}

/** The same; an error says that it was for WHAT. */
cz_status cz_device_alloc_for(cz_device *d, void *out, size_t bytes, const char *what) {
  cz_status st = cz_device_alloc(d, out, bytes);
  return st != CZ_ENOMEM ? st : CZ_NOTE(st, "%.1f MB for %s", 1e-6 * (double)bytes, what);
}

/** Frees what cz_device_alloc gave; ADDRESS is the address of the pointer, which is
 * cleared; a null pointer is accepted. */
void cz_device_free(cz_device *d, void *address, size_t bytes) {
  void *p;
  memcpy(&p, address, sizeof p);
  if (p) d->release(d, p, bytes);
  p = NULL;
  memcpy(address, &p, sizeof p);
}

enum { PIECE = 4096 };

/** Writes N host doubles to device memory in the device's real dtype, which is float64 or
 * float32 (rounds to nearest). */
cz_status cz_device_write_real(cz_device *d, void *to, const double *host, int64_t n) {
  if (d->real == CZ_F64) return d->write(d, to, host, (size_t)n * 8);
  CZ_CHECK(d->real == CZ_F32);
  float piece[PIECE];
  for (int64_t i = 0; i < n; i += PIECE) {
    int64_t k = n - i < PIECE ? n - i : PIECE;
    for (int64_t j = 0; j < k; j++) piece[j] = (float)host[i + j];
    CZ_TRY(d->write(d, (float *)to + i, piece, (size_t)k * 4));
  }
  return CZ_OK;
}

/* Host numbers of DTYPE as doubles: exact. */
static void widen(double *to, const void *from, int64_t n, cz_dtype dtype) {
  for (int64_t i = 0; i < n; i++)
    to[i] = dtype == CZ_F64    ? ((const double *)from)[i]
            : dtype == CZ_F32  ? (double)((const float *)from)[i]
            : dtype == CZ_BF16 ? (double)cz_bf16_value(((const cz_bf16 *)from)[i])
                               : (double)cz_f16_value(((const cz_f16 *)from)[i]);
}

/** Reads N numbers of a real DTYPE as host doubles; exact. */
cz_status cz_device_read_as(cz_device *d, double *host, const void *from, int64_t n,
                            cz_dtype dtype) {
  CZ_CHECK(dtype < CZ_I32);
  const size_t each = cz_dtype_bytes(dtype);
  double piece[PIECE];
  for (int64_t i = 0; i < n; i += PIECE) {
    int64_t k = n - i < PIECE ? n - i : PIECE;
    CZ_TRY(d->read(d, piece, (const char *)from + (size_t)i * each, (size_t)k * each));
    widen(host + i, piece, k, dtype);
  }
  return CZ_OK;
}

/** Reads N numbers of the device's real dtype, float64 or float32, as host doubles. */
cz_status cz_device_read_real(cz_device *d, double *host, const void *from, int64_t n) {
  CZ_CHECK(d->real == CZ_F64 || d->real == CZ_F32);
  return cz_device_read_as(d, host, from, n, d->real);
}

/** The kind of processor on which results in REAL have the same bits, as a text: the
 * kernel that the BLAS has chosen for this machine (float32 alone calls a BLAS) and the
 * instructions of our own kernels. Static. */
const char *cz_device_processor_kind(cz_dtype real) {
  static char float32[CZ_PROCESSOR_BYTES], float64[CZ_PROCESSOR_BYTES];
  const char *blas = "of unknown kind", *instructions = cz_cpu_instructions();
#ifdef CZ_HAVE_OPENBLAS
  blas = openblas_get_corename();
#endif
  snprintf(float32, sizeof float32, "float32, BLAS %s, %s", blas, instructions);
  snprintf(float64, sizeof float64, "float64, %s", instructions);
  return real == CZ_F32 ? float32 : float64;
}

/** The library that can drive matrix units and its version, or that there is none. Static. */
const char *cz_device_matrix_library(void) { return cz_units_library(); }

/** The matrix units of D, which lend them; null of a device that is not the host's cpu. */
struct cz_units *cz_device_units(const cz_device *d) {
  return d->close == host_close ? d->stream : NULL;
}

/** How D computes products of bfloat16: "onednn", by matrix units; "panels", in float32; empty of a
 * device that is not the host's cpu. Static. */
const char *cz_device_path(const cz_device *d) {
  const cz_units *u = cz_device_units(d);
  return u ? cz_units_path_names[cz_units_path_of(u)] : "";
}

/** Why it does so; good until D is closed. */
const char *cz_device_path_reason(const cz_device *d) {
  const cz_units *u = cz_device_units(d);
  return u ? cz_units_reason(u) : "";
}

/** Warns, once in the life of D, that WHAT was computed on THERE, another kind of
 * processor than D computes on: what goes on from it has other last bits than if it had
 * stayed there. */
void cz_device_warn_of_kind(cz_device *d, const char *what, const char *there) {
  if (d->warned_of_kind || !strcmp(there, d->processor)) return;
  cz_warn(
      "%s: computed on another kind of processor (%s; here %s): the results are not bit for bit "
      "those of a run that stays on one",
      what, there, d->processor);
  d->warned_of_kind = true;
}
