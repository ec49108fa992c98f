/* Sums over long float32 arrays with the same bits for any number of threads: chunks of
 * fixed size, each summed in double by one thread, then a fixed tree of additions over
 * the chunks. */
#ifndef CZ_KERNELS_COMMON_SUM_H
#define CZ_KERNELS_COMMON_SUM_H

#include "kernels/common/language.h"

#include <stddef.h>
#include <stdint.h>

CZ_C_BEGIN

/* Elements in a chunk, 32 KiB of float32: long beside the cost of handing it to a thread,
 * short beside a parameter tensor. A part of the results, not a tuning knob: another size
 * gives other last digits. */
enum { CZ_SUM_CHUNK = 8192 };

/* Chunks of N elements, and so the doubles that `partial` must hold; 0 for none. */

static inline int64_t cz_sum_chunks(int64_t n) { return (n + CZ_SUM_CHUNK - 1) / CZ_SUM_CHUNK; }

double cz_sum_pairwise(double *partial, int64_t n);
double cz_sum_squares(const float *x, int64_t n, double *partial);

CZ_C_END

#endif
