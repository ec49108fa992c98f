#include "kernels/cases.h"
#include "kernels/dropout/dropout.h"

#include <stdio.h>

/* Smooth although it is random: the mask depends on keys alone, so central differences
 * see a linear function. */
static void problem(cz_case *c, cz_rand *r, int64_t T, int64_t D, double p, bool share, int empty,
                    double std) {
  *(cz_dropout_attr *)c->attr = (cz_dropout_attr){p, share};
  cz_case_normal(c, r, CZ_DROPOUT_X, 2, (int64_t[]){T, D}, std);
  if (share) cz_case_spans(c, r, CZ_DROPOUT_SPANS, T, empty);
  c->training = true;
  c->smooth = true;
  snprintf(c->what, sizeof c->what, "T %lld D %lld p %g shared %d", (long long)T, (long long)D, p,
           share);
}

/* D = 1025 and 1031 are odd: a row starts at each of the eight places of a call of Philox,
 * and its last piece is short. */
static void sample(cz_case *c, cz_rand *r, int index) {
  switch (index) {
  case 0: problem(c, r, 0, 4, 0.5, true, 0, 1); return;
  case 1: problem(c, r, 0, 4, 0.5, false, 0, 1); return;
  case 2: problem(c, r, 1, 1, 0.5, false, 0, 1); return;
  case 3: problem(c, r, 5, 7, 0, true, 1, 1); return; /* keeps everything */
  case 4:
    problem(c, r, 3, 1025, 0.999, false, 0, 1);
    return; /* keeps next to nothing; pieces that do not begin at a call */
  case 5: problem(c, r, 6, 1031, 0.1, true, 3, 1); return; /* segments without rows */
  case 6: problem(c, r, 9, 64, 0.5, true, 0, 1), c->training = false; return;
  case 7: problem(c, r, 17, 1031, 0.3, false, 0, 1); return; /* long enough for several threads */
  case 8: problem(c, r, 18, 1031, 0.3, true, 16, 1); return; /* the table of masks too */
  case 9: problem(c, r, 7, 33, 0.5, false, 0, 1e-5); return; /* where float16 loses digits */
  default: break;
  }
  problem(c, r, cz_rand_size(r, 90), cz_rand_size(r, 90), cz_rand_real(r, 0, 0.9),
          cz_rand_int(r, 0, 1), (int)cz_rand_int(r, 0, 2), 1);
}

enum { ROWS, WIDTH };

/* T5's rate, and a mask for each position. */
static void bench(cz_case *c, cz_rand *r, const int64_t *n) {
  problem(c, r, n[ROWS], n[WIDTH], 0.1, false, 0, 1);
}

const cz_op_cases cz_dropout_cases = {
    .fixed = 10, .sample = sample, .bench = bench, .sizes = {[ROWS] = "rows", [WIDTH] = "width"}};
