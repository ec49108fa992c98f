/* What the passes of attention share: the problem as kernels see it, who takes which tile, and all
 * that is done to scores, on the fragments of attention_products.cuh, whatever loop made them.
 *
 * A block takes a tile of one segment's queries (or keys) and one head; a warp has 16 rows of
 * scores. How long segments are is known on the card alone: there are as many blocks as the lengths
 * could ask for, T / size + B, and those that find no tile leave. */
#ifndef CZ_KERNELS_ATTENTION_CUDA_CUH
#define CZ_KERNELS_ATTENTION_CUDA_CUH

#include "kernels/attention/attention.h"
#include "kernels/attention/attention_products.cuh"
#include "kernels/common/dispatch.cuh"
#include "kernels/common/dropout.cuh"
#include "kernels/common/vector.cuh"

enum { CZ_ATTENTION_WARPS = 4, CZ_ATTENTION_THREADS = CZ_ATTENTION_WARPS * CZ_WARP };
enum { CZ_ATTENTION_QUERIES = 16 * CZ_ATTENTION_WARPS }; /* of a tile */
/* Where distances share buckets: as many thresholds as a launch can carry, and offsets to either
 * side that have an entry in a block's table. */
enum { CZ_ATTENTION_THRESHOLDS = 256, CZ_ATTENTION_REACH = 4096 };

namespace {
/* T5's buckets (attention.h) by what cz_attention_bucket says of whole numbers, so that the card
 * has the very same ones. */
typedef struct buckets {
  int number, half, exact; /* all; of a direction; distances that have one of their own */
  int reach;               /* offsets beyond it are in the last bucket; 0: no position bias */
  bool both;               /* both directions have some */
  int32_t begin[CZ_ATTENTION_THRESHOLDS]; /* the least distance of bucket exact + 1 + i */
} buckets;

typedef struct problem {
  const void *q, *k, *v, *dout;
  void *o, *dq, *dk, *dv; /* null: not wanted */
  float *stats;           /* [Tq, H, 2] */
  float *rows;            /* [Tq, H, 2], backward: see attention_bwd_cuda.cu */
  float *partial;         /* [blocks, N, H], backward: sums of dS by bucket; null: not wanted */
  const float *bias;      /* [N, H] */
  const int32_t *q_spans, *k_spans, *prefix;
  int64_t B, Tq, Tk;
  int H, K, mask;
  float scale;
  bool wide; /* rows of a head begin at multiples of 16 bytes in every array */
  bool add_q, add_k, add_v;
  bool one_mask; /* of dropout for all queries of a segment */
  cz_dropout drop;
  buckets bucket;
} problem;

/* Rows of a tile in shared memory that are read ahead of the one in hand: none in float32, whose
 * tiles are twice as large. */
template <class T> CZ_HOST_DEVICE constexpr int stages() { return sizeof(T) == 2 ? 2 : 1; }

/* ---- tiles ---- */

typedef struct place {
  int64_t segment; /* -1: there is none */
  int64_t row;     /* of the segment, the tile's first */
} place;

/* Tile NUMBER of those of SIZE rows that all segments are cut into. A whole warp asks: lanes have a
 * segment each. */
static __device__ place place_of(const int32_t *spans, int64_t B, int size, int64_t number) {
  const int lane = cz_lane();
  for (int64_t from = 0; from < B; from += CZ_WARP) {
    const int64_t n = from + lane;
    const int length = n < B ? spans[2 * n + 1] - spans[2 * n] : 0;
    const int tiles = length > 0 ? (length + size - 1) / size : 0;
    int all = tiles;
    CZ_UNROLL
    for (int by = 1; by < CZ_WARP; by *= 2) {
      const int other = __shfl_up_sync(CZ_FULL_MASK, all, by);
      all += lane >= by ? other : 0;
    }
    const unsigned found = __ballot_sync(CZ_FULL_MASK, number < all);
    if (found) {
      const int first = __ffs((int)found) - 1;
      const int before = __shfl_sync(CZ_FULL_MASK, all - tiles, first);
      return {from + first, (number - before) * size};
    }
    number -= __shfl_sync(CZ_FULL_MASK, all, CZ_WARP - 1);
  }
  return {-1, 0};
}

/* Begins to copy ROWS rows of a head, FROM being the first, to a tile of shared memory; zeros from
 * row END on and behind column K. All threads of the block. */
template <class T, int HD, int ROWS>
static __device__ void copy_tile(T *to, const T *from, const problem &p, int64_t end) {
  enum { LD = cz_tile<T, HD>::LD, N = cz_pack<T>::N };
  const int64_t ld = (int64_t)p.H * p.K;
  const T none = cz_nearest<T>(0);
  for (int i = (int)threadIdx.x; i < ROWS * (HD / N); i += CZ_ATTENTION_THREADS) {
    const int r = i / (HD / N), c = i % (HD / N) * N;
    const bool exists = r < end && c < p.K;
    T *at = to + r * LD + c;
    if (p.wide) {
      cz_copy_16(at, exists ? from + r * ld + c : from, exists);
      continue;
    }
    for (int j = 0; j < N; j++) at[j] = exists && c + j < p.K ? from[r * ld + c + j] : none;
  }
}

/* A warp's 16 rows of HD numbers go from fragments through ROOM, as many rows of a tile that nobody
 * else uses now, to those rows of an array that have a bit in ROWS. */
template <class T, int HD>
static __device__ void store_rows(T *to, const float acc[HD / 8][4], T *room, const problem &p,
                                  unsigned rows, bool add) {
  enum { LD = cz_tile<T, HD>::LD, N = cz_pack<T>::N };
  const int64_t ld = (int64_t)p.H * p.K;
  __syncwarp(); /* where k is v, dv is added to what this warp's lanes have just stored of dk */
  CZ_UNROLL
  for (int j = 0; j < HD / 8; j++) {
    CZ_UNROLL
    for (int e = 0; e < 4; e += 2) {
      const int r = cz_acc_row(e), c = cz_acc_column(j, e);
      const bool adds = add && rows >> r & 1;
      const float first = adds && c < p.K ? cz_float(to[r * ld + c]) : 0,
                  second = adds && c + 1 < p.K ? cz_float(to[r * ld + c + 1]) : 0;
      cz_put_weights<T, HD>(room, j, e, first + acc[j][e], second + acc[j][e + 1]);
    }
  }
  __syncwarp();
  for (int i = cz_lane(); i < 16 * (HD / N); i += CZ_WARP) {
    const int r = i / (HD / N), c = i % (HD / N) * N;
    if (!(rows >> r & 1) || c >= p.K) continue;
    if (p.wide)
      cz_store(to + r * ld + c, cz_load(room + r * LD + c));
    else
      for (int k = 0; k < N && c + k < p.K; k++) to[r * ld + c + k] = room[r * LD + c + k];
  }
}

/* Bits of the first COUNT of 16 rows. */
static inline __device__ unsigned first_rows(int count) {
  return count < 0 ? 0 : (1u << (count < 16 ? count : 16)) - 1;
}

/* ---- what a query sees ---- */

/* One segment and head. */
typedef struct view {
  int q0, k0, nq, nk; /* rows of the arrays where it begins, and how many it has */
  int shift, prefix;  /* query i stands at i + shift, and sees the first PREFIX keys anyway */
  uint64_t head;      /* segment * H + h, for dropout */
} view;

static __device__ view view_of(const problem &p, int64_t n, int h) {
  view v;
  v.q0 = p.q_spans[2 * n], v.nq = p.q_spans[2 * n + 1] - v.q0;
  v.k0 = p.k_spans[2 * n], v.nk = p.k_spans[2 * n + 1] - v.k0;
  v.shift = p.mask == CZ_ATTENTION_MASK_FULL ? 0 : v.nk - v.nq;
  v.prefix = p.mask == CZ_ATTENTION_MASK_PREFIX ? p.prefix[n] : 0;
  v.head = (uint64_t)(n * p.H + h);
  return v;
}

/* Query I sees the keys before this one. */
static inline __device__ int limit_of(const problem &p, const view &v, int i) {
  if (p.mask == CZ_ATTENTION_MASK_FULL) return v.nk;
  const int to = i + v.shift + 1 > v.prefix ? i + v.shift + 1 : v.prefix;
  return to < 0 ? 0 : to < v.nk ? to : v.nk;
}

/* Of this lane's two rows, I and I + 8: what they see, and where they stand. */
typedef struct lines {
  int i, limit[2], position[2];
} lines;

static __device__ lines lines_of(const problem &p, const view &v, int first) {
  lines l;
  l.i = first + cz_lane() / 4;
  CZ_UNROLL
  for (int r = 0; r < 2; r++) {
    const int i = l.i + 8 * r;
    l.limit[r] = i < v.nq ? limit_of(p, v, i) : 0;
    l.position[r] = i + v.shift;
  }
  return l;
}

/* Whether a row of the warp does not see all of N keys from J0 on. Most tiles are whole. */
static inline __device__ bool is_edge(const lines &l, int j0, int n) {
  return __any_sync(CZ_FULL_MASK, j0 < 0 || l.limit[0] < j0 + n || l.limit[1] < j0 + n);
}

/* X, scores or their gradient, = VALUE at keys that the attention mask keeps from a row. */
template <int N>
static __device__ void mask_scores(float x[N / 8][4], const lines &l, int j0, float value) {
  CZ_UNROLL
  for (int j = 0; j < N / 8; j++) {
    CZ_UNROLL
    for (int e = 0; e < 4; e++) {
      const int key = j0 + cz_acc_column(j, e);
      if (key < 0 || key >= l.limit[e / 2]) x[j][e] = value;
    }
  }
}

/* ---- the position bias ---- */

static inline __device__ int bucket_of(const buckets &b, int offset) {
  const int n = offset < 0 ? -offset : b.both ? offset : 0;
  int bucket = n < b.exact ? n : b.exact;
  if (n >= b.exact)
    for (int i = 0; b.exact + i < b.half - 1 && n >= b.begin[i]; i++) bucket++;
  return bucket + (b.both && offset > 0 ? b.half : 0);
}

/* How far a block's table reaches to either side. */
static inline CZ_HOST_DEVICE int table_reach(const buckets &b) {
  return b.reach < CZ_ATTENTION_REACH ? b.reach : (int)CZ_ATTENTION_REACH;
}

/* TABLE[reach + offset] = F(bucket of offset); all threads, before a barrier. */
template <class X, class F> static __device__ void fill_table(X *table, const buckets &b, F f) {
  const int reach = table_reach(b);
  for (int i = (int)threadIdx.x; i <= 2 * reach; i += CZ_ATTENTION_THREADS)
    table[i] = f(bucket_of(b, i - reach));
}

/* The entry of OFFSET; beyond the table F(its bucket). */
template <class X, class F>
static inline __device__ X from_table(const X *table, const buckets &b, int offset, F f) {
  const int reach = table_reach(b);
  if (reach < b.reach && (offset > reach || offset < -reach)) return f(bucket_of(b, offset));
  const int at = offset < -reach ? -reach : offset > reach ? reach : offset;
  return table[reach + at];
}

/* Whether 16 rows and N keys from J0 on are so far apart that all have the last bucket of one
 * direction, as half of the tiles of 512 keys have. The same for the warp. */
static inline __device__ bool is_far(const buckets &b, const lines &l, int j0, int n) {
  const int nearest = j0 - (l.position[0] - cz_lane() / 4) - 15, last = nearest + 15 + n - 1;
  return nearest >= b.reach || last <= -b.reach;
}

/* ---- scores ---- */

/* X = scale X + bias, of keys from J0 on. TABLE is null without a position bias. */
template <int N>
static __device__ void scores(float x[N / 8][4], const problem &p, const lines &l, int j0, int h,
                              const float *table) {
  const auto bias_of = [&](int b) { return p.bias[b * p.H + h]; };
  const bool one = !table || is_far(p.bucket, l, j0, N);
  const float same = table && one ? from_table(table, p.bucket, j0 - l.position[0], bias_of) : 0;
  CZ_UNROLL
  for (int j = 0; j < N / 8; j++) {
    CZ_UNROLL
    for (int e = 0; e < 4; e++) {
      const int offset = j0 + cz_acc_column(j, e) - l.position[e / 2];
      x[j][e] = fmaf(x[j][e], p.scale, one ? same : from_table(table, p.bucket, offset, bias_of));
    }
  }
}

/* e^(x - m). m is the largest of x, or -infinity where there were only minus infinities, whose
 * weights are 0. */
static inline __device__ float weight(float x, float m) {
  return cz_exp2((x - (m == -INFINITY ? 0 : m)) * 1.44269504f);
}

/* Whether factors of dropout are drawn once a key. */
static inline CZ_HOST_DEVICE bool draws_shared(const problem &p) {
  return p.one_mask && p.drop.threshold > 0;
}

/* With one mask for all queries: FACTOR of N keys from J0 on, by the block, before a barrier. */
template <int N>
static __device__ void share_factors(float *factor, const problem &p, const cz_key &key,
                                     uint64_t head, int j0) {
  for (int j = (int)threadIdx.x; j < N; j += CZ_ATTENTION_THREADS)
    cz_dropout_factors<1>(factor + j, p.drop, key, cz_dropout_attention_element(head, 0, j0 + j));
}

/* The factors of fragments J and J + 1, J even, of keys from J0 on: that of [j + a][e] in FACTOR[4
 * a
 * + e]. SHARED has those of share_factors. Without it one call of Philox serves queries I and I + 8
 * and keys c, c + 1, c + 8 and c + 9, when the tile begins at a multiple of 16 of the segment. */
static __device__ void factors(float factor[8], const problem &p, const cz_key &key, uint64_t head,
                               int i, int j, int j0, const float *shared) {
  const int column = cz_acc_column(j, 0);
  if (!shared) {
    cz_dropout_call(factor, p.drop.threshold, p.drop.scale, key,
                    cz_dropout_attention_call(head, i, j0 + column));
    return;
  }
  CZ_UNROLL
  for (int k = 0; k < 8; k++) factor[k] = shared[column + k / 4 * 8 + k % 2];
}

/* X = X M, for a tile that begins at a multiple of 16 keys. */
template <int N>
static __device__ void drop(float x[N / 8][4], const problem &p, const cz_key &key, const view &v,
                            const lines &l, int j0, const float *shared) {
  if (p.drop.threshold == 0) return;
  CZ_UNROLL
  for (int j = 0; j < N / 8; j += 2) {
    float factor[8];
    factors(factor, p, key, v.head, l.i, j, j0, shared);
    CZ_UNROLL
    for (int k = 0; k < 8; k++) x[j + k / 4][k % 4] *= factor[k];
  }
}

/* Sums and maxima over the four lanes that share a row. */
static inline __device__ float row_sum(float x) {
  x += __shfl_xor_sync(CZ_FULL_MASK, x, 1);
  return x + __shfl_xor_sync(CZ_FULL_MASK, x, 2);
}

static inline __device__ float row_maximum(float x) {
  x = cz_larger(x, __shfl_xor_sync(CZ_FULL_MASK, x, 1));
  return cz_larger(x, __shfl_xor_sync(CZ_FULL_MASK, x, 2));
}

/* ---- shared memory ---- */

/* Where its parts behind the tiles begin, in numbers of four bytes: one account for the host, which
 * asks for END of them, and for the kernels. */
typedef struct parts {
  int drawn, table, map, diagonals, sums, end;
} parts;

/* ROOM numbers are for weights, before all others; DIAGONALS for those of the gradient of the
 * position bias. */
static inline CZ_HOST_DEVICE parts parts_of(const problem &p, int room, int keys, int diagonals) {
  const int table = p.bias ? (2 * table_reach(p.bucket) + 4) / 4 * 4 : 0;
  parts s = {};
  s.drawn = room;
  s.table = s.drawn + (draws_shared(p) ? keys : 0);
  s.map = s.table + table;
  s.diagonals = s.map + (p.partial ? table : 0);
  s.sums = s.diagonals + (p.partial ? diagonals : 0);
  s.end = s.sums + (p.partial ? CZ_ATTENTION_WARPS * p.bucket.number : 0);
  return s;
}

/* ---- host ---- */

/* The least distance beyond bucket B, which exists; distances grow with their buckets. */
static inline int distance_beyond(const cz_attention_attr *a, int b) {
  int below = 0, above = a->max_distance; /* in bucket B or before; beyond it */
  while (above - below > 1) {
    const int middle = below + (above - below) / 2;
    if (cz_attention_bucket(-middle, a->buckets, a->max_distance, a->bidirectional) <= b)
      below = middle;
    else
      above = middle;
  }
  return above;
}

/* Too many are left out, and refused before a launch. */
static inline buckets buckets_of(const cz_attention_attr *a) {
  buckets b = {};
  b.number = a->buckets, b.both = a->bidirectional;
  b.half = b.both ? b.number / 2 : b.number;
  b.exact = cz_attention_exact(a->buckets, a->bidirectional), b.reach = b.exact;
  for (int i = 0; b.exact + i < b.half - 1 && i < CZ_ATTENTION_THRESHOLDS; i++)
    b.begin[i] = b.reach = distance_beyond(a, b.exact + i);
  return b;
}

static inline problem problem_of(const cz_call *call) {
  const cz_attention_attr *a = static_cast<const cz_attention_attr *>(call->attr);
  const cz_arg *q = &call->in[CZ_ATTENTION_Q], *k = &call->in[CZ_ATTENTION_K],
               *bias = &call->in[CZ_ATTENTION_POSITION_BIAS];
  problem p = {};
  p.q = q->data, p.k = k->data, p.v = call->in[CZ_ATTENTION_V].data;
  p.o = call->out[CZ_ATTENTION_O].data;
  p.stats = static_cast<float *>(call->out[CZ_ATTENTION_STATS].data);
  p.q_spans = static_cast<const int32_t *>(call->in[CZ_ATTENTION_Q_SPANS].data);
  p.k_spans = static_cast<const int32_t *>(call->in[CZ_ATTENTION_K_SPANS].data);
  p.prefix = static_cast<const int32_t *>(call->in[CZ_ATTENTION_PREFIX].data);
  p.B = call->in[CZ_ATTENTION_Q_SPANS].dim[0], p.Tq = q->dim[0], p.Tk = k->dim[0];
  p.H = a->heads, p.K = (int)(q->dim[1] / a->heads);
  p.mask = a->mask, p.scale = (float)a->scale;
  p.one_mask = a->share_queries;
  p.drop = cz_dropout_of(call, a->dropout, false, nullptr);
  if (cz_present(bias)) p.bias = static_cast<const float *>(bias->data), p.bucket = buckets_of(a);
  p.wide = p.K * cz_dtype_bytes(q->dtype) % 16 == 0 && cz_aligned_16(p.q) && cz_aligned_16(p.k) &&
           cz_aligned_16(p.v) && cz_aligned_16(p.o);
  return p;
}

static inline unsigned blocks_of(int64_t rows, int64_t B, int size) {
  return (unsigned)(rows / size + B);
}

/* What no kernel here can do is an error of the launch, by name. */
static inline bool refused(const cz_call *call, const problem &p) {
  const char *why = p.K > 128 ? "attention of more than 128 numbers a head"
                    : p.bias && p.bucket.half - p.bucket.exact > CZ_ATTENTION_THRESHOLDS
                        ? "attention with more than 512 buckets a direction"
                        : nullptr;
  if (why) cz_cuda_launched(call->stream, why, (int)cudaErrorNotSupported);
  return why;
}

/* Whether a block of the card can have BYTES of shared memory; an error of the launch where not. */
static inline bool fits(const cz_call *call, size_t bytes) {
  if (bytes <= cz_cuda_shared(call->stream)) return true;
  cz_cuda_launched(call->stream, "attention whose tiles want more shared memory than the card has",
                   (int)cudaErrorNotSupported);
  return false;
}

/* F(cz_type<T>, head size that a kernel is made for). */
template <class F> static inline void with_head(const cz_call *call, const problem &p, F f) {
  cz_with_type(call->in[CZ_ATTENTION_Q].dtype, [&](auto t) {
    if (p.K <= 32)
      f(t, std::integral_constant<int, 32>());
    else if (p.K <= 64)
      f(t, std::integral_constant<int, 64>());
    else
      f(t, std::integral_constant<int, 128>());
  });
}
} // namespace

#endif
