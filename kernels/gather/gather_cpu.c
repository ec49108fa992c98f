#include "kernels/common/cpu.h"
#include "kernels/gather/gather.h"

enum { COLUMNS = 64, SMALL = 16384 };

/** Forward in float32, see gather.h. */
void cz_gather_fwd_cpu(float *y, const float *x, const int32_t *rows, int64_t N, int64_t D) {
#pragma omp parallel for schedule(static) if (N * D > SMALL)
  for (int64_t n = 0; n < N; n++) memcpy(y + n * D, x + rows[n] * D, (size_t)D * sizeof *y);
}

CZ_CLONES static void add_columns(float *dx, const float *dy, const int32_t *rows, int64_t N,
                                  int64_t D, int64_t n) {
  for (int64_t r = 0; r < N; r++) {
    float *to = dx + rows[r] * D;
    const float *from = dy + r * D;
#pragma omp simd
    for (int64_t d = 0; d < n; d++) to[d] += from[d];
  }
}

/** Backward in float32, see gather.h. */
void cz_gather_bwd_cpu(float *dx, const float *dy, const int32_t *rows, int64_t N, int64_t T,
                       int64_t D, cz_grad_mode mode) {
  if (mode == CZ_GRAD_SKIP) return;
#pragma omp parallel if (N * D > SMALL || T * D > SMALL)
  {
    if (mode == CZ_GRAD_WRITE) {
#pragma omp for schedule(static)
      for (int64_t t = 0; t < T; t++) memset(dx + t * D, 0, (size_t)D * sizeof *dx);
    }
#pragma omp for schedule(static)
    for (int64_t d = 0; d < D; d += COLUMNS)
      add_columns(dx + d, dy + d, rows, N, D, D - d < COLUMNS ? D - d : COLUMNS);
  }
}
