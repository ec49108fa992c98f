#include "kernels/common/dropout_mask.h"
#include "kernels/common/rows.h"
#include "kernels/norm/norm.h"

#include <math.h>

static double factor(const cz_norm_sizes *s, int64_t t, int64_t d) {
  return s->p > 0 ? cz_dropout_mask_factor(
                        s->key, cz_dropout_mask_element(s->spans, s->B, t, d, s->D), s->p)
                  : 1;
}

/** Forward in float64, see norm.h. SHIFT, BRANCH (then H too), RSTD and MEAN may be
 * null. */
void cz_norm_fwd_ref(double *y, double *h, double *rstd, double *mean, const double *x,
                     const double *gain, const double *shift, const double *branch,
                     const cz_norm_sizes *s, const cz_norm_attr *attr) {
  int64_t D = s->D;
  for (int64_t t = 0; t < s->T; t++) {
    const double *row = x + t * D;
    if (branch) {
      for (int64_t d = 0; d < D; d++)
        h[t * D + d] = x[t * D + d] + branch[t * D + d] * factor(s, t, d);
      row = h + t * D;
    }
    double m = 0, square = 0;
    if (attr->kind == CZ_NORM_LAYER) {
      for (int64_t d = 0; d < D; d++) m += row[d];
      m /= (double)D;
    }
    for (int64_t d = 0; d < D; d++) square += (row[d] - m) * (row[d] - m);
    double r = 1 / sqrt(square / (double)D + attr->eps);
    for (int64_t d = 0; d < D; d++)
      y[t * D + d] = (row[d] - m) * r * gain[d] + (shift ? shift[d] : 0);
    if (rstd) rstd[t] = r;
    if (mean) mean[t] = m;
  }
}

/** Backward in float64, see norm.h. H is x when there was no branch. DY, DH, MEAN (RMS),
 * DSHIFT and DBRANCH may be null. */
void cz_norm_bwd_ref(double *dx, double *dgain, double *dshift, double *dbranch, const double *dy,
                     const double *dh, const double *h, const double *rstd, const double *mean,
                     const double *gain, const cz_norm_sizes *s, const cz_norm_attr *attr,
                     const cz_grad_mode *mode) {
  int64_t D = s->D;
  bool want_shift = dshift && mode[CZ_NORM_SHIFT] != CZ_GRAD_SKIP,
       want_branch = dbranch && mode[CZ_NORM_BRANCH] != CZ_GRAD_SKIP;
  cz_grad_begin(dgain, D, mode[CZ_NORM_GAIN]);
  if (want_shift) cz_grad_begin(dshift, D, mode[CZ_NORM_SHIFT]);
  for (int64_t t = 0; t < s->T; t++) {
    double m = mean ? mean[t] : 0, r = rstd[t], mean_g = 0, mean_gn = 0;
    for (int64_t d = 0; d < D && dy; d++) {
      /* y = n gain + shift */
      double n = (h[t * D + d] - m) * r, g = dy[t * D + d] * gain[d];
      if (mode[CZ_NORM_GAIN] != CZ_GRAD_SKIP) dgain[d] += dy[t * D + d] * n;
      if (want_shift) dshift[d] += dy[t * D + d];
      if (attr->kind == CZ_NORM_LAYER) mean_g += g / (double)D;
      mean_gn += g * n / (double)D;
    }
    for (int64_t d = 0; d < D; d++) {
      int64_t i = t * D + d;
      /* n = (h - mean(h)) r with r = (mean((h - mean(h))^2) + eps)^-1/2 */
      double n = (h[i] - m) * r,
             e = (dh ? dh[i] : 0) + (dy ? r * (dy[i] * gain[d] - mean_g - n * mean_gn) : 0);
      /* h = x + branch factor */
      if (mode[CZ_NORM_X] != CZ_GRAD_SKIP) dx[i] = (mode[CZ_NORM_X] == CZ_GRAD_ADD ? dx[i] : 0) + e;
      if (want_branch)
        dbranch[i] = (mode[CZ_NORM_BRANCH] == CZ_GRAD_ADD ? dbranch[i] : 0) + e * factor(s, t, d);
    }
  }
}
