/* Whole arrays in HDF5 files, under checksums. */
#ifndef CZ_TENSOR_H5_ARRAY_H
#define CZ_TENSOR_H5_ARRAY_H

#include "tensor/h5_file.h"

hid_t cz_h5_checked(const hsize_t *dims, int rank, size_t size, uint64_t elements);
CZ_MUST cz_status cz_h5_put_matrix(cz_h5_file *f, const char *name, const float *x, int64_t rows,
                                   int64_t columns);
CZ_MUST cz_status cz_h5_get_matrix(float **x, hid_t file, uint64_t file_bytes, const char *path,
                                   const char *name, int64_t rows, int64_t columns);

#endif
