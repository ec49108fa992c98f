/* Attention forward in float32 or bfloat16: OpenMP over (segment, head), tiles of scores, softmax
 * over blocks of keys. Formulas: attention.h.
 *
 * Softmax over blocks (Milakov and Gimelshein 2018; Dao et al. 2022, algorithm 1). A
 * block of keys gives its largest score m, the sum l of exp(s - m) and the vector a of
 * sum exp(s - m) M v. Two blocks become one by
 *
 *     m = max(m1, m2)
 *     l = l1 e^(m1 - m) + l2 e^(m2 - m)
 *     a = a1 e^(m1 - m) + a2 e^(m2 - m)
 *
 * and the output is a / l. Up to CZ_KEY_BLOCK keys there is one block and nothing to
 * merge. Dropout multiplies the terms of a and not those of l: it acts on probabilities,
 * after the division.
 *
 * In bfloat16 q, k and v are widened as they are brought into panels; scores, m, l and a are
 * float32; the terms e^(s - m) M are rounded before they meet v, and o once at the end. */
#include "kernels/attention/attention_cpu.h"

#include "kernels/common/cpu.h"

#include <math.h>
#include <omp.h>
#include <string.h>

typedef struct tiles { /* one thread's workspace */
  float *k, *v;        /* block of keys: panels of transposed K, panels of V */
  float *q, *s, *o;    /* block of queries, its scores, its share of the output */
  float *factor;       /* dropout factors of one row */
  float *max, *sum;    /* per query of the segment: largest score so far, sum of exp(score - max) */
  float *wide, *out;   /* of bfloat16: rows widened [keys or rows, K]; the segment's o [Tq, K] */
} tiles;

static tiles tiles_of(const cz__attention_plan *p, int thread) {
  float *at = p->slices + (size_t)thread * p->slice_floats;
  tiles t;
  t.k = cz__attention_take(&at, p->keys * p->width);
  t.v = cz__attention_take(&at, p->keys * p->width);
  t.q = cz__attention_take(&at, p->rows * p->width);
  t.o = cz__attention_take(&at, p->rows * p->width);
  t.s = cz__attention_take(&at, p->tile);
  t.factor = cz__attention_take(&at, p->keys);
  t.max = cz__attention_take(&at, p->Tq);
  t.sum = cz__attention_take(&at, p->Tq);
  t.wide =
      cz__attention_direct(p) ? NULL : cz__attention_take(&at, cz_maximum(p->keys, p->rows) * p->K);
  t.out = cz__attention_direct(p) ? NULL : cz__attention_take(&at, p->Tq * p->K);
  return t;
}

/* s <- exp(s - max) over the visible part of a row and zeros up to `limit`; max and the
 * sum come out. A score that is NaN or +infinity makes the sum NaN, also where the
 * maximum, which compares, passes over it. */
static inline __attribute__((always_inline)) void
softmax_row(float *s, int64_t visible, int64_t limit, float *max, float *sum) {
  float m = -INFINITY, l = 0;
#pragma omp simd reduction(max : m)
  for (int64_t j = 0; j < visible; j++) m = s[j] > m ? s[j] : m;
#pragma omp simd reduction(+ : l)
  for (int64_t j = 0; j < visible; j++) {
    s[j] = cz_expf_negative(s[j] - m);
    l += s[j];
  }
  for (int64_t j = visible; j < limit; j++) s[j] = 0;
  /* The largest score adds exp(0): a smaller sum means that no score was finite. */
  bool finite = l > 0 || visible == 0;
  *max = finite ? m : NAN, *sum = finite ? l : NAN;
}

/* Whether float32 has taken all of a block's scores below its range. They are then weights of 0
 * beside another block's finite scores, whichever block a key falls into. */
static bool all_below_range(const float *s, int64_t visible) {
  for (int64_t j = 0; j < visible; j++)
    if (s[j] != -INFINITY) return false;
  return true;
}

CZ_CLONES static void softmax_rows(float *s, int64_t ld, const int64_t *visible, int64_t limit,
                                   float *max, float *sum, int64_t R) {
  for (int64_t r = 0; r < R; r++) {
    float *row = s + r * ld;
    if (visible[r] > 0 && row[0] == -INFINITY && all_below_range(row, visible[r])) {
      memset(row, 0, (size_t)limit * sizeof *row);
      max[r] = -INFINITY, sum[r] = 0;
    } else {
      softmax_row(row, visible[r], limit, &max[r], &sum[r]);
    }
  }
}

CZ_CLONES static void multiply_row(float *x, const float *factor, int64_t n) {
  for (int64_t j = 0; j < n; j++) x[j] *= factor[j];
}

/* out <- kept out + added x: a weighted mean of two outputs. */
CZ_CLONES static void blend_row(float *out, const float *x, float kept, float added, int64_t n) {
  for (int64_t k = 0; k < n; k++) out[k] = kept * out[k] + added * x[k];
}

CZ_CLONES static void scale_row(float *out, const float *x, float factor, int64_t n) {
  for (int64_t k = 0; k < n; k++) out[k] = factor * x[k];
}

/* Where query i's output comes together. */
static float *output_of(const cz__attention_unit *u, const tiles *t, int64_t i) {
  return t->out ? t->out + i * u->plan->K
                : cz__attention_head(u, u->plan->call->out[CZ_ATTENTION_O].data, u->q0 + i);
}

/* Adds a block's share (largest score, sum, sum of exp(score - max) v) to query i, whose
 * output is kept normalised by the sum so far. SEEN: how many of the block's keys the
 * query sees; the sum does not tell, as it is NaN when a score is not finite.
 *
 * With o = a / l of the blocks so far:
 *
 *     o <- (l e^(m - m') o + e^(max - m') share) / l',   m' = max(m, max),
 *     l' = l e^(m - m') + sum e^(max - m')
 *
 * Kept normalised, o is finished after each block, and a single block costs one
 * multiplication of share by 1 / sum. Both exponents are at most 0: nothing overflows,
 * whatever the scores. */
static void merge(const cz__attention_unit *u, tiles *t, int64_t i, bool first, int64_t seen,
                  float max, float sum, const float *share) {
  float *o = output_of(u, t, i);
  bool weighs = seen && sum != 0; /* true for NaN */
  if (first) {
    t->max[i] = weighs ? max : -INFINITY, t->sum[i] = weighs ? sum : 0;
    if (weighs)
      scale_row(o, share, 1 / sum, u->plan->K);
    else
      memset(o, 0, (size_t)u->plan->K * sizeof *o);
  } else if (weighs) {
    float highest = max > t->max[i] ? max : t->max[i];
    float kept = t->sum[i] * expf(t->max[i] - highest), added = expf(max - highest),
          all = kept + sum * added;
    blend_row(o, share, kept / all, added / all, u->plan->K);
    t->max[i] = all == all ? highest : all, t->sum[i] = all;
  }
}

/* A query that sees keys, and not one score within float32's range: nothing is known of it. */
static void refuse_weightless(const cz__attention_unit *u, tiles *t, int64_t i) {
  if (t->sum[i] != 0 || cz__attention_visible(u, i) == 0) return;
  float *o = output_of(u, t, i);
  for (int64_t k = 0; k < u->plan->K; k++) o[k] = NAN;
  t->max[i] = t->sum[i] = NAN;
}

/* A decoder's one or few new queries read V where it lies, which gives the same bits: a
 * copy would cost more than the product. */
static bool in_place(const cz__attention_unit *u) {
  return cz__attention_direct(u->plan) && u->nq <= (int64_t)2 * CZ_TILE_ROWS &&
         u->plan->K % CZ_TILE_COLS == 0;
}

/* The queries from i0 on against the keys from j0 on.
 *
 * R queries. What each sees is a run of the segment's first keys (cz__attention_visible),
 * so a mask costs no comparison for each score: the run is cut at the block's edges,
 * products go up to the longest of them, and the rest of a row is set to 0. */
static void forward_tile(const cz__attention_unit *u, tiles *t, int64_t i0, int64_t R, int64_t j0,
                         int64_t keys) {
  const cz__attention_plan *p = u->plan;
  int64_t visible[CZ_QUERY_BLOCK], limit = 0, stride;
  float max[CZ_QUERY_BLOCK], sum[CZ_QUERY_BLOCK] = {0};
  for (int64_t r = 0; r < R; r++) {
    int64_t seen = cz__attention_visible(u, i0 + r) - j0;
    visible[r] = seen < 0 ? 0 : seen > keys ? keys : seen;
    limit = visible[r]; /* never falls from one query to the next */
  }
  if (limit > 0) {
    const float *q =
        cz__attention_rows(u, p->call->in[CZ_ATTENTION_Q].data, u->q0 + i0, R, t->wide, &stride);
    cz__tile_copy(t->q, q, stride, R, p->K, p->width);
    cz__tile_scores(t->s, u->ld, t->q, p->width, t->k, cz__attention_bias(u, i0, j0),
                    (float)p->attr->scale, R, limit, p->K);
    softmax_rows(t->s, u->ld, visible, limit, max, sum, R);
    for (int64_t r = 0; r < R && p->dropout; r++) {
      if (r == 0 || !p->attr->share_queries) cz__attention_keep(u, t->factor, i0 + r, j0, limit);
      multiply_row(t->s + r * u->ld, t->factor, visible[r]);
    }
    cz__attention_round(u, t->s, R, limit);
    if (in_place(u))
      cz__tile_times(t->o, p->width, t->s, u->ld,
                     cz__attention_head(u, p->call->in[CZ_ATTENTION_V].data, u->k0 + j0),
                     p->H * p->K, CZ_TILE_COLS, R, p->K, limit);
    else
      cz__tile_times(t->o, p->width, t->s, u->ld, t->v, CZ_TILE_COLS, CZ_TILE_COLS * keys, R, p->K,
                     limit);
  }
  for (int64_t r = 0; r < R; r++)
    merge(u, t, i0 + r, j0 == 0, visible[r], max[r], sum[r], t->o + r * p->width);
}

static void open_keys(const cz__attention_unit *u, tiles *t, int64_t j0, int64_t keys) {
  const cz__attention_plan *p = u->plan;
  const cz_arg *in = p->call->in;
  int64_t stride;
  const float *k =
      cz__attention_rows(u, in[CZ_ATTENTION_K].data, u->k0 + j0, keys, t->wide, &stride);
  cz__tile_transpose(t->k, k, stride, keys, p->K);
  if (in_place(u)) return;
  const float *v =
      cz__attention_rows(u, in[CZ_ATTENTION_V].data, u->k0 + j0, keys, t->wide, &stride);
  cz__tile_panel(t->v, v, stride, keys, p->K);
}

/* Blocks of keys outside, queries inside: K and V of a block are brought into panel order
 * once and serve all queries. Without keys the loop runs once for the sake of o = 0 and
 * the stats. */
static void forward_unit(const cz__attention_unit *u, tiles *t) {
  const cz__attention_plan *p = u->plan;
  int64_t block = u->keys;
  for (int64_t j0 = 0; j0 == 0 || j0 < u->nk; j0 += block) {
    int64_t keys = u->nk - j0 < block ? u->nk - j0 : block;
    open_keys(u, t, j0, keys);
    for (int64_t i0 = 0; i0 < u->nq; i0 += u->rows)
      forward_tile(u, t, i0, u->nq - i0 < u->rows ? u->nq - i0 : u->rows, j0, keys);
  }
  for (int64_t i = 0; i < u->nq; i++) refuse_weightless(u, t, i);
  for (int64_t i = 0; i < u->nq && t->out; i++)
    cz__attention_put(u, p->call->out[CZ_ATTENTION_O].data, u->q0 + i, t->out + i * p->K, 1,
                      CZ_GRAD_WRITE);
  float *stats = p->call->out[CZ_ATTENTION_STATS].data;
  for (int64_t i = 0; i < u->nq && stats; i++) {
    float *row = &stats[2 * ((u->q0 + i) * p->H + u->h)];
    row[0] = t->max[i], row[1] = t->sum[i];
  }
}

/** Attention in the dtype of q. Contract: attention.h. Uses OpenMP; the result does not depend
 * on the number of threads. */
void cz_attention_fwd_cpu(const cz_call *call) {
  cz__attention_plan plan;
  cz__attention_open(&plan, call, false);
#pragma omp parallel for schedule(dynamic) num_threads(plan.threads)
  for (int64_t x = 0; x < plan.B * plan.H; x++) {
    cz__attention_unit u = cz__attention_unit_at(&plan, x / plan.H, x % plan.H);
    tiles t = tiles_of(&plan, omp_get_thread_num());
    forward_unit(&u, &t);
  }
}
