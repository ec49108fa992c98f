/* Numbers that are not finite, planted in the last kernel of a forward: the gradient of its input,
 * or the loss itself, in one shard of one step or in all. */
#ifndef CZ_TESTS_PLANTED_H
#define CZ_TESTS_PLANTED_H

#include "device/device.h"

typedef struct plant {
  uint32_t first, last, shard; /* steps from first to last, from 0 */
  bool all_shards, in_loss;
  double value;
} plant;

/* From now on the device's kernels of cross_entropy plant: D is `cpu` or `ref`, or what far is made
 * of. Null takes it back. One device at a time. */
void plant_in(cz_device *d, const plant *what);

/* How often a number was planted since this was asked last. */
int planted(void);

#endif
