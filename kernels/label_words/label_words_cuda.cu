/* A handful of rows and words: what counts is the number of launches. Forward is one launch while
 * one block does for all rows, two beyond; backward is two.
 *
 * Products of x and table are added four at a time in float32 and then in double, and so is all
 * that comes behind them: a sure row's loss and gradient lie in what float32 rounds away, and
 * classes that share words make gradients that cancel. */
#include "kernels/common/dispatch.cuh"
#include "kernels/common/strip.cuh"
#include "kernels/common/sum.cuh"
#include "kernels/label_words/label_words.h"

enum {
  SCORE_THREADS = 1024,
  BLOCK_ROWS = 64,        /* rows of scores of a block */
  STAGE_BYTES = 98 << 10, /* of shared memory for what it reads: a block of sm_86 has 99 KiB */
  LOSS_THREADS = 256,
  SHARE_THREADS = 128,
  UNITS = 16,     /* rows of dx or of dtable of a block, a warp each */
  TERMS = CZ_WARP /* rows that they are sums of, at once */
};

namespace {
typedef struct problem {
  int64_t D;
  int M, C, W;
  const int32_t *rows, *words, *hard;
  const float *bias, *soft, *denominator;
  double temperature;
  float *scores;
} problem;

/* Backward. */
typedef struct gradients {
  const float *dloss, *dscores;
  double *share; /* [M, C]: the gradient of a score that each word of the class passes on */
  double *share_by_class; /* [C, M]: the same */
  float *dbias;           /* null: not wanted; the two below likewise */
  bool dx, dtable;
  bool add_x, add_table, add_bias;
} gradients;
} // namespace

/* ---- what both passes know of scores ---- */

static inline __device__ int word_count(const problem &p, int c) {
  int n = 0;
  for (int w = 0; w < p.W; w++) n += p.words[c * p.W + w] >= 0;
  return n;
}

static inline __device__ double target(const problem &p, int m, int c) {
  if (p.soft) return p.soft[(int64_t)m * p.C + c];
  return p.hard && p.hard[m] == c ? 1 : 0;
}

/* What the loss is multiplied by: t^2 or 1 over the denominator. */
static inline __device__ double factor_of(const problem &p) {
  if (!p.denominator) return 0;
  return (p.soft ? p.temperature * p.temperature : 1) / p.denominator[0];
}

/* The class with the largest score; the sum of exp((score - largest) / t) over the others. */
static inline __device__ int softmax(const problem &p, const float *scores, double *rest) {
  int top = 0;
  for (int c = 1; c < p.C; c++)
    if (scores[c] > scores[top]) top = c;
  *rest = 0;
  for (int c = 0; c < p.C; c++)
    if (c != top) *rest += exp(((double)scores[c] - scores[top]) / p.temperature);
  return top;
}

/* ---- forward ---- */

/* Adds to SUM this lane's part of the products of rows A and B, each with WORD's. */
template <bool WIDE, class T>
static inline __device__ void add_products(double sum[2], const T *a, const T *b, const T *word,
                                           int64_t D) {
  for (int64_t d = 0; d < D; d += CZ_STRIP) {
    const int columns = (int)(D - d < CZ_STRIP ? D - d : (int64_t)CZ_STRIP);
    float xa[4], xb[4], y[4], part[2] = {};
    cz_strip_load<WIDE>(xa, a + d, columns), cz_strip_load<WIDE>(xb, b + d, columns);
    cz_strip_load<WIDE>(y, word + d, columns);
    CZ_UNROLL
    for (int j = 0; j < 4; j++) part[0] += xa[j] * y[j], part[1] += xb[j] * y[j];
    sum[0] += part[0], sum[1] += part[1];
  }
}

namespace {
/* Where a block finds the rows of x and of the table that it reads, and puts its scores: where they
 * are; or, where all of them fit, in shared memory too, so that each is read once. */
template <class T> struct sources {
  const T *x, *table;
  T *stage;      /* rows of x, then those of the places of words; or null */
  float *scores; /* of all rows, or of the block's, which stand behind the stage */
  int first, rows;

  __device__ const T *row(const problem &p, int m) const {
    return stage ? stage + (m - first) * p.D : x + p.rows[m] * p.D;
  }
  __device__ const T *word(const problem &p, int place, int32_t number) const {
    return stage ? stage + (rows + place) * p.D : table + number * p.D;
  }
  __device__ float *scores_of(const problem &p, int m) const {
    return scores + (int64_t)(stage ? m - first : m) * p.C;
  }
};
} // namespace

/* Fills the stage, a row a warp. */
template <bool WIDE, class T>
static inline __device__ void fill_stage(const problem &p, const sources<T> &s) {
  for (int i = (int)threadIdx.x / CZ_WARP; i < s.rows + p.C * p.W; i += SCORE_THREADS / CZ_WARP) {
    const int32_t number = i < s.rows ? p.rows[s.first + i] : p.words[i - s.rows];
    if (number < 0) continue;
    const T *from = (i < s.rows ? s.x : s.table) + number * p.D;
    for (int64_t d = 0; d < p.D; d += CZ_STRIP) {
      const int columns = (int)(p.D - d < CZ_STRIP ? p.D - d : (int64_t)CZ_STRIP);
      cz_strip_copy<WIDE>(s.stage + i * p.D + d, from + d, columns);
    }
  }
}

/* Scores of class C and rows M and M + 1, as far as there are, by a warp, so that a word is read
 * once for both. Classes that name the same word have the same score, however often they name
 * it. */
template <bool WIDE, class T>
static inline __device__ void score_pair(const problem &p, const sources<T> &s, int m, int c) {
  const bool two = m + 1 < p.M;
  const T *a = s.row(p, m), *b = s.row(p, two ? m + 1 : m);
  const int lane = cz_lane();
  double sum[2] = {}, bias = 0;
  int words = 0;
  for (int from = 0; from < p.W; from += CZ_WARP) {
    const int32_t mine = from + lane < p.W ? p.words[c * p.W + from + lane] : -1;
    words += __popc(__ballot_sync(CZ_FULL_MASK, mine >= 0));
    for (int w = from; w < p.W && w < from + CZ_WARP; w++) {
      const int32_t word = __shfl_sync(CZ_FULL_MASK, mine, w - from);
      if (word < 0) continue;
      add_products<WIDE>(sum, a, b, s.word(p, c * p.W + w, word), p.D);
      if (p.bias) bias += p.bias[word];
    }
  }
  sum[0] = cz_warp_sum(sum[0]), sum[1] = cz_warp_sum(sum[1]);
  if (lane > 0) return;
  s.scores_of(p, m)[c] = (float)((sum[0] + bias) / words);
  if (two) s.scores_of(p, m + 1)[c] = (float)((sum[1] + bias) / words);
}

/* -log P_c = (s_top - s_c) / t + log(1 + rest): both terms at least 0, no cancellation. */
static __device__ double row_loss(const problem &p, const float *scores, int m) {
  double rest, loss = 0;
  const int top = softmax(p, scores, &rest);
  for (int c = 0; c < p.C; c++)
    loss += target(p, m, c) * (((double)scores[top] - scores[c]) / p.temperature + log1p(rest));
  return loss;
}

/* Numbers of 32 bits that the stage of ROWS rows takes; their scores stand behind it. */
template <class T>
static inline CZ_HOST_DEVICE int64_t words_of_stage(const problem &p, int64_t rows) {
  return ((rows + (int64_t)p.C * p.W) * p.D * (int64_t)sizeof(T) + 3) / 4;
}

/* Scores of BLOCK_ROWS rows, a warp for two of a class, and the sum of their losses: in LOSS when
 * there is one block, else in the block's place of PARTIAL. */
template <class T, bool WIDE>
static __global__ void __launch_bounds__(SCORE_THREADS)
    score_rows(problem p, float *loss, double *partial, const T *x, const T *table, bool staged) {
  CZ_SHARED(double, losses, [BLOCK_ROWS]);
  CZ_SHARED_DYNAMIC(T, stage);
  const int first = (int)blockIdx.x * BLOCK_ROWS,
            rows = p.M - first < BLOCK_ROWS ? p.M - first : (int)BLOCK_ROWS;
  sources<T> s = {x, table, nullptr, p.scores, first, rows};
  if (staged) {
    s.stage = stage, s.scores = reinterpret_cast<float *>(stage) + words_of_stage<T>(p, rows);
    fill_stage<WIDE>(p, s);
    __syncthreads();
  }
  for (int i = (int)threadIdx.x / CZ_WARP; i < (rows + 1) / 2 * p.C; i += SCORE_THREADS / CZ_WARP)
    score_pair<WIDE>(p, s, first + i / p.C * 2, i % p.C);
  __syncthreads();
  for (int i = (int)threadIdx.x; staged && i < rows * p.C; i += SCORE_THREADS)
    p.scores[(int64_t)first * p.C + i] = s.scores[i];
  if ((int)threadIdx.x < rows) {
    const int m = first + (int)threadIdx.x;
    losses[threadIdx.x] = row_loss(p, s.scores_of(p, m), m);
  }
  __syncthreads();
  if (threadIdx.x > 0) return;
  double sum = 0;
  for (int i = 0; i < rows; i++) sum += losses[i];
  if (gridDim.x == 1)
    *loss = (float)(sum * factor_of(p));
  else
    partial[blockIdx.x] = sum;
}

static __global__ void sum_losses(problem p, float *loss, const double *partial, int blocks) {
  const double sum = cz_block_sum_of(partial, blocks);
  if (threadIdx.x == 0) *loss = (float)(sum * factor_of(p));
}

/* ---- backward ---- */

/* With f = factor dloss / t and n = sum_i Y_i the gradient f (P_c n - Y_c) is, for a sure row whose
 * target is c, a difference of two numbers near 1; as sum_i P_i = 1 it is f times the sum over
 * i != c of (P_c Y_i - P_i Y_c), which has only small ones. */
static __device__ double loss_gradient(const problem &p, int m, int c) {
  const float *scores = p.scores + (int64_t)m * p.C;
  double rest, sum = 0;
  const int top = softmax(p, scores, &rest);
  const double yc = target(p, m, c),
               pc = exp(((double)scores[c] - scores[top]) / p.temperature) / (1 + rest);
  for (int i = 0; i < p.C; i++) {
    const double pi = exp(((double)scores[i] - scores[top]) / p.temperature) / (1 + rest);
    if (i != c) sum += pc * target(p, m, i) - pi * yc;
  }
  return sum;
}

static __global__ void __launch_bounds__(SHARE_THREADS) share(problem p, gradients g) {
  const int64_t i = (int64_t)blockIdx.x * SHARE_THREADS + threadIdx.x;
  if (i >= (int64_t)p.M * p.C) return;
  const int m = (int)(i / p.C), c = (int)(i % p.C);
  double sum = g.dscores ? g.dscores[i] : 0;
  if (g.dloss) sum += g.dloss[0] * factor_of(p) / p.temperature * loss_gradient(p, m, c);
  g.share[i] = g.share_by_class[(int64_t)c * p.M + m] = sum / word_count(p, c);
}

namespace {
/* Rows that a block makes and of what they are sums: dx_r of the table's rows of all places,
 * dtable_w of the rows of x of all masks. */
typedef struct side {
  const int32_t *units, *terms; /* numbers of rows, of words with -1 among them */
  int n_units, n_terms;
  bool is_x;
} side;
} // namespace

/* What unit NUMBER passes on to term I, in a lane of its own, if it EXISTS: the shares of all that
 * name the unit. FIRST is the first of those, the same in all lanes. */
static inline __device__ double share_of(const problem &p, const gradients &g, const side &s,
                                         int32_t number, int i, bool exists, int *first) {
  double sum = 0;
  const int lane = cz_lane();
  *first = s.n_units;
  for (int from = 0; from < s.n_units; from += CZ_WARP) {
    const int k = from + lane;
    unsigned equal = __ballot_sync(CZ_FULL_MASK, k < s.n_units && s.units[k] == number);
    for (; equal; equal &= equal - 1) {
      const int64_t unit = from + __ffs((int)equal) - 1;
      if (unit < *first) *first = (int)unit;
      if (exists)
        sum += s.is_x ? g.share[unit * p.C + i / p.W] : g.share_by_class[unit / p.W * p.M + i];
    }
  }
  return sum;
}

/* The strip of N rows, whose numbers the lanes have as TERM, for all warps; zeros where a place has
 * no word. */
template <bool WIDE, class T>
static inline __device__ void stage_terms(T (*stage)[CZ_STRIP], int32_t term, int n, const T *of,
                                          int64_t D, int columns) {
  for (int k = (int)threadIdx.x / CZ_WARP; k < n; k += UNITS) {
    const int32_t number = __shfl_sync(CZ_FULL_MASK, term, k);
    float x[4] = {};
    if (number >= 0) cz_strip_load<WIDE>(x, of + number * D, columns);
    cz_strip_store<WIDE>(stage[k], x, CZ_STRIP);
  }
}

/* The strip at TO of a row of dx or dtable. */
template <bool WIDE, class D>
static inline __device__ void put_strip(D *to, const double sum[4], int columns, bool add) {
  float all[4], before[4] = {};
  if (add) cz_strip_load<WIDE>(before, to, columns);
  CZ_UNROLL
  for (int j = 0; j < 4; j++) all[j] = add ? before[j] + (float)sum[j] : (float)sum[j];
  cz_strip_store<WIDE>(to, all, columns);
}

/* A warp makes the strip at COLUMN of unit U of side S; the first of those that name a row does it
 * for all. TO null: that is not wanted. OF has the terms' rows, begun at the column as TO is. */
template <bool WIDE, class T, class D>
static __device__ void spread_strip(const problem &p, const gradients &g, const side &s, D *to,
                                    const T *of, int u, int columns, bool add) {
  CZ_SHARED(T, stage, [TERMS][CZ_STRIP]);
  const int lane = cz_lane();
  const int32_t number = u < s.n_units ? s.units[u] : -1;
  double sum[4] = {}, bias = 0;
  int first = -1;
  for (int from = 0; from < s.n_terms; from += TERMS) {
    const int n = s.n_terms - from < TERMS ? s.n_terms - from : (int)TERMS;
    const int32_t term = lane < n ? s.terms[from + lane] : -1;
    if (to) stage_terms<WIDE>(stage, term, n, of, p.D, columns);
    const double mine = number >= 0 ? share_of(p, g, s, number, from + lane, term >= 0, &first) : 0;
    bias += mine;
    __syncthreads();
    for (int k = 0; to && first == u && k < n; k++) {
      const double share = __shfl_sync(CZ_FULL_MASK, mine, k);
      float x[4];
      cz_strip_load<WIDE>(x, stage[k], CZ_STRIP);
      CZ_UNROLL
      for (int j = 0; j < 4; j++) sum[j] += share * x[j];
    }
    __syncthreads();
  }
  if (first != u) return;
  if (to) put_strip<WIDE>(to + number * p.D, sum, columns, add);
  if (s.is_x || !g.dbias || blockIdx.y > 0) return;
  bias = cz_warp_sum(bias);
  if (lane == 0) g.dbias[number] = g.add_bias ? g.dbias[number] + (float)bias : (float)bias;
}

/* A block makes a strip of UNITS rows of dx, which rows of scores read, or, behind those, of
 * dtable, which places of words name. */
template <class T, bool WIDE>
static __global__ void __launch_bounds__(UNITS *CZ_WARP)
    spread(problem p, gradients g, T *dx, float *dtable, const T *x, const T *table, int x_blocks) {
  const int64_t column = (int64_t)blockIdx.y * CZ_STRIP, left = p.D - column;
  const int columns = (int)(left < CZ_STRIP ? left : (int64_t)CZ_STRIP), block = (int)blockIdx.x,
            warp = (int)threadIdx.x / CZ_WARP, places = p.C * p.W;
  if (block < x_blocks) {
    const side s = {p.rows, p.words, p.M, places, true};
    spread_strip<WIDE>(p, g, s, dx + column, table + column, block * UNITS + warp, columns,
                       g.add_x);
  } else {
    const side s = {p.words, p.rows, places, p.M, false};
    spread_strip<WIDE>(p, g, s, g.dtable ? dtable + column : nullptr, x + column,
                       (block - x_blocks) * UNITS + warp, columns, g.add_table);
  }
}

/* ---- host ---- */

template <class T> static const T *data_of(const cz_arg *a) {
  return static_cast<const T *>(a->data);
}

static problem unpack(const cz_call *call) {
  const cz_arg *in = call->in;
  problem p;
  p.D = in[CZ_LABEL_WORDS_X].dim[1], p.M = (int)in[CZ_LABEL_WORDS_ROWS].dim[0];
  p.C = (int)in[CZ_LABEL_WORDS_WORDS].dim[0], p.W = (int)in[CZ_LABEL_WORDS_WORDS].dim[1];
  p.rows = data_of<int32_t>(&in[CZ_LABEL_WORDS_ROWS]);
  p.words = data_of<int32_t>(&in[CZ_LABEL_WORDS_WORDS]);
  p.hard = data_of<int32_t>(&in[CZ_LABEL_WORDS_HARD]);
  p.bias = data_of<float>(&in[CZ_LABEL_WORDS_BIAS]);
  p.soft = data_of<float>(&in[CZ_LABEL_WORDS_SOFT]);
  p.denominator = data_of<float>(&in[CZ_LABEL_WORDS_DENOMINATOR]);
  p.temperature = static_cast<const cz_label_words_attr *>(call->attr)->temperature;
  p.scores = static_cast<float *>(call->out[CZ_LABEL_WORDS_SCORES].data);
  return p;
}

static int blocks_of(int n, int each) { return (n + each - 1) / each; }

static unsigned score_blocks(const problem &p) {
  return p.M > BLOCK_ROWS ? (unsigned)blocks_of(p.M, BLOCK_ROWS) : 1;
}

/** Bytes of workspace: forward, the losses of blocks where there are several; backward, what each
 * class passes on from each row of scores. */
extern "C" size_t cz_label_words_workspace_cuda(const cz_call *call, bool backward) {
  const problem p = unpack(call);
  return (backward ? 2 * (size_t)p.M * (size_t)p.C : score_blocks(p)) * sizeof(double);
}

/** Scores and loss, by x's dtype: one launch for 64 rows or fewer. Contract: label_words.h. */
extern "C" void cz_label_words_fwd_cuda(const cz_call *call) {
  const problem p = unpack(call);
  const cz_arg *x = &call->in[CZ_LABEL_WORDS_X], *table = &call->in[CZ_LABEL_WORDS_TABLE];
  const unsigned blocks = score_blocks(p);
  float *loss = static_cast<float *>(call->out[CZ_LABEL_WORDS_LOSS].data);
  double *partial = static_cast<double *>(call->workspace);
  cz_with_type(x->dtype, [&](auto t) {
    typedef typename decltype(t)::type T;
    const bool wide =
        cz_strip_wide(x->data, p.D, sizeof(T)) && cz_strip_wide(table->data, p.D, sizeof(T));
    const int64_t rows = p.M < BLOCK_ROWS ? p.M : BLOCK_ROWS,
                  bytes = 4 * (words_of_stage<T>(p, rows) + rows * p.C);
    const bool staged = bytes <= STAGE_BYTES;
    cz_with_flag(wide, [&](auto w) {
      cz_launch("label words forward", score_rows<T, decltype(w)::value>, blocks, SCORE_THREADS,
                staged ? (size_t)bytes : 0, call->stream, p, loss, partial, data_of<T>(x),
                data_of<T>(table), staged);
    });
  });
  if (blocks > 1)
    cz_launch("label words loss", sum_losses, 1, LOSS_THREADS, 0, call->stream, p, loss, partial,
              (int)blocks);
}

static gradients gradients_of(const cz_call *call) {
  const cz_grad_mode *mode = call->mode;
  gradients g = {};
  g.dloss = data_of<float>(&call->dout[CZ_LABEL_WORDS_LOSS]);
  g.dscores = data_of<float>(&call->dout[CZ_LABEL_WORDS_SCORES]);
  g.share = static_cast<double *>(call->workspace);
  g.share_by_class = g.share + cz_numel(&call->out[CZ_LABEL_WORDS_SCORES]);
  g.dx = mode[CZ_LABEL_WORDS_X] != CZ_GRAD_SKIP;
  g.dtable = mode[CZ_LABEL_WORDS_TABLE] != CZ_GRAD_SKIP;
  if (mode[CZ_LABEL_WORDS_BIAS] != CZ_GRAD_SKIP)
    g.dbias = static_cast<float *>(call->din[CZ_LABEL_WORDS_BIAS].data);
  g.add_x = mode[CZ_LABEL_WORDS_X] == CZ_GRAD_ADD;
  g.add_table = mode[CZ_LABEL_WORDS_TABLE] == CZ_GRAD_ADD;
  g.add_bias = mode[CZ_LABEL_WORDS_BIAS] == CZ_GRAD_ADD;
  return g;
}

/** Gradients of x, table and bias, by x's dtype, in two launches. Contract: label_words.h. */
extern "C" void cz_label_words_bwd_cuda(const cz_call *call) {
  const problem p = unpack(call);
  const gradients g = gradients_of(call);
  const cz_arg *x = &call->in[CZ_LABEL_WORDS_X], *table = &call->in[CZ_LABEL_WORDS_TABLE],
               *dx = &call->din[CZ_LABEL_WORDS_X], *dtable = &call->din[CZ_LABEL_WORDS_TABLE];
  const int x_blocks = g.dx ? blocks_of(p.M, UNITS) : 0,
            blocks = x_blocks + (g.dtable || g.dbias ? blocks_of(p.C * p.W, UNITS) : 0);
  for (int i = 0; i < call->n_in; i++) cz_cuda_zero_gradient(call, i);
  if (p.M == 0 || blocks == 0) return;
  const int64_t shares = (int64_t)p.M * p.C;
  const dim3 grid((unsigned)blocks, (unsigned)((p.D + CZ_STRIP - 1) / CZ_STRIP));
  cz_launch("label words share", share, (unsigned)((shares + SHARE_THREADS - 1) / SHARE_THREADS),
            SHARE_THREADS, 0, call->stream, p, g);
  cz_with_type(x->dtype, [&](auto t) {
    typedef typename decltype(t)::type T;
    const bool wide =
        cz_strip_wide(x->data, p.D, sizeof(T)) && cz_strip_wide(table->data, p.D, sizeof(T)) &&
        cz_strip_wide(dx->data, p.D, sizeof(T)) && cz_strip_wide(dtable->data, p.D, sizeof(float));
    cz_with_flag(wide, [&](auto w) {
      cz_launch("label words backward", spread<T, decltype(w)::value>, grid, UNITS * CZ_WARP, 0,
                call->stream, p, g, static_cast<T *>(dx->data), static_cast<float *>(dtable->data),
                data_of<T>(x), data_of<T>(table), x_blocks);
    });
  });
}
