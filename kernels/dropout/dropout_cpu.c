#include "kernels/common/cpu.h"
#include "kernels/common/dropout_mask.h"
#include "kernels/dropout/dropout.h"

CZ_CLONES static void apply(float *y, const float *x, const float *factor, int64_t n,
                            cz_grad_mode mode) {
  if (mode == CZ_GRAD_WRITE) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] = x[i] * factor[i];
  } else {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] += x[i] * factor[i];
  }
}

static void one_row(float *y, const float *x, const cz_dropout_mask *mask, int64_t t,
                    cz_grad_mode mode) {
  float buffer[CZ_DROPOUT_MASK_PIECE];
  int64_t D = mask->D;
  for (int64_t d = 0; d < D; d += CZ_DROPOUT_MASK_PIECE) {
    int64_t n = D - d < CZ_DROPOUT_MASK_PIECE ? D - d : CZ_DROPOUT_MASK_PIECE;
    if (mask->p > 0) {
      apply(y + t * D + d, x + t * D + d, cz_dropout_mask_piece(mask, buffer, t, d, n), n, mode);
    } else if (mode == CZ_GRAD_ADD) {
      for (int64_t i = t * D + d; i < t * D + d + n; i++) y[i] += x[i];
    } else {
      memmove(y + t * D + d, x + t * D + d, (size_t)n * sizeof *y); /* y may be x */
    }
  }
}

/** y = x * factor in float32, written or added as MODE says; Y may be X. Backward is the
 * same function: dx = dy * factor. */
void cz_dropout_fwd_cpu(float *y, const float *x, const cz_dropout_sizes *s, cz_grad_mode mode,
                        void *workspace) {
  cz_dropout_mask mask;
  if (mode == CZ_GRAD_SKIP) return;
  cz_dropout_mask_make(&mask, workspace, s->key, s->p, s->spans, s->B, s->T, s->D);
#pragma omp parallel for schedule(static) if (s->T * s->D > 16384)
  for (int64_t t = 0; t < s->T; t++) one_row(y, x, &mask, t, mode);
}
