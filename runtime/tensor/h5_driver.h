/* Internal to tensor: the driver below a file that is being written.
 *
 * A file that could not be flushed can never be closed with HDF5's own driver (1.10.8),
 * and the process crashes at its exit. This one remembers the first errno and lets later
 * writes seem to succeed, so that HDF5 closes in order; cz_h5_check and cz_h5_commit then
 * tell the reason. */
#ifndef CZ_TENSOR_H5_DRIVER_H
#define CZ_TENSOR_H5_DRIVER_H

#include "tensor/h5_file.h"

typedef struct cz__h5_target {
  int fd;     /* open and empty; the driver works on a copy */
  int *error; /* as in cz_h5_file */
} cz__h5_target;

hid_t cz__h5_driver_create(hid_t *driver, const char *name, const cz__h5_target *target);

#endif
