/* Cutting a product and computing its tiles. Cutting is a function of M, N and K alone;
 * no number of threads, no address and no earlier call has a say in it, so each number of
 * c is always summed by the same call of the same kernel in the same order. */
#include "kernels/common/product.h"

#include "kernels/common/cpu.h"

#include <cblas.h>
#include <string.h>

/* OpenBLAS runs products of at most 2^18 multiplications on one thread. */
static const double one_tile = 262144;

/* A tile's usual size. A BLAS copies ("packs") both operands into its own order first: m
 * K and K n numbers for m n K products, a share of 1 / n + 1 / m, which is 0.3 % of the
 * count here and more of the time, as a copy is slower than a product. A short inner
 * dimension asks for wide rows of c. */
enum { ROWS = 512, COLUMNS = 1024 };

typedef struct grid {
  int64_t rows, columns, m, n; /* tiles down and across, and their size */
} grid;

/* Sixteen is a multiple of every micro-kernel's height and width (4, 6, 8 or 16), so only
 * the last tile of a row or column has a ragged edge. */
static int64_t whole_registers(int64_t length, int64_t pieces) {
  int64_t each = (length + pieces - 1) / pieces;
  return length < 32 ? each : (each + 15) / 16 * 16;
}

/* A power of two, so that two, four or eight threads have the same number of tiles; each
 * at least three quarters of the usual size. The loop ends with length / pieces in [3/4,
 * 3/2) of the usual size, unless the length was shorter than that at first. */
static int64_t pieces_of(int64_t length, int64_t usual) {
  int64_t pieces = 1;
  while (2 * pieces * usual * 3 / 4 <= length) pieces *= 2;
  return pieces;
}

/* One tile is called outside any parallel region, where OpenBLAS would divide a large
 * product among threads of its own, differently for each number of them. So whatever it
 * might divide is cut in two along its longer side. */
static grid cut(const cz_product *p) {
  int64_t down = pieces_of(p->M, ROWS), across = pieces_of(p->N, COLUMNS);
  if (down * across == 1) { /* OpenBLAS must not find one large product outside a parallel region */
    if ((double)p->M * (double)p->N * (double)p->K <= one_tile) return (grid){1, 1, p->M, p->N};
    *(p->M >= p->N ? &down : &across) = 2;
  }
  grid g = {.m = whole_registers(p->M, down), .n = whole_registers(p->N, across)};
  g.rows = (p->M + g.m - 1) / g.m, g.columns = (p->N + g.n - 1) / g.n;
  return g;
}

/** How many tiles the product is cut into; a function of its sizes alone. 0 when there is
 * nothing to compute. */
int64_t cz_product_tiles(const cz_product *p) {
  if (p->M <= 0 || p->N <= 0) return 0;
  grid g = cut(p);
  return g.rows * g.columns;
}

/* Rows of a step of decoding. Each number of b is used once for each row of a, so up to
 * four rows the time is that of reading b; sgemm would read it, write it packed and read
 * it again. The limit is on M, not on a tile's rows, so all tiles of a product go the
 * same way. */
enum { FEW = 4 };

/* c is not read with beta 0, as in BLAS: it may be memory that was never written, and 0 x
 * NaN is NaN. */
static inline __attribute__((always_inline)) void put(float *c, float sum, const cz_product *p) {
  *c = p->alpha * sum + (p->beta == 0 ? 0 : p->beta * *c);
}

/* c = alpha a b^T + beta c for one row of a. */
CZ_CLONES static void one_row_dots(float *c, const float *a, const float *b, const cz_product *p,
                                   int64_t n) {
  for (int64_t j = 0; j < n; j++) {
    const float *w = b + j * p->ldb;
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t k = 0; k < p->K; k++) sum += a[k] * w[k];
    put(c + j, sum, p);
  }
}

/* The same for four rows of a: each row of b is read once. */
CZ_CLONES static void four_row_dots(float *c, const float *a, const float *b, const cz_product *p,
                                    int64_t n) {
  const float *a1 = a + p->lda, *a2 = a1 + p->lda, *a3 = a2 + p->lda;
  for (int64_t j = 0; j < n; j++) {
    const float *w = b + j * p->ldb;
    float sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
#pragma omp simd reduction(+ : sum0, sum1, sum2, sum3)
    for (int64_t k = 0; k < p->K; k++)
      sum0 += a[k] * w[k], sum1 += a1[k] * w[k], sum2 += a2[k] * w[k], sum3 += a3[k] * w[k];
    put(c + j, sum0, p), put(c + p->ldc + j, sum1, p), put(c + 2 * p->ldc + j, sum2, p),
        put(c + 3 * p->ldc + j, sum3, p);
  }
}

/* c += alpha a b for some rows of a, four rows of b at a time. A row of c is loaded and
 * stored once for four rows of b rather than once for each. c holds beta c already. */
CZ_CLONES static void few_row_sums(float *c, const float *a, const float *b, const cz_product *p,
                                   int64_t rows, int64_t n) {
  int64_t k = 0;
  for (; k + 4 <= p->K; k += 4) {
    const float *b0 = b + k * p->ldb, *b1 = b0 + p->ldb, *b2 = b1 + p->ldb, *b3 = b2 + p->ldb;
    for (int64_t m = 0; m < rows; m++) {
      const float *x = a + m * p->lda + k;
      float *to = c + m * p->ldc, x0 = p->alpha * x[0], x1 = p->alpha * x[1], x2 = p->alpha * x[2],
            x3 = p->alpha * x[3];
#pragma omp simd
      for (int64_t j = 0; j < n; j++) to[j] += x0 * b0[j] + x1 * b1[j] + x2 * b2[j] + x3 * b3[j];
    }
  }
  for (; k < p->K; k++) {
    for (int64_t m = 0; m < rows; m++) {
#pragma omp simd
      for (int64_t j = 0; j < n; j++)
        c[m * p->ldc + j] += p->alpha * a[m * p->lda + k] * b[k * p->ldb + j];
    }
  }
}

/* b stored [N, K]: sums along its rows, a dot product each. b stored [K, N]: sums of its
 * rows, so that both layouts are read from front to back. */
static void few_rows(float *c, const float *a, const float *b, const cz_product *p, int64_t rows,
                     int64_t n) {
  if (p->b_transposed && rows == 4) {
    four_row_dots(c, a, b, p, n);
  } else if (p->b_transposed) {
    for (int64_t m = 0; m < rows; m++) one_row_dots(c + m * p->ldc, a + m * p->lda, b, p, n);
  } else {
    for (int64_t m = 0; m < rows; m++)
      for (int64_t j = 0; j < n; j++)
        c[m * p->ldc + j] = p->beta == 0 ? 0 : p->beta * c[m * p->ldc + j];
    few_row_sums(c, a, b, p, rows, n);
  }
}

/** Computes one tile on the calling thread and says which part of c it was. With K = 0
 * the sum is empty: c is set to 0 with beta 0 and stays with beta 1 (no other beta is
 * used). BLAS leaves that case to the implementation. */
cz_product_part cz_product_tile(const cz_product *p, int64_t tile) {
  grid g = cut(p);
  cz_product_part part = {.m0 = tile / g.columns * g.m, .n0 = tile % g.columns * g.n};
  part.m = cz_minimum(g.m, p->M - part.m0), part.n = cz_minimum(g.n, p->N - part.n0);
  float *c = p->c + part.m0 * p->ldc + part.n0;
  if (p->K == 0) {
    for (int64_t m = 0; m < part.m && p->beta == 0; m++)
      memset(c + m * p->ldc, 0, (size_t)part.n * sizeof *c);
    return part;
  }
  const float *a = p->a + (p->a_transposed ? part.m0 : part.m0 * p->lda),
              *b = p->b + (p->b_transposed ? part.n0 * p->ldb : part.n0);
  if (p->M <= FEW && !p->a_transposed) {
    few_rows(c, a, b, p, part.m, part.n);
    return part;
  }
  cblas_sgemm(CblasRowMajor, p->a_transposed ? CblasTrans : CblasNoTrans,
              p->b_transposed ? CblasTrans : CblasNoTrans, (int)part.m, (int)part.n, (int)p->K,
              p->alpha, a, (int)p->lda, b, (int)p->ldb, p->beta, c, (int)p->ldc);
  return part;
}
