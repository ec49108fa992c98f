/* Internal to h5: the driver below a file that is being written. */
#ifndef CZ_H5_DRIVER_H
#define CZ_H5_DRIVER_H

#include "h5/file.h"

typedef struct cz__h5_target {
  int fd;     /* open and empty; the driver works on a copy */
  int *error; /* as in cz_h5_file */
} cz__h5_target;

hid_t cz__h5_driver_create(const char *name, const cz__h5_target *target);

#endif
