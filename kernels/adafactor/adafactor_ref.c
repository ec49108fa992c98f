/* Adafactor in float64, from the formulas of adafactor.h as they stand: U is stored,
 * nothing is cut into blocks, every sum runs in the order of memory. What the float32
 * kernel is compared with. */
#include "kernels/adafactor/adafactor.h"

#include <math.h>

static double rms(const double *x, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sum += x[i] * x[i];
  return n ? sqrt(sum / (double)n) : 0;
}

/* Q_ij = G_ij^2 + eps1, G = factor g. */
static double squared(double g, double factor, double eps1) {
  return factor * g * factor * g + eps1;
}

/* U of one matrix, and its statistics renewed.
 *
 * r_i: mean of Q over the columns of row i. c_j: mean of Q over the rows of column j.
 *
 *     U_ij = G_ij / sqrt(r_i / mean_k r_k) / sqrt(c_j)
 *
 * Scale: were all Q equal to q, r = c = q and U = G / sqrt(q), as without factoring. */
static void factored(double *u, double *r, double *c, const double *g, int64_t rows, int64_t cols,
                     double factor, double beta, double eps1) {
  double mean = 0;
  for (int64_t i = 0; i < rows; i++) {
    double sum = 0;
    for (int64_t j = 0; j < cols; j++) sum += squared(g[i * cols + j], factor, eps1);
    r[i] = beta * r[i] + (1 - beta) * sum / (double)cols;
    mean += r[i] / (double)rows;
  }
  for (int64_t j = 0; j < cols; j++) {
    double sum = 0;
    for (int64_t i = 0; i < rows; i++) sum += squared(g[i * cols + j], factor, eps1);
    c[j] = beta * c[j] + (1 - beta) * sum / (double)rows;
  }
  for (int64_t i = 0; i < rows; i++) {
    for (int64_t j = 0; j < cols; j++)
      u[i * cols + j] = factor * g[i * cols + j] / sqrt(r[i] / mean) / sqrt(c[j]);
  }
}

/* v = beta v + (1 - beta) Q,  U = G / sqrt(v): Adam's second moment without its first. */
static void unfactored(double *u, double *v, const double *g, int64_t n, double factor, double beta,
                       double eps1) {
  for (int64_t i = 0; i < n; i++) {
    v[i] = beta * v[i] + (1 - beta) * squared(g[i], factor, eps1);
    u[i] = factor * g[i] / sqrt(v[i]);
  }
}

/** One step in float64; workspace: U, one number per element. lr max(rms(w), eps2) makes
 * the step relative to the weights (section 8 of the paper), eps2 lets a tensor of zeros
 * leave 0, and max(1, rms(U) / clip) bounds the step when v lags behind a growing
 * gradient (section 6). */
void cz_adafactor_fwd_ref(const cz_call *call) {
  const cz_adafactor_attr *a = call->attr;
  const cz_arg *shape = &call->in[CZ_ADAFACTOR_W];
  int64_t n = cz_numel(shape), cols = shape->dim[shape->ndim - 1],
          rows = a->factored ? shape->dim[shape->ndim - 2] : 1;
  const double *g = call->in[CZ_ADAFACTOR_G].data, *hyper = call->in[CZ_ADAFACTOR_HYPER].data;
  double *w = call->out[CZ_ADAFACTOR_OUT_W].data, *r = call->out[CZ_ADAFACTOR_OUT_R].data,
         *c = call->out[CZ_ADAFACTOR_OUT_C].data;
  if (hyper[CZ_HYPER_KEEP] == 0) return;
  double *u = call->workspace, factor = hyper[CZ_HYPER_FACTOR] * hyper[CZ_HYPER_KEEP];
  double beta = 1 - pow(hyper[CZ_HYPER_STEP] + 1, -a->decay_exponent), scale = hyper[CZ_HYPER_RATE];
  scale *= cz_adafactor_maximum(rms(w, n), a->eps2);
  if (!a->factored) unfactored(u, call->out[CZ_ADAFACTOR_OUT_V].data, g, n, factor, beta, a->eps1);
  for (int64_t m = 0; a->factored && m * rows * cols < n; m++) {
    factored(u + m * rows * cols, r + m * rows, c + m * cols, g + m * rows * cols, rows, cols,
             factor, beta, a->eps1);
  }
  double divisor = cz_adafactor_maximum(rms(u, n) / a->clip, 1);
  for (int64_t i = 0; i < n; i++) w[i] -= scale * u[i] / divisor;
}

/** Bytes of workspace: U. */
size_t cz_adafactor_workspace_ref(const cz_call *call, bool backward) {
  return (size_t)cz_numel(&call->in[CZ_ADAFACTOR_W]) * sizeof(double);
}
