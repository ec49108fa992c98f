/* Sums over rows, the second half of a gradient of a bias or a gain: a first kernel leaves rows of
 * partial sums in the workspace, this one adds them in an order that their number alone decides. A
 * warp reads 32 neighbouring columns of a row at once. */
#ifndef CZ_KERNELS_COMMON_COLUMNS_CUH
#define CZ_KERNELS_COMMON_COLUMNS_CUH

#include "kernels/common/device.cuh"

/* Up to two arrays whose partial sums [rows, D] lie one behind the other, at `partial`. A null `to`
 * is left out; with ADD the sum is added to what is there. */
typedef struct cz_columns {
  float *to[2];
  bool add[2];
  const float *partial;
  int64_t rows, D;
} cz_columns;

enum { CZ_COLUMNS_GROUPS = 32 }; /* of rows, a warp of the block each */

static __global__ void __launch_bounds__(CZ_COLUMNS_GROUPS *CZ_WARP)
    cz_columns_kernel(cz_columns c) {
  CZ_SHARED(float, part, [CZ_COLUMNS_GROUPS][CZ_WARP]);
  const int lane = (int)threadIdx.x % CZ_WARP, group = (int)threadIdx.x / CZ_WARP;
  const int64_t d = (int64_t)blockIdx.x * CZ_WARP + lane;
  const float *partial = c.partial + blockIdx.y * c.rows * c.D;
  float *to = blockIdx.y ? c.to[1] : c.to[0], sum = 0; /* parameters have no address */
  if (d < c.D && to)
    for (int64_t i = group; i < c.rows; i += CZ_COLUMNS_GROUPS) sum += partial[i * c.D + d];
  part[group][lane] = sum;
  __syncthreads();
  if (group > 0 || d >= c.D || !to) return;
  sum = 0;
  for (int i = 0; i < CZ_COLUMNS_GROUPS; i++) sum += part[i][lane];
  to[d] = (blockIdx.y ? c.add[1] : c.add[0]) ? to[d] + sum : sum;
}

/* Sums of columns of one array or two; of no rows it is 0. */
static inline void cz_sum_columns(const char *name, const cz_call *call, const cz_columns &c) {
  const dim3 grid((unsigned)((c.D + CZ_WARP - 1) / CZ_WARP), c.to[1] ? 2 : c.to[0] ? 1 : 0);
  cz_launch(name, cz_columns_kernel, grid, CZ_COLUMNS_GROUPS * CZ_WARP, 0, call->stream, c);
}

#endif
