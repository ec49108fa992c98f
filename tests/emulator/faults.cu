/* Kernels with planted faults, each of which the emulator has to show, and what it is to say. A
 * fault shows itself by an error, or by a wrong number: a NaN of memory that nobody has written. */
#include "emulator/faults.h"
#include "kernels/common/device.cuh"

enum { N = 128 };

/* y_t = x of the thread 33 further on, by shared memory. FAULT 0: right; 1: no barrier between
 * write and read; 2: none before the array is written again. */
template <int FAULT> static __global__ void exchange(float *y, const float *x) {
  CZ_SHARED(float, tile, [N]);
  const int t = (int)threadIdx.x;
  for (int turn = 0; turn < 2; turn++) {
    tile[t] = x[turn * N + t];
    if (FAULT != 1) __syncthreads();
    y[turn * N + t] = tile[(t + 33) % N];
    if (FAULT != 2) __syncthreads();
  }
}

/* The same inside a warp. */
template <bool FAULT> static __global__ void exchange_warp(float *y, const float *x) {
  CZ_SHARED(float, tile, [N]);
  const int t = (int)threadIdx.x;
  tile[t] = x[t];
  if (!FAULT) __syncwarp();
  y[t] = tile[t / 32 * 32 + (t + 5) % 32];
}

static __global__ void past_shared(float *y, const float *x) {
  CZ_SHARED(float, tile, [N]);
  tile[threadIdx.x + 1] = x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = tile[threadIdx.x];
}

static __global__ void dynamic(float *y, const float *x) {
  CZ_SHARED_DYNAMIC(float, tile);
  tile[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = tile[threadIdx.x];
}

template <unsigned MASK> static __global__ void shuffle(float *y, const float *x) {
  y[threadIdx.x] = __shfl_xor_sync(MASK, x[threadIdx.x], 1);
}

static __global__ void shuffle_in_branch(float *y, const float *x) {
  const int t = (int)threadIdx.x;
  y[t] = x[t];
  if (t % 32 < 16)
    y[t] = __shfl_xor_sync(CZ_FULL_MASK, x[t], 1);
  else
    y[t] = __shfl_xor_sync(CZ_FULL_MASK, x[t], 2);
}

static __global__ void barriers_apart(float *y, const float *x) {
  if (threadIdx.x < 64)
    __syncthreads();
  else
    __syncthreads();
  y[threadIdx.x] = x[threadIdx.x];
}

static __global__ void barrier_after_leaving(float *y, const float *x) {
  if (threadIdx.x >= 96) return;
  __syncthreads();
  y[threadIdx.x] = x[threadIdx.x];
}

/* Two groups of copies; with GROUPS = 1 the second has not landed when it is read. */
template <int GROUPS> static __global__ void copies(float *y, const float *x) {
  CZ_SHARED(float, tile, [2][N]);
  const int t = (int)threadIdx.x;
  for (int i = 0; i < 2; i++) {
    if (t < N / 4) cz_copy_16(&tile[i][4 * t], x + i * N + 4 * t, true);
    cz_copy_commit();
  }
  cz_copy_wait<GROUPS>();
  __syncthreads();
  y[t] = tile[0][t] + tile[1][t];
}

static __global__ void read(float *y, const float *x, int64_t at) {
  y[threadIdx.x] = x[at + threadIdx.x];
}

static __global__ void write_past(float *y, const float *x) {
  y[N + 1 + threadIdx.x] = x[threadIdx.x];
}

static __global__ void blocks_write(float *y, const float *x) {
  if (threadIdx.x == 0) y[0] = x[blockIdx.x];
}

static __global__ void blocks_read(float *y, const float *x) {
  y[blockIdx.x * N + threadIdx.x] = x[threadIdx.x];
  if (blockIdx.x == 1) y[N + threadIdx.x] += y[threadIdx.x];
}

static __global__ void misaligned(float *y, const float *x) {
  if (threadIdx.x == 0) cz_store(y, cz_load(x + 1));
}

static __global__ void too_much_shared(float *y, const float *x) {
  CZ_SHARED(float, tile, [64 * 1024]);
  tile[threadIdx.x] = x[threadIdx.x];
  y[threadIdx.x] = tile[threadIdx.x];
}

/* What runs a kernel of two arrays of 2 N floats; X_AT shifts what is read. */
typedef void (*two_arrays)(float *, const float *);

template <two_arrays KERNEL, int BLOCKS = 1, int SHARED = 0>
static void run(float *y, const float *x, const float *host) {
  cz_launch("planted", KERNEL, BLOCKS, N, SHARED, nullptr, y, x);
}

template <int AT> static void run_read(float *y, const float *x, const float *host) {
  cz_launch("planted", read, 1, N, 0, nullptr, y, x, AT);
}

static void run_write_past(float *y, const float *x, const float *host) {
  cz_launch("planted", write_past, 1, N, 0, nullptr, y, x);
}

static void run_read_host(float *y, const float *x, const float *host) {
  cz_launch("planted", read, 1, N, 0, nullptr, y, host, 0);
}

static void run_read_unwritten(float *y, const float *x, const float *host) {
  cz_launch("planted", read, 1, N, 0, nullptr, y, y, N);
}

const fault faults[] = {
    {"nothing", run<exchange<0>>, run<exchange<0>>, NEVER, NULL, NULL},
    {"nothing, in a warp", run<exchange_warp<false>>, run<exchange_warp<false>>, NEVER, NULL, NULL},
    {"nothing, by copies", run<copies<0>>, run<copies<0>>, NEVER, NULL, NULL},
    {"nothing, by shuffles", run<shuffle<0xffffffffu>>, run<shuffle<0xffffffffu>>, NEVER, NULL,
     NULL},
    {"no barrier behind a write", run<exchange<1>>, run<exchange<0>>, ALWAYS, NULL,
     "read of 4 bytes"},
    {"no barrier before writing again", run<exchange<2>>, run<exchange<0>>, SOME_ORDER, NULL,
     "races with"},
    {"no __syncwarp", run<exchange_warp<true>>, run<exchange_warp<false>>, SOME_ORDER, NULL,
     "of 4 bytes"},
    {"a write behind a shared array", run<past_shared>, NULL, ALWAYS, "behind shared array tile",
     "outside of shared arrays"},
    {"too little dynamic memory", run<dynamic, 1, 4 * (N - 1)>, NULL, ALWAYS,
     "behind shared array the dynamic array", "outside of shared arrays"},
    {"a mask without the lane", run<shuffle<0xffff0000u>>, NULL, ALWAYS, "does not name",
     "does not name"},
    {"a shuffle in a branch", run<shuffle_in_branch>, NULL, ALWAYS, "but lanes", "but lanes"},
    {"two barriers", run<barriers_apart>, NULL, ALWAYS, "waits at another one",
     "waits at another one"},
    {"a barrier after leaving", run<barrier_after_leaving>, NULL, ALWAYS, "has left", "has left"},
    {"a group too few", run<copies<1>>, run<copies<0>>, ALWAYS, NULL, "that nobody has written"},
    {"a read behind the end", run_read<N + 1>, NULL, SOMEHOW, NULL, "of an allocation of 1024"},
    {"a write behind the end", run_write_past, NULL, ALWAYS, "behind device memory of 1024",
     "of an allocation of 1024"},
    {"a pointer of the host", run_read_host, NULL, NEVER, NULL, "which is no device memory"},
    {"a read of what nobody wrote", run_read_unwritten, NULL, ALWAYS, NULL,
     "that nobody has written"},
    {"two blocks write one number", run<blocks_write, 2>, NULL, SOMEHOW, NULL, "of another block"},
    {"a block reads another's", run<blocks_read, 2>, NULL, SOMEHOW, NULL, "of 4 bytes"},
    {"an access of 16 bytes off its place", run<misaligned>, NULL, ALWAYS, "no multiple of 16",
     "no multiple of 16"},
    {"more shared memory than there is", run<too_much_shared>, NULL, ALWAYS, "a block has",
     "a block has"},
};
const size_t n_faults = sizeof faults / sizeof *faults;
