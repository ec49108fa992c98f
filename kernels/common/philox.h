/* Philox 4x32-10: counter-based random numbers (Salmon, Moraes, Dror, Shaw: "Parallel
 * random numbers: as easy as 1, 2, 3", SC 2011).
 *
 * Every number is a function of (seed, step, shard, op, element), so any device, thread,
 * rank, resumed run or recomputed block draws the same one. A generator with a state
 * would have to be saved, divided among threads and wound back for recomputation.
 *
 * Ten rounds are the paper's own choice; seven already pass BigCrush. */
#ifndef CZ_KERNELS_COMMON_PHILOX_H
#define CZ_KERNELS_COMMON_PHILOX_H

#include "kernels/op.h"

CZ_C_BEGIN

/* One block: a bijection of the 128-bit counter for each key. Constants are the paper's:
 * two odd multipliers, and key increments from the golden ratio and the square root of 3
 * (Weyl sequences), so that no two rounds use one key. */
static inline CZ_HOST_DEVICE void cz_philox(uint32_t out[4], const uint32_t counter[4],
                                            uint64_t key) {
  uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
  uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
  CZ_UNROLL /* a loop over elements around it then becomes vectors */
  for (int round = 0; round < 10; round++) {
    uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
    uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
    c0 = n0, c1 = (uint32_t)p1, c2 = n2, c3 = (uint32_t)p0;
    k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
  }
  out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

/* Four numbers of 32 bits, by the number of their quad. The counter is (quad, op, step,
 * shard) in 32 bits each: draws of different ops (the graph refuses two nodes of one key),
 * steps or shards can never meet. A quad
 * beyond 2^32 (arrays of more than 1.7e10 elements) has its upper half folded into the
 * op's word, times an odd number, which keeps different halves different for one op. */
static inline CZ_HOST_DEVICE void cz_philox_quad(uint32_t out[4], const cz_key *key,
                                                 uint64_t quad) {
  const uint32_t counter[4] = {(uint32_t)quad, key->op ^ (uint32_t)(quad >> 32) * 0x9E3779B9u,
                               key->step, key->shard};
  cz_philox(out, counter, key->seed);
}

void cz_philox_quads(uint64_t *const w[4], const cz_key *key, uint64_t first, int64_t n);

CZ_C_END

#endif
