/* Where kernels in 16 bits round on the way: numbers that they compute in float32, round to the
 * dtype of one of the call's arrays and go on with, as what stands between two products. The
 * float64 kernels round nothing; they name those numbers. Whoever wants to know what such a
 * rounding does to the results (tests/ops/limit.c) gives them a function in place of it, as the
 * call's stream, which they have no other use for. */
#ifndef CZ_KERNELS_COMMON_ROUNDINGS_H
#define CZ_KERNELS_COMMON_ROUNDINGS_H

#include "kernels/op.h"

CZ_C_BEGIN

typedef struct cz_roundings cz_roundings;

/* In the place of an array: float32. Named where little is left of X later, so that its rounding
 * shows in a result of 16 bits. */
enum { CZ_ROUNDED_FLOAT = -1 };

/* Added to an array: what a card's library alone rounds, or the host alone. */
enum { CZ_ROUNDED_BY_LIBRARY = 1 << 8, CZ_ROUNDED_BY_HOST = 1 << 9 };

struct cz_roundings {
  /* What takes the place of X, which is rounded to the dtype of ARRAY: an input, CZ_OP_IN + an
   * output, or CZ_ROUNDED_FLOAT. */
  double (*round)(cz_roundings *self, int array, double x);
};

/* X, which kernels in 16 bits round to the dtype of an input. */
static inline double cz_rounded_as_input(const cz_call *call, int input, double x) {
  cz_roundings *r = (cz_roundings *)call->stream;
  return r ? r->round(r, input, x) : x;
}

/* X, which they round to the dtype of an output. */
static inline double cz_rounded_as_output(const cz_call *call, int output, double x) {
  return cz_rounded_as_input(call, CZ_OP_IN + output, x);
}

CZ_C_END

#endif
