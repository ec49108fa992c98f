/* Normalisation of rows, fused with the residual addition before it.
 *
 * Inputs:
 *
 *     x [T, D]          the residual stream, or what is normalised
 *     gain [D]
 *     bias [D]          LAYER only; optional
 *     residual [T, D]   what a sub-layer adds to the stream; optional
 *     spans [B, 2]      int32 (begin, end) of each segment, together all T rows; read when one
 *                       dropout mask serves a whole segment (share_segment)
 *
 * Outputs:
 *
 *     y [T, D]
 *     h [T, D]          made only with a residual; without one h is x
 *     rstd [T]          r of each row, kept for backward
 *     mean [T]          m of each row, kept for backward; LAYER only
 *
 * x and h have the residual stream's dtype, y and residual that of the layer's products: they
 * differ where the stream stays in float32 beside products in 16 bits. gain, bias, rstd and mean
 * are float32 then.
 *
 * Forward, for each row, M being the dropout multiplier (common/dropout_mask.h; 1 when not
 * training):
 *
 *     h = x + residual M
 *     RMS:    y = h r gain                 r = 1 / sqrt(mean(h^2) + eps)
 *     LAYER:  y = (h - m) r gain + bias    m = mean(h), r = 1 / sqrt(mean((h - m)^2) + eps)
 *
 * Backward, with n = (h - m) r and g = dy gain (m = 0 and no mean(g) for RMS):
 *
 *     e         = dh + r (g - mean(g) - n mean(g n))      the gradient of h
 *     dx        = e
 *     dresidual = e M
 *     dgain     = sum over rows of dy n
 *     dbias     = sum over rows of dy
 *
 * dh and dy may each be absent, which counts as zero. Dropout element numbers
 * (common/dropout_mask.h): row * D + channel, with share_segment segment * D + channel.
 *
 * Sources: Zhang and Sennrich 2019 (RMS, T5); Ba, Kiros and Hinton 2016 (LAYER).
 *
 * Range: in float32 the squares of |h| above about 1e18 overflow; then r and y of the row
 * are NaN.
 *
 * Aliasing: h may be x; dx may be dh and dresidual may be dy when written.
 *
 * Deterministic: rows are independent, dgain and dbias are added in a fixed tree. */
#ifndef CZ_KERNELS_NORM_H
#define CZ_KERNELS_NORM_H

#include "kernels/op.h"

CZ_C_BEGIN

typedef enum cz_norm_kind { CZ_NORM_RMS, CZ_NORM_LAYER, CZ_NORMS } cz_norm_kind;

typedef struct cz_norm_attr {
  int kind;           /* cz_norm_kind */
  double eps;         /* at least 0, added to the mean square: 1e-6 in T5, 1e-12 in BERT */
  double dropout;     /* of the residual, in [0, 1) */
  bool share_segment; /* one mask for all rows of a segment (t5.md 0.8) */
  int y;              /* the dtype of y, cz_dtype_choice; 0: that of x */
} cz_norm_attr;

enum { CZ_NORM_X, CZ_NORM_GAIN, CZ_NORM_BIAS, CZ_NORM_RESIDUAL, CZ_NORM_SPANS };
enum { CZ_NORM_Y, CZ_NORM_H, CZ_NORM_RSTD, CZ_NORM_MEAN };

void cz_norm_fwd_ref(const cz_call *call);
void cz_norm_bwd_ref(const cz_call *call);
void cz_norm_fwd_cpu(const cz_call *call);
void cz_norm_bwd_cpu(const cz_call *call);
size_t cz_norm_workspace_cpu(const cz_call *call, bool backward);
void cz_norm_fwd_cuda(const cz_call *call);
void cz_norm_bwd_cuda(const cz_call *call);
size_t cz_norm_workspace_cuda(const cz_call *call, bool backward);

CZ_C_END

#endif
