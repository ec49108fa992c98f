/* Keys and values of new tokens into a cache of C rows, E = H K numbers each. A row costs
 * one copy of E floats, 2 KiB for T5-small, against the whole cache that attention reads
 * in the same step. */
#include "kernels/cache_append/cache_append.h"

#include <string.h>

typedef struct arrays {
  int64_t N, E;
  float *cache;
  const float *x;
  const int32_t *rows;
} arrays;

static arrays unpack(const cz_call *call) {
  const cz_arg *x = &call->in[CZ_CACHE_APPEND_X];
  return (arrays){.N = x->dim[0],
                  .E = x->dim[1],
                  .cache = call->out[0].data,
                  .x = x->data,
                  .rows = call->in[CZ_CACHE_APPEND_ROWS].data};
}

/** Copies rows in float32. Contract: cache_append.h. On one thread: a step of decoding
 * appends a few rows, and their order matters. */
void cz_cache_append_fwd_cpu(const cz_call *call) {
  arrays a = unpack(call);
  for (int64_t n = 0; n < a.N; n++)
    memcpy(a.cache + a.rows[n] * a.E, a.x + n * a.E, (size_t)a.E * sizeof *a.cache);
}
