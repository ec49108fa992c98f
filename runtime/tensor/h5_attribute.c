#include "tensor/h5_file.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_TEXT_BYTES = 64 << 20 };

static cz_status write_attribute(const cz_h5_file *f, hid_t object, const char *name, hid_t stored,
                                 hid_t given, const void *value) {
  hid_t space = H5Screate(H5S_SCALAR),
        a = H5Acreate2(object, name, stored, space, H5P_DEFAULT, H5P_DEFAULT);
  cz_status st = cz_h5_check(f, a >= 0 && H5Awrite(a, given, value) >= 0, name);
  if (a >= 0) H5Aclose(a);
  H5Sclose(space);
  return st;
}

/** Writes an unsigned number as attribute NAME of OBJECT, the file (its id) or a data set
 * of it. */
cz_status cz_h5_write_number(const cz_h5_file *f, hid_t object, const char *name, uint64_t value) {
  return write_attribute(f, object, name, H5T_STD_U64LE, H5T_NATIVE_UINT64, &value);
}

/** Writes a real number, which may be NaN, as attribute NAME of OBJECT. */
cz_status cz_h5_write_real(const cz_h5_file *f, hid_t object, const char *name, double value) {
  return write_attribute(f, object, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, &value);
}

/** Writes a text of fixed length as attribute NAME of the file. */
cz_status cz_h5_write_text(const cz_h5_file *f, const char *name, const char *text) {
  hid_t type = H5Tcopy(H5T_C_S1);
  H5Tset_size(type, strlen(text) + 1);
  H5Tset_cset(type, H5T_CSET_UTF8);
  cz_status st = write_attribute(f, f->id, name, type, type, text);
  H5Tclose(type);
  return st;
}

static cz_status open_attribute(hid_t file, const char *path, const char *name, H5T_class_t class,
                                hid_t *a, hid_t *type) {
  *a = H5Aexists(file, name) > 0 ? H5Aopen(file, name, H5P_DEFAULT) : -1;
  if (*a < 0) return CZ_FAIL(CZ_ECORRUPT, "%s: attribute '%s' is missing", path, name);
  *type = H5Aget_type(*a);
  hid_t space = H5Aget_space(*a);
  bool fits = H5Tget_class(*type) == class && H5Sget_simple_extent_npoints(space) == 1;
  if (fits && class == H5T_STRING)
    fits = H5Tis_variable_str(*type) == 0 && H5Tget_size(*type) <= MAX_TEXT_BYTES;
  else if (fits && class == H5T_INTEGER) /* a negative number would be read as 0 */
    fits = H5Tget_sign(*type) == H5T_SGN_NONE;
  H5Sclose(space);
  return fits ? CZ_OK : CZ_FAIL(CZ_ECORRUPT, "%s: attribute '%s' has the wrong type", path, name);
}

static void close_attribute(hid_t a, hid_t type) {
  if (type >= 0) H5Tclose(type);
  if (a >= 0) H5Aclose(a);
}

static cz_status read_attribute(hid_t object, const char *path, const char *name, H5T_class_t class,
                                hid_t wanted, void *value) {
  hid_t a = -1, type = -1;
  cz_status st = open_attribute(object, path, name, class, &a, &type);
  if (st == CZ_OK && H5Aread(a, wanted, value) < 0)
    st = CZ_FAIL(CZ_ECORRUPT, "%s: attribute '%s' can't be read", path, name);
  close_attribute(a, type);
  return st;
}

/** Reads the unsigned number in attribute NAME of OBJECT, a file or a data set.
 * CZ_ECORRUPT when it is missing or of another type. */
cz_status cz_h5_read_number(hid_t object, const char *path, const char *name, uint64_t *value) {
  return read_attribute(object, path, name, H5T_INTEGER, H5T_NATIVE_UINT64, value);
}

/** Reads the real number in attribute NAME of OBJECT. Errors as cz_h5_read_number. */
cz_status cz_h5_read_real(hid_t object, const char *path, const char *name, double *value) {
  return read_attribute(object, path, name, H5T_FLOAT, H5T_NATIVE_DOUBLE, value);
}

/** Reads the text of fixed length in attribute NAME into *TEXT, which the caller frees. */
cz_status cz_h5_read_text(hid_t file, const char *path, const char *name, char **text) {
  hid_t a = -1, type = -1;
  cz_status st = open_attribute(file, path, name, H5T_STRING, &a, &type);
  if (st == CZ_OK) st = cz_alloc(text, H5Tget_size(type) + 1, 1);
  if (st == CZ_OK && H5Aread(a, type, *text) < 0)
    st = CZ_FAIL(CZ_ECORRUPT, "%s: attribute '%s' can't be read", path, name);
  close_attribute(a, type);
  return st;
}
