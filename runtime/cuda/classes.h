/* Classes of sizes: what is made for one size serves all of its class. */
#ifndef CZ_CUDA_CLASSES_H
#define CZ_CUDA_CLASSES_H

#include <stdint.h>

/* The largest size of N's class: the next power of two or 3/4 of one, LEAST, a power of two, at
 * least. */
static inline int64_t cz_cuda_class(int64_t n, int64_t least) {
  int64_t power = least;
  while (power < n) power *= 2;
  return power > least && power / 4 * 3 >= n ? power / 4 * 3 : power;
}

#endif
