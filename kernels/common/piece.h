/* Rows that are float32 or bfloat16, a piece at a time, for kernels that compute in float32
 * either way: one body serves both dtypes.
 *
 * A piece of a float32 array is the array itself, so that nothing is copied and no bit changes;
 * a piece of a bfloat16 array is widened into a buffer of the caller's, on the stack. What is
 * written goes the other way: a float32 kernel writes in place, a bfloat16 one into the buffer,
 * and is rounded to nearest when the piece is put. */
#ifndef CZ_KERNELS_COMMON_PIECE_H
#define CZ_KERNELS_COMMON_PIECE_H

#include "kernels/common/bf16.h"
#include "kernels/op.h"

#include <string.h>

CZ_C_BEGIN

enum { CZ_PIECE = 512 /* numbers in a buffer: 2 KiB, a few of which fit the first cache */ };

/* The address of number AT of an array; null of a null array. */
static inline void *cz_piece_at(const void *array, cz_dtype dtype, int64_t at) {
  return array ? (char *)array + at * (int64_t)cz_dtype_bytes(dtype) : NULL;
}

/* Numbers at a time in a loop over N: all of them where nothing is narrower than float32. */
static inline int64_t cz_piece_length(cz_dtype narrowest, int64_t n) {
  return narrowest == CZ_F32 || n < CZ_PIECE ? n : (int64_t)CZ_PIECE;
}

/* N numbers from AT on, in BUFFER unless they can be read where they lie; null of a null array. */
static inline const float *cz_piece_read(const void *array, cz_dtype dtype, int64_t at, int64_t n,
                                         float *buffer) {
  if (!array) return NULL;
  if (dtype == CZ_F32) return (const float *)array + at;
  cz_bf16_widen(buffer, (const cz_bf16 *)array + at, n);
  return buffer;
}

/* Where N numbers from AT on are to be written: the array, or BUFFER; cz_piece_put follows. */
static inline float *cz_piece_room(void *array, cz_dtype dtype, int64_t at, float *buffer) {
  return dtype == CZ_F32 ? (float *)array + at : buffer;
}

/* Puts N numbers at AT, rounded to nearest in bfloat16; nothing is left to do where they lie
 * there. */
static inline void cz_piece_put(void *array, cz_dtype dtype, int64_t at, int64_t n,
                                const float *x) {
  if (dtype != CZ_F32)
    cz_bf16_round((cz_bf16 *)array + at, x, n);
  else if (x != (float *)array + at)
    memcpy((float *)array + at, x, (size_t)n * sizeof *x);
}

/* Replaces N numbers by the nearest of DTYPE. */
static inline void cz_piece_round(float *x, int64_t n, cz_dtype dtype) {
  if (dtype == CZ_BF16) cz_bf16_nearest_each(x, n);
}

/* Float32 numbers AT to AT + N - 1 of an array become numbers AT to AT + N - 1 of DTYPE of the same
 * memory, rounded to nearest: over what has been read, when it is done from the front on. */
static inline void cz_piece_narrow(void *array, cz_dtype dtype, int64_t at, int64_t n) {
  cz_bf16 piece[CZ_PIECE];
  for (int64_t i = 0; dtype != CZ_F32 && i < n; i += CZ_PIECE) {
    int64_t m = n - i < CZ_PIECE ? n - i : (int64_t)CZ_PIECE;
    cz_bf16_round(piece, (const float *)array + at + i, m);
    memcpy((cz_bf16 *)array + at + i, piece, (size_t)m * sizeof *piece);
  }
}

/* Writes or adds N numbers of a gradient that lie in a small buffer; a bfloat16 one is added to in
 * float32 and rounded once. The buffer is what lets a gradient take the place of one that is still
 * being read (may_alias_grad in op.h). */
static inline void cz_piece_grad(void *array, cz_dtype dtype, int64_t at, int64_t n, const float *x,
                                 cz_grad_mode mode) {
  if (mode == CZ_GRAD_WRITE) {
    cz_piece_put(array, dtype, at, n, x);
  } else if (mode == CZ_GRAD_ADD && dtype != CZ_F32) {
    cz_bf16_add((cz_bf16 *)array + at, x, n);
  } else if (mode == CZ_GRAD_ADD) {
    float *to = (float *)array + at;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) to[i] += x[i];
  }
}

CZ_C_END

#endif
