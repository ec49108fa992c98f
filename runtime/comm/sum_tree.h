/* The one order in which the gradients of shards are added, whatever the number of ranks.
 *
 * Neighbours first, then pairs, then fours, an odd one carried up:
 * ((0+1)+(2+3))+((4+5)+(6+7)), and for six ((0+1)+(2+3))+(4+5). A rank that owns a power
 * of two of consecutive shards owns a node of that tree; the tree over the ranks' nodes
 * is the rest of it. `cz_sum_tree` adds a rank's own shards as they come, like a binary
 * counter: after n shards as many buffers are in use as n has one bits. They lie on the device,
 * whose kernels add; sums over ranks are made of messages, by the host. */
#ifndef CZ_COMM_SUM_TREE_H
#define CZ_COMM_SUM_TREE_H

#include "device/device.h"

#include <stddef.h>
#include <stdint.h>

/* Who adds on a device. Only the engine calls kernels, so whoever has an engine gives one. */
typedef struct cz_adder {
  cz_device *device;
  void *self;
  /* into[i] = into[i] + from[i] for first <= i < first + n, two arrays of the device's memory;
   * in the order of the device's work, and need not have run when it returns. */
  cz_status (*add)(void *self, void *into, const void *from, int64_t first, int64_t n);
} cz_adder;

typedef struct cz_sum_tree cz_sum_tree;

CZ_MUST cz_status cz_sum_tree_create(cz_sum_tree **t, const cz_adder *adder, int64_t elements,
                                     size_t element_bytes, int64_t shards);
void cz_sum_tree_destroy(cz_sum_tree **t);
CZ_MUST cz_status cz_sum_tree_push(cz_sum_tree *t, const void *gradient);
int64_t cz_sum_tree_pushed(const cz_sum_tree *t);
CZ_MUST cz_status cz_sum_tree_fold(const cz_sum_tree *t, void *gradient, int64_t first,
                                   int64_t count);
void cz_sum_tree_reset(cz_sum_tree *t);
void cz_sum_tree_fold_parts(void *const *parts, int64_t n, int64_t elements, size_t element_bytes);

#endif
