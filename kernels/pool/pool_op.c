#include "kernels/common/shape.h"
#include "kernels/pool/pool.h"

/* Where segments begin and end is data, which no shape rule sees: who fills spans answers for its
 * order and for its being in [0, T]. */
static bool shape(cz_arg *out, const cz_arg *in, const void *attributes, char *why,
                  size_t why_bytes) {
  const cz_arg *x = &in[CZ_POOL_X], *spans = &in[CZ_POOL_SPANS];
  if (!cz_shape_floating(x, "x", 2, why, why_bytes)) return false;
  if (!cz_shape_is(spans, "spans", CZ_I32, 2, (int64_t[]){CZ_ANY, 2}, why, why_bytes)) return false;
  cz_shape_set(&out[0], x->dtype, 2, (int64_t[]){spans->dim[0], x->dim[1]});
  return true;
}

/* Backward reads spans alone: the derivative of a mean is 1 / n, whatever x and y hold. */
const cz_op_row cz_pool_row = {
    .name = "pool",
    .n_in = 2,
    .n_out = 1,
    .in_name = {"x", "spans"},
    .out_name = {"y"},
    .grad = 1u << CZ_POOL_X,
    .deterministic = true,
    .needs = {.in = 1u << CZ_POOL_SPANS},
    .shape = shape,
    .error_constant = 32, /* a card adds every eighth of thousands of rows, one after the other */
    .kernels = {[CZ_F64] = {.forward = cz_pool_fwd_ref, .backward = cz_pool_bwd_ref},
                [CZ_F32] = {.forward = cz_pool_fwd_cpu, .backward = cz_pool_bwd_cpu},
                [CZ_BF16] = {.forward = cz_pool_fwd_cpu, .backward = cz_pool_bwd_cpu}},
};
