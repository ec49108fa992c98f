/* What the loops that made the numbers of PET's paper do in training and the paper does not say:
 * v1.0 and v1.1 of the published code, under `fidelity: code` (docs/pet.md 5.1). Their
 * micro-batches are the shards of a batch here. */
#ifndef CZ_FEW_SHOT_PUBLISHED_H
#define CZ_FEW_SHOT_PUBLISHED_H

#include "training/loop.h"

void cz_published_loop(cz_loop_job *job);
int64_t cz_published_updates(const cz_batch_plan *batch, int64_t labelled, int64_t n);
int64_t cz_published_texts(const cz_batch_plan *batch, int64_t labelled, int64_t n);
double cz_published_excess(const cz_loop_job *job, const cz_batch *batch);

#endif
