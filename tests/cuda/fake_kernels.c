/* Two kernels, as the host sees them: they are put into the stream, or refused. */
#include "fake.h"

#include "cuda/context.h"
#include "kernels/add/add.h"
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

/** As runtime/cuda/kernels.c, of what there is here. */
const cz_kernels *cz_cuda_kernels(cz_device *d, cz_op op, cz_dtype dtype) {
  static const cz_kernels add = {.forward = forward, .backward = backward};
  return op == CZ_OP_add && dtype == CZ_F32 ? &add : NULL;
}
