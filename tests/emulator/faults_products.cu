/* Faults of products of four warps (wgmma), by those of a block alone. */
#include "emulator/planted.cuh"

enum product_fault {
  GOOD,
  NO_BARRIER,
  NO_COMMIT,
  NO_WAIT,
  ONE_TOO_FEW,
  WRITTEN_UNDER,
  TWO_AT_ONCE,
  SWIZZLED,
  BEHIND,
  GLOBAL,
  UNLIKE
};

enum { A_WORDS = 64 * 16 / 2, B_WORDS = 8 * 16 / 2 };

template <product_fault FAULT>
static inline __device__ void multiply(float d[4], const uint32_t *tile, const float *x) {
  const void *of_a = FAULT == GLOBAL ? (const void *)x : tile;
  const int t = (int)threadIdx.x, further = FAULT == BEHIND || (FAULT == UNLIKE && t % 32 == 9);
  const uint64_t a = cz_wgmma_operand(of_a, 128, 256),
                 b = cz_wgmma_operand(tile + A_WORDS, (uint32_t)(FAULT == BEHIND ? 256 : 128),
                                      (uint32_t)(256 + 16 * further)),
                 layout = FAULT == SWIZZLED ? 1ull << 62 : 0;
  cz_wgmma_fence(d);
  cz_wgmma_n8<cz_bfloat>(d, a | layout, b);
  if (FAULT == TWO_AT_ONCE) cz_wgmma_n8<cz_bfloat>(d, a, b);
}

template <product_fault FAULT> static __global__ void products(float *y, const float *x) {
  CZ_SHARED(uint32_t, tile, [A_WORDS + B_WORDS]);
  const int t = (int)threadIdx.x;
  float d[4] = {x[t], 1, 2, 3};
  for (int i = t; i < A_WORDS + B_WORDS; i += (int)blockDim.x)
    tile[i] = 0x40003f80u + (uint32_t)(i % 7); /* 1 and 2, and what follows 1 */
  cz_wgmma_publish();
  if (FAULT != NO_BARRIER) __syncthreads();
  multiply<FAULT>(d, tile, x);
  if (FAULT == WRITTEN_UNDER) d[1] = 1;
  if (FAULT != NO_COMMIT) cz_wgmma_commit();
  if (FAULT == NO_WAIT) y[t] = d[0] + d[1] + d[2] + d[3];
  if (FAULT == ONE_TOO_FEW) cz_wgmma_wait<1>(d);
  if (FAULT == ONE_TOO_FEW) y[t] = d[0] + d[1] + d[2] + d[3];
  cz_wgmma_wait<0>(d);
  if (FAULT != NO_WAIT && FAULT != ONE_TOO_FEW) y[t] = d[0] + d[1] + d[2] + d[3];
}

static void (*const right)(float *y, const float *x, const float *host) = run<products<GOOD>>;

#define OUTSIDE "which is not shared memory"
#define SAID(what, fault, text)                                                                    \
  { what, run<products<fault>>, NULL, ALWAYS, text, text, NULL }

const fault faults_of_products[] = {
    {"nothing, by products", run<products<GOOD>>, right, NEVER, NULL, NULL, NULL},
    {"no barrier before wgmma", run<products<NO_BARRIER>>, right, ALWAYS, NULL, "read of 16 bytes",
     NULL},
    {"no wait for wgmma", run<products<NO_WAIT>>, right, ALWAYS, NULL, BY_NUMBER, NULL},
    {"wgmma, waited for but one", run<products<ONE_TOO_FEW>>, right, ALWAYS, NULL, BY_NUMBER, NULL},
    SAID("wgmma without commit", NO_COMMIT, "before its wgmma"),
    SAID("a write to a sum of wgmma", WRITTEN_UNDER, "was written under it"),
    SAID("two wgmma of one sum", TWO_AT_ONCE, "was not waited for"),
    SAID("wgmma with a swizzle", SWIZZLED, "has no swizzle"),
    SAID("wgmma behind the array", BEHIND, OUTSIDE),
    SAID("wgmma of global memory", GLOBAL, OUTSIDE),
    SAID("wgmma of operands that differ", UNLIKE, "other operands in lane 9"),
    {"wgmma of three warps", run<products<GOOD>, 1, 96>, NULL, ALWAYS, "not one of four",
     "not one of four", NULL},
};
const size_t n_faults_of_products = sizeof faults_of_products / sizeof *faults_of_products;
