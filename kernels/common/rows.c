#include "kernels/common/rows.h"

#include "kernels/common/cpu.h"
#include "kernels/common/piece.h"

/* 512 columns: 2 KiB of sums on the stack, and whole cache lines of every row of
 * `partial`. */
enum { COLUMNS = 512, ZEROED = 1 << 20 /* bytes that a thread clears at a time */ };

CZ_CLONES static void reduce_columns(float *out, const float *partial, int64_t blocks,
                                     int64_t stride, int64_t n, cz_grad_mode mode) {
  float sum[COLUMNS] = {0};
  for (int64_t b = 0; b < blocks; b++) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) sum[i] += partial[b * stride + i];
  }
  cz_piece_grad(out, CZ_F32, 0, n, sum, mode);
}

/** Adds the rows of PARTIAL [blocks, n] in order and writes or adds the sum to OUT [n].
 * Parallel over columns. */
void cz_rows_reduce(float *out, const float *partial, int64_t blocks, int64_t n,
                    cz_grad_mode mode) {
  if (mode == CZ_GRAD_SKIP) return;
#pragma omp parallel for schedule(static) if (blocks * n > 65536)
  for (int64_t i = 0; i < n; i += COLUMNS)
    reduce_columns(out + i, blocks ? partial + i : partial, blocks, n,
                   n - i < COLUMNS ? n - i : COLUMNS, mode);
}

/** sum += row, N numbers. */
CZ_CLONES void cz_row_add(float *sum, const float *row, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) sum[i] += row[i];
}

/** Readies the gradient of INPUT for a kernel that only adds: zeros when it is to be
 * written, and nothing else. Parallel when it is long. */
void cz_grad_begin(const cz_call *call, int input) {
  if (call->mode[input] != CZ_GRAD_WRITE) return;
  const cz_arg *d = &call->din[input];
  int64_t bytes = cz_numel(d) * (int64_t)cz_dtype_bytes(d->dtype);
#pragma omp parallel for schedule(static) if (bytes > ZEROED)
  for (int64_t i = 0; i < bytes; i += ZEROED)
    memset((char *)d->data + i, 0, (size_t)cz_minimum(bytes - i, ZEROED));
}
