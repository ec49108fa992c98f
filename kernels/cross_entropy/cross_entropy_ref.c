/* Cross entropy in float64, row by row: what the op means. The logits of one row exist at
 * a time. */
#include "kernels/common/roundings.h"
#include "kernels/common/rows.h"
#include "kernels/cross_entropy/cross_entropy.h"

#include <math.h>

typedef struct arrays {
  int64_t N, D, V;
  const cz_cross_entropy_attr *attr;
  const double *h, *w, *bias, *dnll;
  double *loss, *nll, *dh, *dw, *dbias;
  const int32_t *targets;
  double denominator, A; /* A = dloss / denominator */
} arrays;

static arrays unpack(const cz_call *call) {
  const cz_arg *h = &call->in[CZ_CROSS_ENTROPY_H], *w = &call->in[CZ_CROSS_ENTROPY_W];
  const double *dloss = call->dout[CZ_CROSS_ENTROPY_LOSS].data;
  arrays a = {.N = h->dim[0], .D = h->dim[1], .V = w->dim[0], .attr = call->attr};
  a.h = h->data, a.w = w->data, a.bias = call->in[CZ_CROSS_ENTROPY_BIAS].data;
  a.targets = call->in[CZ_CROSS_ENTROPY_TARGETS].data;
  a.denominator = *(const double *)call->in[CZ_CROSS_ENTROPY_DENOMINATOR].data;
  a.loss = call->out[CZ_CROSS_ENTROPY_LOSS].data, a.nll = call->out[CZ_CROSS_ENTROPY_NLL].data;
  a.dnll = call->dout[CZ_CROSS_ENTROPY_NLL].data, a.A = dloss ? dloss[0] / a.denominator : 0;
  if (call->mode[CZ_CROSS_ENTROPY_H]) a.dh = call->din[CZ_CROSS_ENTROPY_H].data;
  if (call->mode[CZ_CROSS_ENTROPY_W]) a.dw = call->din[CZ_CROSS_ENTROPY_W].data;
  if (call->mode[CZ_CROSS_ENTROPY_BIAS]) a.dbias = call->din[CZ_CROSS_ENTROPY_BIAS].data;
  return a;
}

/* One row's softmax, and what its loss is made of. */
typedef struct row {
  double others; /* share of all words but the target: 1 - p_t without cancellation */
  double log_z, nll, mean;
} row;

/* x: logits of row r, overwritten with probabilities. log Z = max + log sum exp(x - max),
 * so that logits in the hundreds do not overflow. */
static row softmax(double *x, const arrays *a, int64_t n, int64_t target) {
  double max = -INFINITY, sum = 0, others = 0;
  const double *h = a->h + n * a->D;
  row r = {0};
  for (int64_t v = 0; v < a->V; v++) {
    x[v] = 0;
    for (int64_t d = 0; d < a->D; d++) x[v] += h[d] * a->w[v * a->D + d];
    x[v] *= a->attr->logit_scale;
    if (a->bias) x[v] += a->bias[v];
    r.mean += x[v] / (double)a->V;
    max = fmax(max, x[v]);
  }
  double xt = x[target];
  for (int64_t v = 0; v < a->V; v++) {
    x[v] = exp(x[v] - max);
    sum += x[v];
    if (v != target) others += x[v];
  }
  for (int64_t v = 0; v < a->V; v++) x[v] /= sum;
  r.others = others / sum;
  r.log_z = max + log(sum);
  /* A certain target keeps its small loss; a target's logit that is not finite is no
   * certainty. */
  r.nll = !isfinite(xt) ? NAN : xt == max ? log1p(others) : max - xt + log(sum);
  return r;
}

/* x: probabilities of row n, overwritten with dx. */
static void logit_gradient(double *x, const arrays *a, int64_t n, const row *r) {
  double e = a->attr->label_smoothing, z = a->attr->z_loss, V = (double)a->V;
  /* loss = A ((1 - e) nll + e (log Z - mean x) + z (log Z)^2) + g nll, d log Z / dx_v =
   * p_v: dx_v = (A (1 + 2 z log Z) + g) p_v - A e / V, and for the target another -(A (1
   * - e) + g), there written with p_t = 1 - others */
  double factor = a->A * (1 + 2 * z * r->log_z) + (a->dnll ? a->dnll[n] : 0), smooth = a->A * e / V;
  for (int64_t v = 0; v < a->V; v++) x[v] = factor * x[v] - smooth;
  x[a->targets[n]] = a->A * (e + 2 * z * r->log_z) - factor * r->others - smooth;
}

/* dh += scale dx w, dw += scale dx^T h: outer products, added row after row. */
static void propagate(const cz_call *call, const double *dx, const arrays *a, int64_t n) {
  int64_t D = a->D;
  double scale = a->attr->logit_scale;
  for (int64_t v = 0; v < a->V; v++) {
    /* x_v = scale sum_d h_d w_vd + bias_v */
    const double x = cz_rounded_as_input(call, CZ_CROSS_ENTROPY_H, dx[v]);
    if (a->dbias) a->dbias[v] += dx[v];
    for (int64_t d = 0; d < D; d++) {
      if (a->dh) a->dh[n * D + d] += scale * x * a->w[v * D + d];
      if (a->dw) a->dw[v * D + d] += scale * x * a->h[n * D + d];
    }
  }
}

static void run(const cz_call *call, bool backward) {
  arrays a = unpack(call);
  double *x = call->workspace, e = a.attr->label_smoothing;
  a.loss[0] = 0 / a.denominator;
  for (int64_t n = 0; n < a.N; n++) {
    a.nll[n] = 0;
    if (a.targets[n] < 0) continue;
    row r = softmax(x, &a, n, a.targets[n]);
    a.nll[n] = r.nll;
    a.loss[0] += ((1 - e) * r.nll + (e > 0 ? e * (r.log_z - r.mean) : 0) +
                  a.attr->z_loss * r.log_z * r.log_z) /
                 a.denominator;
    if (!backward) continue;
    logit_gradient(x, &a, n, &r);
    propagate(call, x, &a, n);
  }
}

/** loss and nll in float64. Contract: cross_entropy.h. */
void cz_cross_entropy_fwd_ref(const cz_call *call) { run(call, false); }

/** loss, nll and all gradients in float64. Contract: cross_entropy.h. */
void cz_cross_entropy_bwd_ref(const cz_call *call) {
  for (int i = 0; i < call->n_in; i++) cz_grad_begin(call, i);
  run(call, true);
}

/** Bytes of workspace: one row of logits. */
size_t cz_cross_entropy_workspace_ref(const cz_call *call, bool backward) {
  return (size_t)call->in[CZ_CROSS_ENTROPY_W].dim[0] * sizeof(double);
}
