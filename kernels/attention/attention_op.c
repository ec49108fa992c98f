#include "kernels/attention/attention.h"
#include "kernels/common/shape.h"

#include <math.h>

enum {
  Q = CZ_ATTENTION_Q,
  K = CZ_ATTENTION_K,
  V = CZ_ATTENTION_V,
  Q_SPANS = CZ_ATTENTION_Q_SPANS,
  K_SPANS = CZ_ATTENTION_K_SPANS
};
enum { PREFIX = CZ_ATTENTION_PREFIX, POSITION_BIAS = CZ_ATTENTION_POSITION_BIAS };

static bool attributes(const cz_attention_attr *a, int64_t width, char *why, size_t why_bytes) {
  if (a->heads < 1 || width % a->heads)
    return cz_shape_refuse(why, why_bytes, "heads is %d, which does not divide q's width %lld",
                           a->heads, (long long)width);
  if (a->mask < CZ_ATTENTION_MASK_FULL || a->mask > CZ_ATTENTION_MASK_PREFIX)
    return cz_shape_refuse(why, why_bytes, "mask is %d, not full, causal or prefix", a->mask);
  if (!isfinite(a->scale)) return cz_shape_refuse(why, why_bytes, "scale is %g", a->scale);
  if (!(a->dropout >= 0 && a->dropout < 1))
    return cz_shape_refuse(why, why_bytes, "dropout is %g, not in [0, 1)", a->dropout);
  return true;
}

/* Below `exact` each distance has its bucket and beyond it they grow to max_distance: a
 * formula with log(max_distance / exact), which must be positive. A direction needs two
 * buckets to have one of each kind, and both directions four. */
static bool position_bias(const cz_arg *in, const cz_attention_attr *a, char *why,
                          size_t why_bytes) {
  int exact = cz_attention_exact(a->buckets, a->bidirectional);
  if (exact < 1) {
    return cz_shape_refuse(why, why_bytes, "buckets is %d; %s need at least %d", a->buckets,
                           a->bidirectional ? "two directions" : "positions",
                           a->bidirectional ? 4 : 2);
  }
  if (a->max_distance <= exact) {
    return cz_shape_refuse(
        why, why_bytes,
        "max_distance is %d; it must be larger than %d, half of the %d buckets of a direction",
        a->max_distance, exact, a->bidirectional ? a->buckets / 2 : a->buckets);
  }
  return cz_shape_is(&in[POSITION_BIAS], "position_bias", cz_statistic_dtype(in[Q].dtype), 2,
                     (int64_t[]){a->buckets, a->heads}, why, why_bytes);
}

/** Whether q, k, v and their spans, which attention_cudnn has in the same places, fit together. */
bool cz_attention_arrays(const cz_arg *in, char *why, size_t why_bytes) {
  const cz_arg *q = &in[Q];
  if (!cz_shape_floating(q, "q", 2, why, why_bytes)) return false;
  if (!cz_shape_is(&in[K], "k", q->dtype, 2, (int64_t[]){CZ_ANY, q->dim[1]}, why, why_bytes))
    return false;
  if (!cz_shape_is(&in[V], "v", q->dtype, 2, in[K].dim, why, why_bytes)) return false;
  if (!cz_shape_is(&in[Q_SPANS], "q_spans", CZ_I32, 2, (int64_t[]){CZ_ANY, 2}, why, why_bytes))
    return false;
  return cz_shape_is(&in[K_SPANS], "k_spans", CZ_I32, 2, in[Q_SPANS].dim, why, why_bytes);
}

static bool shape(cz_arg *out, const cz_arg *in, const void *attr, char *why, size_t why_bytes) {
  const cz_attention_attr *a = attr;
  const cz_arg *q = &in[Q];
  if (!cz_attention_arrays(in, why, why_bytes)) return false;
  if (!attributes(a, q->dim[1], why, why_bytes)) return false;
  if (a->mask == CZ_ATTENTION_MASK_PREFIX &&
      !cz_shape_is(&in[PREFIX], "prefix", CZ_I32, 1, in[Q_SPANS].dim, why, why_bytes))
    return false;
  if (a->mask != CZ_ATTENTION_MASK_PREFIX && cz_present(&in[PREFIX]))
    return cz_shape_refuse(why, why_bytes, "prefix is given, but the mask is not the prefix mask");
  if (cz_present(&in[POSITION_BIAS]) && !position_bias(in, a, why, why_bytes)) return false;
  cz_shape_set(&out[CZ_ATTENTION_O], q->dtype, 2, q->dim);
  cz_shape_set(&out[CZ_ATTENTION_STATS], cz_statistic_dtype(q->dtype), 3,
               (int64_t[]){q->dim[0], a->heads, 2});
  return true;
}

/** Every query against every key of its segment, masked or not: two products forward, four
 * backward; the recomputed scores are not counted. With nq nk pairs of width H K a
 * product is 2 nq nk H K, hence 4 and 8. */
double cz_attention_flops(const cz_call *call, bool backward) {
  const int32_t *q = call->in[Q_SPANS].data, *k = call->in[K_SPANS].data;
  double pairs = 0;
  for (int64_t n = 0; n < call->in[Q_SPANS].dim[0]; n++)
    pairs += (double)(q[2 * n + 1] - q[2 * n]) * (double)(k[2 * n + 1] - k[2 * n]);
  return (backward ? 8 : 4) * pairs * (double)call->in[Q].dim[1];
}

const cz_op_row cz_attention_row = {
    .name = "attention",
    .n_in = 7,
    .n_out = 2,
    .in_name = {"q", "k", "v", "q_spans", "k_spans", "prefix", "position_bias"},
    .out_name = {"o", "stats"},
    .in_optional = 1u << PREFIX | 1u << POSITION_BIAS,
    .out_saved = 1u << CZ_ATTENTION_STATS,
    .twins = 1u << Q | 1u << K | 1u << V,
    .grad = 1u << Q | 1u << K | 1u << V | 1u << POSITION_BIAS,
    .deterministic = true,
    .attr_bytes = sizeof(cz_attention_attr),
    .needs = {.in = 0x7f, .out = 0x3},
    .shape = shape,
    .flops = cz_attention_flops,
    .error_constant = 32, /* sums of K, then of nk or nq terms in float32, between them an
                             exponential: about sqrt(nk) x 1 at the lengths of the cases */
    .kernels = {[CZ_F64] = {.forward = cz_attention_fwd_ref,
                            .backward = cz_attention_bwd_ref,
                            .workspace = cz_attention_workspace_ref},
                [CZ_F32] = {.forward = cz_attention_fwd_cpu,
                            .backward = cz_attention_bwd_cpu,
                            .workspace = cz_attention_workspace_cpu},
                [CZ_BF16] = {.forward = cz_attention_fwd_cpu,
                             .backward = cz_attention_bwd_cpu,
                             .workspace = cz_attention_workspace_cpu}},
};
