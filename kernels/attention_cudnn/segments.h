/* What cuDNN is told of segments, number by number: the arithmetic of attention_cudnn_cuda.cu, and
 * of the card that is none in tests/cuda. */
#ifndef CZ_KERNELS_ATTENTION_CUDNN_SEGMENTS_H
#define CZ_KERNELS_ATTENTION_CUDNN_SEGMENTS_H

#include "kernels/attention_cudnn/attention_cudnn.h"
#include "kernels/common/language.h"

typedef struct cz_segments_problem {
  cz_attention_cudnn_segments s;
  const int32_t *q, *k; /* spans, [B, 2] */
  int64_t B, Tq, Tk, heads, head;
} cz_segments_problem;

static inline cz_segments_problem cz_segments_of(const cz_call *call,
                                                 const cz_attention_cudnn_segments *s) {
  const cz_arg *q = &call->in[CZ_ATTENTION_CUDNN_Q];
  cz_segments_problem p;
  p.s = *s;
  p.q = (const int32_t *)call->in[CZ_ATTENTION_CUDNN_Q_SPANS].data;
  p.k = (const int32_t *)call->in[CZ_ATTENTION_CUDNN_K_SPANS].data;
  p.B = call->in[CZ_ATTENTION_CUDNN_Q_SPANS].dim[0];
  p.Tq = q->dim[0];
  p.Tk = call->in[CZ_ATTENTION_CUDNN_K].dim[0];
  p.heads = ((const cz_attention_cudnn_attr *)call->attr)->heads;
  p.head = q->dim[1] / p.heads;
  return p;
}

/* Whether SPANS[n] is a segment of T rows in all that cuDNN can be told of: attention_cudnn.h. */
static inline CZ_HOST_DEVICE bool cz_span_fits(const int32_t *spans, int64_t n, int64_t B,
                                               int64_t T, int64_t longest) {
  const int64_t begin = spans[2 * n], end = spans[2 * n + 1], before = n > 0 ? spans[2 * n - 1] : 0;
  return begin == before && end > begin && end - begin <= longest && (n + 1 < B || end == T);
}

static inline CZ_HOST_DEVICE bool cz_segment_fits(const cz_segments_problem *p, int64_t n) {
  return cz_span_fits(p->q, n, p->B, p->Tq, p->s.longest_q) &&
         cz_span_fits(p->k, n, p->B, p->Tk, p->s.longest_k);
}

/* No segments at all: what cuDNN then computes is nothing. */
static inline CZ_HOST_DEVICE void cz_segments_none(cz_segments_problem *p) {
  p->B = p->Tq = p->Tk = 0;
}

/* Writes element I, below groups * stride, of each array; the one behind a group is its end. */
static inline CZ_HOST_DEVICE void cz_segments_put(const cz_segments_problem *p, int64_t i) {
  const int64_t of_group = i % p->s.stride, n = i / p->s.stride * p->s.group + of_group;
  const bool there = n < p->B;
  const int64_t q = there ? p->q[2 * n] : p->Tq, k = there ? p->k[2 * n] : p->Tk;
  if (of_group > p->s.group) return;
  p->s.q_begin[i] = (int32_t)(q * p->heads * p->head);
  p->s.k_begin[i] = (int32_t)(k * p->heads * p->head);
  p->s.stats_begin[i] = (int32_t)(q * p->heads);
  if (of_group == p->s.group) return;
  p->s.q_length[i] = there ? p->q[2 * n + 1] - p->q[2 * n] : 0;
  p->s.k_length[i] = there ? p->k[2 * n + 1] - p->k[2 * n] : 0;
}

#endif
