/* Bound by memory. Squares of float32 have 48 bits and are exact in double, in which all sums run.
 *
 * An array is cut into runs, no more than fit into one more block, whose sums the second launch
 * adds: how, depends on the number of elements alone. */
#include "kernels/common/dispatch.cuh"
#include "kernels/common/sum.cuh"
#include "kernels/common/vector.cuh"
#include "kernels/sumsq/sumsq.h"

/* Elements of a run are a multiple of UNIT, so that all runs begin at multiples of 16 bytes if the
 * first one does. */
enum { THREADS = 256, LAST_THREADS = 1024, RUNS = 2048, UNIT = 8192 };

/* Elements of one run of N, and how many runs there are: one at least. */
static int64_t run_of(int64_t n) { return ((n + RUNS - 1) / RUNS + UNIT - 1) / UNIT * UNIT; }

static int64_t runs_of(int64_t n) { return n > 0 ? (n + run_of(n) - 1) / run_of(n) : 1; }

template <class T>
static __global__ void __launch_bounds__(THREADS)
    run_squares(double *partial, const T *x, int64_t n, int64_t run, bool wide) {
  enum { EACH = cz_pack<T>::N };
  const int64_t first = blockIdx.x * run, last = first + run < n ? first + run : n,
                packs = wide ? last - (last - first) % EACH : first;
  double sum = 0;
  for (int64_t i = first + threadIdx.x * EACH; i < packs; i += THREADS * EACH) {
    float each[EACH];
    cz_load_floats<EACH>(each, x + i);
    CZ_UNROLL
    for (int j = 0; j < EACH; j++) sum += (double)each[j] * each[j];
  }
  for (int64_t i = packs + threadIdx.x; i < last; i += THREADS) {
    const double one = cz_float(x[i]);
    sum += one * one;
  }
  sum = cz_block_sum(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

static __global__ void __launch_bounds__(LAST_THREADS)
    sum_runs(float *s, const double *partial, int64_t runs) {
  const double sum = cz_block_sum_of(partial, runs);
  if (threadIdx.x == 0) *s = (float)sum;
}

/** s = sum of x_i^2, summed in double and rounded once, of float32, bfloat16 or float16. Contract:
 * sumsq.h. */
extern "C" void cz_sumsq_fwd_cuda(const cz_call *call) {
  const cz_arg *x = &call->in[CZ_SUMSQ_X];
  const int64_t n = cz_numel(x), runs = runs_of(n);
  double *partial = static_cast<double *>(call->workspace);
  cz_with_type(x->dtype, [&](auto t) {
    typedef typename decltype(t)::type T;
    cz_launch("squares", run_squares<T>, (unsigned)runs, THREADS, 0, call->stream, partial,
              static_cast<const T *>(x->data), n, run_of(n), cz_aligned_16(x->data));
  });
  cz_launch("sum of squares", sum_runs, 1, LAST_THREADS, 0, call->stream,
            static_cast<float *>(call->out[CZ_SUMSQ_S].data), partial, runs);
}

/** Bytes of workspace: the sums of all runs, of any array up to this size. */
extern "C" size_t cz_sumsq_workspace_cuda(const cz_call *call, bool backward) {
  const int64_t n = cz_numel(&call->in[CZ_SUMSQ_X]), all = (n + UNIT - 1) / UNIT;
  return (size_t)(all < 1 ? 1 : all < RUNS ? all : (int64_t)RUNS) * sizeof(double);
}
