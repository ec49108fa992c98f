/* Linear in float32: all matrix products go through common/product.h, in tiles that one
 * OpenMP loop hands out. With z = alpha x W^T + bias, y = act(z), W stored [O, I]:
 *
 *     z_to   = alpha sum_i x_ti w_oi + bias_o
 *     g_to   = dy_to act'(z_to)
 *     dx_ti  = sum_o g_to dz_to / dx_ti = alpha sum_o g_to w_oi       [T, O] times [O, I]
 *     dw_oi  = sum_t g_to dz_to / dw_oi = alpha sum_t g_to x_ti       [O, T] times [T, I]
 *     dbias_o = sum_t g_to
 *
 * Forward is one product of 2 T I O operations, backward two. g is an array only when
 * there is an activation; otherwise it is dy itself.
 *
 * Tiles are taken by whichever thread is free. That changes no bit: a tile is written by
 * one thread, and its sums run in the order that the BLAS has for that shape. */
#include "kernels/common/cpu.h"
#include "kernels/common/product.h"
#include "kernels/common/rows.h"
#include "kernels/linear/linear.h"

typedef struct arrays {
  int64_t T, I, O;
  bool out_in; /* W is [O, I] */
  int activation;
  float alpha;
  float *y, *pre, *dx, *dw, *dbias;       /* pre: null where backward does not ask for it */
  const float *x, *w, *bias, *dy, *saved; /* saved: what act' is taken at, pre or for ReLU y */
} arrays;

static arrays unpack(const cz_call *call) {
  const cz_linear_attr *attr = call->attr;
  const cz_arg *x = &call->in[CZ_LINEAR_X], *w = &call->in[CZ_LINEAR_W];
  arrays a = {.T = x->dim[0],
              .I = x->dim[1],
              .out_in = attr->layout == CZ_LINEAR_OUT_IN,
              .activation = attr->activation,
              .alpha = (float)attr->alpha,
              .y = call->out[CZ_LINEAR_Y].data,
              .pre = call->out[CZ_LINEAR_PRE].data,
              .dx = call->din[CZ_LINEAR_X].data,
              .dw = call->din[CZ_LINEAR_W].data,
              .dbias = call->din[CZ_LINEAR_BIAS].data,
              .x = x->data,
              .w = w->data,
              .bias = call->in[CZ_LINEAR_BIAS].data,
              .dy = call->dout[CZ_LINEAR_Y].data};
  a.O = w->dim[a.out_in ? 0 : 1];
  a.saved = attr->activation == CZ_ACTIVATION_RELU ? a.y : a.pre;
  return a;
}

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

/** Forward in float32. Contract: linear.h. Where z is saved the product is written to pre
 * and the activation reads it there; else both happen in y, and z is gone afterwards. */
void cz_linear_fwd_cpu(const cz_call *call) {
  arrays a = unpack(call);
  float *z = a.pre ? a.pre : a.y;
  const cz_product p = {.c = z,
                        .a = a.x,
                        .b = a.w,
                        .b_transposed = a.out_in,
                        .M = a.T,
                        .N = a.O,
                        .K = a.I,
                        .lda = a.I,
                        .ldb = a.out_in ? a.I : a.O,
                        .ldc = a.O,
                        .alpha = a.alpha};
  int64_t tiles = cz_product_tiles(&p);
#pragma omp parallel for schedule(dynamic) if (tiles > 1)
  for (int64_t i = 0; i < tiles; i++)
    finish_tile(a.y, z, a.bias, cz_product_tile(&p, i), a.O, a.activation);
}

/* What backward keeps in its workspace. */
typedef struct scratch {
  float *g;       /* dy act'(z) [T, O], when there is an activation */
  float *partial; /* sums of g over blocks of rows [blocks, O] */
} scratch;

static scratch lay_out(void *workspace, const arrays *a) {
  scratch s = {.g = workspace, .partial = workspace};
  if (a->activation != CZ_ACTIVATION_NONE) s.partial += a->T * a->O;
  return s;
}

/** Bytes of workspace: none forward; backward g and the partial sums of dbias. */
size_t cz_linear_workspace_cpu(const cz_call *call, bool backward) {
  arrays a = unpack(call);
  if (!backward) return 0;
  return (size_t)((a.activation != CZ_ACTIVATION_NONE ? a.T : 0) +
                  (cz_present(&call->in[CZ_LINEAR_BIAS]) ? cz_row_blocks_maximum(a.T) : 0)) *
         (size_t)a.O * sizeof(float);
}

/* g = dy act'(z) for the rows of one block, and their sum for dbias. Blocks of rows as in
 * common/rows.h: one thread sums a block's g in order, and cz_rows_reduce adds the blocks
 * in order. */
static void block_before_products(const arrays *a, const scratch *s, bool sum, int64_t block) {
  int64_t begin = block * cz_row_block(a->T), O = a->O,
          end = begin + cz_row_block(a->T) < a->T ? begin + cz_row_block(a->T) : a->T;
  float *partial = s->partial + block * O;
  if (sum) memset(partial, 0, (size_t)O * sizeof *partial);
  for (int64_t t = begin; t < end; t++) {
    const float *g = a->dy + t * O;
    if (a->activation != CZ_ACTIVATION_NONE) {
      cz_activation_slopes_cpu(s->g + t * O, g, a->saved + t * O, O, a->activation);
      g = s->g + t * O;
    }
    if (sum) add_row(partial, g, O);
  }
}

/* The product itself adds to what is there: a tied weight's second gradient needs no pass
 * over memory. */
static float beta_of(cz_grad_mode mode) { return mode == CZ_GRAD_ADD ? 1 : 0; }

/* dx = alpha g W: T x I numbers, each a sum over the O outputs. W [O, I] is read as it
 * lies, W [I, O] transposed. */
static cz_product product_to_x(const arrays *a, const float *g, cz_grad_mode mode) {
  return (cz_product){.c = a->dx,
                      .a = g,
                      .b = a->w,
                      .b_transposed = !a->out_in,
                      .M = a->T,
                      .N = a->I,
                      .K = a->O,
                      .lda = a->O,
                      .ldb = a->out_in ? a->I : a->O,
                      .ldc = a->I,
                      .alpha = a->alpha,
                      .beta = beta_of(mode)};
}

/* dW = alpha g^T x, or its transpose alpha x^T g when W is stored [I, O]. A sum over all
 * T rows of a batch, the longest in a step: its rounding grows with T, and error_constant
 * in linear_op.c reckons with it. */
static cz_product product_to_w(const arrays *a, const float *g, cz_grad_mode mode) {
  return (cz_product){.c = a->dw,
                      .a = a->out_in ? g : a->x,
                      .b = a->out_in ? a->x : g,
                      .a_transposed = true,
                      .M = a->out_in ? a->O : a->I,
                      .N = a->out_in ? a->I : a->O,
                      .K = a->T,
                      .lda = a->out_in ? a->O : a->I,
                      .ldb = a->out_in ? a->I : a->O,
                      .ldc = a->out_in ? a->I : a->O,
                      .alpha = a->alpha,
                      .beta = beta_of(mode)};
}

/** Backward in float32. Contract: linear.h. g and dbias first, in one pass over dy, since
 * the two products need all of g; then the tiles of both products in one loop, so that
 * threads without a tile of dW left go on with dx. */
void cz_linear_bwd_cpu(const cz_call *call) {
  arrays a = unpack(call);
  const cz_grad_mode *mode = call->mode;
  bool active = a.activation != CZ_ACTIVATION_NONE, sum = mode[CZ_LINEAR_BIAS] != CZ_GRAD_SKIP;
  scratch s = lay_out(call->workspace, &a);
  int64_t blocks = active || sum ? cz_row_blocks(a.T) : 0;
#pragma omp parallel for schedule(static) if (a.T * a.O > 16384)
  for (int64_t b = 0; b < blocks; b++) block_before_products(&a, &s, sum, b);
  if (sum) cz_rows_reduce(a.dbias, s.partial, blocks, a.O, mode[CZ_LINEAR_BIAS]);

  const float *g = active ? s.g : a.dy;
  const cz_product to_x = product_to_x(&a, g, mode[CZ_LINEAR_X]),
                   to_w = product_to_w(&a, g, mode[CZ_LINEAR_W]);
  int64_t tiles_x = mode[CZ_LINEAR_X] != CZ_GRAD_SKIP ? cz_product_tiles(&to_x) : 0;
  int64_t tiles_w = mode[CZ_LINEAR_W] != CZ_GRAD_SKIP ? cz_product_tiles(&to_w) : 0;
  /* The tiles of dW sum over all rows and take longest: they go first. */
#pragma omp parallel for schedule(dynamic) if (tiles_x > 1 || tiles_w > 1)
  for (int64_t i = 0; i < tiles_w + tiles_x; i++)
    cz_product_tile(i < tiles_w ? &to_w : &to_x, i < tiles_w ? i : i - tiles_w);
}
