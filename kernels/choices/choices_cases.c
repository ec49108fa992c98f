#include "kernels/cases.h"
#include "kernels/choices/choices.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct sizes {
  int64_t questions, candidates, tokens; /* up to as many candidates, and tokens of each */
  double typical;                        /* nll of a token: a margin is some tokens' worth */
  int odd; /* percent: rows and candidates that belong to nothing, empty candidates,
              questions that are not counted */
  bool targets, mean, whole; /* whole: nll is 0, 1 or 2, with ties, and margins of 0 */
} sizes;

/* Margins near 1, all of which count; of hundreds, far from the kink on either side. */
static const sizes hand[] = {
    {1, 2, 1, 0.5, 0, true, false, false},
    {1, 1, 3, 2, 0, true, false, false},   /* no wrong candidate: the loss is 0 */
    {0, 1, 1, 2, 0, true, false, false},   /* no question, no candidate, no row */
    {3, 4, 5, 2, 20, false, false, false}, /* scores only */
    {4, 3, 2, 2, 0, true, true, false},
    {9, 10, 4, 0.05, 30, true, false, false},
    {9, 10, 4, 200, 30, true, true, false},
    {8, 6, 2, 0, 10, true, false, true},   /* ties, and margins of 0 */
    {2, 3, 40, 1, 0, true, false, false},  /* more tokens than a warp has lanes */
    {1, 2, 900, 3, 10, true, true, false}, /* COPA's: the tokens of a batch */
    {1, 150, 1, 1, 5, true, false, false}, /* one question of many candidates */
    {600, 2, 1, 1, 5, true, false, false}, /* more questions than a block has threads */
    {65, 3, 2, 1, 100, true, true, false}, /* no question is counted, most rows are in nothing */
};

static sizes draw(cz_rand *r) {
  sizes s = {.questions = cz_rand_size(r, 33),
             .candidates = cz_rand_size(r, 12),
             .tokens = cz_rand_size(r, 9)};
  s.targets = cz_rand_int(r, 0, 5), s.mean = cz_rand_int(r, 0, 1);
  s.typical = exp(cz_rand_real(r, -3, 4)), s.odd = (int)cz_rand_int(r, 0, 40);
  return s;
}

static bool happens(cz_rand *r, int percent) { return cz_rand_int(r, 0, 99) < percent; }

/* Appends a span of LENGTH to those of an array, of which N and what they cover are counted; a gap
 * of one before it happens. */
static void append(int32_t *spans, int64_t *n, int64_t *covered, int64_t length, int64_t gap) {
  spans[2 * *n] = (int32_t)(*covered + gap);
  *covered += gap + length;
  spans[2 * (*n)++ + 1] = (int32_t)*covered;
}

/* How many candidates a question has, and tokens a candidate: all of them where nothing is odd. */
static int64_t count(cz_rand *r, int64_t most, int odd) {
  return odd ? cz_rand_int(r, 1, most) : most;
}

/* Rows, candidates and questions; returns how many rows there are. */
static int64_t group(cz_case *c, cz_rand *r, const sizes *s) {
  const int64_t most = s->questions * (s->candidates + 1);
  int32_t *rows = cz_case_int(c, CZ_CHOICES_ROWS, 2, (int64_t[]){most, 2}),
          *groups = cz_case_int(c, CZ_CHOICES_GROUPS, 2, (int64_t[]){s->questions, 2});
  int64_t R = 0, K = 0, B = 0, covered = 0;
  for (int64_t b = 0; b < s->questions; b++) {
    const int64_t of = count(r, s->candidates, s->odd), outside = happens(r, s->odd);
    for (int64_t k = 0; k < of + outside; k++) {
      const int64_t tokens = happens(r, s->odd / 4) ? 0 : count(r, s->tokens, s->odd);
      append(rows, &K, &R, tokens, happens(r, s->odd));
    }
    append(groups, &B, &covered, of, outside);
  }
  c->in[CZ_CHOICES_ROWS].dim[0] = K; /* what is allocated behind them is not the case's */
  return R + (s->odd > 0);           /* a row behind all */
}

static void fill_targets(cz_case *c, cz_rand *r, const sizes *s) {
  const int32_t *groups = c->in[CZ_CHOICES_GROUPS].data;
  int32_t *right = cz_case_int(c, CZ_CHOICES_RIGHT, 1, &s->questions);
  for (int64_t b = 0; b < s->questions; b++) {
    const int64_t of = groups[2 * b + 1] - groups[2 * b];
    right[b] = happens(r, s->odd) ? -100 : (int32_t)cz_rand_int(r, 0, of - 1);
  }
  cz_case_real(c, CZ_CHOICES_DENOMINATOR, 1, (int64_t[]){1})[0] =
      (float)cz_rand_real(r, 0.5, 1.0 + (double)s->questions);
}

static double score(const cz_case *c, int64_t k, bool mean) {
  const double *nll = c->in[CZ_CHOICES_NLL].data;
  const int32_t *span = (const int32_t *)c->in[CZ_CHOICES_ROWS].data + 2 * k;
  double sum = 0;
  for (int64_t i = span[0]; i < span[1]; i++) sum -= nll[i];
  return mean && span[1] > span[0] ? sum / (span[1] - span[0]) : sum;
}

/* Whether no margin is so near to its kink that a rounding, or a step of a central difference, goes
 * past it. */
static bool off_the_kinks(const cz_case *c, const sizes *s) {
  const int32_t *groups = c->in[CZ_CHOICES_GROUPS].data, *right = c->in[CZ_CHOICES_RIGHT].data;
  for (int64_t b = 0; right && b < s->questions; b++) {
    const double of_right = right[b] < 0 ? 0 : score(c, groups[2 * b] + right[b], s->mean);
    for (int64_t k = groups[2 * b]; right[b] >= 0 && k < groups[2 * b + 1]; k++) {
      const double of_k = score(c, k, s->mean), margin = 1 - of_right + of_k;
      if (fabs(margin) < 0x1p-12 * (1 + fabs(of_right) + fabs(of_k))) return false;
    }
  }
  return true;
}

enum { TRIES = 100 };

/* Whole numbers tie, and stand on the kink, which no rounding moves them from. */
static void fill_nll(cz_case *c, cz_rand *r, const sizes *s, int64_t R) {
  double *nll = cz_case_real(c, CZ_CHOICES_NLL, 1, &R);
  for (int tries = 0; tries < TRIES && !c->smooth; tries++) {
    for (int64_t i = 0; i < R; i++)
      nll[i] = s->whole ? (double)cz_rand_int(r, 0, 2)
                        : (float)(-s->typical * log(cz_rand_real(r, 0.01, 1)));
    c->smooth = off_the_kinks(c, s);
    if (s->whole) return;
  }
}

static void build(cz_case *c, cz_rand *r, const sizes *s) {
  const int64_t R = group(c, r, s);
  if (s->targets) fill_targets(c, r, s);
  fill_nll(c, r, s, R);
  memcpy(c->attr, &(cz_choices_attr){.mean = s->mean}, sizeof(cz_choices_attr));
  snprintf(c->what, sizeof c->what,
           "%lld questions of %lld candidates of %lld tokens, right %d mean %d nll %.3g, %d%% odd",
           (long long)s->questions, (long long)s->candidates, (long long)s->tokens, s->targets,
           s->mean, s->whole ? 1 : s->typical, s->odd);
}

static void sample(cz_case *c, cz_rand *r, int index) {
  sizes s = draw(r);
  build(c, r, index < (int)(sizeof hand / sizeof *hand) ? &hand[index] : &s);
}

enum { QUESTIONS, CANDIDATES, TOKENS };

/* A step of questions with as many candidates each, and as many tokens of each candidate. */
static void bench(cz_case *c, cz_rand *r, const int64_t *n) {
  build(c, r,
        &(sizes){.questions = n[QUESTIONS],
                 .candidates = n[CANDIDATES],
                 .tokens = n[TOKENS],
                 .targets = true,
                 .typical = 1});
}

const cz_op_cases cz_choices_cases = {
    .fixed = sizeof hand / sizeof *hand,
    .sample = sample,
    .bench = bench,
    .sizes = {[QUESTIONS] = "questions", [CANDIDATES] = "candidates", [TOKENS] = "tokens"}};
