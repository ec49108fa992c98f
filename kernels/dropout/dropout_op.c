#include "kernels/common/shape.h"
#include "kernels/dropout/dropout.h"

/* p = 1 is refused: 1 / (1 - p) would be infinite, and 0 times it NaN. Spans are asked
 * for even where a call does not train, since one graph serves both. */
static bool shape(cz_arg *out, const cz_arg *in, const void *attributes, char *why,
                  size_t why_bytes) {
  const cz_dropout_attr *attr = attributes;
  const cz_arg *x = &in[CZ_DROPOUT_X];
  if (!(attr->p >= 0 && attr->p < 1))
    return cz_shape_refuse(why, why_bytes, "p is %g, not in [0, 1)", attr->p);
  if (!cz_shape_floating(x, "x", 2, why, why_bytes)) return false;
  if (attr->share_segment && !cz_shape_is(&in[CZ_DROPOUT_SPANS], "spans", CZ_I32, 2,
                                          (int64_t[]){CZ_ANY, 2}, why, why_bytes))
    return false;
  cz_shape_set(&out[0], x->dtype, 2, x->dim);
  return true;
}

const cz_op_row cz_dropout_row = {
    .name = "dropout",
    .n_in = 2,
    .n_out = 1,
    .in_name = {"x", "spans"},
    .out_name = {"y"},
    .in_optional = 1u << CZ_DROPOUT_SPANS,
    .grad = 1u << CZ_DROPOUT_X,
    .deterministic = true,
    .may_alias = {CZ_DROPOUT_X + 1},
    .may_alias_grad = {[CZ_DROPOUT_X] = 1},
    .recompute = 1u, /* after a ReLU, whose backward keeps x */
    .attr_bytes = sizeof(cz_dropout_attr),
    .needs = {.in = 1u << CZ_DROPOUT_SPANS},
    .shape = shape,
    .error_constant = 4,
    .kernels = {[CZ_F64] = {.forward = cz_dropout_fwd_ref, .backward = cz_dropout_bwd_ref},
                [CZ_F32] = {.forward = cz_dropout_fwd_cpu,
                            .backward = cz_dropout_bwd_cpu,
                            .workspace = cz_dropout_workspace_cpu},
                [CZ_BF16] = {.forward = cz_dropout_fwd_cpu,
                             .backward = cz_dropout_bwd_cpu,
                             .workspace = cz_dropout_workspace_cpu}},
};
