#include "kernels/common/bf16.h"

#include "kernels/common/cpu.h"

/** Widens N numbers; exact. */
CZ_CLONES void cz_bf16_widen(float *to, const cz_bf16 *from, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) to[i] = cz_bf16_value(from[i]);
}

/** Rounds N numbers to the nearest. The arrays may not overlap. */
CZ_CLONES void cz_bf16_round(cz_bf16 *to, const float *from, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) to[i] = cz_bf16_nearest(from[i]);
}

/** Adds in float32 and rounds the sum. */
CZ_CLONES void cz_bf16_add(cz_bf16 *to, const float *from, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) to[i] = cz_bf16_nearest(cz_bf16_value(to[i]) + from[i]);
}

/** Replaces N numbers by the nearest bfloat16. */
CZ_CLONES void cz_bf16_nearest_each(float *x, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) x[i] = cz_bf16_rounded(x[i]);
}
