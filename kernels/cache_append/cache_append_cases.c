#include "kernels/cache_append/cache_append.h"
#include "kernels/cases.h"

#include <stdio.h>

/* Rows are drawn with repetition, so most cases name one twice: the order of n is
 * tested. */
static void problem(cz_case *c, cz_rand *r, int64_t C, int64_t N, int64_t E) {
  cz_case_normal(c, r, CZ_CACHE_APPEND_CACHE, 2, (int64_t[]){C, E}, 1);
  cz_case_normal(c, r, CZ_CACHE_APPEND_X, 2, (int64_t[]){N, E}, 1);
  int32_t *rows = cz_case_int(c, CZ_CACHE_APPEND_ROWS, 1, &N);
  for (int64_t n = 0; n < N; n++) rows[n] = (int32_t)(C - 1 - cz_rand_int(r, 0, C - 1));
  snprintf(c->what, sizeof c->what, "C %lld N %lld E %lld", (long long)C, (long long)N,
           (long long)E);
}

static void sample(cz_case *c, cz_rand *r, int index) {
  switch (index) {
  case 0: problem(c, r, 3, 0, 5); return; /* nothing to append */
  case 1: problem(c, r, 1, 1, 1); return;
  case 2: problem(c, r, 1, 3, 17); return; /* the same row three times: the last stays */
  case 3: problem(c, r, 1, 300, 4); return;
  case 4: problem(c, r, 5000, 700, 136); return; /* most rows once */
  case 5: problem(c, r, 600, 4500, 4); return;   /* more than a card's launch has, most again */
  case 6: problem(c, r, 5, 9, 1160); return;     /* more than a warp has under way at once */
  default: problem(c, r, cz_rand_size(r, 130), cz_rand_size(r, 70), cz_rand_size(r, 130));
  }
}

enum { ROWS, OF, WIDTH };

static void bench(cz_case *c, cz_rand *r, const int64_t *n) {
  problem(c, r, n[OF], n[ROWS], n[WIDTH]);
}

/* Other rows of the cache are not written. */
static int64_t rows(const cz_call *call, const cz_arg *a) {
  return call->in[CZ_CACHE_APPEND_ROWS].dim[0];
}

const cz_op_cases cz_cache_append_cases = {
    .fixed = 8,
    .sample = sample,
    .bench = bench,
    .sizes = {[ROWS] = "rows", [OF] = "of", [WIDTH] = "width"},
    .rows = rows};
