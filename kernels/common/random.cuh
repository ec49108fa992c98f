/* Random numbers in kernels. What a launcher knows of their key is seed and op; step and shard
 * change from run to run of a graph and are read where the kernel runs, from the call's clock in
 * device memory, so that a recorded launch draws new numbers. A call without a clock has all of
 * them in its key. */
#ifndef CZ_KERNELS_COMMON_RANDOM_CUH
#define CZ_KERNELS_COMMON_RANDOM_CUH

#include "kernels/common/device.cuh"
#include "kernels/common/dropout_mask.h"

/* What a kernel is given, by value. */
typedef struct cz_random {
  cz_key key;
  const cz_clock *clock; /* in device memory, or null */
} cz_random;

static inline cz_random cz_random_of(const cz_call *call) {
  cz_random r;
  r.key = call->key, r.clock = call->clock;
  return r;
}

/* The key to draw with; once a thread. */
static inline __device__ cz_key cz_random_key(const cz_random &r) {
  cz_key key = r.key;
  if (r.clock) key.step = r.clock->step, key.shard = r.clock->shard;
  return key;
}

#endif
