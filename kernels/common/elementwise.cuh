/* The grid's loop of kernels that are bound by memory and take element by element, of any shape: a
 * thread does EACH neighbours at once while they last, then what is left singly.
 *
 * OP is a struct that is given to the kernel by value, with what it needs and
 *
 *   enum { EACH };                                           cz_each of its arrays' types
 *   __device__ void begin();                                 once a thread
 *   template <int N> __device__ void at(int64_t i) const;    elements i to i + N - 1
 *
 * where N is EACH or 1, and reads by cz_load_floats<N> and writes by cz_store_floats<N>. Arrays may
 * share storage: at() reads its elements before it writes them. */
#ifndef CZ_KERNELS_COMMON_ELEMENTWISE_CUH
#define CZ_KERNELS_COMMON_ELEMENTWISE_CUH

#include "kernels/common/dispatch.cuh"
#include "kernels/common/vector.cuh"

enum { CZ_ELEMENTWISE_THREADS = 256 };

/* The first WIDE elements are taken EACH at once. */
template <class OP>
static __global__ void __launch_bounds__(CZ_ELEMENTWISE_THREADS, 5)
    cz_elementwise_kernel(OP given, int64_t wide, int64_t n) {
  const int64_t step = (int64_t)gridDim.x * blockDim.x,
                first = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
  OP op = given;
  op.begin();
  for (int64_t i = first * OP::EACH; i < wide; i += step * OP::EACH) op.template at<OP::EACH>(i);
  for (int64_t i = wide + first; i < n; i += step) op.template at<1>(i);
}

/* N elements of OP. ALIGNED: all its arrays begin at multiples of 16 bytes. */
template <class OP>
static inline void cz_elementwise(const char *name, const cz_call *call, const OP &op, int64_t n,
                                  bool aligned) {
  const int64_t groups = aligned ? n / OP::EACH : 0, threads = groups > 0 ? groups : n;
  cz_launch(name, cz_elementwise_kernel<OP>,
            cz_blocks(call->stream, threads, CZ_ELEMENTWISE_THREADS), CZ_ELEMENTWISE_THREADS, 0,
            call->stream, op, groups * OP::EACH, n);
}

#endif
