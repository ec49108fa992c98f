/* One pass over chunks of counted rows. A chunk's logits are computed slab by slab (a
 * slab is a run of words, cut by shape alone); a slab's words are turned into
 * exponentials while they are in cache, relative to the slab's own maximum. Once every
 * slab's sums are known, a slab becomes dx by one multiplication per element (no
 * exponential is computed twice), and its two products with w and h follow at once.
 * Each slab is the work of one thread, and the slabs' contributions to dh are added in a
 * fixed order.
 *
 * Arithmetic: forward is one product of 2 N V D operations, backward three (logits, dw,
 * dh). A plain layer would store logits, probabilities and their gradient, 3 N V numbers:
 * at N = 4096 and V = 32128 that is 1.5 GiB, here CHUNK_BYTES, or the
 * logits of ROWS_MINIMUM rows where V is so large that these take more.
 *
 * Why the target stands apart. With p_t near 1, nll = -log p_t and the target's gradient
 * p_t - 1 are differences of nearly equal numbers. Both are functions of the odds against
 * the target,
 *
 *     e^d = sum over v != t of exp(x_v - x_t)
 *     nll = log(1 + e^d),   1 - p_t = 1 / (1 + e^-d)
 *
 * which keep their digits when d is far below 0; so slabs sum all words but the
 * target.
 *
 * In bfloat16 h, w and dh are rounded; logits, statistics, bias, dw and the parts of dh are
 * float32. dx is rounded before its two products, for that is what matrix units take; dbias
 * sums it before. */
#include "kernels/common/cpu.h"
#include "kernels/common/piece.h"
#include "kernels/common/product.h"
#include "kernels/common/rows.h"
#include "kernels/common/workspace.h"
#include "kernels/cross_entropy/cross_entropy.h"

#include <float.h>
#include <math.h>
#include <omp.h>

/* Sixteen slabs of words are enough for sixteen threads, and a slab of T5's vocabulary,
 * 2016 words, makes products of a good shape. Rows in a chunk: w is read and dw added to
 * once a chunk, so few rows would make that traffic show; with 1024 a number of w serves
 * a thousand rows. At V = 32128 a chunk has 320 rows. */
enum {
  SLABS = 16,
  SLAB_MINIMUM = 64,
  LANES = 16,
  ROWS_MINIMUM = 64,
  ROWS_MAXIMUM = 1024,
  CHUNK_BYTES = 40 << 20
};

/* What a slab knows of a row. The target is left out of max and sum, so that 1 - p_t and
 * a small nll keep their digits when p_t is close to 1. */
typedef struct slab_stat {
  float max, sum; /* of exp(x - max) over the slab's words but the target */
  float factor;   /* dx = exponential x factor - row.smooth */
  float total;    /* of x over all the slab's words, when smoothing asks for it */
} slab_stat;

typedef struct row_stat {
  int64_t index; /* the row's place in h */
  double loss;
  float target_logit, target_dx, smooth;
} row_stat;

typedef struct plan {
  const cz_call *call;
  const cz_cross_entropy_attr *attr;
  cz_dtype dtype; /* of h, w and dh */
  int64_t N, D, V, slab, slabs, maximum_rows;
  bool backward, want_h, want_w, want_bias, added; /* added: dw holds something to add to */
  const float *bias;                               /* null without one */
  double A;                                        /* dloss / denominator */
  /* workspace */
  float *logits, *partial; /* [rows, V] as slabs one after another, each [rows, its words];
                              [slabs, rows, D] */
  void *h;                 /* [rows, D] */
  slab_stat *stat;         /* [slabs, rows] */
  row_stat *row;           /* [rows] */
  double *dbias;           /* [V], sums of dx times logit_scale over all chunks */
  char *slices;            /* scratch of the products, one a thread */
  size_t slice;
  int threads;
  int64_t rows; /* of this chunk */
} plan;

static int64_t rows_at_once(int64_t N, int64_t V) {
  int64_t rows = (int64_t)CHUNK_BYTES / 4 / V / 16 * 16;
  return cz_minimum(N, rows < ROWS_MINIMUM   ? ROWS_MINIMUM
                       : rows > ROWS_MAXIMUM ? ROWS_MAXIMUM
                                             : rows);
}

static int64_t slab_words(const plan *p, int64_t s) {
  return cz_minimum(p->slab, p->V - s * p->slab);
}

/* As all addresses here null while the workspace is measured. */
static float *slab_logits(const plan *p, int64_t s) {
  return cz_piece_at(p->logits, CZ_F32, s * p->slab * p->rows);
}

static void *at_row(const void *array, cz_dtype dtype, int64_t row, int64_t width) {
  return cz_piece_at(array, dtype, row * width);
}

/* Logits of a slab: h w^T. */
static cz_product product_to_logits(const plan *p, int64_t s) {
  return (cz_product){.c = slab_logits(p, s),
                      .a = p->h,
                      .b =
                          at_row(p->call->in[CZ_CROSS_ENTROPY_W].data, p->dtype, s * p->slab, p->D),
                      .dtype = p->dtype,
                      .c_dtype = CZ_F32,
                      .b_transposed = true,
                      .M = p->rows,
                      .N = slab_words(p, s),
                      .K = p->D,
                      .lda = p->D,
                      .ldb = p->D,
                      .ldc = slab_words(p, s),
                      .alpha = (float)p->attr->logit_scale,
                      .b_version = p->call->in[CZ_CROSS_ENTROPY_W].version,
                      .units = p->call->stream};
}

/* A slab's part of dh: dx w. */
static cz_product product_to_h(const plan *p, int64_t s) {
  cz_product q = product_to_logits(p, s);
  q.c = cz_piece_at(p->partial, CZ_F32, s * p->maximum_rows * p->D), q.ldc = q.N = p->D;
  q.a = slab_logits(p, s), q.lda = q.K = slab_words(p, s);
  q.b_transposed = false, q.alpha = 1;
  return q;
}

/* dw of a slab: dx^T h, added chunk after chunk. */
static cz_product product_to_w(const plan *p, int64_t s) {
  const cz_arg *dw = &p->call->din[CZ_CROSS_ENTROPY_W];
  return (cz_product){.c = at_row(dw->data, dw->dtype, s * p->slab, p->D),
                      .a = slab_logits(p, s),
                      .b = p->h,
                      .dtype = p->dtype,
                      .c_dtype = dw->dtype,
                      .a_transposed = true,
                      .M = slab_words(p, s),
                      .N = p->D,
                      .K = p->rows,
                      .lda = slab_words(p, s),
                      .ldb = p->D,
                      .ldc = p->D,
                      .alpha = 1,
                      .beta = p->added ? 1 : 0,
                      .units = p->call->stream};
}

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

/* Scratch for any product of this call. */
static size_t slice_of(const plan *p) {
  plan q = *p;
  q.rows = p->maximum_rows;
  cz_product x = product_to_logits(&q, 0), h = product_to_h(&q, 0), w = product_to_w(&q, 0);
  size_t bytes = cz_product_whole_scratch(&x);
  if (p->want_h) bytes = larger(bytes, cz_product_whole_scratch(&h));
  if (p->want_w) bytes = larger(bytes, cz_product_whole_scratch(&w));
  return bytes;
}

/* Sizes, and places in a workspace that begins at null; returns the bytes before the
 * slices. */
static size_t lay_out(plan *p, const cz_call *call, bool backward) {
  *p = (plan){.call = call,
              .attr = call->attr,
              .dtype = call->in[CZ_CROSS_ENTROPY_H].dtype,
              .backward = backward};
  p->N = call->in[CZ_CROSS_ENTROPY_H].dim[0], p->D = call->in[CZ_CROSS_ENTROPY_H].dim[1],
  p->V = call->in[CZ_CROSS_ENTROPY_W].dim[0];
  int64_t words = (p->V + SLABS - 1) / SLABS;
  p->slab = words < SLAB_MINIMUM ? SLAB_MINIMUM : (words + 15) / 16 * 16;
  p->slabs = (p->V + p->slab - 1) / p->slab;
  p->maximum_rows = rows_at_once(p->N, p->V);
  p->want_h = backward && call->mode[CZ_CROSS_ENTROPY_H] != CZ_GRAD_SKIP;
  p->want_w = backward && call->mode[CZ_CROSS_ENTROPY_W] != CZ_GRAD_SKIP;
  p->want_bias = backward && call->mode[CZ_CROSS_ENTROPY_BIAS] != CZ_GRAD_SKIP;
  p->bias = call->in[CZ_CROSS_ENTROPY_BIAS].data;
  p->added = call->mode[CZ_CROSS_ENTROPY_W] == CZ_GRAD_ADD;
  uintptr_t at = (uintptr_t)call->workspace, begin = at;
  size_t rows = (size_t)p->maximum_rows, D = (size_t)p->D, slabs = (size_t)p->slabs;
  p->logits = cz_take(&at, rows * (size_t)p->V * sizeof(float));
  p->h = cz_take(&at, rows * D * cz_dtype_bytes(p->dtype));
  p->stat = cz_take(&at, slabs * rows * sizeof(slab_stat));
  p->row = cz_take(&at, rows * sizeof(row_stat));
  if (backward) p->partial = cz_take(&at, slabs * rows * D * sizeof(float));
  if (p->want_bias) p->dbias = cz_take(&at, (size_t)p->V * sizeof(double));
  p->slices = cz_take(&at, 0), p->slice = slice_of(p);
  return (size_t)(at - begin);
}

static void multiply(const plan *p, const cz_product *q) {
  cz_product_whole(q, p->slices + (size_t)omp_get_thread_num() * p->slice);
}

/* A comparison with NaN is false, so a NaN is passed over here and comes back through the
 * sum. */
CZ_CLONES
static float row_max(const float *x, int64_t n) {
  float lane[LANES], max = -FLT_MAX;
  for (int j = 0; j < LANES; j++) lane[j] = -FLT_MAX;
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES) {
    for (int j = 0; j < LANES; j++) lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
  }
  for (; i < n; i++) max = x[i] > max ? x[i] : max;
  for (int j = 0; j < LANES; j++) max = lane[j] > max ? lane[j] : max;
  return max;
}

/* x = exp(x - max); returns the sum. Relative to the slab's own maximum, since a slab
 * does not wait for the others; row_combine brings them to one. */
CZ_CLONES
static float row_exp(float *x, int64_t n, float max) {
  float lane[LANES] = {0}, sum = 0;
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES) {
    for (int j = 0; j < LANES; j++) {
      float e = cz_expf_negative(x[i + j] - max);
      x[i + j] = e;
      lane[j] += e;
    }
  }
  for (; i < n; i++) sum += x[i] = cz_expf_negative(x[i] - max);
  for (int j = 0; j < LANES; j++) sum += lane[j];
  return sum;
}

CZ_CLONES
static float row_total(const float *x, int64_t n) {
  float lane[LANES] = {0}, sum = 0;
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES) {
    for (int j = 0; j < LANES; j++) lane[j] += x[i + j];
  }
  for (; i < n; i++) sum += x[i];
  for (int j = 0; j < LANES; j++) sum += lane[j];
  return sum;
}

CZ_CLONES
static void row_gradient(float *x, int64_t n, float factor, float smooth) {
  for (int64_t i = 0; i < n; i++) x[i] = x[i] * factor - smooth;
}

/* Column of row r's target in slab s, or -1. */
static int64_t target_in(const plan *p, int64_t r, int64_t s) {
  int64_t t =
      ((const int32_t *)p->call->in[CZ_CROSS_ENTROPY_TARGETS].data)[p->row[r].index] - s * p->slab;
  return t >= 0 && t < slab_words(p, s) ? t : -1;
}

CZ_CLONES
static void add_row(float *x, const float *bias, int64_t n) {
  for (int64_t i = 0; i < n; i++) x[i] += bias[i];
}

CZ_CLONES
static void sum_row(double *sum, const float *x, int64_t n) {
  for (int64_t i = 0; i < n; i++) sum[i] += x[i];
}

/* x_t gives way to -FLT_MAX, whose exponential is 0: so max and sum leave the target out
 * without a comparison for each word. Its logit is kept for row_combine. */
static void row_softmax(const plan *p, float *x, int64_t r, int64_t s) {
  slab_stat *stat = &p->stat[s * p->maximum_rows + r];
  int64_t n = slab_words(p, s), t = target_in(p, r, s);
  if (p->attr->label_smoothing > 0) stat->total = row_total(x, n);
  if (t >= 0) p->row[r].target_logit = x[t], x[t] = -FLT_MAX;
  stat->max = row_max(x, n);
  stat->sum = row_exp(x, n, stat->max);
  /* Nothing is above the target's place holder: it is the slab's only word, or the others
   * are -infinity, or NaN. Its exponential, 1, is taken off again; a NaN stays in the
   * sum. */
  if (t >= 0 && stat->max == -FLT_MAX) stat->sum -= 1, x[t] = 0;
}

/* Logits of one slab, then exponentials in place. */
static void slab_forward(const plan *p, int64_t s) {
  const cz_product logits = product_to_logits(p, s);
  int64_t n = slab_words(p, s);
  float *x = slab_logits(p, s);
  multiply(p, &logits);
  for (int64_t r = 0; r < p->rows; r++) {
    if (p->bias) add_row(x + r * n, p->bias + s * p->slab, n);
    row_softmax(p, x + r * n, r, s);
  }
}

/* Loss of row r from its slabs, and the numbers that turn its exponentials into dx (times
 * logit_scale). With q = 1 - p_t: nll = log(1 + exp(d)) and q = 1 / (1 + exp(-d)), d =
 * log(sum over the others of exp(x)) - x_t.
 *
 * The target's gradient, from dx_t = (A (1 + 2 z log Z) + g) p_t - (A (1 - e) + g) - A e
 * / V with p_t = 1 - q and factor = A (1 + 2 z log Z) + g:
 *
 *     dx_t = A (e + 2 z log Z) - factor q - A e / V
 *
 * No difference of large numbers is left. The others' p_v = exp(x_v - max_s) exp(max_s -
 * max) q / sum: what a slab left, times one number for each slab and row. */
static void row_combine(const plan *p, int64_t r) {
  const cz_cross_entropy_attr *a = p->attr;
  row_stat *row = &p->row[r];
  double max = -INFINITY, sum = 0, total = 0;
  for (int64_t s = 0; s < p->slabs; s++) {
    if (p->stat[s * p->maximum_rows + r].sum != 0)
      max = fmax(max, p->stat[s * p->maximum_rows + r].max);
  }
  for (int64_t s = 0; s < p->slabs; s++) {
    const slab_stat *stat = &p->stat[s * p->maximum_rows + r];
    if (stat->sum != 0) sum += stat->sum * exp(stat->max - max);
    total += a->label_smoothing > 0 ? stat->total : 0;
  }
  double others = max + log(sum), d = others - row->target_logit;
  if (!isfinite(row->target_logit)) d = NAN; /* an overflow is no certainty */
  double nll = d > 0 ? d + log1p(exp(-d)) : log1p(exp(d)), q = 1 / (1 + exp(-d)),
         log_z = row->target_logit + nll;
  row->loss = (1 - a->label_smoothing) * nll + a->label_smoothing * (log_z - total / (double)p->V) +
              a->z_loss * log_z * log_z;
  ((float *)p->call->out[CZ_CROSS_ENTROPY_NLL].data)[row->index] = (float)nll;
  if (!p->backward) return;
  const float *dnll = p->call->dout[CZ_CROSS_ENTROPY_NLL].data;
  double factor = p->A * (1 + 2 * a->z_loss * log_z) + (dnll ? dnll[row->index] : 0),
         smooth = p->A * a->label_smoothing / (double)p->V;
  row->smooth = (float)(a->logit_scale * smooth);
  row->target_dx = (float)(a->logit_scale * (p->A * (a->label_smoothing + 2 * a->z_loss * log_z) -
                                             factor * q - smooth));
  for (int64_t s = 0; s < p->slabs; s++) {
    slab_stat *stat = &p->stat[s * p->maximum_rows + r];
    stat->factor = stat->sum != 0
                       ? (float)(a->logit_scale * factor * q / sum * exp(stat->max - max))
                       : (float)(0 * q); /* 0, or NaN when the row is */
  }
}

/* Exponentials of one slab become dx, then dw += dx^T h and this slab's part of dh = dx
 * w. logit_scale is in dx already, so that both products have alpha 1. dw of a slab
 * belongs to this thread alone and adds chunk after chunk; dh gets contributions from all
 * slabs, which are kept apart and added in scatter_row in the slabs' order. */
static void slab_backward(const plan *p, int64_t s) {
  int64_t n = slab_words(p, s);
  float *slab = slab_logits(p, s);
  for (int64_t r = 0; r < p->rows; r++) {
    int64_t t = target_in(p, r, s);
    float *x = slab + r * n;
    row_gradient(x, n, p->stat[s * p->maximum_rows + r].factor, p->row[r].smooth);
    if (t >= 0) x[t] = p->row[r].target_dx;
    if (p->want_bias) sum_row(p->dbias + s * p->slab, x, n);
    cz_piece_narrow(slab, p->dtype, r * n, n);
  }
  const cz_product to_w = product_to_w(p, s), to_h = product_to_h(p, s);
  if (p->want_w) multiply(p, &to_w);
  if (p->want_h) multiply(p, &to_h);
}

/* Counted rows are brought together, so that what is not counted costs no product. */
static void gather_row(const plan *p, int64_t r) {
  memcpy(at_row(p->h, p->dtype, r, p->D),
         at_row(p->call->in[CZ_CROSS_ENTROPY_H].data, p->dtype, p->row[r].index, p->D),
         (size_t)p->D * cz_dtype_bytes(p->dtype));
}

/* dh of a row is the sum over slabs of their parts, sixteen at most, in the order of the
 * slabs: an order that neither threads nor rows change. */
static void scatter_row(const plan *p, int64_t r) {
  float *sum = p->partial + r * p->D;
  for (int64_t s = 1; s < p->slabs; s++) {
    const float *part = p->partial + (s * p->maximum_rows + r) * p->D;
    for (int64_t d = 0; d < p->D; d++) sum[d] += part[d];
  }
  cz_piece_grad(p->call->din[CZ_CROSS_ENTROPY_H].data, p->dtype, p->row[r].index * p->D, p->D, sum,
                p->call->mode[CZ_CROSS_ENTROPY_H]);
}

/* Each loop ends with a barrier: the loss of a row needs all slabs, gradients need the
 * loss's log Z, and dh needs all slabs again. */
static void run_chunk(plan *p) {
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < p->rows; r++) gather_row(p, r);
#pragma omp parallel for schedule(dynamic, 1) num_threads(p->threads)
  for (int64_t s = 0; s < p->slabs; s++) slab_forward(p, s);
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < p->rows; r++) row_combine(p, r);
  if (!p->want_h && !p->want_w && !p->want_bias) return;
#pragma omp parallel for schedule(dynamic, 1) num_threads(p->threads)
  for (int64_t s = 0; s < p->slabs; s++) slab_backward(p, s);
  p->added = true;
  if (!p->want_h) return;
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < p->rows; r++) scatter_row(p, r);
}

/* Rows that are not counted: nothing flows there. Returns how many are counted. */
static int64_t clear_uncounted(const plan *p) {
  const int32_t *targets = p->call->in[CZ_CROSS_ENTROPY_TARGETS].data;
  int64_t counted = 0;
  for (int64_t n = 0; n < p->N; n++) {
    counted += targets[n] >= 0;
    if (targets[n] >= 0) continue;
    ((float *)p->call->out[CZ_CROSS_ENTROPY_NLL].data)[n] = 0;
    if (p->want_h && p->call->mode[CZ_CROSS_ENTROPY_H] == CZ_GRAD_WRITE) {
      memset(at_row(p->call->din[CZ_CROSS_ENTROPY_H].data, p->dtype, n, p->D), 0,
             (size_t)p->D * cz_dtype_bytes(p->dtype));
    }
  }
  return counted;
}

/* x = logit_scale h w + bias, and the sums hold logit_scale dx. */
static void finish_bias(const plan *p) {
  float *dbias = p->call->din[CZ_CROSS_ENTROPY_BIAS].data;
  bool add = p->call->mode[CZ_CROSS_ENTROPY_BIAS] == CZ_GRAD_ADD;
  for (int64_t v = 0; v < p->V; v++)
    dbias[v] = (float)((add ? dbias[v] : 0) + p->dbias[v] / p->attr->logit_scale);
}

/* Chunks of nearly equal size: the c-th of k ends at counted (c + 1) / k, so no short
 * last chunk does its products at a bad shape. Losses are added in double, row after
 * row. */
static void run(const cz_call *call, bool backward) {
  plan p;
  size_t shared = lay_out(&p, call, backward);
  p.threads = cz_product_threads(call, shared, p.slice);
  const int32_t *targets = call->in[CZ_CROSS_ENTROPY_TARGETS].data;
  const float *dloss = call->dout[CZ_CROSS_ENTROPY_LOSS].data;
  double denominator = *(const float *)call->in[CZ_CROSS_ENTROPY_DENOMINATOR].data, loss = 0;
  p.A = dloss ? dloss[0] / denominator : 0;
  if (p.want_bias) memset(p.dbias, 0, (size_t)p.V * sizeof *p.dbias);
  int64_t counted = clear_uncounted(&p), n = 0;
  int64_t chunks = counted ? (counted + p.maximum_rows - 1) / p.maximum_rows : 0;
  for (int64_t c = 0; c < chunks; c++) {
    p.rows = counted * (c + 1) / chunks - counted * c / chunks;
    for (int64_t r = 0; r < p.rows; n++) {
      if (targets[n] >= 0) p.row[r++].index = n;
    }
    run_chunk(&p);
    for (int64_t r = 0; r < p.rows; r++) loss += p.row[r].loss;
  }
  if (p.want_w && !p.added) cz_grad_begin(call, CZ_CROSS_ENTROPY_W);
  if (p.want_bias) finish_bias(&p);
  *(float *)call->out[CZ_CROSS_ENTROPY_LOSS].data = (float)(loss / denominator);
}

/** loss and nll; see the header. Workspace: a chunk of logits and little more. */
void cz_cross_entropy_fwd_cpu(const cz_call *call) { run(call, false); }

/** loss, nll and all gradients in one pass. Workspace: a chunk of logits, and dh of a
 * chunk once per slab. */
void cz_cross_entropy_bwd_cpu(const cz_call *call) { run(call, true); }

/** Bytes of workspace: rows x (V + D) numbers and statistics, for backward rows x D per
 * slab, and scratch of the products for each thread. */
size_t cz_cross_entropy_workspace_cpu(const cz_call *call, bool backward) {
  cz_call at_null = *call;
  at_null.workspace = NULL;
  plan p;
  size_t shared = lay_out(&p, &at_null, backward);
  return shared + (size_t)omp_get_max_threads() * p.slice;
}
