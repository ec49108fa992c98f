/* Gather in float64. y = E x with E[n, rows[n]] = 1, so dx = E^T dy: a scatter that
 * adds. */
#include "kernels/common/rows.h"
#include "kernels/embedding/embedding.h"
#include "kernels/gather/gather.h"

typedef struct arrays {
  int64_t N, D;
  const int32_t *rows;
  const double *x, *dy;
  double *y, *dx;
} arrays;

static arrays unpack(const cz_call *call) {
  const cz_arg *x = &call->in[CZ_GATHER_X], *rows = &call->in[CZ_GATHER_ROWS];
  return (arrays){.N = rows->dim[0],
                  .D = x->dim[1],
                  .rows = rows->data,
                  .x = x->data,
                  .dy = call->dout[0].data,
                  .y = call->out[0].data,
                  .dx = call->din[CZ_GATHER_X].data};
}

/** Forward in float64. Contract: gather.h. */
void cz_gather_fwd_ref(const cz_call *call) {
  arrays a = unpack(call);
  for (int64_t n = 0; n < a.N; n++)
    for (int64_t d = 0; d < a.D; d++) a.y[n * a.D + d] = a.x[a.rows[n] * a.D + d];
}

/* But for row PADDING. */
static void backward(const cz_call *call, int padding) {
  arrays a = unpack(call);
  if (call->mode[CZ_GATHER_X] == CZ_GRAD_SKIP) return;
  cz_grad_begin(call, CZ_GATHER_X);
  for (int64_t n = 0; n < a.N; n++) { /* y[n] = x[rows[n]]:  dx[rows[n]] += dy[n] */
    if (a.rows[n] == padding) continue;
    for (int64_t d = 0; d < a.D; d++) a.dx[a.rows[n] * a.D + d] += a.dy[n * a.D + d];
  }
}

/** Backward in float64. Contract: gather.h. */
void cz_gather_bwd_ref(const cz_call *call) { backward(call, -1); }

/** Backward in float64. Contract: embedding.h. */
void cz_embedding_bwd_ref(const cz_call *call) {
  backward(call, ((const cz_embedding_attr *)call->attr)->padding - 1);
}
