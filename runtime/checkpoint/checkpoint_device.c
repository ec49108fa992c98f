/* Arrays that live on a device, alone or as the list of parameters: in place where their
 * memory is the host's, else through a copy. */
#include "checkpoint/checkpoint.h"
#include "tensor/params.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 1024 }; /* of an entry, its groups included */

static cz_checkpoint_type type_of(const cz_device *d) {
  CZ_CHECK(d->real == CZ_F64 || d->real == CZ_F32);
  return d->real == CZ_F64 ? CZ_CHECKPOINT_F64 : CZ_CHECKPOINT_F32;
}

static size_t elements(const int64_t *dims, int rank) {
  size_t n = 1;
  for (int i = 0; i < rank; i++) n *= (size_t)dims[i];
  return n;
}

/** Stores the array FROM in memory of D, DIMS[RANK] numbers of its real dtype (float32 or
 * float64), as entry NAME. Errors as of cz_checkpoint_put. */
cz_status cz_checkpoint_put_device(cz_checkpoint_writer *w, const char *name, struct cz_device *d,
                                   const void *from, const int64_t *dims, int rank) {
  void *copy = NULL;
  cz_status st;
  size_t n = elements(dims, rank), size = cz_dtype_bytes(d->real);
  if (d->host_memory) {
    CZ_TRY(d->sync(d));
    return cz_checkpoint_put(w, name, type_of(d), from, dims, rank);
  }
  CZ_TRY(cz_alloc(&copy, n, size));
  CZ_GO(st, d->read(d, copy, from, n * size), done);
  st = cz_checkpoint_put(w, name, type_of(d), copy, dims, rank);
done:
  free(copy);
  return st;
}

/** Reads entry NAME, DIMS[RANK] numbers of the real dtype of D, into device memory TO.
 * Errors as of cz_checkpoint_get. */
cz_status cz_checkpoint_get_device(cz_checkpoint *c, struct cz_device *d, void *to,
                                   const char *name, const int64_t *dims, int rank) {
  void *copy = NULL;
  cz_status st;
  size_t n = elements(dims, rank), size = cz_dtype_bytes(d->real);
  if (d->host_memory) {
    CZ_TRY(d->sync(d));
    return cz_checkpoint_get(c, to, name, type_of(d), dims, rank);
  }
  CZ_TRY(cz_alloc(&copy, n, size));
  CZ_GO(st, cz_checkpoint_get(c, copy, name, type_of(d), dims, rank), done);
  st = d->write(d, to, copy, n * size);
done:
  free(copy);
  return st;
}

static cz_status name_in(char out[NAME_BYTES], const char *group, const char *name) {
  return snprintf(out, NAME_BYTES, "%s/%s", group, name) < NAME_BYTES
             ? CZ_OK
             : CZ_FAIL(CZ_EINVAL, "name of a checkpoint entry too long: %s/%s", group, name);
}

static size_t bytes_to(const cz_params *p, const cz_param *q) {
  return (size_t)q->offset * cz_dtype_bytes(p->device->real);
}

/** Stores FLAT, a buffer of device memory laid out as the values of PARAMS (themselves,
 * or a state of the same shapes), as one entry GROUP/NAME for each parameter, in its
 * shape: nothing of the buffer's layout reaches the file. */
cz_status cz_checkpoint_put_params(cz_checkpoint_writer *w, const char *group,
                                   const struct cz_params *params, const void *flat) {
  char name[NAME_BYTES];
  for (size_t i = 0; i < params->n; i++) {
    const cz_param *q = params->list[i];
    CZ_TRY(name_in(name, group, q->name));
    CZ_TRY(cz_checkpoint_put_device(w, name, params->device,
                                    (const char *)flat + bytes_to(params, q), q->dim, q->ndim));
  }
  return CZ_OK;
}

/* An entry of GROUP that is none of PARAMS belongs to another model. */
static cz_status refuse_others(const cz_checkpoint *c, const char *group, const cz_params *params) {
  size_t n = strlen(group);
  const cz_checkpoint_entry *e;
  for (size_t i = 0; (e = cz_checkpoint_at(c, i)); i++)
    if (strncmp(e->name, group, n) == 0 && e->name[n] == '/' &&
        !cz_params_find(params, e->name + n + 1))
      return CZ_FAIL(CZ_EINVAL, "%s: '%s' is no parameter of this model", cz_checkpoint_path(c),
                     e->name);
  return CZ_OK;
}

/** Reads what cz_checkpoint_put_params stored into FLAT; gaps between parameters keep
 * what they hold. CZ_EINVAL when the entries of GROUP are not exactly the parameters, by
 * name and shape; errors as of cz_checkpoint_get. */
cz_status cz_checkpoint_get_params(cz_checkpoint *c, const char *group,
                                   const struct cz_params *params, void *flat) {
  char name[NAME_BYTES];
  CZ_TRY(refuse_others(c, group, params));
  for (size_t i = 0; i < params->n; i++) {
    const cz_param *q = params->list[i];
    CZ_TRY(name_in(name, group, q->name));
    CZ_TRY(cz_checkpoint_get_device(c, params->device, (char *)flat + bytes_to(params, q), name,
                                    q->dim, q->ndim));
  }
  return CZ_OK;
}
