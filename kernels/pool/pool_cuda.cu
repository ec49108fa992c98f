/* A block takes a segment and a tile of columns: its eight rows of threads every eighth row,
 * sixteen bytes a thread. Forward their eight sums are added in order; backward the tile of dy is
 * divided once and written to every row. Each array is read or written once. */
#include "kernels/common/columns.cuh"
#include "kernels/common/spans.h"
#include "kernels/pool/pool.h"

enum {
  DEEP = CZ_COLUMNS_DEEP,
  THREADS = CZ_WARP * DEEP,
  AT_ONCE = 4 /* rows that are loaded before they are added */
};

template <class T, int EACH>
static __global__ void __launch_bounds__(THREADS)
    pool_rows(T *__restrict__ y, const T *__restrict__ x, const int32_t *__restrict__ spans,
              int64_t D) {
  typedef cz_column_tile<EACH> tile;
  CZ_SHARED(tile, sums, );
  const int64_t b = blockIdx.x, begin = spans[2 * b], end = spans[2 * b + 1],
                first = (int64_t)blockIdx.y * tile::COLUMNS, c = first + threadIdx.x * EACH;
  float sum[EACH] = {};
  for (int64_t t = begin + threadIdx.y; c < D && t < end; t += DEEP * AT_ONCE) {
    cz_numbers<EACH, T> v[AT_ONCE] = {};
    CZ_UNROLL
    for (int i = 0; i < AT_ONCE; i++)
      if (t + i * DEEP < end) cz_read(v[i], x + (t + i * DEEP) * D + c);
    CZ_UNROLL
    for (int i = 0; i < AT_ONCE; i++) {
      CZ_UNROLL
      for (int j = 0; j < EACH; j++) sum[j] += cz_number(v[i], j);
    }
  }
  sums.put(sum);
  __syncthreads();
  const float n = end > begin ? (float)(end - begin) : 1;
  for (int k = (int)(threadIdx.y * CZ_WARP + threadIdx.x); k < tile::COLUMNS; k += THREADS)
    if (first + k < D) y[b * D + first + k] = cz_nearest<T>(sums.column(k) / n);
}

namespace {
/* Backward. */
template <class T> struct spread {
  T *dx;
  const T *dy;
  const int32_t *spans;
  int64_t B, rows, D;
  bool add;
};
} // namespace

template <class T, int EACH>
static __global__ void __launch_bounds__(THREADS) spread_rows(spread<T> p) {
  CZ_SHARED(float, part, [EACH][CZ_WARP]);
  const cz_span s = cz_span_of(p.spans, p.B, blockIdx.x, p.rows);
  const int64_t c = ((int64_t)blockIdx.y * CZ_WARP + threadIdx.x) * EACH;
  const bool has = c < p.D && s.begin < s.end;
  float each[EACH] = {};
  if (has && threadIdx.y == 0) {
    cz_load_floats<EACH>(each, p.dy + blockIdx.x * p.D + c);
    CZ_UNROLL
    for (int i = 0; i < EACH; i++) part[i][threadIdx.x] = each[i] / (float)(s.end - s.begin);
  }
  __syncthreads();
  const float none[EACH] = {};
  for (int64_t t = s.before + threadIdx.y; c < p.D && !p.add && t < s.begin; t += DEEP)
    cz_store_floats<EACH>(p.dx + t * p.D + c, none);
  for (int64_t t = s.end + threadIdx.y; c < p.D && !p.add && t < s.after; t += DEEP)
    cz_store_floats<EACH>(p.dx + t * p.D + c, none);
  if (!has) return;
  CZ_UNROLL
  for (int i = 0; i < EACH; i++) each[i] = part[i][threadIdx.x];
  for (int64_t t = s.begin + threadIdx.y; t < s.end; t += DEEP)
    cz_put_floats<EACH>(p.dx + t * p.D + c, each, p.add);
}

template <int EACH> static dim3 grid_of(int64_t B, int64_t D) {
  return dim3((unsigned)B, (unsigned)((D + CZ_WARP * EACH - 1) / (CZ_WARP * EACH)));
}

/* Calls F with the type of T's and how many of them a thread takes at once of rows of D, of which
 * A and B have the first ones. */
template <class F>
static void with_each(cz_dtype dtype, const void *a, const void *b, int64_t D, F f) {
  cz_with_type(dtype, [&](auto t) {
    typedef typename decltype(t)::type T;
    const bool wide = cz_aligned_16(a) && cz_aligned_16(b) && D % cz_each<T>() == 0;
    cz_with_flag(wide, [&](auto w) {
      f(t, std::integral_constant < int, decltype(w)::value ? cz_each<T>() : 1 > ());
    });
  });
}

/** Forward on float32, bfloat16 or float16. Contract: pool.h. */
extern "C" void cz_pool_fwd_cuda(const cz_call *call) {
  const cz_arg *x = &call->in[CZ_POOL_X], *spans = &call->in[CZ_POOL_SPANS], *y = &call->out[0];
  const int64_t D = x->dim[1];
  with_each(x->dtype, x->data, nullptr, D, [&](auto t, auto each) {
    typedef typename decltype(t)::type T;
    constexpr int EACH = decltype(each)::value;
    cz_launch("pool forward", pool_rows<T, EACH>, grid_of<EACH>(spans->dim[0], D),
              dim3(CZ_WARP, DEEP), 0, call->stream, static_cast<T *>(y->data),
              static_cast<const T *>(x->data), static_cast<const int32_t *>(spans->data), D);
  });
}

/** Backward on float32, bfloat16 or float16. Contract: pool.h. */
extern "C" void cz_pool_bwd_cuda(const cz_call *call) {
  const cz_arg *x = &call->in[CZ_POOL_X], *spans = &call->in[CZ_POOL_SPANS],
               *dx = &call->din[CZ_POOL_X], *dy = &call->dout[0];
  const int64_t B = spans->dim[0], D = x->dim[1];
  if (call->mode[CZ_POOL_X] == CZ_GRAD_SKIP) return;
  if (B == 0) cz_cuda_zero_gradient(call, CZ_POOL_X);
  with_each(dy->dtype, dx->data, dy->data, D, [&](auto t, auto each) {
    typedef typename decltype(t)::type T;
    constexpr int EACH = decltype(each)::value;
    const spread<T> p = {static_cast<T *>(dx->data),
                         static_cast<const T *>(dy->data),
                         static_cast<const int32_t *>(spans->data),
                         B,
                         x->dim[0],
                         D,
                         call->mode[CZ_POOL_X] == CZ_GRAD_ADD};
    cz_launch("pool backward", spread_rows<T, EACH>, grid_of<EACH>(B, D), dim3(CZ_WARP, DEEP), 0,
              call->stream, p);
  });
}
