/* Rows in segments: spans [N, 2] of (begin, end), each beginning where the one before ends or
 * later; a segment may have no rows, and a row may be in no segment.
 *
 * A gradient of all rows is written in one pass when whoever writes a segment's rows clears those
 * before it that are in none, and the last one those behind it. */
#ifndef CZ_KERNELS_COMMON_SPANS_H
#define CZ_KERNELS_COMMON_SPANS_H

#include "kernels/common/language.h"

#include <stdint.h>

CZ_C_BEGIN

typedef struct cz_span {
  int64_t begin, end;    /* the segment's rows */
  int64_t before, after; /* rows in no segment: before to begin, and end to after */
} cz_span;

/* Segment I of N, of ROWS rows in all. */
static inline CZ_HOST_DEVICE cz_span cz_span_of(const int32_t *spans, int64_t n, int64_t i,
                                                int64_t rows) {
  cz_span s;
  s.begin = spans[2 * i], s.end = spans[2 * i + 1];
  s.before = i > 0 ? spans[2 * i - 1] : 0;
  s.after = i + 1 < n ? s.end : rows;
  return s;
}

CZ_C_END

#endif
