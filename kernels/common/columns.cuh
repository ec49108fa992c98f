/* Sums over the rows of an array, column by column, in a fixed order: gradients of biases and
 * gains.
 *
 * Two launches. In the first a block takes a tile of columns and a run of rows; its eight rows of
 * threads add every eighth row, their eight sums are added in order, and the block's row of
 * partial[parts, columns] is written. In the second a column's parts are added the same way. How
 * many parts there are depends on the sizes and the card alone. */
#ifndef CZ_KERNELS_COMMON_COLUMNS_CUH
#define CZ_KERNELS_COMMON_COLUMNS_CUH

#include "kernels/common/dispatch.cuh"
#include "kernels/common/vector.cuh"

enum { CZ_COLUMNS_DEEP = 8 }; /* rows of threads; a warp wide */

/* Adds the block's sums over DEEP in order: thread k gives column k of the tile. A thread holds
 * EACH neighbouring columns, so the array is transposed by the way; its stride of 32 + 32 / EACH
 * puts what a warp writes and what it reads into different banks. */
template <int EACH> struct cz_column_tile {
  enum { COLUMNS = CZ_WARP * EACH, STRIDE = CZ_WARP + CZ_WARP / EACH };
  float x[CZ_COLUMNS_DEEP][EACH][STRIDE];
  __device__ void put(const float sum[EACH]) {
    CZ_UNROLL
    for (int i = 0; i < EACH; i++) x[threadIdx.y][i][threadIdx.x] = sum[i];
  }
  __device__ float column(int k) const {
    float sum = 0;
    CZ_UNROLL
    for (int d = 0; d < CZ_COLUMNS_DEEP; d++) sum += x[d][k % EACH][k / EACH];
    return sum;
  }
};

/* F(g, r, c) gives the EACH numbers of row r from column c on, and does with them what else there
 * is to do. PARTIAL null: that is all. COLUMNS is a multiple of EACH. */
template <int EACH, class F>
static __global__ void __launch_bounds__(CZ_WARP *CZ_COLUMNS_DEEP, 4)
    cz_column_partials(float *partial, F f, int64_t rows, int64_t columns, int64_t rows_each) {
  typedef cz_column_tile<EACH> tile;
  CZ_SHARED(tile, sums, );
  const int64_t c = ((int64_t)blockIdx.x * CZ_WARP + threadIdx.x) * EACH,
                first = (int64_t)blockIdx.y * rows_each,
                end = first + rows_each < rows ? first + rows_each : rows;
  float sum[EACH] = {};
  for (int64_t r = first + threadIdx.y; c < columns && r < end; r += CZ_COLUMNS_DEEP) {
    float g[EACH];
    f(g, r, c);
    CZ_UNROLL
    for (int i = 0; i < EACH; i++) sum[i] += g[i];
  }
  if (!partial) return;
  sums.put(sum);
  __syncthreads();
  for (int k = (int)(threadIdx.y * CZ_WARP + threadIdx.x); k < tile::COLUMNS;
       k += CZ_WARP * CZ_COLUMNS_DEEP) {
    const int64_t column = (int64_t)blockIdx.x * tile::COLUMNS + k;
    if (column < columns) partial[(int64_t)blockIdx.y * columns + column] = sums.column(k);
  }
}

/* y[c] = scale sum over parts of partial[parts, columns], or y[c] += that. */
static __global__ void __launch_bounds__(CZ_WARP *CZ_COLUMNS_DEEP, 4)
    cz_column_sums(float *y, const float *partial, int64_t parts, int64_t columns, float scale,
                   bool adds) {
  typedef cz_column_tile<1> tile;
  CZ_SHARED(tile, sums, );
  const int64_t c = (int64_t)blockIdx.x * CZ_WARP + threadIdx.x;
  float sum[1] = {};
  for (int64_t p = threadIdx.y; c < columns && p < parts; p += CZ_COLUMNS_DEEP)
    sum[0] += partial[p * columns + c];
  sums.put(sum);
  __syncthreads();
  if (threadIdx.y > 0 || c >= columns) return;
  const float all = scale * sums.column((int)threadIdx.x);
  y[c] = adds ? y[c] + all : all;
}

/* Host: how the rows are cut. */
typedef struct cz_columns {
  int64_t rows, columns, parts, rows_each;
} cz_columns;

static inline cz_columns cz_columns_of(void *stream, int64_t rows, int64_t columns, int each) {
  const int64_t tiles = (columns + CZ_WARP * each - 1) / (CZ_WARP * each),
                wanted =
                    ((int64_t)cz_cuda_cores(stream) * CZ_BLOCKS_A_CORE + tiles) / (tiles + !tiles),
                most = (rows + CZ_COLUMNS_DEEP - 1) / CZ_COLUMNS_DEEP;
  cz_columns c = {rows, columns, wanted < most ? wanted : most, 0};
  if (c.parts < 1) c.parts = 1;
  if (c.parts > 65535) c.parts = 65535;
  c.rows_each = (rows + c.parts - 1) / c.parts;
  return c;
}

static inline size_t cz_columns_bytes(const cz_columns *c) {
  return (size_t)(c->parts * c->columns) * sizeof(float);
}

/* Host: the second launch, over any PARTIAL [parts, columns]. */
static inline void cz_columns_sum(void *stream, float *y, const float *partial, int64_t parts,
                                  int64_t columns, float scale, bool adds) {
  cz_launch("sums of columns", cz_column_sums, dim3((unsigned)((columns + CZ_WARP - 1) / CZ_WARP)),
            dim3(CZ_WARP, CZ_COLUMNS_DEEP), 0, stream, y, partial, parts, columns, scale, adds);
}

/* Host: both launches; without Y F does the rest of its work alone. PARTIAL has
 * cz_columns_bytes. */
template <int EACH, class F>
static inline void cz_columns_add(const char *name, void *stream, const cz_columns *c, float *y,
                                  float *partial, F f, float scale, bool adds) {
  const dim3 grid((unsigned)((c->columns + CZ_WARP * EACH - 1) / (CZ_WARP * EACH)),
                  (unsigned)c->parts);
  cz_launch(name, cz_column_partials<EACH, F>, grid, dim3(CZ_WARP, CZ_COLUMNS_DEEP), 0, stream,
            y ? partial : nullptr, f, c->rows, c->columns, c->rows_each);
  if (y) cz_columns_sum(stream, y, partial, c->parts, c->columns, scale, adds);
}

#endif
