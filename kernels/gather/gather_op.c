#include "kernels/common/shape.h"
#include "kernels/gather/gather.h"

/* Indexes are data, which no shape rule sees: who fills rows answers for their being in
 * [0, T). */
static bool shape(cz_arg *out, const cz_arg *in, const void *attributes, char *why,
                  size_t why_bytes) {
  const cz_arg *x = &in[CZ_GATHER_X], *rows = &in[CZ_GATHER_ROWS];
  if (!cz_shape_floating(x, "x", 2, why, why_bytes)) return false;
  if (!cz_shape_is(rows, "rows", CZ_I32, 1, (int64_t[]){CZ_ANY}, why, why_bytes)) return false;
  cz_shape_set(&out[0], x->dtype, 2, (int64_t[]){rows->dim[0], x->dim[1]});
  return true;
}

/* Backward reads rows alone: the derivative of a copy is 1, whatever x and y hold. */
const cz_op_row cz_gather_row = {
    .name = "gather",
    .n_in = 2,
    .n_out = 1,
    .in_name = {"x", "rows"},
    .out_name = {"y"},
    .grad = 1u << CZ_GATHER_X,
    .deterministic = true,
    .needs = {.in = 1u << CZ_GATHER_ROWS},
    .shape = shape,
    .error_constant = 32, /* hundreds of rows are added one after the other */
    .kernels = {[CZ_F64] = {.forward = cz_gather_fwd_ref, .backward = cz_gather_bwd_ref},
                [CZ_F32] = {.forward = cz_gather_fwd_cpu,
                            .backward = cz_gather_bwd_cpu,
                            .workspace = cz_gather_workspace_cpu},
                [CZ_BF16] = {.forward = cz_gather_fwd_cpu,
                             .backward = cz_gather_bwd_cpu,
                             .workspace = cz_gather_workspace_cpu}},
};
