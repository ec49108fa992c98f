#include "kernels/activation/activation.h"
#include "kernels/common/rows.h"

#include <math.h>

static const double tanh_scale = 0.79788456080286535588; /* sqrt(2 / pi) */
static const double tanh_cubic = 0.044715;
static const double normal_density = 0.39894228040143267794; /* 1 / sqrt(2 pi) */

/** act(x). */
double cz_activation_value(double x, int kind) {
  switch ((cz_activation_kind)kind) {
  case CZ_ACTIVATION_NONE: return x;
  case CZ_ACTIVATION_RELU: return x < 0 ? 0 : x; /* a NaN stays one */
  case CZ_ACTIVATION_GELU: return 0.5 * x * erfc(-x * M_SQRT1_2);
  case CZ_ACTIVATION_GELU_TANH:
    return x / (1 + exp(-2 * tanh_scale * (x + tanh_cubic * x * x * x)));
  }
  __builtin_unreachable(); /* the shape rules refuse other kinds */
}

/** act'(x). For ReLU x may as well be act(x). */
double cz_activation_slope(double x, int kind) {
  switch ((cz_activation_kind)kind) {
  case CZ_ACTIVATION_NONE: return 1;
  case CZ_ACTIVATION_RELU: return x > 0;
  case CZ_ACTIVATION_GELU:
    return 0.5 * erfc(-x * M_SQRT1_2) + x * normal_density * exp(-0.5 * x * x);
  case CZ_ACTIVATION_GELU_TANH: {
    double s = 1 / (1 + exp(-2 * tanh_scale * (x + tanh_cubic * x * x * x))),
           du = tanh_scale * (1 + 3 * tanh_cubic * x * x);
    double rest =
        1 /
        (1 + exp(2 * tanh_scale * (x + tanh_cubic * x * x * x))); /* 1 - s without cancellation */
    return s + x * s * rest * 2 * du;
  }
  }
  __builtin_unreachable();
}

/** Forward in float64, see activation.h; GATE may be null. */
void cz_activation_fwd_ref(double *y, const double *x, const double *gate, int64_t n, int kind) {
  for (int64_t i = 0; i < n; i++) y[i] = cz_activation_value(x[i], kind) * (gate ? gate[i] : 1);
}

/** Backward in float64, see activation.h; GATE may be null. */
void cz_activation_bwd_ref(double *dx, double *dgate, const double *dy, const double *x,
                           const double *gate, int64_t n, int kind, const cz_grad_mode *mode) {
  for (int64_t i = 0; i < n; i++) {
    /* y = act(x) gate */
    double to_x = dy[i] * (gate ? gate[i] : 1) * cz_activation_slope(x[i], kind);
    double to_gate = dy[i] * cz_activation_value(x[i], kind);
    if (mode[CZ_ACTIVATION_X] != CZ_GRAD_SKIP)
      dx[i] = (mode[CZ_ACTIVATION_X] == CZ_GRAD_ADD ? dx[i] : 0) + to_x;
    if (gate && mode[CZ_ACTIVATION_GATE] != CZ_GRAD_SKIP)
      dgate[i] = (mode[CZ_ACTIVATION_GATE] == CZ_GRAD_ADD ? dgate[i] : 0) + to_gate;
  }
}
