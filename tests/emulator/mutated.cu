/* Kernels for mutate.py: barriers that are needed, and one that is not and says so. */
#include "emulator/mutated.h"
#include "kernels/common/device.cuh"

enum { N = 128 };

/* y_i = x_(i + 33) + x_(i + 5), by shared memory: __syncthreads(); in a comment is none. */
static __global__ void barriers(float *y, const float *x) {
  CZ_SHARED(float, tile, [N]);
  CZ_SHARED(float, warps, [N]);
  const int t = (int)threadIdx.x;
  for (int turn = 0; turn < 2; turn++) {
    tile[t] = warps[t] = x[turn * N + t];
    __syncthreads(); /* needed: others read */
    const float sum = tile[(t + 33) % N];
    __syncwarp(0xffffffffu); /* mutant: survives, the barrier above has done it */
    y[turn * N + t] = sum + warps[t / 32 * 32 + (t + 5) % 32];
    __syncthreads(); /* needed: the next turn writes */
  }
}

static __global__ void copies(float *y, const float *x) {
  CZ_SHARED(float, tile, [N]);
  const int t = (int)threadIdx.x;
  if (t < N / 4) cz_copy_16(&tile[4 * t], x + 4 * t, true);
  cz_copy_commit();
  cz_copy_wait<0>();
  if (t % 2 == 0) y[t] = 0;
  __syncthreads();
  y[t] = tile[(t + 7) % N];
}

void mutated(float *y, const float *x) {
  cz_launch("barriers", barriers, 1, N, 0, nullptr, y, x);
  cz_launch("copies", copies, 1, N, 0, nullptr, y, x);
}
