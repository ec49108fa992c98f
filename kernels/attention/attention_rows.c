/* Rows of scores between the products of attention, whichever way those are computed. */
#include "kernels/attention/attention_rows.h"

#include "kernels/common/cpu.h"
#include "kernels/common/piece.h"

#include <math.h>
#include <string.h>

/** Queries I0 to I0 + R - 1 against the keys from J0 on, of which there are KEYS: how many of these
 * each sees. */
void cz__attention_part_at(const cz__attention_unit *u, cz__attention_part *w, int64_t i0,
                           int64_t R, int64_t j0, int64_t keys) {
  w->i0 = i0, w->R = R, w->j0 = j0, w->keys = keys, w->limit = 0, w->follows = false;
  for (int64_t r = 0; r < R; r++) {
    int64_t seen = cz__attention_visible(u, i0 + r) - j0;
    w->limit = w->visible[r] = seen < 0 ? 0 : seen > keys ? keys : seen;
  }
}

/** ROWS rows of a tile from row FIRST on, as a tile; `limit` stays the whole tile's. */
void cz__attention_part_rows(const cz__attention_part *w, cz__attention_part *some, int64_t first,
                             int64_t rows) {
  some->i0 = w->i0 + first, some->R = rows, some->follows = first > 0;
  some->j0 = w->j0, some->keys = w->keys, some->limit = w->limit;
  memcpy(some->visible, w->visible + first, (size_t)rows * sizeof *some->visible);
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

/** Scores S, rows LD apart, become e^(s - m) M; zeros up to column ZEROS. Each row's largest score
 * m and sum of e^(s - m) come out. FACTOR: room for a row's dropout factors. */
void cz__attention_weights(const cz__attention_unit *u, const cz__attention_part *w, float *s,
                           int64_t ld, int64_t zeros, float *factor, float *max, float *sum) {
  const cz__attention_plan *p = u->plan;
  softmax_rows(s, ld, w->visible, zeros, max, sum, w->R);
  for (int64_t r = 0; r < w->R && p->dropout; r++) {
    if (cz__attention_factors_differ(u, w, r))
      cz__attention_keep(u, factor, w->i0 + r, w->j0, w->limit);
    multiply_row(s + r * ld, factor, w->visible[r]);
  }
}

/* out <- kept out + added x: a weighted mean of two outputs. */
CZ_CLONES static void blend_row(float *out, const float *x, float kept, float added, int64_t n) {
  for (int64_t k = 0; k < n; k++) out[k] = kept * out[k] + added * x[k];
}

CZ_CLONES static void scale_row(float *out, const float *x, float factor, int64_t n) {
  for (int64_t k = 0; k < n; k++) out[k] = factor * x[k];
}

/* Where query i's output comes together. */
static float *output_of(const cz__attention_unit *u, const cz__attention_output *t, int64_t i) {
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
static void merge(const cz__attention_unit *u, cz__attention_output *t, int64_t i, bool first,
                  int64_t seen, float max, float sum, const float *share) {
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
static void refuse_weightless(const cz__attention_unit *u, cz__attention_output *t, int64_t i) {
  if (t->sum[i] != 0 || cz__attention_visible(u, i) == 0) return;
  float *o = output_of(u, t, i);
  for (int64_t k = 0; k < u->plan->K; k++) o[k] = NAN;
  t->max[i] = t->sum[i] = NAN;
}

/** Adds a tile's share to its queries: rows of SHARE are WIDTH apart. MAX and SUM are not read of
 * queries that see none of the keys. */
void cz__attention_merge(const cz__attention_unit *u, cz__attention_output *t,
                         const cz__attention_part *w, const float *max, const float *sum,
                         const float *share, int64_t width) {
  for (int64_t r = 0; r < w->R; r++)
    merge(u, t, w->i0 + r, w->j0 == 0, w->visible[r], max[r], sum[r], share + r * width);
}

/** Writes o, where it is not there yet, and the stats of a unit whose blocks of keys are all
 * merged. */
void cz__attention_finish(const cz__attention_unit *u, cz__attention_output *t) {
  const cz__attention_plan *p = u->plan;
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
