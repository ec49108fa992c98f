/* What the cases of the optimizers share: flat arrays with a few parts in them. */
#ifndef CZ_KERNELS_COMMON_UPDATE_CASES_H
#define CZ_KERNELS_COMMON_UPDATE_CASES_H

#include "kernels/cases.h"
#include "kernels/common/update.h"

CZ_C_BEGIN

typedef struct cz_update_sizes {
  int ndim;
  int64_t dim[CZ_DIMS]; /* of the first part */
  bool factored;        /* the first part */
  int parts;            /* 0: a few, as drawn; many are small but for the first */
  double w, g;          /* standard deviations */
  double step, rate;
} cz_update_sizes;

void cz_update_case(cz_case *c, cz_rand *r, const cz_update_sizes *s, bool factors,
                    cz_parts_maximum *maximum);
int64_t cz_update_touched(const cz_call *call, const cz_arg *a, int64_t count, int64_t state);

CZ_C_END

#endif
