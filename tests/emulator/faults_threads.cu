/* Faults of threads that work together: barriers, shared memory, warps. A fault shows itself by an
 * error that names it, or by a wrong number: a NaN of memory that nobody has written. */
#include "emulator/planted.cuh"

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

/* What stands between a lane's write and another's read of it. */
enum between { NOTHING, SYNCWARP, HALF_SYNCWARP, SHUFFLE, VOTE };

template <between BETWEEN> static inline __device__ void separate(int t) {
  if (BETWEEN == SYNCWARP) __syncwarp();
  if (BETWEEN == HALF_SYNCWARP) __syncwarp(t % 32 < 16 ? 0xffffu : 0xffff0000u);
  if (BETWEEN == SHUFFLE) __shfl_sync(CZ_FULL_MASK, t, 0);
  if (BETWEEN == VOTE) __any_sync(CZ_FULL_MASK, t);
}

/* The same exchange inside a group of WIDTH lanes. */
template <between BETWEEN, int WIDTH> static __global__ void in_warp(float *y, const float *x) {
  CZ_SHARED(float, tile, [N]);
  const int t = (int)threadIdx.x;
  tile[t] = x[t];
  separate<BETWEEN>(t);
  y[t] = tile[t / WIDTH * WIDTH + (t + 5) % WIDTH];
}

/* The array is written again when all lanes of the half have read it; or not. */
template <between BETWEEN> static __global__ void reuse_in_warp(float *y, const float *x) {
  CZ_SHARED(float, tile, [N]);
  const int t = (int)threadIdx.x;
  tile[t] = x[t];
  __syncwarp();
  y[t] = tile[t / 16 * 16 + (t + 5) % 16];
  separate<BETWEEN>(t);
  tile[t] = 0;
}

/* ---- shared arrays ---- */

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

/* A block's shared memory is not there for the next one. */
static __global__ void from_last_block(float *y, const float *x) {
  CZ_SHARED(float, tile, [N]);
  const unsigned t = threadIdx.x;
  if (blockIdx.x == 0) tile[t] = x[t];
  __syncthreads();
  if (blockIdx.x == 1) y[t] = tile[t];
}

static __global__ void too_much_shared(float *y, const float *x) {
  CZ_SHARED(float, tile, [64 * 1024]);
  tile[threadIdx.x] = x[threadIdx.x];
  y[threadIdx.x] = tile[threadIdx.x];
}

/* ---- barriers ---- */

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

static __global__ void one_turn_more(float *y, const float *x) {
  const unsigned turns = threadIdx.x == 77 ? 3 : 2;
  for (unsigned i = 0; i < turns; i++) __syncthreads();
  y[threadIdx.x] = x[threadIdx.x];
}

static __global__ void barrier_against_shuffle(float *y, const float *x) {
  const unsigned t = threadIdx.x;
  y[t] = x[t];
  if (t % 32 == 0)
    __syncthreads();
  else
    y[t] = __shfl_sync(CZ_FULL_MASK, x[t], 1);
}

/* ---- masks ---- */

template <unsigned MASK> static __global__ void shuffle(float *y, const float *x) {
  y[threadIdx.x] = __shfl_xor_sync(MASK, x[threadIdx.x], 1);
}

/* Halves of a warp that shuffle by themselves, each with its own mask. */
static __global__ void halves(float *y, const float *x) {
  const unsigned t = threadIdx.x;
  if (t % 32 < 16)
    y[t] = __shfl_xor_sync(0xffffu, x[t], 3);
  else
    y[t] = __shfl_xor_sync(0xffff0000u, x[t], 5);
}

/* One half comes to the other one late, or has something to do by itself before. */
static __global__ void halves_and_all(float *y, const float *x) {
  const unsigned t = threadIdx.x, own = t % 32 < 16 ? 0xffffu : 0xffff0000u;
  float sum = __shfl_xor_sync(own, x[t], 3);
  sum += __shfl_xor_sync(CZ_FULL_MASK, sum, 16);
  if (t % 32 >= 16) sum += __shfl_xor_sync(own, sum, 1);
  y[t] = __shfl_xor_sync(CZ_FULL_MASK, sum, 17);
}

static __global__ void shuffle_in_branch(float *y, const float *x) {
  const int t = (int)threadIdx.x;
  y[t] = x[t];
  if (t % 32 < 16)
    y[t] = __shfl_xor_sync(CZ_FULL_MASK, x[t], 1);
  else
    y[t] = __shfl_xor_sync(CZ_FULL_MASK, x[t], 2);
}

static __global__ void unlike_masks(float *y, const float *x) {
  const unsigned t = threadIdx.x;
  y[t] = __shfl_xor_sync(t % 32 < 16 ? 0xffffu : CZ_FULL_MASK, x[t], 1);
}

static __global__ void from_outside_the_mask(float *y, const float *x) {
  const unsigned t = threadIdx.x;
  y[t] = x[t];
  if (t % 32 < 16) y[t] = __shfl_xor_sync(0xffffu, x[t], 16);
}

static __global__ void odd_width(float *y, const float *x) {
  y[threadIdx.x] = __shfl_sync(CZ_FULL_MASK, x[threadIdx.x], 1, 12);
}

enum collective { OF_SYNCWARP, OF_SHUFFLE, OF_VOTE };

/* Lanes from 24 on have left before, or leave while the others wait. */
template <collective WHAT> static __global__ void after_leaving(float *y, const float *x) {
  const unsigned t = threadIdx.x;
  y[t] = x[t];
  if (t % 32 >= 24) return;
  if (WHAT == OF_SYNCWARP) __syncwarp();
  if (WHAT == OF_SHUFFLE) y[t] = __shfl_sync(CZ_FULL_MASK, x[t], 1);
  if (WHAT == OF_VOTE) y[t] = (float)__any_sync(CZ_FULL_MASK, t > 3);
}

const fault faults_of_threads[] = {
    {"nothing", run<exchange<0>>, run<exchange<0>>, NEVER, NULL, NULL, NULL},
    {"no barrier behind a write", run<exchange<1>>, run<exchange<0>>, ALWAYS, NULL,
     "read of 4 bytes", NULL},
    {"no barrier before writing again", run<exchange<2>>, run<exchange<0>>, SOME_ORDER, NULL,
     "races with", NULL},
    {"nothing, in a warp", run<in_warp<SYNCWARP, 32>>, run<in_warp<SYNCWARP, 32>>, NEVER, NULL,
     NULL, NULL},
    {"no __syncwarp", run<in_warp<NOTHING, 32>>, run<in_warp<SYNCWARP, 32>>, SOME_ORDER, NULL,
     "of 4 bytes", NULL},
    {"nothing, in half a warp", run<in_warp<HALF_SYNCWARP, 16>>, run<in_warp<SYNCWARP, 16>>, NEVER,
     NULL, NULL, NULL},
    {"half a __syncwarp", run<in_warp<HALF_SYNCWARP, 32>>, run<in_warp<SYNCWARP, 32>>, SOME_ORDER,
     NULL, "of 4 bytes", NULL},
    {"a shuffle for a __syncwarp", run<in_warp<SHUFFLE, 32>>, run<in_warp<SYNCWARP, 32>>, NEVER,
     NULL, "races with the write of", NULL},
    {"a vote for a __syncwarp", run<in_warp<VOTE, 32>>, run<in_warp<SYNCWARP, 32>>, NEVER, NULL,
     "races with the write of", NULL},
    {"nothing, written again", run<reuse_in_warp<SYNCWARP>>, run<reuse_in_warp<SYNCWARP>>, NEVER,
     NULL, NULL, NULL},
    {"nothing, halves written again", run<reuse_in_warp<HALF_SYNCWARP>>,
     run<reuse_in_warp<SYNCWARP>>, NEVER, NULL, NULL, NULL},
    {"no __syncwarp before writing again", run<reuse_in_warp<NOTHING>>,
     run<reuse_in_warp<SYNCWARP>>, SOME_ORDER, NULL, "races with", NULL},

    {"a write behind a shared array", run<past_shared>, NULL, ALWAYS, "behind shared array tile",
     "outside of shared arrays", "index 128 out of bounds"},
    {"nothing, in dynamic memory", run<dynamic, 1, N, 4 * N>, NULL, NEVER, NULL, NULL, NULL},
    {"too little dynamic memory", run<dynamic, 1, N, 4 * (N - 1)>, NULL, ALWAYS,
     "behind shared array the dynamic array", "outside of shared arrays", "use-after-poison"},
    {"a read of the last block's array", run<from_last_block, 2>, NULL, ALWAYS, NULL,
     "that nobody has written", NULL},
    {"more shared memory than there is", run<too_much_shared>, NULL, ALWAYS, "the block has",
     "the block has", NULL},

    {"two barriers", run<barriers_apart>, NULL, ALWAYS, "waits at another one",
     "waits at another one", NULL},
    {"a barrier after leaving", run<barrier_after_leaving>, NULL, ALWAYS, "has left", "has left",
     NULL},
    {"a barrier too many", run<one_turn_more>, NULL, ALWAYS, "has left", "has left", NULL},
    {"a barrier against a shuffle", run<barrier_against_shuffle>, NULL, ALWAYS,
     "no thread can go on", "no thread can go on", NULL},

    {"nothing, by shuffles", run<shuffle<0xffffffffu>>, run<shuffle<0xffffffffu>>, NEVER, NULL,
     NULL, NULL},
    {"nothing, by shuffles of halves", run<halves>, run<halves>, NEVER, NULL, NULL, NULL},
    {"nothing, by halves and all", run<halves_and_all>, run<halves_and_all>, NEVER, NULL, NULL,
     NULL},
    {"a mask without the lane", run<shuffle<0xffff0000u>>, NULL, ALWAYS, "does not name",
     "does not name", NULL},
    {"a mask of lanes that are none", run<shuffle<0xffffffffu>, 1, 48>, NULL, ALWAYS,
     "the block has no such thread", "the block has no such thread", NULL},
    {"a shuffle in a branch", run<shuffle_in_branch>, NULL, ALWAYS, "but lanes", "but lanes", NULL},
    {"unlike masks", run<unlike_masks>, NULL, ALWAYS, "shuffle", "shuffle", NULL},
    {"a shuffle from outside the mask", run<from_outside_the_mask>, NULL, ALWAYS,
     "which the mask 0xffff does not name", "which the mask 0xffff does not name", NULL},
    {"a shuffle of twelve", run<odd_width>, NULL, ALWAYS, "no power of two", "no power of two",
     NULL},
    {"a __syncwarp after leaving", run<after_leaving<OF_SYNCWARP>>, NULL, ALWAYS, "has left",
     "has left", NULL},
    {"a shuffle after leaving", run<after_leaving<OF_SHUFFLE>>, NULL, ALWAYS, "has left",
     "has left", NULL},
    {"a vote after leaving", run<after_leaving<OF_VOTE>>, NULL, ALWAYS, "has left", "has left",
     NULL},
};
const size_t n_faults_of_threads = sizeof faults_of_threads / sizeof *faults_of_threads;
