/* Forward by blocks of keys with an online softmax (Dao et al. 2022, algorithm 1): a warp keeps of
 * its 16 queries the largest score m, the sum of e^(s - m) and that of e^(s - m) M v, and rescales
 * the sums when m grows. The next tiles of keys and values are on their way meanwhile. */
#include "kernels/attention/attention_cuda.cuh"

namespace {
template <class T, int HD> struct layout {
  enum { KEYS = HD > 64 || sizeof(T) == 4 ? 32 : 64, LD = cz_tile<T, HD>::LD };
  enum { Q = CZ_ATTENTION_QUERIES * LD, TILE = KEYS * LD, TILES = Q + 2 * stages<T>() * TILE };
  static CZ_HOST_DEVICE parts rest(const problem &p) {
    return parts_of(p, CZ_ATTENTION_WARPS * cz_weights<T, KEYS>::room(), KEYS, 0);
  }
  static size_t bytes(const problem &p) {
    return TILES * sizeof(T) + (size_t)rest(p).end * sizeof(float);
  }
};

/* Of this lane's two rows. */
typedef struct softmax {
  float maximum[2], sum[2]; /* sum: of this lane's columns */
} softmax;
} // namespace

/* One step of the online softmax: the running maximum m takes in the scores of these keys, which
 * are minus infinity where they are masked and become e^(x - m); sum and accumulators are rescaled
 * to the new m. */
template <int N, int HD>
static __device__ void online_softmax(float x[N / 8][4], float o[HD / 8][4], softmax &s) {
  CZ_UNROLL
  for (int r = 0; r < 2; r++) {
    float most = -INFINITY;
    CZ_UNROLL
    for (int j = 0; j < N / 8; j++) {
      CZ_UNROLL
      for (int e = 2 * r; e < 2 * r + 2; e++) most = cz_larger(most, x[j][e]);
    }
    most = cz_larger(row_maximum(most), s.maximum[r]);
    const float before = weight(s.maximum[r], most);
    s.maximum[r] = most, s.sum[r] *= before;
    CZ_UNROLL
    for (int j = 0; j < HD / 8; j++) o[j][2 * r] *= before, o[j][2 * r + 1] *= before;
    CZ_UNROLL
    for (int j = 0; j < N / 8; j++) {
      CZ_UNROLL
      for (int e = 2 * r; e < 2 * r + 2; e++) {
        x[j][e] = weight(x[j][e], most);
        s.sum[r] += x[j][e];
      }
    }
  }
}

/* The accumulators become o = o / sum, and the statistics are stored. A row that sees keys, but
 * none above -infinity, is NaN. */
template <int HD>
static __device__ void finalise(float o[HD / 8][4], softmax &s, const problem &p, const view &v,
                                const lines &l, int h) {
  CZ_UNROLL
  for (int r = 0; r < 2; r++) {
    const int i = l.i + 8 * r;
    float sum = row_sum(s.sum[r]);
    if (l.limit[r] > 0 && s.maximum[r] == -INFINITY) sum = NAN;
    const float by = sum == 0 ? 0 : 1 / sum;
    CZ_UNROLL
    for (int j = 0; j < HD / 8; j++) o[j][2 * r] *= by, o[j][2 * r + 1] *= by;
    if (!p.stats || i >= v.nq || cz_lane() % 4 > 0) continue;
    const float stats[2] = {s.maximum[r], sum};
    cz_store_floats<2>(p.stats + 2 * ((int64_t)(v.q0 + i) * p.H + h), stats);
  }
}

template <class T, int HD>
static __global__ void __launch_bounds__(CZ_ATTENTION_THREADS, 3) forward(problem p) {
  typedef layout<T, HD> L;
  enum { KEYS = L::KEYS, STAGES = stages<T>() };
  CZ_SHARED_DYNAMIC(T, q);
  const place at = place_of(p.q_spans, p.B, CZ_ATTENTION_QUERIES, blockIdx.x);
  if (at.segment < 0) return;
  T *const k = q + L::Q, *const values = k + STAGES * L::TILE;
  const parts rest = L::rest(p);
  float *const room = reinterpret_cast<float *>(q + L::TILES);
  float *const drawn = draws_shared(p) ? room + rest.drawn : nullptr;
  float *const table = p.bias ? room + rest.table : nullptr;
  const int h = (int)blockIdx.y, warp = (int)threadIdx.x / CZ_WARP, first = (int)at.row;
  const view v = view_of(p, at.segment, h);
  const int rows = v.nq - first < CZ_ATTENTION_QUERIES ? v.nq - first : (int)CZ_ATTENTION_QUERIES,
            keys = limit_of(p, v, first + rows - 1), tiles = (keys + KEYS - 1) / KEYS;
  const int64_t ld = (int64_t)p.H * p.K, from = v.k0 * ld + (int64_t)h * p.K,
                own = (int64_t)(v.q0 + first) * ld + (int64_t)h * p.K;
  const auto begin = [&](int t) {
    const int64_t row = from + (int64_t)t * KEYS * ld;
    copy_tile<T, HD, KEYS>(k + t % STAGES * L::TILE, static_cast<const T *>(p.k) + row, p,
                           v.nk - t * KEYS);
    copy_tile<T, HD, KEYS>(values + t % STAGES * L::TILE, static_cast<const T *>(p.v) + row, p,
                           v.nk - t * KEYS);
  };
  if (table) fill_table(table, p.bucket, [&](int b) { return p.bias[b * p.H + h]; });
  copy_tile<T, HD, CZ_ATTENTION_QUERIES>(q, static_cast<const T *>(p.q) + own, p, rows);
  if (STAGES > 1 && tiles > 0) begin(0);
  cz_copy_commit();
  T *const mine = q + 16 * warp * L::LD;
  const lines l = lines_of(p, v, first + 16 * warp);
  const cz_key key = cz_random_key(p.drop.random);
  softmax s = {{-INFINITY, -INFINITY}, {0, 0}};
  float o[HD / 8][4];
  cz_acc_clear<HD>(o);
  for (int t = 0; t < tiles; t++) {
    if (t + STAGES - 1 < tiles) begin(t + STAGES - 1);
    cz_copy_commit();
    if (drawn) share_factors<KEYS>(drawn, p, key, v.head, t * KEYS);
    cz_copy_wait<STAGES - 1>();
    __syncthreads();
    if (16 * warp < rows) {
      float x[KEYS / 8][4];
      cz_acc_clear<KEYS>(x);
      cz_rows_by_rows<T, HD, KEYS>(x, mine, k + t % STAGES * L::TILE);
      scores<KEYS>(x, p, l, t * KEYS, h, table);
      if (is_edge(l, t * KEYS, KEYS)) mask_scores<KEYS>(x, l, t * KEYS, -INFINITY);
      online_softmax<KEYS, HD>(x, o, s);
      drop<KEYS>(x, p, key, v, l, t * KEYS, drawn);
      cz_weights<T, KEYS> w;
      w.take(x, room + warp * cz_weights<T, KEYS>::room());
      w.template by<HD>(o, values + t % STAGES * L::TILE);
    }
    __syncthreads();
  }
  cz_copy_wait<0>();
  __syncthreads(); /* without keys there was none behind the copies of q */
  finalise<HD>(o, s, p, v, l, h);
  store_rows<T, HD>(static_cast<T *>(p.o) + own + 16 * warp * ld, o, mine, p,
                    first_rows(rows - 16 * warp), false);
}

/** Forward; q, k and v in float32, bfloat16 or float16. Contract: attention.h. */
extern "C" void cz_attention_fwd_cuda(const cz_call *call) {
  const problem p = problem_of(call);
  if (refused(call, p)) return;
  with_head(call, p, [&](auto t, auto head) {
    typedef typename decltype(t)::type T;
    enum { HD = decltype(head)::value };
    const size_t bytes = layout<T, HD>::bytes(p);
    if (fits(call, bytes))
      cz_launch("attention forward", forward<T, HD>,
                dim3(blocks_of(p.Tq, p.B, CZ_ATTENTION_QUERIES), (unsigned)p.H),
                CZ_ATTENTION_THREADS, bytes, call->stream, p);
  });
}
