/* Bound by memory: the mask costs some ten instructions an element, an eighth of a call of Philox.
 * Masks of their own for each element are drawn in the common loop (common/elementwise.cuh), since
 * an element's number is its place in the array. With one mask for a segment a warp takes rows. */
#include "kernels/common/dropout.cuh"
#include "kernels/common/elementwise.cuh"
#include "kernels/dropout/dropout.h"

enum { WARPS = 4 }; /* of a block */

namespace {
/* One pass, forward or backward: both multiply by the mask. TO may be FROM. */
template <class T> struct pass {
  enum { EACH = cz_each<T>() };
  T *to;
  const T *from;
  bool add;
  cz_dropout dropout_mask;
  cz_key key;

  __device__ void begin() { key = cz_random_key(dropout_mask.random); }

  /* N elements at I, whose numbers in the mask begin with ELEMENT. */
  template <int N> __device__ void multiply(int64_t i, uint64_t element) const {
    float x[N];
    cz_load_floats<N>(x, from + i);
    cz_dropout_multiply<N>(x, dropout_mask, key, element);
    cz_put_floats<N>(to + i, x, add);
  }

  template <int N> __device__ void at(int64_t i) const { multiply<N>(i, (uint64_t)i); }
};
} // namespace

/* EACH neighbouring rows a warp, N channels a lane. */
template <class T, int N>
static __global__ void __launch_bounds__(WARPS *CZ_WARP)
    rows(pass<T> given, int64_t R, int64_t D, int64_t each) {
  const int64_t first = ((int64_t)blockIdx.x * WARPS + threadIdx.x / CZ_WARP) * each;
  const int64_t end = first + each < R ? first + each : R;
  pass<T> p = given;
  cz_segment segment = cz_segment_none();
  p.begin();
  for (int64_t t = first; t < end; t++) {
    const uint64_t element = cz_dropout_first(segment, p.dropout_mask, t, D);
    for (int64_t d = cz_lane() * N; d < D; d += CZ_WARP * N)
      p.template multiply<N>(t * D + d, element + (uint64_t)d);
  }
}

template <class T>
static void launch_rows(const char *name, const cz_call *call, const pass<T> &p, bool aligned) {
  const int64_t R = call->in[CZ_DROPOUT_X].dim[0], D = call->in[CZ_DROPOUT_X].dim[1];
  const int64_t each = cz_rows_each(call->stream, R, WARPS);
  const unsigned blocks = (unsigned)((R + each * WARPS - 1) / (each * WARPS));
  const bool wide = aligned && D % pass<T>::EACH == 0;
  cz_launch(name, wide ? rows<T, pass<T>::EACH> : rows<T, 1>, blocks, WARPS * CZ_WARP, 0,
            call->stream, p, R, D, each);
}

static void multiply(const char *name, const cz_call *call, const cz_arg *to, const cz_arg *from,
                     cz_grad_mode mode) {
  const cz_dropout_attr *attr = static_cast<const cz_dropout_attr *>(call->attr);
  if (mode == CZ_GRAD_SKIP) return;
  cz_with_type(call->in[CZ_DROPOUT_X].dtype, [&](auto t) {
    typedef typename decltype(t)::type T;
    pass<T> p = {};
    p.to = static_cast<T *>(to->data), p.from = static_cast<const T *>(from->data);
    p.add = mode == CZ_GRAD_ADD;
    p.dropout_mask = cz_dropout_of(call, attr->p, attr->share_segment, &call->in[CZ_DROPOUT_SPANS]);
    const bool aligned = cz_aligned_16(p.to) && cz_aligned_16(p.from);
    if (p.dropout_mask.spans)
      launch_rows(name, call, p, aligned);
    else
      cz_elementwise(name, call, p, cz_numel(&call->in[CZ_DROPOUT_X]), aligned);
  });
}

/** Forward in float32, on float32, bfloat16 or float16: y = x factor. Contract: dropout.h. */
extern "C" void cz_dropout_fwd_cuda(const cz_call *call) {
  multiply("dropout forward", call, &call->out[0], &call->in[CZ_DROPOUT_X], CZ_GRAD_WRITE);
}

/** Backward in float32, on float32, bfloat16 or float16: y = x factor, so dx = dy factor. Contract:
 * dropout.h. */
extern "C" void cz_dropout_bwd_cuda(const cz_call *call) {
  multiply("dropout backward", call, &call->din[CZ_DROPOUT_X], &call->dout[0],
           call->mode[CZ_DROPOUT_X]);
}
