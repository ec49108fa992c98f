#include "kernels/common/shape.h"
#include "kernels/label_words/label_words.h"

#include <math.h>

enum {
  X = CZ_LABEL_WORDS_X,
  ROWS = CZ_LABEL_WORDS_ROWS,
  TABLE = CZ_LABEL_WORDS_TABLE,
  BIAS = CZ_LABEL_WORDS_BIAS,
  WORDS = CZ_LABEL_WORDS_WORDS
};
enum {
  HARD = CZ_LABEL_WORDS_HARD,
  SOFT = CZ_LABEL_WORDS_SOFT,
  DENOMINATOR = CZ_LABEL_WORDS_DENOMINATOR
};

/* No targets means scores only, as at inference; then there is nothing that a denominator
 * could divide. Hard and soft at once would leave open which the loss is of. */
static bool targets(const cz_arg *in, cz_dtype statistic, char *why, size_t why_bytes) {
  bool hard = cz_present(&in[HARD]), soft = cz_present(&in[SOFT]);
  if (hard && soft)
    return cz_shape_refuse(why, why_bytes,
                           "targets_hard and targets_soft are both given; only one may be");
  if (hard && !cz_shape_is(&in[HARD], "targets_hard", CZ_I32, 1, in[ROWS].dim, why, why_bytes))
    return false;
  if (soft && !cz_shape_is(&in[SOFT], "targets_soft", statistic, 2,
                           (int64_t[]){in[ROWS].dim[0], in[WORDS].dim[0]}, why, why_bytes))
    return false;
  if (hard || soft)
    return cz_shape_is(&in[DENOMINATOR], "denominator", statistic, 1, (int64_t[]){1}, why,
                       why_bytes);
  return !cz_present(&in[DENOMINATOR]) ||
         cz_shape_refuse(why, why_bytes, "denominator is given without targets");
}

/* The table has x's dtype, as it is the model's embedding; bias, soft targets, scores and
 * loss have that of statistics, since a loss in 16 bits would not tell two steps
 * apart. */
static bool shape(cz_arg *out, const cz_arg *in, const void *attr, char *why, size_t why_bytes) {
  const cz_label_words_attr *a = attr;
  const cz_arg *x = &in[X];
  if (!cz_shape_floating(x, "x", 2, why, why_bytes)) return false;
  cz_dtype statistic = cz_statistic_dtype(x->dtype);
  if (!cz_shape_is(&in[ROWS], "rows", CZ_I32, 1, (int64_t[]){CZ_ANY}, why, why_bytes)) return false;
  if (!cz_shape_is(&in[TABLE], "table", x->dtype, 2, (int64_t[]){CZ_ANY, x->dim[1]}, why,
                   why_bytes))
    return false;
  if (cz_present(&in[BIAS]) &&
      !cz_shape_is(&in[BIAS], "bias", statistic, 1, in[TABLE].dim, why, why_bytes))
    return false;
  if (!cz_shape_is(&in[WORDS], "words", CZ_I32, 2, (int64_t[]){CZ_ANY, CZ_ANY}, why, why_bytes))
    return false;
  if (!targets(in, statistic, why, why_bytes)) return false;
  if (!(a->temperature > 0 && isfinite(a->temperature)))
    return cz_shape_refuse(why, why_bytes, "temperature is %g, not above 0", a->temperature);
  cz_shape_set(&out[CZ_LABEL_WORDS_LOSS], statistic, 1, (int64_t[]){1});
  cz_shape_set(&out[CZ_LABEL_WORDS_SCORES], statistic, 2,
               (int64_t[]){in[ROWS].dim[0], in[WORDS].dim[0]});
  return true;
}

/* Mask rows against the classes' means. */
static double flops(const cz_call *call, bool backward) {
  double product = 2.0 * (double)call->in[ROWS].dim[0] * (double)call->in[WORDS].dim[0] *
                   (double)call->in[X].dim[1];
  if (!backward) return product;
  return product * ((call->mode[X] != CZ_GRAD_SKIP) + (call->mode[TABLE] != CZ_GRAD_SKIP));
}

const cz_op_row cz_label_words_row = {
    .name = "label_words",
    .n_in = 8,
    .n_out = 2,
    .in_name = {"x", "rows", "table", "bias", "words", "targets_hard", "targets_soft",
                "denominator"},
    .out_name = {"loss", "scores"},
    .in_optional = 1u << BIAS | 1u << HARD | 1u << SOFT | 1u << DENOMINATOR,
    .grad = 1u << X | 1u << TABLE | 1u << BIAS,
    .weights = 1u << TABLE,
    .deterministic = true,
    .attr_bytes = sizeof(cz_label_words_attr),
    /* Scores hold what the bias did; its gradient is the shares' sum. */
    .needs = {.in = 0xff & ~(1u << BIAS), .out = 1u << CZ_LABEL_WORDS_SCORES},
    .shape = shape,
    .flops = flops,
    .error_constant = 8, /* sums are in double; means, scores and gradients are rounded once */
    .kernels = {[CZ_F64] = {.forward = cz_label_words_fwd_ref, .backward = cz_label_words_bwd_ref},
                [CZ_F32] = {.forward = cz_label_words_fwd_cpu,
                            .backward = cz_label_words_bwd_cpu,
                            .workspace = cz_label_words_workspace_cpu},
                [CZ_BF16] = {.forward = cz_label_words_fwd_cpu,
                             .backward = cz_label_words_bwd_cpu,
                             .workspace = cz_label_words_workspace_cpu}},
};
