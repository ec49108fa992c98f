#include "kernels/common/rows.h"
#include "kernels/gather/gather.h"

/** Forward in float64, see gather.h. */
void cz_gather_fwd_ref(double *y, const double *x, const int32_t *rows, int64_t N, int64_t D) {
  for (int64_t n = 0; n < N; n++)
    for (int64_t d = 0; d < D; d++) y[n * D + d] = x[rows[n] * D + d];
}

/** Backward in float64, see gather.h. */
void cz_gather_bwd_ref(double *dx, const double *dy, const int32_t *rows, int64_t N, int64_t T,
                       int64_t D, cz_grad_mode mode) {
  if (mode == CZ_GRAD_SKIP) return;
  cz_grad_begin(dx, T * D, mode);
  for (int64_t n = 0; n < N; n++)
    for (int64_t d = 0; d < D; d++) dx[rows[n] * D + d] += dy[n * D + d]; /* y[n] = x[rows[n]] */
}
