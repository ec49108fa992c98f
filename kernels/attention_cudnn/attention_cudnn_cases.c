#include "kernels/attention_cudnn/attention_cudnn.h"
#include "kernels/cases.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SEGMENTS = 8 };

typedef struct sizes {
  int64_t H, K, B, nq[SEGMENTS], nk[SEGMENTS];
  bool causal, told; /* told: how long the longest segments are */
  double std, scale; /* std: of q and k */
} sizes;

static const sizes hand[] = {
    {1, 8, 1, {1}, {1}, false, false, 1, 1},
    {2, 16, 3, {3, 1, 5}, {4, 2, 1}, false, true, 1, 0.5},
    {1, 64, 2, {73, 17}, {130, 17}, false, true, 0.4, 1}, /* around tiles of 64 and 128 */
    {2, 64, 2, {129, 64}, {129, 64}, true, true, 0.5, 0.125},
    {1, 128, 3, {1, 63, 2}, {1, 63, 2}, true, false, 0.5, 0.1},
    {3, 24, 5, {9, 1, 2, 3, 4}, {2, 70, 1, 5, 3}, false, false, 1, 0.2},
    {2, 256, 1, {5}, {3}, false, true, 0.5, 0.0625},
    {1, 40, 2, {31, 9}, {31, 9}, true, true, 2, 0.5}, /* sharp rows */
};

static sizes draw(cz_rand *r) {
  sizes s = {.H = cz_rand_int(r, 1, 3),
             .K = 8 * cz_rand_int(r, 1, 8),
             .B = cz_rand_int(r, 1, 5),
             .causal = cz_rand_int(r, 0, 1),
             .told = cz_rand_int(r, 0, 1),
             .std = cz_rand_real(r, 0.1, 1.5),
             .scale = cz_rand_real(r, 0.05, 0.5)};
  const int64_t longest = cz_rand_int(r, 0, 3) ? 24 : 70;
  for (int64_t n = 0; n < s.B; n++) {
    s.nq[n] = cz_rand_size(r, longest);
    s.nk[n] = s.causal && cz_rand_int(r, 0, 2) ? s.nq[n] : cz_rand_size(r, longest);
  }
  return s;
}

static int64_t longest(const int64_t *n, int64_t B) {
  int64_t most = 0;
  for (int64_t b = 0; b < B; b++) most = n[b] > most ? n[b] : most;
  return most;
}

/* Spans of the lengths N, one behind another; the sum of them. */
static int64_t fill_spans(cz_case *c, int input, const int64_t *n, int64_t B) {
  int32_t *spans = cz_case_int(c, input, 2, (int64_t[]){B, 2});
  int64_t at = 0;
  for (int64_t b = 0; b < B; b++) {
    spans[2 * b] = (int32_t)at;
    spans[2 * b + 1] = (int32_t)(at += n[b]);
  }
  return at;
}

static void fill_rows(cz_case *c, cz_rand *r, int64_t Tq, int64_t Tk, int64_t width, double std) {
  cz_case_normal(c, r, CZ_ATTENTION_CUDNN_Q, 2, (int64_t[]){Tq, width}, std);
  cz_case_normal(c, r, CZ_ATTENTION_CUDNN_K, 2, (int64_t[]){Tk, width}, std);
  cz_case_normal(c, r, CZ_ATTENTION_CUDNN_V, 2, (int64_t[]){Tk, width}, 1);
}

static void sample(cz_case *c, cz_rand *r, int index) {
  const sizes drawn = draw(r), s = index < (int)(sizeof hand / sizeof *hand) ? hand[index] : drawn;
  const int64_t Tq = fill_spans(c, CZ_ATTENTION_CUDNN_Q_SPANS, s.nq, s.B),
                Tk = fill_spans(c, CZ_ATTENTION_CUDNN_K_SPANS, s.nk, s.B);
  const cz_attention_cudnn_attr attr = {.heads = (int)s.H,
                                        .causal = s.causal,
                                        .scale = s.scale,
                                        .longest_q = s.told ? longest(s.nq, s.B) : 0,
                                        .longest_k = s.told ? longest(s.nk, s.B) : 0};
  fill_rows(c, r, Tq, Tk, s.H * s.K, s.std);
  memcpy(c->attr, &attr, sizeof attr);
  c->smooth = s.std < 2; /* sharper rows bend within a step of central differences */
  snprintf(c->what, sizeof c->what, "H %lld K %lld B %lld Tq %lld Tk %lld%s dev %.3g scale %.3g%s",
           (long long)s.H, (long long)s.K, (long long)s.B, (long long)Tq, (long long)Tk,
           s.causal ? " causal" : "", s.std, s.scale, s.told ? "" : " lengths not told");
}

enum { BATCH, QUERIES, KEYS, HEADS, EIGHTS, IS_CAUSAL };

/* EIGHTS: a head's numbers, which cuDNN takes by eights. */
static void bench(cz_case *c, cz_rand *r, const int64_t *n) {
  const int64_t head = 8 * n[EIGHTS];
  fill_rows(c, r, n[BATCH] * n[QUERIES], n[BATCH] * n[KEYS], n[HEADS] * head, 0.4);
  cz_case_equal_spans(c, CZ_ATTENTION_CUDNN_Q_SPANS, n[BATCH], n[QUERIES]);
  cz_case_equal_spans(c, CZ_ATTENTION_CUDNN_K_SPANS, n[BATCH], n[KEYS]);
  *(cz_attention_cudnn_attr *)c->attr = (cz_attention_cudnn_attr){.heads = (int)n[HEADS],
                                                                  .causal = n[IS_CAUSAL],
                                                                  .scale = 1 / sqrt((double)head),
                                                                  .longest_q = n[QUERIES],
                                                                  .longest_k = n[KEYS]};
}

const cz_op_cases cz_attention_cudnn_cases = {.fixed = sizeof hand / sizeof *hand,
                                              .sample = sample,
                                              .bench = bench,
                                              .sizes = {[BATCH] = "segments",
                                                        [QUERIES] = "queries",
                                                        [KEYS] = "keys",
                                                        [HEADS] = "heads",
                                                        [EIGHTS] = "head_eights",
                                                        [IS_CAUSAL] = "causal"},
                                              .flags = 1u << IS_CAUSAL};
