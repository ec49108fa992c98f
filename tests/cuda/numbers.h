/* Numbers of an array of any real dtype, for the fake library and for the tests that check it. */
#ifndef CZ_TESTS_CUDA_NUMBERS_H
#define CZ_TESTS_CUDA_NUMBERS_H

#include "kernels/common/bf16.h"
#include "kernels/common/half.h"
#include "kernels/op.h"

static inline float number_at(const void *p, int64_t i, cz_dtype dtype) {
  return dtype == CZ_F32    ? ((const float *)p)[i]
         : dtype == CZ_BF16 ? cz_bf16_value(((const cz_bf16 *)p)[i])
                            : cz_f16_value(((const cz_f16 *)p)[i]);
}

/* Rounded to nearest. */
static inline void put_number(void *p, int64_t i, cz_dtype dtype, float x) {
  if (dtype == CZ_F32) ((float *)p)[i] = x;
  if (dtype == CZ_BF16) ((cz_bf16 *)p)[i] = cz_bf16_nearest(x);
  if (dtype == CZ_F16) ((cz_f16 *)p)[i] = cz_f16_nearest((double)x);
}

#endif
