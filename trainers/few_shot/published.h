/* What the loops that made the numbers of PET's paper do in training and the paper does not say:
 * v1.0 and v1.1 of the published code, under `fidelity: code` (docs/pet.md 1.6, 5.1). Their
 * micro-batches are the shards of a batch here. */
#ifndef CZ_FEW_SHOT_PUBLISHED_H
#define CZ_FEW_SHOT_PUBLISHED_H

#include "training/loop.h"

/* An epoch over labelled texts, which counts its micro-batches anew. */
typedef struct cz_published_epoch {
  int64_t texts, micro_batches;
  int64_t updates;   /* 0: there never is one */
  int64_t left_over; /* micro-batches behind the last update, whose gradients add to the next one */
} cz_published_epoch;

void cz_published_loop(cz_loop_job *job);
cz_published_epoch cz_published_epoch_of(const cz_batch_plan *batch, int64_t labelled, int64_t n);
void cz_published_batches(cz_batch_plan *batch, const cz_published_epoch *epoch);
double cz_published_excess(const cz_loop_job *job, const cz_batch *batch);

#endif
