/* The arrays by which cuDNN knows segments, from their spans. */
#include "kernels/attention_cudnn/attention_cudnn.h"
#include "kernels/common/device.cuh"

namespace {
enum { THREADS = 256 };

struct problem {
  cz_attention_cudnn_segments s;
  const int32_t *q, *k; /* [B, 2] */
  int64_t B, Tq, Tk, heads, head;
};

/* Whether SPANS[n] is a segment of T rows that cuDNN can be told of, as the contract says. */
__device__ bool fits(const int32_t *spans, int64_t n, int64_t B, int64_t T, int64_t longest) {
  const int64_t begin = spans[2 * n], end = spans[2 * n + 1],
                before = n > 0 ? (int64_t)spans[2 * n - 1] : 0;
  return begin == before && end > begin && end - begin <= longest && (n + 1 < B || end == T);
}

/* One block: the first segment that does not fit makes all of them empty. */
__global__ void segments(problem p) {
  CZ_SHARED(int32_t, bad, [THREADS]); /* of each thread's segments the first one */
  int32_t first = INT32_MAX;
  for (int64_t n = p.B - 1 - threadIdx.x; n >= 0; n -= THREADS)
    if (!fits(p.q, n, p.B, p.Tq, p.s.longest_q) || !fits(p.k, n, p.B, p.Tk, p.s.longest_k))
      first = (int32_t)n;
  bad[threadIdx.x] = first;
  __syncthreads();
  for (int i = 0; i < THREADS; i++) first = bad[i] < first ? bad[i] : first;
  const bool good = first == INT32_MAX;
  if (threadIdx.x == 0 && !good && p.s.wrong) *p.s.wrong = first + 1;
  for (int64_t i = threadIdx.x; i < p.s.groups * p.s.stride; i += THREADS) {
    const int64_t of_group = i % p.s.stride, n = i / p.s.stride * p.s.group + of_group;
    const bool there = good && n < p.B;
    const int64_t q = there  ? p.q[2 * n]
                      : good ? p.Tq
                             : 0,
                  k = there  ? p.k[2 * n]
                      : good ? p.Tk
                             : 0;
    if (of_group > p.s.group) continue;
    p.s.q_begin[i] = (int32_t)(q * p.heads * p.head);
    p.s.k_begin[i] = (int32_t)(k * p.heads * p.head);
    p.s.stats_begin[i] = (int32_t)(q * p.heads);
    if (of_group == p.s.group) continue;
    p.s.q_length[i] = there ? p.q[2 * n + 1] - p.q[2 * n] : 0;
    p.s.k_length[i] = there ? p.k[2 * n + 1] - p.k[2 * n] : 0;
  }
}
} // namespace

/** As attention_cudnn.h says. */
extern "C" void cz_attention_cudnn_segments_cuda(const cz_call *call,
                                                 const cz_attention_cudnn_segments *s) {
  const cz_attention_cudnn_attr *a = static_cast<const cz_attention_cudnn_attr *>(call->attr);
  const cz_arg *q = &call->in[CZ_ATTENTION_CUDNN_Q];
  problem p;
  p.s = *s;
  p.q = static_cast<const int32_t *>(call->in[CZ_ATTENTION_CUDNN_Q_SPANS].data);
  p.k = static_cast<const int32_t *>(call->in[CZ_ATTENTION_CUDNN_K_SPANS].data);
  p.B = call->in[CZ_ATTENTION_CUDNN_Q_SPANS].dim[0];
  p.Tq = q->dim[0];
  p.Tk = call->in[CZ_ATTENTION_CUDNN_K].dim[0];
  p.heads = a->heads;
  p.head = q->dim[1] / a->heads;
  cz_launch("attention_cudnn segments", segments, dim3(1), dim3(THREADS), 0, call->stream, p);
}
