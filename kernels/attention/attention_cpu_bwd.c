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
 * dS before that), and each gradient is rounded once, when it is whole; of keys that segments
 * share, when all of these are done. */
#include "kernels/attention/attention_rows.h"
#include "kernels/attention/attention_units.h"

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

static tiles tiles_of(const cz__attention_plan *p, int thread) {
  float *at = cz__attention_slice(p, thread);
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
static void backward_scores(const cz__attention_unit *u, tiles *t, const cz__attention_part *w) {
  const cz__attention_plan *p = u->plan;
  int64_t zeros = w->limit + CZ_TILE_ROWS; /* products below read whole blocks of columns */
  cz__tile_scores(t->z, u->ld, t->q, p->width, t->kt, cz__attention_bias(u, w->i0, w->j0),
                  (float)p->attr->scale, w->R, w->limit, p->K);
  cz__tile_scores(t->ds, u->ld, t->dout, p->width, t->vt, NULL, 1, w->R, w->limit, p->K);
  cz__attention_gradients(u, w, t->z, t->ds, u->ld, zeros, t->factor);
}

/* Writes or adds dq of the tile's queries, K numbers a row, for which it comes together in
 * dq itself or, of bfloat16, in t->sums. */
static void put_dq(const cz__attention_unit *u, const tiles *t, const cz__attention_part *w,
                   cz_grad_mode mode) {
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
static void backward_tile(const cz__attention_unit *u, tiles *t, const cz__attention_part *w,
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
  if (mode[CZ_ATTENTION_POSITION_BIAS]) {
    cz__attention_add_diagonals(w, t->ds, u->ld, 0, w->R, t->diagonal);
    cz__attention_add_bias(u, w, t->diagonal);
  }
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
static void put_keys(const cz__attention_unit *u, int thread, int input,
                     const cz__attention_rows_of *rows, float scale, cz_grad_mode mode) {
  const cz__attention_plan *p = u->plan;
  if (cz__attention_direct(p))
    put_rows(cz__attention_head(u, p->call->din[input].data, rows->first), p->H * p->K, rows->x,
             rows->width, scale, mode == CZ_GRAD_ADD, rows->n, p->K);
  else
    cz__attention_put_keys(u, thread, input, rows, scale, mode);
}

static void backward_keys(const cz__attention_unit *u, int thread, tiles *t, int64_t j0,
                          int64_t keys, const cz_grad_mode *mode) {
  const cz__attention_plan *p = u->plan;
  open_keys(u, t, j0, keys, mode[CZ_ATTENTION_Q]);
  for (int64_t i0 = 0; i0 < u->nq; i0 += u->rows) {
    cz__attention_part w;
    cz__attention_part_at(u, &w, i0, cz_minimum(u->nq - i0, u->rows), j0, keys);
    backward_tile(u, t, &w, mode);
  }
  const cz__attention_rows_of of_k = {t->dk, p->width, u->k0 + j0, keys},
                              of_v = {t->dv, p->width, u->k0 + j0, keys};
  if (mode[CZ_ATTENTION_K])
    put_keys(u, thread, CZ_ATTENTION_K, &of_k, (float)p->attr->scale, mode[CZ_ATTENTION_K]);
  if (mode[CZ_ATTENTION_V]) put_keys(u, thread, CZ_ATTENTION_V, &of_v, 1, mode[CZ_ATTENTION_V]);
}

static void backward_unit(const cz__attention_unit *u, int thread, const cz_grad_mode *mode) {
  tiles whole = tiles_of(u->plan, thread), *t = &whole;
  for (int64_t j0 = 0; j0 == 0 || j0 < u->nk; j0 += u->keys)
    backward_keys(u, thread, t, j0, u->nk - j0 < u->keys ? u->nk - j0 : u->keys, mode);
  for (int64_t i = 0; i < u->nq && t->sums && mode[CZ_ATTENTION_Q]; i++)
    cz__attention_put(u, u->plan->call->din[CZ_ATTENTION_Q].data, u->q0 + i,
                      t->sums + i * u->plan->K, 1, mode[CZ_ATTENTION_Q]);
}

/* Key rows that no segment covers, or several do: start from zeros and add. Writing
 * without clearing needs every row of dk and dv to be written exactly once. So does dq where it is
 * not an array of its own, since it may be whole after the others. */
static void choose_modes(const cz__attention_plan *p, cz_grad_mode *mode) {
  const cz_call *c = p->call;
  const int32_t *spans = c->in[CZ_ATTENTION_K_SPANS].data;
  int64_t covered = 0;
  for (int64_t n = 0; n < p->B; n++) covered = spans[2 * n] == covered ? spans[2 * n + 1] : -1;
  memcpy(mode, c->mode, sizeof c->mode);
  if (mode[CZ_ATTENTION_Q] == CZ_GRAD_WRITE && cz__attention_joins(c)) {
    cz_grad_begin(c, CZ_ATTENTION_Q);
    mode[CZ_ATTENTION_Q] = CZ_GRAD_ADD;
  }
  if (p->gathers) return; /* all rows are written when a head is done */
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
  choose_modes(&plan, mode);
  if (mode[CZ_ATTENTION_POSITION_BIAS])
    memset(plan.partial, 0, (size_t)(plan.B * plan.H * plan.attr->buckets) * sizeof(double));
  /* Segments that share keys add to the same rows: then a thread takes all segments of a
   * head, one after the other. */
  int64_t together = plan.disjoint ? 1 : plan.B, units = plan.disjoint ? plan.B * plan.H : plan.H;
#pragma omp parallel for schedule(dynamic) num_threads((int)cz_minimum(plan.threads, units))
  for (int64_t x = 0; x < units; x++) {
    const int thread = omp_get_thread_num();
    if (plan.gathers) cz__attention_clear_keys(&plan, thread);
    for (int64_t n = x / plan.H; n < x / plan.H + together; n++) {
      cz__attention_unit u = cz__attention_unit_at(&plan, n, x % plan.H);
      (plan.units ? cz__attention_units_backward : backward_unit)(&u, thread, mode);
    }
    if (plan.gathers) cz__attention_finish_keys(&plan, thread, x, mode);
  }
  if (mode[CZ_ATTENTION_POSITION_BIAS]) reduce_bias(&plan);
}
