#include "kernels/attention/attention.h"
#include "kernels/cases.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SEGMENTS = 8 };

typedef struct sizes {
  int64_t H, K;
  int64_t B, nq[SEGMENTS], nk[SEGMENTS],
      gap; /* gap: rows of k between segments that nobody reads */
  int64_t prefix[SEGMENTS];
  double std;                     /* of q and k */
  bool bias, training, same_keys; /* same_keys: all segments read the first keys, */
  int64_t slide;                  /* or each begins so many behind the one before */
  cz_attention_attr attr;
} sizes;

/* mask, scale, buckets, distance, bidirectional, dropout, share; heads are filled in */
/* clang-format off */
#define FULL(scale) {0, CZ_ATTENTION_MASK_FULL, scale, 32, 128, true, 0, false}
#define CAUSAL(scale) {0, CZ_ATTENTION_MASK_CAUSAL, scale, 32, 128, false, 0, false}
#define PREFIXED(scale) {0, CZ_ATTENTION_MASK_PREFIX, scale, 32, 128, true, 0, false}
/* clang-format on */

static const sizes hand[] = {
    {1, 1, 1, {1}, {1}, .std = 1, .attr = FULL(1)},
    {1, 7, 3, {3, 0, 5}, {4, 2, 0}, .std = 1, .attr = FULL(0.5)}, /* empty query and key
                                                                           segments */
    {1,
     64,
     2,
     {73, 17},
     {130, 17},
     .std = 0.4,
     .bias = true,
     .attr = FULL(1)}, /* past the last bucket's threshold */
    {1, 8, 2, {129, 71}, {129, 71}, .std = 1, .bias = true, .attr = CAUSAL(0.25)}, /* around a block
                                                                                      of queries */
    {1, 5, 1, {70}, {613}, .std = 1, .bias = true, .attr = FULL(0.3)}, /* fewer queries to a
                                                                                 tile */
    {1, 5, 2, {31, 3}, {600, 3}, .std = 1, .bias = true, .attr = CAUSAL(0.3)},
    {3,
     5,
     3,
     {1, 1, 2},
     {9, 70, 2},
     .std = 1,
     .bias = true,
     .attr = CAUSAL(1)}, /* a cache: the newest query, all keys */
    {2,
     6,
     2,
     {7, 9},
     {3, 9},
     .std = 1,
     .bias = true,
     .attr = CAUSAL(1)}, /* queries before the first key see nothing */
    {2,
     9,
     4,
     {11, 11, 11, 4},
     {11, 11, 11, 9},
     .prefix = {0, 11, 5, 7},
     .std = 1,
     .bias = true,
     .attr = PREFIXED(1)},
    {1,
     7,
     2,
     {3, 6},
     {2, 1},
     .prefix = {1, 9},
     .std = 1,
     .attr = PREFIXED(1)}, /* a prefix longer than the segment */
    {1, 8, 3, {3, 0, 5}, {0, 20, 9}, .std = 1, .attr = FULL(0.5)}, /* the same where rows are whole
                                                                      packs of 16 bytes */
    {2, 33, 3, {5, 31, 2}, {67, 1, 13}, .gap = 3, .std = 1, .attr = FULL(0.2)}, /* keys that nobody
                                                                                   reads */
    {2,
     8,
     3,
     {4, 4, 5},
     {19, 19, 19},
     .std = 1,
     .same_keys = true,
     .bias = true,
     .attr = FULL(0.5)},                                /* beams over one encoder output */
    {2, 64, 1, {40}, {40}, .std = 35, .attr = FULL(1)}, /* scores of +-1e4 */
    {1, 64, 1, {77}, {77}, .std = 35, .bias = true, .attr = CAUSAL(1)},
    {2,
     7,
     2,
     {9, 20},
     {13, 20},
     .std = 1,
     .bias = true,
     .training = true,
     .attr = {0, CZ_ATTENTION_MASK_FULL, 1, 9, 11, true, 0.5, false}},
    {2,
     7,
     2,
     {9, 20},
     {13, 20},
     .std = 1,
     .bias = true,
     .training = true,
     .attr = {0, CZ_ATTENTION_MASK_CAUSAL, 1, 7, 20, false, 0.3, true}},
    {1,
     3,
     1,
     {3},
     {2100},
     .std = 1,
     .training = true,
     .attr = {0, CZ_ATTENTION_MASK_FULL, 0.25, 0, 0, false, 0.1, false}}, /* two blocks of keys */
    {1,
     3,
     2,
     {7, 3},
     {2101, 2},
     .std = 1,
     .bias = true,
     .attr = {0, CZ_ATTENTION_MASK_CAUSAL, 0.3, 64, 4000, false, 0, false}},
    {2,
     3,
     2,
     {6, 4},
     {6, 4},
     .std = 1,
     .bias = true,
     .attr = {0, CZ_ATTENTION_MASK_FULL, 1, 4, 2, true, 0, false}}, /* the fewest buckets */
    {1,
     4,
     2,
     {330, 3},
     {330, 70},
     .std = 1,
     .bias = true,
     .training = true,
     .attr = {0, CZ_ATTENTION_MASK_CAUSAL, 0.4, 16, 50, false, 0.2, false}}, /* more queries than a
                                                                                tile has */
    {1,
     8,
     3,
     {3, 2, 4},
     {192, 192, 256},
     .std = 0.5,
     .same_keys = true,
     .attr = FULL(0.5)}, /* a block of 64 keys has a second tile of 64 that are its own */
    /* tiles of keys that whole warps of queries see but for the last key, or one key more */
    {1, 8, 3, {16, 64, 17}, {63, 127, 65}, .std = 0.5, .attr = FULL(0.5)},
    {1, 8, 2, {16, 16}, {64, 32}, .prefix = {63, 31}, .std = 0.5, .attr = PREFIXED(0.5)},
    {1,
     72,
     3,
     {5, 19, 2},
     {70, 40, 21},
     .std = 0.4,
     .training = true,
     .same_keys = true,
     .slide = 7,
     .attr = {0, CZ_ATTENTION_MASK_FULL, 0.3, 0, 0, true, 0.3, false}}, /* draws of a tile that
                                                                            begins in another
                                                                            segment's midst */
    {1,
     128,
     2,
     {20, 3},
     {20, 68},
     .std = 0.2,
     .bias = true,
     .training = true,
     .attr = {0, CZ_ATTENTION_MASK_CAUSAL, 0.5, 32, 128, false, 0.1, true}}, /* wide heads */
    {1,
     3,
     1,
     {270},
     {650},
     .prefix = {400},
     .std = 1,
     .bias = true,
     .training = true,
     .attr = {0, CZ_ATTENTION_MASK_PREFIX, 0.5, 16, 200, true, 0.2, true}},
    {1, 8, 2, {3, 0}, {4, 20}, .std = 1, .attr = FULL(0.5)}, /* keys that nobody sees, as packs */
    {1, 8, 2, {3, 5}, {5, 3}, .std = 1, .attr = FULL(0.5)},  /* one array as q and k: a row is one
                                                                segment's q and the other's k */
};

static sizes draw(cz_rand *r) {
  sizes s = {.H = cz_rand_int(r, 1, 4),
             .K = cz_rand_size(r, 64),
             .B = cz_rand_int(r, 1, 5),
             .gap = cz_rand_int(r, 0, 4) ? 0 : cz_rand_int(r, 1, 3)};
  bool self = cz_rand_int(r, 0, 1);
  int64_t maximum = cz_rand_int(r, 0, 5) ? 24 : 131;
  if (maximum > 24) s.H = cz_rand_int(r, 1, 2), s.B = cz_rand_int(r, 1, 2);
  for (int64_t n = 0; n < s.B; n++) {
    s.nq[n] = cz_rand_int(r, 0, 7) ? cz_rand_size(r, maximum) : 0;
    s.nk[n] = self ? s.nq[n] : cz_rand_int(r, 0, 7) ? cz_rand_size(r, maximum) : 0;
    s.prefix[n] = cz_rand_int(r, 0, s.nk[n] + 1);
  }
  s.std = cz_rand_int(r, 0, 3) ? cz_rand_real(r, 0.1, 1.5) : cz_rand_real(r, 2, 20);
  s.bias = cz_rand_int(r, 0, 2);
  s.training = cz_rand_int(r, 0, 1);
  s.same_keys = !self && !cz_rand_int(r, 0, 7);
  s.slide = s.same_keys ? cz_rand_int(r, 0, 2) * cz_rand_int(r, 0, 9) : 0;
  cz_attention_attr *a = &s.attr;
  a->mask = (int)cz_rand_int(r, CZ_ATTENTION_MASK_FULL, CZ_ATTENTION_MASK_PREFIX);
  a->scale = cz_rand_int(r, 0, 1) ? 1 : cz_rand_real(r, 0.05, 0.5);
  /* Where a bucket holds all keys of a row that have any weight, its sum of dS is zero by
   * cancellation, which float32 sums are not: hence no sharp rows with a position bias,
   * and no one-sided buckets where a query sees keys to its right (they would all share
   * bucket 0). */
  if (s.std * s.std * a->scale * sqrt((double)s.K) > 2) s.bias = false;
  a->bidirectional = a->mask != CZ_ATTENTION_MASK_CAUSAL || cz_rand_int(r, 0, 1);
  a->buckets = (int)cz_rand_int(r, 0, 1) ? 32 : (int)cz_rand_int(r, 4, 40);
  a->max_distance = cz_attention_exact(a->buckets, a->bidirectional) + (int)cz_rand_int(r, 1, 120);
  a->dropout = cz_rand_int(r, 0, 1) ? 0 : cz_rand_real(r, 0, 0.7);
  a->share_queries = cz_rand_int(r, 0, 1);
  return s;
}

/* Keys may have gaps between segments, which no query reads and whose dk and dv must come
 * out as 0; or segments OVERLAP, and dk and dv of keys that several read must add up. */
static void fill_spans(cz_case *c, const sizes *s, int input, const int64_t *n, int64_t gap,
                       bool overlap) {
  int32_t *spans = cz_case_int(c, input, 2, (int64_t[]){s->B, 2});
  int64_t at = 0;
  for (int64_t b = 0; b < s->B; b++) {
    if (overlap) at = b * s->slide;
    spans[2 * b] = (int32_t)at;
    at += n[b];
    spans[2 * b + 1] = (int32_t)at;
    at += gap;
  }
}

static void build(cz_case *c, cz_rand *r, const sizes *given) {
  sizes s = *given;
  int64_t Tq = 0, Tk = 0;
  for (int64_t n = 0; n < s.B; n++) {
    Tq += s.nq[n];
    const int64_t end = s.same_keys ? n * s.slide + s.nk[n] : Tk + s.nk[n] + s.gap;
    Tk = end > Tk ? end : Tk;
  }
  s.attr.heads = (int)s.H;
  cz_case_normal(c, r, CZ_ATTENTION_Q, 2, (int64_t[]){Tq, s.H * s.K}, s.std);
  cz_case_normal(c, r, CZ_ATTENTION_K, 2, (int64_t[]){Tk, s.H * s.K}, s.std);
  cz_case_normal(c, r, CZ_ATTENTION_V, 2, (int64_t[]){Tk, s.H * s.K}, 1);
  fill_spans(c, &s, CZ_ATTENTION_Q_SPANS, s.nq, 0, false);
  fill_spans(c, &s, CZ_ATTENTION_K_SPANS, s.nk, s.gap, s.same_keys);
  if (s.attr.mask == CZ_ATTENTION_MASK_PREFIX) {
    int32_t *prefix = cz_case_int(c, CZ_ATTENTION_PREFIX, 1, (int64_t[]){s.B});
    for (int64_t n = 0; n < s.B; n++) prefix[n] = (int32_t)s.prefix[n];
  }
  if (s.bias)
    cz_case_normal(c, r, CZ_ATTENTION_POSITION_BIAS, 2, (int64_t[]){s.attr.buckets, s.H}, 1);
  memcpy(c->attr, &s.attr, sizeof s.attr);
  c->training = s.training;
  c->smooth = s.std < 2; /* sharper rows bend within a step of central differences */
  snprintf(c->what, sizeof c->what,
           "H %lld K %lld B %lld Tq %lld Tk %lld mask %d dev %.3g scale %.3g bias %d (%d/%d/%d) "
           "drop %.2g%s%s",
           (long long)s.H, (long long)s.K, (long long)s.B, (long long)Tq, (long long)Tk,
           s.attr.mask, s.std, s.attr.scale, s.bias, s.attr.buckets, s.attr.max_distance,
           s.attr.bidirectional, s.training ? s.attr.dropout : 0,
           s.attr.share_queries ? " shared" : "", s.same_keys ? " same k" : "");
}

static void sample(cz_case *c, cz_rand *r, int index) {
  sizes s = draw(r);
  build(c, r, index < (int)(sizeof hand / sizeof *hand) ? &hand[index] : &s);
}

enum { BATCH, QUERIES, KEYS, HEADS, HEAD_SIZE, POSITION_BIAS, IS_CAUSAL, NO_DROPOUT };

/* T5's buckets and dropout; a model without a position bias scales its scores. */
static void bench(cz_case *c, cz_rand *r, const int64_t *n) {
  const int64_t width = n[HEADS] * n[HEAD_SIZE], q[] = {n[BATCH] * n[QUERIES], width},
                k[] = {n[BATCH] * n[KEYS], width}, bias[] = {32, n[HEADS]};
  cz_case_normal(c, r, CZ_ATTENTION_Q, 2, q, 0.4);
  cz_case_normal(c, r, CZ_ATTENTION_K, 2, k, 0.4);
  cz_case_normal(c, r, CZ_ATTENTION_V, 2, k, 1);
  cz_case_equal_spans(c, CZ_ATTENTION_Q_SPANS, n[BATCH], n[QUERIES]);
  cz_case_equal_spans(c, CZ_ATTENTION_K_SPANS, n[BATCH], n[KEYS]);
  if (n[POSITION_BIAS]) cz_case_normal(c, r, CZ_ATTENTION_POSITION_BIAS, 2, bias, 1);
  const double scale = n[POSITION_BIAS] ? 1 : 1 / sqrt((double)n[HEAD_SIZE]);
  cz_attention_attr *attr = (cz_attention_attr *)c->attr;
  *attr = n[IS_CAUSAL] ? (cz_attention_attr)CAUSAL(scale) : (cz_attention_attr)FULL(scale);
  attr->heads = (int)n[HEADS], attr->dropout = n[NO_DROPOUT] ? 0 : 0.1, attr->share_queries = true;
  c->training = true;
}

const cz_op_cases cz_attention_cases = {.fixed = sizeof hand / sizeof *hand,
                                        .sample = sample,
                                        .bench = bench,
                                        .sizes = {[BATCH] = "segments",
                                                  [QUERIES] = "queries",
                                                  [KEYS] = "keys",
                                                  [HEADS] = "heads",
                                                  [HEAD_SIZE] = "head_size",
                                                  [POSITION_BIAS] = "position_bias",
                                                  [IS_CAUSAL] = "causal",
                                                  [NO_DROPOUT] = "no_dropout"},
                                        .flags = 1u << POSITION_BIAS | 1u << IS_CAUSAL |
                                                 1u << NO_DROPOUT};
