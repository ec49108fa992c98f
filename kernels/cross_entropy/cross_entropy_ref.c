#include "kernels/common/rows.h"
#include "kernels/cross_entropy/cross_entropy.h"

#include <math.h>

/* One row's softmax, and what its loss is made of. */
typedef struct row {
  double others; /* share of all words but the target: 1 - p_t without cancellation */
  double log_z, nll, mean;
} row;

/* x: logits of row r, overwritten with probabilities. */
static row softmax(double *x, const double *h, const double *w, int64_t target, int64_t V,
                   int64_t D, double scale) {
  double max = -INFINITY, sum = 0, others = 0;
  row r = {0};
  for (int64_t v = 0; v < V; v++) {
    x[v] = 0;
    for (int64_t d = 0; d < D; d++) x[v] += h[d] * w[v * D + d];
    x[v] *= scale;
    r.mean += x[v] / (double)V;
    max = fmax(max, x[v]);
  }
  double xt = x[target];
  for (int64_t v = 0; v < V; v++) {
    x[v] = exp(x[v] - max);
    sum += x[v];
    if (v != target) others += x[v];
  }
  for (int64_t v = 0; v < V; v++) x[v] /= sum;
  r.others = others / sum;
  r.log_z = max + log(sum);
  r.nll =
      xt == max ? log1p(others) : max - xt + log(sum); /* a certain target keeps its small loss */
  return r;
}

/* x: probabilities of row r, overwritten with dx; A, g as in the header. */
static void logit_gradient(double *x, const row *r, int64_t target, int64_t V,
                           const cz_cross_entropy_attr *a, double A, double g) {
  double factor = A * (1 + 2 * a->z_loss * r->log_z) + g,
         smooth = A * a->label_smoothing / (double)V;
  for (int64_t v = 0; v < V; v++) x[v] = factor * x[v] - smooth;
  x[target] = A * (a->label_smoothing + 2 * a->z_loss * r->log_z) - factor * r->others -
              smooth; /* p_t = 1 - others */
}

static void propagate(const cz_call *call, const double *dx, int64_t n, int64_t V, int64_t D,
                      double scale) {
  const double *h = call->in[CZ_CROSS_ENTROPY_H].data, *w = call->in[CZ_CROSS_ENTROPY_W].data;
  double *dh = call->din[CZ_CROSS_ENTROPY_H].data, *dw = call->din[CZ_CROSS_ENTROPY_W].data;
  for (int64_t v = 0; v < V; v++) {
    for (int64_t d = 0; d < D; d++) {
      if (call->mode[CZ_CROSS_ENTROPY_H] != CZ_GRAD_SKIP)
        dh[n * D + d] += scale * dx[v] * w[v * D + d];
      if (call->mode[CZ_CROSS_ENTROPY_W] != CZ_GRAD_SKIP)
        dw[v * D + d] += scale * dx[v] * h[n * D + d];
    }
  }
}

static void run(const cz_call *call, bool backward) {
  const cz_cross_entropy_attr *a = call->attr;
  int64_t N = call->in[CZ_CROSS_ENTROPY_H].dim[0], D = call->in[CZ_CROSS_ENTROPY_H].dim[1],
          V = call->in[CZ_CROSS_ENTROPY_W].dim[0];
  const double *h = call->in[CZ_CROSS_ENTROPY_H].data, *w = call->in[CZ_CROSS_ENTROPY_W].data;
  const double *denominator = call->in[CZ_CROSS_ENTROPY_DENOMINATOR].data;
  const double *dloss = call->dout[CZ_CROSS_ENTROPY_LOSS].data,
               *dnll = call->dout[CZ_CROSS_ENTROPY_NLL].data;
  const int32_t *targets = call->in[CZ_CROSS_ENTROPY_TARGETS].data;
  double *loss = call->out[CZ_CROSS_ENTROPY_LOSS].data, *nll = call->out[CZ_CROSS_ENTROPY_NLL].data,
         *x = call->workspace;
  loss[0] = 0;
  for (int64_t n = 0; n < N; n++) {
    nll[n] = 0;
    if (targets[n] < 0) continue;
    row r = softmax(x, h + n * D, w, targets[n], V, D, a->logit_scale);
    nll[n] = r.nll;
    loss[0] += ((1 - a->label_smoothing) * r.nll + a->label_smoothing * (r.log_z - r.mean) +
                a->z_loss * r.log_z * r.log_z) /
               denominator[0];
    if (!backward) continue;
    logit_gradient(x, &r, targets[n], V, a, dloss ? dloss[0] / denominator[0] : 0,
                   dnll ? dnll[n] : 0);
    propagate(call, x, n, V, D, a->logit_scale);
  }
}

/** loss and nll in float64; workspace: V doubles. */
void cz_cross_entropy_fwd_ref(const cz_call *call) { run(call, false); }

/** loss, nll, dh and dw in float64; workspace: V doubles. */
void cz_cross_entropy_bwd_ref(const cz_call *call) {
  for (int i = CZ_CROSS_ENTROPY_H; i <= CZ_CROSS_ENTROPY_W; i++) {
    cz_grad_begin(call->din[i].data, cz_numel(&call->in[i]), call->mode[i]);
  }
  run(call, true);
}

/** Bytes of workspace: one row of logits. */
size_t cz_cross_entropy_workspace_ref(const cz_call *call, bool backward) {
  return (size_t)call->in[CZ_CROSS_ENTROPY_W].dim[0] * sizeof(double);
}
