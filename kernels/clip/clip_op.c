#include "kernels/clip/clip.h"
#include "kernels/common/shape.h"

#include <math.h>

static bool shape(cz_arg *out, const cz_arg *in, const void *attr, char *why, size_t why_bytes) {
  const cz_clip_attr *a = attr;
  const cz_dtype real = in[CZ_CLIP_SUMSQ].dtype;
  const int64_t one = 1, any = CZ_ANY, now = CZ_CLIP_NOWS, hypers = CZ_HYPERS;
  if (!cz_shape_floating(&in[CZ_CLIP_SUMSQ], "sumsq", 1, why, why_bytes)) return false;
  if (cz_statistic_dtype(real) != real)
    return cz_shape_refuse(why, why_bytes, "sumsq is %s, which has too few digits",
                           cz_dtype_names[real]);
  if (!cz_shape_is(&in[CZ_CLIP_SUMSQ], "sumsq", real, 1, &one, why, why_bytes)) return false;
  if (cz_present(&in[CZ_CLIP_LOSSES]) &&
      !cz_shape_is(&in[CZ_CLIP_LOSSES], "losses", real, 1, &any, why, why_bytes))
    return false;
  if (!cz_shape_is(&in[CZ_CLIP_NOW], "now", real, 1, &now, why, why_bytes)) return false;
  if (!cz_shape_is(&in[CZ_CLIP_SCALE], "scale", real, 1, &one, why, why_bytes)) return false;
  if (!cz_shape_is(&in[CZ_CLIP_GOOD], "good", real, 1, &one, why, why_bytes)) return false;
  if (!(a->clip_norm >= 0))
    return cz_shape_refuse(why, why_bytes, "clip_norm is %g, not a number from 0 on", a->clip_norm);
  if (!(a->growth_steps >= 0 && a->growth_steps == floor(a->growth_steps)))
    return cz_shape_refuse(why, why_bytes, "growth_steps is %g, not a number of steps",
                           a->growth_steps);
  cz_shape_set(&out[CZ_CLIP_OUT_HYPER], real, 1, &hypers);
  cz_shape_set(&out[CZ_CLIP_OUT_SCALE], real, 1, &one);
  cz_shape_set(&out[CZ_CLIP_OUT_GOOD], real, 1, &one);
  return true;
}

const cz_op_row cz_clip_row = {
    .name = "clip",
    .n_in = 5,
    .n_out = 3,
    .in_name = {"sumsq", "losses", "now", "scale", "good"},
    .out_name = {"hyper", "scale", "good"},
    .in_optional = 1u << CZ_CLIP_LOSSES,
    .not_differentiable = true,
    .deterministic = true,
    .side_effect = true, /* scale is read by the next run's backward */
    .must_alias = {0, CZ_CLIP_SCALE + 1, CZ_CLIP_GOOD + 1},
    .attr_bytes = sizeof(cz_clip_attr),
    .shape = shape,
    .error_constant = 2, /* computed in double: the final rounding is all there is */
    .kernels = {[CZ_F64] = {.forward = cz_clip_fwd_ref}, [CZ_F32] = {.forward = cz_clip_fwd_cpu}},
};
