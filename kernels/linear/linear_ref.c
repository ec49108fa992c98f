/* Linear in float64, as three loops: what the op means. The derivation of backward stands
 * at the head of linear_cpu.c. */
#include "kernels/common/roundings.h"
#include "kernels/common/rows.h"
#include "kernels/linear/linear.h"

#include <math.h>

typedef struct arrays {
  int64_t T, I, O;
  bool out_in; /* W is [O, I] */
  int activation;
  double alpha;
  double *y, *pre, *dx, *dw, *dbias;       /* pre: null where backward does not ask for it */
  const double *x, *w, *bias, *dy, *saved; /* saved: what act' is taken at, pre or for ReLU y */
} arrays;

static arrays unpack(const cz_call *call) {
  const cz_linear_attr *attr = call->attr;
  const cz_arg *x = &call->in[CZ_LINEAR_X], *w = &call->in[CZ_LINEAR_W];
  arrays a = {.T = x->dim[0],
              .I = x->dim[1],
              .out_in = attr->layout == CZ_LINEAR_OUT_IN,
              .activation = attr->activation,
              .alpha = attr->alpha,
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

/* Where W holds the weight from input i to output o. */
static int64_t at(const arrays *a, int64_t o, int64_t i) {
  return a->out_in ? o * a->I + i : i * a->O + o;
}

/* act(z). A card's library has GELU by tanh as z / 2 (1 + tanh(...)), which cancels in the tail. */
static double activated(const cz_call *call, double z, int activation) {
  const double y = cz_activation_value(z, activation);
  if (activation != CZ_ACTIVATION_GELU_TANH || !call->stream || z == 0 || !isfinite(z)) return y;
  return z / 2 *
         (1 + cz_rounded_as_input(call, CZ_ROUNDED_BY_LIBRARY + CZ_ROUNDED_FLOAT, 2 * y / z - 1));
}

/** Forward in float64. Contract: linear.h. */
void cz_linear_fwd_ref(const cz_call *call) {
  arrays a = unpack(call);
  for (int64_t t = 0; t < a.T; t++) {
    for (int64_t o = 0; o < a.O; o++) {
      double sum = 0;
      for (int64_t i = 0; i < a.I; i++) sum += a.x[t * a.I + i] * a.w[at(&a, o, i)];
      /* a card's library wants the bias in y's dtype; the host activates what it wrote to pre */
      double bias = a.bias
                        ? cz_rounded_as_output(call, CZ_ROUNDED_BY_LIBRARY + CZ_LINEAR_Y, a.bias[o])
                        : 0,
             z = a.alpha * sum + bias;
      if (a.pre) a.pre[t * a.O + o] = z, z = cz_rounded_as_output(call, CZ_LINEAR_PRE, z);
      a.y[t * a.O + o] = activated(call, z, a.activation);
    }
  }
}

/* act' at the saved number: z, or for ReLU y, since y > 0 where z > 0 and both slopes are
 * 0 at 0. */
static double slope(const arrays *a, int64_t i) {
  return a->activation == CZ_ACTIVATION_NONE ? 1 : cz_activation_slope(a->saved[i], a->activation);
}

/* Whether g is a product and not dy itself, or dy where the slope is 1; or has another dtype. */
static bool rounds_g(const cz_linear_attr *attr) { return cz_linear_saves_pre(attr) || attr->y; }

/** Backward in float64. Contract: linear.h. One pass over (t, o): each g is used for all
 * three gradients at once, in the order of the rows. */
void cz_linear_bwd_ref(const cz_call *call) {
  arrays a = unpack(call);
  bool want_x = call->mode[CZ_LINEAR_X] != CZ_GRAD_SKIP,
       want_w = call->mode[CZ_LINEAR_W] != CZ_GRAD_SKIP,
       want_bias = call->mode[CZ_LINEAR_BIAS] != CZ_GRAD_SKIP;
  for (int i = CZ_LINEAR_X; i <= CZ_LINEAR_BIAS; i++) cz_grad_begin(call, i);
  for (int64_t t = 0; t < a.T; t++) {
    for (int64_t o = 0; o < a.O; o++) {
      /* y = act(z):  g = dy act'(z) */
      double g = a.dy[t * a.O + o] * slope(&a, t * a.O + o);
      /* z_to = alpha sum_i x_ti w_oi + bias_o:  dbias_o += g,  dx_ti += alpha g w_oi,
       * dw_oi += alpha g x_ti */
      if (want_bias) a.dbias[o] += g;
      if (rounds_g(call->attr)) g = cz_rounded_as_input(call, CZ_LINEAR_X, g);
      for (int64_t i = 0; i < a.I; i++) {
        int64_t k = at(&a, o, i);
        if (want_x) a.dx[t * a.I + i] += a.alpha * g * a.w[k];
        if (want_w) a.dw[k] += a.alpha * g * a.x[t * a.I + i];
      }
    }
  }
}
