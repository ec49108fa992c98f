/* Backward in two passes, which recompute scores from the statistics that forward saved; nothing of
 * order nq nk is written.
 *
 * By queries: a block takes a tile of queries and goes through the keys twice, first for what each
 * row's dP is compared with, then for dq and the gradient of the position bias. By keys: a block
 * takes a tile of keys and goes through the queries for dk and dv. With P, Z = P M, dP_ij = M_ij
 * do_i . v_j and D_i = sum_j P_ij dP_ij:
 *
 *     dS = P (dP - D),  dq = scale dS k,  dk = scale dS^T q,  dv = Z^T do
 *
 * D_i = do_i . o_i is not used: o was rounded, and where one weight of a row is nearly 1 its dS is
 * far smaller than that rounding. Instead dP of the key with the largest score, off_i, is
 * subtracted from all of the row, as in attention_ref.c; then
 *
 *     D_i - off_i = sum over the other keys of P_ij dP_ij - off_i sum over them of P_ij
 *
 * is small where it should be. Both numbers of a row are kept in workspace for the pass by keys. It
 * costs two products of nine.
 *
 * Segments of keys may overlap (beams read one encoder output). A row belongs to the first segment
 * that covers it, and the tile of that segment adds up what the later ones contribute, in their
 * order. */
#include "kernels/attention/attention_cuda.cuh"
#include "kernels/common/columns.cuh"
#include "kernels/common/workspace.h"

enum { NO_KEY = INT32_MAX, CLEARED = 64 };

namespace {
/* Shared memory of the pass by queries. */
template <class T, int HD> struct by_queries {
  enum { KEYS = HD > 64 || sizeof(T) == 4 ? 32 : 64, LD = cz_tile<T, HD>::LD };
  enum { Q = CZ_ATTENTION_QUERIES * LD, TILE = KEYS * LD, STAGES = stages<T>() };
  enum { TILES = 2 * Q + 2 * STAGES * TILE, WARPS = CZ_ATTENTION_WARPS };
  enum { DIAGONAL_LD = KEYS + 8 }; /* two neighbours of eight rows lie in different banks */
  static CZ_HOST_DEVICE constexpr int room() { return cz_weights<T, KEYS>::room(); }
  static CZ_HOST_DEVICE parts rest(const problem &p) {
    return parts_of(p, WARPS * room(), KEYS, WARPS * 16 * DIAGONAL_LD);
  }
  static size_t bytes(const problem &p) {
    return TILES * sizeof(T) + (size_t)rest(p).end * sizeof(float);
  }
};

/* Of the pass by keys. One tile of queries at a time is enough where two would fill a
 * multiprocessor with one block. */
template <class T, int HD> struct by_keys {
  enum { KEYS = sizeof(T) == 4 ? 32 : 64, LD = cz_tile<T, HD>::LD, LDP = cz_tile<T, KEYS>::LD };
  enum { TILE = KEYS * LD, Q = CZ_ATTENTION_QUERIES * LD, P = CZ_ATTENTION_QUERIES * LDP };
  enum { STAGES = HD > 64 ? 1 : stages<T>(), TILES = 2 * TILE + 2 * STAGES * Q + 2 * P };
  enum { PART = HD > 64 ? 32 : KEYS }; /* keys whose scores are in registers at a time */
  static CZ_HOST_DEVICE parts rest(const problem &p) { return parts_of(p, 0, KEYS, 0); }
  static size_t bytes(const problem &p) {
    return TILES * sizeof(T) + (size_t)rest(p).end * sizeof(float);
  }
};

/* What is known of this lane's two rows. */
typedef struct known {
  float maximum[2], by[2]; /* by: 1 / sum */
  float off[2], rest[2];   /* rest: D - off */
} known;

/* Sums over the keys of this lane. */
typedef struct partial_sums {
  float weighted[2], weights[2]; /* of P dP and of P, the key with the largest score left out */
  float off[2];
  int top[2]; /* that key */
} partial_sums;
} // namespace

static __device__ known statistics_of(const problem &p, const view &v, const lines &l, int h) {
  known s = {};
  CZ_UNROLL
  for (int r = 0; r < 2; r++) {
    if (l.i + 8 * r >= v.nq) continue;
    float stats[2];
    cz_load_floats<2>(stats, p.stats + 2 * ((int64_t)(v.q0 + l.i + 8 * r) * p.H + h));
    s.maximum[r] = stats[0], s.by[r] = stats[1] == 0 ? 0 : 1 / stats[1];
  }
  return s;
}

/* X = P from scores, all keys taken for seen. */
template <int N> static __device__ void probabilities(float x[N / 8][4], const known &s) {
  CZ_UNROLL
  for (int j = 0; j < N / 8; j++) {
    CZ_UNROLL
    for (int e = 0; e < 4; e++) x[j][e] = weight(x[j][e], s.maximum[e / 2]) * s.by[e / 2];
  }
}

/* DP = dS = P (dP - D), X being P. At masked keys it is anything, until mask_scores. */
template <int N>
static __device__ void score_gradient(float dp[N / 8][4], const float x[N / 8][4], const known &s) {
  CZ_UNROLL
  for (int j = 0; j < N / 8; j++) {
    CZ_UNROLL
    for (int e = 0; e < 4; e++) dp[j][e] = x[j][e] * (dp[j][e] - s.off[e / 2] - s.rest[e / 2]);
  }
}

/* ---- by queries: the first way through the keys ---- */

/* X holds scores, DP dP; minus infinity and 0 where nothing is seen. A lane leaves out the first
 * key that has the row's largest score. */
template <int N>
static __device__ void accumulate(partial_sums &g, const float x[N / 8][4],
                                  const float dp[N / 8][4], const known &s, int j0) {
  CZ_UNROLL
  for (int j = 0; j < N / 8; j++) {
    CZ_UNROLL
    for (int e = 0; e < 4; e++) {
      const int r = e / 2;
      if (x[j][e] == s.maximum[r] && g.top[r] == NO_KEY) {
        g.top[r] = j0 + cz_acc_column(j, e), g.off[r] = dp[j][e];
        continue;
      }
      const float weight_of_key = weight(x[j][e], s.maximum[r]) * s.by[r];
      g.weighted[r] += weight_of_key * dp[j][e], g.weights[r] += weight_of_key;
    }
  }
}

/* The four lanes of a row agree on its key; what others had left out is added. */
static __device__ void reduce_rows(known &s, partial_sums &g) {
  CZ_UNROLL
  for (int r = 0; r < 2; r++) {
    int top = g.top[r];
    CZ_UNROLL
    for (int lane = 1; lane < 4; lane *= 2) {
      const int other = __shfl_xor_sync(CZ_FULL_MASK, top, lane);
      top = other < top ? other : top;
    }
    const bool mine = g.top[r] == top && top != NO_KEY;
    if (!mine && g.top[r] != NO_KEY) g.weighted[r] += s.by[r] * g.off[r], g.weights[r] += s.by[r];
    s.off[r] = row_sum(mine ? g.off[r] : 0);
    s.rest[r] = row_sum(g.weighted[r]) - row_sum(g.weights[r]) * s.off[r];
  }
}

static __device__ void keep(const problem &p, const view &v, const lines &l, const known &s,
                            int h) {
  CZ_UNROLL
  for (int r = 0; r < 2; r++) {
    if (l.i + 8 * r >= v.nq || cz_lane() % 4 > 0) continue;
    const float row[2] = {s.off[r], s.rest[r]};
    cz_store_floats<2>(p.rows + 2 * ((int64_t)(v.q0 + l.i + 8 * r) * p.H + h), row);
  }
}

/* ---- by queries: the gradient of the position bias ---- */

/* Adds the dS of a warp's tile, all of one bucket, to its sum, which nobody touches again before
 * the barrier behind the tile. */
template <int N> static __device__ void add_all(float *sum, const float ds[N / 8][4]) {
  float all = 0;
  CZ_UNROLL
  for (int j = 0; j < N / 8; j++) {
    CZ_UNROLL
    for (int e = 0; e < 4; e++) all += ds[j][e];
  }
  all = cz_warp_sum(all);
  if (cz_lane() == 0) *sum += all;
}

/* Adds each lane's SUM to that of its BUCKET, -1: none. Lanes of one bucket are all of one run. */
static __device__ void add_runs(float *sums, float sum, int bucket) {
  const int lane = cz_lane();
  CZ_UNROLL
  for (int by = 1; by < CZ_WARP; by *= 2) {
    const float other = __shfl_up_sync(CZ_FULL_MASK, sum, by);
    const int its = __shfl_up_sync(CZ_FULL_MASK, bucket, by);
    sum += lane >= by && its == bucket ? other : 0;
  }
  const int next = __shfl_down_sync(CZ_FULL_MASK, bucket, 1);
  if (bucket >= 0 && (lane == CZ_WARP - 1 || next != bucket)) sums[bucket] += sum;
  __syncwarp();
}

/* Adds the dS of a warp's tile to its SUMS by bucket. An offset is a diagonal of the tile, which
 * lanes sum over the rows: lane c goes along column c + r, and where it leaves the tile on the
 * right, on the left again, on diagonal c - N. OFFSET is that of the tile's first row and column.
 */
template <int N, int LD>
static __device__ void add_diagonals(float *sums, float *room, const float ds[N / 8][4],
                                     const problem &p, const int *map, int offset) {
  const auto bucket_at = [&](int diagonal) {
    return from_table(map, p.bucket, offset + diagonal, [](int b) { return b; });
  };
  CZ_UNROLL
  for (int j = 0; j < N / 8; j++) {
    CZ_UNROLL
    for (int e = 0; e < 4; e += 2)
      cz_store_floats<2>(room + cz_acc_row(e) * LD + cz_acc_column(j, e), ds[j] + e);
  }
  __syncwarp();
  CZ_ROLLED
  for (int from = 0; from < N; from += CZ_WARP) {
    const int c = from + cz_lane();
    float sum = 0, again = 0;
    for (int r = 0; r < 16; r++) {
      const bool leaves = c + r >= N;
      const float x = room[r * LD + c + r - (leaves ? N : 0)];
      sum += leaves ? 0 : x, again += leaves ? x : 0;
    }
    add_runs(sums, sum, bucket_at(c));
    if (from + CZ_WARP == N) add_runs(sums, again, c > N - 16 ? bucket_at(c - N) : -1);
  }
}

/* The block's part of the gradient; zeros from one that has no tile. */
static __device__ void put_sums(const problem &p, const float *sums, int h) {
  for (int b = (int)threadIdx.x; b < p.bucket.number; b += CZ_ATTENTION_THREADS) {
    float sum = 0;
    for (int w = 0; w < CZ_ATTENTION_WARPS && sums; w++) sum += sums[w * p.bucket.number + b];
    p.partial[((int64_t)blockIdx.x * p.bucket.number + b) * p.H + h] = sum;
  }
}

/* ---- by queries ---- */

namespace {
/* What a block of the pass by queries has in hand. */
template <class T, int HD> struct query_block {
  typedef by_queries<T, HD> L;
  enum { KEYS = L::KEYS, STAGES = L::STAGES };
  const problem &p;
  view v;
  lines l;
  cz_key key;
  int h, warp, first, rows, tiles;
  T *q, *dout, *k, *values;
  float *room, *drawn, *table; /* null without shared factors of dropout; without a position bias */
  float *diagonals, *sums;
  int *map; /* as the two before it, for the bias' gradient */

  __device__ query_block(const problem &given, T *memory) : p(given) {
    h = (int)blockIdx.y, warp = (int)threadIdx.x / CZ_WARP;
    q = memory, dout = q + L::Q, k = dout + L::Q, values = k + STAGES * L::TILE;
    const parts rest = L::rest(p);
    float *const at = reinterpret_cast<float *>(memory + L::TILES);
    room = at + warp * L::room();
    drawn = draws_shared(p) ? at + rest.drawn : nullptr;
    table = p.bias ? at + rest.table : nullptr;
    map = reinterpret_cast<int *>(at + rest.map);
    diagonals = at + rest.diagonals + warp * 16 * L::DIAGONAL_LD, sums = at + rest.sums;
  }

  __device__ void begin(const place &at) {
    v = view_of(p, at.segment, h), first = (int)at.row;
    rows = v.nq - first < CZ_ATTENTION_QUERIES ? v.nq - first : (int)CZ_ATTENTION_QUERIES;
    tiles = (limit_of(p, v, first + rows - 1) + KEYS - 1) / KEYS;
    l = lines_of(p, v, first + 16 * warp), key = cz_random_key(p.drop.random);
    const int64_t own = own_rows();
    copy_tile<T, HD, CZ_ATTENTION_QUERIES>(q, static_cast<const T *>(p.q) + own, p, rows);
    copy_tile<T, HD, CZ_ATTENTION_QUERIES>(dout, static_cast<const T *>(p.dout) + own, p, rows);
    if (table) fill_table(table, p.bucket, [&](int b) { return p.bias[b * p.H + h]; });
    if (!p.partial) return;
    fill_table(map, p.bucket, [](int b) { return b; });
    for (int b = (int)threadIdx.x; b < CZ_ATTENTION_WARPS * p.bucket.number;
         b += CZ_ATTENTION_THREADS)
      sums[b] = 0;
  }

  __device__ int64_t own_rows() const { return ((int64_t)(v.q0 + first) * p.H + h) * p.K; }

  __device__ void copy_keys(int t) const {
    const int64_t row = ((int64_t)(v.k0 + t * KEYS) * p.H + h) * p.K;
    const int at = t % STAGES * L::TILE;
    copy_tile<T, HD, KEYS>(k + at, static_cast<const T *>(p.k) + row, p, v.nk - t * KEYS);
    copy_tile<T, HD, KEYS>(values + at, static_cast<const T *>(p.v) + row, p, v.nk - t * KEYS);
  }

  /* X = scores and DP = dP of tile T. */
  __device__ void recompute(float x[KEYS / 8][4], float dp[KEYS / 8][4], int t) const {
    const int at = t % STAGES * L::TILE, mine = 16 * warp * L::LD;
    cz_acc_clear<KEYS>(x), cz_acc_clear<KEYS>(dp);
    cz_rows_by_rows<T, HD, KEYS>(x, q + mine, k + at);
    cz_rows_by_rows<T, HD, KEYS>(dp, dout + mine, values + at);
    scores<KEYS>(x, p, l, t * KEYS, h, table);
    drop<KEYS>(dp, p, key, v, l, t * KEYS, drawn);
  }

  /* The gradient of the position bias: DS of keys from J0 on. */
  __device__ void add_to_buckets(const float ds[KEYS / 8][4], int j0) const {
    float *const own = sums + warp * p.bucket.number;
    const int offset = j0 - (first + 16 * warp + v.shift);
    if (is_far(p.bucket, l, j0, KEYS))
      add_all<KEYS>(own + from_table(map, p.bucket, offset, [](int b) { return b; }), ds);
    else
      add_diagonals<KEYS, L::DIAGONAL_LD>(own, diagonals, ds, p, map, offset);
  }

  /* F(t) for each tile of keys, while the next is on its way; for warps that have queries. */
  template <class F> __device__ void each_tile(F f) const {
    if (STAGES > 1 && tiles > 0) copy_keys(0);
    cz_copy_commit();
    for (int t = 0; t < tiles; t++) {
      if (t + STAGES - 1 < tiles) copy_keys(t + STAGES - 1);
      cz_copy_commit();
      if (drawn) share_factors<KEYS>(drawn, p, key, v.head, t * KEYS);
      cz_copy_wait<STAGES - 1>();
      __syncthreads();
      if (16 * warp < rows) f(t);
      __syncthreads();
    }
    if (tiles > 0) return;
    cz_copy_wait<0>(); /* of q and do, whose place is used again all the same */
    __syncthreads();
  }
};
} // namespace

template <class T, int HD>
static __global__ void __launch_bounds__(CZ_ATTENTION_THREADS, 2) gradient_of_queries(problem p) {
  typedef by_queries<T, HD> L;
  enum { KEYS = L::KEYS };
  CZ_SHARED_DYNAMIC(T, memory);
  query_block<T, HD> b(p, memory);
  const place at = place_of(p.q_spans, p.B, CZ_ATTENTION_QUERIES, blockIdx.x);
  if (at.segment < 0) {
    if (p.partial) put_sums(p, nullptr, b.h);
    return;
  }
  b.begin(at);
  known s = statistics_of(p, b.v, b.l, b.h);
  partial_sums g = {{0, 0}, {0, 0}, {0, 0}, {NO_KEY, NO_KEY}};
  float x[KEYS / 8][4], dp[KEYS / 8][4];
  b.each_tile([&](int t) {
    b.recompute(x, dp, t);
    if (is_edge(b.l, t * KEYS, KEYS))
      mask_scores<KEYS>(x, b.l, t * KEYS, -INFINITY), mask_scores<KEYS>(dp, b.l, t * KEYS, 0);
    accumulate<KEYS>(g, x, dp, s, t * KEYS);
  });
  reduce_rows(s, g);
  keep(p, b.v, b.l, s, b.h);
  float dq[HD / 8][4];
  cz_acc_clear<HD>(dq);
  if (p.dq || p.partial)
    b.each_tile([&](int t) {
      b.recompute(x, dp, t);
      probabilities<KEYS>(x, s);
      score_gradient<KEYS>(dp, x, s);
      if (is_edge(b.l, t * KEYS, KEYS)) mask_scores<KEYS>(dp, b.l, t * KEYS, 0);
      if (p.partial) b.add_to_buckets(dp, t * KEYS);
      cz_weights<T, KEYS> w;
      w.take(dp, b.room);
      w.template by<HD>(dq, b.k + t % L::STAGES * L::TILE);
    });
  if (p.partial) put_sums(p, b.sums, b.h);
  if (!p.dq) return;
  CZ_UNROLL
  for (int j = 0; j < HD / 8; j++) {
    CZ_UNROLL
    for (int e = 0; e < 4; e++) dq[j][e] *= p.scale;
  }
  store_rows<T, HD>(static_cast<T *>(p.dq) + b.own_rows() + 16 * b.warp * (int64_t)p.H * p.K, dq,
                    b.q + 16 * b.warp * L::LD, p, first_rows(b.rows - 16 * b.warp), p.add_q);
}

/* ---- by keys ---- */

/* Which of SIZE rows from FROM on segments BEGIN to END - 1 cover, as bits. A whole warp asks. */
static __device__ uint64_t covered(const int32_t *spans, int64_t begin, int64_t end, int from,
                                   int size) {
  uint64_t rows = 0;
  for (int64_t n = begin + cz_lane(); n < end; n += CZ_WARP) {
    const int first = spans[2 * n] - from, last = spans[2 * n + 1] - from; /* behind the last */
    const int a = first < 0 ? 0 : first, b = last > size ? size : last;
    if (a >= b) continue;
    const uint64_t below = b == 64 ? ~(uint64_t)0 : ((uint64_t)1 << b) - 1;
    rows |= below & ~(((uint64_t)1 << a) - 1);
  }
  CZ_UNROLL
  for (int lane = 1; lane < CZ_WARP; lane *= 2) rows |= __shfl_xor_sync(CZ_FULL_MASK, rows, lane);
  return rows;
}

/* The first segment from N on that has one of SIZE rows from FROM on; B: there is none. */
static __device__ int64_t next_segment(const problem &p, int64_t n, int from, int size) {
  for (; n < p.B; n += CZ_WARP) {
    const int64_t mine = n + cz_lane();
    const bool meets = mine < p.B && p.k_spans[2 * mine] < from + size &&
                       p.k_spans[2 * mine + 1] > from &&
                       p.k_spans[2 * mine] < p.k_spans[2 * mine + 1];
    const unsigned found = __ballot_sync(CZ_FULL_MASK, meets);
    if (found) return n + __ffs((int)found) - 1;
  }
  return p.B;
}

namespace {
template <class T, int HD> struct key_block {
  typedef by_keys<T, HD> L;
  enum { KEYS = L::KEYS, STAGES = L::STAGES, PART = L::PART };
  const problem &p;
  cz_key key;
  int h, warp;
  T *k, *values, *q, *dout, *z, *ds_tile;
  float *drawn, *table; /* null without shared factors of dropout; without a position bias */
  view v;
  int j0, first, tiles; /* of v: where the tile of keys begins; the first tile of queries; all */

  __device__ key_block(const problem &given, T *memory) : p(given) {
    h = (int)blockIdx.y, warp = (int)threadIdx.x / CZ_WARP;
    k = memory, values = k + L::TILE, q = values + L::TILE, dout = q + STAGES * L::Q;
    z = dout + STAGES * L::Q, ds_tile = z + L::P;
    const parts rest = L::rest(p);
    float *const at = reinterpret_cast<float *>(memory + L::TILES);
    drawn = draws_shared(p) ? at + rest.drawn : nullptr;
    table = p.bias ? at + rest.table : nullptr;
    key = cz_random_key(p.drop.random);
    if (table) fill_table(table, p.bucket, [&](int b) { return p.bias[b * p.H + h]; });
  }

  __device__ int64_t at(int64_t row) const { return (row * p.H + h) * p.K; }

  /* Queries of segment N that see a key of the tile, which begins at row FROM of k. */
  __device__ void choose(int64_t n, int from) {
    v = view_of(p, n, h), j0 = from - v.k0;
    const int least = j0 < 0 ? 0 : j0;
    int sees_it = 0;
    if (p.mask != CZ_ATTENTION_MASK_FULL && v.prefix <= least) sees_it = least - v.shift;
    first = sees_it < 0 ? 0 : sees_it / CZ_ATTENTION_QUERIES;
    tiles = (v.nq + CZ_ATTENTION_QUERIES - 1) / CZ_ATTENTION_QUERIES;
  }

  __device__ void copy_queries(int t) const {
    const int row = t * CZ_ATTENTION_QUERIES, to = t % STAGES * L::Q;
    const int64_t from = at(v.q0 + row);
    copy_tile<T, HD, CZ_ATTENTION_QUERIES>(q + to, static_cast<const T *>(p.q) + from, p,
                                           v.nq - row);
    copy_tile<T, HD, CZ_ATTENTION_QUERIES>(dout + to, static_cast<const T *>(p.dout) + from, p,
                                           v.nq - row);
  }

  /* Read when scores are made: registers are short before. */
  __device__ known known_of(const lines &l) const {
    known s = statistics_of(p, v, l, h);
    CZ_UNROLL
    for (int r = 0; r < 2; r++) {
      if (l.i + 8 * r >= v.nq) continue;
      float kept[2];
      cz_load_floats<2>(kept, p.rows + 2 * ((int64_t)(v.q0 + l.i + 8 * r) * p.H + h));
      s.off[r] = kept[0], s.rest[r] = kept[1];
    }
    return s;
  }

  /* Z and dS of tile T of queries and all keys go to shared memory. */
  __device__ void recompute_weights(int t) const {
    const int mine = t % STAGES * L::Q + 16 * warp * L::LD;
    const int query = t * CZ_ATTENTION_QUERIES + 16 * warp;
    const lines l = lines_of(p, v, query);
    CZ_ROLLED
    for (int part = 0; part < KEYS; part += PART) {
      if (query < v.nq)
        recompute_weights_part(mine, l, part);
      else
        clear_weights(part);
    }
  }

  __device__ void clear_weights(int part) const {
    const int row = 16 * warp * L::LDP + part;
    CZ_UNROLL
    for (int j = 0; j < PART / 8; j++) {
      CZ_UNROLL
      for (int e = 0; e < 4; e += 2) {
        cz_put_weights<T, KEYS>(z + row, j, e, 0, 0);
        cz_put_weights<T, KEYS>(ds_tile + row, j, e, 0, 0);
      }
    }
  }

  /* Of keys PART to PART + L::PART - 1 of the tile; MINE is where the warp's queries begin. */
  __device__ void recompute_weights_part(int mine, const lines &l, int part) const {
    const int row = 16 * warp * L::LDP + part, from = j0 + part;
    float x[PART / 8][4], dp[PART / 8][4];
    cz_acc_clear<PART>(x), cz_acc_clear<PART>(dp);
    cz_rows_by_rows<T, HD, PART>(x, q + mine, k + part * L::LD);
    cz_rows_by_rows<T, HD, PART>(dp, dout + mine, values + part * L::LD);
    scores<PART>(x, p, l, from, h, table);
    const known s = known_of(l);
    const bool edge = is_edge(l, from, PART);
    probabilities<PART>(x, s);
    if (edge) mask_scores<PART>(x, l, from, 0);
    mask_and_put(x, dp, l, part);
    score_gradient<PART>(dp, x, s);
    if (edge) mask_scores<PART>(dp, l, from, 0);
    CZ_UNROLL
    for (int j = 0; j < PART / 8; j++) {
      CZ_UNROLL
      for (int e = 0; e < 4; e += 2)
        cz_put_weights<T, KEYS>(ds_tile + row, j, e, dp[j][e], dp[j][e + 1]);
    }
  }

  /* Where the tile does not begin at a multiple of 16 keys of the segment, which then begins before
   * or in another one: each element's draw for itself, as 1 or 0 in its place of Z. */
  __device__ void draw_singly(T *to, const lines &l, int from) const {
    CZ_ROLLED
    for (int i = cz_lane(); i < 16 * PART; i += CZ_WARP) {
      const int r = i / PART, j = from + i % PART;
      const uint64_t e = cz_dropout_attention_element(v.head, l.i - cz_lane() / 4 + r, j);
      float factor[1];
      cz_dropout_factors<1>(factor, p.drop, key, e);
      to[r * L::LDP + i % PART] = cz_nearest<T>(factor[0] > 0 ? 1 : 0);
    }
    __syncwarp();
  }

  __device__ void drawn_singly(float factor[2], const T *from, int j, int e) const {
    const T *at = from + cz_acc_row(e) * L::LDP + cz_acc_column(j, e);
    CZ_UNROLL
    for (int n = 0; n < 2; n++) factor[n] = cz_float(at[n]) * p.drop.scale;
  }

  /* Z = P M goes to shared memory, and DP = dP M; X is P. */
  __device__ void mask_and_put(const float x[PART / 8][4], float dp[PART / 8][4], const lines &l,
                               int part) const {
    const int row = 16 * warp * L::LDP + part, from = j0 + part;
    const float *shared = drawn ? drawn + part : nullptr;
    const bool drops = p.drop.threshold > 0, singly = drops && !drawn && j0 % 16 != 0;
    if (singly) draw_singly(z + row, l, from);
    CZ_UNROLL
    for (int j = 0; j < PART / 8; j += 2) {
      float factor[8] = {1, 1, 1, 1, 1, 1, 1, 1};
      if (drops && !singly) factors(factor, p, key, v.head, l.i, j, from, shared);
      CZ_UNROLL
      for (int i = 0; i < 8; i += 2) {
        const int f = j + i / 4, e = i % 4;
        if (singly) drawn_singly(factor + i, z + row, f, e);
        cz_put_weights<T, KEYS>(z + row, f, e, x[f][e] * factor[i], x[f][e + 1] * factor[i + 1]);
        dp[f][e] *= factor[i], dp[f][e + 1] *= factor[i + 1];
      }
    }
  }

  /* Adds what the chosen segment contributes to this warp's 16 keys. */
  __device__ void add(float dk[HD / 8][4], float dv[HD / 8][4]) const {
    if (STAGES > 1 && first < tiles) copy_queries(first);
    cz_copy_commit();
    for (int t = first; t < tiles; t++) {
      if (t + STAGES - 1 < tiles) copy_queries(t + STAGES - 1);
      cz_copy_commit();
      if (drawn && t == first) share_factors<KEYS>(drawn, p, key, v.head, j0);
      cz_copy_wait<STAGES - 1>();
      __syncthreads();
      recompute_weights(t);
      __syncthreads();
      if (16 * warp < KEYS) {
        const int from = t % STAGES * L::Q;
        cz_columns_by_rows<T, HD, KEYS, CZ_ATTENTION_QUERIES>(dv, z + 16 * warp, dout + from);
        cz_columns_by_rows<T, HD, KEYS, CZ_ATTENTION_QUERIES>(dk, ds_tile + 16 * warp, q + from);
      }
      __syncthreads();
    }
  }
};
} // namespace

/* Keys from row FROM of k on, of which OWN are this segment's. */
template <class T, int HD>
static __device__ void tile_of_keys(key_block<T, HD> &b, int64_t n, int from, uint64_t own) {
  typedef by_keys<T, HD> L;
  const problem &p = b.p;
  const int warp = b.warp;
  const int64_t end = p.k_spans[2 * n + 1] - from;
  __syncthreads(); /* the last tile has been stored */
  copy_tile<T, HD, L::KEYS>(b.k, static_cast<const T *>(p.k) + b.at(from), p, end);
  copy_tile<T, HD, L::KEYS>(b.values, static_cast<const T *>(p.v) + b.at(from), p, end);
  float dk[HD / 8][4], dv[HD / 8][4];
  cz_acc_clear<HD>(dk), cz_acc_clear<HD>(dv);
  for (int64_t m = n; (m = next_segment(p, m, from, L::KEYS)) < p.B; m++) {
    b.choose(m, from);
    b.add(dk, dv);
  }
  cz_copy_wait<0>(); /* of keys that nobody sees, whose place is used again all the same */
  __syncthreads();
  if (16 * warp >= L::KEYS) return;
  CZ_UNROLL
  for (int j = 0; j < HD / 8; j++) {
    CZ_UNROLL
    for (int e = 0; e < 4; e++) dk[j][e] *= p.scale;
  }
  const unsigned rows = (unsigned)(own >> 16 * warp) & 0xffff;
  const int64_t to = b.at(from + 16 * warp);
  if (p.dk)
    store_rows<T, HD>(static_cast<T *>(p.dk) + to, dk, b.k + 16 * warp * L::LD, p, rows, p.add_k);
  if (p.dv)
    store_rows<T, HD>(static_cast<T *>(p.dv) + to, dv, b.values + 16 * warp * L::LD, p, rows,
                      p.add_v);
}

template <class T, int HD>
static __global__ void __launch_bounds__(CZ_ATTENTION_THREADS, 2) gradient_of_keys(problem p) {
  enum { KEYS = by_keys<T, HD>::KEYS };
  CZ_SHARED_DYNAMIC(T, memory);
  key_block<T, HD> b(p, memory);
  for (int64_t number = blockIdx.x;; number += gridDim.x) {
    const place at = place_of(p.k_spans, p.B, KEYS, number);
    if (at.segment < 0) return;
    const int from = p.k_spans[2 * at.segment] + (int)at.row;
    const uint64_t own = covered(p.k_spans, at.segment, at.segment + 1, from, KEYS) &
                         ~covered(p.k_spans, 0, at.segment, from, KEYS);
    if (own) tile_of_keys<T, HD>(b, at.segment, from, own);
  }
}

/* Keys that no segment has get zeros. A warp looks after CLEARED rows. */
template <class T> static __global__ void clear_keys(problem p) {
  const int64_t warp = (int64_t)blockIdx.x * CZ_ATTENTION_WARPS + threadIdx.x / CZ_WARP,
                first = warp * CLEARED, width = (int64_t)p.H * p.K;
  if (first >= p.Tk) return;
  const uint64_t rows = covered(p.k_spans, 0, p.B, (int)first, CLEARED);
  for (int r = 0; r < CLEARED && first + r < p.Tk; r++) {
    if (rows >> r & 1) continue;
    const int64_t begin = (first + r) * width;
    for (int64_t i = begin + cz_lane(); i < begin + width; i += CZ_WARP) {
      if (p.dk && !p.add_k) static_cast<T *>(p.dk)[i] = cz_nearest<T>(0);
      if (p.dv && !p.add_v) static_cast<T *>(p.dv)[i] = cz_nearest<T>(0);
    }
  }
}

/* ---- host ---- */

static void *wanted(const cz_call *call, int input) {
  return call->mode[input] == CZ_GRAD_SKIP ? nullptr : call->din[input].data;
}

static uintptr_t lay_out(problem *p, const cz_call *call, uintptr_t at) {
  const size_t parts = blocks_of(p->Tq, p->B, CZ_ATTENTION_QUERIES);
  p->rows = static_cast<float *>(cz_take(&at, (size_t)(p->Tq * p->H) * 2 * sizeof(float)));
  p->partial = nullptr;
  if (p->bias && call->mode[CZ_ATTENTION_POSITION_BIAS] != CZ_GRAD_SKIP)
    p->partial = static_cast<float *>(
        cz_take(&at, parts * (size_t)(p->bucket.number * p->H) * sizeof(float)));
  return at;
}

static problem backward_of(const cz_call *call, uintptr_t workspace, size_t *bytes) {
  problem p = problem_of(call);
  p.dout = call->dout[CZ_ATTENTION_O].data;
  p.dq = wanted(call, CZ_ATTENTION_Q), p.dk = wanted(call, CZ_ATTENTION_K);
  p.dv = wanted(call, CZ_ATTENTION_V);
  p.add_q = call->mode[CZ_ATTENTION_Q] == CZ_GRAD_ADD;
  p.add_k = call->mode[CZ_ATTENTION_K] == CZ_GRAD_ADD;
  p.add_v = call->mode[CZ_ATTENTION_V] == CZ_GRAD_ADD;
  p.wide = p.wide && cz_aligned_16(p.dout) && cz_aligned_16(p.dq) && cz_aligned_16(p.dk) &&
           cz_aligned_16(p.dv);
  *bytes = (size_t)(lay_out(&p, call, workspace) - workspace);
  return p;
}

template <class T, int HD> static void launch(const cz_call *call, const problem &p) {
  const unsigned H = (unsigned)p.H, blocks = blocks_of(p.Tq, p.B, CZ_ATTENTION_QUERIES);
  problem of_keys = p;
  of_keys.partial = nullptr;
  const size_t bytes = by_queries<T, HD>::bytes(p), key_bytes = by_keys<T, HD>::bytes(of_keys);
  if (!fits(call, bytes > key_bytes ? bytes : key_bytes)) return;
  cz_launch("attention backward by queries", gradient_of_queries<T, HD>, dim3(blocks, H),
            CZ_ATTENTION_THREADS, bytes, call->stream, p);
  const cz_partials sums = {{static_cast<float *>(call->din[CZ_ATTENTION_POSITION_BIAS].data)},
                            {call->mode[CZ_ATTENTION_POSITION_BIAS] == CZ_GRAD_ADD},
                            p.partial,
                            blocks,
                            (int64_t)p.bucket.number * p.H};
  if (p.partial) cz_sum_partials("attention position bias", call->stream, sums);
  if (!p.dk && !p.dv) return;
  if ((p.dk && !p.add_k) || (p.dv && !p.add_v))
    cz_launch("attention backward clear", clear_keys<T>,
              dim3((unsigned)((p.Tk + CLEARED * CZ_ATTENTION_WARPS - 1) /
                              (CLEARED * CZ_ATTENTION_WARPS))),
              CZ_ATTENTION_THREADS, 0, call->stream, p);
  cz_launch("attention backward by keys", gradient_of_keys<T, HD>,
            dim3(blocks_of(p.Tk, p.B, by_keys<T, HD>::KEYS), H), CZ_ATTENTION_THREADS, key_bytes,
            call->stream, of_keys);
}

/** Gradients of q, k and v in their dtype, of the position bias in float32. Contract:
 * attention.h. */
extern "C" void cz_attention_bwd_cuda(const cz_call *call) {
  size_t bytes;
  const problem p = backward_of(call, (uintptr_t)call->workspace, &bytes);
  if (!p.dout || p.Tq == 0) {
    for (int i = CZ_ATTENTION_Q; i <= CZ_ATTENTION_POSITION_BIAS; i++)
      cz_cuda_zero_gradient(call, i);
    return;
  }
  if (refused(call, p)) return;
  with_head(call, p, [&](auto t, auto head) {
    launch<typename decltype(t)::type, decltype(head)::value>(call, p);
  });
}

/** Bytes for two numbers of each row and head, and the blocks' sums of dS by bucket; none
 * forward. */
extern "C" size_t cz_attention_workspace_cuda(const cz_call *call, bool backward) {
  size_t bytes = 0;
  if (backward) backward_of(call, 0, &bytes);
  return bytes;
}
