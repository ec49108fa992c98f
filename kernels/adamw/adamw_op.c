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
  const cz_arg *w = &in[CZ_ADAMW_W];
  if (!cz_shape_floating(w, "w", w->ndim, why, why_bytes)) return false;
  if (!cz_shape_is(&in[CZ_ADAMW_G], "g", w->dtype, w->ndim, w->dim, why, why_bytes)) return false;
  if (!cz_shape_is(&in[CZ_ADAMW_M], "m", w->dtype, w->ndim, w->dim, why, why_bytes)) return false;
  if (!cz_shape_is(&in[CZ_ADAMW_V], "v", w->dtype, w->ndim, w->dim, why, why_bytes)) return false;
  if (!cz_shape_is(&in[CZ_ADAMW_HYPER], "hyper", w->dtype, 1, (int64_t[]){CZ_HYPERS}, why,
                   why_bytes))
    return false;
  if (!attributes(attr, why, why_bytes)) return false;
  for (int i = 0; i <= CZ_ADAMW_OUT_V; i++) cz_shape_set(&out[i], w->dtype, w->ndim, w->dim);
  return true;
}

const cz_op_row cz_adamw_row = {
    .name = "adamw",
    .n_in = 5,
    .n_out = 3,
    .in_name = {"w", "g", "m", "v", "hyper"},
    .out_name = {"w", "m", "v"},
    .not_differentiable = true,
    .deterministic = true,
    /* Nobody in the graph reads the new w, m and v, and a pruner must keep the row all
     * the same. */
    .side_effect = true,
    .must_alias = {CZ_ADAMW_W + 1, CZ_ADAMW_M + 1, CZ_ADAMW_V + 1},
    .attr_bytes = sizeof(cz_adamw_attr),
    .shape = shape,
    .error_constant = 12, /* about ten roundings an element */
    .kernels = {[CZ_F64] = {.forward = cz_adamw_fwd_ref},
                [CZ_F32] = {.forward = cz_adamw_fwd_cpu, .workspace = cz_adamw_workspace_cpu}},
};
