/* Activations in float64: what each kind means. The linear op uses value and slope as its
 * epilogue. */
#include "kernels/activation/activation.h"
#include "kernels/common/rows.h"

#include <math.h>

static const double tanh_scale = 0.79788456080286535588; /* sqrt(2 / pi) */
static const double tanh_cubic = 0.044715;
static const double normal_density = 0.39894228040143267794; /* 1 / sqrt(2 pi) */

/** act(x). GELU by erfc, whose lower tail keeps its relative accuracy: Phi(x) = erfc(-x /
 * sqrt 2) / 2. The tanh form as x sigmoid(2 u), which runs to 0 and not to a difference
 * of ones. */
double cz_activation_value(double x, int kind) {
  switch ((cz_activation_kind)kind) {
  case CZ_ACTIVATION_NONE: return x;
  case CZ_ACTIVATION_RELU: return x < 0 ? 0 : x; /* a NaN stays one */
  case CZ_ACTIVATION_GELU: return 0.5 * x * erfc(-x * M_SQRT1_2);
  case CZ_ACTIVATION_GELU_TANH:
    return x / (1 + exp(-2 * tanh_scale * (x + tanh_cubic * x * x * x)));
  case CZ_ACTIVATION_TANH: return tanh(x);
  }
  __builtin_unreachable(); /* the shape rules refuse other kinds */
}

/** act'(x). For ReLU x may as well be act(x). */
double cz_activation_slope(double x, int kind) {
  switch ((cz_activation_kind)kind) {
  case CZ_ACTIVATION_NONE: return 1;
  case CZ_ACTIVATION_RELU: return isnan(x) ? x : x > 0;
  case CZ_ACTIVATION_GELU:
    return 0.5 * erfc(-x * M_SQRT1_2) + x * normal_density * exp(-0.5 * x * x);
  case CZ_ACTIVATION_GELU_TANH: {
    double s = 1 / (1 + exp(-2 * tanh_scale * (x + tanh_cubic * x * x * x))),
           du = tanh_scale * (1 + 3 * tanh_cubic * x * x);
    double rest =
        1 /
        (1 + exp(2 * tanh_scale * (x + tanh_cubic * x * x * x))); /* 1 - s without cancellation */
    /* s (1 - s) vanishes sooner than x and u' grow, up to infinity */
    return s + (s * rest == 0 ? 0 : x * s * rest * 2 * du);
  }
  case CZ_ACTIVATION_TANH: return 1 / (cosh(x) * cosh(x)); /* 1 - tanh^2 without cancellation */
  }
  __builtin_unreachable();
}

typedef struct arrays {
  int64_t n;
  int kind;
  double *y, *dx, *dgate;
  const double *x, *gate, *dy; /* gate: null when plain */
} arrays;

static arrays unpack(const cz_call *call) {
  return (arrays){.n = cz_numel(&call->in[CZ_ACTIVATION_X]),
                  .kind = ((const cz_activation_attr *)call->attr)->kind,
                  .y = call->out[0].data,
                  .dx = call->din[CZ_ACTIVATION_X].data,
                  .dgate = call->din[CZ_ACTIVATION_GATE].data,
                  .x = call->in[CZ_ACTIVATION_X].data,
                  .gate = call->in[CZ_ACTIVATION_GATE].data,
                  .dy = call->dout[0].data};
}

/** Forward in float64. Contract: activation.h. */
void cz_activation_fwd_ref(const cz_call *call) {
  arrays a = unpack(call);
  for (int64_t i = 0; i < a.n; i++)
    a.y[i] = cz_activation_value(a.x[i], a.kind) * (a.gate ? a.gate[i] : 1);
}

/** Backward in float64. Contract: activation.h. */
void cz_activation_bwd_ref(const cz_call *call) {
  arrays a = unpack(call);
  cz_grad_mode mode_x = call->mode[CZ_ACTIVATION_X], mode_gate = call->mode[CZ_ACTIVATION_GATE];
  for (int64_t i = 0; i < a.n; i++) {
    /* y = act(x) gate:  dx = dy gate act'(x),  dgate = dy act(x) */
    double to_x = a.dy[i] * (a.gate ? a.gate[i] : 1) * cz_activation_slope(a.x[i], a.kind);
    double to_gate = a.dy[i] * cz_activation_value(a.x[i], a.kind);
    if (mode_x != CZ_GRAD_SKIP) a.dx[i] = (mode_x == CZ_GRAD_ADD ? a.dx[i] : 0) + to_x;
    if (a.gate && mode_gate != CZ_GRAD_SKIP)
      a.dgate[i] = (mode_gate == CZ_GRAD_ADD ? a.dgate[i] : 0) + to_gate;
  }
}
