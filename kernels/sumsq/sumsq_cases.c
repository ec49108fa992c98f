#include "kernels/cases.h"
#include "kernels/sumsq/sumsq.h"

#include <stdio.h>

typedef struct fixed {
  int ndim;
  int64_t dim[CZ_DIMS];
  double std;
} fixed;

/* One element; chunk edges; squares that would overflow or vanish when summed carelessly
 * in float32; nothing at all. */
static const fixed hand[] = {{1, {1}, 1},    {1, {8191}, 1},       {1, {8192}, 1},
                             {1, {8193}, 1}, {2, {3, 5}, 1e-15},   {2, {40, 512}, 4e14},
                             {1, {0}, 1},    {4, {2, 3, 5, 7}, 1}, {1, {150001}, 1}};

/* std 4e14: squares of 1.6e29, whose sum of 20,480 is within float32, which holds
 * 3.4e38. */
static void sample(cz_case *c, cz_rand *r, int index) {
  fixed f = {.ndim = (int)cz_rand_int(r, 1, 4), .std = cz_rand_real(r, 0.01, 100)};
  for (int i = 0; i < CZ_DIMS; i++) f.dim[i] = cz_rand_size(r, i < 2 ? 257 : 5);
  if (index < (int)(sizeof hand / sizeof *hand)) f = hand[index];
  cz_case_normal(c, r, CZ_SUMSQ_X, f.ndim, f.dim, f.std);
  snprintf(c->what, sizeof c->what, "%lld elements of std %g",
           (long long)cz_numel(&c->in[CZ_SUMSQ_X]), f.std);
}

enum { ROWS, WIDTH };

static void bench(cz_case *c, cz_rand *r, const int64_t *n) {
  cz_case_normal(c, r, CZ_SUMSQ_X, 2, (int64_t[]){n[ROWS], n[WIDTH]}, 1e-3);
}

const cz_op_cases cz_sumsq_cases = {.fixed = sizeof hand / sizeof *hand,
                                    .sample = sample,
                                    .bench = bench,
                                    .sizes = {[ROWS] = "rows", [WIDTH] = "width"}};
