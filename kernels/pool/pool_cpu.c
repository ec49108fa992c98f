/* Means of segments in float32 or bfloat16. Sums are in double: x is read once from memory, for
 * which the additions wait. A thread takes a piece of the columns of a segment, so that a few long
 * texts keep as many threads busy as many short ones. */
#include "kernels/common/bf16.h"
#include "kernels/common/cpu.h"
#include "kernels/common/piece.h"
#include "kernels/common/rows.h"
#include "kernels/common/spans.h"
#include "kernels/pool/pool.h"

enum { COLUMNS = 128, SMALL = 16384 };

typedef struct arrays {
  int64_t B, T, D;
  cz_dtype dtype; /* of x and y, or of their gradients */
  const int32_t *spans;
  const void *x, *dy;
  void *y, *dx;
  cz_grad_mode mode;
} arrays;

static arrays unpack(const cz_call *call, const cz_arg *of_dtype) {
  const cz_arg *x = &call->in[CZ_POOL_X], *spans = &call->in[CZ_POOL_SPANS];
  return (arrays){.B = spans->dim[0],
                  .T = x->dim[0],
                  .D = x->dim[1],
                  .dtype = of_dtype->dtype,
                  .spans = spans->data,
                  .x = x->data,
                  .dy = call->dout[0].data,
                  .y = call->out[0].data,
                  .dx = call->din[CZ_POOL_X].data,
                  .mode = call->mode[CZ_POOL_X]};
}

CZ_CLONES static void add_row(double *sum, const float *row, int64_t n) {
  for (int64_t i = 0; i < n; i++) sum[i] += row[i];
}

CZ_CLONES static void divide(float *to, const double *from, double by, int64_t n) {
  for (int64_t i = 0; i < n; i++) to[i] = (float)(from[i] / by);
}

/* Columns D0 to D0 + N of segment B's mean. */
static void pool_columns(const arrays *a, int64_t b, int64_t d0, int64_t n) {
  const int64_t begin = a->spans[2 * b], end = a->spans[2 * b + 1];
  double sum[COLUMNS] = {0};
  float buffer[COLUMNS];
  for (int64_t t = begin; t < end; t++)
    add_row(sum, cz_piece_read(a->x, a->dtype, t * a->D + d0, n, buffer), n);
  divide(buffer, sum, end > begin ? (double)(end - begin) : 1, n);
  cz_piece_put(a->y, a->dtype, b * a->D + d0, n, buffer);
}

/** Forward on float32 or bfloat16. Contract: pool.h. */
void cz_pool_fwd_cpu(const cz_call *call) {
  arrays a = unpack(call, &call->in[CZ_POOL_X]);
#pragma omp parallel for collapse(2) schedule(static) if (a.T * a.D > SMALL)
  for (int64_t b = 0; b < a.B; b++)
    for (int64_t d = 0; d < a.D; d += COLUMNS) pool_columns(&a, b, d, cz_minimum(a.D - d, COLUMNS));
}

CZ_CLONES static void divide_row(float *to, const float *from, float by, int64_t n) {
  for (int64_t i = 0; i < n; i++) to[i] = from[i] / by;
}

/* Rows T0 to T1 of columns that are in no segment. */
static void clear_rows(const arrays *a, int64_t t0, int64_t t1, int64_t d0, int64_t n) {
  for (int64_t t = t0; t < t1 && a->mode == CZ_GRAD_WRITE; t++)
    memset(cz_piece_at(a->dx, a->dtype, t * a->D + d0), 0, (size_t)n * cz_dtype_bytes(a->dtype));
}

/* Columns D0 to D0 + N of the gradients of segment B's rows, and of those around it. */
static void spread_columns(const arrays *a, int64_t b, int64_t d0, int64_t n) {
  const cz_span s = cz_span_of(a->spans, a->B, b, a->T);
  float buffer[COLUMNS], each[COLUMNS];
  clear_rows(a, s.before, s.begin, d0, n);
  clear_rows(a, s.end, s.after, d0, n);
  if (s.begin == s.end) return;
  divide_row(each, cz_piece_read(a->dy, a->dtype, b * a->D + d0, n, buffer),
             (float)(s.end - s.begin), n);
  for (int64_t t = s.begin; t < s.end; t++)
    cz_piece_grad(a->dx, a->dtype, t * a->D + d0, n, each, a->mode);
}

/** Backward on float32 or bfloat16. Contract: pool.h. */
void cz_pool_bwd_cpu(const cz_call *call) {
  arrays a = unpack(call, &call->dout[0]);
  if (a.mode == CZ_GRAD_SKIP) return;
  if (a.B == 0) cz_grad_begin(call, CZ_POOL_X);
#pragma omp parallel for collapse(2) schedule(static) if (a.T * a.D > SMALL)
  for (int64_t b = 0; b < a.B; b++)
    for (int64_t d = 0; d < a.D; d += COLUMNS)
      spread_columns(&a, b, d, cz_minimum(a.D - d, COLUMNS));
}
