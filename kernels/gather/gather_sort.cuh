/* Row numbers in order, equal ones in the order of their places: a radix sort from the lowest digit
 * up, eight bits a pass, as few passes as the largest number needs. Everything is counted in whole
 * numbers, so that the order of threads changes nothing.
 *
 * A pass is two launches. In the first a block counts the digits of its keys; in the second it
 * finds where its keys of each digit go, which is behind all smaller digits and behind those of
 * earlier blocks, and moves them. */
#ifndef CZ_KERNELS_GATHER_GATHER_SORT_CUH
#define CZ_KERNELS_GATHER_GATHER_SORT_CUH

#include "kernels/common/dispatch.cuh"
#include "kernels/common/sum.cuh"
#include "kernels/common/workspace.h"

enum {
  CZ_SORT_BITS = 8,
  CZ_SORT_DIGITS = 1 << CZ_SORT_BITS,
  CZ_SORT_THREADS = CZ_SORT_DIGITS, /* so that a thread has a digit */
  CZ_SORT_WARPS = CZ_SORT_THREADS / CZ_WARP,
  CZ_SORT_ROUNDS = 8, /* keys of a thread; of a warp 32 as many neighbours */
  CZ_SORT_KEYS = CZ_SORT_THREADS * CZ_SORT_ROUNDS
};

/* The keys of a pass and where they came from, null: from places 0, 1 and so on. */
typedef struct cz_sort_list {
  int32_t *key, *place;
} cz_sort_list;

typedef struct cz_sort {
  int64_t n, blocks;
  int passes;
  cz_sort_list list[2];
  int32_t *counts; /* [blocks, CZ_SORT_DIGITS] */
} cz_sort;

static inline __device__ int cz_sort_digit(int32_t key, int shift) {
  return key >> shift & (CZ_SORT_DIGITS - 1);
}

static __global__ void __launch_bounds__(CZ_SORT_THREADS)
    cz_sort_count(int32_t *counts, const int32_t *key, int64_t n, int shift) {
  CZ_SHARED(int, count, [CZ_SORT_DIGITS]);
  count[threadIdx.x] = 0;
  __syncthreads();
  for (int i = (int)threadIdx.x; i < CZ_SORT_KEYS; i += CZ_SORT_THREADS) {
    const int64_t at = (int64_t)blockIdx.x * CZ_SORT_KEYS + i;
    if (at < n) atomicAdd(&count[cz_sort_digit(key[at], shift)], 1);
  }
  __syncthreads();
  counts[(int64_t)blockIdx.x * CZ_SORT_DIGITS + threadIdx.x] = count[threadIdx.x];
}

/* The lanes whose digit is this lane's, of those that are VALID. */
static inline __device__ unsigned cz_sort_equals(int digit, unsigned valid) {
  unsigned equals = valid;
  CZ_UNROLL
  for (int bit = 0; bit < CZ_SORT_BITS; bit++) {
    const unsigned set = __ballot_sync(CZ_FULL_MASK, digit >> bit & 1);
    equals &= digit >> bit & 1 ? set : ~set;
  }
  return equals;
}

/* Numbers the warp's keys of each digit, in their order: RANK of this thread's, and at COUNT, which
 * was 0, how many there are. KEY: those of the warp. */
static inline __device__ void cz_sort_rank(int rank[CZ_SORT_ROUNDS], int *count, const int32_t *key,
                                           int64_t n, int shift) {
  const int lane = cz_lane();
  for (int i = 0; i < CZ_SORT_ROUNDS; i++) {
    const int k = i * CZ_WARP + lane;
    const unsigned valid = __ballot_sync(CZ_FULL_MASK, k < n);
    const int digit = k < n ? cz_sort_digit(key[k], shift) : 0;
    const unsigned equals = cz_sort_equals(digit, valid), before = equals & ((1u << lane) - 1);
    const int first = k < n ? count[digit] : 0;
    rank[i] = first + __popc(before);
    __syncwarp();
    if (k < n && before == 0) count[digit] = first + __popc(equals);
    __syncwarp();
  }
}

/* Where the block's keys of this thread's digit go. */
static inline __device__ int cz_sort_begin(const int32_t *counts) {
  int earlier = 0, all = 0, total;
  for (unsigned b = 0; b < gridDim.x; b++) {
    const int count = counts[(int64_t)b * CZ_SORT_DIGITS + threadIdx.x];
    if (b < blockIdx.x) earlier += count;
    all += count;
  }
  return earlier + cz_block_sum_before(all, &total);
}

static __global__ void __launch_bounds__(CZ_SORT_THREADS)
    cz_sort_move(cz_sort_list to, cz_sort_list from, const int32_t *counts, int64_t n, int shift) {
  CZ_SHARED(int, count, [CZ_SORT_WARPS][CZ_SORT_DIGITS]);
  const int lane = cz_lane(), warp = (int)threadIdx.x / CZ_WARP;
  const int64_t first = (int64_t)blockIdx.x * CZ_SORT_KEYS + warp * CZ_SORT_ROUNDS * CZ_WARP;
  int rank[CZ_SORT_ROUNDS];
  for (int i = 0; i < CZ_SORT_WARPS; i++) count[i][threadIdx.x] = 0;
  __syncthreads();
  cz_sort_rank(rank, count[warp], from.key + first, n - first, shift);
  __syncthreads(); /* mutant: survives, cz_sort_begin has barriers too */
  for (int i = 0, at = cz_sort_begin(counts); i < CZ_SORT_WARPS; i++) {
    const int own = count[i][threadIdx.x];
    count[i][threadIdx.x] = at, at += own;
  }
  __syncthreads();
  CZ_UNROLL
  for (int i = 0; i < CZ_SORT_ROUNDS; i++) {
    const int64_t k = first + i * CZ_WARP + lane;
    if (k >= n) continue;
    const int32_t key = from.key[k];
    const int at = count[warp][cz_sort_digit(key, shift)] + rank[i];
    to.key[at] = key;
    to.place[at] = from.place ? from.place[k] : (int32_t)k;
  }
}

/* Host: the sizes of a sort of N numbers below LIMIT, and its arrays at the cursor. */
static inline cz_sort cz_sort_of(int64_t n, int64_t limit, uintptr_t *at) {
  cz_sort s = {};
  s.n = n, s.blocks = (n + CZ_SORT_KEYS - 1) / CZ_SORT_KEYS, s.passes = 1;
  while (s.passes * CZ_SORT_BITS < 31 && limit > (int64_t)1 << s.passes * CZ_SORT_BITS) s.passes++;
  for (int i = 0; i < 2; i++) {
    s.list[i].key = static_cast<int32_t *>(cz_take(at, (size_t)n * sizeof(int32_t)));
    s.list[i].place = static_cast<int32_t *>(cz_take(at, (size_t)n * sizeof(int32_t)));
  }
  s.counts =
      static_cast<int32_t *>(cz_take(at, (size_t)(s.blocks * CZ_SORT_DIGITS) * sizeof(int32_t)));
  return s;
}

/* Host: sorts KEYS, which are left as they are; gives the sorted ones with their places. */
static inline cz_sort_list cz_sort_run(const cz_sort *s, const int32_t *keys, void *stream) {
  cz_sort_list from = {const_cast<int32_t *>(keys), nullptr};
  for (int pass = 0; pass < s->passes; pass++) {
    const int shift = pass * CZ_SORT_BITS;
    const cz_sort_list to = s->list[pass % 2];
    cz_launch("sort count", cz_sort_count, (unsigned)s->blocks, CZ_SORT_THREADS, 0, stream,
              s->counts, from.key, s->n, shift);
    cz_launch("sort move", cz_sort_move, (unsigned)s->blocks, CZ_SORT_THREADS, 0, stream, to, from,
              s->counts, s->n, shift);
    from = to;
  }
  return from;
}

#endif
