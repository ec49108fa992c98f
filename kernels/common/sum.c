/* How exact the sums are. The square of a float32 has 48 bits and a double 53: products
 * are exact. A lane of a chunk adds 8192 / 16 = 512 of them, the lanes meet in 4 steps,
 * the chunks in log2(chunks), so the relative error is below
 *
 *     (512 + 4 + log2(chunks)) 2^-53 < 6.2e-14        for any array that fits into memory
 *
 * with all terms positive: rounding the result to float32 (6e-8) is all that is seen. */
#include "kernels/common/sum.h"
#include "kernels/common/cpu.h"

/* Two registers of eight doubles with AVX-512, four with AVX2; the order of additions is
 * the same in all of them. */
enum { LANES = 16 };

/** Adds N numbers pairwise, neighbours first, overwriting them; 0 for none. A number
 * takes part in at most log2(N) + 1 additions, against N - 1 in a plain loop, and the
 * tree depends on N alone. */
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
