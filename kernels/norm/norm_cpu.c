/* Normalisation in float32. Where the derivative of norm.h comes from, for one row of D
 * channels (h_i, n_i = (h_i - m) r, g_i = dy_i gain_i the gradient of n_i):
 *
 *     dn_j / dh_i = r ([i = j] - dm / dh_i) + (h_j - m) dr / dh_i
 *
 *     dm / dh_i = 1 / D
 *     dr / dh_i = -1/2 (var + eps)^(-3/2) 2 (h_i - m) / D = -r^2 n_i / D
 *
 * (var's own dependence on m adds nothing, as the sum of h_j - m is 0). Then
 *
 *     e_i = sum_j g_j dn_j / dh_i
 *         = r (g_i - 1 / D sum_j g_j) - r n_i 1 / D sum_j g_j n_j
 *         = r (g_i - mean(g) - n_i mean(g n))
 *
 * RMS is the same with m = 0 constant, so without mean(g). In words: r times g without
 * its part along 1 and along n, the two directions in which a norm cannot move.
 *
 * Compiled without contraction into fused multiply-adds: h = x + residual M is rounded
 * twice, as it is by dropout and add when the engine does not join them, and y recomputed
 * from the stored h has the first y's bits. */
#include "kernels/common/cpu.h"
#include "kernels/common/dropout_mask.h"
#include "kernels/common/piece.h"
#include "kernels/common/rows.h"
#include "kernels/norm/norm.h"

typedef struct arrays {
  int64_t T, D, B;
  int64_t each; /* numbers of a row at a time */
  bool layer;
  float eps;
  double p;             /* the residual's dropout, 0 when it is off */
  const int32_t *spans; /* null unless masks are shared */
  const cz_key *key;
  const cz_arg *x, *residual, *y, *h; /* h is x without a residual */
  const cz_arg *dx, *dresidual, *dy, *dh;
  const float *gain, *bias;
  float *rstd, *mean, *dgain, *dbias;
  cz_dropout_mask mask;
} arrays;

static arrays unpack(const cz_call *call) {
  const cz_norm_attr *attr = call->attr;
  const cz_arg *x = &call->in[CZ_NORM_X], *spans = &call->in[CZ_NORM_SPANS];
  arrays a = {.T = x->dim[0],
              .D = x->dim[1],
              .each = cz_piece_length(cz_call_dtype(call), x->dim[1]),
              .layer = attr->kind == CZ_NORM_LAYER,
              .eps = (float)attr->eps,
              .key = &call->key};
  a.x = x, a.residual = &call->in[CZ_NORM_RESIDUAL];
  a.y = &call->out[CZ_NORM_Y], a.h = call->out[CZ_NORM_H].data ? &call->out[CZ_NORM_H] : x;
  a.dx = &call->din[CZ_NORM_X], a.dresidual = &call->din[CZ_NORM_RESIDUAL];
  a.dy = &call->dout[CZ_NORM_Y], a.dh = &call->dout[CZ_NORM_H];
  a.gain = call->in[CZ_NORM_GAIN].data, a.bias = call->in[CZ_NORM_BIAS].data;
  a.rstd = call->out[CZ_NORM_RSTD].data, a.mean = call->out[CZ_NORM_MEAN].data;
  a.dgain = call->din[CZ_NORM_GAIN].data, a.dbias = call->din[CZ_NORM_BIAS].data;
  if (!call->training || !cz_present(a.residual)) return a;
  a.p = attr->dropout;
  if (attr->share_segment) a.B = spans->dim[0], a.spans = spans->data;
  return a;
}

/* Bytes of the residual's dropout mask when it is shared. */
static size_t mask_bytes(const cz_call *call, const arrays *a) {
  bool share = a->p > 0 && ((const cz_norm_attr *)call->attr)->share_segment;
  return cz_dropout_mask_bytes(share, a->B, a->T, a->D);
}

/* Sums over a row start anew after this many channels, so that their rounding hardly
 * grows with D even without vector instructions. A sum of n numbers in order is off by at
 * most n u sum |x_i|, u = 2^-24; in blocks it is (128 + D / 128) u: 132 u at D = 512, 160
 * u at 4096. */
enum { BLOCK = 128 };

/* h = x + residual * factor for N channels; without dropout FACTOR is null. */
CZ_CLONES static void add_residual(float *h, const float *x, const float *residual,
                                   const float *factor, int64_t n) {
  if (factor) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) h[i] = x[i] + residual[i] * factor[i];
  } else {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) h[i] = x[i] + residual[i];
  }
}

/* m first and the squares of h - m after it. The formula in one pass, mean(h^2) - m^2,
 * would cancel where |m| is large beside the std, as it is in the deeper layers of BERT.
 * Each sum of a row goes on from TOTAL, that of the row's earlier pieces. */
CZ_CLONES static float sum_of(float total, const float *h, int64_t n) {
  for (int64_t from = 0; from < n; from += BLOCK) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = from; i < cz_minimum(n, from + BLOCK); i++) sum += h[i];
    total += sum;
  }
  return total;
}

CZ_CLONES static float sum_of_squares(float total, const float *h, int64_t n, float m) {
  for (int64_t from = 0; from < n; from += BLOCK) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = from; i < cz_minimum(n, from + BLOCK); i++) sum += (h[i] - m) * (h[i] - m);
    total += sum;
  }
  return total;
}

/* r of a row whose squares sum to TOTAL. eps is inside the root, as in T5 and in torch: a row of
 * zeros has r = eps^-1/2 and y = bias. Squares that overflow would make r 0 and y the bias,
 * whatever h is: NaN says that they do. */
static float reciprocal_root(float total, int64_t D, float eps) {
  return __builtin_isfinite(total) ? 1 / __builtin_sqrtf(total / (float)D + eps)
                                   : __builtin_nanf("");
}

/* y = (h - m) r gain + bias */
CZ_CLONES static void normalise(float *y, const float *h, const float *gain, const float *bias,
                                int64_t n, float m, float r) {
  if (bias) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] = (h[i] - m) * r * gain[i] + bias[i];
  } else {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] = (h[i] - m) * r * gain[i];
  }
}

CZ_CLONES static void multiply(float *to, const float *x, const float *factor, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) to[i] = x[i] * factor[i];
}

/* h of row t. In 16 bits residual M is rounded before it is added, as a dropout that is a node of
 * its own rounds it: joining nodes changes no bit, and neither does recomputation, across whose
 * borders they are not joined. h may be x: a piece of x is read before that piece of h is
 * written. */
static void stream_row(const arrays *a, int64_t t) {
  float buffer[CZ_DROPOUT_MASK_PIECE], x[CZ_PIECE], residual[CZ_PIECE];
  const int64_t each = cz_minimum(a->each, CZ_DROPOUT_MASK_PIECE);
  for (int64_t d = 0; d < a->D; d += each) {
    int64_t n = cz_minimum(a->D - d, each), i = t * a->D + d;
    const float *factor = a->mask.p > 0 ? cz_dropout_mask_piece(&a->mask, buffer, t, d, n) : NULL;
    const float *branch = cz_piece_read(a->residual->data, a->residual->dtype, i, n, residual);
    float *h = cz_piece_room(a->h->data, a->h->dtype, i, x);
    if (factor && a->residual->dtype != CZ_F32) {
      multiply(residual, branch, factor, n);
      cz_piece_round(residual, n, a->residual->dtype);
      branch = residual, factor = NULL;
    }
    add_residual(h, cz_piece_read(a->x->data, a->x->dtype, i, n, x), branch, factor, n);
    cz_piece_put(a->h->data, a->h->dtype, i, n, h);
  }
}

/* y of a row of h, which is read as it was stored: recomputed from there it has the same bits. y
 * is another array. */
static void forward_row(const arrays *a, int64_t t) {
  const int64_t D = a->D, row = t * D, each = a->each;
  float in[CZ_PIECE], out[CZ_PIECE], total = 0, m = 0;
  if (a->residual->data) stream_row(a, t);
  for (int64_t d = 0; d < D && a->layer; d += each) {
    int64_t n = cz_minimum(D - d, each);
    total = sum_of(total, cz_piece_read(a->h->data, a->h->dtype, row + d, n, in), n);
  }
  if (a->layer) m = total / (float)D, total = 0;
  for (int64_t d = 0; d < D; d += each) {
    int64_t n = cz_minimum(D - d, each);
    total = sum_of_squares(total, cz_piece_read(a->h->data, a->h->dtype, row + d, n, in), n, m);
  }
  const float r = reciprocal_root(total, D, a->eps);
  for (int64_t d = 0; d < D; d += each) {
    int64_t n = cz_minimum(D - d, each);
    float *y = cz_piece_room(a->y->data, a->y->dtype, row + d, out);
    normalise(y, cz_piece_read(a->h->data, a->h->dtype, row + d, n, in), a->gain + d,
              a->bias ? a->bias + d : NULL, n, m, r);
    cz_piece_put(a->y->data, a->y->dtype, row + d, n, y);
  }
  if (a->rstd) a->rstd[t] = r;
  if (a->mean) a->mean[t] = m;
}

/** Forward in float32, on float32 or bfloat16. Contract: norm.h. */
void cz_norm_fwd_cpu(const cz_call *call) {
  arrays a = unpack(call);
  if (a.residual->data)
    cz_dropout_mask_make(&a.mask, call->workspace, a.key, a.p, a.spans, a.B, a.T, a.D);
#pragma omp parallel for schedule(static) if (a.T * a.D > 16384)
  for (int64_t t = 0; t < a.T; t++) forward_row(&a, t);
}

/* Sums of g and g n over a row, then their means. */
typedef struct moments {
  float g, gn;
} moments;

/* Adds a piece's part to TOTAL, dgain and dbias; the latter are sums that lie in cache. n is
 * recomputed from h, m and r rather than kept: one subtraction and one product against a [T, D]
 * array that would have to live from forward to backward. */
CZ_CLONES static moments add_moments(moments total, float *dgain, float *dbias, const float *dy,
                                     const float *h, const float *gain, float m, float r,
                                     int64_t n) {
  for (int64_t from = 0; from < n; from += BLOCK) {
    float sum_g = 0, sum_gn = 0;
#pragma omp simd reduction(+ : sum_g, sum_gn)
    for (int64_t i = from; i < cz_minimum(n, from + BLOCK); i++) {
      float normed = (h[i] - m) * r, g = dy[i] * gain[i];
      dgain[i] += dy[i] * normed;
      dbias[i] += dy[i];
      sum_g += g;
      sum_gn += g * normed;
    }
    total.g += sum_g, total.gn += sum_gn;
  }
  return total;
}

static moments row_moments(const arrays *a, float *gains, float *biases, float m, float r,
                           int64_t t) {
  float in[CZ_PIECE], out[CZ_PIECE];
  moments total = {0};
  for (int64_t d = 0; d < a->D; d += a->each) {
    int64_t n = cz_minimum(a->D - d, a->each), i = t * a->D + d;
    total = add_moments(total, gains + d, biases + d,
                        cz_piece_read(a->dy->data, a->dy->dtype, i, n, out),
                        cz_piece_read(a->h->data, a->h->dtype, i, n, in), a->gain + d, m, r, n);
  }
  return (moments){total.g / (float)a->D, total.gn / (float)a->D};
}

/* e = dh + r (g - mean(g) - n mean(g n)) Either gradient may be missing: dy where the
 * last norm's output is not used, dh where h ends here (the last block of a stack). */
CZ_CLONES static void gradient_of_h(float *e, const float *dy, const float *dh, const float *h,
                                    const float *gain, float m, float r, moments mean, int64_t n) {
  if (dy && dh) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
      e[i] = dh[i] + r * (dy[i] * gain[i] - mean.g - (h[i] - m) * r * mean.gn);
  } else if (dy) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
      e[i] = r * (dy[i] * gain[i] - mean.g - (h[i] - m) * r * mean.gn);
  } else if (dh) {
    memcpy(e, dh, (size_t)n * sizeof *e);
  } else {
    memset(e, 0, (size_t)n * sizeof *e);
  }
}

/* One row of backward; GAINS and BIASES [D] gather its block's part of dgain and dbias.
 *
 * The whole of dy's row is read for the moments before the first piece is put, and dh and
 * dy of a piece before dx and dresidual of that piece: with dx over dh and dresidual over
 * dy nothing is read too late. */
static void backward_row(const arrays *a, float *gains, float *biases, const cz_grad_mode *mode,
                         int64_t t) {
  const int64_t D = a->D, each = cz_minimum(a->each, CZ_DROPOUT_MASK_PIECE);
  float r = a->rstd[t], m = a->layer ? a->mean[t] : 0, e[CZ_DROPOUT_MASK_PIECE],
        buffer[CZ_DROPOUT_MASK_PIECE], in[3][CZ_PIECE];
  moments mean = {0};
  if (a->dy->data) mean = row_moments(a, gains, biases, m, r, t);
  if (!a->layer) mean.g = 0;
  for (int64_t d = 0; d < D; d += each) {
    int64_t n = cz_minimum(D - d, each), i = t * D + d;
    gradient_of_h(e, cz_piece_read(a->dy->data, a->dy->dtype, i, n, in[0]),
                  cz_piece_read(a->dh->data, a->dh->dtype, i, n, in[1]),
                  cz_piece_read(a->h->data, a->h->dtype, i, n, in[2]), a->gain + d, m, r, mean, n);
    /* h = x + residual M:  dx = e,  dresidual = e M. From here on dh and dy of this piece have
     * been read: dx and dresidual may lie there. */
    if (mode[CZ_NORM_X]) cz_piece_grad(a->dx->data, a->dx->dtype, i, n, e, mode[CZ_NORM_X]);
    if (!mode[CZ_NORM_RESIDUAL]) continue;
    if (a->mask.p > 0) { /* the gradient of an addition is rounded before a dropout's is */
      cz_piece_round(e, n, a->dresidual->dtype);
      multiply(e, e, cz_dropout_mask_piece(&a->mask, buffer, t, d, n), n);
    }
    cz_piece_grad(a->dresidual->data, a->dresidual->dtype, i, n, e, mode[CZ_NORM_RESIDUAL]);
  }
}

/** Bytes of workspace: the shared mask; backward also the partial sums of dgain and
 * dbias. */
size_t cz_norm_workspace_cpu(const cz_call *call, bool backward) {
  arrays a = unpack(call);
  size_t sums = 2 * (size_t)(cz_row_blocks_maximum(a.T) * a.D) * sizeof(float);
  return mask_bytes(call, &a) + (backward ? sums : 0);
}

/** Backward in float32, on float32 or bfloat16. Contract: norm.h. Each block of rows sums dgain and
 * dbias in a row of its own, [blocks, D] with at most 64 blocks, and the blocks are added in order:
 * no atomics, and the bits of one thread. */
void cz_norm_bwd_cpu(const cz_call *call) {
  arrays a = unpack(call);
  int64_t T = a.T, D = a.D, blocks = cz_row_blocks(T), each = cz_row_block(T);
  if (T == 0 || D == 0) { /* there may be no workspace */
    cz_grad_begin(call, CZ_NORM_GAIN);
    cz_grad_begin(call, CZ_NORM_BIAS);
    return;
  }
  if (call->mode[CZ_NORM_RESIDUAL])
    cz_dropout_mask_make(&a.mask, call->workspace, a.key, a.p, a.spans, a.B, T, D);
  float *gains = (float *)((char *)call->workspace + mask_bytes(call, &a)),
        *biases = gains + blocks * D;
#pragma omp parallel for schedule(static) if (T * D > 16384)
  for (int64_t b = 0; b < blocks; b++) {
    memset(gains + b * D, 0, (size_t)D * sizeof *gains);
    memset(biases + b * D, 0, (size_t)D * sizeof *biases);
    for (int64_t t = b * each; t < T && t < (b + 1) * each; t++)
      backward_row(&a, gains + b * D, biases + b * D, call->mode, t);
  }
  cz_rows_reduce(a.dgain, gains, blocks, D, call->mode[CZ_NORM_GAIN]);
  cz_rows_reduce(a.dbias, biases, blocks, D, call->mode[CZ_NORM_BIAS]);
}
