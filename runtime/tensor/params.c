#include "tensor/params.h"
#include "base/hash.h"
#include "device/draws.h"
#include "device/flat.h"

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

/** Bytes of the flat buffer of values, or of a copy of them. */
size_t cz_params_bytes(const cz_params *p) {
  return (size_t)p->flat * cz_dtype_bytes(p->device->real);
}

/** Bytes of the gradients. */
size_t cz_params_trained_bytes(const cz_params *p) {
  return (size_t)p->trained * cz_dtype_bytes(p->device->real);
}

static size_t grads_bytes(const cz_params *p) {
  return cz_params_trained_bytes(p) + (size_t)p->extra * cz_dtype_bytes(p->device->real);
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
  q->room = cz_flat_room(q->count) + (guarded ? CZ_FLAT_UNIT : 0);
  p->flat += q->room;
  p->trained = p->flat;
  p->count += q->count;
  *slot_of(p, name) = (uint32_t)p->n + 1;
  p->list[p->n++] = q;
  *out = q;
  return CZ_OK;
}

/** Allocates the flat value buffer, zeroed. After it the list is closed. */
cz_status cz_params_allocate(cz_params *p) {
  CZ_TRY(cz_device_alloc_for(p->device, &p->values, cz_params_bytes(p), "parameters"));
  for (size_t i = 0; i < p->n; i++) p->list[i]->value = cz_param_at(p, p->values, p->list[i]);
  cz_params_values_written(p);
  return CZ_OK;
}

/* Lays the parameters out from element 0 on, those that are trained before the others. */
static void lay_out(cz_params *p) {
  p->flat = 0;
  for (int frozen = 0; frozen < 2; frozen++) {
    for (size_t i = 0; i < p->n; i++) {
      cz_param *q = p->list[i];
      if (q->trainable == (bool)frozen) continue;
      q->offset = p->flat;
      p->flat += q->room;
    }
    if (!frozen) p->trained = p->flat;
  }
}

/* Moves the values out of OLD, where they still lie as their addresses say. */
static cz_status move_values(cz_params *p, void *old) {
  cz_device *d = p->device;
  CZ_TRY(cz_device_alloc_for(d, &p->values, cz_params_bytes(p), "parameters"));
  cz_status st = CZ_OK;
  for (size_t i = 0; i < p->n; i++) {
    cz_param *q = p->list[i];
    void *to = cz_param_at(p, p->values, q);
    if (st == CZ_OK) st = d->copy(d, to, q->value, (size_t)q->count * cz_dtype_bytes(d->real));
    q->value = to;
  }
  if (st == CZ_OK) st = d->sync(d);
  cz_device_free(d, &old, cz_params_bytes(p));
  return st;
}

/** Takes the parameters that FROZEN [n] marks out of training: they get no gradient, and no
 * optimizer keeps a state for them. Comes before copies, gradients and graphs, since values move
 * within their buffer, which is there twice meanwhile; a list without memory may be frozen too. */
cz_status cz_params_freeze(cz_params *p, const bool *frozen) {
  CZ_CHECK(!p->grads && !p->copies);
  void *old = p->values;
  for (size_t i = 0; i < p->n; i++) p->list[i]->trainable = !frozen[i];
  lay_out(p);
  if (!old) return CZ_OK;
  p->values = NULL;
  cz_status st = move_values(p, old);
  cz_params_values_written(p);
  return st;
}

/** From now on graphs read the matrices of the list in COMPUTE, the values' own dtype or a narrower
 * one that the device has (CZ_EUSAGE for another). */
cz_status cz_params_compute(cz_params *p, cz_dtype compute) {
  CZ_CHECK(p->values && !p->copies);
  if (compute == p->device->real) return CZ_OK;
  CZ_TRY(cz_device_computes(p->device, compute));
  p->compute = compute;
  CZ_TRY(cz_device_alloc_for(p->device, &p->copies, copies_bytes(p),
                             "copies of the parameters in 16 bits"));
  for (size_t i = 0; i < p->n; i++) {
    cz_param *q = p->list[i];
    if (q->ndim < 2 || q->exact) continue;
    q->copy = (char *)p->copies + (size_t)q->offset * cz_dtype_bytes(compute);
  }
  cz_params_values_written(p);
  return CZ_OK;
}

/** Says that values were written, and no copies: copies and whatever else was made of the values
 * are out of date. */
void cz_params_values_written(cz_params *p) { p->stale = true; }

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

/** Says that values were written, and all copies of those: what was made of either is out of date,
 * and the copies are not, unless they were before. */
void cz_params_values_and_copies_written(cz_params *p) {
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
  CZ_TRY(cz_device_alloc_for(p->device, &p->grads, grads_bytes(p), "gradients"));
  for (size_t i = 0; i < p->n; i++)
    if (p->list[i]->offset < p->trained) p->list[i]->grad = cz_param_at(p, p->grads, p->list[i]);
  return CZ_OK;
}

enum {
  PIECE = 4096,           /* numbers that a thread draws at a time */
  PIECES = 32,            /* that are drawn before they are written */
  DRAWN = PIECES * PIECE, /* 1 MiB, which the second cache holds */
};

/* Numbers that were drawn for one parameter and are not written yet; piece i has kept[i] of them,
 * from x[i * PIECE] on. */
typedef struct drawing {
  double *x;
  int64_t kept[PIECES], at[PIECES]; /* at: the place of a piece's first number in the parameter */
  int pieces;
} drawing;

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

/* Numbers FIRST to FIRST + N of Q's sequence, made what its initialiser says; returns how many are
 * left of them. */
static int64_t draw_piece(double *x, const cz_param *q, cz_draw_key key, int64_t first, int64_t n) {
  const cz_init *init = &q->init;
  const double scale = init->kind == CZ_INIT_ZERO ? 0 : init->scale;
  switch (init->kind) {
  case CZ_INIT_NORMAL: cz_draw_normal(x, key, first, n); break;
  case CZ_INIT_UNIFORM: cz_draw_uniform(x, key, first, n); break;
  case CZ_INIT_TRUNCATED:
    cz_draw_normal(x, key, first, n);
    n = cut(x, n);
    break;
  default:
    for (int64_t i = 0; i < n; i++) x[i] = 1;
  }
  for (int64_t i = 0; i < n; i++) x[i] *= scale;
  return n;
}

/* The next numbers of Q's sequence, of which DRAWN are used up: no more than its places from AT on
 * need if none is left out. */
static void draw_pieces(drawing *d, const cz_param *q, cz_draw_key key, int64_t at, int64_t drawn) {
  const int64_t n = q->count - at < DRAWN ? q->count - at : DRAWN;
  d->pieces = (int)((n + PIECE - 1) / PIECE);
#pragma omp parallel for schedule(static) if (n > PIECE)
  for (int i = 0; i < d->pieces; i++) {
    const int64_t first = (int64_t)i * PIECE, each = n - first < PIECE ? n - first : PIECE;
    d->kept[i] = draw_piece(d->x + first, q, key, drawn + first, each);
  }
  for (int i = 0; i < d->pieces; at += d->kept[i++]) d->at[i] = at;
}

static void put_piece(const drawing *d, int i, const cz_param *q, cz_dtype real) {
  const double *x = d->x + (int64_t)i * PIECE;
  if (real == CZ_F64) {
    memcpy((double *)q->value + d->at[i], x, (size_t)d->kept[i] * sizeof *x);
  } else {
    float *to = (float *)q->value + d->at[i];
    for (int64_t k = 0; k < d->kept[i]; k++) to[k] = (float)x[k];
  }
}

/* On the host each thread writes what it drew, and so makes its share of the memory's pages. */
static cz_status put_pieces(const cz_params *p, const drawing *d, const cz_param *q) {
  const cz_dtype real = p->device->real;
  if (!p->device->host_memory) {
    for (int i = 0; i < d->pieces; i++)
      CZ_TRY(cz_device_write_real(p->device,
                                  (char *)q->value + (size_t)d->at[i] * cz_dtype_bytes(real),
                                  d->x + (int64_t)i * PIECE, d->kept[i]));
    return CZ_OK;
  }
#pragma omp parallel for schedule(static) if (d->pieces > 1)
  for (int i = 0; i < d->pieces; i++) put_piece(d, i, q, real);
  return CZ_OK;
}

static cz_status init_param(const cz_params *p, drawing *d, const cz_param *q, cz_draw_key key) {
  int64_t drawn = 0;
  for (int64_t at = 0; at < q->count;) {
    const int64_t left = q->count - at;
    draw_pieces(d, q, key, at, drawn);
    drawn += left < DRAWN ? left : DRAWN;
    CZ_TRY(put_pieces(p, d, q));
    at = d->at[d->pieces - 1] + d->kept[d->pieces - 1];
  }
  return CZ_OK;
}

static cz_status init_some(cz_params *p, size_t from, size_t to, uint64_t seed) {
  cz_status st = p->device->sync(p->device);
  drawing d;
  CZ_TRY(st);
  CZ_TRY(cz_alloc(&d.x, DRAWN, sizeof *d.x));
  for (size_t i = from; i < to && st == CZ_OK; i++)
    st = init_param(p, &d, p->list[i], cz_draw_key_of(seed, p->list[i]->name));
  free(d.x);
  cz_params_values_written(p);
  return st;
}

/** Draws every parameter from its initialiser, on all threads. A value depends on SEED, the
 * parameter's name and its place in the tensor, on nothing else, so models that share a
 * parameter start equal in it. */
cz_status cz_params_init(cz_params *p, uint64_t seed) { return init_some(p, 0, p->n, seed); }

/** As cz_params_init, of the parameter of number I alone. */
cz_status cz_params_init_one(cz_params *p, size_t i, uint64_t seed) {
  return init_some(p, i, i + 1, seed);
}

/** The parameter called NAME, or null. Borrowed. */
cz_param *cz_params_find(const cz_params *p, const char *name) {
  uint32_t number = p->n_slots ? *slot_of(p, name) : 0;
  return number ? p->list[number - 1] : NULL;
}
