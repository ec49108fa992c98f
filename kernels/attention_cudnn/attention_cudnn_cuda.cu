/* The arrays by which cuDNN knows segments, from their spans. */
#include "kernels/attention_cudnn/segments.h"
#include "kernels/common/device.cuh"

namespace {
enum { THREADS = 256 };

/* One block: the first segment that does not fit makes all of them empty. */
__global__ void segments(cz_segments_problem p) {
  CZ_SHARED(int32_t, bad, [THREADS]); /* of each thread's segments the first one */
  int32_t first = INT32_MAX;
  for (int64_t n = p.B - 1 - threadIdx.x; n >= 0; n -= THREADS)
    if (!cz_segment_fits(&p, n)) first = (int32_t)n;
  bad[threadIdx.x] = first;
  __syncthreads();
  for (int i = 0; i < THREADS; i++) first = bad[i] < first ? bad[i] : first;
  if (first < INT32_MAX) {
    if (threadIdx.x == 0 && p.s.wrong) *p.s.wrong = first + 1;
    cz_segments_none(&p);
  }
  for (int64_t i = threadIdx.x; i < p.s.groups * p.s.stride; i += THREADS) cz_segments_put(&p, i);
}
} // namespace

/** As attention_cudnn.h says. */
extern "C" void cz_attention_cudnn_segments_cuda(const cz_call *call,
                                                 const cz_attention_cudnn_segments *s) {
  cz_launch("attention_cudnn segments", segments, dim3(1), dim3(THREADS), 0, call->stream,
            cz_segments_of(call, s));
}
