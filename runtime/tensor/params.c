#include "tensor/params.h"
#include "base/hash.h"
#include "device/draws.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/** Creates an empty list for DEVICE (borrowed); null for a list that is only counted. */
cz_status cz_params_create(cz_params **params, cz_device *device) {
  CZ_TRY(cz_alloc(params, 1, sizeof **params));
  (*params)->device = device;
  (*params)->compute = device ? device->real : CZ_F32;
  return cz_arena_create(&(*params)->names, "parameter names");
}

/** Bytes of one flat buffer: values, gradients, or what an optimizer keeps like them. */
size_t cz_params_bytes(const cz_params *p) {
  return (size_t)p->flat * cz_dtype_bytes(p->device->real);
}

static size_t grads_bytes(const cz_params *p) {
  return cz_params_bytes(p) + (size_t)p->extra * cz_dtype_bytes(p->device->real);
}

/** Where parameter Q begins in BUFFER, a flat buffer of the list (on the device or a copy
 * of one on the host). */
void *cz_param_at(const cz_params *p, void *buffer, const cz_param *q) {
  return (char *)buffer + (size_t)q->offset * cz_dtype_bytes(p->device->real);
}

static size_t copies_bytes(const cz_params *p) {
  return (size_t)p->flat * cz_dtype_bytes(p->compute);
}

/** Frees values, gradients, copies and the list; clears the pointer, accepts null. */
void cz_params_destroy(cz_params **params) {
  cz_params *p = *params;
  if (!p) return;
  if (p->device) {
    cz_device_free(p->device, &p->values, cz_params_bytes(p));
    cz_device_free(p->device, &p->grads, grads_bytes(p));
    cz_device_free(p->device, &p->copies, copies_bytes(p));
  }
  cz_arena_destroy(&p->names);
  free(p->list);
  free(p->slots);
  free(p);
  *params = NULL;
}

/* The slot of NAME in the hash table: the parameter's number + 1, or 0 where it would
 * go. */
static uint32_t *slot_of(const cz_params *p, const char *name) {
  size_t i = (size_t)cz_hash_text(name) & (p->n_slots - 1);
  while (p->slots[i] && strcmp(p->list[p->slots[i] - 1]->name, name))
    i = (i + 1) & (p->n_slots - 1);
  return &p->slots[i];
}

/* Keeps the table at most half full, so that look-ups stay short. */
static cz_status grow_slots(cz_params *p) {
  uint32_t *old = p->slots;
  if (2 * (p->n + 1) <= p->n_slots) return CZ_OK;
  size_t n = p->n_slots ? 2 * p->n_slots : 64;
  CZ_TRY(cz_alloc(&p->slots, n, sizeof *p->slots));
  p->n_slots = n;
  for (size_t i = 0; i < p->n; i++) *slot_of(p, p->list[i]->name) = (uint32_t)i + 1;
  free(old);
  return CZ_OK;
}

/** Adds a parameter of shape DIM[NDIM], outermost first. CZ_EINVAL when the name is taken
 * or a size is not positive. *OUT is borrowed, for the list's life. */
cz_status cz_params_declare(cz_params *p, cz_param **out, const char *name, int ndim,
                            const int64_t *dim, cz_init init, bool decay) {
  enum { ALIGN = 16 }; /* elements: 64 bytes of float32 */
  CZ_CHECK(!p->values);
  if (cz_params_find(p, name)) return CZ_FAIL(CZ_EINVAL, "parameter %s is declared twice", name);
  cz_param *q;
  CZ_TRY(grow_slots(p));
  CZ_TRY(cz_grow(&p->list, &p->cap, p->n + 1, sizeof *p->list));
  CZ_TRY(cz_arena_alloc(p->names, &q, 1, sizeof *q));
  CZ_TRY(cz_arena_strdup(p->names, &q->name, name));
  q->ndim = ndim;
  q->count = 1;
  for (int i = 0; i < ndim; i++) {
    if (dim[i] <= 0)
      return CZ_FAIL(CZ_EINVAL, "parameter %s: dimension %d is %lld", name, i, (long long)dim[i]);
    q->dim[i] = dim[i];
    q->count *= dim[i];
  }
  q->init = init;
  q->decay = decay;
  q->trainable = true;
  q->offset = p->flat;
  bool guarded = p->device && p->device->guard_bytes > 0;
  q->room = ((q->count + ALIGN - 1) / ALIGN + guarded) * ALIGN;
  p->flat += q->room;
  p->count += q->count;
  *slot_of(p, name) = (uint32_t)p->n + 1;
  p->list[p->n++] = q;
  *out = q;
  return CZ_OK;
}

/** Allocates the flat value buffer, zeroed. After it the list is closed. */
cz_status cz_params_allocate(cz_params *p) {
  CZ_TRY(cz_device_alloc(p->device, &p->values, cz_params_bytes(p)));
  for (size_t i = 0; i < p->n; i++) p->list[i]->value = cz_param_at(p, p->values, p->list[i]);
  cz_params_written(p);
  return CZ_OK;
}

/** From now on graphs read the matrices of the list in COMPUTE, the values' own dtype or a narrower
 * one that the device has (CZ_EUSAGE for another). */
cz_status cz_params_compute(cz_params *p, cz_dtype compute) {
  CZ_CHECK(p->values && !p->copies);
  if (compute == p->device->real) return CZ_OK;
  CZ_TRY(cz_device_computes(p->device, compute));
  p->compute = compute;
  CZ_TRY(cz_device_alloc(p->device, &p->copies, copies_bytes(p)));
  for (size_t i = 0; i < p->n; i++) {
    cz_param *q = p->list[i];
    if (q->ndim < 2 || q->exact) continue;
    q->copy = (char *)p->copies + (size_t)q->offset * cz_dtype_bytes(compute);
  }
  cz_params_written(p);
  return CZ_OK;
}

/** Says that values were written: what was made of them is out of date. */
void cz_params_written(cz_params *p) { p->stale = true; }

/* Two lists may lie one after the other at one address, so versions are counted for all of
 * them. */
static uint64_t next_version(void) {
  static _Atomic uint64_t last;
  return ++last;
}

/** Brings copies and version up to date when values were written since. Rounds to nearest; queued
 * on the device like a kernel. */
cz_status cz_params_refresh(cz_params *p) {
  if (!p->stale) return CZ_OK;
  p->stale = false;
  p->version = next_version();
  if (!p->copies) return CZ_OK;
  return cz_device_cast(p->device, p->copies, p->compute, p->values, p->device->real, p->flat);
}

/** Says that values were written and their copies with them, so that what was made of either is out
 * of date, and the copies are not. */
void cz_params_updated(cz_params *p) {
  if (!p->stale) p->version = next_version();
}

/** A parameter as graphs read it: its copy where there is one, else its value, and the version of
 * what lies there. */
cz_arg cz_param_seen(const cz_params *p, const cz_param *q) {
  cz_arg a = {.data = q->copy ? q->copy : q->value,
              .dtype = q->copy ? p->compute : p->device->real,
              .ndim = q->ndim,
              .version = p->version};
  memcpy(a.dim, q->dim, sizeof a.dim);
  return a;
}

/** Allocates the flat gradient buffer, zeroed, with EXTRA elements behind the gradients. Does
 * nothing the second time; CZ_EINVAL when there are fewer extra elements then. */
cz_status cz_params_allocate_grads(cz_params *p, int64_t extra) {
  if (p->grads && extra > p->extra)
    return CZ_FAIL(CZ_EINVAL, "the gradients have room for %lld more numbers, not %lld",
                   (long long)p->extra, (long long)extra);
  if (p->grads) return CZ_OK;
  p->extra = extra;
  CZ_TRY(cz_device_alloc(p->device, &p->grads, grads_bytes(p)));
  for (size_t i = 0; i < p->n; i++) p->list[i]->grad = cz_param_at(p, p->grads, p->list[i]);
  return CZ_OK;
}

enum {
  PIECE = 4096,
  STAGE = 64 * PIECE
}; /* elements that a thread takes, that are written at once */

/* Elements FIRST to FIRST + N of the sequence of KEY, N <= STAGE, on all threads. */
static void draw(double *out, cz_draw_fn fn, cz_draw_key key, int64_t first, int64_t n) {
#pragma omp parallel for schedule(static) if (n > PIECE)
  for (int64_t i = 0; i < n; i += PIECE) fn(out + i, key, first + i, n - i < PIECE ? n - i : PIECE);
}

/* Leaves those of N normal numbers that lie within two std; returns how many. */
static int64_t cut(double *x, int64_t n) {
  int64_t kept = 0;
  for (int64_t i = 0; i < n; i++) {
    x[kept] = x[i];
    kept +=
        fabs(x[i]) <= 2; /* cut, not rescaled: the realised std is 0.88 of nominal (t5.md 1.3) */
  }
  return kept;
}

/* N numbers of Q's initialiser from what was drawn for them. */
static void shape_numbers(double *x, const cz_init *init, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    x[i] = init->kind == CZ_INIT_ZERO  ? 0
           : init->kind == CZ_INIT_ONE ? init->scale
                                       : init->scale * x[i];
}

static cz_draw_fn drawn_by(cz_init_kind kind) {
  return kind == CZ_INIT_NORMAL || kind == CZ_INIT_TRUNCATED ? cz_draw_normal
         : kind == CZ_INIT_UNIFORM                           ? cz_draw_uniform
                                                             : NULL;
}

/* The next numbers of Q's initialiser, at most LEFT and STAGE; returns how many. DRAWN counts the
 * numbers of its sequence, of which a truncated normal leaves some out. */
static int64_t next_numbers(double *out, const cz_param *q, cz_draw_key key, int64_t *drawn,
                            int64_t left) {
  const cz_draw_fn fn = drawn_by(q->init.kind);
  int64_t n = left < STAGE ? left : STAGE;
  if (fn) draw(out, fn, key, *drawn, n);
  *drawn += n;
  if (q->init.kind == CZ_INIT_TRUNCATED) n = cut(out, n);
  shape_numbers(out, &q->init, n);
  return n;
}

/* A parameter whose numbers are known by their places, where the host may write: each thread
 * writes what it draws, and so makes its share of the memory's pages. */
static void init_in_place(const cz_params *p, const cz_param *q, cz_draw_key key) {
  const cz_draw_fn fn = drawn_by(q->init.kind);
#pragma omp parallel for schedule(static) if (q->count > PIECE)
  for (int64_t i = 0; i < q->count; i += PIECE) {
    double x[PIECE];
    int64_t n = q->count - i < PIECE ? q->count - i : PIECE;
    if (fn) fn(x, key, i, n);
    shape_numbers(x, &q->init, n);
    for (int64_t k = 0; k < n; k++)
      if (p->device->real == CZ_F64)
        ((double *)q->value)[i + k] = x[k];
      else
        ((float *)q->value)[i + k] = (float)x[k];
  }
}

static cz_status init_by_stages(const cz_params *p, const cz_param *q, cz_draw_key key,
                                double *stage) {
  const size_t bytes = cz_dtype_bytes(p->device->real);
  int64_t drawn = 0, n;
  for (int64_t at = 0; at < q->count; at += n) {
    n = next_numbers(stage, q, key, &drawn, q->count - at);
    CZ_TRY(cz_device_write_real(p->device, (char *)q->value + (size_t)at * bytes, stage, n));
  }
  return CZ_OK;
}

/** Draws every parameter from its initialiser, on all threads. A value depends on SEED, the
 * parameter's name and its place in the tensor, on nothing else, so models that share a
 * parameter start equal in it. */
cz_status cz_params_init(cz_params *p, uint64_t seed) {
  cz_status st = p->device->sync(p->device);
  double *stage;
  CZ_TRY(st);
  CZ_TRY(cz_alloc(&stage, STAGE, sizeof *stage));
  for (size_t i = 0; i < p->n && st == CZ_OK; i++) {
    const cz_param *q = p->list[i];
    const cz_draw_key key = cz_draw_key_of(seed, q->name);
    if (p->device->host_memory && q->init.kind != CZ_INIT_TRUNCATED)
      init_in_place(p, q, key);
    else
      st = init_by_stages(p, q, key, stage);
  }
  free(stage);
  cz_params_written(p);
  return st;
}

/** The parameter called NAME, or null. Borrowed. */
cz_param *cz_params_find(const cz_params *p, const char *name) {
  uint32_t number = p->n_slots ? *slot_of(p, name) : 0;
  return number ? p->list[number - 1] : NULL;
}
