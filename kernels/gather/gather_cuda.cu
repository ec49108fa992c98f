/* Forward copies rows. Backward gives each row of dx, once, the sum of those of dy that read it, in
 * their order; what nobody read becomes zero in the same pass. A warp takes strips of 128
 * columns of a row.
 *
 * Few rows of dy are looked through for every row of dx. More are sorted by the row that they read,
 * and then those that read one row are neighbours. A word may have a share of all tokens, and its
 * sum must not be one warp's work: the sorted list is cut into pieces, these are put together to
 * larger ones, and pieces that lie in one row are added beforehand, each by a warp of its own. A
 * row's sum is then that of the largest pieces that lie in it, from left to right, whatever the
 * card is. */
#include "kernels/common/dispatch.cuh"
#include "kernels/common/strip.cuh"
#include "kernels/embedding/embedding.h"
#include "kernels/gather/gather.h"
#include "kernels/gather/gather_sort.cuh"

/* FEW: rows of dy that are not sorted. A piece of level 0 has 2^PIECE neighbours in the list, as
 * many as a warp has lanes, so that each knows one; of the next level 2^FAN times as many. AT_ONCE:
 * rows that are loaded before they are added. */
enum { THREADS = 256, WARPS = THREADS / CZ_WARP, FEW = 128, AT_ONCE = 8 };
enum { PIECE = 5, FAN = 3, LEVELS = 4 };

namespace {
/* Backward, of rows sorted. */
typedef struct sorted {
  cz_sort_list list;
  int64_t N, T, D;
  int32_t *begin, *end; /* [T]: the part of the list that reads the row; end 0: none */
  float *partial;       /* of each level [pieces, D]: sums of those that one row reads */
  int levels;
} sorted;
} // namespace

/* Pieces of 2^SHIFT that the list has, all of them full. */
static inline CZ_HOST_DEVICE int64_t pieces_of(const sorted &s, int shift) { return s.N >> shift; }

/* This warp's number among those of its strip, and how many there are. */
static inline __device__ int64_t warp_number() {
  return (int64_t)blockIdx.x * WARPS + threadIdx.x / CZ_WARP;
}
static inline __device__ int64_t warp_count() { return (int64_t)gridDim.x * WARPS; }

/* A strip of 128 columns, or of those that are left. A warp takes
 * one after another where there are more than rows of blocks, and reads what it needs to know of a
 * row once for all. */
namespace {
typedef struct strip {
  int64_t first;
  int columns;
} strip;
} // namespace

static inline __device__ strip strip_of(int64_t number, int64_t D) {
  const int64_t first = number * CZ_STRIP, left = D - first;
  return {first, (int)(left < CZ_STRIP ? left : (int64_t)CZ_STRIP)};
}

template <class X, class Y, bool WIDE>
static __global__ void __launch_bounds__(THREADS)
    copy_rows(Y *__restrict__ y, const X *__restrict__ x, const int32_t *__restrict__ rows,
              int64_t N, int64_t D) {
  for (int64_t n = warp_number(); n < N; n += warp_count()) {
    const X *from = x + rows[n] * D;
    for (int64_t i = blockIdx.y; i * CZ_STRIP < D; i += gridDim.y) {
      const strip s = strip_of(i, D);
      if constexpr (std::is_same<X, Y>::value) {
        cz_strip_copy<WIDE>(y + n * D + s.first, from + s.first, s.columns);
      } else {
        float numbers[4];
        cz_strip_load<WIDE>(numbers, from + s.first, s.columns);
        cz_strip_store<WIDE>(y + n * D + s.first, numbers, s.columns);
      }
    }
  }
}

/* SUM += the rows ROW(0) to ROW(count - 1), in this order. */
template <bool WIDE, class F>
static inline __device__ void add_rows(float sum[4], int count, int columns, F row) {
  for (int k = 0; k < count; k += AT_ONCE) {
    float x[AT_ONCE][4];
    CZ_UNROLL
    for (int i = 0; i < AT_ONCE; i++) {
      const int exists = k + i < count ? columns : 0;
      cz_strip_load<WIDE>(x[i], row(k + i), exists);
    }
    CZ_UNROLL
    for (int i = 0; i < AT_ONCE; i++) {
      CZ_UNROLL
      for (int j = 0; j < 4; j++) sum[j] += x[i][j];
    }
  }
}

/* The sum of a row of dx meets what is there. */
template <bool WIDE, class DX>
static inline __device__ void put_row(DX *dx, float sum[4], int columns, bool add) {
  if (add) {
    float before[4];
    cz_strip_load<WIDE>(before, dx, columns);
    CZ_UNROLL
    for (int j = 0; j < 4; j++) sum[j] += before[j];
  }
  cz_strip_store<WIDE>(dx, sum, columns);
}

/* ---- few rows ---- */

/* Rows of dy that read row T of dx, a bit each. True when there are any. */
static inline __device__ bool readers_of(unsigned readers[FEW / CZ_WARP], const int32_t *rows,
                                         int N, int64_t t) {
  unsigned any = 0;
  CZ_UNROLL
  for (int i = 0; i < FEW / CZ_WARP; i++) {
    const int n = i * CZ_WARP + cz_lane();
    readers[i] = i * CZ_WARP < N ? __ballot_sync(CZ_FULL_MASK, n < N && rows[n] == t) : 0;
    any |= readers[i];
  }
  return any != 0;
}

template <class DX, class DY, bool WIDE>
static __global__ void __launch_bounds__(THREADS)
    look_through(DX *dx, const DY *dy, const int32_t *rows, int N, int64_t T, int64_t D, bool add) {
  for (int64_t t = warp_number(); t < T; t += warp_count()) {
    unsigned readers[FEW / CZ_WARP];
    if (!readers_of(readers, rows, N, t) && add) continue;
    for (int64_t at = blockIdx.y; at * CZ_STRIP < D; at += gridDim.y) {
      const strip s = strip_of(at, D);
      float sum[4] = {};
      CZ_UNROLL
      for (int i = 0; i < FEW / CZ_WARP; i++) {
        const DY *from = dy + i * CZ_WARP * D + s.first;
        for (unsigned left = readers[i]; left; left &= left - 1) {
          float x[4];
          cz_strip_load<WIDE>(x, from + (__ffs((int)left) - 1) * D, s.columns);
          CZ_UNROLL
          for (int j = 0; j < 4; j++) sum[j] += x[j];
        }
      }
      put_row<WIDE>(dx + t * D + s.first, sum, s.columns, add);
    }
  }
}

/* ---- many rows ---- */

/* SUM += COUNT rows of dy, no more than a warp has lanes, from AT on in the list. */
template <bool WIDE, class DY>
static inline __device__ void add_listed(float sum[4], const sorted &s, const DY *dy, int64_t at,
                                         int count, const strip &c) {
  const int lane = cz_lane();
  const int32_t mine = lane < count ? s.list.place[at + lane] : 0;
  const DY *from = dy + c.first;
  add_rows<WIDE>(sum, count, c.columns,
                 [&](int k) { return from + __shfl_sync(CZ_FULL_MASK, mine, k % CZ_WARP) * s.D; });
}

/* Whether one row reads piece P of 2^SHIFT. */
static inline __device__ bool of_one_row(const sorted &s, int64_t p, int shift) {
  const int64_t end = (p + 1) << shift;
  return end <= s.N && s.list.key[p << shift] == s.list.key[end - 1];
}

/* Level 0, a piece a warp; and where rows begin and end in the list. */
template <class DY, bool WIDE>
static __global__ void __launch_bounds__(THREADS) add_pieces(sorted s, const DY *dy) {
  const int lane = cz_lane();
  const strip c = strip_of(blockIdx.y, s.D);
  const int32_t *key = s.list.key;
  for (int64_t p = warp_number(); p << PIECE < s.N; p += warp_count()) {
    const int64_t at = (p << PIECE) + lane;
    if (blockIdx.y == 0 && at < s.N) {
      if (at == 0 || key[at - 1] != key[at]) s.begin[key[at]] = (int32_t)at;
      if (at == s.N - 1 || key[at + 1] != key[at]) s.end[key[at]] = (int32_t)at + 1;
    }
    if (!of_one_row(s, p, PIECE)) continue;
    float sum[4] = {};
    add_listed<WIDE>(sum, s, dy, p << PIECE, 1 << PIECE, c);
    cz_strip_store<WIDE>(s.partial + p * s.D + c.first, sum, c.columns);
  }
}

/* The level whose pieces have 2^SHIFT, of the one below. */
template <bool WIDE>
static __global__ void __launch_bounds__(THREADS)
    add_partials(sorted s, float *to, const float *from, int shift) {
  const strip c = strip_of(blockIdx.y, s.D);
  for (int64_t p = warp_number(); p < pieces_of(s, shift); p += warp_count()) {
    if (!of_one_row(s, p, shift)) continue;
    float sum[4] = {};
    const float *first = from + (p << FAN) * s.D + c.first;
    add_rows<WIDE>(sum, 1 << FAN, c.columns, [&](int k) { return first + k * s.D; });
    cz_strip_store<WIDE>(to + p * s.D + c.first, sum, c.columns);
  }
}

/* The largest pieces that begin at AT and end before END, and all their neighbours as far as a
 * larger one begins. */
namespace {
typedef struct stretch {
  int shift; /* 0: no pieces but rows of dy */
  int64_t count;
  const float *partial; /* those of the level */
} stretch;
} // namespace

static inline __device__ stretch stretch_at(const sorted &s, int64_t at, int64_t end) {
  stretch r = {0, 0, nullptr};
  const float *next = s.partial;
  int larger = PIECE, level = 0;
  for (; level < s.levels; level++, larger += FAN) {
    if ((at >> larger << larger) != at || at + ((int64_t)1 << larger) > end) break;
    r.shift = larger, r.partial = next, next += pieces_of(s, larger) * s.D;
  }
  r.count = (end - at) >> r.shift;
  if (level == s.levels) return r;
  const int64_t before = (((at >> larger) + 1) << larger) - at; /* the next larger one begins */
  if (r.count > before >> r.shift) r.count = before >> r.shift;
  return r;
}

/* SUM += places BEGIN to END of the list. */
template <bool WIDE, class DY>
static inline __device__ void add_part(float sum[4], const sorted &s, const DY *dy, int64_t begin,
                                       int64_t end, const strip &c) {
  for (int64_t at = begin; at < end;) {
    const stretch r = stretch_at(s, at, end);
    if (r.shift == 0) {
      add_listed<WIDE>(sum, s, dy, at, (int)r.count, c);
    } else {
      const float *first = r.partial + (at >> r.shift) * s.D + c.first;
      add_rows<WIDE>(sum, (int)r.count, c.columns, [&](int k) { return first + k * s.D; });
    }
    at += r.count << r.shift;
  }
}

template <class DX, class DY, bool WIDE>
static __global__ void __launch_bounds__(THREADS)
    put_rows(sorted s, DX *dx, const DY *dy, bool add) {
  for (int64_t t = warp_number(); t < s.T; t += warp_count()) {
    const int32_t end = s.end[t], begin = end > 0 ? s.begin[t] : 0;
    if (end == 0 && add) continue;
    for (int64_t i = blockIdx.y; i * CZ_STRIP < s.D; i += gridDim.y) {
      const strip c = strip_of(i, s.D);
      float sum[4] = {};
      add_part<WIDE>(sum, s, dy, begin, end, c);
      put_row<WIDE>(dx + t * s.D + c.first, sum, c.columns, add);
    }
  }
}

/* ---- host ---- */

static dim3 grid_of(const cz_call *call, int64_t rows, int64_t D) {
  return dim3(cz_blocks(call->stream, rows, WARPS), (unsigned)((D + CZ_STRIP - 1) / CZ_STRIP));
}

/* Of kernels whose warps take several strips: as many warps a row as the card has room for. */
static dim3 roomy_grid_of(const cz_call *call, int64_t rows, int64_t D) {
  dim3 grid = grid_of(call, rows, D);
  const unsigned room =
      (unsigned)cz_cuda_multiprocessors(call->stream) * CZ_BLOCKS_A_MULTIPROCESSOR;
  const unsigned most = grid.x > 0 && room > grid.x ? room / grid.x : 1;
  if (grid.y > most) grid.y = most;
  return grid;
}

/** Forward on float32, bfloat16 or float16. Contract: gather.h. */
extern "C" void cz_gather_fwd_cuda(const cz_call *call) {
  const cz_arg *x = &call->in[CZ_GATHER_X], *rows = &call->in[CZ_GATHER_ROWS], *y = &call->out[0];
  const int64_t N = rows->dim[0], D = x->dim[1];
  cz_with_type(x->dtype > y->dtype ? x->dtype : y->dtype, [&](auto narrow) {
    typedef typename decltype(narrow)::type T;
    cz_with_type_beside<T>(x->dtype, [&](auto from) {
      cz_with_type_beside<T>(y->dtype, [&](auto to) {
        typedef typename decltype(from)::type X;
        typedef typename decltype(to)::type Y;
        const bool wide =
            cz_strip_wide(x->data, D, sizeof(X)) && cz_strip_wide(y->data, D, sizeof(Y));
        cz_with_flag(wide, [&](auto w) {
          cz_launch("gather forward", copy_rows<X, Y, decltype(w)::value>,
                    roomy_grid_of(call, N, D), THREADS, 0, call->stream, static_cast<Y *>(y->data),
                    static_cast<const X *>(x->data), static_cast<const int32_t *>(rows->data), N,
                    D);
        });
      });
    });
  });
}

/* The arrays of a sort of the call's rows, and what is made of it, at the cursor. */
static sorted lay_out(cz_sort *sort, const cz_call *call, uintptr_t *at) {
  sorted s = {};
  s.N = call->in[CZ_GATHER_ROWS].dim[0];
  s.T = call->in[CZ_GATHER_X].dim[0], s.D = call->in[CZ_GATHER_X].dim[1];
  *sort = cz_sort_of(s.N, s.T, at);
  s.begin = static_cast<int32_t *>(cz_take(at, (size_t)s.T * sizeof(int32_t)));
  s.end = static_cast<int32_t *>(cz_take(at, (size_t)s.T * sizeof(int32_t)));
  int64_t pieces = 0;
  for (int shift = PIECE; s.levels < LEVELS && (s.levels == 0 || pieces_of(s, shift) >= 1 << FAN);
       shift += FAN)
    s.levels++, pieces += pieces_of(s, shift);
  s.partial = static_cast<float *>(cz_take(at, (size_t)(pieces * s.D) * sizeof(float)));
  return s;
}

/* Nobody reads row PADDING, once it is known who reads which. */
template <class DX, class DY, bool WIDE>
static void add_sorted(const cz_call *call, const int32_t *rows, DX *dx, const DY *dy, bool add,
                       int padding) {
  cz_sort sort;
  uintptr_t at = (uintptr_t)call->workspace;
  sorted s = lay_out(&sort, call, &at);
  s.list = cz_sort_run(&sort, rows, call->stream);
  cz_cuda_zero(call->stream, s.end, (size_t)s.T * sizeof(int32_t));
  cz_launch("gather pieces", add_pieces<DY, WIDE>, grid_of(call, (s.N >> PIECE) + 1, s.D), THREADS,
            0, call->stream, s, dy);
  if (padding >= 0) cz_cuda_zero(call->stream, s.end + padding, sizeof *s.end);
  float *from = s.partial;
  for (int level = 1, shift = PIECE; level < s.levels; level++, shift += FAN) {
    float *to = from + pieces_of(s, shift) * s.D;
    cz_launch("gather partials", add_partials<WIDE>, grid_of(call, pieces_of(s, shift + FAN), s.D),
              THREADS, 0, call->stream, s, to, from, shift + FAN);
    from = to;
  }
  cz_launch("gather backward", put_rows<DX, DY, WIDE>, roomy_grid_of(call, s.T, s.D), THREADS, 0,
            call->stream, s, dx, dy, add);
}

/* Whether rows are sorted first: of many, and where one is left out. */
static bool is_sorted(const cz_call *call, int padding) {
  const int64_t N = call->in[CZ_GATHER_ROWS].dim[0];
  return N > FEW || (N > 0 && padding >= 0);
}

template <class DX, class DY>
static void add_any(const cz_call *call, DX *dx, const DY *dy, int padding) {
  const cz_arg *rows = &call->in[CZ_GATHER_ROWS], *x = &call->in[CZ_GATHER_X];
  const int64_t N = rows->dim[0], T = x->dim[0], D = x->dim[1];
  const int32_t *number = static_cast<const int32_t *>(rows->data);
  const bool add = call->mode[CZ_GATHER_X] == CZ_GRAD_ADD;
  cz_with_flag(cz_strip_wide(dx, D, sizeof(DX)) && cz_strip_wide(dy, D, sizeof(DY)), [&](auto w) {
    if (is_sorted(call, padding))
      add_sorted<DX, DY, decltype(w)::value>(call, number, dx, dy, add, padding);
    else
      cz_launch("gather backward few", look_through<DX, DY, decltype(w)::value>,
                roomy_grid_of(call, T, D), THREADS, 0, call->stream, dx, dy, number, (int)N, T, D,
                add);
  });
}

static void backward(const cz_call *call, int padding) {
  const cz_arg *dx = &call->din[CZ_GATHER_X], *dy = &call->dout[0];
  if (call->mode[CZ_GATHER_X] == CZ_GRAD_SKIP) return;
  cz_with_type(dy->dtype, [&](auto t) {
    typedef typename decltype(t)::type DY;
    cz_with_type_beside<DY>(dx->dtype, [&](auto to) {
      typedef typename decltype(to)::type DX;
      add_any(call, static_cast<DX *>(dx->data), static_cast<const DY *>(dy->data), padding);
    });
  });
}

/** Backward in float32, on float32, bfloat16 or float16. Contract: gather.h. */
extern "C" void cz_gather_bwd_cuda(const cz_call *call) { backward(call, -1); }

static int padding_of(const cz_call *call) {
  return static_cast<const cz_embedding_attr *>(call->attr)->padding - 1;
}

/** Backward in float32, on float32, bfloat16 or float16. Contract: embedding.h. */
extern "C" void cz_embedding_bwd_cuda(const cz_call *call) { backward(call, padding_of(call)); }

static size_t workspace(const cz_call *call, bool backward, int padding) {
  cz_sort sort;
  uintptr_t at = 0;
  if (!backward || call->mode[CZ_GATHER_X] == CZ_GRAD_SKIP) return 0;
  if (!is_sorted(call, padding)) return 0;
  lay_out(&sort, call, &at);
  return (size_t)at;
}

/** Bytes of workspace: of many rows, what is sorted, and the sums of pieces. */
extern "C" size_t cz_gather_workspace_cuda(const cz_call *call, bool backward) {
  return workspace(call, backward, -1);
}

/** Bytes of workspace, as gather's, and of few rows too where one is left out. */
extern "C" size_t cz_embedding_workspace_cuda(const cz_call *call, bool backward) {
  return workspace(call, backward, padding_of(call));
}
