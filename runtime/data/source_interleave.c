/* Several sources in one batch: so many examples of each, each in its own order and with
 * epochs of its own. A batch is an epoch of the whole, so any example can be found without
 * replaying the ones before. PET reads labelled and unlabelled texts like this (pet.md
 * 1.2). */
#include "data/walk.h"

#include <stdlib.h>

typedef struct interleave {
  cz__walk parts[CZ_MIX_MAXIMUM];
  int64_t share[CZ_MIX_MAXIMUM]; /* examples in one round */
  int64_t rounds, round;         /* in a batch; examples of one */
  int n_parts;
} interleave;

static cz_status interleave_count(void *self, uint64_t *n, uint32_t epoch) {
  const interleave *x = self;
  (void)epoch;
  *n = (uint64_t)(x->rounds * x->round);
  return CZ_OK;
}

static cz_status interleave_get(void *self, cz_example *out, uint32_t epoch, uint64_t index) {
  interleave *x = self;
  const uint64_t round = index / (uint64_t)x->round;
  int64_t at = (int64_t)(index % (uint64_t)x->round);
  int k = 0;
  CZ_CHECK(round < (uint64_t)x->rounds);
  while (at >= x->share[k]) at -= x->share[k++];
  const uint64_t before = (uint64_t)epoch * (uint64_t)x->rounds + round;
  return cz__walk_get(&x->parts[k], out, before * (uint64_t)x->share[k] + (uint64_t)at);
}

static void interleave_destroy(void *self) {
  interleave *x = self;
  for (int k = 0; k < x->n_parts; k++) cz_source_destroy(&x->parts[k].source);
  free(x);
}

static int64_t common_divisor(int64_t a, int64_t b) {
  while (b) {
    const int64_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

static cz_status check_counts(const int64_t *counts, int n_parts) {
  if (n_parts < 1 || n_parts > CZ_MIX_MAXIMUM)
    return CZ_FAIL(CZ_EINVAL, "a batch of examples of %d sources, expected 1 to %d", n_parts,
                   CZ_MIX_MAXIMUM);
  for (int k = 0; k < n_parts; k++)
    if (counts[k] < 1 || counts[k] > 1 << 20)
      return CZ_FAIL(CZ_EINVAL, "%lld examples of source %d in a batch, expected 1 to 2^20",
                     (long long)counts[k], k);
  return CZ_OK;
}

/** An endless source of batches with COUNTS[k] examples of PARTS[k] each. They take turns in
 * rounds as short as the counts allow (4 and 12: one and three), so that equal parts of a
 * batch get equal shares where there are so many rounds. Batches should be of as many examples
 * as all counts together. On success the new source owns PARTS; on failure (CZ_EINVAL) the
 * caller keeps them. */
cz_status cz_source_interleave(cz_source *out, const cz_source *parts, const int64_t *counts,
                               int n_parts) {
  *out = (cz_source){0};
  CZ_TRY(check_counts(counts, n_parts));
  interleave *x;
  CZ_TRY(cz_alloc(&x, 1, sizeof *x));
  x->n_parts = n_parts;
  for (int k = 0; k < n_parts; k++) x->rounds = common_divisor(counts[k], x->rounds);
  for (int k = 0; k < n_parts; k++) {
    x->parts[k].source = parts[k];
    x->share[k] = counts[k] / x->rounds;
    x->round += x->share[k];
  }
  *out = (cz_source){
      .self = x, .count = interleave_count, .get = interleave_get, .destroy = interleave_destroy};
  return CZ_OK;
}
