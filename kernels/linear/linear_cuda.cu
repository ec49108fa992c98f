/* The library's products with little around them.
 *
 *   z = alpha x W^T + bias          y = act(z)
 *   g = dy act'(z)                  dx = alpha g W, dW = alpha g^T x, dbias = sum of g over rows
 *
 * Forward is one product when the library can add the bias and apply the activation before it
 * rounds; else z is made in float32 and one pass makes y and pre of it. The library adds a bias of
 * y's dtype only, so that before a y of 16 bits the bias is rounded to them: z moves by half a unit
 * in the last place of the bias at most, and a float16 y is infinite where the bias alone is beyond
 * 65504. Backward makes g in one pass over dy, which adds its columns by the way, unless g is dy
 * itself and no bias wants its sum. */
#include "kernels/activation/activation.cuh"
#include "kernels/cast/cast.h"
#include "kernels/common/columns.cuh"
#include "kernels/common/elementwise.cuh"
#include "kernels/common/workspace.h"
#include "kernels/linear/linear.h"

typedef struct sizes {
  int64_t T, I, O;
  bool out_in;    /* W is [O, I] */
  cz_dtype x, y;  /* of the products' operands, and of y */
  int activation; /* cz_activation_kind */
  float alpha;
} sizes;

static sizes sizes_of(const cz_call *call) {
  const cz_linear_attr *attr = (const cz_linear_attr *)call->attr;
  const cz_arg *x = &call->in[CZ_LINEAR_X], *w = &call->in[CZ_LINEAR_W];
  sizes s = {};
  s.T = x->dim[0], s.I = x->dim[1];
  s.out_in = attr->layout == CZ_LINEAR_OUT_IN;
  s.O = w->dim[s.out_in ? 0 : 1];
  s.x = x->dtype, s.y = call->out[CZ_LINEAR_Y].dtype;
  s.activation = attr->activation, s.alpha = (float)attr->alpha;
  return s;
}

/* Whether z stands in the workspace: in float32, where y has 16 bits and something is done between
 * the product and y that the library may not have. Without a bias ReLU can as well be applied to
 * what is rounded already. */
static bool keeps_sum(const cz_call *call, const sizes &s) {
  const bool plain = s.activation == CZ_ACTIVATION_NONE || s.activation == CZ_ACTIVATION_RELU;
  return s.y != CZ_F32 && (call->in[CZ_LINEAR_BIAS].data || !plain);
}

/* ---- forward ---- */

namespace {
/* y = act(z + bias), and pre before it where it is wanted; z is float32 or has y's type, and may be
 * y. */
template <class Z, class Y, class P, int KIND> struct finish {
  enum { EACH = cz_each<Y, P, Z>() };
  Y *y;
  P *pre;
  const Z *z;
  const float *bias;
  int64_t O;

  __device__ void begin() {}

  template <int N> __device__ void at(int64_t i) const {
    float x[N], b[N];
    cz_load_floats<N>(x, z + i);
    cz_load_floats_or<N>(b, bias, i % O, 0);
    CZ_UNROLL
    for (int j = 0; j < N; j++) x[j] += b[j];
    if (pre) cz_store_floats<N>(pre + i, x);
    CZ_UNROLL
    for (int j = 0; j < N; j++) x[j] = cz_activated<KIND>(x[j]);
    cz_store_floats<N>(y + i, x);
  }
};
} // namespace

/* P is the type of x; y has it too or is float32. */
template <class Z, class Y, class P>
static void launch_finish(const cz_call *call, const sizes &s, const void *sum) {
  cz_with_activation(s.activation, [&](auto kind) {
    typedef finish<Z, Y, P, decltype(kind)::value> op_type;
    op_type op = {};
    op.y = static_cast<Y *>(call->out[CZ_LINEAR_Y].data);
    op.pre = static_cast<P *>(call->out[CZ_LINEAR_PRE].data);
    op.z = static_cast<const Z *>(sum);
    op.bias = static_cast<const float *>(call->in[CZ_LINEAR_BIAS].data), op.O = s.O;
    const bool aligned = s.O % op_type::EACH == 0 && cz_aligned_16(op.y) && cz_aligned_16(op.pre) &&
                         cz_aligned_16(op.z) && cz_aligned_16(op.bias);
    cz_elementwise("linear finish", call, op, s.T * s.O, aligned);
  });
}

static cz_cuda_product product_of_y(const cz_call *call, const sizes &s) {
  cz_cuda_product p = {};
  p.c = call->out[CZ_LINEAR_Y].data, p.ldc = s.O, p.out = s.y;
  p.a = call->in[CZ_LINEAR_X].data, p.lda = s.I, p.in = s.x;
  p.b = call->in[CZ_LINEAR_W].data, p.ldb = s.out_in ? s.I : s.O, p.transposed_b = s.out_in;
  p.m = s.T, p.n = s.O, p.k = s.I, p.alpha = s.alpha;
  return p;
}

/* Whether the library may do all of forward. Its GELU is x / 2 (1 + tanh u), which cancels in the
 * tail: 16 bits hide that, float32 does not. pre has the dtype of x. */
static bool library_finishes(const sizes &s, const cz_cuda_epilogue &e) {
  const bool gelu = s.activation == CZ_ACTIVATION_GELU_TANH;
  return s.I > 0 && (!e.pre || s.y == s.x) && !(gelu && s.y == CZ_F32);
}

/* The bias in y's dtype: itself, or rounded to the front of the workspace, where z would stand and
 * has more bytes (keeps_sum). */
static const void *bias_of_y(const cz_call *call, const sizes &s) {
  const cz_arg *bias = &call->in[CZ_LINEAR_BIAS];
  if (!bias->data || s.y == CZ_F32 || s.T == 0) return bias->data;
  cz_call cast = {};
  cast.in[CZ_CAST_X] = cast.out[0] = *bias;
  cast.out[0].data = call->workspace, cast.out[0].dtype = s.y;
  cast.stream = call->stream;
  cz_cast_fwd_cuda(&cast);
  return call->workspace;
}

/* Whether y, and pre with it, was made by the library alone. */
static bool made_by_library(const cz_call *call, const sizes &s) {
  cz_cuda_product p = product_of_y(call, s);
  p.epilogue.pre = call->out[CZ_LINEAR_PRE].data;
  p.epilogue.activation = s.activation;
  if (!library_finishes(s, p.epilogue)) return false;
  p.epilogue.bias = bias_of_y(call, s);
  return cz_cuda_multiply(call->stream, &p);
}

/** Forward; x and w in float32, bfloat16 or float16. Contract: linear.h. */
extern "C" void cz_linear_fwd_cuda(const cz_call *call) {
  const sizes s = sizes_of(call);
  if (made_by_library(call, s)) return;
  cz_cuda_product p = product_of_y(call, s);
  const bool kept = keeps_sum(call, s);
  if (kept) p.c = call->workspace, p.out = CZ_F32;
  cz_cuda_multiply(call->stream, &p);
  cz_with_type(s.x, [&](auto t) {
    typedef typename decltype(t)::type P;
    cz_with_type_beside<P>(s.y, [&](auto u) {
      typedef typename decltype(u)::type Y;
      if (kept)
        launch_finish<float, Y, P>(call, s, p.c);
      else
        launch_finish<Y, Y, P>(call, s, p.c);
    });
  });
}

/* ---- backward ---- */

namespace {
/* g = dy act'(z) of EACH neighbours, stored where G is not null. */
template <class T, class Y, int KIND, int EACH> struct slopes {
  T *g;
  const Y *dy, *y; /* y: what tells ReLU's slope */
  const T *pre;
  int64_t O;
  __device__ void operator()(float x[EACH], int64_t r, int64_t c) const {
    const int64_t at = r * O + c;
    float z[EACH] = {};
    cz_load_floats<EACH>(x, dy + at);
    if (KIND == CZ_ACTIVATION_RELU)
      cz_load_floats<EACH>(z, y + at);
    else if (KIND != CZ_ACTIVATION_NONE)
      cz_load_floats<EACH>(z, pre + at);
    CZ_UNROLL
    for (int i = 0; i < EACH; i++) x[i] *= cz_activation_slope_at<KIND>(z[i]);
    if (g) cz_store_floats<EACH>(g + at, x);
  }
};

} // namespace

typedef struct plan {
  sizes s;
  cz_columns columns;
  bool want_x, want_w, want_bias;
  bool makes_g;   /* not dy itself */
  void *g;        /* [T, O] in x's dtype */
  float *partial; /* of columns */
} plan;

static uintptr_t lay_out(plan *p, uintptr_t at) {
  p->g = nullptr, p->partial = nullptr;
  if (p->makes_g) p->g = cz_take(&at, (size_t)(p->s.T * p->s.O) * cz_dtype_bytes(p->s.x));
  if (p->want_bias) p->partial = (float *)cz_take(&at, cz_columns_bytes(&p->columns));
  return at;
}

static plan plan_of(const cz_call *call) {
  plan p = {};
  p.s = sizes_of(call);
  p.want_x = call->mode[CZ_LINEAR_X] != CZ_GRAD_SKIP;
  p.want_w = call->mode[CZ_LINEAR_W] != CZ_GRAD_SKIP;
  p.want_bias = call->mode[CZ_LINEAR_BIAS] != CZ_GRAD_SKIP;
  p.makes_g = (p.want_x || p.want_w) && (p.s.activation != CZ_ACTIVATION_NONE || p.s.y != p.s.x);
  p.columns = cz_columns_of(call->stream, p.s.T, p.s.O, p.s.x == CZ_F32 ? 4 : 8);
  return p;
}

template <class T, class Y> static void launch_slopes(const cz_call *call, const plan &p) {
  const void *dy = call->dout[CZ_LINEAR_Y].data, *y = call->out[CZ_LINEAR_Y].data,
             *pre = call->out[CZ_LINEAR_PRE].data;
  float *dbias = p.want_bias ? (float *)call->din[CZ_LINEAR_BIAS].data : nullptr;
  enum { WIDE = cz_each<T, Y>() };
  const bool wide = p.s.O % WIDE == 0 && cz_aligned_16(dy) && cz_aligned_16(y) &&
                    cz_aligned_16(pre) && cz_aligned_16(p.g);
  cz_with_activation(p.s.activation, [&](auto kind) {
    cz_with_flag(wide, [&](auto flag) {
      enum { EACH = decltype(flag)::value ? (int)WIDE : 1 };
      typedef slopes<T, Y, decltype(kind)::value, EACH> F;
      cz_columns_add<EACH>("linear slopes", call->stream, &p.columns, dbias, p.partial,
                           F{(T *)p.g, (const Y *)dy, (const Y *)y, (const T *)pre, p.s.O},
                           call->mode[CZ_LINEAR_BIAS] == CZ_GRAD_ADD);
    });
  });
}

static void gradient_of_x(const cz_call *call, const plan &p, const void *g) {
  cz_cuda_product q = {};
  q.c = call->din[CZ_LINEAR_X].data, q.ldc = p.s.I, q.out = call->din[CZ_LINEAR_X].dtype;
  q.a = g, q.lda = p.s.O, q.in = p.s.x;
  q.b = call->in[CZ_LINEAR_W].data, q.ldb = p.s.out_in ? p.s.I : p.s.O;
  q.transposed_b = !p.s.out_in;
  q.m = p.s.T, q.n = p.s.I, q.k = p.s.O, q.alpha = p.s.alpha;
  q.beta = call->mode[CZ_LINEAR_X] == CZ_GRAD_ADD ? 1 : 0;
  cz_cuda_multiply(call->stream, &q);
}

/* g^T x, or x^T g where W is stored [I, O]. */
static void gradient_of_w(const cz_call *call, const plan &p, const void *g) {
  const void *x = call->in[CZ_LINEAR_X].data;
  cz_cuda_product q = {};
  q.c = call->din[CZ_LINEAR_W].data, q.out = call->din[CZ_LINEAR_W].dtype, q.in = p.s.x;
  q.m = p.s.out_in ? p.s.O : p.s.I, q.n = p.s.out_in ? p.s.I : p.s.O, q.k = p.s.T;
  q.a = p.s.out_in ? g : x, q.lda = q.m, q.transposed_a = true;
  q.b = p.s.out_in ? x : g, q.ldb = q.ldc = q.n;
  q.alpha = p.s.alpha;
  q.beta = call->mode[CZ_LINEAR_W] == CZ_GRAD_ADD ? 1 : 0;
  cz_cuda_multiply(call->stream, &q);
}

/** Backward; dw and dbias are float32. Contract: linear.h. */
extern "C" void cz_linear_bwd_cuda(const cz_call *call) {
  plan p = plan_of(call);
  lay_out(&p, (uintptr_t)call->workspace);
  const void *g = p.makes_g ? p.g : call->dout[CZ_LINEAR_Y].data;
  if (p.makes_g || p.want_bias)
    cz_with_type(p.s.x, [&](auto t) {
      typedef typename decltype(t)::type T;
      cz_with_type_beside<T>(
          p.s.y, [&](auto y) { launch_slopes<T, typename decltype(y)::type>(call, p); });
    });
  if (p.want_x) gradient_of_x(call, p, g);
  if (p.want_w) gradient_of_w(call, p, g);
}

/** Bytes for the sum before an activation, or for g and the parts of dbias. */
extern "C" size_t cz_linear_workspace_cuda(const cz_call *call, bool backward) {
  if (backward) {
    plan p = plan_of(call);
    return (size_t)lay_out(&p, 0);
  }
  const sizes s = sizes_of(call);
  return keeps_sum(call, s) ? (size_t)(s.T * s.O) * sizeof(float) : 0;
}
