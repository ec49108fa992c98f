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

/* One part; U has room for it. lr max(rms(w), eps2) makes the step relative to the weights
 * (section 8 of the paper), eps2 lets a tensor of zeros leave 0, and max(1, rms(U) / clip) bounds
 * the step when v lags behind a growing gradient (section 6). */
static void step(const cz_call *call, const cz_flat_part *p) {
  const cz_adafactor_attr *a = call->attr;
  const double *g = (const double *)call->in[CZ_UPDATE_G].data + p->offset,
               *hyper = call->in[CZ_UPDATE_HYPER].data;
  double *w = (double *)call->out[CZ_UPDATE_OUT_W].data + p->offset,
         *state = (double *)call->out[CZ_UPDATE_OUT_STATE].data + p->state,
         *copy = call->out[CZ_UPDATE_OUT_COPY].data, *u = call->workspace;
  double factor = hyper[CZ_HYPER_FACTOR] * hyper[CZ_HYPER_KEEP];
  double beta = 1 - pow(hyper[CZ_HYPER_STEP] + 1, -a->decay_exponent),
         scale = hyper[CZ_HYPER_RATE] * cz_adafactor_maximum(rms(w, p->count), a->eps2);
  const int64_t matrix = p->rows * p->cols;
  if (!(p->flags & CZ_FLAT_FACTORED)) unfactored(u, state, g, p->count, factor, beta, a->eps1);
  for (int64_t m = 0; p->flags & CZ_FLAT_FACTORED && m * matrix < p->count; m++) {
    double *r = state + m * p->rows, *c = state + cz_flat_room(p->matrices * p->rows) + m * p->cols;
    factored(u + m * matrix, r, c, g + m * matrix, p->rows, p->cols, factor, beta, a->eps1);
  }
  double divisor = cz_adafactor_maximum(rms(u, p->count) / a->clip, 1);
  for (int64_t i = 0; i < p->count; i++) {
    w[i] -= scale * u[i] / divisor;
    if (copy && p->flags & CZ_FLAT_COPY) copy[p->offset + i] = w[i];
  }
}

/** One step in float64, part by part; workspace: U, one number per element of the largest. */
void cz_adafactor_fwd_ref(const cz_call *call) {
  const cz_arg *parts = &call->in[CZ_UPDATE_PARTS];
  if (((const double *)call->in[CZ_UPDATE_HYPER].data)[CZ_HYPER_KEEP] == 0) return;
  for (int64_t i = 0; i < parts->dim[0]; i++) {
    const cz_flat_part p = cz_flat_part_at(parts->data, i);
    step(call, &p);
  }
}

/** Bytes of workspace: U. */
size_t cz_adafactor_workspace_ref(const cz_call *call, bool backward) {
  const cz_adafactor_attr *a = call->attr;
  return (size_t)a->maximum.count * sizeof(double);
}
