/* Attention by matrix units. The two products of forward and the five of backward go through
 * common/product.h on arrays without gaps, in the dtype of q, with float32 sums; scores, softmax,
 * dropout and what comes together over tiles are float32 (attention_rows.h):
 *
 *     S  = scale q k^T        O  = P v                                       forward
 *     S again,  dP = do v^T,  dV += P^T do,  dQ += dS k,  dK += dS^T q       backward
 *
 * The units have a primitive for each shape, and segments are of any length. So the queries of a
 * tile are brought to 16 or to a multiple of 64 by rows of zeros, and the keys that they see to a
 * multiple of 64, above 512 one of 256. For segments of 1 to 512, all lengths alike, that makes 13
 * pairs of sizes in self-attention and 24 in cross-attention with up to 128 queries; 0.84 and 0.64
 * of the multiplications are between queries and keys that are there. Multiples of 32 would make 25
 * and 80 pairs for 0.92 and 0.78, multiples of 128 7 and 8 for 0.73 and 0.45.
 *
 * A tile has at most 2^17 scores: 256 queries and 512 keys, or 64 and 2048. Backward has two of
 * them, 1 MiB, in a core's second cache. Rounded P and dS take the place of their float32 numbers.
 *
 * What is done to scores between the products is done to a band of rows at a time, which stays in
 * the first cache: a tile in the second is read and written once rather than for each step.
 *
 * Forward and backward cut a unit alike, so that scores have the same bits in both. */
#include "kernels/attention/attention_units.h"

#include "kernels/attention/attention_rows.h"
#include "kernels/common/cpu.h"
#include "kernels/common/piece.h"
#include "kernels/common/product.h"
#include "kernels/common/rows.h"
#include "kernels/common/workspace.h"

#include <string.h>

enum { BAND = 1 << 11 /* scores: 8 KiB, twice in backward */ };
enum { SCORES = 1 << 17, FEW_ROWS = 16, STEP = 64, LONG = 512, LONG_STEP = 256 };

static int64_t padded_rows(int64_t n) { return n <= FEW_ROWS ? FEW_ROWS : cz_round_up(n, STEP); }

static int64_t padded_keys(int64_t n) { return cz_round_up(n, n <= LONG ? STEP : LONG_STEP); }

typedef struct tiles {        /* one thread's workspace; the first four in the dtype of q */
  void *k, *v;                /* block of keys [keys, K] */
  void *q, *dout;             /* block of queries [rows, K] */
  float *s, *ds;              /* tiles: scores, then P; do . v, then dS */
  float *o;                   /* the tile's share of the output [rows, K] */
  float *dk, *dv;             /* gradients of the block of keys, before scaling */
  float *dq;                  /* of the segment, before scaling [Tq, K] and the rows of a tile */
  float *factor, *diagonal;   /* dropout factors of one row; sums of dS by offset */
  cz__attention_output whole; /* forward */
  void *scratch;              /* of the products */
} tiles;

/* c [M, N] = alpha a [M, K] b [N, K]^T */
static cz_product scores(const cz__attention_plan *p, int64_t M, int64_t N) {
  return (cz_product){.dtype = p->dtype,
                      .c_dtype = CZ_F32,
                      .b_transposed = true,
                      .M = M,
                      .N = N,
                      .K = p->K,
                      .lda = p->K,
                      .ldb = p->K,
                      .ldc = N,
                      .alpha = 1,
                      .units = p->units};
}

/* c [M, K] = a [M, L] b [L, K] */
static cz_product times(const cz__attention_plan *p, int64_t M, int64_t L) {
  return (cz_product){.dtype = p->dtype,
                      .c_dtype = CZ_F32,
                      .M = M,
                      .N = p->K,
                      .K = L,
                      .lda = L,
                      .ldb = p->K,
                      .ldc = p->K,
                      .alpha = 1,
                      .units = p->units};
}

/* c [N, K] += a [L, N]^T b [L, K] */
static cz_product gather(const cz__attention_plan *p, int64_t N, int64_t L) {
  cz_product g = times(p, N, L);
  g.a_transposed = true, g.lda = N, g.beta = 1;
  return g;
}

static void multiply(const tiles *t, cz_product p, float *c, const void *a, const void *b) {
  p.c = c, p.a = a, p.b = b;
  cz_product_whole(&p, t->scratch);
}

static size_t scratch_bytes(const cz__attention_plan *p, bool backward) {
  const cz_product each[] = {scores(p, p->rows, p->keys), times(p, p->rows, p->keys),
                             gather(p, p->keys, p->rows)};
  size_t most = 0;
  for (int i = 0; i < (backward ? 3 : 2); i++) {
    size_t bytes = cz_product_whole_scratch(&each[i]);
    if (bytes > most) most = bytes;
  }
  return most;
}

static size_t lay_out(tiles *t, const cz__attention_plan *p, bool backward, uintptr_t begin) {
  uintptr_t at = begin;
  size_t each = cz_dtype_bytes(p->dtype), K = (size_t)p->K, keys = (size_t)p->keys * K,
         rows = (size_t)p->rows * K, Tq = (size_t)p->Tq, f = sizeof(float);
  bool narrow = !cz__attention_direct(p);
  *t = (tiles){0};
  t->k = cz_take(&at, keys * each), t->v = cz_take(&at, keys * each);
  t->q = cz_take(&at, rows * each);
  t->s = cz_take(&at, (size_t)p->tile * f);
  t->factor = cz_take(&at, (size_t)p->keys * f);
  if (backward) {
    t->dout = cz_take(&at, rows * each), t->ds = cz_take(&at, (size_t)p->tile * f);
    t->dk = cz_take(&at, keys * f), t->dv = cz_take(&at, keys * f);
    t->dq = cz_take(&at, (Tq * K + rows) * f);
    t->diagonal = cz_take(&at, (size_t)(p->keys + p->rows) * f);
  } else {
    t->o = cz_take(&at, rows * f);
    t->whole.max = cz_take(&at, Tq * f), t->whole.sum = cz_take(&at, Tq * f);
    if (narrow) t->whole.out = cz_take(&at, Tq * K * f);
  }
  t->scratch = cz_take(&at, scratch_bytes(p, backward));
  return (size_t)(at - begin);
}

static tiles tiles_of(const cz__attention_plan *p, bool backward, int thread) {
  tiles t;
  lay_out(&t, p, backward, (uintptr_t)cz__attention_slice(p, thread));
  return t;
}

/** The largest tile of a call, and a thread's slice; they never fall when sizes grow. */
void cz__attention_units_sizes(cz__attention_plan *p, bool backward) {
  tiles t;
  p->rows = padded_rows(cz_minimum(p->Tq, CZ_PART_ROWS));
  p->keys = padded_keys(cz_minimum(p->Tk, CZ_KEY_BLOCK));
  p->tile = cz_minimum(SCORES, p->rows * p->keys);
  p->slice_floats = lay_out(&t, p, backward, 0) / sizeof(float);
}

/** The unit's tile: keys in equal parts, none over CZ_KEY_BLOCK, and as many queries as then fit.
 */
void cz__attention_units_tile(cz__attention_unit *u) {
  int64_t parts = cz_maximum(1, (u->nk + CZ_KEY_BLOCK - 1) / CZ_KEY_BLOCK);
  u->keys = cz_maximum(STEP, cz_round_up((u->nk + parts - 1) / parts, STEP));
  u->rows = cz_minimum(CZ_PART_ROWS, SCORES / padded_keys(u->keys) / STEP * STEP);
  u->ld = 0; /* a tile has no gaps: its rows are as long as its keys, padded */
}

/* N rows of the head from row FIRST on, without gaps, and zeros up to ALL rows. */
static void bring(const cz__attention_unit *u, void *to, const void *array, int64_t first,
                  int64_t n, int64_t all) {
  const cz__attention_plan *p = u->plan;
  size_t row = (size_t)p->K * cz_dtype_bytes(p->dtype);
  for (int64_t r = 0; r < n; r++)
    memcpy((char *)to + (size_t)r * row,
           cz_piece_at(array, p->dtype, cz__attention_at(u, first + r)), row);
  memset((char *)to + (size_t)n * row, 0, (size_t)(all - n) * row);
}

static void bring_keys(const cz__attention_unit *u, const tiles *t, int64_t j0, int64_t keys) {
  const cz_arg *in = u->plan->call->in;
  int64_t all = padded_keys(keys);
  bring(u, t->k, in[CZ_ATTENTION_K].data, u->k0 + j0, keys, all);
  bring(u, t->v, in[CZ_ATTENTION_V].data, u->k0 + j0, keys, all);
}

static void bring_queries(const cz__attention_unit *u, const cz__attention_part *w, void *to,
                          const void *array) {
  bring(u, to, array, u->q0 + w->i0, w->R, padded_rows(w->R));
}

/* Scores of a tile: [rows, N], without bias. */
static void compute_scores(const cz__attention_unit *u, const tiles *t, const cz__attention_part *w,
                           int64_t N) {
  const cz__attention_plan *p = u->plan;
  cz_product product = scores(p, padded_rows(w->R), N);
  product.alpha = (float)p->attr->scale;
  bring_queries(u, w, t->q, p->call->in[CZ_ATTENTION_Q].data);
  multiply(t, product, t->s, t->q, t->k);
}

static void add_bias(const cz__attention_unit *u, const cz__attention_part *w, float *s,
                     int64_t N) {
  for (int64_t r = 0; u->plan->bias && r < w->R; r++)
    cz_row_add(s + r * N, cz__attention_bias(u, w->i0 + r, w->j0), w->visible[r]);
}

/* Rows FIRST to FIRST + ROWS - 1 of a tile in the dtype of q, over its float32 numbers, after the
 * rows before them. */
static void narrow(const cz__attention_plan *p, float *tile, int64_t first, int64_t rows,
                   int64_t N) {
  for (int64_t r = first; r < first + rows; r++) cz_piece_narrow(tile, p->dtype, r * N, N);
}

/* Zeros in the rows beyond the queries, of a tile that is narrow. */
static void clear_rest(const cz__attention_plan *p, const cz__attention_part *w, float *tile,
                       int64_t N) {
  memset(cz_piece_at(tile, p->dtype, w->R * N), 0,
         (size_t)((padded_rows(w->R) - w->R) * N) * cz_dtype_bytes(p->dtype));
}

static int64_t band_of(const cz__attention_part *w, int64_t first, int64_t N) {
  return cz_minimum(w->R - first, cz_maximum(1, BAND / N));
}

/* Scores become e^(s - max) M in the dtype of q. */
static void exponentiate(const cz__attention_unit *u, const tiles *t, const cz__attention_part *w,
                         int64_t N, float *max, float *sum) {
  cz__attention_part band;
  for (int64_t r = 0; r < w->R; r += band.R) {
    float *s = t->s + r * N;
    cz__attention_part_rows(w, &band, r, band_of(w, r, N));
    add_bias(u, &band, s, N);
    cz__attention_weights(u, &band, s, N, N, t->factor, max + r, sum + r);
    narrow(u->plan, t->s, r, band.R, N);
  }
  clear_rest(u->plan, w, t->s, N);
}

static void forward_tile(const cz__attention_unit *u, tiles *t, const cz__attention_part *w) {
  const cz__attention_plan *p = u->plan;
  int64_t N = padded_keys(w->limit);
  float max[CZ_PART_ROWS], sum[CZ_PART_ROWS] = {0};
  if (w->limit > 0) {
    compute_scores(u, t, w, N);
    exponentiate(u, t, w, N, max, sum);
    multiply(t, times(p, padded_rows(w->R), N), t->o, t->s, t->v);
  }
  cz__attention_merge(u, &t->whole, w, max, sum, t->o, p->K);
}

/** o and the stats of a unit. */
void cz__attention_units_forward(const cz__attention_unit *u, int thread) {
  tiles t = tiles_of(u->plan, false, thread);
  cz__attention_part w;
  for (int64_t j0 = 0; j0 == 0 || j0 < u->nk; j0 += u->keys) {
    int64_t keys = cz_minimum(u->keys, u->nk - j0);
    bring_keys(u, &t, j0, keys);
    for (int64_t i0 = 0; i0 < u->nq; i0 += u->rows) {
      cz__attention_part_at(u, &w, i0, cz_minimum(u->rows, u->nq - i0), j0, keys);
      forward_tile(u, &t, &w);
    }
  }
  cz__attention_finish(u, &t.whole);
}

/* Scores and do . v become Z = P M and dS in the dtype of q; the bias's gradient goes by bucket. */
static void differentiate(const cz__attention_unit *u, const tiles *t, const cz__attention_part *w,
                          int64_t N, bool bias) {
  cz__attention_part band;
  for (int64_t r = 0; r < w->R; r += band.R) {
    float *s = t->s + r * N, *ds = t->ds + r * N;
    cz__attention_part_rows(w, &band, r, band_of(w, r, N));
    add_bias(u, &band, s, N);
    cz__attention_gradients(u, &band, s, ds, N, N, t->factor);
    if (bias) cz__attention_add_diagonals(w, ds, N, r, band.R, t->diagonal);
    narrow(u->plan, t->s, r, band.R, N), narrow(u->plan, t->ds, r, band.R, N);
  }
  if (bias) cz__attention_add_bias(u, w, t->diagonal);
  clear_rest(u->plan, w, t->s, N), clear_rest(u->plan, w, t->ds, N);
}

/* dq comes together over the blocks of keys; dk and dv over the queries. */
static void backward_tile(const cz__attention_unit *u, tiles *t, const cz__attention_part *w,
                          const cz_grad_mode *mode) {
  const cz__attention_plan *p = u->plan;
  int64_t N = padded_keys(w->limit), rows = padded_rows(w->R);
  float *dq = t->dq + w->i0 * p->K;
  if (w->limit == 0) {
    if (w->j0 == 0) memset(dq, 0, (size_t)(w->R * p->K) * sizeof *dq);
    return;
  }
  compute_scores(u, t, w, N);
  bring_queries(u, w, t->dout, p->call->dout[CZ_ATTENTION_O].data);
  multiply(t, scores(p, rows, N), t->ds, t->dout, t->v);
  differentiate(u, t, w, N, mode[CZ_ATTENTION_POSITION_BIAS]);
  if (mode[CZ_ATTENTION_Q]) {
    cz_product product = times(p, rows, N);
    product.beta = w->j0 > 0 ? 1 : 0;
    multiply(t, product, dq, t->ds, t->k);
  }
  if (mode[CZ_ATTENTION_K]) multiply(t, gather(p, N, rows), t->dk, t->ds, t->q);
  if (mode[CZ_ATTENTION_V]) multiply(t, gather(p, N, rows), t->dv, t->s, t->dout);
}

/** The gradients of a unit, by MODE; those of the bias by bucket, into the plan's sums. */
void cz__attention_units_backward(const cz__attention_unit *u, int thread,
                                  const cz_grad_mode *mode) {
  const cz__attention_plan *p = u->plan;
  tiles t = tiles_of(p, true, thread);
  cz__attention_part w;
  for (int64_t j0 = 0; j0 == 0 || j0 < u->nk; j0 += u->keys) {
    int64_t keys = cz_minimum(u->keys, u->nk - j0);
    size_t bytes = (size_t)(padded_keys(keys) * p->K) * sizeof(float);
    bring_keys(u, &t, j0, keys);
    memset(t.dk, 0, bytes), memset(t.dv, 0, bytes);
    for (int64_t i0 = 0; i0 < u->nq; i0 += u->rows) {
      cz__attention_part_at(u, &w, i0, cz_minimum(u->rows, u->nq - i0), j0, keys);
      backward_tile(u, &t, &w, mode);
    }
    for (int input = CZ_ATTENTION_K; input <= CZ_ATTENTION_V; input++) {
      const bool of_k = input == CZ_ATTENTION_K;
      const cz__attention_rows_of rows = {of_k ? t.dk : t.dv, p->K, u->k0 + j0, keys};
      if (mode[input])
        cz__attention_put_keys(u, thread, input, &rows, of_k ? (float)p->attr->scale : 1,
                               mode[input]);
    }
  }
  for (int64_t i = 0; i < u->nq && mode[CZ_ATTENTION_Q]; i++)
    cz__attention_put(u, p->call->din[CZ_ATTENTION_Q].data, u->q0 + i, t.dq + i * p->K,
                      (float)p->attr->scale, mode[CZ_ATTENTION_Q]);
}
