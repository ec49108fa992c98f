/* Normalisation in float64: what the op means. Formulas: norm.h. */
#include "kernels/common/dropout_mask.h"
#include "kernels/common/roundings.h"
#include "kernels/common/rows.h"
#include "kernels/norm/norm.h"

#include <math.h>

typedef struct arrays {
  const cz_call *call;
  int64_t T, D, B;
  bool layer;
  double eps;
  double p;                    /* the residual's dropout, 0 when it is off */
  const int32_t *spans;        /* null unless masks are shared */
  double *y, *h, *rstd, *mean; /* h: null without a residual */
  double *dx, *dgain, *dbias, *dresidual;
  const double *x, *gain, *bias, *residual, *dy, *dh;
} arrays;

static arrays unpack(const cz_call *call) {
  const cz_norm_attr *attr = call->attr;
  const cz_arg *x = &call->in[CZ_NORM_X], *spans = &call->in[CZ_NORM_SPANS];
  arrays a = {.call = call,
              .T = x->dim[0],
              .D = x->dim[1],
              .layer = attr->kind == CZ_NORM_LAYER,
              .eps = attr->eps};
  a.y = call->out[CZ_NORM_Y].data, a.h = call->out[CZ_NORM_H].data;
  a.rstd = call->out[CZ_NORM_RSTD].data, a.mean = call->out[CZ_NORM_MEAN].data;
  a.dx = call->din[CZ_NORM_X].data, a.dgain = call->din[CZ_NORM_GAIN].data;
  a.dbias = call->din[CZ_NORM_BIAS].data, a.dresidual = call->din[CZ_NORM_RESIDUAL].data;
  a.x = x->data, a.gain = call->in[CZ_NORM_GAIN].data;
  a.bias = call->in[CZ_NORM_BIAS].data, a.residual = call->in[CZ_NORM_RESIDUAL].data;
  a.dy = call->dout[CZ_NORM_Y].data, a.dh = call->dout[CZ_NORM_H].data;
  if (!call->training || !cz_present(&call->in[CZ_NORM_RESIDUAL])) return a;
  a.p = attr->dropout;
  if (attr->share_segment) a.B = spans->dim[0], a.spans = spans->data;
  return a;
}

/* M, as norm.h defines it: the ref kernel draws what every device draws. */
static double multiplier(const arrays *a, int64_t t, int64_t d) {
  if (a->p <= 0) return 1;
  return cz_dropout_mask_factor(&a->call->key, cz_dropout_mask_element(a->spans, a->B, t, d, a->D),
                                a->p);
}

/* h of row t as y is made of it: as it was stored. */
static void stream_row(const arrays *a, double *h, int64_t t) {
  for (int64_t d = 0; d < a->D; d++) {
    const int64_t i = t * a->D + d;
    h[d] = a->x[i];
    if (!a->residual) continue;
    double branch = a->residual[i] * multiplier(a, t, d);
    if (a->p > 0) branch = cz_rounded_as_input(a->call, CZ_NORM_RESIDUAL, branch);
    a->h[i] = h[d] + branch;
    h[d] = cz_rounded_as_output(a->call, CZ_NORM_H, a->h[i]);
  }
}

/* Mean and mean square in two passes over the row, which stands where y will; in double the order
 * of a sum of D terms matters at 1e-13, far below what a float32 kernel is compared at. */
static void forward_row(const arrays *a, int64_t t) {
  int64_t D = a->D;
  double *h = a->y + t * D, m = 0, square = 0;
  stream_row(a, h, t);
  if (a->layer) {
    for (int64_t d = 0; d < D; d++) m += h[d];
    m /= (double)D;
  }
  for (int64_t d = 0; d < D; d++) square += (h[d] - m) * (h[d] - m);
  /* Squares that overflow would make r 0 and y the bias, whatever h is: NaN says that
   * they do. */
  double r = isfinite(square) ? 1 / sqrt(square / (double)D + a->eps) : NAN;
  for (int64_t d = 0; d < D; d++) h[d] = (h[d] - m) * r * a->gain[d] + (a->bias ? a->bias[d] : 0);
  if (a->rstd) a->rstd[t] = r;
  if (a->mean) a->mean[t] = m;
}

/** Forward in float64. Contract: norm.h. */
void cz_norm_fwd_ref(const cz_call *call) {
  arrays a = unpack(call);
  for (int64_t t = 0; t < a.T; t++) forward_row(&a, t);
}

/* The derivation stands at the head of norm_cpu.c. */
static void backward_row(const arrays *a, int64_t t, const cz_grad_mode *mode) {
  int64_t D = a->D;
  const double *h = (a->h ? a->h : a->x) + t * D;
  double m = a->layer ? a->mean[t] : 0, r = a->rstd[t], mean_g = 0, mean_gn = 0;
  for (int64_t d = 0; d < D && a->dy; d++) {
    /* y = n gain + bias:  dgain += dy n,  dbias += dy,  dn = g = dy gain */
    double n = (h[d] - m) * r, dy = a->dy[t * D + d], g = dy * a->gain[d];
    if (mode[CZ_NORM_GAIN]) a->dgain[d] += dy * n;
    if (mode[CZ_NORM_BIAS]) a->dbias[d] += dy;
    if (a->layer) mean_g += g / (double)D;
    mean_gn += g * n / (double)D;
  }
  for (int64_t d = 0; d < D; d++) {
    int64_t i = t * D + d;
    /* n = (h - m) r, m = mean(h), r = (mean((h - m)^2) + eps)^-1/2:
     * dh += r (g - mean(g) - n mean(g n)) */
    double n = (h[d] - m) * r, e = a->dh ? a->dh[i] : 0;
    if (a->dy) e += r * (a->dy[i] * a->gain[d] - mean_g - n * mean_gn);
    /* h = x + residual M:  dx = dh,  dresidual = dh M */
    if (mode[CZ_NORM_X]) a->dx[i] = (mode[CZ_NORM_X] == CZ_GRAD_ADD ? a->dx[i] : 0) + e;
    if (a->p > 0) e = cz_rounded_as_input(a->call, CZ_NORM_RESIDUAL, e);
    if (mode[CZ_NORM_RESIDUAL])
      a->dresidual[i] =
          (mode[CZ_NORM_RESIDUAL] == CZ_GRAD_ADD ? a->dresidual[i] : 0) + e * multiplier(a, t, d);
  }
}

/** Backward in float64. Contract: norm.h. */
void cz_norm_bwd_ref(const cz_call *call) {
  arrays a = unpack(call);
  cz_grad_begin(call, CZ_NORM_GAIN);
  cz_grad_begin(call, CZ_NORM_BIAS);
  for (int64_t t = 0; t < a.T; t++) backward_row(&a, t, call->mode);
}
