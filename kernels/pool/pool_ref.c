/* Pool in float64. y_b = sum over its rows of x / n, so each of them gets dy_b / n. */
#include "kernels/common/rows.h"
#include "kernels/pool/pool.h"

typedef struct arrays {
  int64_t B, D;
  const int32_t *spans;
  const double *x, *dy;
  double *y, *dx;
} arrays;

static arrays unpack(const cz_call *call) {
  const cz_arg *x = &call->in[CZ_POOL_X], *spans = &call->in[CZ_POOL_SPANS];
  return (arrays){.B = spans->dim[0],
                  .D = x->dim[1],
                  .spans = spans->data,
                  .x = x->data,
                  .dy = call->dout[0].data,
                  .y = call->out[0].data,
                  .dx = call->din[CZ_POOL_X].data};
}

/** Forward in float64. Contract: pool.h. */
void cz_pool_fwd_ref(const cz_call *call) {
  arrays a = unpack(call);
  for (int64_t b = 0; b < a.B; b++) {
    int64_t begin = a.spans[2 * b], end = a.spans[2 * b + 1];
    for (int64_t d = 0; d < a.D; d++) {
      double sum = 0;
      for (int64_t t = begin; t < end; t++) sum += a.x[t * a.D + d];
      a.y[b * a.D + d] = end > begin ? sum / (double)(end - begin) : 0;
    }
  }
}

/** Backward in float64. Contract: pool.h. */
void cz_pool_bwd_ref(const cz_call *call) {
  arrays a = unpack(call);
  if (call->mode[CZ_POOL_X] == CZ_GRAD_SKIP) return;
  cz_grad_begin(call, CZ_POOL_X);
  for (int64_t b = 0; b < a.B; b++) {
    int64_t begin = a.spans[2 * b], end = a.spans[2 * b + 1];
    for (int64_t t = begin; t < end; t++) /* y_b = 1 / n sum x_t:  dx_t += dy_b / n */
      for (int64_t d = 0; d < a.D; d++)
        a.dx[t * a.D + d] += a.dy[b * a.D + d] / (double)(end - begin);
  }
}
