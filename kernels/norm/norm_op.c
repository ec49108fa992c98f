#include "kernels/common/shape.h"
#include "kernels/norm/norm.h"

static bool attributes_fit(const cz_norm_attr *attr, char *why, size_t why_bytes) {
  if (attr->kind < 0 || attr->kind >= CZ_NORMS)
    return cz_shape_refuse(why, why_bytes, "there is no norm %d", attr->kind);
  if (!(attr->eps >= 0))
    return cz_shape_refuse(why, why_bytes, "eps is %g, not at least 0", attr->eps);
  if (!(attr->dropout >= 0 && attr->dropout < 1))
    return cz_shape_refuse(why, why_bytes, "dropout is %g, not in [0, 1)", attr->dropout);
  return true;
}

/* Gain and bias have the dtype of statistics: beside activations in 16 bits they would
 * stay in 32. */
static bool shape(cz_arg *out, const cz_arg *in, const void *attributes, char *why,
                  size_t why_bytes) {
  const cz_norm_attr *attr = attributes;
  const cz_arg *x = &in[CZ_NORM_X], *bias = &in[CZ_NORM_BIAS], *residual = &in[CZ_NORM_RESIDUAL],
               *spans = &in[CZ_NORM_SPANS];
  bool layer = attr->kind == CZ_NORM_LAYER;
  cz_dtype statistic = cz_statistic_dtype(x->dtype), y;
  if (!attributes_fit(attr, why, why_bytes) || !cz_shape_floating(x, "x", 2, why, why_bytes))
    return false;
  if (!cz_shape_is(&in[CZ_NORM_GAIN], "gain", statistic, 1, &x->dim[1], why, why_bytes))
    return false;
  if (cz_present(bias) && !layer) return cz_shape_refuse(why, why_bytes, "an RMS norm has no bias");
  if (cz_present(bias) && !cz_shape_is(bias, "bias", statistic, 1, &x->dim[1], why, why_bytes))
    return false;
  if (!cz_shape_choice(&y, attr->y, x->dtype, "y", why, why_bytes)) return false;
  /* The branch is what the layer computes in: as y, or as the stream. */
  cz_dtype branch = residual->dtype == y ? y : x->dtype;
  if (cz_present(residual) && !cz_shape_is(residual, "residual", branch, 2, x->dim, why, why_bytes))
    return false;
  if (cz_present(residual) && attr->share_segment &&
      !cz_shape_is(spans, "spans", CZ_I32, 2, (int64_t[]){CZ_ANY, 2}, why, why_bytes))
    return false;
  cz_shape_set(&out[CZ_NORM_Y], y, 2, x->dim);
  if (cz_present(residual)) cz_shape_set(&out[CZ_NORM_H], x->dtype, 2, x->dim);
  cz_shape_set(&out[CZ_NORM_RSTD], statistic, 1, x->dim);
  if (layer) cz_shape_set(&out[CZ_NORM_MEAN], statistic, 1, x->dim);
  return true;
}

/* With a residual backward reads h and not x, which it then does not keep. Spans are those of the
 * mask that the residual's rows share. */
static void needs_of(cz_needs *needs, const void *attributes, uint32_t present) {
  const cz_norm_attr *attr = attributes;
  const bool residual = present >> CZ_NORM_RESIDUAL & 1;
  if (residual) needs->in &= ~(1u << CZ_NORM_X);
  if (!residual || !attr->share_segment) needs->in &= ~(1u << CZ_NORM_SPANS);
}

const cz_op_row cz_norm_row = {
    .name = "norm",
    .n_in = 5,
    .n_out = 4,
    .in_name = {"x", "gain", "bias", "residual", "spans"},
    .out_name = {"y", "h", "rstd", "mean"},
    .in_optional = 1u << CZ_NORM_BIAS | 1u << CZ_NORM_RESIDUAL | 1u << CZ_NORM_SPANS,
    .out_saved = 1u << CZ_NORM_RSTD | 1u << CZ_NORM_MEAN,
    .twins = 1u << CZ_NORM_X | 1u << CZ_NORM_RESIDUAL,
    .grad = 1u << CZ_NORM_X | 1u << CZ_NORM_GAIN | 1u << CZ_NORM_BIAS | 1u << CZ_NORM_RESIDUAL,
    .deterministic = true,
    .may_alias = {[CZ_NORM_H] = CZ_NORM_X + 1},
    .may_alias_grad = {[CZ_NORM_X] = CZ_NORM_H + 1, [CZ_NORM_RESIDUAL] = CZ_NORM_Y + 1},
    /* y = norm(h) needs nothing but h, which backward keeps: no residual, and no mask
     * drawn twice. Aliases: in a chain of pre-norm blocks h takes the place of x, the
     * stream before it, and dx that of dh. */
    .recompute = 1u << CZ_NORM_Y,
    .recompute_in = {[CZ_NORM_X] = CZ_NORM_H + 1, [CZ_NORM_RESIDUAL] = -1, [CZ_NORM_SPANS] = -1},
    .attr_bytes = sizeof(cz_norm_attr),
    .needs = {.in = 1u << CZ_NORM_X | 1u << CZ_NORM_GAIN | 1u << CZ_NORM_SPANS,
              .out = 1u << CZ_NORM_H | 1u << CZ_NORM_RSTD | 1u << CZ_NORM_MEAN},
    .needs_of = needs_of,
    .shape = shape,
    .error_constant = 24,
    .kernels = {[CZ_F64] = {.forward = cz_norm_fwd_ref, .backward = cz_norm_bwd_ref},
                [CZ_F32] = {.forward = cz_norm_fwd_cpu,
                            .backward = cz_norm_bwd_cpu,
                            .workspace = cz_norm_workspace_cpu},
                [CZ_BF16] = {.forward = cz_norm_fwd_cpu,
                             .backward = cz_norm_bwd_cpu,
                             .workspace = cz_norm_workspace_cpu}},
};
