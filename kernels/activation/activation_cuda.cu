/* Bound by memory while an element costs less than some 40 instructions, which is why
 * activation.cuh takes exponentials from the special function unit: the common loop
 * (common/elementwise.cuh). */
#include "kernels/activation/activation.cuh"
#include "kernels/common/elementwise.cuh"

namespace {
/* y = act(x) gate; GATE may be null. */
template <class T, int KIND> struct values {
  enum { EACH = cz_each<T>() };
  T *y;
  const T *x, *gate;

  __device__ void begin() {}

  template <int N> __device__ void at(int64_t i) const {
    float in[N], factor[N];
    cz_load_floats<N>(in, x + i);
    cz_load_floats_or<N>(factor, gate, i, 1);
    CZ_UNROLL
    for (int j = 0; j < N; j++) in[j] = cz_activated<KIND>(in[j]) * factor[j];
    cz_store_floats<N>(y + i, in);
  }
};

/* y = act(x) gate:  dx = dy gate act'(x),  dgate = dy act(x). A null dx or dgate is not wanted; dx
 * may be dy. */
template <class T, int KIND> struct gradients {
  enum { EACH = cz_each<T>() };
  T *dx, *dgate;
  const T *dy, *x, *gate;
  bool add_x, add_gate;

  __device__ void begin() {}

  template <int N> __device__ void at(int64_t i) const {
    float in[N], out[N], to_x[N], to_gate[N], factor[N];
    cz_load_floats<N>(in, x + i);
    cz_load_floats<N>(out, dy + i);
    cz_load_floats_or<N>(factor, gate, i, 1);
    CZ_UNROLL
    for (int j = 0; j < N; j++) {
      to_x[j] = out[j] * factor[j] * cz_activation_slope_at<KIND>(in[j]);
      to_gate[j] = dgate ? out[j] * cz_activated<KIND>(in[j]) : 0;
    }
    if (dx) cz_put_floats<N>(dx + i, to_x, add_x);
    if (dgate) cz_put_floats<N>(dgate + i, to_gate, add_gate);
  }
};
} // namespace

static int kind_of(const cz_call *call) {
  return static_cast<const cz_activation_attr *>(call->attr)->kind;
}

/** Forward in float32, on float32, bfloat16 or float16. Contract: activation.h. */
extern "C" void cz_activation_fwd_cuda(const cz_call *call) {
  const cz_arg *x = &call->in[CZ_ACTIVATION_X], *gate = &call->in[CZ_ACTIVATION_GATE],
               *y = &call->out[0];
  const bool aligned =
      cz_aligned_16(x->data) && cz_aligned_16(gate->data) && cz_aligned_16(y->data);
  cz_with_type(x->dtype, [&](auto t) {
    typedef typename decltype(t)::type T;
    cz_with_activation(kind_of(call), [&](auto kind) {
      const values<T, decltype(kind)::value> op = {static_cast<T *>(y->data),
                                                   static_cast<const T *>(x->data),
                                                   static_cast<const T *>(gate->data)};
      cz_elementwise("activation forward", call, op, cz_numel(x), aligned);
    });
  });
}

/* The gradient that is wanted of INPUT, or null. */
template <class T> static T *wanted(const cz_call *call, int input) {
  return call->mode[input] == CZ_GRAD_SKIP ? nullptr : static_cast<T *>(call->din[input].data);
}

template <class T, int KIND> static void backward(const cz_call *call) {
  gradients<T, KIND> op = {};
  op.dx = wanted<T>(call, CZ_ACTIVATION_X);
  op.dgate = wanted<T>(call, CZ_ACTIVATION_GATE);
  op.dy = static_cast<const T *>(call->dout[0].data);
  op.x = static_cast<const T *>(call->in[CZ_ACTIVATION_X].data);
  op.gate = static_cast<const T *>(call->in[CZ_ACTIVATION_GATE].data);
  op.add_x = call->mode[CZ_ACTIVATION_X] == CZ_GRAD_ADD;
  op.add_gate = call->mode[CZ_ACTIVATION_GATE] == CZ_GRAD_ADD;
  const bool aligned = cz_aligned_16(op.dx) && cz_aligned_16(op.dgate) && cz_aligned_16(op.dy) &&
                       cz_aligned_16(op.x) && cz_aligned_16(op.gate);
  if (op.dx || op.dgate)
    cz_elementwise("activation backward", call, op, cz_numel(&call->in[CZ_ACTIVATION_X]), aligned);
}

/** Backward in float32, on float32, bfloat16 or float16. Contract: activation.h. */
extern "C" void cz_activation_bwd_cuda(const cz_call *call) {
  cz_with_type(call->in[CZ_ACTIVATION_X].dtype, [&](auto t) {
    cz_with_activation(kind_of(call), [&](auto kind) {
      backward<typename decltype(t)::type, decltype(kind)::value>(call);
    });
  });
}
