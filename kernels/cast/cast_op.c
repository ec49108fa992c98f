#include "kernels/cast/cast.h"
#include "kernels/common/shape.h"

static bool shape(cz_arg *out, const cz_arg *in, const void *attributes, char *why,
                  size_t why_bytes) {
  const cz_cast_attr *attr = attributes;
  const cz_arg *x = &in[CZ_CAST_X];
  cz_dtype y;
  if (!cz_shape_floating(x, "x", x->ndim, why, why_bytes)) return false;
  if (!cz_shape_choice(&y, attr->y, x->dtype, "y", why, why_bytes)) return false;
  cz_shape_set(&out[0], y, x->ndim, x->dim);
  return true;
}

const cz_op_row cz_cast_row = {
    .name = "cast",
    .n_in = 1,
    .n_out = 1,
    .in_name = {"x"},
    .out_name = {"y"},
    .grad = 1u << CZ_CAST_X,
    .deterministic = true,
    .attr_bytes = sizeof(cz_cast_attr),
    .shape = shape,
    .error_constant = 2,
    .kernels = {[CZ_F64] = {.forward = cz_cast_fwd_ref, .backward = cz_cast_bwd_ref},
                [CZ_F32] = {.forward = cz_cast_fwd_cpu, .backward = cz_cast_bwd_cpu},
                [CZ_BF16] = {.forward = cz_cast_fwd_cpu, .backward = cz_cast_bwd_cpu}},
};
