/* Gather: y[n] = x[rows[n]], rows of x [T, D] by index; rows [N] int32, each in [0, T); y
 * [N, D].
 *
 * Gradient: dx[t] = sum of dy[n] over the n with rows[n] = t, added in the order of n;
 * rows that nobody read get zero when written. The embedding op is the same arithmetic
 * under other names and uses these kernels. Aliasing: none. Deterministic: backward gives
 * each thread columns of its own, so that the order of every sum is that of n whatever
 * the number of threads; no atomics, no sort, no workspace. */
#ifndef CZ_KERNELS_GATHER_H
#define CZ_KERNELS_GATHER_H

#include "kernels/op.h"

enum { CZ_GATHER_X, CZ_GATHER_ROWS };

void cz_gather_fwd_ref(double *y, const double *x, const int32_t *rows, int64_t N, int64_t D);
void cz_gather_bwd_ref(double *dx, const double *dy, const int32_t *rows, int64_t N, int64_t T,
                       int64_t D, cz_grad_mode mode);
void cz_gather_fwd_cpu(float *y, const float *x, const int32_t *rows, int64_t N, int64_t D);
void cz_gather_bwd_cpu(float *dx, const float *dy, const int32_t *rows, int64_t N, int64_t T,
                       int64_t D, cz_grad_mode mode);

#endif
