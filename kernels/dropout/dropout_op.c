#include "kernels/common/dropout_mask.h"
#include "kernels/common/shape.h"
#include "kernels/dropout/dropout.h"

static bool shape(cz_arg *out, const cz_arg *in, const void *attributes, char *why,
                  size_t why_bytes) {
  const cz_dropout_attr *attr = attributes;
  const cz_arg *x = &in[CZ_DROPOUT_X];
  if (!(attr->p >= 0 && attr->p < 1))
    return cz_shape_refuse(why, why_bytes, "p is %g, not in [0, 1)", attr->p);
  if (!cz_shape_floating(x, "x", 2, why, why_bytes)) return false;
  if (attr->share_segment && !cz_shape_is(&in[CZ_DROPOUT_SPANS], "spans", CZ_I32, 2,
                                          (int64_t[]){CZ_ANY, 2}, why, why_bytes))
    return false;
  cz_shape_set(&out[0], x->dtype, 2, x->dim);
  return true;
}

static cz_dropout_sizes sizes_of(const cz_call *c) {
  const cz_dropout_attr *attr = c->attr;
  cz_dropout_sizes s = {
      .T = c->in[CZ_DROPOUT_X].dim[0], .D = c->in[CZ_DROPOUT_X].dim[1], .key = &c->key};
  if (!c->training) return s;
  s.p = attr->p;
  if (attr->share_segment)
    s.B = c->in[CZ_DROPOUT_SPANS].dim[0], s.spans = c->in[CZ_DROPOUT_SPANS].data;
  return s;
}

static size_t workspace(cz_kernel_set set, const cz_call *c, bool backward) {
  cz_dropout_sizes s = sizes_of(c);
  return set == CZ_SET_CPU ? cz_dropout_mask_bytes(s.p > 0 && s.spans, s.B, s.T, s.D) : 0;
}

static void fwd_ref(const cz_call *c) {
  cz_dropout_sizes s = sizes_of(c);
  cz_dropout_fwd_ref(c->out[0].data, c->in[CZ_DROPOUT_X].data, &s, CZ_GRAD_WRITE);
}

static void fwd_cpu(const cz_call *c) {
  cz_dropout_sizes s = sizes_of(c);
  cz_dropout_fwd_cpu(c->out[0].data, c->in[CZ_DROPOUT_X].data, &s, CZ_GRAD_WRITE, c->workspace);
}

static void bwd_ref(const cz_call *c) {
  cz_dropout_sizes s = sizes_of(c);
  cz_dropout_fwd_ref(c->din[CZ_DROPOUT_X].data, c->dout[0].data, &s, c->mode[CZ_DROPOUT_X]);
}

static void bwd_cpu(const cz_call *c) {
  cz_dropout_sizes s = sizes_of(c);
  cz_dropout_fwd_cpu(c->din[CZ_DROPOUT_X].data, c->dout[0].data, &s, c->mode[CZ_DROPOUT_X],
                     c->workspace);
}

const cz_op_row cz_dropout_row = {
    .name = "dropout",
    .n_in = 2,
    .n_out = 1,
    .in_name = {"x", "spans"},
    .out_name = {"y"},
    .in_optional = 1u << CZ_DROPOUT_SPANS,
    .grad = 1u << CZ_DROPOUT_X,
    .deterministic = true,
    .may_alias = {CZ_DROPOUT_X + 1},
    .may_alias_grad = {[CZ_DROPOUT_X] = 1},
    .cheap = 1u, /* after a ReLU, whose backward keeps x */
    .attr_bytes = sizeof(cz_dropout_attr),
    .needs = {.in = 1u << CZ_DROPOUT_SPANS},
    .shape = shape,
    .workspace = workspace,
    .error_constant = 4,
    .fwd = {[CZ_SET_REF] = fwd_ref, [CZ_SET_CPU] = fwd_cpu},
    .bwd = {[CZ_SET_REF] = bwd_ref, [CZ_SET_CPU] = bwd_cpu},
};
