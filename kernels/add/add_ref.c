/* Addition in float64: what the op means. */
#include "kernels/add/add.h"

/** Forward in float64. Contract: add.h. */
void cz_add_fwd_ref(const cz_call *call) {
  const double *a = call->in[CZ_ADD_A].data, *b = call->in[CZ_ADD_B].data;
  double *y = call->out[0].data;
  for (int64_t i = 0; i < cz_numel(&call->out[0]); i++) y[i] = a[i] + b[i];
}

/** Backward in float64. Contract: add.h. */
void cz_add_bwd_ref(const cz_call *call) {
  const double *dy = call->dout[0].data;
  for (int input = CZ_ADD_A; input <= CZ_ADD_B; input++) {
    cz_grad_mode mode = call->mode[input];
    double *d = call->din[input].data;
    if (mode == CZ_GRAD_SKIP) continue;
    for (int64_t i = 0; i < cz_numel(&call->in[input]); i++)
      d[i] = (mode == CZ_GRAD_ADD ? d[i] : 0) + dy[i]; /* y = a + b:  da = dy,  db = dy */
  }
}
