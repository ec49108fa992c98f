#include "kernels/activation/activation.h"
#include "kernels/common/shape.h"

const char *const cz_activation_names[CZ_ACTIVATIONS] = {
#define CZ_KIND(kind, name) name,
    CZ_ACTIVATION_KINDS(CZ_KIND)
#undef CZ_KIND
};

static bool shape(cz_arg *out, const cz_arg *in, const void *attributes, char *why,
                  size_t why_bytes) {
  const cz_activation_attr *attr = attributes;
  const cz_arg *x = &in[CZ_ACTIVATION_X], *gate = &in[CZ_ACTIVATION_GATE];
  if (attr->kind < 0 || attr->kind >= CZ_ACTIVATIONS)
    return cz_shape_refuse(why, why_bytes, "there is no activation %d", attr->kind);
  if (!cz_shape_floating(x, "x", 2, why, why_bytes)) return false;
  if (cz_present(gate) && !cz_shape_is(gate, "gate", x->dtype, 2, x->dim, why, why_bytes))
    return false;
  cz_shape_set(&out[0], x->dtype, 2, x->dim);
  return true;
}

/* y may lie where x did only if nobody reads x again, and backward needs x: so in
 * training y has memory of its own, and in inference it has not. */
const cz_op_row cz_activation_row = {
    .name = "activation",
    .n_in = 2,
    .n_out = 1,
    .in_name = {"x", "gate"},
    .out_name = {"y"},
    .in_optional = 1u << CZ_ACTIVATION_GATE,
    .twins = 1u << CZ_ACTIVATION_X | 1u << CZ_ACTIVATION_GATE,
    .grad = 1u << CZ_ACTIVATION_X | 1u << CZ_ACTIVATION_GATE,
    .deterministic = true,
    .may_alias = {CZ_ACTIVATION_X + 1},
    .may_alias_grad = {[CZ_ACTIVATION_X] = 1},
    .attr_bytes = sizeof(cz_activation_attr),
    .needs = {.in = 1u << CZ_ACTIVATION_X | 1u << CZ_ACTIVATION_GATE},
    .shape = shape,
    .error_constant = 16,
    .kernels = {[CZ_F64] = {.forward = cz_activation_fwd_ref, .backward = cz_activation_bwd_ref},
                [CZ_F32] = {.forward = cz_activation_fwd_cpu, .backward = cz_activation_bwd_cpu},
                [CZ_BF16] = {.forward = cz_activation_fwd_cpu, .backward = cz_activation_bwd_cpu}},
};
