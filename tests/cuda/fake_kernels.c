/* Kernels, as the host sees them: they are put into the stream, or refused. */
#include "fake.h"
#include "numbers.h"

#include "cuda/context.h"
#include "kernels/add/add.h"
#include "kernels/attention_cudnn/attention_cudnn.h"
#include "kernels/common/launch.h"

#include <string.h>

typedef struct addition {
  float *y;
  const float *a, *b;
  int64_t n;
} addition;

static void run_add(void *argument) {
  addition s;
  memcpy(&s, argument, sizeof s);
  for (int64_t i = 0; i < s.n; i++) s.y[i] = s.a[i] + s.b[i];
}

static void launch(const cz_call *call, const char *name, const addition *s) {
  if (fake.refuse_launch) {
    fake.refuse_launch = false;
    (void)cudaSetDevice(1); /* an error that stays, as that of cudaFuncSetAttribute does */
    cz_cuda_launched(call->stream, name, cudaErrorLaunchOutOfResources);
    return;
  }
  fake_put(run_add, s, sizeof *s, 1e-3, true);
  cz_cuda_launched(call->stream, name, (int)cudaGetLastError()); /* as cz_launch does */
}

static void forward(const cz_call *call) {
  const addition s = {call->out[0].data, call->in[CZ_ADD_A].data, call->in[CZ_ADD_B].data,
                      cz_numel(&call->out[0])};
  launch(call, "add forward", &s);
}

static void backward(const cz_call *call) {
  const addition s = {call->din[0].data, call->din[0].data, call->dout[0].data,
                      cz_numel(&call->din[0])};
  launch(call, "add backward", &s);
}

/** cz_cuda_multiply, for tests. */
__attribute__((visibility("default"))) bool fake_multiply(void *stream,
                                                          const cz_cuda_product *product);

bool fake_multiply(void *stream, const cz_cuda_product *product) {
  return cz_cuda_multiply(stream, product);
}

/* ---- what cuDNN's attention needs of our own ---- */

typedef struct narrow_addition {
  void *y;
  const void *a, *b;
  int64_t n;
  cz_dtype dtype;
} narrow_addition;

static void run_narrow(void *argument) {
  narrow_addition s;
  memcpy(&s, argument, sizeof s);
  for (int64_t i = 0; i < s.n; i++)
    put_number(s.y, i, s.dtype, number_at(s.a, i, s.dtype) + number_at(s.b, i, s.dtype));
}

void cz_add_fwd_cuda(const cz_call *call) {
  const narrow_addition s = {call->out[0].data, call->in[CZ_ADD_A].data, call->in[CZ_ADD_B].data,
                             cz_numel(&call->out[0]), call->out[0].dtype};
  fake_put(run_narrow, &s, sizeof s, 1e-3, true);
  cz_cuda_launched(call->stream, "add forward", (int)cudaGetLastError());
}

typedef struct spans {
  cz_attention_cudnn_segments s;
  const int32_t *q, *k;
  int64_t B, Tq, Tk, heads, head;
} spans;

static bool fits(const int32_t *x, int64_t n, int64_t B, int64_t T, int64_t longest) {
  const int32_t before = n ? x[2 * n - 1] : 0;
  return x[2 * n] == before && x[2 * n + 1] > before && x[2 * n + 1] - before <= longest &&
         (n + 1 < B || x[2 * n + 1] == T);
}

static void run_segments(void *argument) {
  spans p;
  memcpy(&p, argument, sizeof p);
  const cz_attention_cudnn_segments *s = &p.s;
  int64_t good = 0;
  while (good < p.B && fits(p.q, good, p.B, p.Tq, s->longest_q) &&
         fits(p.k, good, p.B, p.Tk, s->longest_k))
    good++;
  if (good < p.B) *s->wrong = (int32_t)good + 1, p.B = p.Tq = p.Tk = 0;
  for (int64_t i = 0; i < s->groups * s->stride; i++) {
    const int64_t of_group = i % s->stride, n = i / s->stride * s->group + of_group;
    if (of_group > s->group) continue;
    const int64_t q = n < p.B ? p.q[2 * n] : p.Tq, k = n < p.B ? p.k[2 * n] : p.Tk;
    s->q_begin[i] = (int32_t)(q * p.heads * p.head);
    s->k_begin[i] = (int32_t)(k * p.heads * p.head);
    s->stats_begin[i] = (int32_t)(q * p.heads);
    if (of_group == s->group) continue;
    s->q_length[i] = n < p.B ? p.q[2 * n + 1] - p.q[2 * n] : 0;
    s->k_length[i] = n < p.B ? p.k[2 * n + 1] - p.k[2 * n] : 0;
  }
}

void cz_attention_cudnn_segments_cuda(const cz_call *call, const cz_attention_cudnn_segments *s) {
  const int heads = ((const cz_attention_cudnn_attr *)call->attr)->heads;
  const cz_arg *q = &call->in[CZ_ATTENTION_CUDNN_Q];
  const spans p = {*s,
                   call->in[CZ_ATTENTION_CUDNN_Q_SPANS].data,
                   call->in[CZ_ATTENTION_CUDNN_K_SPANS].data,
                   call->in[CZ_ATTENTION_CUDNN_Q_SPANS].dim[0],
                   q->dim[0],
                   call->in[CZ_ATTENTION_CUDNN_K].dim[0],
                   heads,
                   q->dim[1] / heads};
  fake_put(run_segments, &p, sizeof p, 1e-6, true);
  cz_cuda_launched(call->stream, "attention_cudnn segments", (int)cudaGetLastError());
}

/** As runtime/cuda/kernels.c, of what there is here. */
const cz_kernels *cz_cuda_kernels(cz_device *d, cz_op op, cz_dtype dtype) {
  static const cz_kernels add = {.forward = forward, .backward = backward};
  const bool narrow = dtype == CZ_BF16 || dtype == CZ_F16;
  if (op == CZ_OP_attention_cudnn && narrow && cz_cuda_module.cudnn)
    return &cz_cuda_module.cudnn->kernels;
  return op == CZ_OP_add && dtype == CZ_F32 ? &add : NULL;
}
