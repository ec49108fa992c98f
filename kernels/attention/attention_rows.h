/* What attention does with rows of scores between its products, for the products in registers
 * (attention_cpu.c, attention_cpu_bwd.c) and those of matrix units (attention_units.c). Private to
 * this folder. */
#ifndef CZ_KERNELS_ATTENTION_ROWS_H
#define CZ_KERNELS_ATTENTION_ROWS_H

#include "kernels/attention/attention_cpu.h"

CZ_C_BEGIN

enum { CZ_PART_ROWS = 256 /* queries of a tile, at most */ };

/* A tile: queries i0 to i0 + R - 1, keys j0 to j0 + keys - 1, of which the last query sees the
 * first `limit` and row r the first `visible[r]`. */
typedef struct cz__attention_part {
  int64_t i0, R, j0, keys, limit;
  bool follows; /* rows of the tile before these left dropout factors that are shared */
  int64_t visible[CZ_PART_ROWS]; /* never falls from one query to the next */
} cz__attention_part;

/* Where a segment's output comes together over its blocks of keys. */
typedef struct cz__attention_output {
  float *max, *sum; /* per query: largest score so far, sum of exp(score - max) */
  float *out;       /* [Tq, K], where o itself is narrower; else null */
} cz__attention_output;

/* N rows of a head's gradient, which are whole, WIDTH apart; the first is row FIRST of its array.
 */
typedef struct cz__attention_rows_of {
  const float *x;
  int64_t width, first, n;
} cz__attention_rows_of;

void cz__attention_part_at(const cz__attention_unit *u, cz__attention_part *w, int64_t i0,
                           int64_t R, int64_t j0, int64_t keys);
void cz__attention_part_rows(const cz__attention_part *w, cz__attention_part *some, int64_t first,
                             int64_t rows);

/* Whether row r of a tile has dropout factors other than those that were made last. */
static inline bool cz__attention_factors_differ(const cz__attention_unit *u,
                                                const cz__attention_part *w, int64_t r) {
  return !u->plan->attr->share_queries || (r == 0 && !w->follows);
}

void cz__attention_weights(const cz__attention_unit *u, const cz__attention_part *w, float *s,
                           int64_t ld, int64_t zeros, float *factor, float *max, float *sum);
void cz__attention_merge(const cz__attention_unit *u, cz__attention_output *t,
                         const cz__attention_part *w, const float *max, const float *sum,
                         const float *share, int64_t width);
void cz__attention_finish(const cz__attention_unit *u, cz__attention_output *t);

void cz__attention_gradients(const cz__attention_unit *u, const cz__attention_part *w, float *z,
                             float *ds, int64_t ld, int64_t zeros, float *factor);
void cz__attention_put_keys(const cz__attention_unit *u, int thread, int input,
                            const cz__attention_rows_of *rows, float scale, cz_grad_mode mode);
void cz__attention_clear_keys(const cz__attention_plan *p, int thread);
void cz__attention_finish_keys(const cz__attention_plan *p, int thread, int64_t h,
                               const cz_grad_mode *mode);
void cz__attention_add_diagonals(const cz__attention_part *w, const float *ds, int64_t ld,
                                 int64_t first, int64_t rows, float *diagonal);
void cz__attention_add_bias(const cz__attention_unit *u, const cz__attention_part *w,
                            const float *diagonal);

CZ_C_END

#endif
