/* Gradients of float32 CPU kernels: sums over rows with a fixed tree, and how a gradient
 * meets what is there.
 *
 * A sum over T rows is cut into blocks whose size depends on T only. A thread sums one
 * block at a time, rows in order, into a row of `partial` [blocks, n]; then the blocks
 * are added in order. So the bits do not depend on the number of threads.
 *
 * Error: a number goes through at most T / 64 + 64 additions in float32 for T > 2048, not
 * T; for the 4096 rows of a usual batch that is 128 u sum |x|, u = 2^-24. Memory: at most
 * 64 rows of `partial`, whatever T. */
#ifndef CZ_KERNELS_COMMON_ROWS_H
#define CZ_KERNELS_COMMON_ROWS_H

#include "kernels/op.h"

CZ_C_BEGIN

/* Rows in a block: 64 blocks keep 64 threads busy, and fewer than 32 rows would make
 * `partial` a noticeable part of the traffic. */
static inline int64_t cz_row_block(int64_t T) { return T > 64 * 32 ? (T + 63) / 64 : 32; }

static inline int64_t cz_row_blocks(int64_t T) {
  return (T + cz_row_block(T) - 1) / cz_row_block(T);
}

/* Room for the blocks of T rows or fewer: unlike their number it never falls when T
 * grows, so a workspace measured at capacity does for less. (2048 rows are 64 blocks of
 * 32, 2049 are 63 of 33.) */
static inline int64_t cz_row_blocks_maximum(int64_t T) { return T > 64 * 32 ? 64 : (T + 31) / 32; }

void cz_row_add(float *sum, const float *row, int64_t n);
void cz_grad_begin(const cz_call *call, int input);
void cz_rows_reduce(float *out, const float *partial, int64_t blocks, int64_t n, cz_grad_mode mode);

CZ_C_END

#endif
