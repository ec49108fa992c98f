/* Sums the gradients of all shards on all ranks, in the one tree of comm/sum_tree.h,
 * while the backward pass still runs.
 *
 * The flat gradient buffer is cut into buckets. As soon as all elements of a bucket are
 * final on a rank, its pieces travel to their owners (piece r to rank r), each owner adds
 * its pieces in the order of the tree, and the sums travel back. The bits do not depend
 * on buckets, pieces or timing.
 *
 * A rank's own shards are added by its device, in the order of its work and without a wait:
 * alone, a rank moves no byte through the host, and with one shard it does nothing at all.
 * Pieces of other ranks are added by the host as they arrive: in the gradient itself where
 * the device's memory is the host's, otherwise in a copy of the bucket, which goes back to the
 * device when it is whole.
 *
 * One step: for each of the rank's shards but the last, run backward and cz_reducer_push.
 * During the last shard's backward call cz_reducer_ready for elements that are final,
 * which also moves messages along; after it cz_reducer_finish. The gradient then is the
 * sum over all shards. */
#ifndef CZ_COMM_REDUCER_H
#define CZ_COMM_REDUCER_H

#include "comm/comm.h"
#include "comm/sum_tree.h"

typedef struct cz_reducer cz_reducer;

CZ_MUST cz_status cz_reducer_create(cz_reducer **r, cz_comm *c, const cz_adder *adder,
                                    void *gradient, int64_t elements, size_t element_bytes,
                                    int64_t shards, size_t bucket_bytes);
void cz_reducer_destroy(cz_reducer **r);
CZ_MUST cz_status cz_reducer_push(cz_reducer *r);
CZ_MUST cz_status cz_reducer_ready(cz_reducer *r, int64_t first, int64_t count);
CZ_MUST cz_status cz_reducer_finish(cz_reducer *r);

#endif
