#include "kernels/common/shape.h"
#include "kernels/gather/gather.h"

static bool shape(cz_arg *out, const cz_arg *in, const void *attributes, char *why,
                  size_t why_bytes) {
  const cz_arg *x = &in[CZ_GATHER_X], *rows = &in[CZ_GATHER_ROWS];
  if (!cz_shape_floating(x, "x", 2, why, why_bytes)) return false;
  if (!cz_shape_is(rows, "rows", CZ_I32, 1, (int64_t[]){CZ_ANY}, why, why_bytes)) return false;
  cz_shape_set(&out[0], x->dtype, 2, (int64_t[]){rows->dim[0], x->dim[1]});
  return true;
}

static void fwd_ref(const cz_call *c) {
  cz_gather_fwd_ref(c->out[0].data, c->in[CZ_GATHER_X].data, c->in[CZ_GATHER_ROWS].data,
                    c->out[0].dim[0], c->out[0].dim[1]);
}

static void fwd_cpu(const cz_call *c) {
  cz_gather_fwd_cpu(c->out[0].data, c->in[CZ_GATHER_X].data, c->in[CZ_GATHER_ROWS].data,
                    c->out[0].dim[0], c->out[0].dim[1]);
}

static void bwd_ref(const cz_call *c) {
  const cz_arg *x = &c->in[CZ_GATHER_X], *rows = &c->in[CZ_GATHER_ROWS];
  cz_gather_bwd_ref(c->din[CZ_GATHER_X].data, c->dout[0].data, rows->data, rows->dim[0], x->dim[0],
                    x->dim[1], c->mode[CZ_GATHER_X]);
}

static void bwd_cpu(const cz_call *c) {
  const cz_arg *x = &c->in[CZ_GATHER_X], *rows = &c->in[CZ_GATHER_ROWS];
  cz_gather_bwd_cpu(c->din[CZ_GATHER_X].data, c->dout[0].data, rows->data, rows->dim[0], x->dim[0],
                    x->dim[1], c->mode[CZ_GATHER_X]);
}

const cz_op_row cz_gather_row = {
    .name = "gather",
    .n_in = 2,
    .n_out = 1,
    .in_name = {"x", "rows"},
    .out_name = {"y"},
    .grad = 1u << CZ_GATHER_X,
    .deterministic = true,
    .needs = {.in = 1u << CZ_GATHER_ROWS},
    .shape = shape,
    .error_constant = 32, /* hundreds of rows are added one after the other */
    .fwd = {[CZ_SET_REF] = fwd_ref, [CZ_SET_CPU] = fwd_cpu},
    .bwd = {[CZ_SET_REF] = bwd_ref, [CZ_SET_CPU] = bwd_cpu},
};
