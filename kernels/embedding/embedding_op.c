#include "kernels/common/shape.h"
#include "kernels/embedding/embedding.h"
#include "kernels/gather/gather.h"

static bool shape(cz_arg *out, const cz_arg *in, const void *attributes, char *why,
                  size_t why_bytes) {
  const cz_arg *table = &in[CZ_EMBEDDING_TABLE], *ids = &in[CZ_EMBEDDING_IDS];
  if (!cz_shape_floating(table, "table", 2, why, why_bytes)) return false;
  if (!cz_shape_is(ids, "ids", CZ_I32, 1, (int64_t[]){CZ_ANY}, why, why_bytes)) return false;
  cz_shape_set(&out[0], table->dtype, 2, (int64_t[]){ids->dim[0], table->dim[1]});
  return true;
}

static void fwd_ref(const cz_call *c) {
  cz_gather_fwd_ref(c->out[0].data, c->in[CZ_EMBEDDING_TABLE].data, c->in[CZ_EMBEDDING_IDS].data,
                    c->out[0].dim[0], c->out[0].dim[1]);
}

static void fwd_cpu(const cz_call *c) {
  cz_gather_fwd_cpu(c->out[0].data, c->in[CZ_EMBEDDING_TABLE].data, c->in[CZ_EMBEDDING_IDS].data,
                    c->out[0].dim[0], c->out[0].dim[1]);
}

static void bwd_ref(const cz_call *c) {
  const cz_arg *table = &c->in[CZ_EMBEDDING_TABLE], *ids = &c->in[CZ_EMBEDDING_IDS];
  cz_gather_bwd_ref(c->din[CZ_EMBEDDING_TABLE].data, c->dout[0].data, ids->data, ids->dim[0],
                    table->dim[0], table->dim[1], c->mode[CZ_EMBEDDING_TABLE]);
}

static void bwd_cpu(const cz_call *c) {
  const cz_arg *table = &c->in[CZ_EMBEDDING_TABLE], *ids = &c->in[CZ_EMBEDDING_IDS];
  cz_gather_bwd_cpu(c->din[CZ_EMBEDDING_TABLE].data, c->dout[0].data, ids->data, ids->dim[0],
                    table->dim[0], table->dim[1], c->mode[CZ_EMBEDDING_TABLE]);
}

const cz_op_row cz_embedding_row = {
    .name = "embedding",
    .n_in = 2,
    .n_out = 1,
    .in_name = {"table", "ids"},
    .out_name = {"y"},
    .grad = 1u << CZ_EMBEDDING_TABLE,
    .deterministic = true,
    .needs = {.in = 1u << CZ_EMBEDDING_IDS},
    .shape = shape,
    .error_constant = 32, /* hundreds of rows are added one after the other */
    .fwd = {[CZ_SET_REF] = fwd_ref, [CZ_SET_CPU] = fwd_cpu},
    .bwd = {[CZ_SET_REF] = bwd_ref, [CZ_SET_CPU] = bwd_cpu},
};
