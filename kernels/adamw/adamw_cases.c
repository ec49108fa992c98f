#include "kernels/adamw/adamw.h"
#include "kernels/cases.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct sizes {
  int ndim;
  int64_t dim[CZ_DIMS];
  double w, g;       /* standard deviations */
  double step, rate; /* step 1: m and v are still zero */
  cz_adamw_attr attr;
} sizes;

/* The first step, where m and v are 0. A tensor of zeros, which has a scale too; one
 * whose rms is below CZ_ADAMW_MINIMUM_RMS. No gradient: decay and momentum alone. Squares
 * near the top of float32, and far below eps. beta1 = beta2 = 0: the step is the
 * gradient's sign. Rate 0: w stays. */
static const sizes hand[] = {
    {1, {1}, 1, 1, 1, 1e-3, {0.9, 0.999, 1e-8, 0, false}},
    {1, {8193}, 1, 1, 1, 1e-2, {0.9, 0.999, 1e-6, 0.01, true}},
    {2, {31, 33}, 0, 1, 1, 1e-2, {0.9, 0.999, 1e-6, 0.1, true}},
    {2, {17, 64}, 1e-5, 1, 40, 1e-2, {0.9, 0.999, 1e-6, 0.1, true}},
    {2, {64, 65}, 1, 0, 7, 1e-2, {0.9, 0.999, 1e-8, 0.1, false}},
    {1, {300}, 1, 1e12, 100000, 1e-3, {0.9, 0.999, 1e-8, 0.01, false}},
    {1, {300}, 1, 1e-12, 3, 1e-3, {0.9, 0.98, 1e-8, 0, false}},
    {1, {127}, 1, 1, 2, 1e-3, {0, 0, 1e-8, 0, false}},
    {1, {0}, 1, 1, 2, 1e-3, {0.9, 0.999, 1e-8, 0, true}},
    {4, {3, 5, 7, 11}, 1, 1, 1000, 0, {0.9, 0.999, 1e-8, 0.1, false}},
};

/* Steps below 20 are drawn half of the time: there the bias corrections c1 and c2 are far
 * from 1 and their rounding shows. */
static sizes draw(cz_rand *r) {
  sizes s = {.ndim = (int)cz_rand_int(r, 1, 3),
             .w = cz_rand_real(r, 0.001, 3),
             .g = exp(cz_rand_real(r, -12, 6))};
  for (int i = 0; i < 3; i++) s.dim[i] = cz_rand_size(r, i < 2 ? 131 : 5);
  s.step = (double)(cz_rand_int(r, 0, 1) ? cz_rand_int(r, 1, 20) : cz_rand_int(r, 1, 600000));
  s.rate = cz_rand_real(r, 1e-5, 2e-2);
  s.attr = (cz_adamw_attr){.beta1 = cz_rand_real(r, 0.5, 0.95),
                           .beta2 = cz_rand_real(r, 0.9, 0.9995),
                           .eps = exp(cz_rand_real(r, -20, -10))};
  s.attr.weight_decay = cz_rand_int(r, 0, 1) ? 0 : cz_rand_real(r, 0, 0.3);
  s.attr.rms_scale = cz_rand_int(r, 0, 1);
  return s;
}

static void build(cz_case *c, cz_rand *r, const sizes *s) {
  cz_case_normal(c, r, CZ_ADAMW_W, s->ndim, s->dim, s->w);
  cz_case_normal(c, r, CZ_ADAMW_G, s->ndim, s->dim, s->g);
  cz_case_normal(c, r, CZ_ADAMW_M, s->ndim, s->dim, s->step > 1 ? 0.3 * s->g : 0);
  double *v = cz_case_real(c, CZ_ADAMW_V, s->ndim, s->dim), factor = cz_rand_real(r, 0.01, 1);
  for (int64_t i = 0; i < cz_numel(&c->in[CZ_ADAMW_V]) && s->step > 1; i++)
    v[i] = (float)(s->g * s->g * cz_rand_real(r, 0, 2));
  double *hyper = cz_case_real(c, CZ_ADAMW_HYPER, 1, (int64_t[]){CZ_HYPERS});
  hyper[CZ_HYPER_RATE] = (float)s->rate, hyper[CZ_HYPER_STEP] = s->step,
  hyper[CZ_HYPER_FACTOR] = (float)factor, hyper[CZ_HYPER_KEEP] = cz_rand_int(r, 0, 7) > 0;
  memcpy(c->attr, &s->attr, sizeof s->attr);
  snprintf(c->what, sizeof c->what,
           "%lld elements of %.3g, gradient %.3g, step %.0f, rate %.3g, decay %.3g%s",
           (long long)cz_numel(&c->in[CZ_ADAMW_W]), s->w, s->g, s->step, s->rate,
           s->attr.weight_decay, s->attr.rms_scale ? ", scaled" : "");
}

static void sample(cz_case *c, cz_rand *r, int index) {
  sizes s = draw(r);
  if (index < (int)(sizeof hand / sizeof *hand)) s = hand[index];
  build(c, r, &s);
}

static void bench(cz_case *c, cz_rand *r) {
  build(c, r, &(sizes){2, {32128, 512}, 1, 1e-3, 1000, 1e-2, {0.9, 0.999, 1e-6, 0, true}});
  ((double *)c->in[CZ_ADAMW_HYPER].data)[CZ_HYPER_KEEP] = 1;
}

const cz_op_cases cz_adamw_cases = {
    .fixed = sizeof hand / sizeof *hand, .sample = sample, .bench = bench};
