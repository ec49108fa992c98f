#include "kernels/cases.h"
#include "kernels/label_words/label_words.h"

#include <stdio.h>
#include <string.h>

enum { NONE, HARD, SOFT };

typedef struct sizes {
  int64_t T, D, V, M, C, W;
  bool bias;
  int targets;
  double std;  /* of x; the table has std 1 */
  int counted; /* percent of rows that count */
  double temperature;
} sizes;

/* One class, whose softmax is 1 and whose loss is 0; words and rows that repeat, whose
 * gradients must add; scores of 1e4; sizes beyond one thread's part. */
static const sizes hand[] = {
    {1, 1, 1, 1, 1, 1, false, HARD, 1, 100, 1},  /* one word of one class: the loss is 0 */
    {4, 7, 5, 3, 2, 1, true, NONE, 1, 100, 1},   /* scores only */
    {2, 8, 9, 9, 3, 2, true, HARD, 1, 100, 1},   /* rows repeat */
    {9, 3, 2, 5, 6, 4, true, SOFT, 1, 100, 2},   /* words repeat, within a class and across */
    {6, 16, 40, 5, 4, 3, false, HARD, 1, 0, 1},  /* nothing counts */
    {6, 16, 40, 5, 4, 3, false, SOFT, 1, 50, 4}, /* rows of zero weight */
    {17, 64, 100, 13, 5, 2, true, HARD, 1000, 80,
     1}, /* scores of +-1e4: a naive exponential overflows */
    {17, 64, 100, 13, 5, 2, true, SOFT, 1000, 80, 2},
    {5, 129, 33, 4, 2, 1, true, HARD, 1, 100, 0.1},
    {3, 9, 7, 0, 3, 2, true, HARD, 1, 100, 1}, /* no masks */
    {12, 257, 60, 12, 10, 3, true, SOFT, 0.5, 100, 2},
    {11, 1033, 257, 9, 8, 2, true, HARD, 0.5, 90,
     1}, /* rows, columns and the table long enough for several threads */
    {40, 36, 50, 64, 3, 5, true, HARD, 1, 90, 1}, /* as many rows as one block of a card takes */
    {50, 12, 20, 65, 2, 1, true, SOFT, 1, 90, 2}, /* and one more */
    {7, 5, 12, 130, 5, 3, false, HARD, 1, 95, 1}, /* rows and words repeat in all of them */
};

static sizes draw(cz_rand *r) {
  sizes s = {.T = cz_rand_size(r, 65),
             .D = cz_rand_size(r, 257),
             .M = cz_rand_size(r, 33),
             .C = cz_rand_size(r, 17)};
  s.V = s.C + cz_rand_size(r, 129);
  s.W = cz_rand_int(r, 1, 5), s.bias = cz_rand_int(r, 0, 1),
  s.targets = (int)cz_rand_int(r, NONE, SOFT);
  s.std = cz_rand_int(r, 0, 3) ? cz_rand_real(r, 0.1, 2) : cz_rand_real(r, 5, 1000);
  s.counted = (int)cz_rand_int(r, 40, 120);
  s.temperature = cz_rand_int(r, 0, 1) ? 1 : cz_rand_real(r, 0.2, 5);
  return s;
}

static void fill_words(cz_case *c, cz_rand *r, const sizes *s) {
  int32_t *words = cz_case_int(c, CZ_LABEL_WORDS_WORDS, 2, (int64_t[]){s->C, s->W});
  for (int64_t i = 0; i < s->C * s->W; i++)
    words[i] = cz_rand_int(r, 0, 2) ? (int32_t)cz_rand_int(r, 0, s->V - 1) : -1;
  /* One word of its own for each class where the vocabulary allows: were all classes the
   * same word, gradients would be nothing but rounding errors. */
  for (int64_t k = 0; k < s->C; k++)
    words[k * s->W + cz_rand_int(r, 0, s->W - 1)] = (int32_t)(k % s->V);
}

/* Soft targets need not sum to 1, so the gradient's n_m is tested too; a row of zeros is
 * not counted and must give exactly 0. */
static void fill_targets(cz_case *c, cz_rand *r, const sizes *s) {
  if (s->targets == HARD) {
    int32_t *hard = cz_case_int(c, CZ_LABEL_WORDS_HARD, 1, (int64_t[]){s->M});
    for (int64_t m = 0; m < s->M; m++)
      hard[m] = cz_rand_int(r, 0, 99) < s->counted ? (int32_t)cz_rand_int(r, 0, s->C - 1) : -100;
  } else if (s->targets == SOFT) {
    double *soft = cz_case_real(c, CZ_LABEL_WORDS_SOFT, 2, (int64_t[]){s->M, s->C});
    for (int64_t m = 0; m < s->M; m++) {
      bool counts = cz_rand_int(r, 0, 99) < s->counted;
      for (int64_t k = 0; k < s->C; k++)
        soft[m * s->C + k] = counts ? (float)(cz_rand_real(r, 0, 2) / (double)s->C) : 0;
    }
  }
  if (s->targets)
    cz_case_real(c, CZ_LABEL_WORDS_DENOMINATOR, 1, (int64_t[]){1})[0] =
        (float)cz_rand_real(r, 0.5, 1.0 + (double)s->M);
}

static void build(cz_case *c, cz_rand *r, const sizes *s) {
  cz_case_normal(c, r, CZ_LABEL_WORDS_X, 2, (int64_t[]){s->T, s->D}, s->std);
  cz_case_normal(c, r, CZ_LABEL_WORDS_TABLE, 2, (int64_t[]){s->V, s->D}, 1);
  if (s->bias) cz_case_normal(c, r, CZ_LABEL_WORDS_BIAS, 1, (int64_t[]){s->V}, 1);
  cz_case_below(c, r, CZ_LABEL_WORDS_ROWS, s->M, s->T);
  fill_words(c, r, s);
  fill_targets(c, r, s);
  memcpy(c->attr, &(cz_label_words_attr){.temperature = s->temperature},
         sizeof(cz_label_words_attr));
  c->smooth = s->std <= 2; /* a sharp softmax bends within a step of central differences */
  static const char *const kind[] = {"no", "hard", "soft"};
  snprintf(
      c->what, sizeof c->what,
      "T %lld D %lld V %lld M %lld C %lld W %lld bias %d %s targets dev %.3g, %d%% count, t %.3g",
      (long long)s->T, (long long)s->D, (long long)s->V, (long long)s->M, (long long)s->C,
      (long long)s->W, s->bias, kind[s->targets], s->std, s->counted, s->temperature);
}

static void sample(cz_case *c, cz_rand *r, int index) {
  sizes s = draw(r);
  build(c, r, index < (int)(sizeof hand / sizeof *hand) ? &hand[index] : &s);
}

enum { ROWS, MASKS, VOCABULARY, WIDTH, CLASSES, WORDS };

/* A PET step; every class has all of its words. */
static void bench(cz_case *c, cz_rand *r, const int64_t *n) {
  build(c, r,
        &(sizes){.T = n[ROWS],
                 .D = n[WIDTH],
                 .V = n[VOCABULARY],
                 .M = n[MASKS],
                 .C = n[CLASSES],
                 .W = n[WORDS],
                 .targets = HARD,
                 .std = 1,
                 .counted = 100,
                 .temperature = 1});
  int32_t *words = c->in[CZ_LABEL_WORDS_WORDS].data;
  for (int64_t i = 0; i < n[CLASSES] * n[WORDS]; i++)
    words[i] = (int32_t)cz_rand_int(r, 0, n[VOCABULARY] - 1);
}

static int64_t rows(const cz_call *call, const cz_arg *a) {
  if (a == &call->in[CZ_LABEL_WORDS_X]) return cz_numel(&call->in[CZ_LABEL_WORDS_ROWS]);
  if (a == &call->in[CZ_LABEL_WORDS_TABLE] || a == &call->din[CZ_LABEL_WORDS_TABLE])
    return cz_numel(&call->in[CZ_LABEL_WORDS_WORDS]);
  return a->dim[0];
}

const cz_op_cases cz_label_words_cases = {.fixed = sizeof hand / sizeof *hand,
                                          .sample = sample,
                                          .bench = bench,
                                          .sizes = {[ROWS] = "rows",
                                                    [MASKS] = "masks",
                                                    [VOCABULARY] = "vocabulary",
                                                    [WIDTH] = "width",
                                                    [CLASSES] = "classes",
                                                    [WORDS] = "words"},
                                          .rows = rows};
