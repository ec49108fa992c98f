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

/* Up to two arrays whose partial sums [rows, D] lie one behind the other, at `partial`. A null `to`
 * is left out; with ADD the sum is added to what is there. */
typedef struct cz_partials {
  float *to[2];
  bool add[2];
  const float *partial;
  int64_t rows, D;
} cz_partials;

enum { CZ_PARTIALS_GROUPS = 32 }; /* of rows, a warp of the block each */

static __global__ void __launch_bounds__(CZ_PARTIALS_GROUPS *CZ_WARP)
    cz_partials_kernel(cz_partials c) {
  CZ_SHARED(float, part, [CZ_PARTIALS_GROUPS][CZ_WARP]);
  const int lane = cz_lane(), group = (int)threadIdx.x / CZ_WARP;
  const int64_t d = (int64_t)blockIdx.x * CZ_WARP + lane;
  const float *partial = c.partial + blockIdx.y * c.rows * c.D;
  const bool second = blockIdx.y > 0, add = second ? c.add[1] : c.add[0];
  float *to = second ? c.to[1] : c.to[0], sum = 0;
  if (d < c.D && to)
    for (int64_t i = group; i < c.rows; i += CZ_PARTIALS_GROUPS) sum += partial[i * c.D + d];
  part[group][lane] = sum;
  __syncthreads();
  if (group > 0 || d >= c.D || !to) return;
  sum = 0;
  for (int i = 0; i < CZ_PARTIALS_GROUPS; i++) sum += part[i][lane];
  to[d] = add ? to[d] + sum : sum;
}

/* Host: sums of one array or two; of no rows it is 0. */
static inline void cz_sum_partials(const char *name, void *stream, const cz_partials &c) {
  const dim3 grid((unsigned)((c.D + CZ_WARP - 1) / CZ_WARP), c.to[1] ? 2 : c.to[0] ? 1 : 0);
  cz_launch(name, cz_partials_kernel, grid, CZ_PARTIALS_GROUPS * CZ_WARP, 0, stream, c);
}

/* Host: how the rows are cut. */
typedef struct cz_columns {
  int64_t rows, columns, parts, rows_each;
} cz_columns;

static inline cz_columns cz_columns_of(void *stream, int64_t rows, int64_t columns, int each) {
  const int64_t tiles = (columns + CZ_WARP * each - 1) / (CZ_WARP * each),
                wanted = ((int64_t)cz_cuda_multiprocessors(stream) * CZ_BLOCKS_A_MULTIPROCESSOR +
                          tiles) /
                         (tiles + !tiles),
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

/* Host: both launches; without Y F does the rest of its work alone. PARTIAL has
 * cz_columns_bytes. */
template <int EACH, class F>
static inline void cz_columns_add(const char *name, void *stream, const cz_columns *c, float *y,
                                  float *partial, F f, bool adds) {
  const dim3 grid((unsigned)((c->columns + CZ_WARP * EACH - 1) / (CZ_WARP * EACH)),
                  (unsigned)c->parts);
  cz_launch(name, cz_column_partials<EACH, F>, grid, dim3(CZ_WARP, CZ_COLUMNS_DEEP), 0, stream,
            y ? partial : nullptr, f, c->rows, c->columns, c->rows_each);
  cz_partials sums = {{y}, {adds}, partial, c->parts, c->columns};
  cz_sum_partials("sums of columns", stream, sums);
}

#endif
