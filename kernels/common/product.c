#include "kernels/common/product.h"

#include <cblas.h>
#include <string.h>

/* OpenBLAS runs products of at most 2^18 multiplications on one thread. */
static const double one_tile = 262144;

/* A tile's usual size. Packing costs a tile of m by n about (m + n) / m n of its products, and a short inner dimension asks for wide rows of c. */
enum { ROWS = 512, COLUMNS = 1024 };

typedef struct grid {
  int64_t rows, columns, m, n; /* tiles down and across, and their size */
} grid;

static int64_t whole_registers(int64_t length, int64_t pieces) {
  int64_t each = (length + pieces - 1) / pieces;
  return length < 32 ? each : (each + 15) / 16 * 16;
}

/* A power of two, so that two, four or eight threads have the same number of tiles; each at least three quarters of the usual size. */
static int64_t pieces_of(int64_t length, int64_t usual) {
  int64_t pieces = 1;
  while (2 * pieces * usual * 3 / 4 <= length) pieces *= 2;
  return pieces;
}

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

/** How many tiles the product is cut into; a function of its sizes alone. 0 when there is nothing to compute. */
int64_t cz_product_tiles(const cz_product *p) {
  if (p->M <= 0 || p->N <= 0) return 0;
  grid g = cut(p);
  return g.rows * g.columns;
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/** Computes one tile on the calling thread and says which part of c it was. */
cz_product_part cz_product_tile(const cz_product *p, int64_t tile) {
  grid g = cut(p);
  cz_product_part part = {.m0 = tile / g.columns * g.m, .n0 = tile % g.columns * g.n};
  part.m = least(g.m, p->M - part.m0), part.n = least(g.n, p->N - part.n0);
  float *c = p->c + part.m0 * p->ldc + part.n0;
  if (p->K == 0) {
    for (int64_t m = 0; m < part.m && p->beta == 0; m++) memset(c + m * p->ldc, 0, (size_t)part.n * sizeof *c);
    return part;
  }
  const float *a = p->a + (p->a_transposed ? part.m0 : part.m0 * p->lda), *b = p->b + (p->b_transposed ? part.n0 * p->ldb : part.n0);
  cblas_sgemm(CblasRowMajor, p->a_transposed ? CblasTrans : CblasNoTrans, p->b_transposed ? CblasTrans : CblasNoTrans, (int)part.m,
              (int)part.n, (int)p->K, p->alpha, a, (int)p->lda, b, (int)p->ldb, p->beta, c, (int)p->ldc);
  return part;
}
