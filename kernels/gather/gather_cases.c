#include "kernels/cases.h"
#include "kernels/gather/gather.h"

#include <stdio.h>

/* DISTINCT rows are read by N: with one of them all of dy lands in a single row, the
 * longest sum that the error limit has to cover. 0: rows are read once, backwards. */
static void problem(cz_case *c, cz_rand *r, int64_t T, int64_t N, int64_t D, int64_t distinct) {
  cz_case_normal(c, r, CZ_GATHER_X, 2, (int64_t[]){T, D}, 1);
  int32_t *rows = cz_case_int(c, CZ_GATHER_ROWS, 1, &N);
  for (int64_t n = 0; n < N; n++)
    rows[n] = (int32_t)(T - 1 -
                        (distinct > 0 ? cz_rand_int(r, 0, distinct - 1)
                                      : n)); /* the last rows, the very last among them */
  c->smooth = true;
  snprintf(c->what, sizeof c->what, "T %lld N %lld D %lld of %lld distinct rows", (long long)T,
           (long long)N, (long long)D, (long long)distinct);
}

static void sample(cz_case *c, cz_rand *r, int index) {
  switch (index) {
  case 0: problem(c, r, 5, 0, 3, 1); return; /* nothing is read: the gradient is zero */
  case 1: problem(c, r, 0, 0, 3, 1); return;
  case 2: problem(c, r, 1, 1, 1, 1); return;
  case 3: problem(c, r, 7, 300, 65, 1); return; /* one row, read over and over */
  case 4: problem(c, r, 300, 60, 129, 300); return;
  case 5: problem(c, r, 30, 5000, 4, 12); return;      /* each row hundreds of times */
  case 6: problem(c, r, 700, 700, 8, 0); return;       /* each row once */
  case 7: problem(c, r, 70000, 333, 1, 70000); return; /* numbers of 17 bits */
  case 8: problem(c, r, 2, 260, 133, 2); return;
  default: break;
  }
  int64_t T = cz_rand_size(r, 300);
  problem(c, r, T, cz_rand_size(r, 300), cz_rand_size(r, 130), cz_rand_int(r, 1, T));
}

enum { ROWS, OF, WIDTH };

static void bench(cz_case *c, cz_rand *r, const int64_t *n) {
  problem(c, r, n[OF], n[ROWS], n[WIDTH], n[OF]);
}

static int64_t rows(const cz_call *call, const cz_arg *a) {
  return a == &call->in[CZ_GATHER_X] ? call->out[0].dim[0] : a->dim[0];
}

const cz_op_cases cz_gather_cases = {.fixed = 9,
                                     .sample = sample,
                                     .bench = bench,
                                     .sizes = {[ROWS] = "rows", [OF] = "of", [WIDTH] = "width"},
                                     .rows = rows};
