/* Cast: y = x in another dtype, rounded to nearest, ties to even; x and y of one shape, of any
 * number of dimensions. Between a wider and a narrower real dtype; in float64 y is x.
 *
 * Gradient: dx = dy, as if y were not rounded. Aliasing: none. Deterministic: elementwise.
 *
 * What it is for: copies of parameters in the dtype that products are made in. On a card linear
 * rounds its bias by it. */
#ifndef CZ_KERNELS_CAST_H
#define CZ_KERNELS_CAST_H

#include "kernels/op.h"

CZ_C_BEGIN

enum { CZ_CAST_X };

typedef struct cz_cast_attr {
  int y; /* cz_dtype_choice; 0: that of x */
} cz_cast_attr;

void cz_cast_fwd_ref(const cz_call *call);
void cz_cast_bwd_ref(const cz_call *call);
void cz_cast_fwd_cpu(const cz_call *call);
void cz_cast_bwd_cpu(const cz_call *call);
void cz_cast_fwd_cuda(const cz_call *call);
void cz_cast_bwd_cuda(const cz_call *call);

CZ_C_END

#endif
