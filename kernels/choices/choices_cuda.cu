/* A warp takes a candidate. Forward is one block: a batch has some hundred candidates, and their
 * scores are ready for the loss without a second launch. */
#include "kernels/choices/choices_hinge.h"
#include "kernels/common/dispatch.cuh"
#include "kernels/common/sum.cuh"

enum { THREADS = 512, BACK_WARPS = 8, BACK_THREADS = BACK_WARPS * CZ_WARP };

static __global__ void __launch_bounds__(THREADS) score(cz_choices c) {
  const int lane = cz_lane();
  for (int64_t k = threadIdx.x / CZ_WARP; k < c.K; k += THREADS / CZ_WARP) {
    const int64_t begin = c.rows[2 * k], end = c.rows[2 * k + 1];
    double sum = 0;
    for (int64_t i = begin + lane; i < end; i += CZ_WARP) sum += c.nll[i];
    sum = cz_warp_sum(sum);
    if (lane == 0) c.scores[k] = (float)(0 - sum / cz_choices_divisor(&c, end - begin));
  }
  __syncthreads();
  double loss = 0;
  for (int64_t b = threadIdx.x; b < c.B; b += THREADS) loss += cz_choices_loss(&c, b);
  loss = cz_block_sum(loss);
  if (threadIdx.x == 0) *c.loss = c.right ? (float)(loss / *c.denominator) : 0;
}

static inline __device__ void clear_rows(const cz_choices &c, int64_t begin, int64_t end) {
  for (int64_t i = begin + cz_lane(); i < end && !c.add; i += CZ_WARP) c.dnll[i] = 0;
}

static __global__ void __launch_bounds__(BACK_THREADS) pass_on(cz_choices c) {
  for (int64_t k = (int64_t)blockIdx.x * BACK_WARPS + threadIdx.x / CZ_WARP; k < c.K;
       k += (int64_t)gridDim.x * BACK_WARPS) {
    const cz_span s = cz_span_of(c.rows, c.K, k, c.R);
    const float g = cz_choices_gradient(&c, k, s.end - s.begin);
    clear_rows(c, s.before, s.begin);
    clear_rows(c, s.end, s.after);
    for (int64_t i = s.begin + cz_lane(); i < s.end; i += CZ_WARP)
      c.dnll[i] = c.add ? c.dnll[i] + g : g;
  }
}

/** Loss and scores, in one launch. Contract: choices.h. */
extern "C" void cz_choices_fwd_cuda(const cz_call *call) {
  cz_launch("choices forward", score, 1, THREADS, 0, call->stream, cz_choices_of(call));
}

/** Gradient of nll, in one launch. Contract: choices.h. */
extern "C" void cz_choices_bwd_cuda(const cz_call *call) {
  const cz_choices c = cz_choices_of(call);
  if (call->mode[CZ_CHOICES_NLL] == CZ_GRAD_SKIP) return;
  if (c.K == 0) cz_cuda_zero_gradient(call, CZ_CHOICES_NLL);
  cz_launch("choices backward", pass_on, cz_blocks(call->stream, c.K, BACK_WARPS), BACK_THREADS, 0,
            call->stream, c);
}
