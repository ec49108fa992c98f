#include "cuda/context.h"
#include "kernels/common/launch.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *launch_text(const cz_cuda_launch *l, char *text, size_t n) {
  if (l->m < 0) return l->kernel;
  snprintf(text, n, "%s [%lld, %lld] x [%lld, %lld]", l->kernel, (long long)l->m, (long long)l->k,
           (long long)l->k, (long long)l->n);
  return text;
}

/* Says which launches can have failed: those since the last good point. */
static void suspects(const cz_cuda_errors *e, char *text, size_t n) {
  const uint64_t since = e->launched - e->good;
  const uint64_t kept = since < CZ_CUDA_LAUNCHES ? since : CZ_CUDA_LAUNCHES;
  char first[128], last[128];
  if (since == 0) {
    snprintf(text, n, "no kernel was launched since the card was last known to be well");
    return;
  }
  const char *from =
      launch_text(&e->last[(e->launched - kept) % CZ_CUDA_LAUNCHES], first, sizeof first);
  const char *to = launch_text(&e->last[(e->launched - 1) % CZ_CUDA_LAUNCHES], last, sizeof last);
  if (since == 1)
    snprintf(text, n, "in the kernel %s, the only launch since the card was known to be well", to);
  else
    snprintf(text, n,
             "in one of the %llu launches since the card was known to be well, %s %s, the last %s; "
             "with CZ_CUDA_SYNC=1 in the environment every launch is waited for, and the message "
             "names the one",
             (unsigned long long)since, kept == since ? "the first" : "the first of the last 256",
             from, to);
}

static void die(cz_cuda *c, cudaError_t error, const char *where) {
  if (*c->errors.cause) return;
  snprintf(c->errors.cause, sizeof c->errors.cause, "%s: %s (%s) %s", c->device.name,
           cudaGetErrorName(error), cudaGetErrorString(error), where);
}

/* The card failed while it worked: error ERROR of a wait. */
static void die_later(cz_cuda *c, cudaError_t error) {
  char where[CZ_CUDA_TEXT - 256];
  suspects(&c->errors, where, sizeof where);
  die(c, error, where);
}

/** CZ_OK while the card works; after an error that ended that, CZ_EIO with its words. */
cz_status cz_cuda_alive(const cz_cuda *c) {
  return *c->errors.cause ? CZ_FAIL(CZ_EIO, "%s", c->errors.cause) : CZ_OK;
}

/** Takes note of ERROR, the result of a wait for the card; without one the first LAUNCHED launches
 * have run well. Whether the card works: where it does not, the message of the last failure stays,
 * which may be the one that named op and node. */
bool cz_cuda_works(cz_cuda *c, cudaError_t error, uint64_t launched) {
  if (error != cudaSuccess)
    die_later(c, error);
  else if (launched > c->errors.good)
    c->errors.good = launched;
  return !*c->errors.cause;
}

/** The same; CZ_EIO names what can have caused the error. */
cz_status cz_cuda_waited(cz_cuda *c, cudaError_t error, uint64_t launched) {
  (void)cz_cuda_works(c, error, launched);
  return cz_cuda_alive(c);
}

/* Whether ERROR, which a call of the runtime returned, is one that the card had before: such ones
 * come back from whatever is called next. */
static bool came_before(cz_cuda *c) {
  (void)cudaGetLastError();
  const cudaError_t state = cudaStreamSynchronize(c->stream);
  if (state != cudaSuccess) die_later(c, state);
  return state != cudaSuccess;
}

/** What ERROR, the result of a call of the runtime that does the thing FORMAT says, means: CZ_OK,
 * or CZ_EIO with the reason, or with what ended the card's work before. */
cz_status cz_cuda_checked(cz_cuda *c, cudaError_t error, const char *format, ...) {
  char what[256];
  va_list args;
  CZ_TRY(cz_cuda_alive(c));
  if (error == cudaSuccess) return CZ_OK;
  if (came_before(c)) return cz_cuda_alive(c);
  va_start(args, format);
  vsnprintf(what, sizeof what, format, args);
  va_end(args);
  return CZ_FAIL(CZ_EIO, "%s: %s: %s (%s)", c->device.name, what, cudaGetErrorName(error),
                 cudaGetErrorString(error));
}

/** Keeps the words of FORMAT, of a launch or a library that refused, until cz_cuda_failed is asked;
 * the first ones win. */
void cz_cuda_refused(cz_cuda *c, const char *format, ...) {
  va_list args;
  if (*c->errors.pending) return;
  va_start(args, format);
  vsnprintf(c->errors.pending, sizeof c->errors.pending, format, args);
  va_end(args);
}

/** What a launch or a library has refused since this was asked last, or what ended the card's work.
 * CZ_EIO. */
cz_status cz_cuda_failed(cz_cuda *c) {
  char text[CZ_CUDA_TEXT];
  CZ_TRY(cz_cuda_alive(c));
  const char *wrong = c->cudnn ? cz_cuda_module.cudnn->wrong(c) : NULL;
  if (wrong) cz_cuda_refused(c, "%s: %s", c->device.name, wrong);
  if (!*c->errors.pending) return CZ_OK;
  memcpy(text, c->errors.pending, sizeof text);
  *c->errors.pending = 0;
  return CZ_FAIL(CZ_EIO, "%s", text);
}

/* Where launches are waited for, an error is that of the last one. */
static void die_at(cz_cuda *c, const cz_cuda_launch *launch, cudaError_t error) {
  char text[128], where[256];
  snprintf(where, sizeof where, "in the kernel %s", launch_text(launch, text, sizeof text));
  die(c, error, where);
}

static void put(cz_cuda_errors *e, const cz_cuda_launch *launch) {
  e->last[e->launched++ % CZ_CUDA_LAUNCHES] = *launch;
}

/** Takes note of a launch, which returned ERROR. */
void cz_cuda_note(cz_cuda *c, const cz_cuda_launch *launch, cudaError_t error) {
  cz_cuda_errors *e = &c->errors;
  char text[128];
  if (*e->cause) return;
  if (error == cudaSuccess && !e->exact) {
    put(e, launch);
    return;
  }
  const cudaError_t state = cudaStreamSynchronize(c->stream);
  if (state != cudaSuccess && e->exact) {
    die_at(c, launch, state);
  } else if (state != cudaSuccess) {
    die_later(c, state);
  } else if (error != cudaSuccess) {
    (void)cudaGetLastError();
    cz_cuda_refused(c, "%s: the kernel %s was not launched: %s (%s)", c->device.name,
                    launch_text(launch, text, sizeof text), cudaGetErrorName(error),
                    cudaGetErrorString(error));
  } else {
    put(e, launch);
    e->good = e->launched;
  }
}

/** As launch.h says. */
void cz_cuda_launched(void *stream, const char *kernel, int error) {
  const cz_cuda_launch launch = {.kernel = kernel, .m = -1};
  cz_cuda_note(stream, &launch, (cudaError_t)error);
}

/** As launch.h says. */
void *cz_cuda_stream_of(void *stream) { return ((cz_cuda *)stream)->stream; }

/** As launch.h says. */
int cz_cuda_multiprocessors(void *stream) {
  return ((const cz_cuda *)stream)->card.multiprocessors;
}

/** Bytes of shared memory that a block of the card can have. */
size_t cz_cuda_shared(void *stream) { return ((const cz_cuda *)stream)->card.shared; }

/** As launch.h says. */
void cz_cuda_zero(void *stream, void *p, size_t bytes) {
  cz_cuda *c = stream;
  const cudaError_t error = bytes ? cudaMemsetAsync(p, 0, bytes, c->stream) : cudaSuccess;
  const cz_cuda_launch launch = {.kernel = "zeros", .m = -1};
  cz_cuda_note(c, &launch, error);
}
