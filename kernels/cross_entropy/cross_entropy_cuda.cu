/* Rows that count are brought together first, so that what is written in the others reaches
 * nothing; then chunk by chunk:
 *
 *   logits = scale h w^T     in float32, by the library; a chunk is all that ever exists of them
 *   dx                       by a block a row: maximum, sum and gradient while the row lies in
 *                            shared memory, so that it is read once and written once
 *   dh = scale dx w, dw += scale dx^T h    by the library, of dx in the dtype of h
 *
 * The host does not know how many rows count: the others are put last, with dx = 0, and cost their
 * products.
 *
 * The target stands apart, as on the cpu: with d = log sum over v != t of exp(x_v - x_t),
 * nll = log(1 + e^d) and 1 - p_t = 1 / (1 + e^-d) keep their digits where p_t is close to 1. */
#include "kernels/common/columns.cuh"
#include "kernels/common/sum.cuh"
#include "kernels/common/workspace.h"
#include "kernels/cross_entropy/cross_entropy.h"

#include <float.h>

enum {
  THREADS = 1024,       /* of a row's block, the most */
  ORDER_THREADS = 1024, /* of the one block that orders rows and adds their losses */
  COPY_THREADS = 256,   /* of a block that copies rows, a warp each */
  EACH = 4,             /* neighbouring logits of a thread */
  SUMS_BYTES = 1024     /* of shared memory, and more than a block's sums take; a row that fits
                           beside them is kept there */
};
/* A chunk: w is read and dw added to once for each, so it should be long; and short enough for its
 * logits, CHUNK_BYTES of float32. */
static const int64_t CHUNK_BYTES = 256 << 20, ROWS_MAXIMUM = 2048, ROWS_MINIMUM = 128;

typedef struct arrays {
  int64_t N, D, V, ld, ldh; /* ld, ldh: of rows of logits and of dx, and of h */
  const int32_t *targets;
  const float *denominator, *bias, *dloss, *dnll; /* on the card; bias and gradients may be null */
  float *nll;
  float z_loss, smoothing;
  int32_t *index; /* [N]: the place in h of what comes first, second ... */
  float *losses;  /* [N], in that order */
} arrays;

static __device__ bool counts(const arrays &a, int64_t i) { return a.targets[a.index[i]] >= 0; }

/* Rows that count in their order, then the others from the last place on. One block. */
static __global__ void __launch_bounds__(ORDER_THREADS)
    order_rows(int32_t *index, const int32_t *targets, int64_t N) {
  int64_t before = 0; /* rows that count, before this stripe */
  for (int64_t base = 0; base < N; base += ORDER_THREADS) {
    const int64_t r = base + threadIdx.x;
    const bool counted = r < N && targets[r] >= 0;
    int all;
    const int64_t place = before + cz_block_sum_before(counted, &all);
    before += all;
    if (r < N) index[counted ? place : N - 1 - (r - place)] = (int32_t)r;
  }
}

/* Rows FIRST to FIRST + ROWS of the order, zeros for those that do not count. A warp a row. */
template <class T>
static __global__ void gather_rows(T *to, const T *h, arrays a, int64_t first, int64_t rows,
                                   bool wide) {
  const int64_t i = (int64_t)blockIdx.x * (COPY_THREADS / CZ_WARP) + threadIdx.x / CZ_WARP;
  if (i >= rows) return;
  const bool counted = counts(a, first + i);
  const T *from = h + a.index[first + i] * a.D;
  const int lane = cz_lane();
  const int64_t packs = wide ? a.D / cz_pack<T>::N : 0;
  const cz_pack<T> none = {};
  for (int64_t p = lane; p < packs; p += CZ_WARP)
    cz_store(to + i * a.ldh + p * cz_pack<T>::N,
             counted ? cz_load(from + p * cz_pack<T>::N) : none);
  for (int64_t d = packs * cz_pack<T>::N + lane; d < a.D; d += CZ_WARP)
    to[i * a.ldh + d] = counted ? from[d] : cz_nearest<T>(0);
}

/* dh of those rows: FROM [ROWS, D], or 0. */
template <class T, int N = cz_each<T, float>()>
static __global__ void scatter_rows(T *dh, const float *from, arrays a, int64_t first, int64_t rows,
                                    bool adds, bool wide) {
  const int64_t i = (int64_t)blockIdx.x * (COPY_THREADS / CZ_WARP) + threadIdx.x / CZ_WARP;
  if (i >= rows) return;
  const bool counted = counts(a, first + i);
  if (!counted && adds) return;
  T *to = dh + a.index[first + i] * a.D;
  const int lane = cz_lane();
  const int64_t packs = wide ? a.D / N : 0;
  for (int64_t p = lane; p < packs; p += CZ_WARP) {
    float x[N] = {}, old[N] = {};
    if (counted) cz_load_floats<N>(x, from + i * a.ldh + p * N);
    if (adds) cz_load_floats<N>(old, to + p * N);
    CZ_UNROLL
    for (int j = 0; j < N; j++) x[j] += old[j];
    cz_store_floats<N>(to + p * N, x);
  }
  for (int64_t d = packs * N + lane; d < a.D; d += CZ_WARP) {
    const float x = counted ? from[i * a.ldh + d] : 0;
    to[d] = cz_nearest<T>(adds ? cz_float(to[d]) + x : x);
  }
}

/* One row of logits. A thread reads the same ones each time: EACH neighbours, a block's stripe
 * further on the next, and of the last V mod EACH one. */
template <bool STAGED> struct row {
  const float *logits, *bias;
  float *stage;
  int64_t V;
  __device__ int64_t wide() const { return V / EACH * EACH; }
  __device__ void read(float x[EACH], int64_t v) const {
    cz_load_floats<EACH>(x, logits + v);
    if (!bias) return;
    CZ_UNROLL
    for (int i = 0; i < EACH; i++) x[i] += bias[v + i];
  }
  __device__ float read_one(int64_t v) const { return logits[v] + (bias ? bias[v] : 0); }
  /* F(x, v) of every logit of this thread; the first time they go to the stage. */
  template <class F> __device__ void each(bool first_time, F f) const {
    for (int64_t v = (int64_t)threadIdx.x * EACH; v < wide(); v += (int64_t)blockDim.x * EACH) {
      float x[EACH];
      if (STAGED && !first_time)
        cz_load_floats<EACH>(x, stage + v);
      else
        read(x, v);
      if (STAGED && first_time) cz_store_floats<EACH>(stage + v, x);
      CZ_UNROLL
      for (int i = 0; i < EACH; i++) f(x[i], v + i);
    }
    const int64_t v = wide() + threadIdx.x;
    if (v < V) f(read_one(v), v);
  }
};

typedef struct statistics {
  float maximum, others, total;   /* over v != t, their sum of exp(x - maximum); of x over all v */
  float target, nll, log_z, rest; /* x_t; rest: 1 - p_t */
} statistics;

static __device__ float exponential(float x, float maximum) {
  return x == -INFINITY ? 0 : expf(x - maximum);
}

template <bool STAGED> static __device__ statistics statistics_of(const row<STAGED> &r, int64_t t) {
  statistics s;
  float maximum = -INFINITY, others = 0, total = 0;
  s.target = r.read_one(t);
  r.each(true, [&](float x, int64_t v) { maximum = v == t ? maximum : cz_larger(maximum, x); });
  s.maximum = maximum = cz_block_maximum(maximum);
  r.each(false, [&](float x, int64_t v) {
    others += v == t ? 0 : exponential(x, maximum);
    total += x;
  });
  s.others = cz_block_sum(others), s.total = cz_block_sum(total);
  const float most = s.maximum + logf(s.others), d = most - s.target,
              rest = d > 0 ? log1pf(expf(-d)) : log1pf(expf(d));
  s.nll = d > 0 ? d + rest : rest;
  s.log_z = (d > 0 ? most : s.target) + rest;
  if (!(fabsf(s.target) <= FLT_MAX)) s.nll = NAN; /* no certainty */
  s.rest = 1 / (1 + expf(-d));
  return s;
}

/* dx_v = f p_v - smooth for v != t; p_v = exp(x_v - maximum) / Z' with Z' so that those sum to
 * 1 - p_t. An infinite log Z makes f and with it all of dx NaN, with or without a z-loss. WIDE:
 * where dx is wanted in float32 too, for the bias. Both may be the logits. */
template <class T, bool STAGED>
static __device__ void write_dx(T *dx, float *wide, const row<STAGED> &r, const arrays &a,
                                int64_t n, int64_t t, const statistics &s) {
  const float A = a.dloss ? *a.dloss / *a.denominator : 0,
              f = A * (1 + 2 * a.z_loss * s.log_z) + (a.dnll ? a.dnll[n] : 0),
              smooth = A * a.smoothing / (float)a.V,
              p = f * (s.others == 0 ? 0 : s.rest / s.others),
              others = 1 - 1 / (float)a.V, /* 0 where there is one word */
      target = A * (a.smoothing * others + 2 * a.z_loss * s.log_z) - f * s.rest;
  for (int64_t v = (int64_t)threadIdx.x * EACH; v < r.wide(); v += (int64_t)blockDim.x * EACH) {
    float x[EACH];
    if (STAGED)
      cz_load_floats<EACH>(x, r.stage + v);
    else
      r.read(x, v);
    CZ_UNROLL
    for (int i = 0; i < EACH; i++)
      x[i] = v + i == t ? target : p * exponential(x[i], s.maximum) - smooth;
    if (wide) cz_store_floats<EACH>(wide + v, x);
    cz_store_floats<EACH>(dx + v, x);
  }
  const int64_t v = r.wide() + threadIdx.x;
  if (v >= r.V) return;
  const float x = v == t ? target : p * exponential(r.read_one(v), s.maximum) - smooth;
  if (wide) wide[v] = x;
  dx[v] = cz_nearest<T>(x);
}

template <class T> static __device__ void clear_dx(T *dx, float *wide, int64_t V) {
  for (int64_t v = threadIdx.x; v < V; v += blockDim.x) {
    if (wide) wide[v] = 0;
    dx[v] = cz_nearest<T>(0);
  }
}

/* One block for row FIRST + blockIdx.x of the order. DX null: forward. */
template <class T, bool STAGED>
static __global__ void __launch_bounds__(THREADS)
    losses(T *dx, float *wide, const float *logits, arrays a, int64_t first) {
  CZ_SHARED_DYNAMIC(float, stage);
  const int64_t i = first + blockIdx.x, n = a.index[i], t = a.targets[n],
                at = (int64_t)blockIdx.x * a.ld;
  if (t < 0) {
    if (dx) clear_dx(dx + at, wide ? wide + at : nullptr, a.V);
    if (threadIdx.x == 0) a.nll[n] = 0, a.losses[i] = 0;
    return;
  }
  const row<STAGED> r = {logits + at, a.bias, stage, a.V};
  const statistics s = statistics_of(r, t);
  if (threadIdx.x == 0) {
    const float rest = a.smoothing > 0 ? a.smoothing * (s.log_z - s.total / (float)a.V) : 0;
    a.nll[n] = s.nll;
    a.losses[i] = (1 - a.smoothing) * s.nll + rest + a.z_loss * s.log_z * s.log_z;
  }
  if (dx) write_dx(dx + at, wide ? wide + at : nullptr, r, a, n, t, s);
}

/* loss = sum of losses / denominator. One block. */
static __global__ void __launch_bounds__(ORDER_THREADS) add_losses(float *loss, arrays a) {
  float sum = 0;
  for (int64_t i = threadIdx.x; i < a.N; i += ORDER_THREADS) sum += a.losses[i];
  sum = cz_block_sum(sum);
  if (threadIdx.x == 0) *loss = sum / *a.denominator;
}

/* dx in float32 as cz_column_partials takes it. */
struct dx_columns {
  const float *dx;
  int64_t ld;
  __device__ void operator()(float g[1], int64_t r, int64_t c) const { g[0] = dx[r * ld + c]; }
};

/* ---- the host's side ---- */

typedef struct plan {
  const cz_call *call;
  arrays a;
  cz_dtype dtype;
  int64_t rows; /* of a chunk, the most */
  cz_columns columns;
  bool backward, want_h, want_w, want_bias;
  void *h, *dx;          /* [rows, ldh], [rows, ld]; dx is the logits in float32 */
  float *logits, *dh;    /* [rows, ld], [rows, ldh] */
  float *partial, scale; /* of columns */
} plan;

static int64_t rows_at_once(int64_t N, int64_t ld) {
  int64_t rows = CHUNK_BYTES / 4 / ld / ROWS_MINIMUM * ROWS_MINIMUM;
  rows = rows < ROWS_MINIMUM ? ROWS_MINIMUM : rows > ROWS_MAXIMUM ? ROWS_MAXIMUM : rows;
  return rows < N ? rows : N;
}

static int64_t padded(int64_t n) { return (n + 7) / 8 * 8; }

/* Cuts the workspace from AT on; where it ends. */
static uintptr_t lay_out(plan *p, uintptr_t at) {
  const size_t bytes = cz_dtype_bytes(p->dtype);
  const bool narrow = p->dtype != CZ_F32;
  p->a.index = (int32_t *)cz_take(&at, (size_t)p->a.N * 4);
  p->a.losses = (float *)cz_take(&at, (size_t)p->a.N * 4);
  p->h = cz_take(&at, (size_t)(p->rows * p->a.ldh) * bytes);
  p->logits = (float *)cz_take(&at, (size_t)(p->rows * p->a.ld) * 4);
  p->dx = p->logits;
  if (p->backward && narrow) p->dx = cz_take(&at, (size_t)(p->rows * p->a.ld) * bytes);
  if (p->want_h) p->dh = (float *)cz_take(&at, (size_t)(p->rows * p->a.ldh) * 4);
  if (p->want_bias) p->partial = (float *)cz_take(&at, cz_columns_bytes(&p->columns));
  return at;
}

static plan plan_of(const cz_call *call, bool backward) {
  const cz_cross_entropy_attr *attr = (const cz_cross_entropy_attr *)call->attr;
  const cz_arg *h = &call->in[CZ_CROSS_ENTROPY_H];
  plan p = {};
  p.call = call, p.dtype = h->dtype, p.backward = backward, p.scale = (float)attr->logit_scale;
  arrays &a = p.a;
  a.N = h->dim[0], a.D = h->dim[1], a.V = call->in[CZ_CROSS_ENTROPY_W].dim[0];
  a.ld = padded(a.V), a.ldh = padded(a.D);
  a.targets = (const int32_t *)call->in[CZ_CROSS_ENTROPY_TARGETS].data;
  a.denominator = (const float *)call->in[CZ_CROSS_ENTROPY_DENOMINATOR].data;
  a.bias = (const float *)call->in[CZ_CROSS_ENTROPY_BIAS].data;
  a.dloss = (const float *)call->dout[CZ_CROSS_ENTROPY_LOSS].data;
  a.dnll = (const float *)call->dout[CZ_CROSS_ENTROPY_NLL].data;
  a.nll = (float *)call->out[CZ_CROSS_ENTROPY_NLL].data;
  a.z_loss = (float)attr->z_loss, a.smoothing = (float)attr->label_smoothing;
  p.rows = rows_at_once(a.N, a.ld);
  p.want_h = backward && call->mode[CZ_CROSS_ENTROPY_H] != CZ_GRAD_SKIP;
  p.want_w = backward && call->mode[CZ_CROSS_ENTROPY_W] != CZ_GRAD_SKIP;
  p.want_bias = backward && call->mode[CZ_CROSS_ENTROPY_BIAS] != CZ_GRAD_SKIP;
  p.columns = cz_columns_of(call->stream, p.rows, a.V, 1);
  return p;
}

/* One of the chunk's products, of rows-many rows; C in float32. */
static void multiply(const plan *p, cz_cuda_product product) {
  product.in = p->dtype, product.out = CZ_F32, product.alpha = p->scale;
  cz_cuda_multiply(p->call->stream, &product);
}

static void logits_of(const plan *p, int64_t rows) {
  cz_cuda_product product = {};
  product.c = p->logits, product.ldc = p->a.ld;
  product.a = p->h, product.lda = p->a.ldh;
  product.b = p->call->in[CZ_CROSS_ENTROPY_W].data, product.ldb = p->a.D,
  product.transposed_b = true;
  product.m = rows, product.n = p->a.V, product.k = p->a.D;
  multiply(p, product);
}

static void gradient_of_h(const plan *p, int64_t rows) {
  cz_cuda_product product = {};
  product.c = p->dh, product.ldc = p->a.ldh;
  product.a = p->dx, product.lda = p->a.ld;
  product.b = p->call->in[CZ_CROSS_ENTROPY_W].data, product.ldb = p->a.D;
  product.m = rows, product.n = p->a.D, product.k = p->a.V;
  multiply(p, product);
}

static void gradient_of_w(const plan *p, int64_t rows, bool adds) {
  cz_cuda_product product = {};
  product.c = p->call->din[CZ_CROSS_ENTROPY_W].data, product.ldc = p->a.D;
  product.a = p->dx, product.lda = p->a.ld, product.transposed_a = true;
  product.b = p->h, product.ldb = p->a.ldh;
  product.m = p->a.V, product.n = p->a.D, product.k = rows, product.beta = adds ? 1 : 0;
  multiply(p, product);
}

static bool adds_to(const plan *p, int input, int64_t first) {
  return first > 0 || p->call->mode[input] == CZ_GRAD_ADD;
}

template <class T> static void launch_losses(const plan *p, int64_t first, int64_t rows) {
  const size_t stage = (size_t)p->a.ld * sizeof(float);
  const bool staged = stage + SUMS_BYTES <= cz_cuda_shared(p->call->stream);
  const int64_t warps = (p->a.V / EACH + CZ_WARP - 1) / CZ_WARP;
  const unsigned threads = (unsigned)(warps < 1                   ? 1
                                      : warps > THREADS / CZ_WARP ? THREADS / CZ_WARP
                                                                  : warps) *
                           CZ_WARP;
  float *wide = p->want_bias && p->dtype != CZ_F32 ? p->logits : nullptr;
  T *dx = p->backward ? (T *)p->dx : nullptr;
  cz_with_flag(staged, [&](auto flag) {
    cz_launch("cross_entropy losses", losses<T, decltype(flag)::value>, dim3((unsigned)rows),
              threads, staged ? stage : 0, p->call->stream, dx, wide, (const float *)p->logits,
              p->a, first);
  });
}

template <class T> static void chunk(const plan *p, int64_t first, int64_t rows) {
  const cz_call *call = p->call;
  const cz_arg *h = &call->in[CZ_CROSS_ENTROPY_H], *dh = &call->din[CZ_CROSS_ENTROPY_H];
  const bool even = p->a.D % cz_pack<T>::N == 0;
  const dim3 blocks((unsigned)((rows + COPY_THREADS / CZ_WARP - 1) / (COPY_THREADS / CZ_WARP)));
  cz_launch("cross_entropy gather", gather_rows<T>, blocks, COPY_THREADS, 0, call->stream,
            (T *)p->h, (const T *)h->data, p->a, first, rows, even && cz_aligned_16(h->data));
  logits_of(p, rows);
  launch_losses<T>(p, first, rows);
  if (p->want_h) {
    gradient_of_h(p, rows);
    cz_launch("cross_entropy scatter", scatter_rows<T>, blocks, COPY_THREADS, 0, call->stream,
              (T *)dh->data, (const float *)p->dh, p->a, first, rows,
              call->mode[CZ_CROSS_ENTROPY_H] == CZ_GRAD_ADD, even && cz_aligned_16(dh->data));
  }
  if (p->want_w) gradient_of_w(p, rows, adds_to(p, CZ_CROSS_ENTROPY_W, first));
  if (!p->want_bias) return;
  cz_columns columns = p->columns; /* the last chunk is shorter */
  columns.rows = rows;
  cz_columns_add<1>("cross_entropy bias", call->stream, &columns,
                    (float *)call->din[CZ_CROSS_ENTROPY_BIAS].data, p->partial,
                    dx_columns{p->logits, p->a.ld}, adds_to(p, CZ_CROSS_ENTROPY_BIAS, first));
}

static void run(const cz_call *call, bool backward) {
  plan p = plan_of(call, backward);
  lay_out(&p, (uintptr_t)call->workspace);
  if (p.a.N == 0 && backward) {
    cz_cuda_zero_gradient(call, CZ_CROSS_ENTROPY_W);
    cz_cuda_zero_gradient(call, CZ_CROSS_ENTROPY_BIAS);
  }
  if (p.a.N > 0)
    cz_launch("cross_entropy order", order_rows, 1, ORDER_THREADS, 0, call->stream, p.a.index,
              p.a.targets, p.a.N);
  for (int64_t first = 0; first < p.a.N; first += p.rows) {
    const int64_t rows = p.a.N - first < p.rows ? p.a.N - first : p.rows;
    cz_with_type(p.dtype, [&](auto t) { chunk<typename decltype(t)::type>(&p, first, rows); });
  }
  cz_launch("cross_entropy loss", add_losses, 1, ORDER_THREADS, 0, call->stream,
            (float *)call->out[CZ_CROSS_ENTROPY_LOSS].data, p.a);
}

/** loss and nll in float32, h and w in float32, bfloat16 or float16. Contract: cross_entropy.h. */
extern "C" void cz_cross_entropy_fwd_cuda(const cz_call *call) { run(call, false); }

/** The same, and all gradients. Contract: cross_entropy.h. */
extern "C" void cz_cross_entropy_bwd_cuda(const cz_call *call) { run(call, true); }

/** Bytes for a chunk of logits, their gradient in 16 bits, and what belongs to its rows. */
extern "C" size_t cz_cross_entropy_workspace_cuda(const cz_call *call, bool backward) {
  plan p = plan_of(call, backward);
  return (size_t)lay_out(&p, 0);
}
