#include "checkpoint/h5.h"

#include <stdio.h>
#include <string.h>

/** Stops HDF5 from printing its errors in this thread; they reach the user inside ours. */
void cz__h5_quiet(void) { H5Eset_auto2(H5E_DEFAULT, NULL, NULL); }

typedef struct reasons {
  const char *inner, *outer;
} reasons;

static herr_t collect(unsigned n, const H5E_error2_t *e, void *context) {
  reasons *r = context;
  if (n == 0) r->inner = e->desc;
  r->outer = e->desc;
  return 0;
}

/** The innermost and outermost description of HDF5's last failure in this thread, into OUT, which it returns. */
const char *cz__h5_why(char out[CZ__H5_TEXT]) {
  reasons r = {0};
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, collect, &r);
  if (!r.inner)
    snprintf(out, CZ__H5_TEXT, "HDF5 gave no reason");
  else if (strcmp(r.inner, r.outer) == 0)
    snprintf(out, CZ__H5_TEXT, "%s", r.inner);
  else
    snprintf(out, CZ__H5_TEXT, "%s; %s", r.inner, r.outer);
  return out;
}

/** HDF5's type in the file: always little-endian. */
hid_t cz__h5_stored(cz_ck_type type) {
  const hid_t stored[CZ_CK_TYPES] = {H5T_IEEE_F32LE, H5T_IEEE_F64LE, H5T_STD_I32LE, H5T_STD_I64LE, H5T_STD_U64LE, H5T_STD_U8LE};
  return stored[type];
}

/** HDF5's type in memory. */
hid_t cz__h5_native(cz_ck_type type) {
  const hid_t native[CZ_CK_TYPES] = {H5T_NATIVE_FLOAT, H5T_NATIVE_DOUBLE, H5T_NATIVE_INT32, H5T_NATIVE_INT64, H5T_NATIVE_UINT64, H5T_NATIVE_UINT8};
  return native[type];
}

/** "f32", "f64", "i32", "i64", "u64" or "bytes". */
const char *cz_ck_type_name(cz_ck_type type) {
  static const char *const names[CZ_CK_TYPES] = {"f32", "f64", "i32", "i64", "u64", "bytes"};
  return names[type];
}

/** Bytes of one element. */
size_t cz_ck_type_size(cz_ck_type type) {
  static const size_t sizes[CZ_CK_TYPES] = {4, 8, 4, 8, 8, 1};
  return sizes[type];
}
