#include "kernels/common/rows.h"
#include "kernels/linear/linear.h"

/* Where W holds the weight from input i to output o. */
static int64_t at(const cz_linear_attr *attr, int64_t o, int64_t i, int64_t I, int64_t O) {
  return attr->layout == CZ_LINEAR_OUT_IN ? o * I + i : i * O + o;
}

/** Forward in float64, see linear.h. BIAS and PRE may be null. */
void cz_linear_fwd_ref(double *y, double *pre, const double *x, const double *w, const double *bias,
                       int64_t T, int64_t I, int64_t O, const cz_linear_attr *attr) {
  for (int64_t t = 0; t < T; t++) {
    for (int64_t o = 0; o < O; o++) {
      double sum = 0;
      for (int64_t i = 0; i < I; i++) sum += x[t * I + i] * w[at(attr, o, i, I, O)];
      double z = attr->alpha * sum + (bias ? bias[o] : 0);
      if (pre) pre[t * O + o] = z;
      y[t * O + o] = cz_activation_value(z, attr->activation);
    }
  }
}

/** Backward in float64, see linear.h. DBIAS may be null, and so may Y and PRE where the
 * activation does not read them. */
void cz_linear_bwd_ref(double *dx, double *dw, double *dbias, const double *dy, const double *y,
                       const double *pre, const double *x, const double *w, int64_t T, int64_t I,
                       int64_t O, const cz_linear_attr *attr, const cz_grad_mode *mode) {
  const double *z = attr->activation == CZ_ACTIVATION_RELU ? y : pre;
  bool want_x = mode[CZ_LINEAR_X] != CZ_GRAD_SKIP, want_w = mode[CZ_LINEAR_W] != CZ_GRAD_SKIP,
       want_bias = dbias && mode[CZ_LINEAR_BIAS] != CZ_GRAD_SKIP;
  cz_grad_begin(dx, T * I, mode[CZ_LINEAR_X]);
  cz_grad_begin(dw, O * I, mode[CZ_LINEAR_W]);
  if (want_bias) cz_grad_begin(dbias, O, mode[CZ_LINEAR_BIAS]);
  for (int64_t t = 0; t < T; t++) {
    for (int64_t o = 0; o < O; o++) {
      /* y = act(z) */
      double g = dy[t * O + o] * (attr->activation == CZ_ACTIVATION_NONE
                                      ? 1
                                      : cz_activation_slope(z[t * O + o], attr->activation));
      /* z = alpha sum over i of x w + bias */
      if (want_bias) dbias[o] += g;
      for (int64_t i = 0; i < I; i++) {
        int64_t k = at(attr, o, i, I, O);
        if (want_x) dx[t * I + i] += attr->alpha * g * w[k];
        if (want_w) dw[k] += attr->alpha * g * x[t * I + i];
      }
    }
  }
}
