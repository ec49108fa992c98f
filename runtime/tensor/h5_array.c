#include "tensor/h5_array.h"
#include "base/mem.h"

#include <stdlib.h>

enum { CHUNK_BYTES = 1 << 20 };

/* Chunks of at most CHUNK_BYTES: halve the outermost extents first, so that a chunk is a
 * run of whole rows wherever possible. */
static void cut_chunk(hsize_t *chunk, const hsize_t *dims, int rank, size_t size) {
  uint64_t bytes = size;
  for (int i = 0; i < rank; i++) bytes *= chunk[i] = dims[i];
  for (int i = 0; i < rank && bytes > CHUNK_BYTES;) {
    if (chunk[i] == 1) {
      i++;
      continue;
    }
    bytes = bytes / chunk[i] * ((chunk[i] + 1) / 2);
    chunk[i] = (chunk[i] + 1) / 2;
  }
}

/** How a data set of DIMS [rank], ELEMENTS in all of SIZE bytes, is to be created: in chunks, each
 * with its fletcher32, and without times, so that equal arrays make equal files. An array without
 * elements has no bytes to protect and no legal chunk, so it stays contiguous. Below 0 after a
 * failure. The caller closes it. */
hid_t cz_h5_checked(const hsize_t *dims, int rank, size_t size, uint64_t elements) {
  hsize_t chunk[CZ_H5_MAX_RANK];
  hid_t p = H5Pcreate(H5P_DATASET_CREATE);
  bool good = p >= 0 && H5Pset_obj_track_times(p, false) >= 0;
  if (elements) {
    cut_chunk(chunk, dims, rank, size);
    good = good && H5Pset_chunk(p, rank, chunk) >= 0 && H5Pset_fletcher32(p) >= 0;
  }
  if (good) return p;
  if (p >= 0) H5Pclose(p);
  return -1;
}

/** Writes X [rows, columns] as float32 under NAME, a '/' in which makes groups. */
cz_status cz_h5_put_matrix(cz_h5_file *f, const char *name, const float *x, int64_t rows,
                           int64_t columns) {
  const hsize_t dims[2] = {(hsize_t)rows, (hsize_t)columns};
  const uint64_t elements = dims[0] * dims[1];
  hid_t space = H5Screate_simple(2, dims, NULL), how = cz_h5_checked(dims, 2, sizeof *x, elements);
  cz_h5_make_groups(f, name);
  hid_t set = H5Dcreate2(f->id, name, H5T_IEEE_F32LE, space, H5P_DEFAULT, how, H5P_DEFAULT);
  bool good = set >= 0 &&
              (!elements || H5Dwrite(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, x) >= 0);
  cz_status st = cz_h5_check(f, good, name);
  if (set >= 0 && H5Dclose(set) < 0 && st == CZ_OK) st = cz_h5_check(f, false, name);
  if (how >= 0) H5Pclose(how);
  H5Sclose(space);
  return st;
}

/** Reads the data set NAME of FILE (cz_h5_open), which must be [rows, columns] of float32, into *X,
 * which the caller frees. CZ_ECORRUPT when it is anything else, or its checksums are wrong. */
cz_status cz_h5_get_matrix(float **x, hid_t file, uint64_t file_bytes, const char *path,
                           const char *name, int64_t rows, int64_t columns) {
  cz_h5_set set;
  cz_status st;
  char why[CZ_H5_TEXT];
  *x = NULL;
  CZ_GO(st, cz_h5_open_set(&set, file, file_bytes, path, name), done);
  if (set.rank != 2 || set.dims[0] != (hsize_t)rows || set.dims[1] != (hsize_t)columns ||
      set.width != sizeof **x)
    CZ_GO(st,
          CZ_FAIL(CZ_ECORRUPT, "%s: data set '%s' is not [%lld, %lld] of float32", path, name,
                  (long long)rows, (long long)columns),
          done);
  CZ_GO(st, cz_alloc(x, (size_t)(rows * columns), sizeof **x), done);
  if (set.elements && H5Dread(set.id, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, *x) < 0)
    st = CZ_FAIL(CZ_ECORRUPT, "%s: data set '%s': %s", path, name, cz_h5_why(why));
done:
  if (set.id >= 0) H5Dclose(set.id);
  if (st != CZ_OK) free(*x), *x = NULL;
  return st;
}
