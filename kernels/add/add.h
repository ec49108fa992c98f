/* Addition: y = a + b, two arrays of one shape; y has a's dtype. To a float32 residual stream a
 * in 32 bits a branch b in 16 may be added.
 *
 * Backward: da = dy, db = dy.
 *
 * Aliasing: y may be a; da may be dy. db may not be dy as well, since da and db would
 * then be one array.
 *
 * Deterministic: elementwise. */
#ifndef CZ_KERNELS_ADD_H
#define CZ_KERNELS_ADD_H

#include "kernels/op.h"

CZ_C_BEGIN

enum { CZ_ADD_A, CZ_ADD_B };

void cz_add_fwd_ref(const cz_call *call);
void cz_add_bwd_ref(const cz_call *call);
void cz_add_fwd_cpu(const cz_call *call);
void cz_add_bwd_cpu(const cz_call *call);
void cz_add_fwd_cuda(const cz_call *call);
void cz_add_bwd_cuda(const cz_call *call);

CZ_C_END

#endif
