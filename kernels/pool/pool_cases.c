#include "kernels/cases.h"
#include "kernels/pool/pool.h"

#include <stdio.h>
#include <stdlib.h>

/* How T rows are cut: into COVERED segments with some empty ones in front, into as many of one
 * length, or at random, with rows in no segment before, between and behind them. */
enum { COVERED, EQUAL, GAPS };

typedef struct sizes {
  int64_t T, D;
  int cut;
  int64_t segments; /* COVERED: those that are empty */
  double offset;    /* added to normal numbers: a mean far from 0 */
} sizes;

static const sizes hand[] = {
    {1, 1, EQUAL, 1, 0},
    {0, 3, COVERED, 2, 0}, /* nothing but empty segments */
    {5, 9, EQUAL, 0, 0},   /* no segment: the gradient is zero */
    {7, 65, COVERED, 3, 0},
    {9, 8, GAPS, 2, 0},
    {30, 24, GAPS, 40, 0},    /* most of them empty */
    {2000, 4, EQUAL, 1, 0},   /* the longest sum that the error limit has to cover */
    {1500, 3, EQUAL, 1, 100}, /* of numbers of one sign */
    {700, 8, EQUAL, 700, 0},  /* a row each */
    {64, 257, GAPS, 3, 0},    /* no sixteen bytes of a row together */
    {61, 520, GAPS, 5, 10},   /* several tiles of columns, the last one not full */
    {35, 1032, COVERED, 1, 0},
    {65, 260, EQUAL, 1, 0}, /* one row more than a block has at once, twice over */
};

static int ascending(const void *a, const void *b) {
  const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
  return (x > y) - (x < y);
}

static void cut(cz_case *c, cz_rand *r, const sizes *s) {
  if (s->cut == COVERED) {
    cz_case_spans(c, r, CZ_POOL_SPANS, s->T, (int)s->segments);
  } else if (s->cut == EQUAL) {
    cz_case_equal_spans(c, CZ_POOL_SPANS, s->segments, s->T / (s->segments ? s->segments : 1));
  } else {
    int32_t *spans = cz_case_int(c, CZ_POOL_SPANS, 2, (int64_t[]){s->segments, 2});
    for (int64_t i = 0; i < 2 * s->segments; i++) spans[i] = (int32_t)cz_rand_int(r, 0, s->T);
    qsort(spans, (size_t)(2 * s->segments), sizeof *spans, ascending);
  }
}

static void build(cz_case *c, cz_rand *r, const sizes *s) {
  static const char *const how[] = {"covered", "equal", "with gaps"};
  cz_case_normal(c, r, CZ_POOL_X, 2, (int64_t[]){s->T, s->D}, 1);
  double *x = c->in[CZ_POOL_X].data;
  for (int64_t i = 0; i < s->T * s->D; i++) x[i] = (float)(x[i] + s->offset);
  cut(c, r, s);
  c->smooth = true;
  snprintf(c->what, sizeof c->what, "T %lld D %lld %lld segments, %s, offset %g", (long long)s->T,
           (long long)s->D, (long long)c->in[CZ_POOL_SPANS].dim[0], how[s->cut], s->offset);
}

static void sample(cz_case *c, cz_rand *r, int index) {
  sizes s = {.T = cz_rand_size(r, 300), .D = cz_rand_size(r, 130)};
  s.cut = (int)cz_rand_int(r, COVERED, GAPS);
  s.segments = s.cut == EQUAL ? cz_rand_int(r, 1, s.T) : cz_rand_int(r, 0, 9);
  s.offset = cz_rand_int(r, 0, 2) ? 0 : cz_rand_real(r, -20, 20);
  build(c, r, index < (int)(sizeof hand / sizeof *hand) ? &hand[index] : &s);
}

enum { SEGMENTS, LENGTH, WIDTH };

/* Texts of one length. */
static void bench(cz_case *c, cz_rand *r, const int64_t *n) {
  build(
      c, r,
      &(sizes){.T = n[SEGMENTS] * n[LENGTH], .D = n[WIDTH], .cut = EQUAL, .segments = n[SEGMENTS]});
}

const cz_op_cases cz_pool_cases = {
    .fixed = sizeof hand / sizeof *hand,
    .sample = sample,
    .bench = bench,
    .sizes = {[SEGMENTS] = "segments", [LENGTH] = "length", [WIDTH] = "width"}};
