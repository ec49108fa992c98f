#include "kernels/cases.h"
#include "kernels/embedding/embedding.h"

#include <math.h>
#include <stdio.h>

/* Ids follow Zipf's law, the k-th most frequent word having a share of about 1 / k: a few
 * are read over and over and most never, as in text. exp of a uniform number in [0, log(V
 * + 1)) has the density 1 / k. The last row is always read, where an off-by-one would
 * show. */
static void problem(cz_case *c, cz_rand *r, int64_t V, int64_t T, int64_t D) {
  cz_case_normal(c, r, CZ_EMBEDDING_TABLE, 2, (int64_t[]){V, D}, 1);
  *(cz_embedding_attr *)c->attr = (cz_embedding_attr){0};
  int32_t *ids = cz_case_int(c, CZ_EMBEDDING_IDS, 1, &T);
  for (int64_t t = 0; t < T; t++)
    ids[t] = (int32_t)(exp(cz_rand_real(r, 0, log((double)V + 1))) - 1) % (int32_t)V;
  if (T > 0) ids[T - 1] = (int32_t)V - 1;
  c->smooth = true;
  snprintf(c->what, sizeof c->what, "V %lld T %lld D %lld", (long long)V, (long long)T,
           (long long)D);
}

/* Row PAD is left out of the gradient, and read in many places. Its differences are not its
 * gradient's. */
static void padded(cz_case *c, cz_rand *r, int64_t V, int64_t T, int64_t D, int32_t pad) {
  problem(c, r, V, T, D);
  int32_t *ids = c->in[CZ_EMBEDDING_IDS].data;
  for (int64_t t = 0; t < T; t += 3) ids[t] = pad;
  ((cz_embedding_attr *)c->attr)->padding = pad + 1;
  c->smooth = false;
  snprintf(c->what, sizeof c->what, "V %lld T %lld D %lld, padding %d", (long long)V, (long long)T,
           (long long)D, pad);
}

static void sample(cz_case *c, cz_rand *r, int index) {
  switch (index) {
  case 0: problem(c, r, 9, 0, 3); return; /* no tokens: the gradient is zero */
  case 1: problem(c, r, 1, 1, 1); return;
  case 2: problem(c, r, 1, 257, 65); return;     /* one id */
  case 3: problem(c, r, 997, 31, 67); return;    /* most rows unread */
  case 4: problem(c, r, 3001, 1500, 12); return; /* long lists, a few ids in hundreds of places */
  case 5: padded(c, r, 97, 60, 33, 0); return;
  case 6: padded(c, r, 211, 700, 70, 210); return; /* the row that is always read */
  default: problem(c, r, cz_rand_size(r, 300), cz_rand_size(r, 300), cz_rand_size(r, 130));
  }
}

enum { ROWS, VOCABULARY, WIDTH };

/* Ids at random, so that few rows are read from a cache. */
static void bench(cz_case *c, cz_rand *r, const int64_t *n) {
  cz_case_normal(c, r, CZ_EMBEDDING_TABLE, 2, (int64_t[]){n[VOCABULARY], n[WIDTH]}, 1);
  cz_case_below(c, r, CZ_EMBEDDING_IDS, n[ROWS], n[VOCABULARY]);
}

static int64_t rows(const cz_call *call, const cz_arg *a) {
  const bool table = a == &call->in[CZ_EMBEDDING_TABLE] || a == &call->din[CZ_EMBEDDING_TABLE];
  return table ? call->out[0].dim[0] : a->dim[0];
}

const cz_op_cases cz_embedding_cases = {
    .fixed = 7,
    .sample = sample,
    .bench = bench,
    .sizes = {[ROWS] = "rows", [VOCABULARY] = "vocabulary", [WIDTH] = "width"},
    .rows = rows};
