/* Normalisation fused with the residual addition before it: h = x + dropout(branch), y =
 * norm(h) over each row; h = x without a branch.
 *
 * RMS (Zhang and Sennrich 2019; T5): y = h r gain, r = 1 / sqrt(mean(h^2) + eps). LAYER
 * (Ba, Kiros and Hinton 2016): y = (h - m) r gain + shift, m = mean(h), r = 1 /
 * sqrt(mean((h - m)^2) + eps); shift may be absent. Sizes: x, branch, h, y [T, D]; gain,
 * shift [D]; r is saved as rstd [T], m as mean [T] (LAYER); forward takes null for both,
 * backward needs them. Dropout is on when training and dropout > 0; masks are those of
 * common/dropout_mask.h; with share_segment one mask serves all rows of a segment and spans [B,
 * 2] (begin, end; covering every row) is needed. In float32
 * |h| must stay below about 1e18, where squares overflow.
 *
 * Gradients: with n = (h - m) r and g = dy gain, the gradient of h is e = dh + r (g -
 * mean(g) - n mean(g n)), without mean(g) for RMS; dx = e, dbranch = e * mask factor,
 * dgain = sum over rows of dy n, dshift = sum of dy. dh and dy may each be absent (zero).
 * Aliasing: h may be x; dx may be dh and dbranch may be dy when written. Deterministic:
 * rows are independent, dgain and dshift have a fixed tree. */
#ifndef CZ_KERNELS_NORM_H
#define CZ_KERNELS_NORM_H

#include "kernels/op.h"

typedef enum cz_norm_kind { CZ_NORM_RMS, CZ_NORM_LAYER, CZ_NORMS } cz_norm_kind;

typedef struct cz_norm_attr {
  int kind; /* cz_norm_kind */
  double eps;
  double dropout; /* of the branch, in [0, 1) */
  bool share_segment;
} cz_norm_attr;

enum { CZ_NORM_X, CZ_NORM_GAIN, CZ_NORM_SHIFT, CZ_NORM_BRANCH, CZ_NORM_SPANS };
enum { CZ_NORM_Y, CZ_NORM_H, CZ_NORM_RSTD, CZ_NORM_MEAN };

/* T rows of D; B segments; p: the branch's dropout, 0 when it is off; spans null unless
 * masks are shared. */
typedef struct cz_norm_sizes {
  int64_t T, D, B;
  double p;
  const int32_t *spans;
  const cz_key *key;
} cz_norm_sizes;

void cz_norm_fwd_ref(double *y, double *h, double *rstd, double *mean, const double *x,
                     const double *gain, const double *shift, const double *branch,
                     const cz_norm_sizes *s, const cz_norm_attr *attr);
void cz_norm_bwd_ref(double *dx, double *dgain, double *dshift, double *dbranch, const double *dy,
                     const double *dh, const double *h, const double *rstd, const double *mean,
                     const double *gain, const cz_norm_sizes *s, const cz_norm_attr *attr,
                     const cz_grad_mode *mode);
void cz_norm_fwd_cpu(float *y, float *h, float *rstd, float *mean, const float *x,
                     const float *gain, const float *shift, const float *branch,
                     const cz_norm_sizes *s, const cz_norm_attr *attr, void *workspace);
void cz_norm_bwd_cpu(float *dx, float *dgain, float *dshift, float *dbranch, const float *dy,
                     const float *dh, const float *h, const float *rstd, const float *mean,
                     const float *gain, const cz_norm_sizes *s, const cz_norm_attr *attr,
                     const cz_grad_mode *mode, void *workspace);
size_t cz_norm_cpu_bytes(const cz_norm_sizes *s, bool backward);

#endif
