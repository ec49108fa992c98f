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

static bool shape(cz_arg *out, const cz_arg *in, const void *attributes, char *why,
                  size_t why_bytes) {
  const cz_norm_attr *attr = attributes;
  const cz_arg *x = &in[CZ_NORM_X], *shift = &in[CZ_NORM_SHIFT], *branch = &in[CZ_NORM_BRANCH],
               *spans = &in[CZ_NORM_SPANS];
  bool layer = attr->kind == CZ_NORM_LAYER;
  if (!attributes_fit(attr, why, why_bytes) || !cz_shape_floating(x, "x", 2, why, why_bytes))
    return false;
  if (!cz_shape_is(&in[CZ_NORM_GAIN], "gain", x->dtype, 1, &x->dim[1], why, why_bytes))
    return false;
  if (cz_present(shift) && !layer)
    return cz_shape_refuse(why, why_bytes, "an RMS norm has no shift");
  if (cz_present(shift) && !cz_shape_is(shift, "shift", x->dtype, 1, &x->dim[1], why, why_bytes))
    return false;
  if (cz_present(branch) && !cz_shape_is(branch, "branch", x->dtype, 2, x->dim, why, why_bytes))
    return false;
  if (cz_present(branch) && attr->share_segment &&
      !cz_shape_is(spans, "spans", CZ_I32, 2, (int64_t[]){CZ_ANY, 2}, why, why_bytes))
    return false;
  cz_shape_set(&out[CZ_NORM_Y], x->dtype, 2, x->dim);
  if (cz_present(branch)) cz_shape_set(&out[CZ_NORM_H], x->dtype, 2, x->dim);
  cz_shape_set(&out[CZ_NORM_RSTD], x->dtype, 1, x->dim);
  if (layer) cz_shape_set(&out[CZ_NORM_MEAN], x->dtype, 1, x->dim);
  return true;
}

static cz_norm_sizes sizes_of(const cz_call *c) {
  const cz_norm_attr *attr = c->attr;
  const cz_arg *x = &c->in[CZ_NORM_X], *spans = &c->in[CZ_NORM_SPANS];
  cz_norm_sizes s = {.T = x->dim[0], .D = x->dim[1], .key = &c->key};
  if (!c->training || !cz_present(&c->in[CZ_NORM_BRANCH])) return s;
  s.p = attr->dropout;
  if (attr->share_segment) s.B = spans->dim[0], s.spans = spans->data;
  return s;
}

static const void *summed(const cz_call *c) {
  return cz_present(&c->in[CZ_NORM_BRANCH]) ? c->out[CZ_NORM_H].data : c->in[CZ_NORM_X].data;
}

static size_t workspace(cz_kernel_set set, const cz_call *c, bool backward) {
  cz_norm_sizes s = sizes_of(c);
  return set == CZ_SET_CPU ? cz_norm_cpu_bytes(&s, backward) : 0;
}

static void fwd_ref(const cz_call *c) {
  cz_norm_sizes s = sizes_of(c);
  cz_norm_fwd_ref(c->out[CZ_NORM_Y].data, c->out[CZ_NORM_H].data, c->out[CZ_NORM_RSTD].data,
                  c->out[CZ_NORM_MEAN].data, c->in[CZ_NORM_X].data, c->in[CZ_NORM_GAIN].data,
                  c->in[CZ_NORM_SHIFT].data, c->in[CZ_NORM_BRANCH].data, &s, c->attr);
}

static void fwd_cpu(const cz_call *c) {
  cz_norm_sizes s = sizes_of(c);
  cz_norm_fwd_cpu(c->out[CZ_NORM_Y].data, c->out[CZ_NORM_H].data, c->out[CZ_NORM_RSTD].data,
                  c->out[CZ_NORM_MEAN].data, c->in[CZ_NORM_X].data, c->in[CZ_NORM_GAIN].data,
                  c->in[CZ_NORM_SHIFT].data, c->in[CZ_NORM_BRANCH].data, &s, c->attr, c->workspace);
}

static void bwd_ref(const cz_call *c) {
  cz_norm_sizes s = sizes_of(c);
  cz_norm_bwd_ref(c->din[CZ_NORM_X].data, c->din[CZ_NORM_GAIN].data, c->din[CZ_NORM_SHIFT].data,
                  c->din[CZ_NORM_BRANCH].data, c->dout[CZ_NORM_Y].data, c->dout[CZ_NORM_H].data,
                  summed(c), c->out[CZ_NORM_RSTD].data, c->out[CZ_NORM_MEAN].data,
                  c->in[CZ_NORM_GAIN].data, &s, c->attr, c->mode);
}

static void bwd_cpu(const cz_call *c) {
  cz_norm_sizes s = sizes_of(c);
  cz_norm_bwd_cpu(c->din[CZ_NORM_X].data, c->din[CZ_NORM_GAIN].data, c->din[CZ_NORM_SHIFT].data,
                  c->din[CZ_NORM_BRANCH].data, c->dout[CZ_NORM_Y].data, c->dout[CZ_NORM_H].data,
                  summed(c), c->out[CZ_NORM_RSTD].data, c->out[CZ_NORM_MEAN].data,
                  c->in[CZ_NORM_GAIN].data, &s, c->attr, c->mode, c->workspace);
}

const cz_op_row cz_norm_row = {
    .name = "norm",
    .n_in = 5,
    .n_out = 4,
    .in_name = {"x", "gain", "shift", "branch", "spans"},
    .out_name = {"y", "h", "rstd", "mean"},
    .in_optional = 1u << CZ_NORM_SHIFT | 1u << CZ_NORM_BRANCH | 1u << CZ_NORM_SPANS,
    .out_saved = 1u << CZ_NORM_RSTD | 1u << CZ_NORM_MEAN,
    .grad = 1u << CZ_NORM_X | 1u << CZ_NORM_GAIN | 1u << CZ_NORM_SHIFT | 1u << CZ_NORM_BRANCH,
    .deterministic = true,
    .may_alias = {[CZ_NORM_H] = CZ_NORM_X + 1},
    .may_alias_grad = {[CZ_NORM_X] = CZ_NORM_H + 1, [CZ_NORM_BRANCH] = CZ_NORM_Y + 1},
    .cheap = 1u << CZ_NORM_Y,
    .again_in = {[CZ_NORM_X] = CZ_NORM_H + 1, [CZ_NORM_BRANCH] = -1, [CZ_NORM_SPANS] = -1},
    .attr_bytes = sizeof(cz_norm_attr),
    /* x itself is read only when there is no branch; in a chain of residual blocks x is
     * the norm before's h, which is kept anyway. */
    .needs = {.in = 1u << CZ_NORM_X | 1u << CZ_NORM_GAIN | 1u << CZ_NORM_SPANS,
              .out = 1u << CZ_NORM_H | 1u << CZ_NORM_RSTD | 1u << CZ_NORM_MEAN},
    .shape = shape,
    .workspace = workspace,
    .error_constant = 24,
    .fwd = {[CZ_SET_REF] = fwd_ref, [CZ_SET_CPU] = fwd_cpu},
    .bwd = {[CZ_SET_REF] = bwd_ref, [CZ_SET_CPU] = bwd_cpu},
};
