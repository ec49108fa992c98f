/* Dropout (Srivastava et al. 2014), inverted: y = x * factor, factor = 0 with
 * probability p and else what gives it the mean 1; y = x when not training.
 *
 * x, y [T, D]. Masks are those of common/dropout_mask.h: one draw per element, or with
 * share_segment one per (segment, channel), for which spans [B, 2] (begin and end of each
 * segment; covering every row) is needed. Backward redraws the same mask: dx = dy
 * factor. Aliasing: y may be x, dx may be dy. Deterministic: a draw depends on seed,
 * step, shard, op and element only. */
#ifndef CZ_KERNELS_DROPOUT_H
#define CZ_KERNELS_DROPOUT_H

#include "kernels/op.h"

CZ_C_BEGIN

typedef struct cz_dropout_attr {
  double p;           /* the probability of dropping, in [0, 1) */
  bool share_segment; /* Mesh TensorFlow's masks, the same at every position (t5.md 0.8) */
} cz_dropout_attr;

enum { CZ_DROPOUT_X, CZ_DROPOUT_SPANS };

void cz_dropout_fwd_ref(const cz_call *call);
void cz_dropout_bwd_ref(const cz_call *call);
void cz_dropout_fwd_cpu(const cz_call *call);
void cz_dropout_bwd_cpu(const cz_call *call);
void cz_dropout_fwd_cuda(const cz_call *call);
void cz_dropout_bwd_cuda(const cz_call *call);
size_t cz_dropout_workspace_cpu(const cz_call *call, bool backward);

CZ_C_END

#endif
