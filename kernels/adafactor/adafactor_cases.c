#include "kernels/adafactor/adafactor.h"
#include "kernels/cases.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct sizes {
  int ndim;
  int64_t dim[CZ_DIMS];
  double w, g; /* standard deviations */
  double step; /* 0: the statistics are still zero */
  cz_adafactor_attr attr;
} sizes;

#define USUAL 0.8, 1.0, 1e-30, 1e-3

/* Smallest tensors; a chunk and one; the statistics' first step, where beta is 0;
 * gradients whose squares are of eps1's size; stacks of matrices, each factored by
 * itself; tensors without elements. */
static const sizes hand[] = {
    {1, {1}, 1, 1, 0, {USUAL, false}},
    {2, {1, 1}, 1, 1, 3, {USUAL, true}},
    {1, {8193}, 1, 1e-3, 1, {USUAL, false}},
    {2, {128, 129}, 1, 1e-3, 0, {USUAL, true}},
    {2, {513, 128}, 1, 1, 100, {USUAL, true}},
    {2, {2, 300}, 0, 1, 5, {USUAL, true}},   /* a zero tensor moves too */
    {2, {130, 131}, 1, 0, 9, {USUAL, true}}, /* no gradient: eps1 keeps 0 / 0 away */
    {1, {33}, 1, 0, 0, {USUAL, false}},
    {2, {64, 65}, 1, 1e-14, 0, {USUAL, true}}, /* squares of the size of eps1 */
    {2, {31, 257}, 1, 1e5, 2000, {USUAL, true}},
    {3, {3, 17, 19}, 1, 1, 7, {USUAL, true}}, /* a stack of matrices */
    {4, {2, 3, 16, 15}, 1, 1, 7, {0.5, 0.3, 1e-30, 1e-3, true}},
    {2, {0, 7}, 1, 1, 7, {USUAL, false}},
    {2, {7, 0}, 1, 1, 7, {USUAL, true}},
};

/* Gradients from e^-20 to e^6 cover the sizes that T5's tensors meet: Adafactor divides
 * the scale out again, so U has to come out alike for all of them. */
static sizes draw(cz_rand *r) {
  sizes s = {.ndim = (int)cz_rand_int(r, 1, 3),
             .w = cz_rand_real(r, 1e-4, 3),
             .g = exp(cz_rand_real(r, -20, 6))};
  s.step = (double)cz_rand_int(r, 0, 40);
  s.attr = (cz_adafactor_attr){USUAL, s.ndim > 1 && cz_rand_int(r, 0, 2)};
  if (cz_rand_int(r, 0, 2) == 0) s.step = (double)cz_rand_int(r, 0, 600000);
  if (cz_rand_int(r, 0, 3) == 0) s.attr.clip = cz_rand_real(r, 0.05, 2);
  for (int i = 0; i < s.ndim; i++) s.dim[i] = cz_rand_size(r, s.ndim == 3 ? 33 : 257);
  if (s.ndim == 3) s.dim[0] = 1 + s.dim[0] % (s.dim[1] < s.dim[2] ? s.dim[1] : s.dim[2]);
  return s;
}

/* Statistics of earlier gradients of about this size: positive, unlike one another. */
static void statistics(cz_case *c, cz_rand *r, int input, int ndim, const int64_t *dim,
                       const sizes *s) {
  double *x = cz_case_real(c, input, ndim, dim);
  for (int64_t i = 0; i < cz_numel(&c->in[input]) && s->step > 0; i++)
    x[i] = (float)(s->g * s->g * cz_rand_real(r, 0.01, 3) + s->attr.eps1);
}

static void build(cz_case *c, cz_rand *r, const sizes *s) {
  cz_case_normal(c, r, CZ_ADAFACTOR_W, s->ndim, s->dim, s->w);
  cz_case_normal(c, r, CZ_ADAFACTOR_G, s->ndim, s->dim, s->g);
  if (s->attr.factored) {
    int64_t column[CZ_DIMS];
    memcpy(column, s->dim, sizeof column);
    column[s->ndim - 2] = s->dim[s->ndim - 1];
    statistics(c, r, CZ_ADAFACTOR_R, s->ndim - 1, s->dim, s);
    statistics(c, r, CZ_ADAFACTOR_C, s->ndim - 1, column, s);
  } else {
    statistics(c, r, CZ_ADAFACTOR_V, s->ndim, s->dim, s);
  }
  double *hyper = cz_case_real(c, CZ_ADAFACTOR_HYPER, 1, (int64_t[]){CZ_HYPERS});
  hyper[CZ_HYPER_RATE] = (float)cz_rand_real(r, 1e-4, 1e-1), hyper[CZ_HYPER_STEP] = s->step;
  hyper[CZ_HYPER_FACTOR] = (float)cz_rand_real(r, 0.01, 1),
  hyper[CZ_HYPER_KEEP] = cz_rand_int(r, 0, 7) > 0;
  memcpy(c->attr, &s->attr, sizeof s->attr);
  snprintf(c->what, sizeof c->what,
           "%d dimensions, last %lld, %lld elements of %.3g, gradient %.3g, step %.0f, clip %.3g%s",
           s->ndim, (long long)s->dim[s->ndim - 1], (long long)cz_numel(&c->in[CZ_ADAFACTOR_W]),
           s->w, s->g, s->step, s->attr.clip, s->attr.factored ? ", factored" : "");
}

static void sample(cz_case *c, cz_rand *r, int index) {
  sizes s = draw(r);
  if (index < (int)(sizeof hand / sizeof *hand)) s = hand[index];
  build(c, r, &s);
}

/* T5-small's embedding, its largest tensor. */
static void bench(cz_case *c, cz_rand *r) {
  build(c, r, &(sizes){2, {32128, 512}, 1, 1e-3, 1000, {USUAL, true}});
  ((double *)c->in[CZ_ADAFACTOR_HYPER].data)[CZ_HYPER_KEEP] = 1;
}

const cz_op_cases cz_adafactor_cases = {
    .fixed = sizeof hand / sizeof *hand, .sample = sample, .bench = bench};
