/* Bound by memory: two numbers read and one written for each addition. One rounding, so y
 * is the float32 nearest to the exact sum, and the same on every processor. */
#include "kernels/add/add.h"
#include "kernels/common/cpu.h"

/* 32 KiB of each array; below two chunks starting threads costs more than the sum. */
enum { CHUNK = 8192 };

CZ_CLONES static void add_chunk(float *y, const float *a, const float *b, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) y[i] = a[i] + b[i];
}

/* y may be a or b, and in backward d is both: each element is read before it is written,
 * and no element reads another. */
static void add_arrays(float *y, const float *a, const float *b, int64_t n) {
#pragma omp parallel for schedule(static) if (n > (int64_t)2 * CHUNK)
  for (int64_t i = 0; i < n; i += CHUNK)
    add_chunk(y + i, a + i, b + i, n - i < CHUNK ? n - i : CHUNK);
}

/* A gradient that passes through unchanged: no rounding, and NaN and infinity stay. */
static void copy_array(float *to, const float *from, int64_t n) {
#pragma omp parallel for schedule(static) if (n > (int64_t)2 * CHUNK)
  for (int64_t i = 0; i < n; i += CHUNK)
    memcpy(to + i, from + i, (size_t)(n - i < CHUNK ? n - i : CHUNK) * sizeof *to);
}

/** Forward in float32. Contract: add.h. */
void cz_add_fwd_cpu(const cz_call *call) {
  add_arrays(call->out[0].data, call->in[CZ_ADD_A].data, call->in[CZ_ADD_B].data,
             cz_numel(&call->out[0]));
}

/** Backward in float32. Contract: add.h. */
void cz_add_bwd_cpu(const cz_call *call) {
  const float *dy = call->dout[0].data;
  for (int input = CZ_ADD_A; input <= CZ_ADD_B; input++) {
    float *d = call->din[input].data; /* y = a + b:  da = dy,  db = dy */
    int64_t n = cz_numel(&call->in[input]);
    if (call->mode[input] == CZ_GRAD_ADD) add_arrays(d, d, dy, n);
    if (call->mode[input] == CZ_GRAD_WRITE && d != dy) copy_array(d, dy, n);
  }
}
