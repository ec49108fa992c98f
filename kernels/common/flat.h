/* Parameters in flat buffers, as the optimizers' ops are given them: one call for all, and one row
 * of int32 for each, a piece. */
#ifndef CZ_KERNELS_COMMON_FLAT_H
#define CZ_KERNELS_COMMON_FLAT_H

#include "kernels/common/language.h"

#include <stdint.h>

CZ_C_BEGIN

enum { CZ_PIECE_UNIT = 16 }; /* elements: offsets count in these, so that 2^35 can be reached */

/* The row of a piece. OFFSET: where it begins in the flat values, gradients and copy. STATE: where
 * its state begins in the flat state. ROWS, COLS: of the last two dimensions, where it is FACTORED.
 * COUNT: its elements. */
enum {
  CZ_PIECE_OFFSET,
  CZ_PIECE_ROWS,
  CZ_PIECE_COLS,
  CZ_PIECE_COUNT,
  CZ_PIECE_FLAGS,
  CZ_PIECE_STATE,
  CZ_PIECE_FIELDS
};

enum {
  CZ_PIECE_DECAY = 1,    /* weight decay applies to it */
  CZ_PIECE_FACTORED = 2, /* row and column statistics in place of one number an element */
  CZ_PIECE_COPY = 4      /* its values are copied, rounded, when they are updated */
};

typedef struct cz_flat_piece { /* in elements */
  int64_t offset, matrices, rows, cols, count, state;
  int32_t flags;
} cz_flat_piece;

/* Piece I of the rows. */
static inline CZ_HOST_DEVICE cz_flat_piece cz_flat_piece_at(const int32_t *rows, int64_t i) {
  const int32_t *r = rows + i * CZ_PIECE_FIELDS;
  cz_flat_piece p;
  p.offset = (int64_t)r[CZ_PIECE_OFFSET] * CZ_PIECE_UNIT;
  p.matrices = 1;
  p.rows = r[CZ_PIECE_ROWS];
  p.cols = r[CZ_PIECE_COLS];
  p.count = r[CZ_PIECE_COUNT];
  p.flags = r[CZ_PIECE_FLAGS];
  p.state = (int64_t)r[CZ_PIECE_STATE] * CZ_PIECE_UNIT;
  if (p.rows * p.cols > 0) p.matrices = p.count / (p.rows * p.cols);
  return p;
}

/* N elements with the gap behind them: the first of a piece's two states takes so many. */
static inline CZ_HOST_DEVICE int64_t cz_flat_piece_room(int64_t n) {
  return (n + CZ_PIECE_UNIT - 1) / CZ_PIECE_UNIT * CZ_PIECE_UNIT;
}

/* The largest of all pieces: workspace is measured on the host, which does not see the rows.
 * matrices, and rows and cols of all matrices of a piece, are those of the factored ones. */
typedef struct cz_pieces_maximum {
  int64_t count, matrices, rows, cols;
} cz_pieces_maximum;

static inline void cz_pieces_count(cz_pieces_maximum *m, const cz_flat_piece *p) {
  const int64_t rows = p->matrices * p->rows, cols = p->matrices * p->cols;
  if (p->count > m->count) m->count = p->count;
  if (!(p->flags & CZ_PIECE_FACTORED)) return;
  if (p->matrices > m->matrices) m->matrices = p->matrices;
  if (rows > m->rows) m->rows = rows;
  if (cols > m->cols) m->cols = cols;
}

CZ_C_END

#endif
