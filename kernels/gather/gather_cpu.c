/* Forward copies rows; backward is the transposed map, a scatter that adds. Rows are
 * drawn by Zipf's law in an embedding, so threads that divide the rows would meet at the
 * frequent ones; divided by columns they never do. */
#include "kernels/common/bf16.h"
#include "kernels/common/cpu.h"
#include "kernels/common/piece.h"
#include "kernels/common/rows.h"
#include "kernels/embedding/embedding.h"
#include "kernels/gather/gather.h"

#include <omp.h>

enum { COLUMNS = 64, SMALL = 16384 };

typedef struct arrays {
  int64_t N, D;
  int64_t T;       /* rows of x */
  int32_t padding; /* the row that backward leaves out */
  const int32_t *rows;
  const cz_arg *x, *y, *dy, *dx;
} arrays;

static arrays unpack(const cz_call *call) {
  const cz_arg *x = &call->in[CZ_GATHER_X], *rows = &call->in[CZ_GATHER_ROWS];
  return (arrays){.N = rows->dim[0],
                  .D = x->dim[1],
                  .T = x->dim[0],
                  .padding = -1,
                  .rows = rows->data,
                  .x = x,
                  .y = &call->out[0],
                  .dy = &call->dout[0],
                  .dx = &call->din[CZ_GATHER_X]};
}

static void copy_row(const arrays *a, int64_t n) {
  const int64_t from = a->rows[n] * a->D, to = n * a->D;
  if (a->x->dtype == a->y->dtype) {
    memcpy(cz_piece_at(a->y->data, a->y->dtype, to), cz_piece_at(a->x->data, a->x->dtype, from),
           (size_t)a->D * cz_dtype_bytes(a->x->dtype));
    return;
  }
  for (int64_t d = 0; d < a->D; d += CZ_PIECE) {
    float buffer[CZ_PIECE];
    int64_t k = cz_minimum(a->D - d, CZ_PIECE);
    cz_piece_put(a->y->data, a->y->dtype, to + d, k,
                 cz_piece_read(a->x->data, a->x->dtype, from + d, k, buffer));
  }
}

/** Forward on float32 or bfloat16. Contract: gather.h. */
void cz_gather_fwd_cpu(const cz_call *call) {
  arrays a = unpack(call);
#pragma omp parallel for schedule(static) if (a.N * a.D > SMALL)
  for (int64_t n = 0; n < a.N; n++) copy_row(&a, n);
}

static inline __attribute__((always_inline)) float number(const void *x, int64_t i, cz_dtype t) {
  return t == CZ_BF16 ? cz_bf16_value(((const cz_bf16 *)x)[i]) : ((const float *)x)[i];
}

/* The loop is compiled for either dtype of dy: TYPE is a constant. */
static inline __attribute__((always_inline)) void add_rows(const arrays *a, float *sums, int64_t ld,
                                                           int64_t d0, int64_t n, cz_dtype type) {
  for (int64_t r = 0; r < a->N; r++) {
    if (a->rows[r] == a->padding) continue;
    float *to = sums + a->rows[r] * ld;
    const void *from = cz_piece_at(a->dy->data, a->dy->dtype, r * a->D + d0);
#pragma omp simd
    for (int64_t d = 0; d < n; d++) to[d] += number(from, d, type);
  }
}

/* Columns d0 to d0 + n of SUMS, whose rows are LD numbers apart: y[r] = x[rows[r]], so
 * dx[rows[r]] += dy[r]. A sum over n in order, in float32: a row that is read k times is off
 * by at most k u sum |dy|. 64 columns are four cache lines, so with D a multiple of 16 no two
 * threads write to one line. */
CZ_CLONES static void add_columns(const arrays *a, float *sums, int64_t ld, int64_t d0, int64_t n) {
  if (a->dy->dtype == CZ_BF16)
    add_rows(a, sums, ld, d0, n, CZ_BF16);
  else
    add_rows(a, sums, ld, d0, n, CZ_F32);
}

/* The same where dx has 16 bits: a row that is read often would lose what each reading adds, so
 * the sums are made in float32 and rounded once. */
static void add_narrow_columns(const arrays *a, float *sums, int64_t d0, int64_t n,
                               cz_grad_mode mode) {
  memset(sums, 0, (size_t)(a->T * COLUMNS) * sizeof *sums);
  add_columns(a, sums, COLUMNS, d0, n);
  for (int64_t t = 0; t < a->T; t++)
    cz_piece_grad(a->dx->data, a->dx->dtype, t * a->D + d0, n, sums + t * COLUMNS, mode);
}

static size_t sums_bytes(const arrays *a) { return (size_t)a->T * COLUMNS * sizeof(float); }

/** Bytes of workspace: of a gradient in 16 bits each thread sums columns in float32. */
size_t cz_gather_workspace_cpu(const cz_call *call, bool backward) {
  arrays a = unpack(call);
  bool narrow = backward && call->mode[CZ_GATHER_X] && a.dx->dtype != CZ_F32;
  return narrow ? (size_t)omp_get_max_threads() * sums_bytes(&a) : 0;
}

/* As many threads as the workspace has sums for: it may have been measured with fewer, or for a
 * smaller x. */
static int threads_for(const cz_call *call, const arrays *a) {
  int64_t most = omp_get_max_threads(), each = (int64_t)sums_bytes(a);
  if (a->dx->dtype == CZ_F32 || each == 0) return (int)most;
  return (int)cz_minimum(most, (int64_t)call->workspace_bytes / each);
}

static void backward(const cz_call *call, int padding) {
  arrays a = unpack(call);
  a.padding = padding;
  const cz_grad_mode mode = call->mode[CZ_GATHER_X];
  const bool narrow = a.dx->dtype != CZ_F32;
  if (mode == CZ_GRAD_SKIP) return;
  if (!narrow) cz_grad_begin(call, CZ_GATHER_X);
#pragma omp parallel for schedule(static) num_threads(threads_for(call, &a)) if (a.N * a.D > SMALL)
  for (int64_t d = 0; d < a.D; d += COLUMNS) {
    int64_t n = cz_minimum(a.D - d, COLUMNS);
    char *own = (char *)call->workspace + (size_t)omp_get_thread_num() * sums_bytes(&a);
    if (narrow)
      add_narrow_columns(&a, (float *)own, d, n, mode);
    else
      add_columns(&a, (float *)a.dx->data + d, a.D, d, n);
  }
}

/** Backward in float32, on float32 or bfloat16. Contract: gather.h. */
void cz_gather_bwd_cpu(const cz_call *call) { backward(call, -1); }

/** Backward in float32, on float32 or bfloat16. Contract: embedding.h. */
void cz_embedding_bwd_cpu(const cz_call *call) {
  backward(call, ((const cz_embedding_attr *)call->attr)->padding - 1);
}
