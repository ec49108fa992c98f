/* Kernels, as the host sees them: they are put into the stream, or refused. */
#include "fake.h"
#include "numbers.h"

#include "cuda/context.h"
#include "kernels/add/add.h"
#include "kernels/attention_cudnn/segments.h"
#include "kernels/common/launch.h"

#include <string.h>

typedef struct addition {
  void *y;
  const void *a, *b;
  int64_t n;
  cz_dtype dtype;
} addition;

static void run_add(void *argument) {
  addition s;
  memcpy(&s, argument, sizeof s);
  for (int64_t i = 0; i < s.n; i++)
    put_number(s.y, i, s.dtype, number_at(s.a, i, s.dtype) + number_at(s.b, i, s.dtype));
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

void cz_add_fwd_cuda(const cz_call *call) {
  const addition s = {call->out[0].data, call->in[CZ_ADD_A].data, call->in[CZ_ADD_B].data,
                      cz_numel(&call->out[0]), call->out[0].dtype};
  launch(call, "add forward", &s);
}

static void backward(const cz_call *call) {
  const addition s = {call->din[0].data, call->din[0].data, call->dout[0].data,
                      cz_numel(&call->din[0]), call->din[0].dtype};
  launch(call, "add backward", &s);
}

/** cz_cuda_multiply, for tests. */
__attribute__((visibility("default"))) bool fake_multiply(void *stream,
                                                          const cz_cuda_product *product);

bool fake_multiply(void *stream, const cz_cuda_product *product) {
  return cz_cuda_multiply(stream, product);
}

static void run_segments(void *argument) {
  cz_segments_problem p;
  int64_t n = 0;
  memcpy(&p, argument, sizeof p);
  while (n < p.B && cz_segment_fits(&p, n)) n++;
  if (n < p.B) {
    *p.s.wrong = (int32_t)n + 1;
    cz_segments_none(&p);
  }
  for (int64_t i = 0; i < p.s.groups * p.s.stride; i++) cz_segments_put(&p, i);
}

void cz_attention_cudnn_segments_cuda(const cz_call *call, const cz_attention_cudnn_segments *s) {
  const cz_segments_problem p = cz_segments_of(call, s);
  fake_put(run_segments, &p, sizeof p, 1e-6, true);
  cz_cuda_launched(call->stream, "attention_cudnn segments", (int)cudaGetLastError());
}

/** As runtime/cuda/kernels.c, of what there is here. */
const cz_kernels *cz_cuda_kernels(cz_device *d, cz_op op, cz_dtype dtype) {
  static const cz_kernels add = {.forward = cz_add_fwd_cuda, .backward = backward};
  return op == CZ_OP_add && dtype == CZ_F32 ? &add : NULL;
}
