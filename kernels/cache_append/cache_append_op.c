/* The row of cache_append. It has a side effect and no gradient: the cache outlives the
 * graph's run, its output is the same memory as its input, and attention over the cache
 * reads that output, so that the engine runs the copy first. */
#include "kernels/cache_append/cache_append.h"
#include "kernels/common/shape.h"

/* Rows are data, which no shape rule sees: the decoder answers for their being in [0, C)
 * and for max_length. */
static bool shape(cz_arg *out, const cz_arg *in, const void *attributes, char *why,
                  size_t why_bytes) {
  const cz_arg *cache = &in[CZ_CACHE_APPEND_CACHE], *x = &in[CZ_CACHE_APPEND_X];
  if (!cz_shape_floating(cache, "cache", 2, why, why_bytes)) return false;
  if (!cz_shape_is(x, "x", cache->dtype, 2, (int64_t[]){CZ_ANY, cache->dim[1]}, why, why_bytes))
    return false;
  if (!cz_shape_is(&in[CZ_CACHE_APPEND_ROWS], "rows", CZ_I32, 1, x->dim, why, why_bytes))
    return false;
  cz_shape_set(&out[0], cache->dtype, 2, cache->dim);
  return true;
}

const cz_op_row cz_cache_append_row = {
    .name = "cache_append",
    .n_in = 3,
    .n_out = 1,
    .in_name = {"cache", "x", "rows"},
    .out_name = {"cache"},
    .in_written = 1u << CZ_CACHE_APPEND_CACHE,
    .not_differentiable = true,
    .deterministic = true,
    .side_effect = true,
    .must_alias = {CZ_CACHE_APPEND_CACHE + 1},
    .shape = shape,
    .error_constant = 1,
    .kernels = {[CZ_F64] = {.forward = cz_cache_append_fwd_ref},
                [CZ_F32] = {.forward = cz_cache_append_fwd_cpu},
                [CZ_BF16] = {.forward = cz_cache_append_fwd_cpu}},
};
