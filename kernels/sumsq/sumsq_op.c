#include "kernels/common/shape.h"
#include "kernels/sumsq/sumsq.h"

static bool shape(cz_arg *out, const cz_arg *in, const void *attr, char *why, size_t why_bytes) {
  const cz_arg *x = &in[CZ_SUMSQ_X];
  if (!cz_shape_floating(x, "x", x->ndim, why, why_bytes)) return false;
  cz_shape_set(&out[CZ_SUMSQ_S], cz_statistic_dtype(x->dtype), 1, (int64_t[]){1});
  return true;
}

/* Not differentiable by choice: gradient norms are measured, not trained through. */
const cz_op_row cz_sumsq_row = {
    .name = "sumsq",
    .n_in = 1,
    .n_out = 1,
    .in_name = {"x"},
    .out_name = {"s"},
    .not_differentiable = true,
    .deterministic = true,
    .shape = shape,
    .error_constant = 2, /* double sums: the final rounding is all there is */
    .kernels = {[CZ_F64] = {.forward = cz_sumsq_fwd_ref},
                [CZ_F32] = {.forward = cz_sumsq_fwd_cpu, .workspace = cz_sumsq_workspace_cpu}},
};
