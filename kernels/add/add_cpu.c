/* Bound by memory: two numbers read and one written for each addition. One rounding, so y
 * is the float32 nearest to the exact sum, and the same on every processor. */
#include "kernels/add/add.h"
#include "kernels/common/cpu.h"
#include "kernels/common/piece.h"

/* 32 KiB of each array; below two chunks starting threads costs more than the sum. */
enum { CHUNK = 8192 };

CZ_CLONES static void add_chunk(float *y, const float *a, const float *b, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) y[i] = a[i] + b[i];
}

/* y may be a or b, and in backward d is both: each element is read before it is written,
 * and no element reads another. */
static void add_piece(const cz_arg *y, const cz_arg *a, const cz_arg *b, int64_t i, int64_t n) {
  float left[CZ_PIECE], right[CZ_PIECE];
  float *sum = cz_piece_room(y->data, y->dtype, i, left);
  add_chunk(sum, cz_piece_read(a->data, a->dtype, i, n, left),
            cz_piece_read(b->data, b->dtype, i, n, right), n);
  cz_piece_put(y->data, y->dtype, i, n, sum);
}

static void add_arrays(const cz_arg *y, const cz_arg *a, const cz_arg *b, int64_t n, int64_t each) {
#pragma omp parallel for schedule(static) if (n > (int64_t)2 * CHUNK)
  for (int64_t i = 0; i < n; i += each) add_piece(y, a, b, i, cz_minimum(n - i, each));
}

/* A gradient that passes through unchanged, but for the rounding to a narrower one: NaN and
 * infinity stay. */
static void copy_array(const cz_arg *to, const cz_arg *from, int64_t n, int64_t each) {
#pragma omp parallel for schedule(static) if (n > (int64_t)2 * CHUNK)
  for (int64_t i = 0; i < n; i += each) {
    float buffer[CZ_PIECE];
    int64_t k = cz_minimum(n - i, each);
    cz_piece_put(to->data, to->dtype, i, k, cz_piece_read(from->data, from->dtype, i, k, buffer));
  }
}

/** Forward in float32, on float32 or bfloat16. Contract: add.h. */
void cz_add_fwd_cpu(const cz_call *call) {
  add_arrays(&call->out[0], &call->in[CZ_ADD_A], &call->in[CZ_ADD_B], cz_numel(&call->out[0]),
             cz_piece_length(cz_call_dtype(call), CHUNK));
}

/** Backward in float32, on float32 or bfloat16. Contract: add.h. */
void cz_add_bwd_cpu(const cz_call *call) {
  const cz_arg *dy = &call->dout[0];
  const int64_t each = cz_piece_length(cz_call_dtype(call), CHUNK);
  for (int input = CZ_ADD_A; input <= CZ_ADD_B; input++) {
    const cz_arg *d = &call->din[input]; /* y = a + b:  da = dy,  db = dy */
    int64_t n = cz_numel(&call->in[input]);
    if (call->mode[input] == CZ_GRAD_ADD) add_arrays(d, d, dy, n, each);
    if (call->mode[input] == CZ_GRAD_WRITE && d->data != dy->data) copy_array(d, dy, n, each);
  }
}
