/* Gather: y[n] = x[rows[n]], rows of x [T, D] by index; rows [N] int32, each in [0, T); y
 * [N, D].
 *
 * Gradient: dx[t] = sum of dy[n] over the n with rows[n] = t, added in the order of n;
 * rows that nobody read get zero when written. The embedding op is the same arithmetic
 * under other names and uses these kernels. Aliasing: none. Deterministic: backward gives
 * each thread columns of its own, so that the order of every sum is that of n whatever
 * the number of threads; no atomics, no sort. */
#ifndef CZ_KERNELS_GATHER_H
#define CZ_KERNELS_GATHER_H

#include "kernels/op.h"

CZ_C_BEGIN

enum { CZ_GATHER_X, CZ_GATHER_ROWS };

size_t cz_gather_workspace_cpu(const cz_call *call, bool backward);
void cz_gather_fwd_ref(const cz_call *call);
void cz_gather_bwd_ref(const cz_call *call);
void cz_gather_fwd_cpu(const cz_call *call);
void cz_gather_bwd_cpu(const cz_call *call);
void cz_gather_fwd_cuda(const cz_call *call);
void cz_gather_bwd_cuda(const cz_call *call);
size_t cz_gather_workspace_cuda(const cz_call *call, bool backward);

CZ_C_END

#endif
