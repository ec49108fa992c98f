/* Two passes over memory without factoring (v and the sums; w), three with it
 * (statistics; rms of U; w), and one over w for its rms: U needs the finished statistics, and w
 * needs the rms of U. U is recomputed rather than stored.
 *
 * With row_scale_i = factor / sqrt(r_i / mean r) and column_scale_j = 1 / sqrt(c_j),
 *
 *     U_ij = g_ij row_scale_i column_scale_j
 *
 * so that roots and divisions are made once for each row and column, not for each
 * element.
 *
 * Where digits are spent. Statistics remember: at step t an error in r, c or v decays
 * over about 1 / (1 - beta) = (t + 1)^0.8 steps. They are summed in double and rounded
 * once a step. U is made anew at every step, in float32: two roundings, and half an ulp
 * from each scale. */
#include "kernels/adafactor/adafactor.h"
#include "kernels/common/cpu.h"
#include "kernels/common/piece.h"
#include "kernels/common/sum.h"
#include "kernels/common/workspace.h"

#include <math.h>

/* Blocks of rows per matrix, at most: each has column sums of its own, [32, cols]
 * doubles, which is 128 KiB for T5-small's embedding [32128, 512]. Elements per block, at
 * least: fewer are done before a thread has been woken. Lanes: C forbids a compiler to
 * reorder a sum of floating numbers, so the 16 partial sums that fill vector registers
 * are written out; one order of additions for all instruction sets, and chains of n / 16
 * additions. */
enum { BLOCKS = 32, BLOCK_MINIMUM = 4096, LANES = 16 };

/* The step as every pass sees it: MATRICES x ROWS x COLS, cut into BLOCKS blocks of
 * BLOCK_ROWS rows each. An unfactored tensor is rows of CZ_SUM_CHUNK. */
typedef struct step {
  const cz_flat_part *part;
  const cz_arg *copy; /* null: there is none of this part */
  const cz_adafactor_attr *attr;
  bool factored;
  int64_t n, matrices, rows, cols, block_rows, blocks;
  float *w, *r, *c, *v;
  const float *g;
  double beta, rate, factor;
  /* workspace */
  double *sum;                     /* [matrices, blocks]: squares of U; or of w, one a chunk */
  double *column;                  /* [matrices, blocks, cols] */
  float *row_scale, *column_scale; /* [matrices, rows]: factor / sqrt(r / mean r); [matrices, cols]:
                                      1 / sqrt(c) */
} step;

/* Lays out a workspace that does for every part: the largest of each array, where a matrix has
 * BLOCKS blocks at most. The sums serve twice, first for w's squares (one a chunk), then for U's
 * (one a block), hence the larger of both. Returns its bytes. */
static size_t lay_out(step *s, const cz_parts_maximum *m, uintptr_t begin) {
  const int64_t sums = cz_maximum(m->matrices * BLOCKS, cz_sum_chunks(m->count));
  uintptr_t at = begin;
  s->sum = cz_take(&at, (size_t)sums * sizeof(double));
  s->column = cz_take(&at, (size_t)(m->cols * BLOCKS) * sizeof(double));
  s->row_scale = cz_take(&at, (size_t)m->rows * sizeof(float));
  s->column_scale = cz_take(&at, (size_t)m->cols * sizeof(float));
  return (size_t)(at - begin);
}

/** Bytes of workspace. */
size_t cz_adafactor_workspace_cpu(const cz_call *call, bool backward) {
  step s;
  return lay_out(&s, &((const cz_adafactor_attr *)call->attr)->maximum, 0);
}

/* Sizes of part P. A tensor that is not factored is cut like sumsq's argument, into chunks that lie
 * across its rows: only its element count matters. */
static step step_of(const cz_adafactor_attr *attr, const cz_flat_part *p) {
  const bool factored = p->flags & CZ_FLAT_FACTORED;
  step s = {.part = p, .attr = attr, .factored = factored, .n = p->count};
  s.cols = factored ? p->cols : CZ_SUM_CHUNK;
  s.rows = factored ? p->rows : cz_sum_chunks(s.n);
  s.matrices = factored ? p->matrices : 1;
  int64_t share = (s.rows + BLOCKS - 1) / BLOCKS,
          minimum = s.cols < BLOCK_MINIMUM ? BLOCK_MINIMUM / (s.cols + 1) + 1 : 1;
  s.block_rows = factored ? cz_maximum(share, minimum) : 1;
  s.blocks = (s.rows + s.block_rows - 1) / s.block_rows;
  return s;
}

/* ---- factored ---- */

/* Adds the squares of one row of G to its column sums; returns their sum. Q = G^2 + eps1
 * is positive even where the gradient is 0, and float32 can hold eps1: its smallest
 * normal number is 1.2e-38. */
CZ_CLONES
static double row_squares(double *restrict column, const float *restrict g, int64_t n,
                          double factor, double eps1) {
  double lane[LANES] = {0};
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES) {
    for (int j = 0; j < LANES; j++) {
      double x = factor * g[i + j], q = x * x + eps1;
      column[i + j] += q;
      lane[j] += q;
    }
  }
  for (int j = 0; i < n; i++, j++) {
    double x = factor * g[i], q = x * x + eps1;
    column[i] += q;
    lane[j] += q;
  }
  return cz_sum_pairwise(lane, LANES);
}

/* Row statistics of block b of matrix m, and the block's column sums. A row lies in one
 * block, so its r is finished here:
 *
 *     r_i = beta r_i + (1 - beta) 1 / cols sum_j Q_ij
 *
 * A column crosses all blocks; its sums wait for matrix_scales. By induction r and c are
 * weighted means of numbers >= eps1, so no root or quotient below ever sees a 0. */
static void block_statistics(const step *s, int64_t m, int64_t b) {
  double *column = s->column + (m * s->blocks + b) * s->cols;
  int64_t from = b * s->block_rows,
          to = from + s->block_rows < s->rows ? from + s->block_rows : s->rows;
  memset(column, 0, (size_t)s->cols * sizeof *column);
  for (int64_t i = m * s->rows + from; i < m * s->rows + to; i++) {
    double sum = row_squares(column, s->g + i * s->cols, s->cols, s->factor, s->attr->eps1);
    s->r[i] = (float)(s->beta * s->r[i] + (1 - s->beta) * sum / (double)s->cols);
  }
}

CZ_CLONES
static void add_columns(double *restrict a, const double *restrict b, int64_t n) {
  for (int64_t j = 0; j < n; j++) a[j] += b[j];
}

/* Column statistics of matrix m, and what its rows and columns are multiplied by.
 *
 * The blocks' column sums meet in a binary tree over their numbers, which depends on the
 * shape alone:
 *
 *     c_j = beta c_j + (1 - beta) 1 / rows sum_i Q_ij
 *
 *     V_ij ~ r_i c_j / mean r      (Shazeer and Stern 2018, section 3)
 *
 * is the rank-1 matrix whose row and column means are r and c; U = G / sqrt(V). */
static void matrix_scales(const step *s, int64_t m) {
  double *column = s->column + m * s->blocks * s->cols, mean = 0;
  float *c = s->c + m * s->cols, *r = s->r + m * s->rows;
  for (int64_t stride = 1; stride < s->blocks; stride *= 2) {
    for (int64_t b = 0; b + stride < s->blocks; b += 2 * stride)
      add_columns(column + b * s->cols, column + (b + stride) * s->cols, s->cols);
  }
  for (int64_t j = 0; j < s->cols; j++) {
    c[j] = (float)(s->beta * c[j] + (1 - s->beta) * column[j] / (double)s->rows);
    s->column_scale[m * s->cols + j] = (float)(1 / sqrt((double)c[j]));
  }
  for (int64_t i = 0; i < s->rows; i++) mean += r[i];
  mean /= (double)s->rows;
  for (int64_t i = 0; i < s->rows; i++)
    s->row_scale[m * s->rows + i] = (float)(sqrt(mean / r[i]) * s->factor);
}

CZ_CLONES
static double row_update_squares(const float *g, const float *column_scale, int64_t n,
                                 float row_scale) {
  double lane[LANES] = {0};
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES) {
    for (int j = 0; j < LANES; j++) {
      float u = g[i + j] * row_scale * column_scale[i + j];
      lane[j] += (double)u * u;
    }
  }
  for (int j = 0; i < n; i++, j++) {
    float u = g[i] * row_scale * column_scale[i];
    lane[j] += (double)u * u;
  }
  return cz_sum_pairwise(lane, LANES);
}

/* g row_scale column_scale in the same order as above: the U that moves w is, bit for
 * bit, the U whose rms was taken. There is no sum in the product that a fused
 * multiply-add could round differently. */
CZ_CLONES
static void row_update(float *restrict w, const float *restrict g,
                       const float *restrict column_scale, int64_t n, float row_scale, float rate) {
  for (int64_t i = 0; i < n; i++) w[i] -= rate * (g[i] * row_scale * column_scale[i]);
}

/* Squares of U over block b of matrix m, or, with a rate, the block's step. */
static void block_update(const step *s, int64_t m, int64_t b, const float *rate) {
  int64_t from = b * s->block_rows,
          to = from + s->block_rows < s->rows ? from + s->block_rows : s->rows;
  const float *scale = s->column_scale + m * s->cols;
  double sum = 0;
  for (int64_t i = m * s->rows + from; i < m * s->rows + to; i++) {
    const float *g = s->g + i * s->cols;
    float *w = s->w + i * s->cols;
    if (rate)
      row_update(w, g, scale, s->cols, s->row_scale[i], *rate);
    else
      sum += row_update_squares(g, scale, s->cols, s->row_scale[i]);
    if (rate && s->copy)
      cz_piece_put(s->copy->data, s->copy->dtype, s->part->offset + i * s->cols, s->cols, w);
  }
  if (!rate) s->sum[m * s->blocks + b] = sum;
}

/* Three loops with a barrier after each: column scales need all blocks of a matrix, and U
 * needs the column scales. Returns the sum of U^2 over the tensor. */
static double factored_statistics(const step *s) {
#pragma omp parallel for collapse(2) schedule(static)
  for (int64_t m = 0; m < s->matrices; m++) {
    for (int64_t b = 0; b < s->blocks; b++) block_statistics(s, m, b);
  }
#pragma omp parallel for schedule(static) if (s->matrices > 1)
  for (int64_t m = 0; m < s->matrices; m++) matrix_scales(s, m);
#pragma omp parallel for collapse(2) schedule(static)
  for (int64_t m = 0; m < s->matrices; m++) {
    for (int64_t b = 0; b < s->blocks; b++) block_update(s, m, b, NULL);
  }
  return cz_sum_pairwise(s->sum, s->matrices * s->blocks);
}

/* ---- not factored ---- */

/* v = beta v + (1 - beta) Q in double, rounded once: with beta near 1 the second term is
 * far below v, and a float32 sum would drop its low digits at every step. */
CZ_CLONES
static void chunk_average(float *restrict v, const float *restrict g, int64_t n, double factor,
                          double beta, double eps1) {
  for (int64_t i = 0; i < n; i++) {
    double x = factor * g[i];
    v[i] = (float)(beta * v[i] + (1 - beta) * (x * x + eps1));
  }
}

/* U = G / sqrt(v). The root halves the relative error of v: d sqrt(v) / sqrt(v) = dv / 2
 * v. */
CZ_CLONES
static double chunk_update_squares(const float *g, const float *v, int64_t n, float factor) {
  double lane[LANES] = {0};
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES) {
    for (int j = 0; j < LANES; j++) {
      float u = factor * g[i + j] / __builtin_sqrtf(v[i + j]);
      lane[j] += (double)u * u;
    }
  }
  for (int j = 0; i < n; i++, j++) {
    float u = factor * g[i] / __builtin_sqrtf(v[i]);
    lane[j] += (double)u * u;
  }
  return cz_sum_pairwise(lane, LANES);
}

CZ_CLONES
static void chunk_update(float *restrict w, const float *restrict g, const float *restrict v,
                         int64_t n, float factor, float rate) {
  for (int64_t i = 0; i < n; i++) w[i] -= rate * (factor * g[i] / __builtin_sqrtf(v[i]));
}

static int64_t chunk_size(const step *s, int64_t chunk) {
  int64_t left = s->n - chunk * CZ_SUM_CHUNK;
  return left < CZ_SUM_CHUNK ? left : CZ_SUM_CHUNK;
}

static double unfactored_statistics(const step *s) {
#pragma omp parallel for schedule(static) if (s->rows > 1)
  for (int64_t k = 0; k < s->rows; k++) {
    int64_t at = k * CZ_SUM_CHUNK;
    chunk_average(s->v + at, s->g + at, chunk_size(s, k), s->factor, s->beta, s->attr->eps1);
    s->sum[k] = chunk_update_squares(s->g + at, s->v + at, chunk_size(s, k), (float)s->factor);
  }
  return cz_sum_pairwise(s->sum, s->rows);
}

/* ---- the step ---- */

/* w -= rate U, where the rate holds lr max(rms(w), eps2) / max(1, rms(U) / clip). */
static void update(const step *s, float rate) {
  if (s->factored) {
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t m = 0; m < s->matrices; m++) {
      for (int64_t b = 0; b < s->blocks; b++) block_update(s, m, b, &rate);
    }
    return;
  }
#pragma omp parallel for schedule(static) if (s->rows > 1)
  for (int64_t k = 0; k < s->rows; k++) {
    int64_t at = k * CZ_SUM_CHUNK;
    chunk_update(s->w + at, s->g + at, s->v + at, chunk_size(s, k), (float)s->factor, rate);
    if (s->copy)
      cz_piece_put(s->copy->data, s->copy->dtype, s->part->offset + at, chunk_size(s, k),
                   s->w + at);
  }
}

/* rms(w) is taken before w moves, as the published code does. A NaN in w or g reaches the rate of
 * the whole tensor, so that all of w becomes NaN and not a part of it: `keep` is 0 where a gradient
 * is not finite. */
static void part_step(const cz_call *call, const cz_flat_part *p) {
  const float *hyper = call->in[CZ_UPDATE_HYPER].data;
  const cz_arg *copy = &call->out[CZ_UPDATE_OUT_COPY];
  step s = step_of(call->attr, p);
  lay_out(&s, &s.attr->maximum, (uintptr_t)call->workspace);
  if (s.n == 0) return;
  s.w = (float *)call->out[CZ_UPDATE_OUT_W].data + p->offset;
  s.g = (const float *)call->in[CZ_UPDATE_G].data + p->offset;
  s.r = s.v = (float *)call->out[CZ_UPDATE_OUT_STATE].data + p->state;
  s.c = s.r + cz_flat_room(s.matrices * s.rows);
  s.copy = cz_present(copy) && p->flags & CZ_FLAT_COPY ? copy : NULL;
  s.rate = hyper[CZ_HYPER_RATE], s.factor = hyper[CZ_HYPER_FACTOR] * hyper[CZ_HYPER_KEEP];
  /* (t + 1)^-0.8 is small and known to 53 bits, so 1 - beta keeps all digits that float32
   * needs: 2.4e-5 at step 600,000. */
  s.beta = 1 - pow((double)hyper[CZ_HYPER_STEP] + 1, -s.attr->decay_exponent);
  s.rate *= cz_adafactor_maximum(sqrt(cz_sum_squares(s.w, s.n, s.sum) / (double)s.n), s.attr->eps2);
  double squares = s.factored ? factored_statistics(&s) : unfactored_statistics(&s);
  update(&s, (float)(s.rate / cz_adafactor_maximum(sqrt(squares / (double)s.n) / s.attr->clip, 1)));
}

/** One step in float32, part by part, with the copy in the pass that moves w. Contract:
 * adafactor.h. The step number comes as a float32, which counts whole numbers up to 2^24 (16.8
 * million) exactly. */
void cz_adafactor_fwd_cpu(const cz_call *call) {
  const cz_arg *parts = &call->in[CZ_UPDATE_PARTS];
  if (((const float *)call->in[CZ_UPDATE_HYPER].data)[CZ_HYPER_KEEP] == 0) return;
  for (int64_t i = 0; i < parts->dim[0]; i++) {
    const cz_flat_part p = cz_flat_part_at(parts->data, i);
    part_step(call, &p);
  }
}
