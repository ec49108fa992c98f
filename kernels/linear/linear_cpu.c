#include "kernels/common/cpu.h"
#include "kernels/common/product.h"
#include "kernels/common/rows.h"
#include "kernels/linear/linear.h"

CZ_CLONES static void add_row(float *sum, const float *row, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) sum[i] += row[i];
}

/* Bias and activation of one tile, while it is in cache. z is where the product lies: y
 * itself, or pre. */
static void finish_tile(float *y, float *z, const float *bias, cz_product_part part, int64_t O,
                        int activation) {
  int64_t first = part.m0 * O + part.n0;
  for (int64_t t = 0; t < part.m; t++) {
    float *row = z + first + t * O;
    if (bias) add_row(row, bias + part.n0, part.n);
    if (activation != CZ_ACTIVATION_NONE)
      cz_activation_values_cpu(y + first + t * O, row, part.n, activation);
  }
}

/** Forward in float32, see linear.h. BIAS and PRE may be null. */
void cz_linear_fwd_cpu(float *y, float *pre, const float *x, const float *w, const float *bias,
                       int64_t T, int64_t I, int64_t O, const cz_linear_attr *attr) {
  bool out_in = attr->layout == CZ_LINEAR_OUT_IN;
  float *z = pre ? pre : y;
  const cz_product p = {.c = z,
                        .a = x,
                        .b = w,
                        .b_transposed = out_in,
                        .M = T,
                        .N = O,
                        .K = I,
                        .lda = I,
                        .ldb = out_in ? I : O,
                        .ldc = O,
                        .alpha = (float)attr->alpha};
  int64_t tiles = cz_product_tiles(&p);
#pragma omp parallel for schedule(dynamic) if (tiles > 1)
  for (int64_t i = 0; i < tiles; i++)
    finish_tile(y, z, bias, cz_product_tile(&p, i), O, attr->activation);
}

/* What backward keeps in its workspace. */
typedef struct scratch {
  float *g;       /* dy * act'(pre) [T, O], when there is an activation */
  float *partial; /* sums of g over blocks of rows [blocks, O] */
} scratch;

static scratch lay_out(void *workspace, int64_t T, int64_t O, const cz_linear_attr *attr) {
  scratch s = {.g = workspace, .partial = workspace};
  if (attr->activation != CZ_ACTIVATION_NONE) s.partial += T * O;
  return s;
}

/** Bytes of workspace that cz_linear_bwd_cpu needs. */
size_t cz_linear_bwd_cpu_bytes(int64_t T, int64_t O, const cz_linear_attr *attr, bool bias) {
  return (size_t)((attr->activation != CZ_ACTIVATION_NONE ? T : 0) +
                  (bias ? cz_row_blocks_most(T) : 0)) *
         (size_t)O * sizeof(float);
}

/* g = dy * act'(z) for the rows of one block, and their sum for dbias. */
static void block_before_products(const scratch *s, bool sum, int64_t block, const float *dy,
                                  const float *z, int64_t T, int64_t O, int activation) {
  int64_t begin = block * cz_row_block(T),
          end = begin + cz_row_block(T) < T ? begin + cz_row_block(T) : T;
  float *partial = s->partial + block * O;
  if (sum) memset(partial, 0, (size_t)O * sizeof *partial);
  for (int64_t t = begin; t < end; t++) {
    const float *g = dy + t * O;
    if (activation != CZ_ACTIVATION_NONE) {
      cz_activation_slopes_cpu(s->g + t * O, g, z + t * O, O, activation);
      g = s->g + t * O;
    }
    if (sum) add_row(partial, g, O);
  }
}

static float beta_of(cz_grad_mode mode) { return mode == CZ_GRAD_ADD ? 1 : 0; }

/** Backward in float32, see linear.h. DBIAS may be null, and so may Y and PRE where the
 * activation does not read them. */
void cz_linear_bwd_cpu(float *dx, float *dw, float *dbias, const float *dy, const float *y,
                       const float *pre, const float *x, const float *w, int64_t T, int64_t I,
                       int64_t O, const cz_linear_attr *attr, const cz_grad_mode *mode,
                       void *workspace) {
  bool out_in = attr->layout == CZ_LINEAR_OUT_IN, active = attr->activation != CZ_ACTIVATION_NONE;
  bool sum = dbias && mode[CZ_LINEAR_BIAS] != CZ_GRAD_SKIP;
  scratch s = lay_out(workspace, T, O, attr);
  const float *z = attr->activation == CZ_ACTIVATION_RELU ? y : pre, *g = active ? s.g : dy;
  int64_t blocks = active || sum ? cz_row_blocks(T) : 0;
#pragma omp parallel for schedule(static) if (T * O > 16384)
  for (int64_t b = 0; b < blocks; b++)
    block_before_products(&s, sum, b, dy, z, T, O, attr->activation);
  if (sum) cz_rows_reduce(dbias, s.partial, blocks, O, mode[CZ_LINEAR_BIAS]);

  /* z = alpha x W^T: dx = alpha g W; dW = alpha g^T x, or alpha x^T g when stored [I,
   * O]. */
  float alpha = (float)attr->alpha;
  const cz_product to_x = {.c = dx,
                           .a = g,
                           .b = w,
                           .b_transposed = !out_in,
                           .M = T,
                           .N = I,
                           .K = O,
                           .lda = O,
                           .ldb = out_in ? I : O,
                           .ldc = I,
                           .alpha = alpha,
                           .beta = beta_of(mode[CZ_LINEAR_X])};
  const cz_product to_w = {.c = dw,
                           .a = out_in ? g : x,
                           .b = out_in ? x : g,
                           .a_transposed = true,
                           .M = out_in ? O : I,
                           .N = out_in ? I : O,
                           .K = T,
                           .lda = out_in ? O : I,
                           .ldb = out_in ? I : O,
                           .ldc = out_in ? I : O,
                           .alpha = alpha,
                           .beta = beta_of(mode[CZ_LINEAR_W])};
  int64_t tiles_x = mode[CZ_LINEAR_X] != CZ_GRAD_SKIP ? cz_product_tiles(&to_x) : 0;
  int64_t tiles_w = mode[CZ_LINEAR_W] != CZ_GRAD_SKIP ? cz_product_tiles(&to_w) : 0;
#pragma omp parallel for schedule(dynamic) if (tiles_x > 1 || tiles_w > 1)
  for (int64_t i = 0; i < tiles_w + tiles_x;
       i++) /* the tiles that sum over all rows take longest: they go first */
    cz_product_tile(i < tiles_w ? &to_w : &to_x, i < tiles_w ? i : i - tiles_w);
}
