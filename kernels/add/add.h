/* Addition: y = a + b, arrays of any same shape. Gradients: da = dy, db = dy.
 * Aliasing: y may be a (or b); da may be dy. Deterministic: elementwise. */
#ifndef CZ_KERNELS_ADD_H
#define CZ_KERNELS_ADD_H

#include "kernels/op.h"

enum { CZ_ADD_A, CZ_ADD_B };

void cz_add_fwd_ref(double *y, const double *a, const double *b, int64_t n);
void cz_add_bwd_ref(double *din, const double *dy, int64_t n, cz_grad_mode mode);
void cz_add_fwd_cpu(float *y, const float *a, const float *b, int64_t n);
void cz_add_bwd_cpu(float *din, const float *dy, int64_t n, cz_grad_mode mode);

#endif
