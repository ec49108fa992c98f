#include "checkpoint/checkpoint_types.h"

#include <string.h>

/** HDF5's type in the file: always little-endian. */
hid_t cz__ck_stored(cz_checkpoint_type type) {
  const hid_t stored[CZ_CHECKPOINT_TYPES] = {H5T_IEEE_F32LE, H5T_IEEE_F64LE, H5T_STD_I32LE,
                                             H5T_STD_I64LE,  H5T_STD_U64LE,  H5T_STD_U8LE};
  return stored[type];
}

/** HDF5's type in memory. */
hid_t cz__ck_native(cz_checkpoint_type type) {
  const hid_t native[CZ_CHECKPOINT_TYPES] = {H5T_NATIVE_FLOAT, H5T_NATIVE_DOUBLE, H5T_NATIVE_INT32,
                                             H5T_NATIVE_INT64, H5T_NATIVE_UINT64, H5T_NATIVE_UINT8};
  return native[type];
}

/** Begins the checksum of an entry with all that tells it from another one: its name, type
 * and shape, DIMS[RANK] as stored. Its elements follow, in the order of the file. */
void cz__ck_sum_begin(cz_checksum *sum, const char *name, cz_checkpoint_type type,
                      const int64_t *dims, int rank) {
  const int64_t kind[2] = {(int64_t)type, rank};
  *sum = (cz_checksum){0};
  cz_checksum_add(sum, name, strlen(name) + 1);
  cz_checksum_add(sum, kind, sizeof kind);
  cz_checksum_add(sum, dims, (size_t)rank * sizeof *dims);
}

/** "f32", "f64", "i32", "i64", "u64" or "bytes". */
const char *cz_checkpoint_type_name(cz_checkpoint_type type) {
  static const char *const names[CZ_CHECKPOINT_TYPES] = {"f32", "f64", "i32",
                                                         "i64", "u64", "bytes"};
  return names[type];
}

/** Bytes of one element. */
size_t cz_checkpoint_type_size(cz_checkpoint_type type) {
  static const size_t sizes[CZ_CHECKPOINT_TYPES] = {4, 8, 4, 8, 8, 1};
  return sizes[type];
}
