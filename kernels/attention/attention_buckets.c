/* T5's buckets of relative positions (Raffel et al. 2020, section 2.1; formula and
 * thresholds: t5.md 1.2).
 *
 * Each direction has `half` buckets. Distances below exact = half / 2 have one each;
 * larger ones share buckets that grow as powers, up to max_distance. */
#include "kernels/attention/attention.h"

#include <math.h>

static int per_direction(int buckets, bool bidirectional) {
  return bidirectional ? buckets / 2 : buckets;
}

/** Distances below this number have a bucket of their own; max_distance must be larger,
 * and it must be at least 1. */
int cz_attention_exact(int buckets, bool bidirectional) {
  return per_direction(buckets, bidirectional) / 2;
}

/* Where a whole power is hit (n = 32 of exact 8, distance 128) rounding may fall short by
 * a unit; 1e-9 is far above that and far below the distance to the next boundary, which
 * tests/buckets proves against whole-number arithmetic. */
static int bucket_of_distance(int64_t n, int half, int max_distance) {
  int exact = half / 2;
  if (n < exact) return (int)n;
  if (n >= max_distance) return half - 1;
  double steps = log((double)n / exact) / log((double)max_distance / exact) * (half - exact);
  int bucket = exact + (int)(steps + 1e-9);
  return bucket < half ? bucket : half - 1;
}

/** The bucket of OFFSET = key position - query position. In [0, buckets); needs exact >=
 * 1 and max_distance > exact (cz_attention_exact). */
int cz_attention_bucket(int64_t offset, int buckets, int max_distance, bool bidirectional) {
  int half = per_direction(buckets, bidirectional);
  if (bidirectional)
    return (offset > 0 ? half : 0) +
           bucket_of_distance(offset < 0 ? -offset : offset, half, max_distance);
  return bucket_of_distance(offset < 0 ? -offset : 0, half, max_distance);
}

/** Fills MAP[reach + r] with the bucket of offset r, for -REACH <= r <= REACH; MAP has 2
 * * REACH + 1 entries. */
void cz_attention_buckets(int32_t *map, int64_t reach, int buckets, int max_distance,
                          bool bidirectional) {
  int half = per_direction(buckets, bidirectional);
  for (int64_t n = 0; n <= reach; n++) {
    int bucket = n < max_distance ? bucket_of_distance(n, half, max_distance) : half - 1;
    map[reach - n] = bucket;
    map[reach + n] = bidirectional ? (n ? half + bucket : bucket) : 0;
  }
}
