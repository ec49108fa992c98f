/* Keys and values of new tokens into a cache of C rows, E = H K numbers each. A row costs
 * one copy, 2 KiB of float32 for T5-small, against the whole cache that attention reads
 * in the same step. */
#include "kernels/cache_append/cache_append.h"

#include <string.h>

typedef struct arrays {
  int64_t N;
  size_t row; /* bytes */
  char *cache;
  const char *x;
  const int32_t *rows;
} arrays;

static arrays unpack(const cz_call *call) {
  const cz_arg *x = &call->in[CZ_CACHE_APPEND_X];
  return (arrays){.N = x->dim[0],
                  .row = (size_t)x->dim[1] * cz_dtype_bytes(x->dtype),
                  .cache = call->out[0].data,
                  .x = x->data,
                  .rows = call->in[CZ_CACHE_APPEND_ROWS].data};
}

/** Copies rows of float32 or bfloat16. Contract: cache_append.h. On one thread: a step of decoding
 * appends a few rows, and their order matters. */
void cz_cache_append_fwd_cpu(const cz_call *call) {
  arrays a = unpack(call);
  for (int64_t n = 0; n < a.N; n++)
    memcpy(a.cache + (size_t)a.rows[n] * a.row, a.x + (size_t)n * a.row, a.row);
}
