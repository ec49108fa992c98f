/* Attention backward in float32 or bfloat16: scores are recomputed from q and k, tile by tile,
 * and normalised by what forward saved. Formulas: attention.h.
 *
 * From o_i = sum_j Z_ij v_j, Z = P M, P = softmax(s), s_ij = scale q_i . k_j + bias:
 *
 *     dv_j  = sum_i Z_ij do_i
 *     dZ_ij = do_i . v_j                                dP_ij = M_ij dZ_ij
 *     dP_ij / ds_ik = P_ij ([j = k] - P_ik)             the derivative of a softmax
 *     dS_ik = sum_j dP_ij P_ij ([j = k] - P_ik) = P_ik (dP_ik - D_i)
 *     D_i   = sum_j P_ij dP_ij = sum_j P_ij M_ij (do_i . v_j) = do_i . o_i
 *     dq_i  = scale sum_j dS_ij k_j                     dk_j = scale sum_i dS_ij q_i
 *
 * D_i as do . o makes a row of dS computable key by key, from numbers that forward saved
 * (Dao et al. 2022, section 3.1). Five products a tile: s (recomputed) and
 * dZ, then dq, dk and dv; the scores of a whole batch never exist at once.
 *
 * In bfloat16 what is read is widened, Z and dS are rounded before their products (the bias sums
 * dS before that), and each gradient is rounded once, when it is whole. */
#include "kernels/attention/attention_cpu.h"

#include "kernels/common/cpu.h"
#include "kernels/common/piece.h"
#include "kernels/common/rows.h"

#include <math.h>
#include <omp.h>
#include <string.h>

typedef struct tiles {      /* one thread's workspace */
  float *kt, *vt, *k;       /* block of keys: panels of transposed K and V, panels of K */
  float *dk, *dv;           /* gradients of the block, before scaling */
  float *q, *dout, *dq;     /* block of queries */
  float *z, *ds;            /* tiles: scores, then P M; do . v, then dS */
  float *factor, *diagonal; /* dropout factors of one row; sums of dS by offset */
  float *wide, *sums; /* of bfloat16: rows widened [keys or rows, K]; dq of the segment [Tq, K] */
} tiles;

typedef struct part { /* a tile: queries i0 .. i0 + R, keys j0 .. j0 + keys, of which the last query
                         sees `limit` */
  int64_t i0, R, j0, keys, limit;
  int64_t visible[CZ_QUERY_BLOCK];
} part;

static tiles tiles_of(const cz__attention_plan *p, int thread) {
  float *at = p->slices + (size_t)thread * p->slice_floats;
  tiles t;
  t.kt = cz__attention_take(&at, p->keys * p->width);
  t.vt = cz__attention_take(&at, p->keys * p->width);
  t.k = cz__attention_take(&at, p->keys * p->width);
  t.dk = cz__attention_take(&at, (p->keys + CZ_TILE_ROWS) * p->width);
  t.dv = cz__attention_take(&at, (p->keys + CZ_TILE_ROWS) * p->width);
  t.q = cz__attention_take(&at, p->rows * p->width);
  t.dout = cz__attention_take(&at, p->rows * p->width);
  t.dq = cz__attention_take(&at, p->rows * p->width);
  t.z = cz__attention_take(&at, p->tile);
  t.ds = cz__attention_take(&at, p->tile);
  t.factor = cz__attention_take(&at, p->keys);
  t.diagonal = cz__attention_take(&at, p->keys + p->rows);
  t.wide =
      cz__attention_direct(p) ? NULL : cz__attention_take(&at, cz_maximum(p->keys, p->rows) * p->K);
  t.sums = cz__attention_direct(p) ? NULL : cz__attention_take(&at, p->Tq * p->K);
  return t;
}

typedef struct row {   /* what one row of a tile needs beside it */
  const float *factor; /* dropout, or null */
  float max, sum, D;
  bool whole; /* all its visible keys are in the tile */
  bool sure;  /* and one of them has more than half of the weight: D is found here */
  int64_t visible, limit;
} row;

/* M (do . v) of the key with the largest score: forward computed the same bits and knows
 * which one it was. */
static inline __attribute__((always_inline)) float find_top(const float *s, const float *dp,
                                                            float max, int64_t n) {
  float top = -INFINITY;
#pragma omp simd reduction(max : top)
  for (int64_t j = 0; j < n; j++) {
    float d = s[j] == max ? dp[j] : -INFINITY;
    top = d > top ? d : top;
  }
  return top;
}

/* One row. S (scores on entry) becomes Z, DP (do . v on entry) becomes dS; zeros from
 * visible to limit.
 *
 * Forward: P = exp(s - max) / sum,  Z = P M. Backward: dP = M (do . v),  dS = P (dP - D) with
 * D = sum P dP.
 *
 * D is not summed first: it equals do . o, one dot product of K terms. But o is rounded,
 * so that this D is off by a little. In a row whose visible keys all lie in the tile that
 * can be repaired: with sum P = 1 the exact dS add up to 0, so the sum that is left is
 * the error of D, and a second pass takes it off (`rest`).
 *
 * Where one key has nearly all the weight, dP - D of that key is a difference of nearly
 * equal numbers, nothing but rounding. There D starts as that key's own dP (`sure`): its
 * own term is then exactly 0 in the first pass, and the repair makes its dS minus the sum
 * of the others'.
 *
 * Error: |D - do . o| is about u |do| |o| sqrt(K), u = 2^-24, and enters dS_ij times
 * P_ij. Where all P are small that is nothing; in a short or sharp row it would be the
 * size of dS itself, and there the two repairs apply. */
CZ_CLONES static void softmax_row(float *s, float *dp, row w) {
  int64_t n = w.visible;
  float rest = 0, scale = 1 / w.sum, max = w.max, D = w.D;
  const float *factor = w.factor;
#pragma omp simd
  for (int64_t j = 0; j < (factor ? n : 0); j++) dp[j] *= factor[j];
  if (w.sure) D = find_top(s, dp, max, n);
#pragma omp simd reduction(+ : rest)
  for (int64_t j = 0; j < n; j++) {
    float p = cz_expf_negative(s[j] - max) * scale, d = dp[j] - D;
    s[j] = p, dp[j] = d;
    rest += p * d;
  }
  if (!w.whole) rest = 0;
#pragma omp simd
  for (int64_t j = 0; j < n; j++) dp[j] = s[j] * (dp[j] - rest);
#pragma omp simd
  for (int64_t j = 0; j < (factor ? n : 0); j++) s[j] *= factor[j];
  for (int64_t j = n; j < w.limit; j++) s[j] = dp[j] = 0;
}

CZ_CLONES static float dot(const float *a, const float *b, int64_t n) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
  return sum;
}

/* do_i . o_i. */
static float dot_output(const cz__attention_unit *u, int64_t i) {
  const cz__attention_plan *p = u->plan;
  const void *o = p->call->out[CZ_ATTENTION_O].data, *dout = p->call->dout[CZ_ATTENTION_O].data;
  int64_t step = cz_piece_length(p->dtype, p->K), at = cz__attention_at(u, u->q0 + i);
  float x[CZ_PIECE], y[CZ_PIECE], sum = 0;
  for (int64_t k = 0; k < p->K; k += step) {
    int64_t n = cz_minimum(step, p->K - k);
    sum += dot(cz_piece_read(dout, p->dtype, at + k, n, x),
               cz_piece_read(o, p->dtype, at + k, n, y), n);
  }
  return sum;
}

/* sums[j - r + R - 1] = sum over the tile of dS[r, j] with that offset. Scores with one
 * offset j - p share a bucket whatever the bucket map, so at most R numbers meet in
 * float32 here, in R vector additions; the few sums of a tile then go to their buckets in
 * double. Adding each dS to its bucket at once would be a gather for each score. */
CZ_CLONES static void add_diagonals(float *sums, const float *ds, int64_t ld, int64_t R,
                                    int64_t N) {
  memset(sums, 0, (size_t)(R + N) * sizeof *sums);
  for (int64_t r = 0; r < R; r++) {
    float *to = sums + R - 1 - r;
    for (int64_t j = 0; j < N; j++) to[j] += ds[r * ld + j];
  }
}

/* Rows of a [T, H*K] gradient <- or += scale x. */
CZ_CLONES static void put_rows(float *to, int64_t stride, const float *x, int64_t width,
                               float scale, bool add, int64_t R, int64_t K) {
  for (int64_t r = 0; r < R; r++, to += stride, x += width) {
    if (add)
      for (int64_t k = 0; k < K; k++) to[k] += scale * x[k];
    else
      for (int64_t k = 0; k < K; k++) to[k] = scale * x[k];
  }
}

/* Scores recomputed from q and k, and do . v: the same calls on the same panels as
 * forward, so s has forward's bits and exp(s - max) / sum are its probabilities. */
static void backward_scores(const cz__attention_unit *u, tiles *t, const part *w) {
  const cz__attention_plan *p = u->plan;
  const cz_call *c = p->call;
  const float *stats = c->out[CZ_ATTENTION_STATS].data;
  int64_t zeros = w->limit + CZ_TILE_ROWS; /* products below read whole blocks of columns */
  cz__tile_scores(t->z, u->ld, t->q, p->width, t->kt, cz__attention_bias(u, w->i0, w->j0),
                  (float)p->attr->scale, w->R, w->limit, p->K);
  cz__tile_scores(t->ds, u->ld, t->dout, p->width, t->vt, NULL, 1, w->R, w->limit, p->K);
  for (int64_t r = 0; r < w->R; r++) {
    int64_t i = w->i0 + r;
    const float *l = &stats[2 * ((u->q0 + i) * p->H + u->h)];
    if (p->dropout && (r == 0 || !p->attr->share_queries))
      cz__attention_keep(u, t->factor, i, w->j0, w->limit);
    row x = {.factor = p->dropout ? t->factor : NULL,
             .max = l[0],
             .sum = l[1],
             .visible = w->visible[r],
             .limit = zeros};
    x.whole = w->visible[r] == cz__attention_visible(u, i);
    x.sure = x.whole && x.sum < 2; /* P of the top key is 1 / sum */
    if (!x.sure) x.D = dot_output(u, i);
    softmax_row(t->z + r * u->ld, t->ds + r * u->ld, x);
  }
}

/* Adds the tile's dS by bucket. */
static void backward_bias(const cz__attention_unit *u, tiles *t, const part *w) {
  const cz__attention_plan *p = u->plan;
  double *sums = p->partial + (u->n * p->H + u->h) * p->attr->buckets;
  const int32_t *bucket = p->bucket + w->j0 - (w->i0 + u->shift) - (w->R - 1);
  add_diagonals(t->diagonal, t->ds, u->ld, w->R, w->limit);
  for (int64_t x = 0; x < w->R + w->limit - 1; x++) sums[bucket[x]] += t->diagonal[x];
}

/* Writes or adds dq of the tile's queries, K numbers a row, for which it comes together in
 * dq itself or, of bfloat16, in t->sums. */
static void put_dq(const cz__attention_unit *u, const tiles *t, const part *w, cz_grad_mode mode) {
  const cz__attention_plan *p = u->plan;
  int64_t stride = t->sums ? p->K : p->H * p->K;
  float *dq = t->sums ? t->sums + w->i0 * p->K
                      : cz__attention_head(u, p->call->din[CZ_ATTENTION_Q].data, u->q0 + w->i0);
  bool add = (!t->sums && mode == CZ_GRAD_ADD) || w->j0 > 0;
  if (w->limit > 0)
    put_rows(dq, stride, t->dq, p->width, (float)p->attr->scale, add, w->R, p->K);
  else
    for (int64_t r = 0; r < w->R && !add; r++)
      memset(dq + r * stride, 0, (size_t)p->K * sizeof *dq);
}

/* dq of a query comes together over the blocks of keys, and is written where the first of
 * them is done (j0 = 0) and added to after that; dk and dv come together over the
 * queries, inside backward_keys. */
static void backward_tile(const cz__attention_unit *u, tiles *t, const part *w,
                          const cz_grad_mode *mode) {
  const cz__attention_plan *p = u->plan;
  const cz_call *c = p->call;
  int64_t stride;
  if (w->limit == 0) {
    if (mode[CZ_ATTENTION_Q]) put_dq(u, t, w, mode[CZ_ATTENTION_Q]);
    return;
  }
  const float *q =
      cz__attention_rows(u, c->in[CZ_ATTENTION_Q].data, u->q0 + w->i0, w->R, t->wide, &stride);
  cz__tile_copy(t->q, q, stride, w->R, p->K, p->width);
  const float *dout =
      cz__attention_rows(u, c->dout[CZ_ATTENTION_O].data, u->q0 + w->i0, w->R, t->wide, &stride);
  cz__tile_copy(t->dout, dout, stride, w->R, p->K, p->width);
  backward_scores(u, t, w);
  if (mode[CZ_ATTENTION_POSITION_BIAS]) backward_bias(u, t, w);
  cz__attention_round(u, t->z, w->R, w->limit);
  cz__attention_round(u, t->ds, w->R, w->limit);
  if (mode[CZ_ATTENTION_Q]) { /* s = scale q k: dq_i = scale sum_j dS_ij k_j */
    cz__tile_times(t->dq, p->width, t->ds, u->ld, t->k, CZ_TILE_COLS, CZ_TILE_COLS * w->keys, w->R,
                   p->K, w->limit);
    put_dq(u, t, w, mode[CZ_ATTENTION_Q]);
  }
  /* dk_j = scale sum_i dS_ij q_i, scaled when the block of keys is done;  o = Z v:
   * dv_j = sum_i Z_ij do_i */
  if (mode[CZ_ATTENTION_K])
    cz__tile_gather(t->dk, p->width, t->ds, u->ld, t->q, p->width, w->limit, p->K, w->R);
  if (mode[CZ_ATTENTION_V])
    cz__tile_gather(t->dv, p->width, t->z, u->ld, t->dout, p->width, w->limit, p->K, w->R);
}

static void open_keys(const cz__attention_unit *u, tiles *t, int64_t j0, int64_t keys, bool panel) {
  const cz__attention_plan *p = u->plan;
  const cz_arg *in = p->call->in;
  int64_t stride;
  const float *v =
      cz__attention_rows(u, in[CZ_ATTENTION_V].data, u->k0 + j0, keys, t->wide, &stride);
  cz__tile_transpose(t->vt, v, stride, keys, p->K);
  const float *k =
      cz__attention_rows(u, in[CZ_ATTENTION_K].data, u->k0 + j0, keys, t->wide, &stride);
  cz__tile_transpose(t->kt, k, stride, keys, p->K);
  if (panel) cz__tile_panel(t->k, k, stride, keys, p->K);
  memset(t->dk, 0, (size_t)((keys + CZ_TILE_ROWS) * p->width) * sizeof *t->dk);
  memset(t->dv, 0, (size_t)((keys + CZ_TILE_ROWS) * p->width) * sizeof *t->dv);
}

/* Rows of dk or dv, which are whole. */
static void put_keys(const cz__attention_unit *u, void *array, int64_t first, const float *x,
                     float scale, cz_grad_mode mode, int64_t keys) {
  const cz__attention_plan *p = u->plan;
  if (cz__attention_direct(p))
    put_rows(cz__attention_head(u, array, first), p->H * p->K, x, p->width, scale,
             mode == CZ_GRAD_ADD, keys, p->K);
  else
    for (int64_t r = 0; r < keys; r++)
      cz__attention_put(u, array, first + r, x + r * p->width, scale, mode);
}

static void backward_keys(const cz__attention_unit *u, tiles *t, int64_t j0, int64_t keys,
                          const cz_grad_mode *mode) {
  const cz__attention_plan *p = u->plan;
  const cz_arg *din = p->call->din;
  open_keys(u, t, j0, keys, mode[CZ_ATTENTION_Q]);
  for (int64_t i0 = 0; i0 < u->nq; i0 += u->rows) {
    part w = {.i0 = i0, .R = u->nq - i0 < u->rows ? u->nq - i0 : u->rows, .j0 = j0, .keys = keys};
    for (int64_t r = 0; r < w.R; r++) {
      int64_t seen = cz__attention_visible(u, i0 + r) - j0;
      w.limit = w.visible[r] = seen < 0 ? 0 : seen > keys ? keys : seen;
    }
    backward_tile(u, t, &w, mode);
  }
  if (mode[CZ_ATTENTION_K])
    put_keys(u, din[CZ_ATTENTION_K].data, u->k0 + j0, t->dk, (float)p->attr->scale,
             mode[CZ_ATTENTION_K], keys);
  if (mode[CZ_ATTENTION_V])
    put_keys(u, din[CZ_ATTENTION_V].data, u->k0 + j0, t->dv, 1, mode[CZ_ATTENTION_V], keys);
}

static void backward_unit(const cz__attention_unit *u, tiles *t, const cz_grad_mode *mode) {
  for (int64_t j0 = 0; j0 == 0 || j0 < u->nk; j0 += u->keys)
    backward_keys(u, t, j0, u->nk - j0 < u->keys ? u->nk - j0 : u->keys, mode);
  for (int64_t i = 0; i < u->nq && t->sums && mode[CZ_ATTENTION_Q]; i++)
    cz__attention_put(u, u->plan->call->din[CZ_ATTENTION_Q].data, u->q0 + i,
                      t->sums + i * u->plan->K, 1, mode[CZ_ATTENTION_Q]);
}

/* Key rows that no segment covers, or several do: start from zeros and add. Writing
 * without clearing needs every row of dk and dv to be written exactly once. */
static void settle_modes(const cz__attention_plan *p, cz_grad_mode *mode) {
  const cz_call *c = p->call;
  const int32_t *spans = c->in[CZ_ATTENTION_K_SPANS].data;
  int64_t covered = 0;
  for (int64_t n = 0; n < p->B; n++) covered = spans[2 * n] == covered ? spans[2 * n + 1] : -1;
  memcpy(mode, c->mode, sizeof c->mode);
  for (int i = CZ_ATTENTION_K; i <= CZ_ATTENTION_V; i++) {
    if (mode[i] != CZ_GRAD_WRITE || covered == p->Tk) continue;
    cz_grad_begin(c, i);
    mode[i] = CZ_GRAD_ADD;
  }
}

/* dbias[b, h] from the sums of the segments, in their order. A bias is shared by all
 * segments and, in T5, by all layers: a sum of thousands of terms that cancel (each row's
 * dS sum to 0), hence in double until here. */
static void reduce_bias(const cz__attention_plan *p) {
  float *dbias = p->call->din[CZ_ATTENTION_POSITION_BIAS].data;
  int64_t buckets = p->attr->buckets;
  for (int64_t b = 0; b < buckets; b++) {
    for (int64_t h = 0; h < p->H; h++) {
      double sum =
          p->call->mode[CZ_ATTENTION_POSITION_BIAS] == CZ_GRAD_ADD ? dbias[b * p->H + h] : 0;
      for (int64_t n = 0; n < p->B; n++) sum += p->partial[(n * p->H + h) * buckets + b];
      dbias[b * p->H + h] = (float)sum;
    }
  }
}

/** Gradients of q, k, v and the position bias, in the dtype of q. Contract: attention.h. Uses
 * OpenMP; the result does not depend on the number of threads. */
void cz_attention_bwd_cpu(const cz_call *call) {
  if (!call->dout[CZ_ATTENTION_O].data) {
    for (int i = 0; i < call->n_in; i++) cz_grad_begin(call, i);
    return;
  }
  cz__attention_plan plan;
  cz_grad_mode mode[CZ_OP_IN];
  cz__attention_open(&plan, call, true);
  settle_modes(&plan, mode);
  if (mode[CZ_ATTENTION_POSITION_BIAS])
    memset(plan.partial, 0, (size_t)(plan.B * plan.H * plan.attr->buckets) * sizeof(double));
  /* Segments that share keys add to the same rows: then a thread takes all segments of a
   * head, one after the other. */
  int64_t together = plan.disjoint ? 1 : plan.B, units = plan.disjoint ? plan.B * plan.H : plan.H;
#pragma omp parallel for schedule(dynamic) num_threads(plan.threads)
  for (int64_t x = 0; x < units; x++) {
    tiles t = tiles_of(&plan, omp_get_thread_num());
    for (int64_t n = x / plan.H; n < x / plan.H + together; n++) {
      cz__attention_unit u = cz__attention_unit_at(&plan, n, x % plan.H);
      backward_unit(&u, &t, mode);
    }
  }
  if (mode[CZ_ATTENTION_POSITION_BIAS]) reduce_bias(&plan);
}
