/* Faults of memory: copies, matrices, addresses that are wrong, blocks that use one address. */
#include "emulator/planted.cuh"

/* ---- asynchronous copies ---- */

/* Two groups of copies, each into an array of its own. */
static inline __device__ void ask(float tile[2][N], const float *x) {
  const int t = (int)threadIdx.x;
  for (int i = 0; i < 2; i++) {
    if (t < N / 4) cz_copy_16(&tile[i][4 * t], x + i * N + 4 * t, true);
    cz_copy_commit();
  }
}

/* With GROUPS = 1 the second has not landed when it is read, with 2 neither has. */
template <int GROUPS, bool BARRIER = true> static __global__ void copies(float *y, const float *x) {
  CZ_SHARED(float, tile, [2][N]);
  const int t = (int)threadIdx.x;
  ask(tile, x);
  cz_copy_wait<GROUPS>();
  if (BARRIER) __syncthreads();
  y[t] = tile[0][t] + tile[1][t];
}

/* The copy may land where somebody has put something else by then. */
static __global__ void copy_for_nobody(float *y, const float *x) {
  CZ_SHARED(float, tile, [N]);
  const int t = (int)threadIdx.x;
  if (t < N / 4) cz_copy_16(&tile[4 * t], x + 4 * t, true);
  cz_copy_commit();
  y[t] = x[t];
}

/* Only groups are waited for. */
static __global__ void copy_without_commit(float *y, const float *x) {
  CZ_SHARED(float, tile, [N]);
  const int t = (int)threadIdx.x;
  if (t < N / 4) cz_copy_16(&tile[4 * t], x + 4 * t, true);
  cz_copy_wait<0>();
  __syncthreads();
  y[t] = tile[t];
}

/* A copy begins while others still read what was there. */
template <bool BARRIER> static __global__ void copy_over_reads(float *y, const float *x) {
  CZ_SHARED(float, tile, [N]);
  const int t = (int)threadIdx.x;
  tile[t] = x[t];
  __syncthreads();
  y[t] = tile[(t + 40) % N];
  if (BARRIER) __syncthreads();
  if (t < N / 4) cz_copy_16(&tile[4 * t], x + N + 4 * t, true);
  cz_copy_commit();
  cz_copy_wait<0>();
  __syncthreads();
  y[N + t] = tile[t];
}

/* What is copied changes before the copy has come. */
template <bool EARLY> static __global__ void copy_of_what_changes(float *y, const float *x) {
  CZ_SHARED(float, tile, [N]);
  const int t = (int)threadIdx.x;
  y[t] = x[t];
  __syncthreads();
  if (t < N / 4) cz_copy_16(&tile[4 * t], y + 4 * t, true);
  cz_copy_commit();
  if (EARLY && t < N / 4) y[4 * t] = 0;
  cz_copy_wait<0>();
  __syncthreads();
  y[N + t] = tile[t];
}

enum when { AFTERWARDS, UNDER_WAY, UNDER_WAY_AND_BARRIER };

/* Another thread's write to where a copy goes. */
template <when WHEN> static __global__ void write_at_copy(float *y, const float *x) {
  CZ_SHARED(float, tile, [N]);
  const int t = (int)threadIdx.x;
  if (t < N / 4) cz_copy_16(&tile[4 * t], x + 4 * t, true);
  cz_copy_commit();
  if (WHEN == AFTERWARDS) cz_copy_wait<0>();
  __syncthreads();
  if (t >= N / 4) tile[t] = 1;
  if (WHEN == UNDER_WAY_AND_BARRIER) __syncthreads();
  if (WHEN != AFTERWARDS) cz_copy_wait<0>();
  __syncthreads();
  y[t] = tile[t];
}

/* Without PRESENT nothing is read, wherever FROM points. */
static __global__ void absent(float *y, const float *x) {
  CZ_SHARED(float, tile, [N]);
  const int t = (int)threadIdx.x;
  if (t < N / 4) cz_copy_16(&tile[4 * t], x + 1000 * t, false);
  cz_copy_commit();
  cz_copy_wait<0>();
  __syncthreads();
  y[t] = tile[t];
}

/* TO and FROM numbers further on than is right. */
template <int TO, int FROM> static __global__ void copy_beside(float *y, const float *x) {
  CZ_SHARED(float, tile, [N]);
  const int t = (int)threadIdx.x;
  if (4 * t + 4 + TO % 4 <= N) cz_copy_16(tile + TO + 4 * t, x + FROM + 4 * t, true);
  cz_copy_commit();
  cz_copy_wait<0>();
  __syncthreads();
  y[t] = tile[t];
}

static __global__ void copy_to_global(float *y, const float *x) {
  cz_copy_16(y + 4 * threadIdx.x, x, true);
}

/* ---- matrices ---- */

enum matrix_fault { GOOD_MATRIX, NO_BARRIER, ODD_ROW, GLOBAL_ROW, BEHIND, LANES_LEFT };

template <matrix_fault FAULT> static __global__ void matrices(float *y, const float *x) {
  CZ_SHARED(uint16_t, tile, [32 * 8]);
  const int t = (int)threadIdx.x;
  uint32_t r[4] = {0, 0, 0, 0};
  if (t >= 32) return;
  for (int i = t; i < 32 * 8; i += 32) tile[i] = (uint16_t)i;
  if (FAULT != NO_BARRIER) __syncwarp();
  const uint16_t *row = tile + 8 * t;
  if (FAULT == ODD_ROW) row += 4;
  if (FAULT == BEHIND) row += 8;
  if (FAULT == LANES_LEFT && t >= 8) return;
  if (FAULT == GLOBAL_ROW)
    cz_ldmatrix_4<false>(r, x);
  else
    cz_ldmatrix_4<false>(r, row);
  for (int i = 0; i < 4; i++) y[32 * i + t] = (float)r[i];
}

/* ---- addresses ---- */

static __global__ void read(float *y, const float *x, int64_t at) {
  y[threadIdx.x] = x[at + threadIdx.x];
}

static __global__ void write_past(float *y, const float *x) {
  y[N + 1 + threadIdx.x] = x[threadIdx.x];
}

static __global__ void misaligned(float *y, const float *x) {
  if (threadIdx.x == 0) cz_store(y, cz_load(x + 1));
}

static __global__ void misaligned_long(float *y, const float *x) {
  y[threadIdx.x] = (float)*reinterpret_cast<const uint64_t *>(x + 1);
}

static __global__ void set_x(float *y, const float *x) { const_cast<float *>(x)[threadIdx.x] = 0; }

/* ---- blocks ---- */

static __global__ void blocks_write(float *y, const float *x) {
  if (threadIdx.x == 0) y[0] = x[blockIdx.x];
}

/* The block READER uses what the other one writes. */
template <unsigned READER> static __global__ void blocks_read(float *y, const float *x) {
  const unsigned t = threadIdx.x;
  if (blockIdx.x == READER)
    y[N + t] = y[t];
  else
    y[t] = x[t];
}

/* The block WRITER changes what the other one reads. */
template <unsigned WRITER> static __global__ void read_then_write(float *y, const float *x) {
  const unsigned t = threadIdx.x;
  if (blockIdx.x == WRITER)
    const_cast<float *>(x)[t] = 1;
  else
    y[t] = x[t];
}

/* Counters of a block each, of 8 threads each; READ: and what another block may add to is read. */
template <bool READ> static __global__ void add(float *y, const float *x) {
  int *counts = reinterpret_cast<int *>(y);
  atomicAdd(counts + threadIdx.x / 8, 1);
  if (READ && blockIdx.x == 1) y[N + threadIdx.x] = (float)counts[threadIdx.x / 8];
}

/* ---- what the host gives ---- */

template <int AT> static void run_read(float *y, const float *x, const float *host) {
  cz_launch("planted", read, 1, N, 0, nullptr, y, x, AT);
}

static void run_read_host(float *y, const float *x, const float *host) {
  cz_launch("planted", read, 1, N, 0, nullptr, y, host, 0);
}

static void run_read_static(float *y, const float *x, const float *host) {
  static float numbers[2 * N];
  cz_launch("planted", read, 1, N, 0, nullptr, y, numbers, 0);
}

static __global__ void static_beside_dynamic(float *y, const float *x) {
  CZ_SHARED(float, tile, [4096 + N]);
  CZ_SHARED_DYNAMIC(float, rest);
  const int t = (int)threadIdx.x;
  tile[4096 + t] = rest[t] = x[t];
  y[t] = tile[4096 + t] + rest[t];
}

/* Together more than a block has that does not ask. */
static void run_static_beside(float *y, const float *x, const float *host) {
  cz_launch("planted", static_beside_dynamic, 1, N, CZ_SHARED_WITHOUT_ASKING, nullptr, y, x);
}

static void run_write_host(float *y, const float *x, const float *host) {
  float local[2 * N];
  cz_launch("planted", set_x, 1, N, 0, nullptr, y, local);
}

static void run_read_unwritten(float *y, const float *x, const float *host) {
  cz_launch("planted", read, 1, N, 0, nullptr, y, y, N);
}

static void run_read_freed(float *y, const float *x, const float *host) {
  float *gone;
  cudaMalloc((void **)&gone, 4096);
  cudaMemsetAsync(gone, 0, 4096, nullptr);
  cudaFree(gone);
  cz_launch("planted", read, 1, N, 0, nullptr, y, gone, 0);
}

template <bool READ> static void run_add(float *y, const float *x, const float *host) {
  cudaMemsetAsync(y, 0, 2 * N * sizeof *y, nullptr);
  cz_launch("planted", add<READ>, 2, N, 0, nullptr, y, x);
}

/* ---- kernels that end the process ---- */

static __global__ void for_ever(float *y, const float *x) {
  while (*static_cast<const volatile float *>(x) != 0) {
  }
  y[0] = 1;
}

static __device__ float depth(const float *x, int n) {
  volatile float here[1024];
  for (int i = 0; i < 1024; i++) here[i] = x[i % N];
  return n ? here[n % 1024] + depth(x, n - 1) * here[0] : 0;
}

static __global__ void too_deep(float *y, const float *x) { y[threadIdx.x] = depth(x, 1000); }

void run_for_ever(float *y, const float *x, const float *host) { run<for_ever>(y, x, host); }
void run_too_deep(float *y, const float *x, const float *host) { run<too_deep>(y, x, host); }

static const char CHANGED[] = "what it copies was changed", WRITTEN[] = "was written under it",
                  LATE[] = "has landed", ODD_PLACE[] = "not multiples of 16",
                  UNSET[] = "that nobody has written";

const fault faults_of_memory[] = {
    {"nothing, by copies", run<copies<0>>, run<copies<0>>, NEVER, NULL, NULL, NULL},
    {"a group too few", run<copies<1>>, run<copies<0>>, ALWAYS, LATE, UNSET, NULL},
    {"no wait for copies", run<copies<2>>, run<copies<0>>, ALWAYS, LATE, UNSET, NULL},
    {"copies for nobody", run<copy_for_nobody>, NULL, ALWAYS, LATE, LATE, NULL},
    {"no barrier behind copies", run<copies<0, false>>, run<copies<0>>, SOME_ORDER, NULL,
     "read of 4 bytes", NULL},
    {"a copy of no group", run<copy_without_commit>, NULL, ALWAYS, LATE, UNSET, NULL},
    {"nothing, by copies over reads", run<copy_over_reads<true>>, run<copy_over_reads<true>>, NEVER,
     NULL, NULL, NULL},
    {"copies over reads", run<copy_over_reads<false>>, run<copy_over_reads<true>>, SOME_ORDER, NULL,
     "races with", NULL},
    {"nothing, by copies of its own", run<copy_of_what_changes<false>>,
     run<copy_of_what_changes<false>>, NEVER, NULL, NULL, NULL},
    {"copies of what changes", run<copy_of_what_changes<true>>, NULL, ALWAYS, CHANGED, CHANGED,
     NULL},
    {"nothing, by writes after copies", run<write_at_copy<AFTERWARDS>>,
     run<write_at_copy<AFTERWARDS>>, NEVER, NULL, NULL, NULL},
    {"writes under copies", run<write_at_copy<UNDER_WAY>>, NULL, SOME_ORDER, NULL, "races with",
     NULL},
    {"writes under copies, ordered", run<write_at_copy<UNDER_WAY_AND_BARRIER>>, NULL, ALWAYS,
     WRITTEN, WRITTEN, NULL},
    {"nothing, by absent copies", run<absent>, run<absent>, NEVER, NULL, NULL, NULL},
    {"a copy to an odd place", run<copy_beside<1, 0>>, NULL, ALWAYS, ODD_PLACE, ODD_PLACE, NULL},
    {"a copy from an odd place", run<copy_beside<0, 2>>, NULL, ALWAYS, ODD_PLACE, ODD_PLACE, NULL},
    {"a copy behind the array", run<copy_beside<4, 0>>, NULL, ALWAYS, "which is not shared memory",
     "which is not shared memory", NULL},
    {"a copy from behind the end", run<copy_beside<0, 2 * N - 112>>, NULL, SOMEHOW, NULL,
     "of an allocation of 1024", "use-after-poison"},
    {"a copy to global memory", run<copy_to_global>, NULL, ALWAYS, "which is not shared memory",
     "which is not shared memory", NULL},

    {"nothing, by matrices", run<matrices<GOOD_MATRIX>>, run<matrices<GOOD_MATRIX>>, NEVER, NULL,
     NULL, NULL},
    {"no __syncwarp before ldmatrix", run<matrices<NO_BARRIER>>, run<matrices<GOOD_MATRIX>>, NEVER,
     NULL, "read of 16 bytes", NULL},
    {"ldmatrix of an odd row", run<matrices<ODD_ROW>>, NULL, ALWAYS, "no multiple of 16",
     "no multiple of 16", NULL},
    {"ldmatrix of global memory", run<matrices<GLOBAL_ROW>>, NULL, ALWAYS,
     "which is not shared memory", "which is not shared memory", NULL},
    {"ldmatrix behind the array", run<matrices<BEHIND>>, NULL, ALWAYS, "which is not shared memory",
     "which is not shared memory", NULL},
    {"ldmatrix after leaving", run<matrices<LANES_LEFT>>, NULL, ALWAYS, "has left", "has left",
     NULL},

    {"a read behind the end", run_read<N + 1>, NULL, SOMEHOW, NULL, "of an allocation of 1024",
     "use-after-poison"},
    {"a write behind the end", run<write_past>, NULL, ALWAYS, "behind device memory of 1024",
     "of an allocation of 1024", "use-after-poison"},
    {"a read of the host's memory", run_read_host, NULL, NEVER, NULL, "which is no device memory",
     NULL},
    {"a read of the program's variable", run_read_static, NULL, NEVER, NULL,
     "which is no device memory", NULL},
    {"shared memory that was not asked for", run_static_beside, NULL, ALWAYS,
     "and the block has 49152", "and the block has 49152", NULL},
    {"a write to the host's memory", run_write_host, NULL, SOMEHOW, NULL,
     "which is no device memory", NULL},
    {"a read of what nobody wrote", run_read_unwritten, NULL, ALWAYS, NULL, UNSET, NULL},
    {"a read of what was freed", run_read_freed, NULL, SOMEHOW, NULL, "read of 4 bytes",
     "heap-use-after-free"},
    {"an access of 16 bytes off its place", run<misaligned>, NULL, ALWAYS, "no multiple of 16",
     "no multiple of 16", NULL},
    {"an access of 8 bytes off its place", run<misaligned_long>, NULL, NEVER, NULL,
     "which is not aligned", "misaligned address"},

    {"two blocks write one number", run<blocks_write, 2>, NULL, SOMEHOW, NULL, "of another block",
     NULL},
    {"the second block reads the first's", run<blocks_read<1>, 2>, NULL, SOMEHOW, NULL,
     "of 4 bytes", NULL},
    {"the first block reads the second's", run<blocks_read<0>, 2>, NULL, SOMEHOW, NULL,
     "of 4 bytes", NULL},
    {"the second block changes what is read", run<read_then_write<1>, 2>, NULL, SOMEHOW, NULL,
     "another block", NULL},
    {"the first block changes what is read", run<read_then_write<0>, 2>, NULL, SOMEHOW, NULL,
     "another block", NULL},
    {"nothing, by atomics", run_add<false>, run_add<false>, NEVER, NULL, NULL, NULL},
    {"a read of what others add to", run_add<true>, NULL, SOMEHOW, NULL, "of 4 bytes", NULL},
};
const size_t n_faults_of_memory = sizeof faults_of_memory / sizeof *faults_of_memory;
