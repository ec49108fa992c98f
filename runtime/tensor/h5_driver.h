/* Internal to tensor: the driver below a file that is being written. */
#ifndef CZ_TENSOR_H5_DRIVER_H
#define CZ_TENSOR_H5_DRIVER_H

#include "tensor/h5_file.h"

typedef struct cz__h5_target {
  int fd;     /* open and empty; the driver works on a copy */
  int *error; /* as in cz_h5_file */
} cz__h5_target;

hid_t cz__h5_driver_create(const char *name, const cz__h5_target *target);

#endif
