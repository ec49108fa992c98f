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
#include "kernels/attention/attention_rows.h"
#include "kernels/attention/attention_units.h"

#include "kernels/common/cpu.h"

#include <math.h>
#include <omp.h>
#include <string.h>

typedef struct tiles { /* one thread's workspace */
  float *k, *v;        /* block of keys: panels of transposed K, panels of V */
  float *q, *s, *o;    /* block of queries, its scores, its share of the output */
  float *factor;       /* dropout factors of one row */
  float *wide;         /* of bfloat16: rows widened [keys or rows, K] */
  cz__attention_output whole;
} tiles;

static tiles tiles_of(const cz__attention_plan *p, int thread) {
  float *at = cz__attention_slice(p, thread);
  tiles t;
  t.k = cz__attention_take(&at, p->keys * p->width);
  t.v = cz__attention_take(&at, p->keys * p->width);
  t.q = cz__attention_take(&at, p->rows * p->width);
  t.o = cz__attention_take(&at, p->rows * p->width);
  t.s = cz__attention_take(&at, p->tile);
  t.factor = cz__attention_take(&at, p->keys);
  t.whole.max = cz__attention_take(&at, p->Tq);
  t.whole.sum = cz__attention_take(&at, p->Tq);
  t.wide =
      cz__attention_direct(p) ? NULL : cz__attention_take(&at, cz_maximum(p->keys, p->rows) * p->K);
  t.whole.out = cz__attention_direct(p) ? NULL : cz__attention_take(&at, p->Tq * p->K);
  return t;
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
  int64_t stride;
  float max[CZ_QUERY_BLOCK], sum[CZ_QUERY_BLOCK] = {0};
  cz__attention_part w;
  cz__attention_part_at(u, &w, i0, R, j0, keys);
  if (w.limit > 0) {
    const float *q =
        cz__attention_rows(u, p->call->in[CZ_ATTENTION_Q].data, u->q0 + i0, R, t->wide, &stride);
    cz__tile_copy(t->q, q, stride, R, p->K, p->width);
    cz__tile_scores(t->s, u->ld, t->q, p->width, t->k, cz__attention_bias(u, i0, j0),
                    (float)p->attr->scale, R, w.limit, p->K);
    cz__attention_weights(u, &w, t->s, u->ld, w.limit, t->factor, max, sum);
    cz__attention_round(u, t->s, R, w.limit);
    if (in_place(u))
      cz__tile_times(t->o, p->width, t->s, u->ld,
                     cz__attention_head(u, p->call->in[CZ_ATTENTION_V].data, u->k0 + j0),
                     p->H * p->K, CZ_TILE_COLS, R, p->K, w.limit);
    else
      cz__tile_times(t->o, p->width, t->s, u->ld, t->v, CZ_TILE_COLS, CZ_TILE_COLS * keys, R, p->K,
                     w.limit);
  }
  cz__attention_merge(u, &t->whole, &w, max, sum, t->o, p->width);
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
static void forward_unit(const cz__attention_unit *u, int thread) {
  tiles whole = tiles_of(u->plan, thread), *t = &whole;
  int64_t block = u->keys;
  for (int64_t j0 = 0; j0 == 0 || j0 < u->nk; j0 += block) {
    int64_t keys = u->nk - j0 < block ? u->nk - j0 : block;
    open_keys(u, t, j0, keys);
    for (int64_t i0 = 0; i0 < u->nq; i0 += u->rows)
      forward_tile(u, t, i0, u->nq - i0 < u->rows ? u->nq - i0 : u->rows, j0, keys);
  }
  cz__attention_finish(u, &t->whole);
}

/** Attention in the dtype of q, by matrix units where the device has them for it. Contract:
 * attention.h. Uses OpenMP; the result does not depend on the number of threads. */
void cz_attention_fwd_cpu(const cz_call *call) {
  cz__attention_plan plan;
  cz__attention_open(&plan, call, false);
#pragma omp parallel for schedule(dynamic) num_threads(plan.threads)
  for (int64_t x = 0; x < plan.B * plan.H; x++) {
    cz__attention_unit u = cz__attention_unit_at(&plan, x / plan.H, x % plan.H);
    (plan.units ? cz__attention_units_forward : forward_unit)(&u, omp_get_thread_num());
  }
}
