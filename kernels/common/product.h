/* Float32 matrix products on the CPU whose bits do not depend on the number of threads.
 *
 * The result is cut into tiles by its shape alone; each tile is one single-threaded
 * sgemm, and the caller runs the tiles in an OpenMP loop of its own, so that it can
 * finish a tile (bias, activation) while it is in cache. An OpenMP BLAS called inside a
 * parallel region stays on its thread. A product of one tile is too small for OpenBLAS to
 * start threads by itself. Tiles of about 512 x 1024 lose 2 to 5 % to packing on
 * T5-small's shapes (measured against one sgemm on one core) and are enough for many
 * cores. Up to four rows, a step of decoding, run without sgemm, which would spend its
 * time packing weights that are read once. */
#ifndef CZ_KERNELS_COMMON_PRODUCT_H
#define CZ_KERNELS_COMMON_PRODUCT_H

#include "kernels/op.h"

CZ_C_BEGIN

/* c [M, N] = alpha * op(a) op(b) + beta * c, row-major; op(a) is [M, K], op(b) is [K, N],
 * each stored transposed when its flag says so.
 *
 * What a caller may rely on: the same sizes and flags give the same bits on one kind of
 * processor, whatever runs beside it. What it may not: a row of a product of M rows need
 * not have the bits of that row alone, since up to four rows are summed in another
 * order. */
typedef struct cz_product {
  float *c;
  const float *a, *b;
  bool a_transposed, b_transposed;
  /* Sizes after op; ld: numbers from one row to the next as stored, so lda is K or,
   * transposed, M for arrays without gaps. All below 2^31, BLAS's int. */
  int64_t M, N, K, lda, ldb, ldc;
  float alpha, beta; /* beta is 0 or 1; with 0 what lies in c is not read */
} cz_product;

typedef struct cz_product_part { /* rows m0 to m0 + m - 1, columns n0 to n0 + n - 1 */
  int64_t m0, m, n0, n;
} cz_product_part;

int64_t cz_product_tiles(const cz_product *p);
cz_product_part cz_product_tile(const cz_product *p, int64_t tile);

CZ_C_END

#endif
