/* Cutting a product and computing its tiles. Cutting is a function of M, N and K alone;
 * no number of threads, no address and no earlier call has a say in it, so each number of
 * c is always summed by the same call of the same kernel in the same order. */
#include "kernels/common/product.h"

#include "kernels/common/bf16.h"
#include "kernels/common/cpu.h"
#include "kernels/common/piece.h"
#include "kernels/common/rows.h"
#include "kernels/common/units.h"
#include "kernels/common/workspace.h"

#include <cblas.h>
#include <omp.h>
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

static grid grid_of(const cz_product *p, int64_t down, int64_t across) {
  grid g = {.m = whole_registers(p->M, down), .n = whole_registers(p->N, across)};
  g.rows = (p->M + g.m - 1) / g.m, g.columns = (p->N + g.n - 1) / g.n;
  return g;
}

/* Matrix units are fast for arrays without gaps: whole rows of c, unless there are few, and then
 * the copies are small. Two tiles at least, where that is worth a second thread. */
static grid cut_for_units(const cz_product *p) {
  int64_t down = pieces_of(p->M, ROWS), across = 1;
  if (p->M <= 64)
    across = pieces_of(p->N, ROWS);
  else if (down == 1 && (double)p->M * (double)p->N * (double)p->K > one_tile)
    down = 2;
  return grid_of(p, down, across);
}

/* One tile is called outside any parallel region, where OpenBLAS would divide a large
 * product among threads of its own, differently for each number of them. So whatever it
 * might divide is cut in two along its longer side. */
static grid cut(const cz_product *p) {
  if (cz_units_takes(p->units, p->dtype)) return cut_for_units(p);
  int64_t down = pieces_of(p->M, ROWS), across = pieces_of(p->N, COLUMNS);
  if (down * across == 1) { /* OpenBLAS must not find one large product outside a parallel region */
    if ((double)p->M * (double)p->N * (double)p->K <= one_tile) return (grid){1, 1, p->M, p->N};
    *(p->M >= p->N ? &down : &across) = 2;
  }
  return grid_of(p, down, across);
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

/* One product of float32 numbers on the calling thread. With K = 0 the sum is empty: c is
 * set to 0 with beta 0 and stays with beta 1. BLAS leaves that case to the
 * implementation. */
static void multiply(const cz_product *p, bool few) {
  float *c = p->c;
  if (p->K == 0) {
    for (int64_t m = 0; m < p->M && p->beta == 0; m++)
      memset(c + m * p->ldc, 0, (size_t)p->N * sizeof *c);
  } else if (few) {
    few_rows(c, p->a, p->b, p, p->M, p->N);
  } else {
    cblas_sgemm(CblasRowMajor, p->a_transposed ? CblasTrans : CblasNoTrans,
                p->b_transposed ? CblasTrans : CblasNoTrans, (int)p->M, (int)p->N, (int)p->K,
                p->alpha, p->a, (int)p->lda, p->b, (int)p->ldb, p->beta, c, (int)p->ldc);
  }
}

/* Blocks of bfloat16 operands that are widened at a time. 512 rows of a, 1024 columns of b
 * and the tile of sums, 5 MiB, lie in the third cache, from where sgemm packs them; a longer
 * block of the inner dimension goes through the sums less often. The few rows of a step of
 * decoding take b in pieces that the second cache holds. */
enum { DEPTH = 512, ACROSS = 1024, ACROSS_FEW = 64 };

/* Rows and columns that a tile has at most: pieces_of leaves less than 3/2 of the usual
 * size, and whole_registers adds up to 15. */
enum { ROWS_MAXIMUM = ROWS * 3 / 2 + 16, COLUMNS_MAXIMUM = COLUMNS * 3 / 2 + 16 };

typedef struct widened {
  float *a, *b; /* widened blocks */
  float *c;     /* the sums, when c itself is rounded */
} widened;

static size_t lay_out(widened *s, const cz_product *p, int64_t M, int64_t N, uintptr_t begin) {
  uintptr_t at = begin;
  size_t depth = (size_t)cz_minimum(p->K, DEPTH);
  s->a = cz_take(&at, (size_t)M * depth * sizeof(float));
  s->b = cz_take(&at, (size_t)cz_minimum(N, ACROSS) * depth * sizeof(float));
  s->c = cz_take(&at, p->c_dtype == CZ_F32 ? 0 : (size_t)(M * N) * sizeof(float));
  return (size_t)(at - begin);
}

/** Bytes that cz__product_here needs for M rows and N columns of P; 0 in float32. */
size_t cz__product_here_scratch(const cz_product *p, int64_t M, int64_t N) {
  widened s;
  return p->dtype == CZ_F32 ? 0 : lay_out(&s, p, M, N, 0);
}

/* Rows r0 to r0 + rows - 1 and columns c0 to c0 + columns - 1 of x, without gaps. */
static void widen(float *to, const void *x, int64_t ld, int64_t r0, int64_t rows, int64_t c0,
                  int64_t columns) {
  for (int64_t r = 0; r < rows; r++)
    cz_bf16_widen(to + r * columns, (const cz_bf16 *)x + (r0 + r) * ld + c0, columns);
}

/* Rows k to k + depth - 1 of op(b) and its columns j to j + n - 1, times the part of op(a)
 * that lies widened in s->a, into or added to the sums. */
static void multiply_block(const cz_product *p, const widened *s, const cz_product *sums, int64_t k,
                           int64_t depth, int64_t j, int64_t n, bool few) {
  cz_product block = *sums;
  if (p->b_transposed)
    widen(s->b, p->b, p->ldb, j, n, k, depth);
  else
    widen(s->b, p->b, p->ldb, k, depth, j, n);
  block.a = s->a, block.lda = p->a_transposed ? p->M : depth;
  block.b = s->b, block.ldb = p->b_transposed ? depth : n;
  block.c = (float *)sums->c + j, block.N = n, block.K = depth;
  if (k > 0) block.beta = 1;
  multiply(&block, few);
}

/** Sums [M, N] of P, rows LD apart, with the bias into c: rounded, or added to it and rounded. They
 * may be c itself where that is float32. */
void cz__product_put(const cz_product *p, float *sums, int64_t ld) {
  const cz_grad_mode mode = p->beta == 0 ? CZ_GRAD_WRITE : CZ_GRAD_ADD;
  for (int64_t m = 0; m < p->M; m++) {
    float *row = sums + m * ld;
    if (p->bias) cz_row_add(row, p->bias, p->N);
    if (sums != p->c) cz_piece_grad(p->c, p->c_dtype, m * p->ldc, p->N, row, mode);
  }
}

/* One product of bfloat16 numbers in float32. Blocks of the inner dimension in equal parts
 * rather than full ones and a rest. */
static void multiply_widened(const cz_product *p, const widened *s, bool few) {
  int64_t parts = (p->K + DEPTH - 1) / DEPTH, across = few ? ACROSS_FEW : ACROSS;
  int64_t each = parts ? cz_minimum(DEPTH, ((p->K + parts - 1) / parts + 15) / 16 * 16) : 0;
  cz_product sums = *p; /* of float32 operands */
  if (p->c_dtype != CZ_F32) sums.c = s->c, sums.ldc = p->N, sums.beta = 0;
  if (p->K == 0) multiply(&sums, false);
  for (int64_t k = 0; k < p->K; k += each) {
    int64_t depth = cz_minimum(each, p->K - k);
    if (p->a_transposed)
      widen(s->a, p->a, p->lda, k, depth, 0, p->M);
    else
      widen(s->a, p->a, p->lda, 0, p->M, k, depth);
    for (int64_t j = 0; j < p->N; j += across)
      multiply_block(p, s, &sums, k, depth, j, cz_minimum(across, p->N - j), few);
  }
  cz__product_put(p, sums.c, sums.ldc);
}

/* A workspace may have been measured for fewer threads than there are now, one perhaps, whose
 * loop is no parallel region: there OpenBLAS would divide the tile. */
static void multiply_alone(const cz_product *p, const widened *s, bool few) {
  int threads = omp_in_parallel() ? 1 : omp_get_max_threads();
  if (threads > 1) omp_set_num_threads(1);
  multiply_widened(p, s, few);
  if (threads > 1) omp_set_num_threads(threads);
}

static void compute_here(const cz_product *p, void *memory, bool few) {
  widened s;
  if (p->dtype == CZ_F32) {
    multiply(p, few);
    if (p->bias) cz__product_put(p, p->c, p->ldc);
  } else {
    lay_out(&s, p, p->M, p->N, (uintptr_t)memory);
    multiply_alone(p, &s, few);
  }
}

/** The whole of P on the calling thread, in float32: for units that have no code for its shape. */
void cz__product_here(const cz_product *p, void *scratch) { compute_here(p, scratch, false); }

static void compute(const cz_product *p, void *memory, bool few) {
  if (p->K > 0 && cz_units_takes(p->units, p->dtype))
    cz_units_multiply(p->units, p, memory);
  else
    compute_here(p, memory, few);
}

/** Bytes of scratch for a tile, 0 in float32; they never fall when M, N or K grows. */
size_t cz_product_tile_scratch(const cz_product *p) {
  int64_t M = cz_minimum(p->M, ROWS_MAXIMUM);
  size_t here = cz__product_here_scratch(p, M, cz_minimum(p->N, COLUMNS_MAXIMUM));
  if (!cz_units_takes(p->units, p->dtype)) return here;
  size_t units = cz_units_scratch(p, M, p->N);
  return units > here ? units : here;
}

/** Computes one tile on the calling thread and says which part of c it was. SCRATCH:
 * cz_product_tile_scratch's bytes, this thread's own. */
cz_product_part cz_product_tile(const cz_product *p, int64_t tile, void *scratch) {
  grid g = cut(p);
  cz_product_part part = {.m0 = tile / g.columns * g.m, .n0 = tile % g.columns * g.n};
  part.m = cz_minimum(g.m, p->M - part.m0), part.n = cz_minimum(g.n, p->N - part.n0);
  cz_product q = *p;
  q.M = part.m, q.N = part.n;
  q.c = cz_piece_at(p->c, p->c_dtype, part.m0 * p->ldc + part.n0);
  q.a = cz_piece_at(p->a, p->dtype, p->a_transposed ? part.m0 : part.m0 * p->lda);
  q.b = cz_piece_at(p->b, p->dtype, p->b_transposed ? part.n0 * p->ldb : part.n0);
  if (p->bias) q.bias = p->bias + part.n0;
  compute(&q, scratch, p->M <= FEW && !p->a_transposed);
  return part;
}

/** Bytes of scratch for cz_product_whole, 0 in float32; they never fall when M, N or K
 * grows. */
size_t cz_product_whole_scratch(const cz_product *p) {
  size_t here = cz__product_here_scratch(p, p->M, p->N);
  if (!cz_units_takes(p->units, p->dtype)) return here;
  size_t units = cz_units_scratch(p, p->M, p->N);
  return units > here ? units : here;
}

/** Computes the whole product as one tile on the calling thread, for callers that cut by a
 * plan of their own. In float32 it is one sgemm, however few rows it has. */
void cz_product_whole(const cz_product *p, void *scratch) {
  if (p->M > 0 && p->N > 0) compute(p, scratch, false);
}

/** How many threads a kernel may start whose workspace holds SHARED bytes and behind them a
 * SLICE for each thread: as many as OpenMP would, and no more than were measured. */
int cz_product_threads(const cz_call *call, size_t shared, size_t slice) {
  int64_t threads = omp_get_max_threads();
  if (slice) threads = cz_minimum(threads, (int64_t)((call->workspace_bytes - shared) / slice));
  return (int)threads;
}
