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
  BLOCK_ROWS = 64, /* rows of scores of a block */
  SHARE_THREADS = 128,
  THREADS = 256, /* of the block that makes a strip of a row of dx or dtable */
  WARPS = THREADS / CZ_WARP
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
  float *dbias;  /* null: not wanted; the two below likewise */
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

/* Scores of class C and rows M and M + 1, as far as there are, by a warp, so that a word is read
 * once for both. Classes that name the same word have the same score, however often they name
 * it. */
template <bool WIDE, class T>
static inline __device__ void score_pair(const problem &p, const T *x, const T *table, int m,
                                         int c) {
  const bool two = m + 1 < p.M;
  const T *a = x + p.rows[m] * p.D, *b = x + p.rows[two ? m + 1 : m] * p.D;
  double sum[2] = {}, bias = 0;
  for (int w = 0; w < p.W; w++) {
    const int32_t word = p.words[c * p.W + w];
    if (word < 0) continue;
    add_products<WIDE>(sum, a, b, table + word * p.D, p.D);
    if (p.bias) bias += p.bias[word];
  }
  sum[0] = cz_warp_sum(sum[0]), sum[1] = cz_warp_sum(sum[1]);
  float *score = p.scores + (int64_t)m * p.C + c;
  if (threadIdx.x % CZ_WARP > 0) return;
  score[0] = (float)((sum[0] + bias) / word_count(p, c));
  if (two) score[p.C] = (float)((sum[1] + bias) / word_count(p, c));
}

/* -log P_c = (s_top - s_c) / t + log(1 + rest): both terms at least 0, no cancellation. */
static __device__ double row_loss(const problem &p, int m) {
  const float *scores = p.scores + (int64_t)m * p.C;
  double rest, loss = 0;
  const int top = softmax(p, scores, &rest);
  for (int c = 0; c < p.C; c++)
    loss += target(p, m, c) * (((double)scores[top] - scores[c]) / p.temperature + log1p(rest));
  return loss;
}

/* Scores of BLOCK_ROWS rows, a warp for two of a class, and the sum of their losses: in LOSS when
 * there is one block, else in the block's place of PARTIAL. */
template <class T, bool WIDE>
static __global__ void __launch_bounds__(SCORE_THREADS)
    score_rows(problem p, float *loss, double *partial, const T *x, const T *table) {
  CZ_SHARED(double, losses, [BLOCK_ROWS]);
  const int first = (int)blockIdx.x * BLOCK_ROWS,
            rows = p.M - first < BLOCK_ROWS ? p.M - first : (int)BLOCK_ROWS;
  for (int i = (int)threadIdx.x / CZ_WARP; i < (rows + 1) / 2 * p.C; i += SCORE_THREADS / CZ_WARP)
    score_pair<WIDE>(p, x, table, first + i / p.C * 2, i % p.C);
  __syncthreads();
  if ((int)threadIdx.x < rows) losses[threadIdx.x] = row_loss(p, first + (int)threadIdx.x);
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
  g.share[i] = sum / word_count(p, c);
}

/* Whether one of the first N numbers is X; the same in all lanes. */
static inline __device__ bool occurs(const int32_t *list, int n, int32_t x) {
  for (int from = 0; from < n; from += CZ_WARP) {
    const int i = from + (int)threadIdx.x % CZ_WARP;
    if (__any_sync(CZ_FULL_MASK, i < n && list[i] == x)) return true;
  }
  return false;
}

/* What all rows of scores that read row R of x pass on to a word of class C. */
static inline __device__ double share_of_row(const problem &p, const gradients &g, int32_t r,
                                             int c) {
  double sum = 0;
  for (int m = (int)threadIdx.x % CZ_WARP; m < p.M; m += CZ_WARP)
    if (p.rows[m] == r) sum += g.share[(int64_t)m * p.C + c];
  return cz_warp_sum(sum);
}

/* What row M of scores passes on to WORD, wherever it is named. */
static inline __device__ double share_of_word(const problem &p, const gradients &g, int m,
                                              int32_t word) {
  double sum = 0;
  for (int i = (int)threadIdx.x % CZ_WARP; i < p.C * p.W; i += CZ_WARP)
    if (p.words[i] == word) sum += g.share[(int64_t)m * p.C + i / p.W];
  return cz_warp_sum(sum);
}

/* SUM += SHARE times the strip at P. */
template <bool WIDE, class T>
static inline __device__ void add_scaled(double sum[4], double share, const T *p, int columns) {
  float x[4];
  cz_strip_load<WIDE>(x, p, columns);
  CZ_UNROLL
  for (int j = 0; j < 4; j++) sum[j] += share * x[j];
}

/* The warps' sums meet, and warp 0 writes or adds them. */
template <bool WIDE, class D>
static __device__ void put_strip(D *to, const double sum[4], int columns, bool add) {
  CZ_SHARED(double, sums, [WARPS][4][CZ_WARP]);
  const int lane = (int)threadIdx.x % CZ_WARP;
  CZ_UNROLL
  for (int j = 0; j < 4; j++) sums[threadIdx.x / CZ_WARP][j][lane] = sum[j];
  __syncthreads();
  if (threadIdx.x >= CZ_WARP) return;
  float all[4], before[4] = {};
  if (add) cz_strip_load<WIDE>(before, to, columns);
  CZ_UNROLL
  for (int j = 0; j < 4; j++) {
    double x = 0;
    for (int i = 0; i < WARPS; i++) x += sums[i][j][lane];
    all[j] = add ? before[j] + (float)x : (float)x;
  }
  cz_strip_store<WIDE>(to, all, columns);
}

/* dx_r = sum over m with rows[m] = r, places i   share_mi table_word(i); the first m of them does
 * it for all. */
template <bool WIDE, class T>
static __device__ void put_dx(const problem &p, const gradients &g, T *dx, const T *table, int m,
                              int64_t column, int columns) {
  const int32_t r = p.rows[m];
  if (occurs(p.rows, m, r)) return;
  double sum[4] = {};
  for (int i = (int)threadIdx.x / CZ_WARP; i < p.C * p.W; i += WARPS) {
    if (p.words[i] < 0) continue;
    add_scaled<WIDE>(sum, share_of_row(p, g, r, i / p.W), table + p.words[i] * p.D + column,
                     columns);
  }
  put_strip<WIDE>(dx + r * p.D + column, sum, columns, g.add_x);
}

/* dtable_w = sum over m, places i with word(i) = w   share_mi x_rows[m], and dbias_w that of the
 * shares; the first place of the word does it for all. */
template <bool WIDE, class T>
static __device__ void put_dtable(const problem &p, const gradients &g, float *dtable, const T *x,
                                  int place, int64_t column, int columns) {
  const int32_t word = p.words[place];
  if (word < 0 || occurs(p.words, place, word)) return;
  double sum[4] = {}, bias = 0;
  for (int m = (int)threadIdx.x / CZ_WARP; m < p.M; m += WARPS) {
    const double share = share_of_word(p, g, m, word);
    if (g.dtable) add_scaled<WIDE>(sum, share, x + p.rows[m] * p.D + column, columns);
    bias += share;
  }
  if (g.dtable) put_strip<WIDE>(dtable + word * p.D + column, sum, columns, g.add_table);
  if (!g.dbias || column > 0) return;
  bias = cz_block_sum(threadIdx.x % CZ_WARP ? 0 : bias);
  if (threadIdx.x == 0) g.dbias[word] = g.add_bias ? g.dbias[word] + (float)bias : (float)bias;
}

/* A block makes a strip of the row of dx that row blockIdx.x of scores reads, or, behind those, of
 * the row of dtable that a place of words names. */
template <class T, bool WIDE>
static __global__ void __launch_bounds__(THREADS)
    spread(problem p, gradients g, T *dx, float *dtable, const T *x, const T *table) {
  const int64_t column = (int64_t)blockIdx.y * CZ_STRIP, left = p.D - column;
  const int columns = (int)(left < CZ_STRIP ? left : (int64_t)CZ_STRIP), unit = (int)blockIdx.x,
            rows = g.dx ? p.M : 0;
  if (unit < rows)
    put_dx<WIDE>(p, g, dx, table, unit, column, columns);
  else
    put_dtable<WIDE>(p, g, dtable, x, unit - rows, column, columns);
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

static unsigned score_blocks(const problem &p) {
  return p.M > BLOCK_ROWS ? (unsigned)((p.M + BLOCK_ROWS - 1) / BLOCK_ROWS) : 1;
}

/** Bytes of workspace: forward, the losses of blocks where there are several; backward, what each
 * class passes on from each row of scores. */
extern "C" size_t cz_label_words_workspace_cuda(const cz_call *call, bool backward) {
  const problem p = unpack(call);
  return (backward ? (size_t)p.M * (size_t)p.C : score_blocks(p)) * sizeof(double);
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
    cz_with_flag(wide, [&](auto w) {
      cz_launch("label words forward", score_rows<T, decltype(w)::value>, blocks, SCORE_THREADS, 0,
                call->stream, p, loss, partial, data_of<T>(x), data_of<T>(table));
    });
  });
  if (blocks > 1)
    cz_launch("label words loss", sum_losses, 1, THREADS, 0, call->stream, p, loss, partial,
              (int)blocks);
}

static gradients gradients_of(const cz_call *call) {
  const cz_grad_mode *mode = call->mode;
  gradients g = {};
  g.dloss = data_of<float>(&call->dout[CZ_LABEL_WORDS_LOSS]);
  g.dscores = data_of<float>(&call->dout[CZ_LABEL_WORDS_SCORES]);
  g.share = static_cast<double *>(call->workspace);
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
  const int units = (g.dx ? p.M : 0) + (g.dtable || g.dbias ? p.C * p.W : 0);
  for (int i = 0; i < call->n_in; i++) cz_cuda_zero_gradient(call, i);
  if (p.M == 0 || units == 0) return;
  const int64_t shares = (int64_t)p.M * p.C;
  const dim3 grid((unsigned)units, (unsigned)((p.D + CZ_STRIP - 1) / CZ_STRIP));
  cz_launch("label words share", share, (unsigned)((shares + SHARE_THREADS - 1) / SHARE_THREADS),
            SHARE_THREADS, 0, call->stream, p, g);
  cz_with_type(x->dtype, [&](auto t) {
    typedef typename decltype(t)::type T;
    const bool wide =
        cz_strip_wide(x->data, p.D, sizeof(T)) && cz_strip_wide(table->data, p.D, sizeof(T)) &&
        cz_strip_wide(dx->data, p.D, sizeof(T)) && cz_strip_wide(dtable->data, p.D, sizeof(float));
    cz_with_flag(wide, [&](auto w) {
      cz_launch("label words backward", spread<T, decltype(w)::value>, grid, THREADS, 0,
                call->stream, p, g, static_cast<T *>(dx->data), static_cast<float *>(dtable->data),
                data_of<T>(x), data_of<T>(table));
    });
  });
}
