/* The square root is left to the reader: squares of several tensors, shards or ranks add
 * up, and norms do not. */
#include "kernels/common/sum.h"
#include "kernels/sumsq/sumsq.h"

/** s = sum of x_i^2, summed in double and rounded once. */
void cz_sumsq_fwd_cpu(const cz_call *call) {
  const cz_arg *x = &call->in[CZ_SUMSQ_X];
  *(float *)call->out[CZ_SUMSQ_S].data =
      (float)cz_sum_squares(x->data, cz_numel(x), call->workspace);
}

/** Bytes of workspace: the sums of all chunks. */
size_t cz_sumsq_workspace_cpu(const cz_call *call, bool backward) {
  return (size_t)cz_sum_chunks(cz_numel(&call->in[CZ_SUMSQ_X])) * sizeof(double);
}
