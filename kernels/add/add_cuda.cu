/* Bound by memory: the common loop (common/elementwise.cuh). One rounding, as on the cpu. */
#include "kernels/add/add.h"
#include "kernels/common/elementwise.cuh"

namespace {
/* y = a + b, or y = b when A is null; y may be a or b. */
template <class Y, class B> struct sum {
  enum { EACH = cz_each<Y, B>() };
  Y *y;
  const Y *a;
  const B *b;

  __device__ void begin() {}

  template <int N> __device__ void at(int64_t i) const {
    float left[N] = {}, right[N];
    cz_load_floats<N>(right, b + i);
    if (a) {
      cz_load_floats<N>(left, a + i);
      CZ_UNROLL
      for (int j = 0; j < N; j++) right[j] += left[j];
    }
    cz_store_floats<N>(y + i, right);
  }
};
} // namespace

/* Y = A + B, or Y = B without A. One of Y and B may be float32 beside 16 bits of the other. */
static void add_arrays(const char *name, const cz_call *call, const cz_arg *y, const cz_arg *a,
                       const cz_arg *b, int64_t n) {
  const void *left = a ? a->data : nullptr;
  const bool aligned = cz_aligned_16(y->data) && cz_aligned_16(left) && cz_aligned_16(b->data);
  cz_with_types(y->dtype, b->dtype, [&](auto to, auto from) {
    typedef typename decltype(to)::type Y;
    typedef typename decltype(from)::type B;
    const sum<Y, B> op = {static_cast<Y *>(y->data), static_cast<const Y *>(left),
                          static_cast<const B *>(b->data)};
    cz_elementwise(name, call, op, n, aligned);
  });
}

/** Forward in float32, on float32, bfloat16 or float16. Contract: add.h. */
extern "C" void cz_add_fwd_cuda(const cz_call *call) {
  add_arrays("add forward", call, &call->out[0], &call->in[CZ_ADD_A], &call->in[CZ_ADD_B],
             cz_numel(&call->out[0]));
}

/** Backward in float32, on float32, bfloat16 or float16. Contract: add.h. */
extern "C" void cz_add_bwd_cuda(const cz_call *call) {
  const cz_arg *dy = &call->dout[0];
  for (int input = CZ_ADD_A; input <= CZ_ADD_B; input++) {
    const cz_arg *d = &call->din[input];
    const int64_t n = cz_numel(&call->in[input]);
    if (call->mode[input] == CZ_GRAD_ADD) add_arrays("add backward", call, d, d, dy, n);
    if (call->mode[input] == CZ_GRAD_WRITE && d->data != dy->data)
      add_arrays("add backward", call, d, nullptr, dy, n);
  }
}
