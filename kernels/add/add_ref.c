#include "kernels/add/add.h"

/** y = a + b in float64; Y may be A or B. */
void cz_add_fwd_ref(double *y, const double *a, const double *b, int64_t n) {
  for (int64_t i = 0; i < n; i++) y[i] = a[i] + b[i];
}

/** The gradient of one summand in float64; DIN may be DY when written. */
void cz_add_bwd_ref(double *din, const double *dy, int64_t n, cz_grad_mode mode) {
  if (mode == CZ_GRAD_SKIP) return;
  for (int64_t i = 0; i < n; i++)
    din[i] = (mode == CZ_GRAD_ADD ? din[i] : 0) + dy[i]; /* y = a + b */
}
