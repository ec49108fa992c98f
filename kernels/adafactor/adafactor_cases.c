#include "kernels/adafactor/adafactor.h"
#include "kernels/common/update_cases.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct sizes {
  cz_update_sizes at; /* step 0: the statistics are still zero */
  cz_adafactor_attr attr;
} sizes;

#define USUAL 0.8, 1.0, 1e-30, 1e-3
#define RATE  1e-2

/* Smallest tensors; a chunk and one; the statistics' first step, where beta is 0;
 * gradients whose squares are of eps1's size; stacks of matrices, each factored by
 * itself; tensors without elements; more parts than a block of a card has threads. */
static const sizes hand[] = {
    {{1, {1}, false, 0, 1, 1, 0, RATE}, {USUAL, {0}}},
    {{2, {1, 1}, true, 0, 1, 1, 3, RATE}, {USUAL, {0}}},
    {{1, {8193}, false, 0, 1, 1e-3, 1, RATE}, {USUAL, {0}}},
    {{2, {128, 129}, true, 0, 1, 1e-3, 0, RATE}, {USUAL, {0}}},
    {{2, {513, 128}, true, 0, 1, 1, 100, RATE}, {USUAL, {0}}},
    {{2, {2, 300}, true, 0, 0, 1, 5, RATE}, {USUAL, {0}}}, /* a zero tensor moves too */
    {{2, {130, 131}, true, 0, 1, 0, 9, RATE},
     {USUAL, {0}}}, /* no gradient: eps1 keeps 0 / 0 away */
    {{1, {33}, false, 0, 1, 0, 0, RATE}, {USUAL, {0}}},
    {{2, {64, 65}, true, 0, 1, 1e-14, 0, RATE}, {USUAL, {0}}}, /* squares of the size of eps1 */
    {{2, {31, 257}, true, 0, 1, 1e5, 2000, RATE}, {USUAL, {0}}},
    {{3, {3, 17, 19}, true, 0, 1, 1, 7, RATE}, {USUAL, {0}}}, /* a stack of matrices */
    {{4, {2, 3, 16, 15}, true, 0, 1, 1, 7, RATE}, {0.5, 0.3, 1e-30, 1e-3, {0}}},
    {{2, {0, 7}, false, 0, 1, 1, 7, RATE}, {USUAL, {0}}},
    {{2, {7, 0}, true, 0, 1, 1, 7, RATE}, {USUAL, {0}}},
    {{2, {300, 260}, true, 600, 1, 1, 7, RATE}, {USUAL, {0}}},
};

/* Gradients from e^-20 to e^6 cover the sizes that T5's tensors meet: Adafactor divides
 * the scale out again, so U has to come out alike for all of them. */
static sizes draw(cz_rand *r) {
  sizes s = {.at = {.ndim = (int)cz_rand_int(r, 1, 3),
                    .w = cz_rand_real(r, 1e-4, 3),
                    .g = exp(cz_rand_real(r, -20, 6)),
                    .step = (double)cz_rand_int(r, 0, 40),
                    .rate = cz_rand_real(r, 1e-4, 1e-1)},
             .attr = {USUAL, {0}}};
  s.at.factored = s.at.ndim > 1 && cz_rand_int(r, 0, 2);
  if (cz_rand_int(r, 0, 2) == 0) s.at.step = (double)cz_rand_int(r, 0, 600000);
  if (cz_rand_int(r, 0, 3) == 0) s.attr.clip = cz_rand_real(r, 0.05, 2);
  for (int i = 0; i < s.at.ndim; i++) s.at.dim[i] = cz_rand_size(r, s.at.ndim == 3 ? 33 : 257);
  return s;
}

/* Statistics of earlier gradients of about this size: positive, unlike one another. */
static void statistics(cz_rand *r, double *x, int64_t n, const sizes *s) {
  for (int64_t i = 0; i < n; i++)
    x[i] = (float)(s->at.g * s->at.g * cz_rand_real(r, 0.01, 3) + s->attr.eps1);
}

static void build(cz_case *c, cz_rand *r, sizes *s) {
  cz_update_case(c, r, &s->at, true, &s->attr.maximum);
  for (int64_t i = 0; i < c->in[CZ_UPDATE_PARTS].dim[0] && s->at.step > 0; i++) {
    const cz_flat_part p = cz_flat_part_at(c->in[CZ_UPDATE_PARTS].data, i);
    const bool factored = p.flags & CZ_FLAT_FACTORED;
    const int64_t first = factored ? p.matrices * p.rows : p.count;
    double *x = (double *)c->in[CZ_UPDATE_STATE].data + p.state;
    statistics(r, x, first, s);
    if (factored) statistics(r, x + cz_flat_room(first), p.matrices * p.cols, s);
  }
  memcpy(c->attr, &s->attr, sizeof s->attr);
  snprintf(c->what, sizeof c->what,
           "%lld parts, the first of %d dimensions%s, last %lld, %lld elements of %.3g, gradient "
           "%.3g, step %.0f, clip %.3g",
           (long long)c->in[CZ_UPDATE_PARTS].dim[0], s->at.ndim, s->at.factored ? ", factored" : "",
           (long long)s->at.dim[s->at.ndim - 1], (long long)s->attr.maximum.count, s->at.w, s->at.g,
           s->at.step, s->attr.clip);
}

static void sample(cz_case *c, cz_rand *r, int index) {
  sizes s = draw(r);
  if (index < (int)(sizeof hand / sizeof *hand)) s = hand[index];
  build(c, r, &s);
}

enum { ROWS, WIDTH };

static void bench(cz_case *c, cz_rand *r, const int64_t *n) {
  build(c, r, &(sizes){{2, {n[ROWS], n[WIDTH]}, true, 1, 1, 1e-3, 1000, RATE}, {USUAL, {0}}});
}

static int64_t rows(const cz_call *call, const cz_arg *a) {
  const cz_parts_maximum *of = &((const cz_adafactor_attr *)call->attr)->maximum;
  return cz_update_touched(call, a, of->count, of->rows + of->cols);
}

const cz_op_cases cz_adafactor_cases = {.fixed = sizeof hand / sizeof *hand,
                                        .sample = sample,
                                        .bench = bench,
                                        .sizes = {[ROWS] = "rows", [WIDTH] = "width"},
                                        .rows = rows};
