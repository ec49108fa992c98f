#include "kernels/common/shape.h"
#include "kernels/common/sum.h"
#include "kernels/sumsq/sumsq.h"

static bool shape(cz_arg *out, const cz_arg *in, const void *attr, char *why, size_t why_bytes) {
  const cz_arg *x = &in[CZ_SUMSQ_X];
  if (!cz_shape_floating(x, "x", x->ndim, why, why_bytes)) return false;
  cz_shape_set(&out[CZ_SUMSQ_S], x->dtype == CZ_F64 ? CZ_F64 : CZ_F32, 1, (int64_t[]){1});
  return true;
}

static size_t workspace(cz_kernel_set set, const cz_call *call, bool backward) {
  return set == CZ_SET_CPU ? (size_t)cz_sum_chunks(cz_numel(&call->in[CZ_SUMSQ_X])) * sizeof(double)
                           : 0;
}

const cz_op_row cz_sumsq_row = {
    .name = "sumsq",
    .n_in = 1,
    .n_out = 1,
    .in_name = {"x"},
    .out_name = {"s"},
    .not_differentiable = true,
    .deterministic = true,
    .shape = shape,
    .workspace = workspace,
    .error_constant = 2, /* double sums: the final rounding is all there is */
    .fwd = {[CZ_SET_REF] = cz_sumsq_fwd_ref, [CZ_SET_CPU] = cz_sumsq_fwd_cpu},
};
