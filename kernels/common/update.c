#include "kernels/common/update.h"
#include "kernels/common/shape.h"

/** The shape rule of an optimizer's row: values and gradients of one length, a state of any,
 * parts, hyper, and, where it is present, a copy of the values' length in their dtype or a
 * narrower one. */
bool cz_update_shape(cz_arg *out, const cz_arg *in, char *why, size_t why_bytes) {
  const cz_arg *w = &in[CZ_UPDATE_W], *copy = &in[CZ_UPDATE_COPY];
  const int64_t any = CZ_ANY, hypers = CZ_HYPERS, rows[] = {CZ_ANY, CZ_FLAT_FIELDS};
  if (!cz_shape_floating(w, "w", 1, why, why_bytes)) return false;
  if (cz_statistic_dtype(w->dtype) != w->dtype)
    return cz_shape_refuse(why, why_bytes, "w is %s, which loses small steps",
                           cz_dtype_names[w->dtype]);
  if (!cz_shape_is(&in[CZ_UPDATE_G], "g", w->dtype, 1, w->dim, why, why_bytes)) return false;
  if (!cz_shape_is(&in[CZ_UPDATE_STATE], "state", w->dtype, 1, &any, why, why_bytes)) return false;
  if (!cz_shape_is(&in[CZ_UPDATE_PARTS], "parts", CZ_I32, 2, rows, why, why_bytes)) return false;
  if (!cz_shape_is(&in[CZ_UPDATE_HYPER], "hyper", w->dtype, 1, &hypers, why, why_bytes))
    return false;
  out[CZ_UPDATE_OUT_COPY] = (cz_arg){0};
  if (cz_present(copy)) {
    if (!cz_shape_floating(copy, "copy", 1, why, why_bytes)) return false;
    if (!cz_shape_is(copy, "copy", copy->dtype, 1, w->dim, why, why_bytes)) return false;
    if (copy->dtype < w->dtype || (w->dtype == CZ_F64 && copy->dtype != CZ_F64))
      return cz_shape_refuse(why, why_bytes, "copy is %s, and w %s", cz_dtype_names[copy->dtype],
                             cz_dtype_names[w->dtype]);
    cz_shape_set(&out[CZ_UPDATE_OUT_COPY], copy->dtype, 1, w->dim);
  }
  cz_shape_set(&out[CZ_UPDATE_OUT_W], w->dtype, 1, w->dim);
  cz_shape_set(&out[CZ_UPDATE_OUT_STATE], w->dtype, 1, in[CZ_UPDATE_STATE].dim);
  return true;
}
