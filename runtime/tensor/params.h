/* The folder tensor: arrays that outlive a step, in memory and in files. A model declares
 * its parameters here; they are drawn or read from a checkpoint, a graph takes them as
 * values and leaves their gradients beside them, and the optimizer updates them in place.
 * h5_file.h is what corpora, checkpoints and traces keep arrays in.
 *
 * A parameter is declared once (name, shape, initialiser, decay or not); optimizer,
 * checkpoint, reduction and exporter walk the list. Values, and gradients when asked for,
 * lie in one flat buffer each, in order of declaration, so that one call can copy, reduce
 * or sum all of them. Every parameter begins at a multiple of CZ_FLAT_UNIT elements
 * (device/flat.h); on a guard device a gap follows each. Gaps stay zero. Parameters that are frozen
 * lie behind the others, so that gradients, and what optimizers keep like them, end where those
 * end. */
#ifndef CZ_TENSOR_PARAMS_H
#define CZ_TENSOR_PARAMS_H

#include "base/mem.h"
#include "device/device.h"

/* A truncated normal is redrawn beyond two std, as torch's trunc_normal_ and Mesh
 * TensorFlow do; its own std is then 0.88 of `scale`. */
typedef enum cz_init_kind {
  CZ_INIT_ZERO, /* where a weight map names no other, as for biases */
  CZ_INIT_ONE,
  CZ_INIT_NORMAL,
  CZ_INIT_TRUNCATED,
  CZ_INIT_UNIFORM
} cz_init_kind;

typedef struct cz_init { /* initial distribution */
  cz_init_kind kind;
  double scale; /* NORMAL: std. TRUNCATED: std of the normal that is cut at two of them. UNIFORM:
                   limit, both sides. ONE: the constant itself */
} cz_init;

typedef struct cz_param {
  char *name; /* as Hugging Face's named_parameters has it */
  int ndim;
  int64_t dim[CZ_DIMS];
  /* Elements: its own; its offset in the flat buffers; from there to the next
   * parameter. */
  int64_t count, offset, room;
  cz_init init;
  bool decay, trainable; /* weight decay applies to it; it gets a gradient and is updated */
  bool exact; /* a matrix that is read as a vector is, in the values' dtype: a table of positions */
  /* Device memory, inside the flat buffers; grad is null until
   * cz_params_allocate_grads and of what is frozen, copy unless graphs read one. */
  void *value, *grad, *copy;
} cz_param;

/* The list. Its order is that of declaration, the same on every rank: reduction,
 * checkpoints and the hash of a graph's plan rest on that. Names are unique and found
 * through a hash table. */
typedef struct cz_params {
  cz_device *device; /* borrowed */
  cz_arena *names;
  cz_param **list; /* entries never move */
  size_t n, cap;
  uint32_t *slots; /* hash table of the names */
  size_t n_slots;
  int64_t count, flat; /* elements without and with alignment gaps */
  int64_t trained;     /* of flat those at the beginning that have a gradient; all, unless some
                          parameters are frozen */
  int64_t extra;       /* elements behind the gradients, whose sums are wanted with theirs */
  void *values, *grads;
  /* In mixed precision: what graphs read and compute in, rounded from the values, and laid out
   * like them. Whoever writes values says so, by one of two functions, and a graph's run brings the
   * copies up to date. */
  cz_dtype compute;
  void *copies; /* null where compute is the values' dtype */
  bool stale;
  uint64_t version; /* of the contents of values and copies, no other list's */
} cz_params;

/* In this order: declare all, allocate (values zeroed), freeze what is not to be trained, and where
 * training follows allocate_grads and init. init draws each parameter from a stream keyed by (seed,
 * name): adding or reordering parameters does not change the others' values, and every rank and
 * device draws the same numbers. */
CZ_MUST cz_status cz_params_create(cz_params **params, cz_device *device);
void cz_params_destroy(cz_params **params);
CZ_MUST cz_status cz_params_declare(cz_params *p, cz_param **out, const char *name, int ndim,
                                    const int64_t *dim, cz_init init, bool decay);
CZ_MUST cz_status cz_params_allocate(cz_params *p);
CZ_MUST cz_status cz_params_freeze(cz_params *p, const bool *frozen);
CZ_MUST cz_status cz_params_allocate_grads(cz_params *p, int64_t extra);
CZ_MUST cz_status cz_params_init(cz_params *p, uint64_t seed);
CZ_MUST cz_status cz_params_init_one(cz_params *p, size_t i, uint64_t seed);
/* Mixed precision (Micikevicius et al. 2018): updates are made in float32, where a step of 1e-3 of
 * a weight is not lost, and products in 16 bits. compute comes after allocate and before the first
 * graph; matrices get copies, vectors and tables of positions are read as they are. */
CZ_MUST cz_status cz_params_compute(cz_params *p, cz_dtype compute);
void cz_params_values_written(cz_params *p);
void cz_params_values_and_copies_written(cz_params *p);
CZ_MUST cz_status cz_params_refresh(cz_params *p);
cz_arg cz_param_seen(const cz_params *p, const cz_param *q);
size_t cz_params_bytes(const cz_params *p);
size_t cz_params_trained_bytes(const cz_params *p);
/* Where parameter Q lies in BUFFER, any buffer that is laid out like the values:
 * copies, and where Q is trained gradients. */
void *cz_param_at(const cz_params *p, void *buffer, const cz_param *q);
cz_param *cz_params_find(const cz_params *p, const char *name);

#endif
