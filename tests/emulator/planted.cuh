/* How the planted faults are run: each is a kernel of two arrays of 2 N floats, by N threads. */
#ifndef CZ_TESTS_EMULATOR_PLANTED_CUH
#define CZ_TESTS_EMULATOR_PLANTED_CUH

#include "emulator/faults.h"
#include "kernels/common/device.cuh"

enum { N = 128 };

typedef void (*two_arrays)(float *, const float *);

template <two_arrays KERNEL, int BLOCKS = 1, int THREADS = N, int SHARED = 0>
static void run(float *y, const float *x, const float *host) {
  cz_launch("planted", KERNEL, BLOCKS, THREADS, SHARED, nullptr, y, x);
}

#endif
