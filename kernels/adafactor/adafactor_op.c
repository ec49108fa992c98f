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

/** True when the last two dimensions are the largest. Mesh TensorFlow sorts the dimensions by size
 * and factors the two largest; a tensor whose last two are others would be averaged over other
 * dimensions than in the published optimizer. */
bool cz_adafactor_factors(int ndim, const int64_t *dim) {
  if (ndim < 2) return false;
  int64_t smaller = dim[ndim - 2] < dim[ndim - 1] ? dim[ndim - 2] : dim[ndim - 1];
  for (int i = 0; i < ndim - 2; i++)
    if (dim[i] > smaller) return false;
  return true;
}

static bool shape(cz_arg *out, const cz_arg *in, const void *attr, char *why, size_t why_bytes) {
  return attributes(attr, why, why_bytes) && cz_update_shape(out, in, why, why_bytes);
}

const cz_op_row cz_adafactor_row = {
    .name = "adafactor",
    .n_in = CZ_UPDATE_INPUTS,
    .n_out = CZ_UPDATE_OUTPUTS,
    .in_name = {"w", "g", "state", "parts", "hyper", "copy"},
    .out_name = {"w", "state", "copy"},
    .in_optional = 1u << CZ_UPDATE_COPY,
    .in_written = 1u << CZ_UPDATE_COPY,
    .not_differentiable = true,
    .deterministic = true,
    .side_effect = true, /* w is read by the next step's graph run, by no node of this one */
    .must_alias = {CZ_UPDATE_W + 1, CZ_UPDATE_STATE + 1, CZ_UPDATE_COPY + 1},
    .attr_bytes = sizeof(cz_adafactor_attr),
    .shape = shape,
    .error_constant = 12, /* about ten roundings an element; all sums are in double */
    .kernels =
        {[CZ_F64] = {.forward = cz_adafactor_fwd_ref, .workspace = cz_adafactor_workspace_ref},
         [CZ_F32] = {.forward = cz_adafactor_fwd_cpu, .workspace = cz_adafactor_workspace_cpu},
         [CZ_BF16] = {.forward = cz_adafactor_fwd_cpu, .workspace = cz_adafactor_workspace_cpu}},
};
