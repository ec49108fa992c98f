#include "kernels/add/add.h"
#include "kernels/common/cpu.h"

enum { CHUNK = 8192 };

CZ_CLONES static void add_chunk(float *y, const float *a, const float *b, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) y[i] = a[i] + b[i];
}

/** y = a + b in float32; Y may be A or B. */
void cz_add_fwd_cpu(float *y, const float *a, const float *b, int64_t n) {
#pragma omp parallel for schedule(static) if (n > 2 * CHUNK)
  for (int64_t i = 0; i < n; i += CHUNK)
    add_chunk(y + i, a + i, b + i, n - i < CHUNK ? n - i : CHUNK);
}

/** The gradient of one summand in float32; DIN may be DY when written. */
void cz_add_bwd_cpu(float *din, const float *dy, int64_t n, cz_grad_mode mode) {
  if (mode == CZ_GRAD_ADD) cz_add_fwd_cpu(din, din, dy, n);
  if (mode != CZ_GRAD_WRITE || din == dy) return;
#pragma omp parallel for schedule(static) if (n > 2 * CHUNK)
  for (int64_t i = 0; i < n; i += CHUNK)
    memcpy(din + i, dy + i, (size_t)(n - i < CHUNK ? n - i : CHUNK) * sizeof *din);
}
