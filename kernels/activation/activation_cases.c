#include "kernels/activation/activation.h"
#include "kernels/cases.h"

#include <math.h>
#include <stdio.h>

/* Moves values away from ReLU's kink, where neither central differences nor rounding to
 * float32 are comparable. */
static void avoid_zero(cz_case *c) {
  double *x = c->in[CZ_ACTIVATION_X].data;
  for (int64_t i = 0; i < cz_numel(&c->in[CZ_ACTIVATION_X]); i++)
    x[i] = (float)(x[i] + copysign(0.125, x[i]));
}

static void problem(cz_case *c, cz_rand *r, int64_t T, int64_t F, int kind, bool gated,
                    double std) {
  ((cz_activation_attr *)c->attr)->kind = kind;
  cz_case_normal(c, r, CZ_ACTIVATION_X, 2, (int64_t[]){T, F}, std);
  if (gated) cz_case_normal(c, r, CZ_ACTIVATION_GATE, 2, (int64_t[]){T, F}, 1);
  if (kind == CZ_ACTIVATION_RELU) avoid_zero(c);
  c->smooth = true;
  snprintf(c->what, sizeof c->what, "T %lld F %lld kind %d gated %d std %g", (long long)T,
           (long long)F, kind, gated, std);
}

static void sample(cz_case *c, cz_rand *r, int index) {
  int kind = index % CZ_ACTIVATIONS;
  switch (index / CZ_ACTIVATIONS) {
  case 0: problem(c, r, 0, 7, kind, true, 1); break;  /* no rows */
  case 1: problem(c, r, 1, 1, kind, false, 1); break; /* one number */
  case 2:
    problem(c, r, 3, 257, kind, true, 1e15), c->smooth = false;
    break; /* differences of huge numbers mean nothing */
  case 3: problem(c, r, 5, 129, kind, true, 6); break;   /* the tails, where 1 + tanh cancels */
  case 4: problem(c, r, 131, 129, kind, true, 2); break; /* long enough for several threads */
  default:
    problem(c, r, cz_rand_size(r, 70), cz_rand_size(r, 70),
            (int)cz_rand_int(r, 0, CZ_ACTIVATIONS - 1), cz_rand_int(r, 0, 1), 2);
  }
}

enum { ROWS, WIDTH, GATED };

/* T5 v1.1 multiplies by a gate and takes GELU by tanh; RoBERTa has neither. */
static void bench(cz_case *c, cz_rand *r, const int64_t *n) {
  problem(c, r, n[ROWS], n[WIDTH], n[GATED] ? CZ_ACTIVATION_GELU_TANH : CZ_ACTIVATION_GELU,
          n[GATED], 1);
}

const cz_op_cases cz_activation_cases = {
    .fixed = 5 * CZ_ACTIVATIONS,
    .sample = sample,
    .bench = bench,
    .sizes = {[ROWS] = "rows", [WIDTH] = "width", [GATED] = "gated"},
    .flags = 1u << GATED};
