/* Addition: y = a + b, arrays of any same shape. Gradients: da = dy, db = dy.
 * Aliasing: y may be a (or b); da may be dy. Deterministic: elementwise. */
#ifndef CZ_KERNELS_ADD_H
#define CZ_KERNELS_ADD_H

#include "kernels/op.h"

CZ_C_BEGIN

enum { CZ_ADD_A, CZ_ADD_B };

void cz_add_fwd_ref(const cz_call *call);
void cz_add_bwd_ref(const cz_call *call);
void cz_add_fwd_cpu(const cz_call *call);
void cz_add_bwd_cpu(const cz_call *call);

CZ_C_END

#endif
