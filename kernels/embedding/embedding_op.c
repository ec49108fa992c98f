#include "kernels/common/shape.h"
#include "kernels/embedding/embedding.h"
#include "kernels/gather/gather.h"

/* Ids are data, which no shape rule sees: who fills a batch answers for their being in
 * [0, V). */
static bool shape(cz_arg *out, const cz_arg *in, const void *attributes, char *why,
                  size_t why_bytes) {
  const cz_embedding_attr *attr = attributes;
  const cz_arg *table = &in[CZ_EMBEDDING_TABLE], *ids = &in[CZ_EMBEDDING_IDS];
  cz_dtype y;
  if (!cz_shape_floating(table, "table", 2, why, why_bytes)) return false;
  if (!cz_shape_is(ids, "ids", CZ_I32, 1, (int64_t[]){CZ_ANY}, why, why_bytes)) return false;
  if (attr->padding < 0 || attr->padding > table->dim[0])
    return cz_shape_refuse(why, why_bytes, "padding %d of a table of %lld rows", attr->padding,
                           (long long)table->dim[0]);
  if (!cz_shape_choice(&y, attr->y, table->dtype, "y", why, why_bytes)) return false;
  cz_shape_set(&out[0], y, 2, (int64_t[]){ids->dim[0], table->dim[1]});
  return true;
}

/* gather's kernels take the same inputs in the same places. An embedding is a gather from
 * a parameter: y = E W with E[t, ids[t]] = 1, so dW = E^T dy. */
_Static_assert((int)CZ_EMBEDDING_TABLE == (int)CZ_GATHER_X &&
                   (int)CZ_EMBEDDING_IDS == (int)CZ_GATHER_ROWS,
               "embedding uses gather's kernels");

const cz_op_row cz_embedding_row = {
    .name = "embedding",
    .n_in = 2,
    .n_out = 1,
    .in_name = {"table", "ids"},
    .out_name = {"y"},
    .grad = 1u << CZ_EMBEDDING_TABLE,
    .weights = 1u << CZ_EMBEDDING_TABLE,
    .deterministic = true,
    .attr_bytes = sizeof(cz_embedding_attr),
    .needs = {.in = 1u << CZ_EMBEDDING_IDS},
    .shape = shape,
    .error_constant = 32, /* hundreds of rows are added one after the other */
    .kernels = {[CZ_F64] = {.forward = cz_gather_fwd_ref, .backward = cz_embedding_bwd_ref},
                [CZ_F32] = {.forward = cz_gather_fwd_cpu,
                            .backward = cz_embedding_bwd_cpu,
                            .workspace = cz_gather_workspace_cpu},
                [CZ_BF16] = {.forward = cz_gather_fwd_cpu,
                             .backward = cz_embedding_bwd_cpu,
                             .workspace = cz_gather_workspace_cpu}},
};
