#include "kernels/adamw/adamw.h"
#include "kernels/common/shape.h"

#include <math.h>

/* beta = 1 would make c = 1 - beta^step 0 and the first step 0 / 0; eps = 0 would do the
 * same for a weight that never saw a gradient. */
static bool attributes(const cz_adamw_attr *a, char *why, size_t why_bytes) {
  if (!(a->beta1 >= 0 && a->beta1 < 1))
    return cz_shape_refuse(why, why_bytes, "beta1 is %g, not in [0, 1)", a->beta1);
  if (!(a->beta2 >= 0 && a->beta2 < 1))
    return cz_shape_refuse(why, why_bytes, "beta2 is %g, not in [0, 1)", a->beta2);
  if (!(a->eps > 0 && isfinite(a->eps)))
    return cz_shape_refuse(why, why_bytes, "eps is %g, not a positive number", a->eps);
  if (!(a->weight_decay >= 0 && isfinite(a->weight_decay))) {
    return cz_shape_refuse(why, why_bytes, "weight_decay is %g, not a number from 0 on",
                           a->weight_decay);
  }
  return true;
}

static bool shape(cz_arg *out, const cz_arg *in, const void *attr, char *why, size_t why_bytes) {
  return attributes(attr, why, why_bytes) && cz_update_shape(out, in, why, why_bytes);
}

const cz_op_row cz_adamw_row = {
    .name = "adamw",
    .n_in = CZ_UPDATE_INPUTS,
    .n_out = CZ_UPDATE_OUTPUTS,
    .in_name = {"w", "g", "state", "parts", "hyper", "copy"},
    .out_name = {"w", "state", "copy"},
    .in_optional = 1u << CZ_UPDATE_COPY,
    .in_written = 1u << CZ_UPDATE_COPY,
    .not_differentiable = true,
    .deterministic = true,
    /* Nobody in the graph reads the new w, and a pruner must keep the row all the same. */
    .side_effect = true,
    .must_alias = {CZ_UPDATE_W + 1, CZ_UPDATE_STATE + 1, CZ_UPDATE_COPY + 1},
    .attr_bytes = sizeof(cz_adamw_attr),
    .shape = shape,
    .error_constant = 12, /* about ten roundings an element */
    .kernels = {[CZ_F64] = {.forward = cz_adamw_fwd_ref},
                [CZ_F32] = {.forward = cz_adamw_fwd_cpu, .workspace = cz_adamw_workspace_cpu},
                [CZ_BF16] = {.forward = cz_adamw_fwd_cpu, .workspace = cz_adamw_workspace_cpu}},
};
