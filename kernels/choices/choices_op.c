#include "kernels/choices/choices.h"
#include "kernels/common/shape.h"

enum {
  NLL = CZ_CHOICES_NLL,
  ROWS = CZ_CHOICES_ROWS,
  GROUPS = CZ_CHOICES_GROUPS,
  RIGHT = CZ_CHOICES_RIGHT,
  DENOMINATOR = CZ_CHOICES_DENOMINATOR
};

/* Without the right candidates there are scores only, as when answers are given; then there is
 * nothing that a denominator could divide. */
static bool targets(const cz_arg *in, char *why, size_t why_bytes) {
  if (!cz_present(&in[RIGHT]))
    return !cz_present(&in[DENOMINATOR]) ||
           cz_shape_refuse(why, why_bytes, "denominator is given without right");
  return cz_shape_is(&in[RIGHT], "right", CZ_I32, 1, in[GROUPS].dim, why, why_bytes) &&
         cz_shape_is(&in[DENOMINATOR], "denominator", in[NLL].dtype, 1, (int64_t[]){1}, why,
                     why_bytes);
}

/* nll is a statistic, of whatever dtype the products were that it comes from: so is all of this. */
static bool shape(cz_arg *out, const cz_arg *in, const void *attr, char *why, size_t why_bytes) {
  const cz_dtype real = in[NLL].dtype;
  const int64_t pairs[] = {CZ_ANY, 2};
  if (!cz_shape_floating(&in[NLL], "nll", 1, why, why_bytes)) return false;
  if (cz_statistic_dtype(real) != real)
    return cz_shape_refuse(why, why_bytes, "nll is %s, which has too few digits",
                           cz_dtype_names[real]);
  if (!cz_shape_is(&in[ROWS], "rows", CZ_I32, 2, pairs, why, why_bytes)) return false;
  if (!cz_shape_is(&in[GROUPS], "groups", CZ_I32, 2, pairs, why, why_bytes)) return false;
  if (!targets(in, why, why_bytes)) return false;
  cz_shape_set(&out[CZ_CHOICES_LOSS], real, 1, (int64_t[]){1});
  cz_shape_set(&out[CZ_CHOICES_SCORES], real, 1, in[ROWS].dim);
  return true;
}

const cz_op_row cz_choices_row = {
    .name = "choices",
    .n_in = 5,
    .n_out = 2,
    .in_name = {"nll", "rows", "groups", "right", "denominator"},
    .out_name = {"loss", "scores"},
    .in_optional = 1u << RIGHT | 1u << DENOMINATOR,
    .grad = 1u << NLL,
    .deterministic = true,
    .attr_bytes = sizeof(cz_choices_attr),
    /* Of nll itself the margins know all that the gradient depends on. */
    .needs = {.in = 1u << ROWS | 1u << GROUPS | 1u << RIGHT | 1u << DENOMINATOR,
              .out = 1u << CZ_CHOICES_SCORES},
    .shape = shape,
    .error_constant = 16, /* a loss near 0 is made of large scores that were rounded */
    .kernels = {[CZ_F64] = {.forward = cz_choices_fwd_ref, .backward = cz_choices_bwd_ref},
                [CZ_F32] = {.forward = cz_choices_fwd_cpu, .backward = cz_choices_bwd_cpu}},
};
