#include "kernels/cases.h"
#include "kernels/cross_entropy/cross_entropy.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct sizes {
  int64_t N, D, V;
  double std;  /* of h; w has std 1 / sqrt(D) about */
  int counted; /* percent of rows that count */
  bool bias;
  cz_cross_entropy_attr attr;
} sizes;

static const sizes hand[] = {
    {1, 1, 1, 1, 100, false, {0, 0, 1}},     /* one word: the loss is 0 */
    {5, 3, 1, 1, 100, true, {1e-2, 0.1, 1}}, /* the same with everything on */
    {1, 7, 2, 1, 100, false, {0, 0, 1}},
    {32, 46, 1, 0.2, 70, false, {3e-3, 0.4, 0.6}}, /* one word, smoothed */
    {17, 5, 33, 1, 0, true, {1e-4, 0.1, 1}},       /* nothing counts */
    {9, 16, 64, 300, 100, false, {0, 0, 1}}, /* logits of hundreds: a naive exponential overflows */
    {8, 16, 65, 300, 90, false, {1e-4, 0, 1}}, /* the same with log Z squared */
    {12, 8, 67, 40, 100, false, {0, 0.1, 1}},
    {6, 8, 2500, 2, 80, true, {1e-4, 0.1, 0.35}},   /* many slabs */
    {3, 2, 12288, 2, 80, false, {1e-4, 0, 1}},      /* a row of 48 KiB */
    {1100, 5, 37, 1, 97, true, {1e-4, 0.1, 0.125}}, /* two chunks of rows */
    {2100, 3, 67, 4, 99, false, {0, 0, -0.5}},      /* three, and a bit of the last slab */
    {0, 4, 9, 1, 100, true, {1e-4, 0.1, 1}},        /* an empty batch */
};

/* Logits have a std of about std sqrt(D) scale: a quarter of the draws are sharp, where
 * one word has all the probability. */
static sizes draw(cz_rand *r) {
  sizes s = {.N = cz_rand_size(r, 40),
             .D = cz_rand_size(r, 65),
             .V = cz_rand_size(r, 257),
             .counted = (int)cz_rand_int(r, 40, 120)};
  s.std = cz_rand_int(r, 0, 3) ? exp(cz_rand_real(r, -3, 1.6)) : cz_rand_real(r, 5, 100);
  s.attr.z_loss = cz_rand_int(r, 0, 1) ? 0 : cz_rand_real(r, 0, 1e-2);
  s.attr.label_smoothing = cz_rand_int(r, 0, 1) ? 0 : cz_rand_real(r, 0, 0.5);
  s.attr.logit_scale = cz_rand_int(r, 0, 1) ? 1 : cz_rand_real(r, 0.05, 2);
  /* dbias_v is the plain sum of dx_rv. Where rows are sure, dx is 0 or +-A whatever
   * the inputs' rounding, and a sum that cancels shows nothing but the rounding of dx
   * itself. */
  bool sure = s.std * sqrt((double)s.D) * s.attr.logit_scale > 3;
  s.bias = !sure && cz_rand_int(r, 0, 2);
  return s;
}

static void build(cz_case *c, cz_rand *r, const sizes *s) {
  cz_case_normal(c, r, CZ_CROSS_ENTROPY_H, 2, (int64_t[]){s->N, s->D}, s->std);
  cz_case_normal(c, r, CZ_CROSS_ENTROPY_W, 2, (int64_t[]){s->V, s->D},
                 1 / (1 + 0.01 * (double)s->D));
  /* Each row rounds its logits for itself. Where a bias is all of a logit, no input moves one row
   * alone, and a gradient whose rows cancel would have a limit below that rounding. */
  double dev = fmin(1, s->std * sqrt((double)s->D) * fabs(s->attr.logit_scale));
  if (s->bias) cz_case_normal(c, r, CZ_CROSS_ENTROPY_BIAS, 1, &s->V, dev);
  int32_t *targets = cz_case_int(c, CZ_CROSS_ENTROPY_TARGETS, 1, (int64_t[]){s->N});
  for (int64_t i = 0; i < s->N; i++) {
    bool counted = cz_rand_int(r, 0, 99) < s->counted;
    targets[i] = (int32_t)(counted ? cz_rand_int(r, 0, s->V - 1) : cz_rand_int(r, -100, -1));
  }
  cz_case_real(c, CZ_CROSS_ENTROPY_DENOMINATOR, 1, (int64_t[]){1})[0] =
      (float)cz_rand_real(r, 0.5, 2.0 + (double)s->N);
  memcpy(c->attr, &s->attr, sizeof s->attr);
  c->smooth = true;
  snprintf(c->what, sizeof c->what,
           "N %lld D %lld V %lld std %.3g, %d%% count, z %.3g smoothing %.3g scale %.3g bias %d",
           (long long)s->N, (long long)s->D, (long long)s->V, s->std, s->counted, s->attr.z_loss,
           s->attr.label_smoothing, s->attr.logit_scale, s->bias);
}

static void sample(cz_case *c, cz_rand *r, int index) {
  sizes s = draw(r);
  if (index < (int)(sizeof hand / sizeof *hand)) s = hand[index];
  build(c, r, &s);
}

enum { ROWS, VOCABULARY, WIDTH };

static void bench(cz_case *c, cz_rand *r, const int64_t *n) {
  build(c, r,
        &(sizes){.N = n[ROWS],
                 .D = n[WIDTH],
                 .V = n[VOCABULARY],
                 .std = 1,
                 .counted = 100,
                 .attr = {.z_loss = 1e-4, .logit_scale = 1 / sqrt((double)n[WIDTH])}});
}

const cz_op_cases cz_cross_entropy_cases = {
    .fixed = sizeof hand / sizeof *hand,
    .sample = sample,
    .bench = bench,
    .sizes = {[ROWS] = "rows", [VOCABULARY] = "vocabulary", [WIDTH] = "width"}};
