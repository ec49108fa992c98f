#include "checkpoint/extents.h"

#include <stdio.h>

/** Writes "[2, 3]" into OUT and returns it; ends in "..." when it does not fit. */
const char *cz__extents_text(char out[CZ__EXTENTS_TEXT], const int64_t *dims, int rank) {
  size_t used = (size_t)snprintf(out, CZ__EXTENTS_TEXT, "[");
  for (int i = 0; i < rank && used < CZ__EXTENTS_TEXT - 32; i++)
    used += (size_t)snprintf(out + used, CZ__EXTENTS_TEXT - used, "%s%lld", i ? ", " : "",
                             (long long)dims[i]);
  snprintf(out + used, CZ__EXTENTS_TEXT - used, used >= CZ__EXTENTS_TEXT - 32 ? ", ...]" : "]");
  return out;
}

/** True when both shapes have the same rank and extents. */
bool cz__extents_same(const int64_t *a, int rank_a, const int64_t *b, int rank_b) {
  if (rank_a != rank_b) return false;
  for (int i = 0; i < rank_a; i++)
    if (a[i] != b[i]) return false;
  return true;
}

/** The number of elements of a shape (1 for rank 0). False when an extent is negative or
 * the product passes 2^63 - 1. */
bool cz__extents_count(uint64_t *count, const int64_t *dims, int rank) {
  uint64_t n = 1;
  bool empty = false, fits = true;
  for (int i = 0; i < rank; i++) {
    if (dims[i] < 0) return false;
    if (dims[i] == 0)
      empty = true;
    else if (__builtin_mul_overflow(n, (uint64_t)dims[i], &n) || n > INT64_MAX)
      fits = false;
    if (!fits) n = 1; /* go on: a later 0 makes the whole shape empty */
  }
  *count = empty ? 0 : n;
  return fits || empty;
}
