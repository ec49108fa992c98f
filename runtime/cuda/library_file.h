/* Where a library that is loaded lies. Who includes this defines _GNU_SOURCE first, for dladdr. */
#ifndef CZ_CUDA_LIBRARY_FILE_H
#define CZ_CUDA_LIBRARY_FILE_H

#include "device/module.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

/* The file of the library that has a function, to whose pointer FUNCTION points: a pointer to a
 * function is no pointer to an object, and is copied. OUT keeps its path where nobody knows. */
static inline void cz_cuda_library_file(cz_library_info *out, const void *function) {
  void *symbol;
  Dl_info file;
  memcpy(&symbol, function, sizeof symbol);
  if (dladdr(symbol, &file)) snprintf(out->path, sizeof out->path, "%s", file.dli_fname);
}

#endif
