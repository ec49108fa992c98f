#include "kernels/adafactor/adafactor.h"
#include "kernels/common/shape.h"

#include <math.h>

/** True when Adafactor keeps row and column statistics for a tensor of these sizes
 * instead of one number per element: its two largest dimensions have at least
 * CZ_ADAFACTOR_MINIMUM_DIM. */
bool cz_adafactor_factored(int ndim, const int64_t *dim) {
  int large = 0;
  for (int i = 0; i < ndim; i++) large += dim[i] >= CZ_ADAFACTOR_MINIMUM_DIM;
  return large >= 2;
}

static bool attributes(const cz_adafactor_attr *a, char *why, size_t why_bytes) {
  if (!(a->decay_exponent > 0 && isfinite(a->decay_exponent)))
    return cz_shape_refuse(why, why_bytes, "decay_exponent is %g", a->decay_exponent);
  if (!(a->clip > 0)) return cz_shape_refuse(why, why_bytes, "clip is %g, not positive", a->clip);
  if (!(a->eps1 > 0)) return cz_shape_refuse(why, why_bytes, "eps1 is %g, not positive", a->eps1);
  if (!(a->eps2 >= 0)) return cz_shape_refuse(why, why_bytes, "eps2 is %g, negative", a->eps2);
  return true;
}

static bool absent(const cz_arg *a, const char *name, const char *when, char *why,
                   size_t why_bytes) {
  return !cz_present(a) ||
         cz_shape_refuse(why, why_bytes, "%s is given, though the tensor is %s", name, when);
}

/* r has w's shape without its columns, c without its rows. Mesh TensorFlow sorts the
 * dimensions by size and factors the two largest; here the last two must be those, or a
 * tensor would be averaged over other dimensions than in the published optimizer. */
static bool factored_shape(cz_arg *out, const cz_arg *in, char *why, size_t why_bytes) {
  const cz_arg *w = &in[CZ_ADAFACTOR_W];
  if (w->ndim < 2)
    return cz_shape_refuse(why, why_bytes, "w has %d dimension, and factoring takes two", w->ndim);
  int64_t row[CZ_DIMS], column[CZ_DIMS];
  for (int i = 0; i < w->ndim - 1; i++) row[i] = column[i] = w->dim[i];
  column[w->ndim - 2] = w->dim[w->ndim - 1];
  int64_t smaller = row[w->ndim - 2] < column[w->ndim - 2] ? row[w->ndim - 2] : column[w->ndim - 2];
  for (int i = 0; i < w->ndim - 2; i++) {
    if (w->dim[i] > smaller)
      return cz_shape_refuse(
          why, why_bytes,
          "dimension %d of w is larger than one of the last two, which are factored", i);
  }
  if (!cz_shape_is(&in[CZ_ADAFACTOR_R], "r", w->dtype, w->ndim - 1, row, why, why_bytes))
    return false;
  if (!cz_shape_is(&in[CZ_ADAFACTOR_C], "c", w->dtype, w->ndim - 1, column, why, why_bytes))
    return false;
  if (!absent(&in[CZ_ADAFACTOR_V], "v", "factored", why, why_bytes)) return false;
  cz_shape_set(&out[CZ_ADAFACTOR_OUT_R], w->dtype, w->ndim - 1, row);
  cz_shape_set(&out[CZ_ADAFACTOR_OUT_C], w->dtype, w->ndim - 1, column);
  out[CZ_ADAFACTOR_OUT_V] = (cz_arg){0};
  return true;
}

static bool unfactored_shape(cz_arg *out, const cz_arg *in, char *why, size_t why_bytes) {
  const cz_arg *w = &in[CZ_ADAFACTOR_W];
  if (!cz_shape_is(&in[CZ_ADAFACTOR_V], "v", w->dtype, w->ndim, w->dim, why, why_bytes))
    return false;
  if (!absent(&in[CZ_ADAFACTOR_R], "r", "not factored", why, why_bytes)) return false;
  if (!absent(&in[CZ_ADAFACTOR_C], "c", "not factored", why, why_bytes)) return false;
  out[CZ_ADAFACTOR_OUT_R] = out[CZ_ADAFACTOR_OUT_C] = (cz_arg){0};
  cz_shape_set(&out[CZ_ADAFACTOR_OUT_V], w->dtype, w->ndim, w->dim);
  return true;
}

static bool shape(cz_arg *out, const cz_arg *in, const void *attr, char *why, size_t why_bytes) {
  const cz_arg *w = &in[CZ_ADAFACTOR_W];
  const cz_adafactor_attr *a = attr;
  if (!cz_shape_floating(w, "w", w->ndim, why, why_bytes)) return false;
  if (!cz_shape_is(&in[CZ_ADAFACTOR_G], "g", w->dtype, w->ndim, w->dim, why, why_bytes))
    return false;
  if (!cz_shape_is(&in[CZ_ADAFACTOR_HYPER], "hyper", w->dtype, 1, (int64_t[]){CZ_HYPERS}, why,
                   why_bytes))
    return false;
  if (!attributes(a, why, why_bytes)) return false;
  if (!(a->factored ? factored_shape : unfactored_shape)(out, in, why, why_bytes)) return false;
  cz_shape_set(&out[CZ_ADAFACTOR_OUT_W], w->dtype, w->ndim, w->dim);
  return true;
}

const cz_op_row cz_adafactor_row = {
    .name = "adafactor",
    .n_in = 6,
    .n_out = 4,
    .in_name = {"w", "g", "r", "c", "v", "hyper"},
    .out_name = {"w", "r", "c", "v"},
    .in_optional = 1u << CZ_ADAFACTOR_R | 1u << CZ_ADAFACTOR_C | 1u << CZ_ADAFACTOR_V,
    .not_differentiable = true,
    .deterministic = true,
    .side_effect = true, /* w is read by the next step's graph run, by no node of this one */
    .must_alias = {CZ_ADAFACTOR_W + 1, CZ_ADAFACTOR_R + 1, CZ_ADAFACTOR_C + 1, CZ_ADAFACTOR_V + 1},
    .attr_bytes = sizeof(cz_adafactor_attr),
    .shape = shape,
    .error_constant = 12, /* about ten roundings an element; all sums are in double */
    .kernels = {[CZ_F64] = {.forward = cz_adafactor_fwd_ref,
                            .workspace = cz_adafactor_workspace_ref},
                [CZ_F32] = {.forward = cz_adafactor_fwd_cpu,
                            .workspace = cz_adafactor_workspace_cpu}},
};
