/* Pool: the mean of a segment's rows, as sentence encoders make one vector of a text.
 *
 * Inputs:
 *
 *     x [T, D]
 *     spans [B, 2]   int32 (begin, end) rows of each segment, 0 <= begin <= end <= T, each
 *                    beginning where the one before ends or later
 *
 * Outputs:
 *
 *     y [B, D]
 *
 * Forward, with n_b = end - begin of segment b:
 *
 *     y_b = 1 / n_b sum_t x_t     over t from begin to end - 1; zeros where n_b = 0
 *
 * Backward:
 *
 *     dx_t = dy_b / n_b           of the segment b that has row t; zeros where there is none
 *
 * Source: mean pooling, Reimers and Gurevych 2019, section 3. No padding is among the rows, so
 * there is no attention mask to weigh them with.
 *
 * Aliasing: none. Deterministic: the order of a sum depends on the segment's length alone.
 *
 * See also: gather (rows by number). */
#ifndef CZ_KERNELS_POOL_H
#define CZ_KERNELS_POOL_H

#include "kernels/op.h"

CZ_C_BEGIN

enum { CZ_POOL_X, CZ_POOL_SPANS };

void cz_pool_fwd_ref(const cz_call *call);
void cz_pool_bwd_ref(const cz_call *call);
void cz_pool_fwd_cpu(const cz_call *call);
void cz_pool_bwd_cpu(const cz_call *call);
void cz_pool_fwd_cuda(const cz_call *call);
void cz_pool_bwd_cuda(const cz_call *call);

CZ_C_END

#endif
