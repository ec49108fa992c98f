/* Dropout in float64, one element at a time. It draws the very masks of the float32
 * kernels, so a comparison of devices compares arithmetic and not luck. */
#include "kernels/common/dropout_mask.h"
#include "kernels/dropout/dropout.h"

/* One pass, forward or backward: both multiply by the mask. */
typedef struct pass {
  int64_t T, D, B;
  double p;             /* 0 when dropout is off */
  const int32_t *spans; /* null unless masks are shared */
  const cz_key *key;
  double *to;
  const double *from;
  cz_grad_mode mode;
} pass;

static pass unpack(const cz_call *call, bool backward) {
  const cz_dropout_attr *attr = call->attr;
  const cz_arg *x = &call->in[CZ_DROPOUT_X], *spans = &call->in[CZ_DROPOUT_SPANS];
  pass p = {.T = x->dim[0],
            .D = x->dim[1],
            .key = &call->key,
            .to = backward ? call->din[CZ_DROPOUT_X].data : call->out[0].data,
            .from = backward ? call->dout[0].data : x->data,
            .mode = backward ? call->mode[CZ_DROPOUT_X] : CZ_GRAD_WRITE};
  if (!call->training) return p;
  p.p = attr->p;
  if (attr->share_segment) p.B = spans->dim[0], p.spans = spans->data;
  return p;
}

/* y = x M, dx = dy M; M = 0 or a scale that gives E M = 1. */
static void multiply(const pass *s) {
  if (s->mode == CZ_GRAD_SKIP) return;
  for (int64_t t = 0; t < s->T; t++) {
    for (int64_t d = 0; d < s->D; d++) {
      int64_t i = t * s->D + d;
      double factor = s->p > 0
                          ? cz_dropout_mask_factor(
                                s->key, cz_dropout_mask_element(s->spans, s->B, t, d, s->D), s->p)
                          : 1;
      s->to[i] = (s->mode == CZ_GRAD_ADD ? s->to[i] : 0) + s->from[i] * factor;
    }
  }
}

/** Forward in float64: y = x factor. Contract: dropout.h. */
void cz_dropout_fwd_ref(const cz_call *call) {
  pass p = unpack(call, false);
  multiply(&p);
}

/** Backward in float64: y = x factor, so dx = dy factor. Contract: dropout.h. */
void cz_dropout_bwd_ref(const cz_call *call) {
  pass p = unpack(call, true);
  multiply(&p);
}
