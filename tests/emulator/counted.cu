/* Kernels whose accesses cost what can be said beforehand. */
#include "emulator/counted.h"
#include "kernels/common/device.cuh"

/* One warp; each lane moves a T from X + SHIFT + lane STEP. */
template <class T, int STEP, int SHIFT> static __global__ void strided(float *y, const float *x) {
  const int t = (int)threadIdx.x;
  reinterpret_cast<T *>(y)[t] = reinterpret_cast<const T *>(x + SHIFT)[t * STEP];
}

static __global__ void packs(float *y, const float *x) {
  const int t = (int)threadIdx.x;
  cz_store(y + 4 * t, cz_load(x + 4 * t));
}

/* Rows of 33 floats, a warp a row. */
static __global__ void rows_of_33(float *y, const float *x) {
  const int at = (int)(33 * blockIdx.x + threadIdx.x);
  y[at] = x[at];
  if (threadIdx.x == 0) y[at + 32] = x[at + 32];
}

static __global__ void same_number(float *y, const float *x) { y[threadIdx.x] = x[0]; }

/* A tile of 32 x 32, by 32 x 8 threads. */
template <int PADDING> static __global__ void transpose(float *y, const float *x) {
  CZ_SHARED(float, tile, [32][32 + PADDING]);
  const unsigned tx = threadIdx.x, ty = threadIdx.y;
  for (unsigned i = 0; i < 32; i += 8) tile[ty + i][tx] = x[32 * (ty + i) + tx];
  __syncthreads();
  for (unsigned i = 0; i < 32; i += 8) y[32 * (ty + i) + tx] = tile[tx][ty + i];
}

static __global__ void broadcast(float *y, const float *x) {
  CZ_SHARED(float, tile, [32]);
  tile[threadIdx.x] = x[threadIdx.x];
  __syncwarp();
  y[threadIdx.x] = tile[5];
}

/* Each lane has one of its own, STEP of them apart. */
template <class T, int STEP> static __global__ void shared_of(float *y, const float *x) {
  CZ_SHARED(T, tile, [32 * STEP]);
  const int t = (int)threadIdx.x;
  tile[t * STEP] = reinterpret_cast<const T *>(x)[t];
  __syncwarp();
  reinterpret_cast<T *>(y)[t] = tile[t * STEP];
}

/* Lanes read bytes of a few words: those of one word share it. */
static __global__ void shared_bytes(float *y, const float *x) {
  CZ_SHARED(unsigned char, tile, [128]);
  for (int i = 0; i < 4; i++) tile[threadIdx.x + 32 * i] = (unsigned char)i;
  __syncwarp();
  y[threadIdx.x] = (float)tile[threadIdx.x * 4];
}

/* Which T's the lanes read: both halves, or all quarters, the same; or every second one in the
 * first part of GROUP lanes alone. */
enum part { ALIKE, FIRST_APART };

template <class T, int GROUP, part PART> static __global__ void parts(float *y, const float *x) {
  CZ_SHARED(T, tile, [64]);
  const int t = (int)threadIdx.x, in_part = t % GROUP;
  const T own = reinterpret_cast<const T *>(x)[t];
  tile[t] = own, tile[t + 32] = own;
  __syncwarp();
  reinterpret_cast<T *>(y)[t] = tile[PART == ALIKE ? in_part : t < GROUP ? 2 * t : t];
}

/* Rows of 64 numbers of 16 bits: 128 bytes, with 16 bytes more, or their eight pieces permuted. */
template <int PADDING, int SWIZZLED> static __global__ void matrices(float *y, const float *x) {
  CZ_SHARED(uint16_t, tile, [32][64 + PADDING]);
  const int t = (int)threadIdx.x;
  for (int i = 0; i < 32; i++)
    for (int j = t; j < 64; j += 32) tile[i][j] = (uint16_t)(64 * i + j);
  __syncwarp();
  uint32_t r[4];
  cz_ldmatrix_4<false>(r, &tile[t][8 * (t % SWIZZLED)]);
  y[t] = (float)(r[0] + r[1] + r[2] + r[3]);
}

static __global__ void divergent(float *y, const float *x) {
  if (threadIdx.x < 8) y[threadIdx.x] = x[threadIdx.x];
}

/* Lane l makes l + 1 turns, twice: the second loop begins together again, since the warp met. */
static __global__ void uneven_turns(float *y, const float *x) {
  const unsigned t = threadIdx.x;
  float sum = 0;
  for (int twice = 0; twice < 2; twice++) {
    for (unsigned i = 0; i <= t; i++) sum += x[32 * i + t];
    sum = cz_warp_sum(sum);
  }
  y[t] = sum;
}

/* The places of both loads are one line of the device's language. Lanes take one of them. */
static __global__ void either(float *y, const float *x) {
  const int t = (int)threadIdx.x;
  cz_pack<float> a;
  if (t % 2)
    a = cz_load(x + 4 * t);
  else
    a = cz_load(x + 256 + 4 * t);
  y[t] = a.x[0] + a.x[1] + a.x[2] + a.x[3];
}

static __global__ void read_twice(float *y, const float *x) {
  const unsigned t = threadIdx.x;
  const float first = x[t];
  __syncthreads();
  y[t] = first + x[t ^ 1];
}

/* What the launch has written itself is not among what it has to read. */
static __global__ void read_own(float *y, const float *x) {
  y[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  y[blockDim.x + threadIdx.x] = y[threadIdx.x ^ 1];
}

static __global__ void in_place(float *y, const float *x) {
  y[threadIdx.x] += x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] += 1;
}

/* Half of what is read was written by this launch, in each word. */
static __global__ void half_own(float *y, const float *x) {
  const unsigned t = threadIdx.x;
  reinterpret_cast<uint16_t *>(y)[2 * t] = (uint16_t)t;
  __syncthreads();
  y[32 + t] = y[t];
}

/* Each block reads the same. */
static __global__ void by_blocks(float *y, const float *x) {
  y[blockIdx.x * blockDim.x + threadIdx.x] = x[threadIdx.x];
}

static __global__ void atomics(int *y) {
  if (threadIdx.x % 4 == 0) atomicAdd(y + threadIdx.x / 16, 1);
}

static __global__ void copies(float *y, const float *x) {
  CZ_SHARED(float, tile, [256]);
  const int t = (int)threadIdx.x;
  cz_copy_16(&tile[4 * t], x + 4 * t, true);
  cz_copy_16(&tile[128 + 4 * t], x, false);
  cz_copy_commit();
  cz_copy_wait<0>();
  __syncthreads();
  y[t] = tile[t] + tile[128 + t];
}

static __global__ void products(float *y) {
  float d[4] = {0, 0, 0, 0};
  const uint32_t a[4] = {0, 0, 0, 0}, b[2] = {0, 0};
  for (int i = 0; i < 3; i++) cz_mma<cz_bfloat>(d, a, b);
  const unsigned votes = __ballot_sync(CZ_FULL_MASK, threadIdx.x % 2 == 0);
  y[threadIdx.x] = cz_warp_sum(d[0]) + (float)(votes & 1);
}

typedef void (*two_arrays)(float *, const float *);

template <two_arrays KERNEL> static void warp(float *y, const float *x) {
  cz_launch("counted", KERNEL, 1, 32, 0, nullptr, y, x);
}

template <two_arrays KERNEL> static void tile(float *y, const float *x) {
  cz_launch("counted", KERNEL, 1, dim3(32, 8), 0, nullptr, y, x);
}

static void warps(float *y, const float *x) {
  cz_launch("counted", read_twice, 1, 128, 0, nullptr, y, x);
}

static void rows(float *y, const float *x) {
  cz_launch("counted", rows_of_33, 8, 32, 0, nullptr, y, x);
}

static void own(float *y, const float *x) {
  cz_launch("counted", read_own, 1, 128, 0, nullptr, y, x);
}

template <int BLOCKS, int THREADS> static void blocks(float *y, const float *x) {
  cz_launch("counted", by_blocks, BLOCKS, THREADS, 0, nullptr, y, x);
}

static void add(float *y, const float *x) {
  cudaMemsetAsync(y, 0, 32, nullptr);
  cz_launch("counted", atomics, 1, 32, 0, nullptr, reinterpret_cast<int *>(y));
}

static void multiply(float *y, const float *x) {
  cz_launch("counted", products, 2, 64, 0, nullptr, y);
}

/* In the order of emu_traffic: requests, lanes, bytes, moved, least. */
const counted counted_cases[] = {
    {"4 bytes", warp<strided<float, 1, 0>>, EMU_GLOBAL_LOAD, {1, 32, 128, 4, 4}, 128, 128},
    {"8 bytes", warp<strided<float2, 1, 0>>, EMU_GLOBAL_LOAD, {1, 32, 256, 8, 8}, 256, 256},
    {"16 bytes", warp<packs>, EMU_GLOBAL_LOAD, {1, 32, 512, 16, 16}, 512, 512},
    {"16 bytes stored", warp<packs>, EMU_GLOBAL_STORE, {1, 32, 512, 16, 16}, 512, 512},
    {"2 bytes", warp<strided<uint16_t, 1, 0>>, EMU_GLOBAL_LOAD, {1, 32, 64, 2, 2}, 64, 64},
    {"every second", warp<strided<float, 2, 0>>, EMU_GLOBAL_LOAD, {1, 32, 128, 8, 4}, 128, 128},
    {"every eighth", warp<strided<float, 8, 0>>, EMU_GLOBAL_LOAD, {1, 32, 128, 32, 4}, 128, 128},
    {"shifted", warp<strided<float, 1, 1>>, EMU_GLOBAL_LOAD, {1, 32, 128, 5, 4}, 128, 128},
    {"rows of 33", rows, EMU_GLOBAL_LOAD, {16, 264, 1056, 47, 40}, 1056, 1056},
    {"16 of every 32",
     warp<strided<float4, 2, 0>>,
     EMU_GLOBAL_LOAD,
     {1, 32, 512, 32, 16},
     512,
     512},
    {"one for all", warp<same_number>, EMU_GLOBAL_LOAD, {1, 32, 128, 1, 1}, 4, 128},
    {"transposed", tile<transpose<0>>, EMU_SHARED_LOAD, {32, 1024, 4096, 1024, 32}, 4096, 4096},
    {"and padded", tile<transpose<1>>, EMU_SHARED_LOAD, {32, 1024, 4096, 32, 32}, 4096, 4096},
    {"rows of tiles", tile<transpose<0>>, EMU_SHARED_STORE, {32, 1024, 4096, 32, 32}, 4096, 4096},
    {"one word", warp<broadcast>, EMU_SHARED_LOAD, {1, 32, 128, 1, 1}, 128, 128},
    {"shared, 8 bytes", warp<shared_of<float2, 1>>, EMU_SHARED_LOAD, {1, 32, 256, 2, 2}, 256, 256},
    {"and apart", warp<shared_of<float2, 2>>, EMU_SHARED_STORE, {1, 32, 256, 4, 2}, 256, 256},
    {"shared, 16 bytes", warp<shared_of<float4, 1>>, EMU_SHARED_LOAD, {1, 32, 512, 4, 4}, 512, 512},
    {"and apart", warp<shared_of<float4, 2>>, EMU_SHARED_LOAD, {1, 32, 512, 8, 4}, 512, 512},
    {"a row apart", warp<shared_of<float4, 8>>, EMU_SHARED_STORE, {1, 32, 512, 32, 4}, 512, 512},
    {"halves alike", warp<parts<float2, 16, ALIKE>>, EMU_SHARED_LOAD, {1, 32, 256, 2, 2}, 256, 256},
    {"half apart",
     warp<parts<float2, 16, FIRST_APART>>,
     EMU_SHARED_LOAD,
     {1, 32, 256, 3, 2},
     256,
     256},
    {"quarters alike",
     warp<parts<float4, 8, ALIKE>>,
     EMU_SHARED_LOAD,
     {1, 32, 512, 4, 4},
     512,
     512},
    {"quarter apart",
     warp<parts<float4, 8, FIRST_APART>>,
     EMU_SHARED_LOAD,
     {1, 32, 512, 5, 4},
     512,
     512},
    {"all apart",
     warp<parts<float, 32, FIRST_APART>>,
     EMU_SHARED_LOAD,
     {1, 32, 128, 2, 1},
     128,
     128},
    {"bytes stored", warp<shared_bytes>, EMU_SHARED_STORE, {4, 128, 128, 4, 4}, 0, 128},
    {"bytes", warp<shared_bytes>, EMU_SHARED_LOAD, {1, 32, 32, 1, 1}, 0, 128},
    {"matrices", warp<matrices<0, 1>>, EMU_LDMATRIX, {1, 32, 512, 32, 4}, 0, 128},
    {"and padded", warp<matrices<8, 1>>, EMU_LDMATRIX, {1, 32, 512, 4, 4}, 0, 128},
    {"or swizzled", warp<matrices<0, 8>>, EMU_LDMATRIX, {1, 32, 512, 4, 4}, 0, 128},
    {"or by halves", warp<matrices<0, 4>>, EMU_LDMATRIX, {1, 32, 512, 8, 4}, 0, 128},
    {"a few lanes", warp<divergent>, EMU_GLOBAL_LOAD, {1, 8, 32, 1, 1}, 32, 32},
    {"uneven turns", warp<uneven_turns>, EMU_GLOBAL_LOAD, {64, 1056, 4224, 160, 160}, 2112, 128},
    {"either", warp<either>, EMU_GLOBAL_LOAD, {2, 32, 512, 32, 16}, 512, 128},
    {"read twice", warps, EMU_GLOBAL_LOAD, {8, 256, 1024, 32, 32}, 512, 512},
    {"its own", own, EMU_GLOBAL_LOAD, {8, 256, 1024, 32, 32}, 512, 1024},
    {"in place", warp<in_place>, EMU_GLOBAL_LOAD, {3, 96, 384, 12, 12}, 256, 128},
    {"half its own", warp<half_own>, EMU_GLOBAL_LOAD, {1, 32, 128, 4, 4}, 64, 192},
    {"halves of words", warp<half_own>, EMU_GLOBAL_STORE, {2, 64, 192, 8, 6}, 64, 192},
    {"read by blocks", blocks<3, 32>, EMU_GLOBAL_LOAD, {3, 96, 384, 12, 12}, 128, 384},
    {"a warp and eight", blocks<1, 40>, EMU_GLOBAL_LOAD, {2, 40, 160, 5, 5}, 160, 160},
    {"atomics", add, EMU_ATOMIC, {1, 8, 32, 1, 1}, 8, 8},
    {"copies read", warp<copies>, EMU_GLOBAL_LOAD, {1, 32, 512, 16, 16}, 512, 128},
    {"copies written", warp<copies>, EMU_SHARED_STORE, {2, 64, 1024, 8, 8}, 512, 128},
};
const size_t n_counted = sizeof counted_cases / sizeof *counted_cases;

/* Two blocks of two warps: three products, a vote and five shuffles each. */
void counted_products(float *y) { multiply(y, nullptr); }
