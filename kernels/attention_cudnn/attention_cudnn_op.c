#include "kernels/attention_cudnn/attention_cudnn.h"
#include "kernels/attention/attention.h"
#include "kernels/common/shape.h"

#include <math.h>

enum { Q = CZ_ATTENTION_CUDNN_Q, K = CZ_ATTENTION_CUDNN_K, V = CZ_ATTENTION_CUDNN_V };

/* What both ops have is checked and counted by attention's functions. */
_Static_assert(Q == (int)CZ_ATTENTION_Q && K == (int)CZ_ATTENTION_K && V == (int)CZ_ATTENTION_V &&
                   (int)CZ_ATTENTION_CUDNN_Q_SPANS == (int)CZ_ATTENTION_Q_SPANS &&
                   (int)CZ_ATTENTION_CUDNN_K_SPANS == (int)CZ_ATTENTION_K_SPANS,
               "arrays in the same places");

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
  if (!cz_attention_arrays(in, why, why_bytes)) return false;
  if (!attributes(a, q->dim[1], why, why_bytes)) return false;
  cz_shape_set(&out[CZ_ATTENTION_CUDNN_O], q->dtype, 2, q->dim);
  cz_shape_set(&out[CZ_ATTENTION_CUDNN_STATS], cz_statistic_dtype(q->dtype), 2,
               (int64_t[]){q->dim[0], a->heads});
  return true;
}

const cz_op_row cz_attention_cudnn_row = {
    .name = "attention_cudnn",
    .n_in = 5,
    .n_out = 2,
    .in_name = {"q", "k", "v", "q_spans", "k_spans"},
    .out_name = {"o", "stats"},
    .out_saved = 1u << CZ_ATTENTION_CUDNN_STATS,
    .grad = 1u << Q | 1u << K | 1u << V,
    .deterministic = true,
    .of_library = true,
    .attr_bytes = sizeof(cz_attention_cudnn_attr),
    .needs = {.in = 0x1f, .out = 0x3},
    .shape = shape,
    .flops = cz_attention_flops,
    .error_constant = 32, /* as attention's */
    .kernels = {[CZ_F64] = {.forward = cz_attention_cudnn_fwd_ref,
                            .backward = cz_attention_cudnn_bwd_ref,
                            .workspace = cz_attention_cudnn_workspace_ref}},
};
