/* What the shape rules of all rows share: comparing an array with what the contract asks,
 * and saying what is wrong with it.
 *
 * Dimensions may be named extents of the graph (negative numbers, see op.h), so
 * everything here compares and copies and never computes. */
#ifndef CZ_KERNELS_COMMON_SHAPE_H
#define CZ_KERNELS_COMMON_SHAPE_H

#include "kernels/op.h"

CZ_C_BEGIN

/* The dtype of what a row that computes in T keeps in more digits: statistics and losses,
 * and the gains and biases beside its matrices. */
static inline cz_dtype cz_statistic_dtype(cz_dtype t) { return t == CZ_F64 ? CZ_F64 : CZ_F32; }

#define CZ_ANY INT64_MIN /* a size that the contract leaves open */

bool cz_shape_refuse(char *why, size_t why_bytes, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool cz_shape_is(const cz_arg *a, const char *name, cz_dtype dtype, int ndim, const int64_t *dim,
                 char *why, size_t why_bytes);
bool cz_shape_floating(const cz_arg *a, const char *name, int ndim, char *why, size_t why_bytes);
bool cz_shape_choice(cz_dtype *dtype, int choice, cz_dtype otherwise, const char *name, char *why,
                     size_t why_bytes);
void cz_shape_set(cz_arg *out, cz_dtype dtype, int ndim, const int64_t *dim);

CZ_C_END

#endif
