/* Messages of shape rules. They go into a buffer of the caller's, as kernels know neither
 * the error chain nor an allocation; the engine puts op and node before them. */
#include "kernels/common/shape.h"

#include <stdarg.h>
#include <stdio.h>

/** Writes the reason into WHY (at most WHY_BYTES, always ended) and is false, so that a
 * rule can return it. */
bool cz_shape_refuse(char *why, size_t why_bytes, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(why, why_bytes, format, args);
  va_end(args);
  return false;
}

static void sizes(char *text, size_t bytes, int ndim, const int64_t *dim) {
  size_t at = 0;
  text[0] = 0;
  for (int i = 0; i < ndim && at < bytes; i++)
    at += dim[i] == CZ_ANY
              ? (size_t)snprintf(text + at, bytes - at, "%s*", i ? "," : "")
              : (size_t)snprintf(text + at, bytes - at, "%s%lld", i ? "," : "", (long long)dim[i]);
}

/** True when A is present with this type and these sizes (CZ_ANY fits every size);
 * otherwise WHY names it, what it is and what it should be. */
bool cz_shape_is(const cz_arg *a, const char *name, cz_dtype dtype, int ndim, const int64_t *dim,
                 char *why, size_t why_bytes) {
  if (!cz_present(a)) return cz_shape_refuse(why, why_bytes, "%s is missing", name);
  if (a->dtype != dtype)
    return cz_shape_refuse(why, why_bytes, "%s is %s, not %s", name, cz_dtype_names[a->dtype],
                           cz_dtype_names[dtype]);
  bool same = a->ndim == ndim;
  for (int i = 0; i < ndim && same; i++) same = dim[i] == CZ_ANY || a->dim[i] == dim[i];
  if (same) return true;
  char is[96], wanted[96];
  sizes(is, sizeof is, a->ndim, a->dim);
  sizes(wanted, sizeof wanted, ndim, dim);
  return cz_shape_refuse(why, why_bytes, "%s is [%s], not [%s]", name, is, wanted);
}

/** True when A is a present floating-point array of NDIM dimensions; otherwise WHY says
 * what it is. */
bool cz_shape_floating(const cz_arg *a, const char *name, int ndim, char *why, size_t why_bytes) {
  if (!cz_present(a)) return cz_shape_refuse(why, why_bytes, "%s is missing", name);
  if (a->dtype == CZ_I32)
    return cz_shape_refuse(why, why_bytes, "%s holds whole numbers (i32), not real ones", name);
  if (a->ndim != ndim)
    return cz_shape_refuse(why, why_bytes, "%s has %d dimensions, not %d", name, a->ndim, ndim);
  return true;
}

static bool has_16_bits(cz_dtype t) { return t == CZ_BF16 || t == CZ_F16; }

/** The dtype that an attribute chooses for NAME (op.h), OTHERWISE for 0; false when the choice is
 * no real dtype, or one of 16 bits where OTHERWISE is the other: no kernel computes in both. */
bool cz_shape_choice(cz_dtype *dtype, int choice, cz_dtype otherwise, const char *name, char *why,
                     size_t why_bytes) {
  if (choice < 0 || choice > cz_dtype_choice(CZ_F16))
    return cz_shape_refuse(why, why_bytes, "%s cannot be of dtype %d", name, choice - 1);
  *dtype = cz_dtype_chosen(choice, otherwise);
  if (has_16_bits(*dtype) && has_16_bits(otherwise) && *dtype != otherwise)
    return cz_shape_refuse(why, why_bytes, "%s cannot be %s beside %s", name,
                           cz_dtype_names[*dtype], cz_dtype_names[otherwise]);
  return true;
}

/** Describes an output: type and sizes, no data. */
void cz_shape_set(cz_arg *out, cz_dtype dtype, int ndim, const int64_t *dim) {
  *out = (cz_arg){.dtype = dtype, .ndim = ndim};
  for (int i = 0; i < ndim; i++) out->dim[i] = dim[i];
}
