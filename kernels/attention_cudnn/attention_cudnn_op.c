#include "kernels/attention_cudnn/attention_cudnn.h"
#include "kernels/common/shape.h"

#include <math.h>

enum {
  Q = CZ_ATTENTION_CUDNN_Q,
  K = CZ_ATTENTION_CUDNN_K,
  V = CZ_ATTENTION_CUDNN_V,
  Q_SPANS = CZ_ATTENTION_CUDNN_Q_SPANS,
  K_SPANS = CZ_ATTENTION_CUDNN_K_SPANS
};

static bool attributes(const cz_attention_cudnn_attr *a, int64_t width, char *why,
                       size_t why_bytes) {
  if (a->heads < 1 || width % a->heads)
    return cz_shape_refuse(why, why_bytes, "heads is %d, which does not divide q's width %lld",
                           a->heads, (long long)width);
  const int64_t head = width / a->heads;
  if (head > CZ_ATTENTION_CUDNN_HEAD || head % CZ_ATTENTION_CUDNN_STEP)
    return cz_shape_refuse(why, why_bytes,
                           "a head has %lld numbers; cuDNN takes a multiple of %d, at most %d",
                           (long long)head, CZ_ATTENTION_CUDNN_STEP, CZ_ATTENTION_CUDNN_HEAD);
  if (!isfinite(a->scale)) return cz_shape_refuse(why, why_bytes, "scale is %g", a->scale);
  if (a->longest_q < 0 || a->longest_k < 0)
    return cz_shape_refuse(why, why_bytes, "longest segments are %lld and %lld",
                           (long long)a->longest_q, (long long)a->longest_k);
  return true;
}

static bool shape(cz_arg *out, const cz_arg *in, const void *attr, char *why, size_t why_bytes) {
  const cz_attention_cudnn_attr *a = attr;
  const cz_arg *q = &in[Q];
  if (!cz_shape_floating(q, "q", 2, why, why_bytes)) return false;
  if (!cz_shape_is(&in[K], "k", q->dtype, 2, (int64_t[]){CZ_ANY, q->dim[1]}, why, why_bytes))
    return false;
  if (!cz_shape_is(&in[V], "v", q->dtype, 2, in[K].dim, why, why_bytes)) return false;
  if (!cz_shape_is(&in[Q_SPANS], "q_spans", CZ_I32, 2, (int64_t[]){CZ_ANY, 2}, why, why_bytes))
    return false;
  if (!cz_shape_is(&in[K_SPANS], "k_spans", CZ_I32, 2, in[Q_SPANS].dim, why, why_bytes))
    return false;
  if (!attributes(a, q->dim[1], why, why_bytes)) return false;
  cz_shape_set(&out[CZ_ATTENTION_CUDNN_O], q->dtype, 2, q->dim);
  cz_shape_set(&out[CZ_ATTENTION_CUDNN_STATS], cz_statistic_dtype(q->dtype), 2,
               (int64_t[]){q->dim[0], a->heads});
  return true;
}

/* As attention's: every query against every key of its segment, masked or not. */
static double flops(const cz_call *call, bool backward) {
  const int32_t *q = call->in[Q_SPANS].data, *k = call->in[K_SPANS].data;
  double pairs = 0;
  for (int64_t n = 0; n < call->in[Q_SPANS].dim[0]; n++)
    pairs += (double)(q[2 * n + 1] - q[2 * n]) * (double)(k[2 * n + 1] - k[2 * n]);
  return (backward ? 8 : 4) * pairs * (double)call->in[Q].dim[1];
}

const cz_op_row cz_attention_cudnn_row = {
    .name = "attention_cudnn",
    .n_in = 5,
    .n_out = 2,
    .in_name = {"q", "k", "v", "q_spans", "k_spans"},
    .out_name = {"o", "stats"},
    .out_saved = 1u << CZ_ATTENTION_CUDNN_STATS,
    .grad = 1u << Q | 1u << K | 1u << V,
    .rounds = CZ_ROUNDS_PRODUCTS,
    .deterministic = true,
    .of_library = true,
    .attr_bytes = sizeof(cz_attention_cudnn_attr),
    .needs = {.in = 0x1f, .out = 0x3},
    .shape = shape,
    .flops = flops,
    .error_constant = 32, /* as attention's */
    .kernels = {[CZ_F64] = {.forward = cz_attention_cudnn_fwd_ref,
                            .backward = cz_attention_cudnn_bwd_ref,
                            .workspace = cz_attention_cudnn_workspace_ref}},
};
