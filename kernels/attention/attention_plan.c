#include "kernels/attention/attention_cpu.h"

#include "kernels/attention/attention_units.h"
#include "kernels/common/cpu.h"
#include "kernels/common/dropout_mask.h"
#include "kernels/common/piece.h"
#include "kernels/common/units.h"

#include <omp.h>
#include <string.h>

enum { MARGIN = 32 /* readable entries beyond both ends of a bias row: whole blocks are read */ };

/* An odd number of cache lines, so that a column of the tile spreads over the cache;
 * products read up to CZ_TILE_COLS beyond the keys. 512 keys are 32 lines and get 33.
 * With an even number of lines, a power of two at worst, the rows of a column would fall
 * into few sets of the cache and evict each other. */
static int64_t tile_stride(int64_t keys) {
  int64_t lines = cz_round_up(keys, 16) / 16;
  return (lines % 2 ? lines + 2 : lines + 1) * 16;
}

/* Floats of one thread's slice; the takes of forward and backward (attention_cpu.c,
 * attention_cpu_bwd.c) must fit. */
static size_t slice_floats(const cz__attention_plan *p, bool backward) {
  int64_t tile = p->tile, keys = (p->keys + CZ_TILE_ROWS) * p->width, queries = p->rows * p->width;
  int64_t line = cz_round_up(p->keys, 16) + p->rows + MARGIN;
  int64_t all = backward ? 2 * tile + 5 * keys + 3 * queries + 2 * line
                         : tile + 2 * keys + 2 * queries + line + 2 * p->Tq;
  if (!cz__attention_direct(p)) all += (cz_maximum(p->keys, p->rows) + p->Tq) * p->K + 32;
  return (size_t)cz_round_up(all + 256, 16);
}

static void sizes_in_registers(cz__attention_plan *plan, bool backward) {
  plan->width = cz_round_up(plan->K, CZ_TILE_COLS);
  plan->rows = cz_round_up(cz_minimum(plan->Tq, CZ_QUERY_BLOCK), CZ_TILE_ROWS);
  plan->keys = cz_round_up(cz_minimum(plan->Tk, CZ_KEY_BLOCK), CZ_TILE_COLS);
  plan->tile = cz_minimum(CZ_TILE_FLOATS, plan->rows * tile_stride(plan->keys));
  plan->slice_floats = slice_floats(plan, backward);
}

/* The sums by bucket, doubles, counted in floats. */
static int64_t partial_floats(const cz__attention_plan *p, bool backward) {
  return backward ? cz_round_up(2 * p->B * p->H * p->attr->buckets, 16) : 0;
}

/* Fills the sizes of PLAN and returns the bytes that all threads share, in front of
 * their slices. */
static size_t lay_out(cz__attention_plan *plan, const cz_call *call, bool backward) {
  const cz_attention_attr *a = call->attr;
  const cz_arg *q = &call->in[CZ_ATTENTION_Q];
  bool bias = cz_present(&call->in[CZ_ATTENTION_POSITION_BIAS]);
  *plan = (cz__attention_plan){.call = call,
                               .attr = a,
                               .dtype = q->dtype,
                               .B = call->in[CZ_ATTENTION_Q_SPANS].dim[0],
                               .H = a->heads,
                               .K = q->dim[1] / a->heads};
  plan->Tq = q->dim[0], plan->Tk = call->in[CZ_ATTENTION_K].dim[0];
  if (cz_units_takes(call->stream, q->dtype)) plan->units = call->stream;
  plan->dropout = call->training && a->dropout > 0;
  plan->reach = cz_maximum(plan->Tq, plan->Tk);
  (plan->units ? cz__attention_units_sizes : sizes_in_registers)(plan, backward);
  if (backward && !cz__attention_direct(plan))
    plan->key_floats = 2 * (size_t)cz_round_up(plan->Tk * plan->K, 16);
  plan->line = cz_round_up(2 * (plan->reach + MARGIN) + 1, 16);
  if (!bias) return 0;
  return (size_t)(partial_floats(plan, backward) + (plan->H + 1) * plan->line) *
         sizeof(float); /* a line a head, and one of buckets */
}

/* Bytes behind what all share. Sums of keys are for those alone that have a head. */
static size_t bytes_of_threads(const cz__attention_plan *p, int threads) {
  return ((size_t)threads * p->slice_floats + (size_t)cz_minimum(threads, p->H) * p->key_floats) *
         sizeof(float);
}

/** Bytes of workspace at the call's sizes for as many threads as OpenMP would start
 * now. */
size_t cz_attention_workspace_cpu(const cz_call *call, bool backward) {
  cz__attention_plan plan;
  size_t shared = lay_out(&plan, call, backward);
  return shared + bytes_of_threads(&plan, omp_get_max_threads());
}

/* The bias of every offset that occurs, by head: scores read it along their diagonals,
 * and no matrix of it is made. The bias depends on j - p only, so 2 reach + 1 numbers a
 * head hold all of it, where the matrix has nq nk; query i reads them from offset -i on.
 * Zeros beyond the ends make whole blocks readable. */
static void fill_bias(cz__attention_plan *plan, float *lines) {
  const cz_attention_attr *a = plan->attr;
  const float *position_bias = plan->call->in[CZ_ATTENTION_POSITION_BIAS].data;
  int64_t middle = plan->reach + MARGIN, reach = 0;
  for (int64_t n = 0; n < plan->B; n++) {
    cz__attention_unit u = cz__attention_unit_at(plan, n, 0);
    reach = cz_maximum(reach, cz_maximum(u.nq, u.nk));
  }
  int32_t *map = (int32_t *)(lines + plan->H * plan->line);
  cz_attention_buckets(map, reach, a->buckets, a->max_distance, a->bidirectional);
  plan->bucket = map + reach;
  plan->bias = lines + middle;
  for (int64_t h = 0; h < plan->H; h++) {
    float *bias = lines + h * plan->line + middle;
    for (int64_t r = -reach; r <= reach; r++)
      bias[r] = position_bias[plan->bucket[r] * plan->H + h];
    for (int64_t r = 1; r <= MARGIN; r++) bias[reach + r] = bias[-reach - r] = 0;
  }
}

/** Prepares PLAN for a call: sizes, threads that the workspace has room for, bias by
 * offset. */
void cz__attention_open(cz__attention_plan *plan, const cz_call *call, bool backward) {
  size_t shared = lay_out(plan, call, backward);
  plan->threads = omp_get_max_threads();
  while (plan->threads > 1 &&
         shared + bytes_of_threads(plan, plan->threads) > call->workspace_bytes)
    plan->threads--;
  plan->partial = call->workspace;
  plan->slices = (float *)((char *)call->workspace + shared);
  plan->disjoint = !(backward && cz__attention_joins(call));
  const int32_t *spans = call->in[CZ_ATTENTION_K_SPANS].data;
  for (int64_t n = 1; n < plan->B; n++) plan->disjoint &= spans[2 * n] >= spans[2 * n - 1];
  plan->gathers = plan->key_floats > 0 && !plan->disjoint;
  if (call->in[CZ_ATTENTION_POSITION_BIAS].data)
    fill_bias(plan, (float *)call->workspace + partial_floats(plan, backward));
}

/* The unit's tile: keys in equal parts of whole columns, none over CZ_KEY_BLOCK, and as
 * many queries as then fit. Equal parts rather than full blocks and a rest: 2049 keys are
 * two blocks of 1040, not one of 2048 and one of a single key. */
static void choose_tile(cz__attention_unit *u) {
  int64_t parts = cz_maximum(1, (u->nk + CZ_KEY_BLOCK - 1) / CZ_KEY_BLOCK);
  u->keys = cz_maximum(CZ_TILE_COLS, cz_round_up((u->nk + parts - 1) / parts, CZ_TILE_COLS));
  u->ld = tile_stride(u->keys);
  u->rows = cz_minimum(CZ_QUERY_BLOCK, CZ_TILE_FLOATS / u->ld / CZ_TILE_ROWS * CZ_TILE_ROWS);
}

/** Segment N of head H. */
cz__attention_unit cz__attention_unit_at(const cz__attention_plan *plan, int64_t n, int64_t h) {
  const cz_arg *in = plan->call->in;
  const int32_t *qs = in[CZ_ATTENTION_Q_SPANS].data, *ks = in[CZ_ATTENTION_K_SPANS].data,
                *prefix = in[CZ_ATTENTION_PREFIX].data;
  cz__attention_unit u = {
      .plan = plan, .n = n, .h = h, .q0 = qs[2 * n], .nq = qs[2 * n + 1] - qs[2 * n]};
  u.k0 = ks[2 * n], u.nk = ks[2 * n + 1] - ks[2 * n];
  u.shift = plan->attr->mask == CZ_ATTENTION_MASK_FULL ? 0 : u.nk - u.nq;
  u.prefix = plan->attr->mask == CZ_ATTENTION_MASK_FULL     ? u.nk
             : plan->attr->mask == CZ_ATTENTION_MASK_PREFIX ? prefix[n]
                                                            : 0;
  (plan->units ? cz__attention_units_tile : choose_tile)(&u);
  return u;
}

/** The bias of query I and key J, with those of the keys after it; null without a position
 * bias. */
const float *cz__attention_bias(const cz__attention_unit *u, int64_t i, int64_t j) {
  return u->plan->bias ? u->plan->bias + u->h * u->plan->line + j - (i + u->shift) : NULL;
}

/** How many keys query I sees; they are the segment's first ones, whatever the mask. */
int64_t cz__attention_visible(const cz__attention_unit *u, int64_t i) {
  return cz_minimum(u->nk, cz_maximum(0, cz_maximum(i + u->shift + 1, u->prefix)));
}

/** R rows of the head from row ROW of a [T, H*K] array on, STRIDE floats apart: where they lie, or
 * widened in WIDE [R, K]. */
const float *cz__attention_rows(const cz__attention_unit *u, const void *array, int64_t row,
                                int64_t R, float *wide, int64_t *stride) {
  const cz__attention_plan *p = u->plan;
  *stride = cz__attention_direct(p) ? p->H * p->K : p->K;
  if (cz__attention_direct(p)) return cz__attention_head(u, array, row);
  for (int64_t r = 0; r < R; r++)
    cz_bf16_widen(wide + r * p->K, (const cz_bf16 *)array + cz__attention_at(u, row + r), p->K);
  return wide;
}

/** Writes or adds SCALE times the K numbers of X to the head in row ROW of a [T, H*K] array of the
 * call's dtype, rounded once. */
void cz__attention_put(const cz__attention_unit *u, void *array, int64_t row, const float *x,
                       float scale, cz_grad_mode mode) {
  float piece[CZ_PIECE];
  for (int64_t k = 0; k < u->plan->K; k += CZ_PIECE) {
    int64_t n = cz_minimum(CZ_PIECE, u->plan->K - k);
    for (int64_t i = 0; i < n; i++) piece[i] = scale * x[k + i];
    cz_piece_grad(array, u->plan->dtype, cz__attention_at(u, row) + k, n, piece, mode);
  }
}

/** Rounds the first N numbers of R rows of a tile to the call's dtype, as a unit that multiplies
 * them in it would see them. */
void cz__attention_round(const cz__attention_unit *u, float *tile, int64_t R, int64_t n) {
  for (int64_t r = 0; r < R; r++) cz_piece_round(tile + r * u->ld, n, u->plan->dtype);
}

/** Dropout factors of query I for N keys from J on. */
void cz__attention_keep(const cz__attention_unit *u, float *factor, int64_t i, int64_t j,
                        int64_t n) {
  const cz__attention_plan *p = u->plan;
  cz_dropout_mask_fill_keys(factor, n, &p->call->key, (uint64_t)(u->n * p->H + u->h),
                            p->attr->share_queries ? 0 : i, j, p->attr->dropout);
}
