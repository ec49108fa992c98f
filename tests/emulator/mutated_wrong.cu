/* For mutate.py: what is said of barriers is wrong, or nothing is. */
#include "emulator/mutated.h"
#include "kernels/common/device.cuh"

enum { N = 128 };

static __global__ void wrong(float *y, const float *x) {
  CZ_SHARED(float, tile, [N]);
  const int t = (int)threadIdx.x;
  tile[t] = x[t];
  __syncthreads(); /* either would do */
  /* mutant: survives, another is
     just above */
  __syncthreads();
  y[t] = tile[(t + 1) % N];
  __syncthreads(); /* mutant: survives, they say, and others still read */
  tile[t] = 0;
}

void mutated(float *y, const float *x) { cz_launch("wrong", wrong, 1, N, 0, nullptr, y, x); }
