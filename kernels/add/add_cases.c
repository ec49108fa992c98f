#include "kernels/add/add.h"
#include "kernels/cases.h"

#include <stdio.h>

static void problem(cz_case *c, cz_rand *r, int ndim, const int64_t *dim, double std) {
  cz_case_normal(c, r, CZ_ADD_A, ndim, dim, std);
  cz_case_normal(c, r, CZ_ADD_B, ndim, dim, std);
  c->smooth = std < 1e6;
  snprintf(c->what, sizeof c->what, "%d dimensions, the first %lld, std %g", ndim,
           (long long)dim[0], std);
}

/* 1e37: the sum is finite, twice as much would not be. No rows: nothing is read or
 * written. */
static void sample(cz_case *c, cz_rand *r, int index) {
  switch (index) {
  case 0: problem(c, r, 2, (int64_t[]){0, 5}, 1); return;
  case 1: problem(c, r, 1, (int64_t[]){1}, 1); return;
  case 2: problem(c, r, 2, (int64_t[]){3, 257}, 1e37); return;
  case 3: problem(c, r, 1, (int64_t[]){8193}, 1); return; /* one more than a chunk */
  case 4: problem(c, r, 2, (int64_t[]){129, 131}, 1); return;
  default: break;
  }
  problem(c, r, (int)cz_rand_int(r, 1, 4),
          (int64_t[]){cz_rand_int(r, 1, 13), cz_rand_int(r, 1, 13), cz_rand_int(r, 1, 5),
                      cz_rand_int(r, 1, 5)},
          1);
}

enum { ROWS, WIDTH };

static void bench(cz_case *c, cz_rand *r, const int64_t *n) {
  problem(c, r, 2, (int64_t[]){n[ROWS], n[WIDTH]}, 1);
}

const cz_op_cases cz_add_cases = {
    .fixed = 5, .sample = sample, .bench = bench, .sizes = {[ROWS] = "rows", [WIDTH] = "width"}};
