/* Forward copies rows; backward is the transposed map, a scatter that adds. Rows are
 * drawn by Zipf's law in an embedding, so threads that divide the rows would meet at the
 * frequent ones; divided by columns they never do. */
#include "kernels/common/cpu.h"
#include "kernels/common/rows.h"
#include "kernels/gather/gather.h"

enum { COLUMNS = 64, SMALL = 16384 };

typedef struct arrays {
  int64_t N, D;
  const int32_t *rows;
  const float *x, *dy;
  float *y, *dx;
} arrays;

/* N rows are read, of T that x has; T is not needed, since dx was cleared by its own
 * size. */
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

/** Forward in float32. Contract: gather.h. */
void cz_gather_fwd_cpu(const cz_call *call) {
  arrays a = unpack(call);
#pragma omp parallel for schedule(static) if (a.N * a.D > SMALL)
  for (int64_t n = 0; n < a.N; n++)
    memcpy(a.y + n * a.D, a.x + a.rows[n] * a.D, (size_t)a.D * sizeof *a.y);
}

/* Columns d0 to d0 + n of dx: y[r] = x[rows[r]], so dx[rows[r]] += dy[r]. A sum over n in
 * order, in float32: a row that is read k times is off by at most k u sum |dy|. 64
 * columns are four cache lines, so with D a multiple of 16 no two threads write to one
 * line. */
CZ_CLONES static void add_columns(const arrays *a, int64_t d0, int64_t n) {
  for (int64_t r = 0; r < a->N; r++) {
    float *to = a->dx + a->rows[r] * a->D + d0;
    const float *from = a->dy + r * a->D + d0;
#pragma omp simd
    for (int64_t d = 0; d < n; d++) to[d] += from[d];
  }
}

/** Backward in float32. Contract: gather.h. */
void cz_gather_bwd_cpu(const cz_call *call) {
  arrays a = unpack(call);
  if (call->mode[CZ_GATHER_X] == CZ_GRAD_SKIP) return;
  cz_grad_begin(call, CZ_GATHER_X);
#pragma omp parallel for schedule(static) if (a.N * a.D > SMALL)
  for (int64_t d = 0; d < a.D; d += COLUMNS) add_columns(&a, d, cz_minimum(a.D - d, COLUMNS));
}
