/* Arrays that live on a device: in place where their memory is the host's, else through a
 * copy. */
#include "checkpoint/checkpoint.h"
#include "device/device.h"

#include <stdlib.h>

static cz_checkpoint_type type_of(const cz_device *d) {
  CZ_CHECK(d->real == CZ_F64 || d->real == CZ_F32);
  return d->real == CZ_F64 ? CZ_CHECKPOINT_F64 : CZ_CHECKPOINT_F32;
}

/** Stores N numbers of the real dtype of D, float64 or float32, from device memory FROM
 * as one array. */
cz_status cz_checkpoint_put_device(cz_checkpoint_writer *w, const char *name, struct cz_device *d,
                                   const void *from, int64_t n) {
  void *copy = NULL;
  cz_status st;
  if (d->host_memory) {
    CZ_TRY(d->sync(d));
    return cz_checkpoint_put(w, name, type_of(d), from, &n, 1);
  }
  CZ_TRY(cz_alloc(&copy, (size_t)n, cz_dtype_bytes(d->real)));
  CZ_GO(st, d->read(d, copy, from, (size_t)n * cz_dtype_bytes(d->real)), done);
  st = cz_checkpoint_put(w, name, type_of(d), copy, &n, 1);
done:
  free(copy);
  return st;
}

/** Reads the array NAME of N numbers of the real dtype of D into device memory TO. Errors
 * as of cz_checkpoint_get. */
cz_status cz_checkpoint_get_device(cz_checkpoint *c, struct cz_device *d, void *to,
                                   const char *name, int64_t n) {
  void *copy = NULL;
  cz_status st;
  if (d->host_memory) {
    CZ_TRY(d->sync(d));
    return cz_checkpoint_get(c, to, name, type_of(d), &n, 1);
  }
  CZ_TRY(cz_alloc(&copy, (size_t)n, cz_dtype_bytes(d->real)));
  CZ_GO(st, cz_checkpoint_get(c, copy, name, type_of(d), &n, 1), done);
  st = d->write(d, to, copy, (size_t)n * cz_dtype_bytes(d->real));
done:
  free(copy);
  return st;
}
