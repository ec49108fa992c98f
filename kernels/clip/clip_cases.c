#include "kernels/cases.h"
#include "kernels/clip/clip.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct sizes {
  int64_t losses; /* 0: absent */
  double norm, loss, scale, good;
  cz_clip_attr attr;
} sizes;

/* Below, at and above the bound; no bound; a gradient of 0. A gradient, or a loss, that is not
 * finite: at the scale's minimum, above it, with a scale that stays. The step that doubles the
 * scale, at its maximum too; the one before. */
static const sizes hand[] = {
    {1, 0.5, 3, 1, 0, {1, 0}},
    {3, 1, 3, 1, 0, {1, 0}},
    {3, 40, 3, 1, 0, {1, 0}},
    {0, 40, 3, 1, 0, {0, 0}},
    {2, 0, 3, 1, 0, {1, 0}},
    {2, INFINITY, 3, 1, 5, {1, 20}},
    {2, INFINITY, 3, 65536, 5, {1, 20}},
    {2, INFINITY, NAN, 1024, 19, {1, 20}},
    {2, 3, INFINITY, 1024, 19, {0, 20}},
    {2, 3, NAN, 8, 3, {1, 0}},
    {4, 3, 1, 4096, 19, {1, 20}},
    {4, 3, 1, 4096, 18, {1, 20}},
    {4, 3, 1, CZ_CLIP_SCALE_MAXIMUM, 19, {1, 20}},
    {65, 3, 1, 2, 0, {1, 1}},
};

static sizes draw(cz_rand *r) {
  sizes s = {.losses = cz_rand_size(r, 40) - 1,
             .norm = exp(cz_rand_real(r, -8, 8)),
             .loss = cz_rand_real(r, 0, 12),
             .scale = ldexp(1, (int)cz_rand_int(r, 0, 16))};
  s.attr.clip_norm = cz_rand_int(r, 0, 2) ? exp(cz_rand_real(r, -5, 5)) : 0;
  s.attr.growth_steps = cz_rand_int(r, 0, 1) ? (double)cz_rand_int(r, 1, 2000) : 0;
  s.good = (double)cz_rand_int(r, 0, s.attr.growth_steps > 0 ? (int)s.attr.growth_steps - 1 : 9);
  return s;
}

static void build(cz_case *c, cz_rand *r, const sizes *s) {
  const int64_t one = 1, now = CZ_CLIP_NOWS;
  cz_case_real(c, CZ_CLIP_SUMSQ, 1, &one)[0] = (float)(s->norm * s->norm * s->scale * s->scale);
  if (s->losses > 0) {
    double *losses = cz_case_real(c, CZ_CLIP_LOSSES, 1, &s->losses);
    for (int64_t i = 0; i < s->losses; i++) losses[i] = (float)(s->loss * cz_rand_real(r, 0.5, 1));
  }
  double *at = cz_case_real(c, CZ_CLIP_NOW, 1, &now);
  at[CZ_CLIP_RATE] = (float)cz_rand_real(r, 1e-5, 1e-2);
  at[CZ_CLIP_STEP] = (double)cz_rand_int(r, 0, 600000);
  cz_case_real(c, CZ_CLIP_SCALE, 1, &one)[0] = s->scale;
  cz_case_real(c, CZ_CLIP_GOOD, 1, &one)[0] = s->good;
  memcpy(c->attr, &s->attr, sizeof s->attr);
  snprintf(c->what, sizeof c->what,
           "%lld losses of %.3g, norm %.3g, bound %.3g, scale %.0f, %.0f good of %.0f",
           (long long)s->losses, s->loss, s->norm, s->attr.clip_norm, s->scale, s->good,
           s->attr.growth_steps);
}

static void sample(cz_case *c, cz_rand *r, int index) {
  sizes s = draw(r);
  if (index < (int)(sizeof hand / sizeof *hand)) s = hand[index];
  build(c, r, &s);
}

/* The losses of a batch, few numbers at any size of a model. */
static void bench(cz_case *c, cz_rand *r, const int64_t *n) {
  build(c, r, &(sizes){8, 3, 5, 1, 0, {1, 0}});
}

const cz_op_cases cz_clip_cases = {
    .fixed = sizeof hand / sizeof *hand, .sample = sample, .bench = bench};
