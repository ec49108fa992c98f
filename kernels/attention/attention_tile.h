/* Small matrix products on tiles that fit a core's caches, for attention on a CPU;
 * private to this folder.
 *
 * At these sizes a BLAS reaches 60 to 70 % of a core's multiply-add rate, and it cannot
 * add the position bias on the way. Products here come in blocks of 6 x 16 numbers, held
 * in registers. Shapes: R rows, N columns, depth L.
 *
 * Reading and writing is done in whole blocks: arrays have room for rows up to a multiple
 * of CZ_TILE_ROWS and columns up to a multiple of CZ_TILE_COLS, and what lies beyond R or
 * N is computed from whatever is there and means nothing. A "panel" array holds groups of
 * 16 columns one after the other, [N / 16][L][16], so that a product reads it from front
 * to back. */
#ifndef CZ_KERNELS_ATTENTION_TILE_H
#define CZ_KERNELS_ATTENTION_TILE_H

#include "kernels/common/language.h"

#include <stdbool.h>
#include <stdint.h>

CZ_C_BEGIN

enum { CZ_TILE_ROWS = 6, CZ_TILE_COLS = 16 };

void cz__tile_transpose(float *panel, const float *x, int64_t stride, int64_t R, int64_t L);
void cz__tile_panel(float *panel, const float *x, int64_t stride, int64_t R, int64_t N);
void cz__tile_copy(float *to, const float *x, int64_t stride, int64_t R, int64_t N, int64_t width);

void cz__tile_scores(float *c, int64_t ldc, const float *a, int64_t lda, const float *panel,
                     const float *bias, float scale, int64_t R, int64_t N, int64_t L);
void cz__tile_times(float *c, int64_t ldc, const float *a, int64_t lda, const float *b,
                    int64_t b_row, int64_t b_group, int64_t R, int64_t N, int64_t L);
void cz__tile_gather(float *c, int64_t ldc, const float *a, int64_t lda, const float *b,
                     int64_t ldb, int64_t R, int64_t N, int64_t L);

CZ_C_END

#endif
