#include "kernels/adamw/adamw.h"
#include "kernels/common/update_cases.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct sizes {
  cz_update_sizes at; /* step 1: m and v are still zero */
  cz_adamw_attr attr;
} sizes;

/* The first step, where m and v are 0. A tensor of zeros, which has a scale too; one
 * whose rms is below CZ_ADAMW_MINIMUM_RMS. No gradient: decay and momentum alone. Squares
 * near the top of float32, and far below eps. beta1 = beta2 = 0: the step is the
 * gradient's sign. Rate 0: w stays. More parts than a block of a card has threads, some of them
 * empty. */
static const sizes hand[] = {
    {{1, {1}, false, 0, 1, 1, 1, 1e-3}, {0.9, 0.999, 1e-8, 0, false, {0}}},
    {{1, {8193}, false, 0, 1, 1, 1, 1e-2}, {0.9, 0.999, 1e-6, 0.01, true, {0}}},
    {{2, {31, 33}, false, 0, 0, 1, 1, 1e-2}, {0.9, 0.999, 1e-6, 0.1, true, {0}}},
    {{2, {17, 64}, false, 0, 1e-5, 1, 40, 1e-2}, {0.9, 0.999, 1e-6, 0.1, true, {0}}},
    {{2, {64, 65}, false, 0, 1, 0, 7, 1e-2}, {0.9, 0.999, 1e-8, 0.1, false, {0}}},
    {{1, {300}, false, 0, 1, 1e12, 100000, 1e-3}, {0.9, 0.999, 1e-8, 0.01, false, {0}}},
    {{1, {300}, false, 0, 1, 1e-12, 3, 1e-3}, {0.9, 0.98, 1e-8, 0, false, {0}}},
    {{1, {127}, false, 0, 1, 1, 2, 1e-3}, {0, 0, 1e-8, 0, false, {0}}},
    {{1, {0}, false, 0, 1, 1, 2, 1e-3}, {0.9, 0.999, 1e-8, 0, true, {0}}},
    {{4, {3, 5, 7, 11}, false, 0, 1, 1, 1000, 0}, {0.9, 0.999, 1e-8, 0.1, false, {0}}},
    {{1, {12291}, false, 600, 1, 1, 9, 1e-2}, {0.9, 0.999, 1e-8, 0.1, true, {0}}},
};

/* Steps below 20 are drawn half of the time: there the bias corrections c1 and c2 are far
 * from 1 and their rounding shows. */
static sizes draw(cz_rand *r) {
  sizes s = {.at = {.ndim = (int)cz_rand_int(r, 1, 3),
                    .w = cz_rand_real(r, 0.001, 3),
                    .g = exp(cz_rand_real(r, -12, 6))}};
  for (int i = 0; i < 3; i++) s.at.dim[i] = cz_rand_size(r, i < 2 ? 131 : 5);
  s.at.step = (double)(cz_rand_int(r, 0, 1) ? cz_rand_int(r, 1, 20) : cz_rand_int(r, 1, 600000));
  s.at.rate = cz_rand_real(r, 1e-5, 2e-2);
  s.attr = (cz_adamw_attr){.beta1 = cz_rand_real(r, 0.5, 0.95),
                           .beta2 = cz_rand_real(r, 0.9, 0.9995),
                           .eps = exp(cz_rand_real(r, -20, -10))};
  s.attr.weight_decay = cz_rand_int(r, 0, 1) ? 0 : cz_rand_real(r, 0, 0.3);
  s.attr.rms_scale = cz_rand_int(r, 0, 1);
  return s;
}

static void build(cz_case *c, cz_rand *r, sizes *s) {
  const double g = s->at.g;
  cz_update_case(c, r, &s->at, false, &s->attr.maximum);
  for (int64_t i = 0; i < c->in[CZ_UPDATE_PARTS].dim[0] && s->at.step > 1; i++) {
    const cz_flat_part p = cz_flat_part_at(c->in[CZ_UPDATE_PARTS].data, i);
    double *m = (double *)c->in[CZ_UPDATE_STATE].data + p.state, *v = m + cz_flat_room(p.count);
    for (int64_t k = 0; k < p.count; k++) {
      m[k] = (float)(0.3 * g * cz_rand_normal(r));
      v[k] = (float)(g * g * cz_rand_real(r, 0, 2));
    }
  }
  memcpy(c->attr, &s->attr, sizeof s->attr);
  snprintf(c->what, sizeof c->what,
           "%lld parts, %lld elements of %.3g, gradient %.3g, step %.0f, rate %.3g, decay %.3g%s",
           (long long)c->in[CZ_UPDATE_PARTS].dim[0], (long long)s->attr.maximum.count, s->at.w, g,
           s->at.step, s->at.rate, s->attr.weight_decay, s->attr.rms_scale ? ", scaled" : "");
}

static void sample(cz_case *c, cz_rand *r, int index) {
  sizes s = draw(r);
  if (index < (int)(sizeof hand / sizeof *hand)) s = hand[index];
  build(c, r, &s);
}

enum { ROWS, WIDTH, SCALED };

static void bench(cz_case *c, cz_rand *r, const int64_t *n) {
  build(c, r,
        &(sizes){{2, {n[ROWS], n[WIDTH]}, false, 1, 1, 1e-3, 1000, 1e-2},
                 {0.9, 0.999, 1e-6, 0, n[SCALED], {0}}});
}

static int64_t rows(const cz_call *call, const cz_arg *a) {
  const int64_t count = ((const cz_adamw_attr *)call->attr)->maximum.count;
  return cz_update_touched(call, a, count, 2 * count);
}

const cz_op_cases cz_adamw_cases = {
    .fixed = sizeof hand / sizeof *hand,
    .sample = sample,
    .bench = bench,
    .sizes = {[ROWS] = "rows", [WIDTH] = "width", [SCALED] = "scaled"},
    .flags = 1u << SCALED,
    .rows = rows};
