/* The oracle rounds nothing: a cast is a copy. */
#include "kernels/cast/cast.h"

/** Forward in float64: y = x. Contract: cast.h. */
void cz_cast_fwd_ref(const cz_call *call) {
  const double *x = call->in[CZ_CAST_X].data;
  double *y = call->out[0].data;
  for (int64_t i = 0; i < cz_numel(&call->in[CZ_CAST_X]); i++) y[i] = x[i];
}

/** Backward in float64: dx = dy. Contract: cast.h. */
void cz_cast_bwd_ref(const cz_call *call) {
  const double *dy = call->dout[0].data;
  double *dx = call->din[CZ_CAST_X].data;
  for (int64_t i = 0; i < cz_numel(&call->in[CZ_CAST_X]); i++) {
    if (call->mode[CZ_CAST_X] == CZ_GRAD_WRITE) dx[i] = dy[i];
    if (call->mode[CZ_CAST_X] == CZ_GRAD_ADD) dx[i] += dy[i];
  }
}
