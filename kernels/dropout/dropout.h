/* Dropout (Srivastava et al. 2014), inverted: y = x * factor, factor = 1 / (1 - p) with
 * probability 1 - p and else 0; y = x when not training.
 *
 * x, y [T, D]. Masks are those of common/dropout_mask.h: one draw per element, or with
 * share_segment one per (segment, channel), for which spans [B, 2] (begin and end of each
 * segment; covering every row) is needed. Backward draws the same mask again: dx = dy *
 * factor. Aliasing: y may be x, dx may be dy. Deterministic: a draw depends on seed,
 * step, shard, op and element only. */
#ifndef CZ_KERNELS_DROPOUT_H
#define CZ_KERNELS_DROPOUT_H

#include "kernels/op.h"

typedef struct cz_dropout_attr {
  double p; /* in [0, 1) */
  bool share_segment;
} cz_dropout_attr;

enum { CZ_DROPOUT_X, CZ_DROPOUT_SPANS };

/* p is 0 when dropout is off; spans is null unless masks are shared. */
typedef struct cz_dropout_sizes {
  int64_t T, D, B;
  double p;
  const int32_t *spans;
  const cz_key *key;
} cz_dropout_sizes;

void cz_dropout_fwd_ref(double *y, const double *x, const cz_dropout_sizes *s, cz_grad_mode mode);
void cz_dropout_fwd_cpu(float *y, const float *x, const cz_dropout_sizes *s, cz_grad_mode mode,
                        void *workspace);

#endif
