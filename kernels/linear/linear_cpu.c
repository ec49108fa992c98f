/* Linear in float32 or bfloat16: all matrix products go through common/product.h, in tiles that
 * one OpenMP loop hands out. With z = alpha x W^T + bias, y = act(z), W stored [O, I]:
 *
 *     z_to   = alpha sum_i x_ti w_oi + bias_o
 *     g_to   = dy_to act'(z_to)
 *     dx_ti  = sum_o g_to dz_to / dx_ti = alpha sum_o g_to w_oi       [T, O] times [O, I]
 *     dw_oi  = sum_t g_to dz_to / dw_oi = alpha sum_t g_to x_ti       [O, T] times [T, I]
 *     dbias_o = sum_t g_to
 *
 * In bfloat16 x, w, z, y, g and dx are rounded; sums, bias, dW and dbias are float32, and
 * dbias sums g before it is rounded.
 *
 * Forward is one product of 2 T I O operations, backward two. g is an array only when
 * there is an activation; otherwise it is dy itself.
 *
 * Tiles are taken by whichever thread is free. That changes no bit: a tile is written by
 * one thread, and its sums run in the order that the BLAS has for that shape. */
#include "kernels/common/cpu.h"
#include "kernels/common/piece.h"
#include "kernels/common/product.h"
#include "kernels/common/rows.h"
#include "kernels/common/workspace.h"
#include "kernels/linear/linear.h"

#include <omp.h>

typedef struct arrays {
  int64_t T, I, O;
  cz_dtype dtype, y_dtype, dw_dtype; /* dtype: of x, w and pre */
  bool out_in, biased, saves;        /* W is [O, I]; there is a bias; z is saved in pre */
  int activation;
  float alpha;
  void *y, *pre, *dx, *dw; /* pre: null where backward does not ask for it */
  float *dbias;
  const void *x, *w, *dy, *saved; /* saved: what act' is taken at, pre or for ReLU y */
  const float *bias;
  uint64_t version; /* of w */
  cz_units *units;
} arrays;

static arrays unpack(const cz_call *call) {
  const cz_linear_attr *attr = call->attr;
  const cz_arg *x = &call->in[CZ_LINEAR_X], *w = &call->in[CZ_LINEAR_W];
  arrays a = {.T = x->dim[0],
              .I = x->dim[1],
              .dtype = x->dtype,
              .y_dtype = cz_dtype_chosen(attr->y, x->dtype),
              .dw_dtype = call->din[CZ_LINEAR_W].dtype,
              .out_in = attr->layout == CZ_LINEAR_OUT_IN,
              .biased = cz_present(&call->in[CZ_LINEAR_BIAS]),
              .saves = cz_present(&call->out[CZ_LINEAR_PRE]),
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
              .dy = call->dout[CZ_LINEAR_Y].data,
              .version = w->version,
              .units = call->stream};
  a.O = w->dim[a.out_in ? 0 : 1];
  a.saved = attr->activation == CZ_ACTIVATION_RELU ? a.y : a.pre;
  return a;
}

/* What reads and writes whole rows where nothing is narrower than float32. */
static int64_t piece_of(const arrays *a, int64_t n) { return cz_piece_length(a->dtype, n); }

static cz_dtype z_dtype(const arrays *a) { return a->saves ? a->dtype : a->y_dtype; }

/* Activation of one tile, while it is in cache. z is where the product lies: y itself, or
 * pre. */
static void finish_tile(const arrays *a, const void *z, cz_product_part part) {
  float read[CZ_PIECE], written[CZ_PIECE];
  int64_t step = piece_of(a, part.n);
  if (a->activation == CZ_ACTIVATION_NONE) return;
  for (int64_t t = 0; t < part.m; t++) {
    for (int64_t i = 0; i < part.n; i += step) {
      int64_t n = cz_minimum(step, part.n - i), at = (part.m0 + t) * a->O + part.n0 + i;
      float *y = cz_piece_room(a->y, a->y_dtype, at, written);
      cz_activation_values_cpu(y, cz_piece_read(z, z_dtype(a), at, n, read), n, a->activation);
      cz_piece_put(a->y, a->y_dtype, at, n, y);
    }
  }
}

static cz_product product_to_z(const arrays *a) {
  return (cz_product){.c = a->saves ? a->pre : a->y,
                      .a = a->x,
                      .b = a->w,
                      .dtype = a->dtype,
                      .c_dtype = z_dtype(a),
                      .b_transposed = a->out_in,
                      .M = a->T,
                      .N = a->O,
                      .K = a->I,
                      .lda = a->I,
                      .ldb = a->out_in ? a->I : a->O,
                      .ldc = a->O,
                      .alpha = a->alpha,
                      .bias = a->bias,
                      .b_version = a->version,
                      .units = a->units};
}

/** Forward in the dtype of x. Contract: linear.h. Where z is saved the product is written to
 * pre and the activation reads it there; else both happen in y, and z is gone
 * afterwards. */
void cz_linear_fwd_cpu(const cz_call *call) {
  arrays a = unpack(call);
  const cz_product p = product_to_z(&a);
  size_t slice = cz_product_tile_scratch(&p);
  int64_t tiles = cz_product_tiles(&p);
#pragma omp parallel for schedule(dynamic) if (tiles > 1)                                          \
    num_threads(cz_product_threads(call, 0, slice))
  for (int64_t i = 0; i < tiles; i++) {
    char *scratch = (char *)call->workspace + (size_t)omp_get_thread_num() * slice;
    finish_tile(&a, p.c, cz_product_tile(&p, i, scratch));
  }
}

/* Whether g is another array than dy: products want it in the dtype of x. */
static bool makes_g(const arrays *a) {
  return a->activation != CZ_ACTIVATION_NONE || a->y_dtype != a->dtype;
}

/* What backward keeps in its workspace, before the threads' slices. */
typedef struct before_products {
  void *g;        /* dy act'(z) [T, O], when it is not dy */
  float *partial; /* sums of g over blocks of rows [blocks, O] */
} before_products;

/* Returns the bytes. */
static size_t lay_out(before_products *s, const arrays *a, uintptr_t begin) {
  uintptr_t at = begin;
  size_t O = (size_t)a->O;
  s->g = cz_take(&at, makes_g(a) ? (size_t)a->T * O * cz_dtype_bytes(a->dtype) : 0);
  s->partial =
      cz_take(&at, a->biased ? (size_t)cz_row_blocks_maximum(a->T) * O * sizeof(float) : 0);
  return (size_t)(at - begin);
}

/* N numbers of g from AT on, which are also put where the products read them; read where they
 * lie, or in ROOM. */
static const float *make_g(const arrays *a, const before_products *s, int64_t at, int64_t n,
                           float *room) {
  float dy[CZ_PIECE], saved[CZ_PIECE];
  const float *g = cz_piece_read(a->dy, a->y_dtype, at, n, dy);
  float *to = cz_piece_room(s->g, a->dtype, at, room);
  if (a->activation == CZ_ACTIVATION_NONE)
    memcpy(to, g, (size_t)n * sizeof *to);
  else
    cz_activation_slopes_cpu(
        to, g,
        cz_piece_read(a->saved, a->activation == CZ_ACTIVATION_RELU ? a->y_dtype : a->dtype, at, n,
                      saved),
        n, a->activation);
  cz_piece_put(s->g, a->dtype, at, n, to);
  return to;
}

/* g = dy act'(z) for the rows of one block, and their sum for dbias. Blocks of rows as in
 * common/rows.h: one thread sums a block's g in order, and cz_rows_reduce adds the blocks
 * in order. */
static void block_before_products(const arrays *a, const before_products *s, bool sum,
                                  int64_t block) {
  int64_t begin = block * cz_row_block(a->T), O = a->O, step = piece_of(a, O),
          end = cz_minimum(begin + cz_row_block(a->T), a->T);
  float *partial = s->partial + block * O, room[CZ_PIECE];
  if (sum) memset(partial, 0, (size_t)O * sizeof *partial);
  for (int64_t t = begin; t < end; t++) {
    for (int64_t i = 0; i < O; i += step) {
      int64_t n = cz_minimum(step, O - i), at = t * O + i;
      const float *g =
          makes_g(a) ? make_g(a, s, at, n, room) : cz_piece_read(a->dy, a->y_dtype, at, n, room);
      if (sum) cz_row_add(partial + i, g, n);
    }
  }
}

/* The product itself adds to what is there: a tied weight's second gradient needs no pass
 * over memory. */
static float beta_of(cz_grad_mode mode) { return mode == CZ_GRAD_ADD ? 1 : 0; }

/* dx = alpha g W: T x I numbers, each a sum over the O outputs. W [O, I] is read as it
 * lies, W [I, O] transposed. */
static cz_product product_to_x(const arrays *a, const void *g, cz_grad_mode mode) {
  return (cz_product){.c = a->dx,
                      .a = g,
                      .b = a->w,
                      .dtype = a->dtype,
                      .c_dtype = a->dtype,
                      .b_transposed = !a->out_in,
                      .M = a->T,
                      .N = a->I,
                      .K = a->O,
                      .lda = a->O,
                      .ldb = a->out_in ? a->I : a->O,
                      .ldc = a->I,
                      .alpha = a->alpha,
                      .beta = beta_of(mode),
                      .b_version = a->version,
                      .units = a->units};
}

/* dW = alpha g^T x, or its transpose alpha x^T g when W is stored [I, O]. A sum over all
 * T rows of a batch, the longest in a step: its rounding grows with T, and error_constant
 * in linear_op.c reckons with it. */
static cz_product product_to_w(const arrays *a, const void *g, cz_grad_mode mode) {
  return (cz_product){.c = a->dw,
                      .a = a->out_in ? g : a->x,
                      .b = a->out_in ? a->x : g,
                      .dtype = a->dtype,
                      .c_dtype = a->dw_dtype,
                      .a_transposed = true,
                      .M = a->out_in ? a->O : a->I,
                      .N = a->out_in ? a->I : a->O,
                      .K = a->T,
                      .lda = a->out_in ? a->O : a->I,
                      .ldb = a->out_in ? a->I : a->O,
                      .ldc = a->out_in ? a->I : a->O,
                      .alpha = a->alpha,
                      .beta = beta_of(mode),
                      .units = a->units};
}

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

/** Bytes of workspace: scratch of the tiles; backward also g and the partial sums of
 * dbias. */
size_t cz_linear_workspace_cpu(const cz_call *call, bool backward) {
  arrays a = unpack(call);
  before_products s;
  cz_product z = product_to_z(&a), x = product_to_x(&a, NULL, CZ_GRAD_WRITE),
             w = product_to_w(&a, NULL, CZ_GRAD_WRITE);
  size_t slice = backward ? larger(cz_product_tile_scratch(&x), cz_product_tile_scratch(&w))
                          : cz_product_tile_scratch(&z);
  return (backward ? lay_out(&s, &a, 0) : 0) + (size_t)omp_get_max_threads() * slice;
}

/* The tiles of both products in one loop, so that threads without a tile of dW left go on
 * with dx. The tiles of dW sum over all rows and take longest: they go first. */
static void multiply(const cz_call *call, const arrays *a, const void *g, size_t shared) {
  const cz_grad_mode *mode = call->mode;
  const cz_product to_x = product_to_x(a, g, mode[CZ_LINEAR_X]),
                   to_w = product_to_w(a, g, mode[CZ_LINEAR_W]);
  int64_t tiles_x = mode[CZ_LINEAR_X] != CZ_GRAD_SKIP ? cz_product_tiles(&to_x) : 0;
  int64_t tiles_w = mode[CZ_LINEAR_W] != CZ_GRAD_SKIP ? cz_product_tiles(&to_w) : 0;
  size_t slice = larger(cz_product_tile_scratch(&to_x), cz_product_tile_scratch(&to_w));
#pragma omp parallel for schedule(dynamic) if (tiles_x > 1 || tiles_w > 1)                         \
    num_threads(cz_product_threads(call, shared, slice))
  for (int64_t i = 0; i < tiles_w + tiles_x; i++) {
    char *scratch = (char *)call->workspace + shared + (size_t)omp_get_thread_num() * slice;
    cz_product_tile(i < tiles_w ? &to_w : &to_x, i < tiles_w ? i : i - tiles_w, scratch);
  }
}

/** Backward in the dtype of x. Contract: linear.h. g and dbias first, in one pass over dy,
 * since the two products need all of g. */
void cz_linear_bwd_cpu(const cz_call *call) {
  arrays a = unpack(call);
  bool made = makes_g(&a), sum = call->mode[CZ_LINEAR_BIAS] != CZ_GRAD_SKIP;
  before_products s;
  size_t shared = lay_out(&s, &a, (uintptr_t)call->workspace);
  int64_t blocks = made || sum ? cz_row_blocks(a.T) : 0;
#pragma omp parallel for schedule(static) if (a.T * a.O > 16384)
  for (int64_t b = 0; b < blocks; b++) block_before_products(&a, &s, sum, b);
  if (sum) cz_rows_reduce(a.dbias, s.partial, blocks, a.O, call->mode[CZ_LINEAR_BIAS]);
  multiply(call, &a, made ? s.g : a.dy, shared);
}
