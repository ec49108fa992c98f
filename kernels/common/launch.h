/* What the CUDA kernels' launchers need of the device that they run on: functions of its module
 * (runtime/cuda), and of the emulator in its place. STREAM is cz_call.stream, opaque here. */
#ifndef CZ_KERNELS_COMMON_LAUNCH_H
#define CZ_KERNELS_COMMON_LAUNCH_H

#include "kernels/op.h"

CZ_C_BEGIN

/* The CUDA stream, a cudaStream_t, in which the device's work is ordered. */
void *cz_cuda_stream_of(void *stream);

/* Multiprocessors of the card. */
int cz_cuda_multiprocessors(void *stream);

/* Bytes of shared memory that a block can have: 227 KiB on sm_90, 163 on sm_80, 99 on sm_86, sm_89
 * and sm_120. */
size_t cz_cuda_shared(void *stream);

/* A launch asks for more dynamic shared memory than this. Without asking a block has 48 KiB, which
 * its static arrays, of a few KiB at most, take their part of. */
enum { CZ_SHARED_WITHOUT_ASKING = 32 * 1024 };

/* Called after every launch with its cudaError_t, 0 when it went well. The first error is kept
 * until the engine asks for it (cz_device.failed); the kernel's name, a literal, goes to the ring
 * of last launches. */
void cz_cuda_launched(void *stream, const char *kernel, int error);

/* Sets BYTES to zero, in the stream's order. */
void cz_cuda_zero(void *stream, void *p, size_t bytes);

/* The gradient of INPUT where nothing reaches it: zeros when it is written, what is there when it
 * is added to. */
static inline void cz_cuda_zero_gradient(const cz_call *call, int input) {
  const cz_arg *d = &call->din[input];
  if (call->mode[input] == CZ_GRAD_WRITE)
    cz_cuda_zero(call->stream, d->data,
                 (size_t)cz_numel(&call->in[input]) * cz_dtype_bytes(d->dtype));
}

/* What is done to a product's sum, in the order of its members, before it is rounded to C. */
typedef struct cz_cuda_epilogue {
  const void *bias; /* [n] of C's dtype, of each column; null: none */
  void *pre;        /* [m, n] of C's dtype and row stride: the sum with the bias, before the
                       activation; null: not kept */
  int activation;   /* cz_activation_kind */
} cz_cuda_epilogue;

/* C = alpha A B + beta C, then the epilogue. C [m, n], A [m, k], B [k, n], all row-major with
 * strides of rows in elements; a transposed one is stored as [k, m] or [n, k]. Sums are made in
 * float32. */
typedef struct cz_cuda_product {
  void *c;
  const void *a, *b;
  int64_t m, n, k;
  int64_t ldc, lda, ldb;
  bool transposed_a, transposed_b;
  cz_dtype in, out; /* of A and B: f32, bf16 or fp16; of C: that or f32 */
  float alpha, beta;
  cz_cuda_epilogue epilogue;
} cz_cuda_product;

/* Makes the product in the stream's order. In one process the same call gives the same bits on one
 * card, whatever ran before; the bits of a row may change with the number of rows. False, with
 * nothing done, when the device's library has no such epilogue: then the caller asks without one.
 * m, n or k may be 0; a sum of no terms has no epilogue, and beta 0 or 1. */
bool cz_cuda_multiply(void *stream, const cz_cuda_product *product);

CZ_C_END

#endif
