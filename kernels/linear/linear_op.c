#include "kernels/common/shape.h"
#include "kernels/linear/linear.h"

/* CBLAS takes int for sizes and strides. */
static bool sizes_fit(const cz_arg *x, int64_t O) {
  return x->dim[0] <= INT32_MAX && x->dim[1] <= INT32_MAX && O <= INT32_MAX;
}

/* Of W only the inner dimension is given by x; the outer one is the number of outputs. */
static bool shape(cz_arg *out, const cz_arg *in, const void *attributes, char *why,
                  size_t why_bytes) {
  const cz_linear_attr *attr = attributes;
  const cz_arg *x = &in[CZ_LINEAR_X], *w = &in[CZ_LINEAR_W], *bias = &in[CZ_LINEAR_BIAS];
  if (attr->layout < 0 || attr->layout >= CZ_LINEAR_LAYOUTS)
    return cz_shape_refuse(why, why_bytes, "there is no weight layout %d", attr->layout);
  if (attr->activation < 0 || attr->activation >= CZ_ACTIVATIONS)
    return cz_shape_refuse(why, why_bytes, "there is no activation %d", attr->activation);
  bool out_in = attr->layout == CZ_LINEAR_OUT_IN;
  if (!cz_shape_floating(x, "x", 2, why, why_bytes)) return false;
  int64_t I = x->dim[1];
  if (!cz_shape_is(w, "w", x->dtype, 2, out_in ? (int64_t[]){CZ_ANY, I} : (int64_t[]){I, CZ_ANY},
                   why, why_bytes))
    return false;
  int64_t O = w->dim[out_in ? 0 : 1], y[2] = {x->dim[0], O};
  if (cz_present(bias) &&
      !cz_shape_is(bias, "bias", cz_statistic_dtype(x->dtype), 1, &O, why, why_bytes))
    return false;
  if (!sizes_fit(x, O))
    return cz_shape_refuse(why, why_bytes, "[%lld,%lld] times %lld outputs: BLAS counts below 2^31",
                           (long long)y[0], (long long)I, (long long)O);
  cz_dtype type;
  if (!cz_shape_choice(&type, attr->y, x->dtype, "y", why, why_bytes)) return false;
  if (type > x->dtype)
    return cz_shape_refuse(why, why_bytes, "y is %s and x %s, which is wider", cz_dtype_names[type],
                           cz_dtype_names[x->dtype]);
  cz_shape_set(&out[CZ_LINEAR_Y], type, 2, y);
  if (cz_linear_saves_pre(attr)) cz_shape_set(&out[CZ_LINEAR_PRE], x->dtype, 2, y);
  return true;
}

/* What backward reads depends on the activation: without one only x and w; ReLU's slope
 * is in the sign of y, which forward writes anyway; for the others z is stored, T x O
 * numbers that the planner charges for. */
static void needs_of(cz_needs *needs, const void *attributes, uint32_t present) {
  const cz_linear_attr *attr = attributes;
  needs->out = cz_linear_saves_pre(attr)                ? 1u << CZ_LINEAR_PRE
               : attr->activation == CZ_ACTIVATION_RELU ? 1u << CZ_LINEAR_Y
                                                        : 0;
}

/* A multiply and an add for each of T x I x O; bias and activation are not counted, by
 * the convention of hardware peaks. */
static double flops(const cz_call *c, bool backward) {
  const cz_arg *x = &c->in[CZ_LINEAR_X];
  int64_t O =
      c->in[CZ_LINEAR_W].dim[((const cz_linear_attr *)c->attr)->layout == CZ_LINEAR_OUT_IN ? 0 : 1];
  int products =
      backward ? (c->mode[CZ_LINEAR_X] != CZ_GRAD_SKIP) + (c->mode[CZ_LINEAR_W] != CZ_GRAD_SKIP)
               : 1;
  return 2.0 * products * (double)x->dim[0] * (double)x->dim[1] * (double)O;
}

const cz_op_row cz_linear_row = {
    .name = "linear",
    .n_in = 3,
    .n_out = 2,
    .in_name = {"x", "w", "bias"},
    .out_name = {"y", "pre"},
    .in_optional = 1u << CZ_LINEAR_BIAS,
    .out_saved = 1u << CZ_LINEAR_PRE,
    .grad = 1u << CZ_LINEAR_X | 1u << CZ_LINEAR_W | 1u << CZ_LINEAR_BIAS,
    .weights = 1u << CZ_LINEAR_W,
    .deterministic = true,
    .attr_bytes = sizeof(cz_linear_attr),
    .needs = {.in = 1u << CZ_LINEAR_X | 1u << CZ_LINEAR_W,
              .out = 1u << CZ_LINEAR_Y | 1u << CZ_LINEAR_PRE},
    .needs_of = needs_of,
    .shape = shape,
    .flops = flops,
    .error_constant =
        48, /* a dot product adds about 400 terms one after the other before it starts anew */
    .kernels = {[CZ_F64] = {.forward = cz_linear_fwd_ref, .backward = cz_linear_bwd_ref},
                [CZ_F32] = {.forward = cz_linear_fwd_cpu,
                            .backward = cz_linear_bwd_cpu,
                            .workspace = cz_linear_workspace_cpu},
                [CZ_BF16] = {.forward = cz_linear_fwd_cpu,
                             .backward = cz_linear_bwd_cpu,
                             .workspace = cz_linear_workspace_cpu}},
};
