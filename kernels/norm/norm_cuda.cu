/* The norm forward, in one pass over the data: see norm.cuh for how rows are held.
 *
 * Products and sums are written so that no compiler joins them as it likes: h = x + residual M is
 * rounded twice, as by dropout and add, and y recomputed from the stored h has the first y's bits
 * although another instance of the kernel makes it. */
#include "kernels/norm/norm.cuh"

namespace {
/* A call as the kernel sees it. Absent: null. */
template <class X, class Y, class B> struct arrays : norm_rows {
  Y *y;
  X *h; /* with a residual */
  const X *x;
  const B *residual;
  const float *bias;
  float *rstd, *mean;
  bool layer;
  float eps;
};
} // namespace

/* r of a row whose squares sum to TOTAL; NaN where they overflow (norm.h). */
static __device__ float reciprocal_root(float total, int64_t D, float eps) {
  return fabsf(total) < INFINITY ? 1 / sqrtf(total / (float)D + eps) : NAN;
}

/* H = X + BRANCH M, rounded as it is stored; ELEMENT: of the first one in the dropout mask. */
template <class X, int EACH, class B>
static __device__ void add_branch(float h[EACH], const cz_numbers<EACH, B> &branch,
                                  const cz_dropout &dropout_mask, const cz_key &key,
                                  uint64_t element) {
  float b[EACH];
  CZ_UNROLL
  for (int i = 0; i < EACH; i++) b[i] = cz_number(branch, i);
  cz_dropout_multiply<EACH>(b, dropout_mask, key, element);
  CZ_UNROLL
  for (int i = 0; i < EACH; i++) h[i] = cz_rounded<X>(__fadd_rn(h[i], cz_rounded<B>(b[i])));
}

/* A row of h, in registers where they hold it, and stored where a residual is added. */
template <class X, class Y, class B, int EACH, int PACKS>
static __device__ void stream_row(float (*h)[EACH], const arrays<X, Y, B> &a, const norm_place &at,
                                  const cz_key &key, int64_t row, uint64_t element) {
  constexpr int KEPT = PACKS > 0 ? PACKS : 1;
  cz_numbers<EACH, X> x[KEPT];
  cz_numbers<EACH, B> branch[KEPT];
  const auto read = [&](int k, int64_t d) {
    cz_read(x[k], a.x + row + d);
    if (a.residual) cz_read(branch[k], a.residual + row + d);
  };
  if constexpr (PACKS > 0) norm_packs<EACH, PACKS>(at, a.D, read);
  norm_packs<EACH, PACKS>(at, a.D, [&](int k, int64_t d) {
    if constexpr (PACKS == 0) read(k, d);
    CZ_UNROLL
    for (int i = 0; i < EACH; i++) h[k][i] = cz_number(x[k], i);
    if (!a.residual) return;
    add_branch<X, EACH>(h[k], branch[k], a.dropout_mask, key, element + (uint64_t)d);
    cz_store_floats<EACH>(a.h + row + d, h[k]);
  });
}

/* F(h, d) for each pack of a row of h, which is held or read as it was stored. */
template <class X, class Y, class B, int EACH, int PACKS, class F>
static __device__ void for_row(float (*h)[EACH], const arrays<X, Y, B> &a, const norm_place &at,
                               int64_t row, F f) {
  norm_packs<EACH, PACKS>(at, a.D, [&](int k, int64_t d) {
    if constexpr (PACKS == 0) cz_load_floats<EACH>(h[k], (a.residual ? a.h : a.x) + row + d);
    f(h[k], d);
  });
}

/* Warps that a multiprocessor has at once, whose threads hold CHANNELS numbers each of x, of the
 * branch and of h: some 60 registers come to those. None are held: what is read anew needs few. */
template <class X, class B> constexpr int warps_at_once(int channels) {
  const int words = channels * (int)(sizeof(float) + sizeof(X) + sizeof(B)) / 4;
  return words == 0 ? 24 : words <= 32 ? 20 : words <= 48 ? 16 : words <= 80 ? 12 : 8;
}

template <class X, class B> constexpr int blocks_at_once(int channels) {
  return warps_at_once<X, B>(channels) * CZ_WARP / norm_threads(channels);
}

template <class X, class Y, class B, int EACH, int PACKS>
static __global__ void __launch_bounds__(norm_threads(PACKS *EACH),
                                         blocks_at_once<X, B>(PACKS *EACH))
    forward(arrays<X, Y, B> a) {
  CZ_SHARED(float, parts, [2][NORM_WARPS][2]);
  CZ_SHARED_DYNAMIC(float, gain);
  const int64_t room = norm_room<EACH>(a.D);
  float *const bias = gain + room;
  const norm_place at = norm_place_of(a);
  const cz_key key = cz_random_key(a.dropout_mask.random);
  cz_segment segment = cz_segment_none();
  int turn = 0;
  if constexpr (PACKS > 0) {
    norm_stage<EACH>(gain, a.gain, a.D);
    if (a.bias) norm_stage<EACH>(bias, a.bias, a.D);
    __syncthreads();
  }
  for (int64_t t = at.first; t < at.end; t++) {
    float h[PACKS > 0 ? PACKS : 1][EACH], sum[1] = {}, m = 0;
    const int64_t row = t * a.D;
    stream_row<X, Y, B, EACH, PACKS>(h, a, at, key, row,
                                     cz_dropout_first(segment, a.dropout_mask, t, a.D));
    if (a.layer) {
      for_row<X, Y, B, EACH, PACKS>(h, a, at, row, [&](const float *x, int64_t d) {
        for (int i = 0; i < EACH; i++) sum[0] += x[i];
      });
      norm_sum<1>(sum, at, parts, turn);
      m = sum[0] / (float)a.D, sum[0] = 0;
    }
    for_row<X, Y, B, EACH, PACKS>(h, a, at, row, [&](const float *x, int64_t d) {
      for (int i = 0; i < EACH; i++) sum[0] = fmaf(x[i] - m, x[i] - m, sum[0]);
    });
    norm_sum<1>(sum, at, parts, turn);
    const float r = reciprocal_root(sum[0], a.D, a.eps);
    for_row<X, Y, B, EACH, PACKS>(h, a, at, row, [&](const float *x, int64_t d) {
      float y[EACH], g[EACH], b[EACH];
      norm_constant<EACH, PACKS>(g, gain, a.gain, d, room, 1);
      norm_constant<EACH, PACKS>(b, bias, a.bias, d, room, 0);
      for (int i = 0; i < EACH; i++) y[i] = fmaf(__fmul_rn(x[i] - m, r), g[i], b[i]);
      cz_store_floats<EACH>(a.y + row + d, y);
    });
    if (at.lane == 0 && a.rstd) a.rstd[t] = r;
    if (at.lane == 0 && a.mean) a.mean[t] = m;
  }
}

template <class X, class Y, class B> static arrays<X, Y, B> unpack(const cz_call *call) {
  const cz_norm_attr *attr = static_cast<const cz_norm_attr *>(call->attr);
  const cz_arg *residual = &call->in[CZ_NORM_RESIDUAL];
  arrays<X, Y, B> a = {};
  static_cast<norm_rows &>(a) = norm_rows_of(call);
  a.y = static_cast<Y *>(call->out[CZ_NORM_Y].data);
  a.x = static_cast<const X *>(call->in[CZ_NORM_X].data);
  a.bias = static_cast<const float *>(call->in[CZ_NORM_BIAS].data);
  a.rstd = static_cast<float *>(call->out[CZ_NORM_RSTD].data);
  a.mean = static_cast<float *>(call->out[CZ_NORM_MEAN].data);
  a.layer = attr->kind == CZ_NORM_LAYER;
  a.eps = (float)attr->eps;
  if (!residual->data) return a;
  a.residual = static_cast<const B *>(residual->data);
  a.h = static_cast<X *>(call->out[CZ_NORM_H].data);
  return a;
}

template <class X, class Y, class B, int EACH, int PACKS>
static void launch(const cz_call *call, arrays<X, Y, B> a, norm_way way) {
  const int warps = warps_at_once<X, B>(PACKS * EACH);
  const int64_t blocks = norm_cut(&a, way, norm_resident(call->stream, way, warps));
  const size_t room = PACKS > 0 ? (a.bias ? 2 : 1) * (size_t)norm_room<EACH>(a.D) * 4 : 0;
  cz_launch("norm forward", forward<X, Y, B, EACH, PACKS>, (unsigned)blocks,
            way.teams * way.warps * CZ_WARP, room, call->stream, a);
}

template <class X, class Y, class B> static void run(const cz_call *call) {
  const arrays<X, Y, B> a = unpack<X, Y, B>(call);
  const bool aligned =
      cz_aligned_16(a.x) && cz_aligned_16(a.y) && cz_aligned_16(a.h) && cz_aligned_16(a.residual);
  norm_with_way<X, Y, B>(a.D, aligned, [&](auto each, auto packs, norm_way way) {
    launch<X, Y, B, decltype(each)::value, decltype(packs)::value>(call, a, way);
  });
}

/** Forward in float32, on float32, bfloat16 or float16. Contract: norm.h. */
extern "C" void cz_norm_fwd_cuda(const cz_call *call) {
  norm_with_types(call, [&](auto x, auto y, auto b) {
    run<typename decltype(x)::type, typename decltype(y)::type, typename decltype(b)::type>(call);
  });
}
