/* Bound by memory: the common loop (common/elementwise.cuh). */
#include "kernels/cast/cast.h"
#include "kernels/common/elementwise.cuh"

namespace {
/* y = x, rounded; ADD: y += x. */
template <class Y, class X> struct conversion {
  enum { EACH = cz_each<Y, X>() };
  Y *y;
  const X *x;
  bool add;

  __device__ void begin() {}

  template <int N> __device__ void at(int64_t i) const {
    float in[N];
    cz_load_floats<N>(in, x + i);
    cz_put_floats<N>(y + i, in, add);
  }
};
} // namespace

static void cast(const char *name, const cz_call *call, const cz_arg *to, const cz_arg *from,
                 cz_grad_mode mode) {
  if (mode == CZ_GRAD_SKIP) return;
  cz_with_types(to->dtype, from->dtype, [&](auto y, auto x) {
    typedef typename decltype(y)::type Y;
    typedef typename decltype(x)::type X;
    const conversion<Y, X> op = {static_cast<Y *>(to->data), static_cast<const X *>(from->data),
                                 mode == CZ_GRAD_ADD};
    cz_elementwise(name, call, op, cz_numel(from),
                   cz_aligned_16(to->data) && cz_aligned_16(from->data));
  });
}

/** Forward between float32 and bfloat16 or float16: y = x, rounded. Contract: cast.h. */
extern "C" void cz_cast_fwd_cuda(const cz_call *call) {
  cast("cast forward", call, &call->out[0], &call->in[CZ_CAST_X], CZ_GRAD_WRITE);
}

/** Backward between float32 and bfloat16 or float16: dx = dy, rounded. Contract: cast.h. */
extern "C" void cz_cast_bwd_cuda(const cz_call *call) {
  cast("cast backward", call, &call->din[CZ_CAST_X], &call->dout[0], call->mode[CZ_CAST_X]);
}
