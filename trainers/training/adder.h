/* Sums of gradients by a device's own kernels: what the reducer (comm/reducer.h), which knows no
 * kernel, is given. */
#ifndef CZ_TRAINING_ADDER_H
#define CZ_TRAINING_ADDER_H

#include "comm/sum_tree.h"
#include "graph/graph.h"

typedef struct cz_device_sums {
  cz_device *device; /* borrowed */
  cz_scratch scratch;
} cz_device_sums;

cz_adder cz_device_adder(cz_device_sums *sums);
void cz_device_sums_free(cz_device_sums *sums);

#endif
