/* oneDNN behind units.c: products of arrays without gaps, one primitive for each shape, and
 * weights in the library's own order. Private to units.c. */
#ifndef CZ_KERNELS_COMMON_UNITS_ONEDNN_H
#define CZ_KERNELS_COMMON_UNITS_ONEDNN_H

#include "kernels/common/units.h"

CZ_C_BEGIN

typedef struct cz__onednn cz__onednn;

/* c [M, N] = alpha op(a) op(b) + bias, or added to c. No array has gaps, but b may have some when
 * it has a version: then it is packed, with the gaps left out. */
typedef struct cz__onednn_job {
  void *c;
  const void *a, *b;
  const float *bias; /* only with alpha 1 */
  cz_dtype dtype, c_dtype;
  int64_t M, N, K, ldb;
  bool a_transposed, b_transposed, add;
  float alpha;
  uint64_t b_version; /* 0: b is read as it lies */
} cz__onednn_job;

typedef enum cz__onednn_result {
  CZ__ONEDNN_DONE,
  CZ__ONEDNN_REFUSED, /* no fast implementation of this shape: nothing was done */
  CZ__ONEDNN_FAILED
} cz__onednn_result;

cz__onednn *cz__onednn_open(char *why, size_t why_bytes);
void cz__onednn_close(cz__onednn **o);
const char *cz__onednn_version(void);
cz__onednn_result cz__onednn_implementation(cz__onednn *o, char *name, size_t bytes,
                                            cz_dtype dtype);
cz__onednn_result cz__onednn_run(cz__onednn *o, const cz__onednn_job *job, char *why,
                                 size_t why_bytes);
void cz__onednn_forget(cz__onednn *o, const void *memory, size_t bytes);
cz_units_counts cz__onednn_count(cz__onednn *o);

CZ_C_END

#endif
