/* No mask is stored. A factor is a function of (seed, step, shard, op, element), so
 * backward redraws it instead of keeping T x D numbers from forward to backward.
 *
 * Compiled without contraction into fused multiply-adds: the engine may join dropout,
 * addition and norm into one op, and x + b M has to be rounded twice in both forms. */
#include "kernels/common/cpu.h"
#include "kernels/common/dropout_mask.h"
#include "kernels/dropout/dropout.h"

/* One pass, forward or backward: both multiply by the mask. */
typedef struct pass {
  int64_t T, D, B;
  double p;             /* 0 when dropout is off */
  const int32_t *spans; /* null unless masks are shared */
  const cz_key *key;
  float *to;
  const float *from;
  cz_grad_mode mode;
} pass;

/* Outside training p stays 0 and no mask is drawn: y = x, dx = dy, with the bits of a
 * copy. */
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

/* E y = (1 - p) x / (1 - p) = x: scaling while training leaves nothing to do at
 * inference. y is linear in x with the slope M, hence dx = dy M. */
CZ_CLONES static void apply(float *y, const float *x, const float *factor, int64_t n,
                            cz_grad_mode mode) {
  if (mode == CZ_GRAD_WRITE) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] = x[i] * factor[i];
  } else {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] += x[i] * factor[i];
  }
}

/* A row in pieces, so that the factors stay in the first cache. A piece starts at any
 * element: the mask's generator copes with elements that are no multiple of four. */
static void one_row(float *y, const float *x, const cz_dropout_mask *mask, int64_t t,
                    cz_grad_mode mode) {
  float buffer[CZ_DROPOUT_MASK_PIECE];
  int64_t D = mask->D;
  for (int64_t d = 0; d < D; d += CZ_DROPOUT_MASK_PIECE) {
    int64_t n = D - d < CZ_DROPOUT_MASK_PIECE ? D - d : CZ_DROPOUT_MASK_PIECE;
    if (mask->p > 0) {
      apply(y + t * D + d, x + t * D + d, cz_dropout_mask_piece(mask, buffer, t, d, n), n, mode);
    } else if (mode == CZ_GRAD_ADD) {
      for (int64_t i = t * D + d; i < t * D + d + n; i++) y[i] += x[i];
    } else {
      memmove(y + t * D + d, x + t * D + d, (size_t)n * sizeof *y); /* y may be x */
    }
  }
}

/* Rows are independent and each number is written by one thread: their number does not
 * matter. to may be from (y over x, dx over dy): every element is read before it is
 * written. */
static void multiply(const pass *s, void *workspace) {
  cz_dropout_mask mask;
  if (s->mode == CZ_GRAD_SKIP) return;
  cz_dropout_mask_make(&mask, workspace, s->key, s->p, s->spans, s->B, s->T, s->D);
#pragma omp parallel for schedule(static) if (s->T * s->D > 16384)
  for (int64_t t = 0; t < s->T; t++) one_row(s->to, s->from, &mask, t, s->mode);
}

/** Forward in float32: y = x factor. Contract: dropout.h. */
void cz_dropout_fwd_cpu(const cz_call *call) {
  pass p = unpack(call, false);
  multiply(&p, call->workspace);
}

/** Backward in float32: y = x factor, so dx = dy factor. Contract: dropout.h. */
void cz_dropout_bwd_cpu(const cz_call *call) {
  pass p = unpack(call, true);
  multiply(&p, call->workspace);
}

/** Bytes of workspace: the shared mask. */
size_t cz_dropout_workspace_cpu(const cz_call *call, bool backward) {
  pass p = unpack(call, backward);
  bool share = p.p > 0 && ((const cz_dropout_attr *)call->attr)->share_segment;
  return cz_dropout_mask_bytes(share, p.B, p.T, p.D);
}
