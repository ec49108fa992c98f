#include "kernels/common/shape.h"
#include "kernels/cross_entropy/cross_entropy.h"

#include <math.h>

/* logit_scale 0 is refused: all logits would be 0, and dbias is got by dividing by it. */
static bool attributes(const cz_cross_entropy_attr *a, char *why, size_t why_bytes) {
  if (!(a->z_loss >= 0 && isfinite(a->z_loss)))
    return cz_shape_refuse(why, why_bytes, "z_loss is %g, not a number from 0 on", a->z_loss);
  if (!(a->label_smoothing >= 0 && a->label_smoothing < 1)) {
    return cz_shape_refuse(why, why_bytes, "label_smoothing is %g, not in [0, 1)",
                           a->label_smoothing);
  }
  if (a->logit_scale == 0 || !isfinite(a->logit_scale))
    return cz_shape_refuse(why, why_bytes, "logit_scale is %g", a->logit_scale);
  return true;
}

static bool shape(cz_arg *out, const cz_arg *in, const void *attr, char *why, size_t why_bytes) {
  const cz_arg *h = &in[CZ_CROSS_ENTROPY_H];
  if (!cz_shape_floating(h, "h", 2, why, why_bytes)) return false;
  if (!cz_shape_is(&in[CZ_CROSS_ENTROPY_W], "w", h->dtype, 2, (int64_t[]){CZ_ANY, h->dim[1]}, why,
                   why_bytes))
    return false;
  if (!cz_shape_is(&in[CZ_CROSS_ENTROPY_TARGETS], "targets", CZ_I32, 1, h->dim, why, why_bytes))
    return false;
  cz_dtype statistic = cz_statistic_dtype(h->dtype);
  if (!cz_shape_is(&in[CZ_CROSS_ENTROPY_DENOMINATOR], "denominator", statistic, 1, (int64_t[]){1},
                   why, why_bytes))
    return false;
  if (cz_present(&in[CZ_CROSS_ENTROPY_BIAS]) &&
      !cz_shape_is(&in[CZ_CROSS_ENTROPY_BIAS], "bias", statistic, 1, in[CZ_CROSS_ENTROPY_W].dim,
                   why, why_bytes))
    return false;
  if (h->dim[1] == 0 || in[CZ_CROSS_ENTROPY_W].dim[0] == 0)
    return cz_shape_refuse(why, why_bytes, "w is empty: there is no word to choose from");
  if (h->dim[0] > INT32_MAX || h->dim[1] > INT32_MAX || in[CZ_CROSS_ENTROPY_W].dim[0] > INT32_MAX)
    return cz_shape_refuse(why, why_bytes, "[%lld,%lld] against %lld words: BLAS counts below 2^31",
                           (long long)h->dim[0], (long long)h->dim[1],
                           (long long)in[CZ_CROSS_ENTROPY_W].dim[0]);
  if (!attributes(attr, why, why_bytes)) return false;
  cz_shape_set(&out[CZ_CROSS_ENTROPY_LOSS], statistic, 1, (int64_t[]){1});
  cz_shape_set(&out[CZ_CROSS_ENTROPY_NLL], statistic, 1, h->dim);
  return true;
}

/* Backward computes the logits too: it is run instead of forward. */
static double flops(const cz_call *call, bool backward) {
  double product = 2.0 * (double)cz_numel(&call->in[CZ_CROSS_ENTROPY_H]) *
                   (double)call->in[CZ_CROSS_ENTROPY_W].dim[0];
  if (!backward) return product;
  return product * (1 + (call->mode[CZ_CROSS_ENTROPY_H] != CZ_GRAD_SKIP) +
                    (call->mode[CZ_CROSS_ENTROPY_W] != CZ_GRAD_SKIP));
}

const cz_op_row cz_cross_entropy_row = {
    .name = "cross_entropy",
    .n_in = 5,
    .n_out = 2,
    .in_name = {"h", "w", "targets", "denominator", "bias"},
    .out_name = {"loss", "nll"},
    .in_optional = 1u << CZ_CROSS_ENTROPY_BIAS,
    .grad = 1u << CZ_CROSS_ENTROPY_H | 1u << CZ_CROSS_ENTROPY_W | 1u << CZ_CROSS_ENTROPY_BIAS,
    .weights = 1u << CZ_CROSS_ENTROPY_W,
    .deterministic = true,
    .fused_backward = true,
    .attr_bytes = sizeof(cz_cross_entropy_attr),
    .needs = {.in = 0x1f},
    .shape = shape,
    .flops = flops,
    .error_constant = 40, /* sums of D, V and N terms, an exponential between them */
    .kernels = {[CZ_F64] = {.forward = cz_cross_entropy_fwd_ref,
                            .backward = cz_cross_entropy_bwd_ref,
                            .workspace = cz_cross_entropy_workspace_ref},
                [CZ_F32] = {.forward = cz_cross_entropy_fwd_cpu,
                            .backward = cz_cross_entropy_bwd_cpu,
                            .workspace = cz_cross_entropy_workspace_cpu},
                [CZ_BF16] = {.forward = cz_cross_entropy_fwd_cpu,
                             .backward = cz_cross_entropy_bwd_cpu,
                             .workspace = cz_cross_entropy_workspace_cpu}},
};
