#include "kernels/cases.h"
#include "kernels/cast/cast.h"

#include <stdio.h>

static void problem(cz_case *c, cz_rand *r, int64_t n, int64_t m) {
  cz_case_normal(c, r, CZ_CAST_X, 2, (int64_t[]){n, m}, 1);
  *(cz_cast_attr *)c->attr = (cz_cast_attr){0};
  c->smooth = true;
  snprintf(c->what, sizeof c->what, "%lld x %lld", (long long)n, (long long)m);
}

static void sample(cz_case *c, cz_rand *r, int index) {
  switch (index) {
  case 0: problem(c, r, 0, 3); return;
  case 1: problem(c, r, 1, 1); return;
  case 2: problem(c, r, 3, 70001); return; /* several chunks, the last one ragged */
  default: problem(c, r, cz_rand_size(r, 40), cz_rand_size(r, 1000));
  }
}

enum { ROWS, WIDTH };

static void bench(cz_case *c, cz_rand *r, const int64_t *n) { problem(c, r, n[ROWS], n[WIDTH]); }

const cz_op_cases cz_cast_cases = {
    .fixed = 3, .sample = sample, .bench = bench, .sizes = {[ROWS] = "rows", [WIDTH] = "width"}};
