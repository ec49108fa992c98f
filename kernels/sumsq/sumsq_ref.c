#include "kernels/sumsq/sumsq.h"

/** s = sum of x_i^2 in float64. */
void cz_sumsq_fwd_ref(const cz_call *call) {
  const double *x = call->in[CZ_SUMSQ_X].data;
  double *s = call->out[CZ_SUMSQ_S].data;
  s[0] = 0;
  for (int64_t i = 0; i < cz_numel(&call->in[CZ_SUMSQ_X]); i++) s[0] += x[i] * x[i];
}
