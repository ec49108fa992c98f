/* No mask is stored. A factor is a function of (seed, step, shard, op, element), so
 * backward redraws it instead of keeping T x D numbers from forward to backward.
 *
 * Compiled without contraction into fused multiply-adds: the engine may join dropout,
 * addition and norm into one op, and x + b M has to be rounded twice in both forms. */
#include "kernels/common/cpu.h"
#include "kernels/common/dropout_mask.h"
#include "kernels/common/piece.h"
#include "kernels/dropout/dropout.h"

/* One pass, forward or backward: both multiply by the mask. */
typedef struct pass {
  int64_t T, D, B;
  double p;             /* 0 when dropout is off */
  const int32_t *spans; /* null unless masks are shared */
  const cz_key *key;
  cz_dtype dtype; /* of both arrays */
  const cz_arg *to, *from;
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
            .dtype = x->dtype,
            .to = backward ? &call->din[CZ_DROPOUT_X] : &call->out[0],
            .from = backward ? &call->dout[0] : x,
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

/* Numbers I to I + N of a row; FACTOR is null without dropout. y may be x. */
static void one_piece(const pass *p, const float *factor, int64_t i, int64_t n) {
  float in[CZ_PIECE], out[CZ_PIECE];
  const float *x = cz_piece_read(p->from->data, p->from->dtype, i, n, in);
  float *y = cz_piece_room(p->to->data, p->to->dtype, i, out);
  if (!factor) {
    cz_piece_grad(p->to->data, p->to->dtype, i, n, x, p->mode);
    return;
  }
  if (p->mode == CZ_GRAD_ADD) cz_piece_read(p->to->data, p->to->dtype, i, n, out);
  apply(y, x, factor, n, p->mode);
  cz_piece_put(p->to->data, p->to->dtype, i, n, y);
}

/* A row in pieces, so that the factors stay in the first cache. A piece starts at any
 * element: the mask's generator copes with elements that are no multiple of four. */
static void one_row(const pass *p, const cz_dropout_mask *mask, int64_t t) {
  float buffer[CZ_DROPOUT_MASK_PIECE];
  const int64_t each = cz_piece_length(p->dtype, CZ_DROPOUT_MASK_PIECE);
  for (int64_t d = 0; d < p->D; d += each) {
    int64_t n = cz_minimum(p->D - d, each);
    const float *factor = mask->p > 0 ? cz_dropout_mask_piece(mask, buffer, t, d, n) : NULL;
    one_piece(p, factor, t * p->D + d, n);
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
  for (int64_t t = 0; t < s->T; t++) one_row(s, &mask, t);
}

/** Forward in float32, on float32 or bfloat16: y = x factor. Contract: dropout.h. */
void cz_dropout_fwd_cpu(const cz_call *call) {
  pass p = unpack(call, false);
  multiply(&p, call->workspace);
}

/** Backward in float32, on float32 or bfloat16: y = x factor, so dx = dy factor. Contract:
 * dropout.h. */
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
