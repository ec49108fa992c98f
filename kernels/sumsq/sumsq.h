/* sumsq: the sum of squares of an array; global gradient norms are made of these.
 *
 *   x real, any shape   ->   s[1] = sum of x_i^2
 *
 * Not differentiable. Deterministic: chunks of 8192 elements summed in double, then a
 * fixed tree (common/sum.h); a shard's result does not depend on the number of threads.
 * An empty x gives 0; a NaN or an infinity in x stays visible in s. */
#ifndef CZ_KERNELS_SUMSQ_H
#define CZ_KERNELS_SUMSQ_H

#include "kernels/op.h"

CZ_C_BEGIN

enum { CZ_SUMSQ_X };
enum { CZ_SUMSQ_S };

void cz_sumsq_fwd_ref(const cz_call *call);
void cz_sumsq_fwd_cpu(const cz_call *call);
size_t cz_sumsq_workspace_cpu(const cz_call *call, bool backward);
void cz_sumsq_fwd_cuda(const cz_call *call);
size_t cz_sumsq_workspace_cuda(const cz_call *call, bool backward);

CZ_C_END

#endif
