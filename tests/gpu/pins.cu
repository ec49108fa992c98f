/* The kernels of the pins, one source for a card and for the emulator. */
#include "gpu/pins.h"
#include "kernels/common/device.cuh"

enum { THREADS = 256 };

/* ---- tensor cores: an item is a warp's fragments a [4], b [2] and d [4] of each lane ---- */

enum { FRAGMENT_IN = 10, FRAGMENT_OUT = 4, FRAGMENT_WORDS = FRAGMENT_IN * PIN_WARP };

template <class T> static __global__ void mma(uint32_t *out, const uint32_t *in) {
  const int lane = (int)threadIdx.x;
  const uint32_t *own = in + ((size_t)blockIdx.x * PIN_WARP + (size_t)lane) * FRAGMENT_IN;
  uint32_t a[4], b[2];
  float d[4];
  memcpy(a, own, sizeof a);
  memcpy(b, own + 4, sizeof b);
  memcpy(d, own + 6, sizeof d);
  cz_mma<T>(d, a, b);
  memcpy(out + ((size_t)blockIdx.x * PIN_WARP + (size_t)lane) * FRAGMENT_OUT, d, sizeof d);
}

template <class T> static void run_mma(void *out, const uint32_t *in, int items) {
  cz_launch("mma", mma<T>, dim3((unsigned)items), dim3(PIN_WARP), 0, nullptr, (uint32_t *)out, in);
}

/* ---- the same for four warps, from shared memory (wgmma): of the words of 128 lanes a [4] are
 * half a row of A, b [2] of the first warp a quarter of a column of B, d [4] what the lane has of
 * D. Core matrices lie in one of two orders, block by block: along K next to each other, or the
 * other way; the strides of B, which has no second eight columns, lead elsewhere. ---- */

enum { GROUP = 4 * PIN_WARP, CORE = 32, A_WORDS = 16 * CORE, B_WORDS = 4 * CORE }; /* in words */

template <class T>
static __device__ void product_of_4(uint32_t *to, const uint32_t *own, uint32_t *tile, bool along) {
  const uint32_t t = threadIdx.x, row = t / 2, column = t / 4;
  const uint32_t leading = along ? CORE : 8 * CORE, stride = along ? 2 * CORE : CORE,
                 leading_b = along ? CORE : 2 * CORE, stride_b = along ? 3 * CORE : CORE;
  uint32_t *const of_b = tile + A_WORDS;
  uint32_t *const a = tile + t % 2 * leading + row / 8 * stride + row % 8 * 4;
  uint32_t *const b = of_b + t % 4 / 2 * leading_b + column * 4 + t % 2 * 2;
  float d[4];
  for (int i = 0; i < 4; i++) a[i] = own[i];
  for (int i = 0; i < 2 && t < PIN_WARP; i++) b[i] = own[4 + i];
  memcpy(d, own + 6, sizeof d);
  cz_wgmma_publish();
  __syncthreads();
  cz_wgmma_fence(d);
  cz_wgmma_n8<T>(d, cz_wgmma_operand(tile, 4 * leading, 4 * stride),
                 cz_wgmma_operand(of_b, 4 * leading_b, 4 * stride_b));
  cz_wgmma_commit();
  cz_wgmma_wait<0>(d);
  memcpy(to, d, sizeof d);
}

template <class T> static __global__ void wgmma(uint32_t *out, const uint32_t *in) {
  if constexpr (CZ_HAS_WGMMA) {
    CZ_SHARED(uint32_t, tile, [A_WORDS + B_WORDS]);
    const size_t t = (size_t)blockIdx.x * GROUP + threadIdx.x;
    product_of_4<T>(out + t * FRAGMENT_OUT, in + t * FRAGMENT_IN, tile, blockIdx.x % 2 == 0);
  }
}

template <class T> static void run_wgmma(void *out, const uint32_t *in, int items) {
  cz_launch("wgmma", wgmma<T>, dim3((unsigned)items), dim3(GROUP), 0, nullptr, (uint32_t *)out, in);
}

/* ---- ldmatrix: 32 rows of 16 bytes, and which row each lane names ---- */

enum { ROW_WORDS = 4, ROWS_WORDS = PIN_WARP * ROW_WORDS, MATRIX_WORDS = ROWS_WORDS + PIN_WARP };

template <bool TRANSPOSED> static __global__ void ldmatrix(uint32_t *out, const uint32_t *in) {
  CZ_SHARED(uint32_t, rows, [ROWS_WORDS]);
  const int lane = (int)threadIdx.x;
  const uint32_t *own = in + (size_t)blockIdx.x * MATRIX_WORDS;
  uint32_t r[4];
  for (int i = 0; i < ROW_WORDS; i++) rows[ROW_WORDS * lane + i] = own[ROW_WORDS * lane + i];
  __syncwarp();
  cz_ldmatrix_4<TRANSPOSED>(r, &rows[ROW_WORDS * own[ROWS_WORDS + lane]]);
  memcpy(out + ((size_t)blockIdx.x * PIN_WARP + (size_t)lane) * 4, r, sizeof r);
}

template <bool TRANSPOSED> static void run_ldmatrix(void *out, const uint32_t *in, int items) {
  cz_launch("ldmatrix", ldmatrix<TRANSPOSED>, dim3((unsigned)items), dim3(PIN_WARP), 0, nullptr,
            (uint32_t *)out, in);
}

/* ---- cp.async: four groups of a piece a lane, waited for one after another; a lane reads what its
 * neighbour copied. The words behind the pieces say which are there. ---- */

enum { GROUPS = 4, COPY_WORDS = GROUPS * ROWS_WORDS, PIECES_WORDS = COPY_WORDS + PIN_WARP };

template <int GROUP>
static __device__ void take(uint32_t *out, const uint32_t tile[GROUPS][ROWS_WORDS], int lane) {
  cz_copy_wait<GROUPS - 1 - GROUP>();
  __syncwarp();
  for (int i = 0; i < ROW_WORDS; i++)
    out[GROUP * ROWS_WORDS + ROW_WORDS * lane + i] = tile[GROUP][ROW_WORDS * (lane ^ 1) + i];
}

static __global__ void copies(uint32_t *out, const uint32_t *in) {
  CZ_SHARED(uint32_t, tile, [GROUPS][ROWS_WORDS]);
  const int lane = (int)threadIdx.x;
  const uint32_t *own = in + (size_t)blockIdx.x * PIECES_WORDS;
  uint32_t *to = out + (size_t)blockIdx.x * COPY_WORDS;
  for (int g = 0; g < GROUPS; g++) {
    cz_copy_16(&tile[g][ROW_WORDS * lane], own + g * ROWS_WORDS + ROW_WORDS * lane,
               own[COPY_WORDS + lane] >> g & 1);
    cz_copy_commit();
  }
  take<0>(to, tile, lane);
  take<1>(to, tile, lane);
  take<2>(to, tile, lane);
  take<3>(to, tile, lane);
}

static void run_copies(void *out, const uint32_t *in, int items) {
  cz_launch("copies", copies, dim3((unsigned)items), dim3(PIN_WARP), 0, nullptr, (uint32_t *)out,
            in);
}

/* ---- exchanges in a warp ---- */

template <bool SUM> static __global__ void of_warp(float *out, const float *in) {
  const size_t i = (size_t)blockIdx.x * PIN_WARP + threadIdx.x;
  out[i] = SUM ? cz_warp_sum(in[i]) : cz_warp_maximum(in[i]);
}

template <bool SUM> static void run_of_warp(void *out, const uint32_t *in, int items) {
  cz_launch("of_warp", of_warp<SUM>, dim3((unsigned)items), dim3(PIN_WARP), 0, nullptr,
            (float *)out, (const float *)in);
}

/* A lane's word travels by its other one; words of a half by that half alone, too. */
static __global__ void shuffles(uint32_t *out, const uint32_t *in) {
  const int lane = (int)threadIdx.x;
  const uint32_t *own = in + ((size_t)blockIdx.x * PIN_WARP + (size_t)lane) * 2;
  uint32_t *to = out + ((size_t)blockIdx.x * PIN_WARP + (size_t)lane) * 8;
  const unsigned mask = lane < 16 ? 0xffffu : 0xffff0000u;
  const int by = (int)(own[1] % PIN_WARP);
  to[0] = __shfl_sync(CZ_FULL_MASK, own[0], by);
  to[1] = __shfl_sync(CZ_FULL_MASK, own[0], by, 8);
  to[2] = __shfl_xor_sync(CZ_FULL_MASK, own[0], 1 << by % 5);
  to[3] = __shfl_xor_sync(mask, own[0], by % 16);
  to[4] = __shfl_up_sync(CZ_FULL_MASK, own[0], (unsigned)by);
  to[5] = __shfl_up_sync(CZ_FULL_MASK, own[0], (unsigned)by % 16, 16);
  to[6] = __shfl_down_sync(CZ_FULL_MASK, own[0], (unsigned)by);
  to[7] = __shfl_down_sync(CZ_FULL_MASK, own[0], (unsigned)by % 16, 16);
}

static void run_shuffles(void *out, const uint32_t *in, int items) {
  cz_launch("shuffles", shuffles, dim3((unsigned)items), dim3(PIN_WARP), 0, nullptr,
            (uint32_t *)out, in);
}

static __global__ void votes(uint32_t *out, const uint32_t *in) {
  const int lane = (int)threadIdx.x;
  const uint32_t *own = in + ((size_t)blockIdx.x * PIN_WARP + (size_t)lane) * 2;
  uint32_t *to = out + ((size_t)blockIdx.x * PIN_WARP + (size_t)lane) * 4;
  const unsigned mask = lane < 16 ? 0xffffu : 0xffff0000u;
  to[0] = __ballot_sync(CZ_FULL_MASK, own[0] % 2 == 1);
  to[1] = __ballot_sync(mask, own[0] % 2 == 1);
  to[2] = __any_sync(mask, own[1] % 32 == 0) != 0;
  to[3] = __all_sync(mask, own[1] % 32 != 0) != 0;
}

static void run_votes(void *out, const uint32_t *in, int items) {
  cz_launch("votes", votes, dim3((unsigned)items), dim3(PIN_WARP), 0, nullptr, (uint32_t *)out, in);
}

/* ---- functions of one number ---- */

#define FUNCTION(name, expression)                                                                 \
  struct name {                                                                                    \
    static __device__ float of(float x) { return expression; }                                     \
  }
FUNCTION(exp2_of, cz_exp2(x));
FUNCTION(reciprocal_of, cz_reciprocal(x));
FUNCTION(quotient_of, 1 / x);
FUNCTION(exp_of, expf(x));
FUNCTION(log_of, logf(x));
FUNCTION(sqrt_of, sqrtf(x));
FUNCTION(rsqrt_of, rsqrtf(x));
FUNCTION(tanh_of, tanhf(x));
FUNCTION(erf_of, erff(x));
#undef FUNCTION

template <class F> static __global__ void function(float *out, const float *in, int n) {
  const int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) out[i] = F::of(in[i]);
}

static unsigned blocks(int n) { return (unsigned)((n + THREADS - 1) / THREADS); }

template <class F> static void run_function(void *out, const uint32_t *in, int items) {
  cz_launch("function", function<F>, dim3(blocks(items)), dim3(THREADS), 0, nullptr, (float *)out,
            (const float *)in, items);
}

template <class T> static __global__ void narrow(T *out, const float *in, int n) {
  const int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) out[i] = cz_nearest<T>(in[i]);
}

template <class T> static void run_narrow(void *out, const uint32_t *in, int items) {
  cz_launch("narrow", narrow<T>, dim3(blocks(items)), dim3(THREADS), 0, nullptr, (T *)out,
            (const float *)in, items);
}

template <class T> static __global__ void pair(uint32_t *out, const float *in, int n) {
  const int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) out[i] = cz_pair<T>(in[2 * i], in[2 * i + 1]);
}

template <class T> static void run_pair(void *out, const uint32_t *in, int items) {
  cz_launch("pair", pair<T>, dim3(blocks(items)), dim3(THREADS), 0, nullptr, (uint32_t *)out,
            (const float *)in, items);
}

template <class T> static __global__ void widen(float *out, const uint32_t *in, int n) {
  const int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
  T x;
  if (i >= n) return;
  const uint16_t bits = (uint16_t)in[i];
  memcpy((void *)&x, &bits, sizeof x);
  out[i] = cz_float(x);
}

template <class T> static void run_widen(void *out, const uint32_t *in, int items) {
  cz_launch("widen", widen<T>, dim3(blocks(items)), dim3(THREADS), 0, nullptr, (float *)out, in,
            items);
}

/* ---- the list ---- */

#define MMA(name, type, half, rule, limit, inputs)                                                 \
  { name, 64, FRAGMENT_WORDS, 4 * FRAGMENT_OUT *PIN_WARP, rule, limit, inputs, half, run_mma<type> }
#define WGMMA(name, type, half, rule, limit, inputs)                                               \
  {                                                                                                \
    name, 32, 4 * FRAGMENT_WORDS, 4 * FRAGMENT_OUT *GROUP, rule, limit, inputs, half,              \
        run_wgmma<type>, true                                                                      \
  }
#define ONE(name, function, rule, limit)                                                           \
  { name, 1 << 13, 1, 4, rule, limit, PIN_FLOATS, false, run_function<function> }

/* The limits of functions are what NVIDIA documents and half a unit, or one, for the host's own. A
 * tensor core may cut each of 17 members at its largest member's last bit: some 17 in units of
 * 2^-24 of their sizes at most, twice that where it works in two halves. */
const pin pins[] = {
    MMA("mma bf16, whole numbers", cz_bfloat, false, PIN_BITS, 0, PIN_WHOLE),
    MMA("mma fp16, whole numbers", cz_half, true, PIN_BITS, 0, PIN_WHOLE),
    MMA("mma bf16, numbers below 1", cz_bfloat, false, PIN_PRODUCT, 32, PIN_BELOW_1),
    MMA("mma fp16, numbers below 1", cz_half, true, PIN_PRODUCT, 32, PIN_BELOW_1),
    MMA("mma bf16, spread and special", cz_bfloat, false, PIN_PRODUCT, 32, PIN_SPREAD),
    MMA("mma fp16, spread and special", cz_half, true, PIN_PRODUCT, 32, PIN_SPREAD),
    MMA("mma bf16, beyond float32", cz_bfloat, false, PIN_LOOK, 0, PIN_BEYOND),
    WGMMA("wgmma bf16, whole numbers", cz_bfloat, false, PIN_BITS, 0, PIN_WHOLE),
    WGMMA("wgmma fp16, whole numbers", cz_half, true, PIN_BITS, 0, PIN_WHOLE),
    WGMMA("wgmma bf16, numbers below 1", cz_bfloat, false, PIN_PRODUCT, 32, PIN_BELOW_1),
    WGMMA("wgmma fp16, numbers below 1", cz_half, true, PIN_PRODUCT, 32, PIN_BELOW_1),
    WGMMA("wgmma bf16, spread and special", cz_bfloat, false, PIN_PRODUCT, 32, PIN_SPREAD),
    WGMMA("wgmma fp16, spread and special", cz_half, true, PIN_PRODUCT, 32, PIN_SPREAD),
    {"ldmatrix", 32, MATRIX_WORDS, 4 * ROWS_WORDS, PIN_BITS, 0, PIN_ROWS, false,
     run_ldmatrix<false>},
    {"ldmatrix.trans", 32, MATRIX_WORDS, 4 * ROWS_WORDS, PIN_BITS, 0, PIN_ROWS, false,
     run_ldmatrix<true>},
    {"cp.async", 16, PIECES_WORDS, 4 * COPY_WORDS, PIN_BITS, 0, PIN_PRESENT, false, run_copies},
    {"shuffles", 32, 2 * PIN_WARP, 4 * 8 * PIN_WARP, PIN_BITS, 0, PIN_PRESENT, false, run_shuffles},
    {"votes", 32, 2 * PIN_WARP, 4 * 4 * PIN_WARP, PIN_BITS, 0, PIN_PRESENT, false, run_votes},
    {"sum of a warp", 64, PIN_WARP, 4 * PIN_WARP, PIN_FLOAT, 0, PIN_FLOATS, false,
     run_of_warp<true>},
    {"maximum of a warp", 64, PIN_WARP, 4 * PIN_WARP, PIN_FLOAT, 0, PIN_FLOATS, false,
     run_of_warp<false>},
    ONE("cz_exp2", exp2_of, PIN_FLUSHED, 3),
    ONE("cz_reciprocal", reciprocal_of, PIN_FLUSHED, 1),
    ONE("1 / x", quotient_of, PIN_ULPS, 0),
    ONE("expf", exp_of, PIN_ULPS, 2),
    ONE("logf", log_of, PIN_ULPS, 2),
    ONE("sqrtf", sqrt_of, PIN_ULPS, 0),
    ONE("rsqrtf", rsqrt_of, PIN_ULPS, 4),
    ONE("tanhf", tanh_of, PIN_ULPS, 4),
    ONE("erff", erf_of, PIN_ULPS, 3),
    {"float32 to bf16", 1 << 14, 1, 2, PIN_BFLOAT, 0, PIN_NEAR_16, false, run_narrow<cz_bfloat>},
    {"float32 to fp16", 1 << 14, 1, 2, PIN_HALF, 0, PIN_NEAR_16, true, run_narrow<cz_half>},
    {"pair of bf16", 1 << 12, 2, 4, PIN_BFLOAT, 0, PIN_NEAR_16, false, run_pair<cz_bfloat>},
    {"pair of fp16", 1 << 12, 2, 4, PIN_HALF, 0, PIN_NEAR_16, true, run_pair<cz_half>},
    {"bf16 to float32", 1 << 16, 1, 4, PIN_FLOAT, 0, PIN_COUNTER, false, run_widen<cz_bfloat>},
    {"fp16 to float32", 1 << 16, 1, 4, PIN_FLOAT, 0, PIN_COUNTER, true, run_widen<cz_half>},
};
const int pin_count = sizeof pins / sizeof *pins;
