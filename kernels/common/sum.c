#include "kernels/common/sum.h"
#include "kernels/common/cpu.h"

enum { LANES = 16 };

/** Adds N numbers pairwise, neighbours first, overwriting them; 0 for none. */
double cz_sum_pairwise(double *partial, int64_t n) {
  for (int64_t step = 1; step < n; step *= 2) {
    for (int64_t i = 0; i + step < n; i += 2 * step) partial[i] += partial[i + step];
  }
  return n > 0 ? partial[0] : 0;
}

CZ_CLONES
static double chunk_squares(const float *x, int64_t n) {
  double lane[LANES] = {0};
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES) {
    for (int j = 0; j < LANES; j++) lane[j] += (double)x[i + j] * x[i + j];
  }
  for (int j = 0; i < n; i++, j++) lane[j] += (double)x[i] * x[i];
  return cz_sum_pairwise(lane, LANES);
}

/** Sum of squares of N numbers. PARTIAL has room for cz_sum_chunks(N). Opens a parallel
 * region of its own. */
double cz_sum_squares(const float *x, int64_t n, double *partial) {
  int64_t chunks = cz_sum_chunks(n);
#pragma omp parallel for schedule(static) if (chunks > 8)
  for (int64_t c = 0; c < chunks; c++) {
    int64_t from = c * CZ_SUM_CHUNK, left = n - from;
    partial[c] = chunk_squares(x + from, left < CZ_SUM_CHUNK ? left : CZ_SUM_CHUNK);
  }
  return cz_sum_pairwise(partial, chunks);
}
