/* Bound by memory. A thread takes sixteen bytes of the narrower array at once, and as many numbers
 * of the wider one, when all arrays begin at multiples of them; what is left is done number by
 * number. One rounding, as on the cpu. */
#include "kernels/add/add.h"
#include "kernels/common/device.cuh"
#include "kernels/common/dispatch.cuh"
#include "kernels/common/vector.cuh"

enum { THREADS = 256 };

/* y = a + b of N numbers, or y = b when A is null; y may be a or b. The first WIDE numbers are
 * taken EACH at once. */
template <class Y, class B, int EACH>
static __global__ void add(Y *y, const Y *a, const B *b, int64_t wide, int64_t n) {
  const int64_t step = (int64_t)gridDim.x * blockDim.x,
                first = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
  for (int64_t i = first * EACH; i < wide; i += step * EACH) {
    float left[EACH] = {}, right[EACH];
    cz_load_floats<EACH>(right, b + i);
    if (a) {
      cz_load_floats<EACH>(left, a + i);
      CZ_UNROLL
      for (int j = 0; j < EACH; j++) right[j] += left[j];
    }
    cz_store_floats<EACH>(y + i, right);
  }
  for (int64_t i = wide + first; i < n; i += step) {
    const float right = cz_float(b[i]);
    y[i] = cz_nearest<Y>(a ? cz_float(a[i]) + right : right);
  }
}

template <class Y, class B>
static void launch(const char *name, const cz_call *call, const cz_arg *y, const cz_arg *a,
                   const cz_arg *b, int64_t n) {
  enum { EACH = cz_each<Y, B>() };
  const void *left = a ? a->data : nullptr;
  const bool wide = cz_aligned_16(y->data) && cz_aligned_16(left) && cz_aligned_16(b->data);
  const int64_t groups = wide ? n / EACH : 0;
  const int64_t threads = groups > 0 ? groups : n;
  cz_launch(name, add<Y, B, EACH>, cz_blocks(call->stream, threads, THREADS), THREADS, 0,
            call->stream, static_cast<Y *>(y->data), static_cast<const Y *>(left),
            static_cast<const B *>(b->data), groups * EACH, n);
}

/* Y = A + B, or Y = B without A. One of Y and B may be float32 beside 16 bits of the other. */
static void add_arrays(const char *name, const cz_call *call, const cz_arg *y, const cz_arg *a,
                       const cz_arg *b, int64_t n) {
  cz_with_type(y->dtype > b->dtype ? y->dtype : b->dtype, [&](auto narrow) {
    typedef typename decltype(narrow)::type T;
    cz_with_type_beside<T>(y->dtype, [&](auto to) {
      cz_with_type_beside<T>(b->dtype, [&](auto from) {
        launch<typename decltype(to)::type, typename decltype(from)::type>(name, call, y, a, b, n);
      });
    });
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
