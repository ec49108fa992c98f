/* Parameters in flat buffers, as the optimizers' ops are given them: one call for all, and one row
 * of int32 for each, a part of the buffers. Whoever lays out such a buffer lets a part begin at a
 * multiple of CZ_FLAT_UNIT, which is where cz_flat_room ends the part before it. */
#ifndef CZ_KERNELS_COMMON_FLAT_H
#define CZ_KERNELS_COMMON_FLAT_H

#include "kernels/common/language.h"

#include <stdint.h>

CZ_C_BEGIN

/* Elements: offsets count in these, so that 2^35 can be reached. In float32 they are 64 bytes, a
 * line of the cache. */
enum { CZ_FLAT_UNIT = 16 };

/* The row of a part. OFFSET: where it begins in the flat values, gradients and copy. STATE: where
 * its state begins in the flat state. ROWS, COLS: of the last two dimensions, where it is FACTORED.
 * COUNT: its elements. */
enum {
  CZ_FLAT_OFFSET,
  CZ_FLAT_ROWS,
  CZ_FLAT_COLS,
  CZ_FLAT_COUNT,
  CZ_FLAT_FLAGS,
  CZ_FLAT_STATE,
  CZ_FLAT_FIELDS
};

enum {
  CZ_FLAT_DECAY = 1,    /* weight decay applies to it */
  CZ_FLAT_FACTORED = 2, /* row and column statistics in place of one number an element */
  CZ_FLAT_COPY = 4      /* its values are copied, rounded, when they are updated */
};

typedef struct cz_flat_part { /* in elements */
  int64_t offset, matrices, rows, cols, count, state;
  int32_t flags;
} cz_flat_part;

/* Part I of the rows. */
static inline CZ_HOST_DEVICE cz_flat_part cz_flat_part_at(const int32_t *rows, int64_t i) {
  const int32_t *r = rows + i * CZ_FLAT_FIELDS;
  cz_flat_part p;
  p.offset = (int64_t)r[CZ_FLAT_OFFSET] * CZ_FLAT_UNIT;
  p.matrices = 1;
  p.rows = r[CZ_FLAT_ROWS];
  p.cols = r[CZ_FLAT_COLS];
  p.count = r[CZ_FLAT_COUNT];
  p.flags = r[CZ_FLAT_FLAGS];
  p.state = (int64_t)r[CZ_FLAT_STATE] * CZ_FLAT_UNIT;
  if (p.rows * p.cols > 0) p.matrices = p.count / (p.rows * p.cols);
  return p;
}

/* N elements with the gap behind them: the first of a part's two states takes so many. */
static inline CZ_HOST_DEVICE int64_t cz_flat_room(int64_t n) {
  return (n + CZ_FLAT_UNIT - 1) / CZ_FLAT_UNIT * CZ_FLAT_UNIT;
}

/* The largest of all parts: workspace is measured on the host, which does not see the rows.
 * matrices, and rows and cols of all matrices of a part, are those of the factored ones. */
typedef struct cz_parts_maximum {
  int64_t count, matrices, rows, cols;
} cz_parts_maximum;

static inline void cz_parts_count(cz_parts_maximum *m, const cz_flat_part *p) {
  const int64_t rows = p->matrices * p->rows, cols = p->matrices * p->cols;
  if (p->count > m->count) m->count = p->count;
  if (!(p->flags & CZ_FLAT_FACTORED)) return;
  if (p->matrices > m->matrices) m->matrices = p->matrices;
  if (rows > m->rows) m->rows = rows;
  if (cols > m->cols) m->cols = cols;
}

CZ_C_END

#endif
