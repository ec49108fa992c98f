/* Four launches: row and column sums of Q (and what is not factored, whose v is its own statistic);
 * r and c; squares of U; the update. U is recomputed rather than stored, so that g is read three
 * times, w twice, and written once: 26 bytes an element with a copy in 16 bits.
 *
 * A matrix is cut into tiles, whose sums, in float32 over a few dozen numbers of one sign, stand in
 * workspace; what adds them, and what makes r, c and v, is in double and rounded once a step, since
 * statistics remember their errors. With
 *
 *     row_scale_i = factor sqrt(mean r / r_i),    column_scale_j = 1 / sqrt(c_j)
 *
 * U_ij = g_ij row_scale_i column_scale_j, in this order wherever it is made. */
#include "kernels/adafactor/adafactor.h"
#include "kernels/common/dispatch.cuh"
#include "kernels/common/flat.cuh"
#include "kernels/common/strip.cuh"
#include "kernels/common/sum.cuh"
#include "kernels/common/workspace.h"

/* A tile is ROWS x COLUMNS of a matrix; a warp takes neighbouring rows of it, two strips wide. A
 * tensor that is not factored is cut into runs of FLAT. GROUP: neighbours whose sums over tiles are
 * added by one block. */
enum {
  THREADS = CZ_FLAT_THREADS,
  WARPS = THREADS / CZ_WARP,
  ROWS = 128,
  WARP_ROWS = ROWS / WARPS,
  STRIPS = 2,
  COLUMNS = STRIPS * CZ_STRIP,
  FLAT = 8192,
  GROUP = CZ_WARP,
  GROUPS = ROWS / GROUP,
  BLOCKS_A_MULTIPROCESSOR = 4,
  FEW_BLOCKS = 3 /* of the first and last launch, which need more registers */
};

static_assert((int)COLUMNS == (int)THREADS, "a thread has a column of a tile");

namespace {
struct arrays : cz_flat {
  cz_adafactor_attr attr;
  /* workspace; U: the number of a tile, through all parts */
  double *weights, *squares;        /* [U]: sums of w^2, of U^2 */
  double *averages;                 /* [U, GROUPS]: sums of r */
  float *row_squares, *col_squares; /* [U, ROWS], [U, COLUMNS]: sums of Q */
  int64_t *begin;                   /* [parts]: the part's first tile */
};

/* A tile of the block's. */
typedef struct tile {
  int number, m;               /* through all parts; its matrix in the part */
  int64_t row, column, offset; /* where it begins in the matrix, and in the part */
  int rows, columns;           /* of it, that exist */
} tile;
} // namespace

static inline __device__ int64_t tiles_down(const cz_flat_part &p) {
  return (p.rows + ROWS - 1) / ROWS;
}

static inline __device__ int64_t tiles_across(const cz_flat_part &p) {
  return (p.cols + COLUMNS - 1) / COLUMNS;
}

static inline __device__ bool factored(const cz_flat_part &p) { return p.flags & CZ_FLAT_FACTORED; }

/* Whether its rows are taken sixteen bytes at once. */
static inline __device__ bool wide(const arrays &a, const cz_flat_part &p) {
  return a.wide && p.cols % 4 == 0;
}

static inline __device__ int64_t tiles_of(const cz_flat_part &p) {
  if (!factored(p)) return (p.count + FLAT - 1) / FLAT;
  return p.matrices * tiles_down(p) * tiles_across(p);
}

/* Unit U of part P. */
static inline __device__ tile tile_at(const cz_units &u, const cz_flat_part &p) {
  const int64_t across = tiles_across(p), down = tiles_down(p), k = u.at - u.first;
  tile t;
  t.number = u.at, t.m = (int)(k / (across * down));
  t.row = k / across % down * ROWS, t.column = k % across * COLUMNS;
  t.offset = (t.m * p.rows + t.row) * p.cols + t.column;
  t.rows = (int)(p.rows - t.row < ROWS ? p.rows - t.row : (int64_t)ROWS);
  t.columns = (int)(p.cols - t.column < COLUMNS ? p.cols - t.column : (int64_t)COLUMNS);
  return t;
}

static inline __device__ float *r_of(const arrays &a, const cz_flat_part &p, int64_t m) {
  return a.state + p.state + m * p.rows;
}

static inline __device__ float *c_of(const arrays &a, const cz_flat_part &p, int64_t m) {
  return a.state + p.state + cz_flat_room(p.matrices * p.rows) + m * p.cols;
}

/* The power is made by one thread: (t + 1)^-0.8 is small and known to 53 bits, so 1 - beta keeps
 * all digits that float32 needs. */
static __device__ double beta_of(const arrays &a) {
  CZ_SHARED(double, beta, [1]);
  if (threadIdx.x == 0)
    beta[0] = 1 - pow((double)a.hyper[CZ_HYPER_STEP] + 1, -a.attr.decay_exponent);
  __syncthreads();
  return beta[0];
}

/* ---- first launch: sums over a tile ---- */

/* This lane's part of a row's squares, and of w's; its columns' are added to COLUMN. */
template <bool WIDE>
static inline __device__ float row_squares(float column[STRIPS][4], double *weights, const float *g,
                                           const float *w, int n, float factor, float eps1) {
  float gi[STRIPS][4], wi[STRIPS][4], sum[STRIPS] = {};
  CZ_UNROLL
  for (int s = 0; s < STRIPS; s++) {
    cz_strip_load<WIDE>(gi[s], g + s * CZ_STRIP, n - s * CZ_STRIP);
    cz_strip_load<WIDE>(wi[s], w + s * CZ_STRIP, n - s * CZ_STRIP);
  }
  CZ_UNROLL
  for (int s = 0; s < STRIPS; s++) {
    CZ_UNROLL
    for (int j = 0; j < 4; j++) {
      const float x = factor * gi[s][j];
      const float q = cz_strip_has<WIDE>(j, n - s * CZ_STRIP) ? x * x + eps1 : 0;
      column[s][j] += q, sum[s] += q;
      *weights += (double)wi[s][j] * wi[s][j];
    }
  }
  return sum[0] + sum[1];
}

/* The warps' sums of columns, [WARPS, COLUMNS], meet: a thread adds those of one column. */
template <bool WIDE>
static __device__ void put_columns(const arrays &a, const tile &t, const float column[STRIPS][4]) {
  CZ_SHARED(float, sums, [WARPS][COLUMNS]);
  const int warp = (int)threadIdx.x / CZ_WARP, k = (int)threadIdx.x;
  CZ_UNROLL
  for (int s = 0; s < STRIPS; s++)
    cz_strip_store<WIDE>(sums[warp] + s * CZ_STRIP, column[s], CZ_STRIP);
  __syncthreads();
  float sum = 0;
  for (int i = 0; i < WARPS; i++) sum += sums[i][k];
  if (k < t.columns) a.col_squares[(int64_t)t.number * COLUMNS + k] = sum;
  __syncthreads(); /* mutant: survives, a block's sum of weights follows each tile */
}

template <bool WIDE>
static __device__ double tile_squares(const arrays &a, const cz_flat_part &p, const tile &t) {
  const float factor = cz_flat_factor(a), eps1 = (float)a.attr.eps1;
  const int lane = cz_lane(), first = (int)threadIdx.x / CZ_WARP * WARP_ROWS;
  float column[STRIPS][4] = {}, mine = 0;
  double weights = 0;
  int64_t at = p.offset + t.offset + first * p.cols;
  for (int i = 0; i < WARP_ROWS && first + i < t.rows; i++, at += p.cols) {
    const float sum = cz_warp_sum(
        row_squares<WIDE>(column, &weights, a.g + at, a.w + at, t.columns, factor, eps1));
    if (lane == i) mine = sum;
  }
  if (lane < WARP_ROWS && first + lane < t.rows)
    a.row_squares[(int64_t)t.number * ROWS + first + lane] = mine;
  put_columns<WIDE>(a, t, column);
  return weights;
}

/* v = beta v + (1 - beta) Q in double, rounded once: with beta near 1 the second term is far below
 * v. Returns this thread's sum of w^2; *SQUARES grows by that of U^2, U = G / sqrt(v). */
static __device__ double flat_squares(const arrays &a, const cz_flat_part &p, int64_t from,
                                      double beta, double *squares) {
  const float factor = cz_flat_factor(a);
  float *v = a.state + p.state;
  double weights = 0;
  for (int k = 4 * (int)threadIdx.x; k < FLAT && from + k < p.count; k += 4 * THREADS) {
    const int64_t at = from + k, left = p.count - at;
    float g[4], w[4], vi[4];
    cz_flat_load<4>(g, a.g + p.offset + at, left, a.wide);
    cz_flat_load<4>(w, a.w + p.offset + at, left, a.wide);
    cz_flat_load<4>(vi, v + at, left, a.wide);
    CZ_UNROLL
    for (int j = 0; j < 4; j++) {
      const double x = (double)factor * g[j];
      vi[j] = (float)(beta * vi[j] + (1 - beta) * (x * x + a.attr.eps1));
      const float u = factor * g[j] / sqrtf(vi[j]);
      if (j < left) *squares += (double)u * u;
      weights += (double)w[j] * w[j];
    }
    cz_flat_store<4>(v + at, vi, left, a.wide);
  }
  return weights;
}

static __global__ void __launch_bounds__(THREADS, FEW_BLOCKS) statistics(arrays a) {
  if (a.hyper[CZ_HYPER_KEEP] == 0) return;
  const double beta = beta_of(a);
  cz_units u = cz_units_begin(a.rows, a.parts, tiles_of);
  for (; u.at < u.end; cz_units_next(&u, a.rows, tiles_of)) {
    const cz_flat_part p = cz_flat_part_at(a.rows, u.number);
    double weights, squares = 0;
    if (!factored(p)) {
      weights = flat_squares(a, p, (int64_t)(u.at - u.first) * FLAT, beta, &squares);
      squares = cz_block_sum(squares);
      if (threadIdx.x == 0) a.squares[u.at] = squares;
    } else if (wide(a, p)) {
      weights = tile_squares<true>(a, p, tile_at(u, p));
    } else {
      weights = tile_squares<false>(a, p, tile_at(u, p));
    }
    weights = cz_block_sum(weights);
    if (threadIdx.x > 0) continue;
    a.weights[u.at] = weights;
    if (u.at == u.first) a.begin[u.number] = u.first;
  }
}

/* ---- second launch: sums over tiles ---- */

static inline __device__ int64_t groups(int64_t n) { return (n + GROUP - 1) / GROUP; }

static inline __device__ int64_t groups_of(const cz_flat_part &p) {
  return factored(p) && p.count > 0 ? p.matrices * (groups(p.rows) + groups(p.cols)) : 0;
}

/* The sum over N tiles for each of a GROUP of neighbours, the first of which has its numbers at
 * X, X + STEP and so on; COUNT of the group exist. Warp 0 gets it, a neighbour a lane. */
static __device__ double group_sum(const float *x, int64_t n, int64_t step, int64_t count) {
  CZ_SHARED(double, sums, [WARPS][GROUP]);
  const int lane = cz_lane(), warp = (int)threadIdx.x / CZ_WARP;
  double sum = 0;
  for (int64_t i = warp; i < n && lane < count; i += WARPS) sum += x[i * step + lane];
  sums[warp][lane] = sum;
  __syncthreads();
  sum = 0;
  for (int i = 0; i < WARPS; i++) sum += sums[i][lane];
  __syncthreads();
  return sum;
}

/* The sums of r of matrix M, one a group; there are tiles enough for as many. */
static inline __device__ double *averages_of(const arrays &a, const cz_flat_part &p, int64_t begin,
                                             int64_t m) {
  return a.averages + (begin + m * tiles_down(p) * tiles_across(p)) * GROUPS;
}

/* Rows from ROW on of matrix M: r_i = beta r_i + (1 - beta) mean of Q, and their sum. The part's
 * first tile is BEGIN. */
static __device__ void average_rows(const arrays &a, const cz_flat_part &p, int64_t begin,
                                    double beta, int64_t m, int64_t row) {
  const int64_t across = tiles_across(p), first = begin + (m * tiles_down(p) + row / ROWS) * across,
                left = p.rows - row;
  const double sum = group_sum(a.row_squares + first * ROWS + row % ROWS, across, ROWS, left);
  if (threadIdx.x >= CZ_WARP) return;
  double mine = 0;
  if (threadIdx.x < left) {
    float *r = r_of(a, p, m) + row + threadIdx.x;
    *r = (float)(beta * *r + (1 - beta) * sum / (double)p.cols), mine = *r;
  }
  mine = cz_warp_sum(mine);
  if (threadIdx.x == 0) averages_of(a, p, begin, m)[row / GROUP] = mine;
}

/* Columns from COLUMN on of matrix M: c_j = beta c_j + (1 - beta) mean of Q. */
static __device__ void average_columns(const arrays &a, const cz_flat_part &p, int64_t begin,
                                       double beta, int64_t m, int64_t column) {
  const int64_t across = tiles_across(p), down = tiles_down(p),
                first = begin + m * down * across + column / COLUMNS, left = p.cols - column;
  const double sum =
      group_sum(a.col_squares + first * COLUMNS + column % COLUMNS, down, across * COLUMNS, left);
  if (threadIdx.x >= CZ_WARP || threadIdx.x >= left) return;
  float *c = c_of(a, p, m) + column + threadIdx.x;
  *c = (float)(beta * *c + (1 - beta) * sum / (double)p.rows);
}

static __global__ void __launch_bounds__(THREADS) averages(arrays a) {
  if (a.hyper[CZ_HYPER_KEEP] == 0) return;
  const double beta = beta_of(a);
  cz_units u = cz_units_begin(a.rows, a.parts, groups_of);
  for (; u.at < u.end; cz_units_next(&u, a.rows, groups_of)) {
    const cz_flat_part p = cz_flat_part_at(a.rows, u.number);
    const int64_t rows = groups(p.rows), each = rows + groups(p.cols), m = (u.at - u.first) / each,
                  k = (u.at - u.first) % each;
    if (k < rows)
      average_rows(a, p, a.begin[u.number], beta, m, k * GROUP);
    else
      average_columns(a, p, a.begin[u.number], beta, m, (k - rows) * GROUP);
  }
}

/* ---- third and fourth launch: U ---- */

/* The mean of r over the rows of matrix M of part P, whose first tile is BEGIN. */
static __device__ float mean_of(const arrays &a, const cz_flat_part &p, int begin, int m) {
  const double sum = cz_block_sum_of(averages_of(a, p, begin, m), groups(p.rows));
  return (float)(sum / (double)p.rows);
}

/* X = U of this lane's numbers of a row, from g. */
template <bool WIDE>
static inline __device__ void row_update(float x[STRIPS][4], const float *g,
                                         const float *column_scale, float row_scale, int n) {
  CZ_UNROLL
  for (int s = 0; s < STRIPS; s++) {
    float scale[4];
    cz_strip_load<WIDE>(x[s], g + s * CZ_STRIP, n - s * CZ_STRIP);
    cz_strip_load<WIDE>(scale, column_scale + s * CZ_STRIP, CZ_STRIP);
    CZ_UNROLL
    for (int j = 0; j < 4; j++) x[s][j] = x[s][j] * row_scale * scale[j];
  }
}

/* Lane i gets what row i of the warp is multiplied by. */
static inline __device__ float row_scale(const arrays &a, const float *r, int64_t left,
                                         float mean) {
  const int lane = cz_lane();
  return lane < WARP_ROWS && lane < left ? (float)(sqrt((double)mean / r[lane]) * cz_flat_factor(a))
                                         : 0;
}

/* Calls F(offset in the part, U) for each row of this warp's. Columns' scales
 * are made once for the block, one by each thread; 0 behind the last. */
template <bool WIDE, class F>
static inline __device__ void tile_updates(const arrays &a, const cz_flat_part &p, const tile &t,
                                           float mean, F f) {
  CZ_SHARED(float, scale, [COLUMNS]);
  const int k = (int)threadIdx.x, first = k / CZ_WARP * WARP_ROWS;
  const float *g = a.g + p.offset;
  __syncthreads();
  scale[k] = k < t.columns ? 1 / sqrtf(c_of(a, p, t.m)[t.column + k]) : 0;
  __syncthreads();
  const float rows = row_scale(a, r_of(a, p, t.m) + t.row + first, t.rows - first, mean);
  int64_t at = t.offset + first * p.cols;
  for (int i = 0; i < WARP_ROWS && first + i < t.rows; i++, at += p.cols) {
    float x[STRIPS][4];
    row_update<WIDE>(x, g + at, scale, __shfl_sync(CZ_FULL_MASK, rows, i), t.columns);
    f(at, x);
  }
}

template <bool WIDE>
static __device__ double tile_update_squares(const arrays &a, const cz_flat_part &p, const tile &t,
                                             float mean) {
  double sum = 0;
  tile_updates<WIDE>(a, p, t, mean, [&](int64_t, const float x[STRIPS][4]) {
    CZ_UNROLL
    for (int s = 0; s < STRIPS; s++) {
      float four = 0;
      CZ_UNROLL
      for (int j = 0; j < 4; j++) four += x[s][j] * x[s][j];
      sum += four;
    }
  });
  return sum;
}

static __global__ void __launch_bounds__(THREADS, BLOCKS_A_MULTIPROCESSOR)
    update_squares(arrays a) {
  if (a.hyper[CZ_HYPER_KEEP] == 0) return;
  cz_units u = cz_units_begin(a.rows, a.parts, tiles_of);
  int number = -1, m = -1;
  float mean = 0;
  for (; u.at < u.end; cz_units_next(&u, a.rows, tiles_of)) {
    const cz_flat_part p = cz_flat_part_at(a.rows, u.number);
    if (!factored(p)) continue;
    const tile t = tile_at(u, p);
    if (u.number != number || t.m != m)
      mean = mean_of(a, p, u.first, t.m), number = u.number, m = t.m;
    double sum = wide(a, p) ? tile_update_squares<true>(a, p, t, mean)
                            : tile_update_squares<false>(a, p, t, mean);
    sum = cz_block_sum(sum);
    if (threadIdx.x == 0) a.squares[u.at] = sum;
  }
}

/* lr max(rms(w), eps2) / max(1, rms(U) / clip) of U's part, of COUNT elements; w has not moved
 * yet. */
static __device__ float rate_of(const arrays &a, const cz_units &u, int64_t count) {
  const double n = (double)count, weights = cz_block_sum_of(a.weights + u.first, u.count),
               squares = cz_block_sum_of(a.squares + u.first, u.count);
  const double rate =
      (double)a.hyper[CZ_HYPER_RATE] * cz_adafactor_maximum(sqrt(weights / n), a.attr.eps2);
  return (float)(rate / cz_adafactor_maximum(sqrt(squares / n) / a.attr.clip, 1));
}

template <class C, bool WIDE>
static __device__ void step_tile(const arrays &a, const cz_flat_part &p, const tile &t, float mean,
                                 float rate) {
  float *w = a.w + p.offset;
  C *copy = cz_flat_copy_of<C>(a, p);
  tile_updates<WIDE>(a, p, t, mean, [&](int64_t at, const float x[STRIPS][4]) {
    CZ_UNROLL
    for (int s = 0; s < STRIPS; s++) {
      const int64_t from = at + s * CZ_STRIP;
      const int n = t.columns - s * CZ_STRIP;
      float wi[4];
      cz_strip_load<WIDE>(wi, w + from, n);
      CZ_UNROLL
      for (int j = 0; j < 4; j++) wi[j] -= rate * x[s][j];
      cz_strip_store<WIDE>(w + from, wi, n);
      if (copy) cz_strip_store<WIDE>(copy + from, wi, n);
    }
  });
}

template <class C>
static __device__ void step_flat(const arrays &a, const cz_flat_part &p, int64_t from, float rate) {
  const float factor = cz_flat_factor(a);
  const float *g = a.g + p.offset, *v = a.state + p.state;
  float *w = a.w + p.offset;
  C *copy = cz_flat_copy_of<C>(a, p);
  for (int k = 4 * (int)threadIdx.x; k < FLAT && from + k < p.count; k += 4 * THREADS) {
    const int64_t at = from + k, left = p.count - at;
    float gi[4], vi[4], wi[4];
    cz_flat_load<4>(gi, g + at, left, a.wide), cz_flat_load<4>(vi, v + at, left, a.wide);
    cz_flat_load<4>(wi, w + at, left, a.wide);
    CZ_UNROLL
    for (int j = 0; j < 4; j++) wi[j] -= rate * (factor * gi[j] / sqrtf(vi[j]));
    cz_flat_store<4>(w + at, wi, left, a.wide);
    if (copy) cz_flat_store<4>(copy + at, wi, left, a.wide);
  }
}

template <class C> static __global__ void __launch_bounds__(THREADS, FEW_BLOCKS) update(arrays a) {
  if (a.hyper[CZ_HYPER_KEEP] == 0) return;
  cz_units u = cz_units_begin(a.rows, a.parts, tiles_of);
  int number = -1, m = -1;
  float mean = 0;
  float rate = 0;
  for (; u.at < u.end; cz_units_next(&u, a.rows, tiles_of)) {
    const cz_flat_part p = cz_flat_part_at(a.rows, u.number);
    if (u.number != number) rate = rate_of(a, u, p.count), number = u.number, m = -1;
    if (!factored(p)) {
      step_flat<C>(a, p, (int64_t)(u.at - u.first) * FLAT, rate);
      continue;
    }
    const tile t = tile_at(u, p);
    if (t.m != m) mean = mean_of(a, p, u.first, t.m), m = t.m;
    if (wide(a, p))
      step_tile<C, true>(a, p, t, mean, rate);
    else
      step_tile<C, false>(a, p, t, mean, rate);
  }
}

/* ---- host ---- */

/* Tiles of all parts, at most. A matrix of R x C has (R / ROWS + 1) (C / COLUMNS + 1) or fewer, and
 * R + C numbers of the state; what is not factored has as many as it has elements. */
static int64_t tiles_maximum(const cz_call *call) {
  const cz_adafactor_attr *attr = static_cast<const cz_adafactor_attr *>(call->attr);
  const int64_t n = cz_numel(&call->in[CZ_UPDATE_W]), s = cz_numel(&call->in[CZ_UPDATE_STATE]),
                parts = call->in[CZ_UPDATE_PARTS].dim[0], all = parts * attr->maximum.matrices;
  return n / (ROWS * COLUMNS) + s / ROWS + parts + (all < s / 2 ? all : s / 2);
}

/* Lays out the workspace; returns its bytes. */
static size_t lay_out(arrays *a, const cz_call *call, uintptr_t begin) {
  const size_t tiles = (size_t)tiles_maximum(call);
  uintptr_t at = begin;
  a->weights = static_cast<double *>(cz_take(&at, tiles * sizeof(double)));
  a->squares = static_cast<double *>(cz_take(&at, tiles * sizeof(double)));
  a->averages = static_cast<double *>(cz_take(&at, tiles * GROUPS * sizeof(double)));
  a->row_squares = static_cast<float *>(cz_take(&at, tiles * ROWS * sizeof(float)));
  a->col_squares = static_cast<float *>(cz_take(&at, tiles * COLUMNS * sizeof(float)));
  a->begin = static_cast<int64_t *>(
      cz_take(&at, (size_t)call->in[CZ_UPDATE_PARTS].dim[0] * sizeof(int64_t)));
  return (size_t)(at - begin);
}

/** Bytes of workspace. */
extern "C" size_t cz_adafactor_workspace_cuda(const cz_call *call, bool backward) {
  arrays a;
  return lay_out(&a, call, 0);
}

static arrays unpack(const cz_call *call) {
  arrays a;
  lay_out(&a, call, (uintptr_t)call->workspace);
  static_cast<cz_flat &>(a) = cz_flat_of(call);
  a.attr = *static_cast<const cz_adafactor_attr *>(call->attr);
  return a;
}

/** One step in float32, all parts in four launches, with the copy in the pass that moves w.
 * Contract: adafactor.h. */
extern "C" void cz_adafactor_fwd_cuda(const cz_call *call) {
  const arrays a = unpack(call);
  const cz_arg *copy = &call->out[CZ_UPDATE_OUT_COPY];
  const int64_t tiles = tiles_maximum(call), all = cz_numel(&call->in[CZ_UPDATE_STATE]);
  const unsigned few = cz_flat_blocks(call->stream, tiles, FEW_BLOCKS),
                 blocks = cz_flat_blocks(call->stream, tiles, BLOCKS_A_MULTIPROCESSOR);
  cz_launch("adafactor statistics", statistics, few, THREADS, 0, call->stream, a);
  cz_launch("adafactor averages", averages, cz_blocks(call->stream, all, 1), THREADS, 0,
            call->stream, a);
  cz_launch("adafactor squares", update_squares, blocks, THREADS, 0, call->stream, a);
  cz_with_type(cz_present(copy) ? copy->dtype : CZ_F32, [&](auto t) {
    cz_launch("adafactor", update<typename decltype(t)::type>, few, THREADS, 0, call->stream, a);
  });
}
