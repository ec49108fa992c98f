/* Matrix products on the CPU, of float32 or bfloat16, whose bits do not depend on the number of
 * threads.
 *
 * The result is cut into tiles by its shape alone; each tile is one single-threaded
 * sgemm, and the caller runs the tiles in an OpenMP loop of its own, so that it can
 * finish a tile (bias, activation) while it is in cache. An OpenMP BLAS called inside a
 * parallel region stays on its thread. A product of one tile is too small for OpenBLAS to
 * start threads by itself. Tiles of about 512 x 1024 lose 2 to 5 % to packing on
 * T5-small's shapes (measured against one sgemm on one core) and are enough for many
 * cores. Up to four rows, a step of decoding, run without sgemm, which would spend its
 * time packing weights that are read once.
 *
 * A tile of bfloat16 is computed by matrix units where the device has them (units.h), else in
 * float32: a block of each operand at a time is widened into scratch, which is exact, and
 * multiplied by sgemm. Sums are float32 either way and a bfloat16 result is rounded once, so the
 * two differ by the order of additions in float32. */
#ifndef CZ_KERNELS_COMMON_PRODUCT_H
#define CZ_KERNELS_COMMON_PRODUCT_H

#include "kernels/op.h"

CZ_C_BEGIN

typedef struct cz_units cz_units; /* units.h */

/* c [M, N] = alpha * op(a) op(b) + bias + beta * c, row-major; op(a) is [M, K], op(b) is
 * [K, N], each stored transposed when its flag says so.
 *
 * What a caller may rely on: the same sizes and flags give the same bits on one kind of
 * processor, whatever runs beside it. What it may not: a row of a product of M rows need
 * not have the bits of that row alone, since up to four rows are summed in another
 * order. */
typedef struct cz_product {
  void *c;
  const void *a, *b;
  cz_dtype dtype;   /* of a and b: float32 or bfloat16 */
  cz_dtype c_dtype; /* the same, or float32 */
  bool a_transposed, b_transposed;
  /* Sizes after op; ld: numbers from one row to the next as stored, so lda is K or,
   * transposed, M for arrays without gaps. All below 2^31, BLAS's int. */
  int64_t M, N, K, lda, ldb, ldc;
  float alpha, beta;  /* beta is 0 or 1; with 0 what lies in c is not read */
  const float *bias;  /* [N], added to every row before it is rounded; null: none */
  uint64_t b_version; /* cz_arg.version of what b lies in: it may be kept packed. 0: may not */
  cz_units *units;    /* the device's matrix units; null: it has none */
} cz_product;

typedef struct cz_product_part { /* rows m0 to m0 + m - 1, columns n0 to n0 + n - 1 */
  int64_t m0, m, n0, n;
} cz_product_part;

/* Scratch: bytes that the thread which computes a tile, or the whole as one tile, lends for the
 * time of the call, 64-aligned; they do not fall when M, N or K grows. 0 in float32. */
int64_t cz_product_tiles(const cz_product *p);
size_t cz_product_tile_scratch(const cz_product *p);
cz_product_part cz_product_tile(const cz_product *p, int64_t tile, void *scratch);
size_t cz_product_whole_scratch(const cz_product *p);
void cz_product_whole(const cz_product *p, void *scratch);
int cz_product_threads(const cz_call *call, size_t shared, size_t slice);

CZ_C_END

#endif
