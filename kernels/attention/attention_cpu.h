/* What forward and backward of the CPU attention share: the plan of a call, its
 * workspace, and the geometry of one (segment, head). Private to this folder.
 *
 * A call is cut into units, one (segment, head) each; a unit goes through blocks of keys,
 * and for each through blocks of queries, so that everything in hand is a tile of at most
 * CZ_TILE_FLOATS scores. Longer segments get tiles of fewer queries, so that up to
 * CZ_KEY_BLOCK keys a row of scores is whole. Where a device's matrix units multiply in the call's
 * dtype, tiles have other sizes and no gaps (attention_units.h). */
#ifndef CZ_KERNELS_ATTENTION_CPU_H
#define CZ_KERNELS_ATTENTION_CPU_H

#include "kernels/attention/attention.h"
#include "kernels/attention/attention_tile.h"
#include "kernels/common/cpu.h"
#include "kernels/common/product.h"

CZ_C_BEGIN

/* 72 queries are 12 blocks of 6 rows. With 512 keys, whose rows are 528 floats apart,
 * they fill a tile of 148 KiB; 2048 keys leave room for 18 queries. All three are part of
 * the results: other tiles add in another order. */
enum { CZ_QUERY_BLOCK = 72, CZ_KEY_BLOCK = CZ_ATTENTION_WHOLE, CZ_TILE_FLOATS = 72 * 528 };

/* One call's sizes, made anew by each call: kernels keep nothing between calls. Its
 * arrays lie in the workspace, first what all threads read and then one slice a
 * thread. */
typedef struct cz__attention_plan {
  const cz_call *call;
  const cz_attention_attr *attr;
  cz_dtype dtype;  /* of q, k, v, o and their gradients */
  cz_units *units; /* the device's, where they multiply in that dtype; else null */
  int64_t B, H, K, Tq, Tk;
  int64_t width;            /* K rounded up to whole blocks of columns */
  int64_t rows, keys, tile; /* maximum queries, keys and floats of a tile in this call */
  bool dropout, disjoint;   /* disjoint: the key segments follow one another and dq is an array of
                               its own, so that units write rows of their own */
  bool gathers;             /* they are not, and dk and dv, in 16 bits, come together elsewhere */
  int64_t reach;            /* offsets j - p lie within +-reach */
  const float
      *bias; /* of offset 0 for head 0; head h is h * line further. Null without a position bias */
  int64_t line;          /* entries of a head's bias, margins included */
  const int32_t *bucket; /* bucket of offset 0; null without a position bias */
  double *partial;       /* [B, H, N] sums of dS by bucket */
  float *slices;         /* one a thread */
  size_t slice_floats;
  size_t key_floats; /* behind the slices, for each thread that then has a head: dk and dv, [2, Tk,
                        K]. Planned for in 16 bits whatever the segments are, which no plan knows */
  int threads;
} cz__attention_plan;

/* One segment and head. Row numbers i and j are inside the segment. A unit writes rows of
 * o, stats and dq that no other unit writes, so units need no lock and their order does
 * not matter; for dk and dv that holds when the key segments are disjoint. */
typedef struct cz__attention_unit {
  const cz__attention_plan *plan;
  int64_t n, h, q0, nq, k0, nk, shift /* p = i + shift */, prefix;
  int64_t rows, keys; /* queries and keys of a tile */
  int64_t ld;         /* floats from one row of a tile of scores to the next */
} cz__attention_unit;

/* Layout measures, open fills: the workspace function calls the first alone, with the
 * sizes at capacity, and a kernel both. */
void cz__attention_open(cz__attention_plan *plan, const cz_call *call, bool backward);
cz__attention_unit cz__attention_unit_at(const cz__attention_plan *plan, int64_t n, int64_t h);
const float *cz__attention_bias(const cz__attention_unit *u, int64_t i, int64_t j);
int64_t cz__attention_visible(const cz__attention_unit *u, int64_t i);
void cz__attention_keep(const cz__attention_unit *u, float *factor, int64_t i, int64_t j,
                        int64_t n);

/* Where the head's first number in row `row` of a [T, H*K] array is. */
static inline int64_t cz__attention_at(const cz__attention_unit *u, int64_t row) {
  return (row * u->plan->H + u->h) * u->plan->K;
}

/* The same in an array of floats. */
static inline float *cz__attention_head(const cz__attention_unit *u, const void *array,
                                        int64_t row) {
  return (float *)array + cz__attention_at(u, row);
}

/* Whether rows are read and written where they lie. */
static inline bool cz__attention_direct(const cz__attention_plan *p) { return p->dtype == CZ_F32; }

const float *cz__attention_rows(const cz__attention_unit *u, const void *array, int64_t row,
                                int64_t R, float *wide, int64_t *stride);
void cz__attention_put(const cz__attention_unit *u, void *array, int64_t row, const float *x,
                       float scale, cz_grad_mode mode);
void cz__attention_round(const cz__attention_unit *u, float *tile, int64_t R, int64_t n);

/* Whether q is an array that is also k or v, so that dq comes together with dk or dv: a unit's rows
 * of the one may be another's of the other, which the spans say. */
static inline bool cz__attention_joins(const cz_call *c) {
  const void *dq = c->mode[CZ_ATTENTION_Q] ? c->din[CZ_ATTENTION_Q].data : NULL;
  return dq && ((c->mode[CZ_ATTENTION_K] && dq == c->din[CZ_ATTENTION_K].data) ||
                (c->mode[CZ_ATTENTION_V] && dq == c->din[CZ_ATTENTION_V].data));
}

/* What is a thread's own. */
static inline float *cz__attention_slice(const cz__attention_plan *p, int thread) {
  return p->slices + (size_t)thread * p->slice_floats;
}

/* Takes n floats, in whole cache lines, from the front of what *at points to. */
static inline float *cz__attention_take(float **at, int64_t n) {
  float *taken = *at;
  *at += cz_round_up(n, 16);
  return taken;
}

CZ_C_END

#endif
