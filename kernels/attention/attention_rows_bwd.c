/* Rows of scores in attention's backward, whichever way its products are computed. */
#include "kernels/attention/attention_rows.h"

#include "kernels/common/cpu.h"
#include "kernels/common/piece.h"
#include "kernels/common/rows.h"

#include <math.h>
#include <string.h>

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
 * Error: |D - do . o| is about u |do| |o| sqrt(K), u = 2^-24, or that of o's dtype, and
 * enters dS_ij times P_ij. Where all P are small that is nothing; in a short or sharp row
 * it would be the size of dS itself, and there the two repairs apply. */
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

/** Z holds scores and DS do . v on entry, rows LD apart; they become Z = P M and dS, with zeros up
 * to column ZEROS. FACTOR: room for a row's dropout factors. */
void cz__attention_gradients(const cz__attention_unit *u, const cz__attention_part *w, float *z,
                             float *ds, int64_t ld, int64_t zeros, float *factor) {
  const cz__attention_plan *p = u->plan;
  const float *stats = p->call->out[CZ_ATTENTION_STATS].data;
  for (int64_t r = 0; r < w->R; r++) {
    int64_t i = w->i0 + r;
    const float *l = &stats[2 * ((u->q0 + i) * p->H + u->h)];
    if (p->dropout && cz__attention_factors_differ(u, w, r))
      cz__attention_keep(u, factor, i, w->j0, w->limit);
    row x = {.factor = p->dropout ? factor : NULL,
             .max = l[0],
             .sum = l[1],
             .visible = w->visible[r],
             .limit = zeros};
    x.whole = w->visible[r] == cz__attention_visible(u, i);
    x.sure = x.whole && x.sum < 2; /* P of the top key is 1 / sum */
    if (!x.sure) x.D = dot_output(u, i);
    softmax_row(z + r * ld, ds + r * ld, x);
  }
}

/* Where the thread's dk or dv comes together over segments that share keys, [Tk, K]. */
static float *key_sums(const cz__attention_plan *p, int thread, int input) {
  float *first = cz__attention_slice(p, p->threads) + (size_t)thread * p->key_floats;
  return input == CZ_ATTENTION_K ? first : first + p->key_floats / 2;
}

/** Begins a head whose segments share keys: its sums are zero. */
void cz__attention_clear_keys(const cz__attention_plan *p, int thread) {
  memset(key_sums(p, thread, CZ_ATTENTION_K), 0, p->key_floats * sizeof(float));
}

/** Rows of the gradient of k or v, the call's INPUT, times SCALE: where they belong in 16 bits, or
 * added to the sums. */
void cz__attention_put_keys(const cz__attention_unit *u, int thread, int input,
                            const cz__attention_rows_of *rows, float scale, cz_grad_mode mode) {
  const cz__attention_plan *p = u->plan;
  for (int64_t r = 0; r < rows->n; r++) {
    const float *x = rows->x + r * rows->width;
    const int64_t j = rows->first + r;
    if (!p->gathers)
      cz__attention_put(u, p->call->din[input].data, j, x, scale, mode);
    else
      for (int64_t k = 0; k < p->K; k++) key_sums(p, thread, input)[j * p->K + k] += scale * x[k];
  }
}

/** Ends it: dk and dv of all keys, also of those that no segment has. */
void cz__attention_finish_keys(const cz__attention_plan *p, int thread, int64_t h,
                               const cz_grad_mode *mode) {
  const cz__attention_unit u = cz__attention_unit_at(p, 0, h);
  for (int input = CZ_ATTENTION_K; input <= CZ_ATTENTION_V; input++)
    for (int64_t j = 0; j < p->Tk && mode[input]; j++)
      cz__attention_put(&u, p->call->din[input].data, j, key_sums(p, thread, input) + j * p->K, 1,
                        mode[input]);
}

/** DIAGONAL[j - r + R - 1] = sum over a tile of dS[r, j] with that offset, from ROWS rows DS of it,
 * LD apart, the first of which is row FIRST of the tile; row 0 clears the sums. DIAGONAL: room for
 * as many numbers as the tile has queries and keys.
 *
 * Scores with one offset j - p share a bucket whatever the bucket map, so at most R numbers meet in
 * float32 here, in R vector additions; the few sums of a tile then go to their buckets in double.
 * Adding each dS to its bucket at once would be a gather for each score. */
void cz__attention_add_diagonals(const cz__attention_part *w, const float *ds, int64_t ld,
                                 int64_t first, int64_t rows, float *diagonal) {
  if (first == 0) memset(diagonal, 0, (size_t)(w->R + w->limit) * sizeof *diagonal);
  for (int64_t r = 0; r < rows; r++)
    cz_row_add(diagonal + w->R - 1 - (first + r), ds + r * ld, w->limit);
}

/** Adds a tile's dS by bucket, from its sums by offset. */
void cz__attention_add_bias(const cz__attention_unit *u, const cz__attention_part *w,
                            const float *diagonal) {
  const cz__attention_plan *p = u->plan;
  double *sums = p->partial + (u->n * p->H + u->h) * p->attr->buckets;
  const int32_t *bucket = p->bucket + w->j0 - (w->i0 + u->shift) - (w->R - 1);
  for (int64_t x = 0; x < w->R + w->limit - 1; x++) sums[bucket[x]] += diagonal[x];
}
