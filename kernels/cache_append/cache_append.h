/* Cache append: cache[rows[n]] = x[n] for n = 0 to N - 1, in place; cache [C, E], x [N,
 * E], rows [N] int32, each in [0, C).
 *
 * For decoding step by step: keys and values of new tokens go where they belong in a
 * sequence's room. When a row is named twice the last one stays. Aliasing: the output is
 * the cache. Not differentiable: a cache exists only where no gradient is wanted.
 * Deterministic: copies. */
#ifndef CZ_KERNELS_CACHE_APPEND_H
#define CZ_KERNELS_CACHE_APPEND_H

#include "kernels/op.h"

CZ_C_BEGIN

enum { CZ_CACHE_APPEND_CACHE, CZ_CACHE_APPEND_X, CZ_CACHE_APPEND_ROWS };

void cz_cache_append_fwd_ref(const cz_call *call);
void cz_cache_append_fwd_cpu(const cz_call *call);
void cz_cache_append_fwd_cuda(const cz_call *call);

CZ_C_END

#endif
