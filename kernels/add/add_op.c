#include "kernels/add/add.h"
#include "kernels/common/shape.h"

static bool shape(cz_arg *out, const cz_arg *in, const void *attributes, char *why,
                  size_t why_bytes) {
  const cz_arg *a = &in[CZ_ADD_A], *b = &in[CZ_ADD_B];
  if (!cz_shape_floating(a, "a", a->ndim, why, why_bytes)) return false;
  bool narrower = a->dtype == CZ_F32 && (b->dtype == CZ_BF16 || b->dtype == CZ_F16);
  if (!cz_shape_is(b, "b", narrower ? b->dtype : a->dtype, a->ndim, a->dim, why, why_bytes))
    return false;
  cz_shape_set(&out[0], a->dtype, a->ndim, a->dim);
  return true;
}

/* needs is empty: the derivatives are 1 and 1, so backward reads no input and no output,
 * and the planner may free both as soon as forward is done. */
const cz_op_row cz_add_row = {
    .name = "add",
    .n_in = 2,
    .n_out = 1,
    .in_name = {"a", "b"},
    .out_name = {"y"},
    .twins = 1u << CZ_ADD_A | 1u << CZ_ADD_B,
    .grad = 1u << CZ_ADD_A | 1u << CZ_ADD_B,
    .deterministic = true,
    .may_alias = {CZ_ADD_A + 1},
    .may_alias_grad = {[CZ_ADD_A] = 1}, /* not b's as well: both would then be one array */
    .shape = shape,
    .error_constant = 4,
    .kernels = {[CZ_F64] = {.forward = cz_add_fwd_ref, .backward = cz_add_bwd_ref},
                [CZ_F32] = {.forward = cz_add_fwd_cpu, .backward = cz_add_bwd_cpu},
                [CZ_BF16] = {.forward = cz_add_fwd_cpu, .backward = cz_add_bwd_cpu}},
};
