#include "kernels/attention/attention_tile.h"

#include "kernels/common/cpu.h"

#include <string.h>

/* Elements of two vectors by number, the second vector's from 8 on; GCC 12 and clang have
 * it. */
#define SHUFFLE __builtin_shufflevector

typedef float vec __attribute__((vector_size(32), aligned(4), may_alias));

enum {
  ROWS = CZ_TILE_ROWS,
  COLS = CZ_TILE_COLS,
  DEPTH = 256 /* rows of a panel, 16 KiB, that stay in the first cache beside their 6 rows of A */
};

/* 6 x 16 sums in 12 of AVX2's 16 registers; two hold a row of B and one a number of A. A
 * step is 12 multiply-adds for 2 loads and 6 broadcasts. Two of them may start in a cycle
 * and each takes four or five, so 8 to 10 must be under way at once: 12 independent sums
 * are enough, the 8 of a 4 x 16 block are not everywhere. */
typedef struct block { /* 6 x 16 sums: 12 registers of 8 */
  vec x[ROWS][2];
} block;

/* sum_l a[r a_row + l a_depth] b[l b_depth + (0..15)] for the 6 rows r. The strides that
 * are 1 are constants after inlining. A sum runs over l in order, one term a step: its
 * rounding error is at most L u sum |a b|, and the order is the same for every place in a
 * tile. */
static inline __attribute__((always_inline)) block multiply(const float *a, int64_t a_row,
                                                            int64_t a_depth, const float *b,
                                                            int64_t b_depth, int64_t L) {
  block sum = {0};
  for (int64_t l = 0; l < L; l++) {
    vec b0 = *(const vec *)b, b1 = *(const vec *)(b + 8);
#pragma GCC unroll 6
    for (int r = 0; r < ROWS; r++) {
      sum.x[r][0] += a[r * a_row] * b0;
      sum.x[r][1] += a[r * a_row] * b1;
    }
    a += a_depth, b += b_depth;
  }
  return sum;
}

/* The sum of a product in parts of DEPTH: the parts are added in order. */
static inline __attribute__((always_inline)) void store(float *c, int64_t ldc, block sum,
                                                        bool add) {
#pragma GCC unroll 6
  for (int r = 0; r < ROWS; r++) {
    vec *to = (vec *)(c + r * ldc);
    if (add) sum.x[r][0] += to[0], sum.x[r][1] += to[1];
    to[0] = sum.x[r][0], to[1] = sum.x[r][1];
  }
}

/** C[R, N] = scale A[R, L] B[L, N] + bias: B's panels hold keys or values, transposed.
 * Row r adds bias[n - r], a matrix that is constant along diagonals; BIAS is readable
 * from -(R rounded up) to N rounded up, or null for none. */
CZ_CLONES void cz__tile_scores(float *c, int64_t ldc, const float *a, int64_t lda,
                               const float *panel, const float *bias, float scale, int64_t R,
                               int64_t N, int64_t L) {
  for (int64_t n = 0; n < N; n += COLS) {
    for (int64_t r = 0; r < R; r += ROWS) {
      block sum = multiply(a + r * lda, lda, 1, panel + n * L, COLS, L);
#pragma GCC unroll 6
      for (int i = 0; i < ROWS; i++) {
        sum.x[i][0] *= scale, sum.x[i][1] *= scale;
        if (!bias) continue;
        const vec *t = (const vec *)(bias + n - r - i);
        sum.x[i][0] += t[0], sum.x[i][1] += t[1];
      }
      store(c + r * ldc + n, ldc, sum, false);
    }
  }
}

/** C[R, N] = A[R, L] B[L, N]. B's rows are B_ROW floats apart, its groups of 16 columns
 * B_GROUP floats: panels of P rows have 16 and 16 P, an array has its row length and
 * 16. */
CZ_CLONES void cz__tile_times(float *c, int64_t ldc, const float *a, int64_t lda, const float *b,
                              int64_t b_row, int64_t b_group, int64_t R, int64_t N, int64_t L) {
  for (int64_t l = 0; l < L; l += DEPTH) {
    int64_t depth = L - l < DEPTH ? L - l : DEPTH;
    for (int64_t n = 0; n < N; n += COLS)
      for (int64_t r = 0; r < R; r += ROWS)
        store(c + r * ldc + n, ldc,
              multiply(a + r * lda + l, lda, 1, b + n / COLS * b_group + l * b_row, b_row, depth),
              l > 0);
  }
}

/** C[R, N] += transpose(A[L, R]) B[L, N], B row by row. */
CZ_CLONES void cz__tile_gather(float *c, int64_t ldc, const float *a, int64_t lda, const float *b,
                               int64_t ldb, int64_t R, int64_t N, int64_t L) {
  for (int64_t r = 0; r < R; r += ROWS)
    for (int64_t n = 0; n < N; n += COLS)
      store(c + r * ldc + n, ldc, multiply(a + r, 1, lda, b + n, ldb, L), true);
}

/* to[l * 16 + r] = x[r * stride + l] for 8 rows and 8 columns, in registers: pairs, then
 * pairs of pairs, then halves. 24 shuffles for 64 numbers, where loads and stores one by
 * one would be 64 of each. */
static inline __attribute__((always_inline)) void transpose8(float *to, const float *x,
                                                             int64_t stride) {
  vec a[8], b[8];
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    vec even = *(const vec *)(x + i * stride), odd = *(const vec *)(x + (i + 1) * stride);
    a[i] = SHUFFLE(even, odd, 0, 8, 1, 9, 4, 12, 5, 13),
    a[i + 1] = SHUFFLE(even, odd, 2, 10, 3, 11, 6, 14, 7, 15);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) { /* b[4 * h + c]: columns c and c + 4 of rows 4 h to 4 h + 3 */
    int h = i / 2, k = i % 2;
    b[4 * h + 2 * k] = SHUFFLE(a[4 * h + k], a[4 * h + k + 2], 0, 1, 8, 9, 4, 5, 12, 13);
    b[4 * h + 2 * k + 1] = SHUFFLE(a[4 * h + k], a[4 * h + k + 2], 2, 3, 10, 11, 6, 7, 14, 15);
  }
#pragma GCC unroll 4
  for (int c = 0; c < 4; c++) {
    *(vec *)(to + (int64_t)c * COLS) = SHUFFLE(b[c], b[c + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    *(vec *)(to + (int64_t)(c + 4) * COLS) = SHUFFLE(b[c], b[c + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
}

/** Panels of the transpose of X[R, L] (rows STRIDE apart): [R / 16][L][16], zeros beyond
 * R. */
CZ_CLONES void cz__tile_transpose(float *panel, const float *x, int64_t stride, int64_t R,
                                  int64_t L) {
  for (int64_t r0 = 0; r0 < R; r0 += COLS, panel += COLS * L) {
    int64_t rows = R - r0 < COLS ? R - r0 : COLS, l = 0;
    const float *from = x + r0 * stride;
    if (rows < COLS) memset(panel, 0, (size_t)(COLS * L) * sizeof *panel);
    for (; rows == COLS && l + 8 <= L; l += 8) {
      transpose8(panel + l * COLS, from + l, stride);
      transpose8(panel + l * COLS + 8, from + 8 * stride + l, stride);
    }
    for (; l < L; l++)
      for (int64_t r = 0; r < rows; r++) panel[l * COLS + r] = from[r * stride + l];
  }
}

/** Panels of X[R, N] itself (rows STRIDE apart): [N / 16][R][16], zeros beyond N. */
CZ_CLONES void cz__tile_panel(float *panel, const float *x, int64_t stride, int64_t R, int64_t N) {
  for (int64_t n = 0; n < N; n += COLS) {
    size_t bytes = (size_t)(N - n < COLS ? N - n : COLS) * sizeof *panel;
    for (int64_t r = 0; r < R; r++, panel += COLS) {
      if (bytes < COLS * sizeof *panel) memset(panel, 0, COLS * sizeof *panel);
      memcpy(panel, x + r * stride + n, bytes);
    }
  }
}

/** Copies X[R, N] into rows of WIDTH numbers, with zeros beyond N and in the rows up to a
 * multiple of CZ_TILE_ROWS. */
CZ_CLONES void cz__tile_copy(float *to, const float *x, int64_t stride, int64_t R, int64_t N,
                             int64_t width) {
  for (int64_t r = 0; r < R; r++) {
    memcpy(to + r * width, x + r * stride, (size_t)N * sizeof *to);
    if (N < width) memset(to + r * width + N, 0, (size_t)(width - N) * sizeof *to);
  }
  memset(to + R * width, 0, (size_t)((cz_round_up(R, ROWS) - R) * width) * sizeof *to);
}
