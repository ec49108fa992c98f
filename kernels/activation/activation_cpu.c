/* Activations in float32, in loops that compilers vectorise: no branch, no call of libm.
 * Accuracy is relative, also in the tails, where y is tiny but a gate or a gradient may
 * be large:
 *
 *     GELU       x Phi(x), Phi's lower tail as a product with exp(-x^2 / 2)
 *     GELU tanh  (1 + tanh u) / 2 = sigmoid(2 u), since tanh u = 2 sigmoid(2 u) - 1; the
 *                left form would cancel for u below -4
 *     tanh'      1 - tanh^2 = 4 sigmoid(2 x) (1 - sigmoid(2 x)), which does not cancel */
#include "kernels/activation/activation.h"
#include "kernels/common/cpu.h"
#include "kernels/common/piece.h"

/* A thread's share; of backward the piece is shorter, as it needs a buffer of it twice on
 * the stack. */
enum { CHUNK = 4096, PIECE = CZ_PIECE };

typedef struct arrays {
  int64_t n;
  int kind;
  cz_dtype dtype; /* of all arrays */
  const cz_arg *x, *gate, *y, *dy, *dx, *dgate;
} arrays;

static arrays unpack(const cz_call *call) {
  return (arrays){.n = cz_numel(&call->in[CZ_ACTIVATION_X]),
                  .kind = ((const cz_activation_attr *)call->attr)->kind,
                  .dtype = cz_call_dtype(call),
                  .x = &call->in[CZ_ACTIVATION_X],
                  .gate = &call->in[CZ_ACTIVATION_GATE],
                  .y = &call->out[0],
                  .dy = &call->dout[0],
                  .dx = &call->din[CZ_ACTIVATION_X],
                  .dgate = &call->din[CZ_ACTIVATION_GATE]};
}

/* Where sigmoid(2 u) below is still neither 0 nor 1 in float32; further out its cube
 * would overflow. */
static inline __attribute__((always_inline)) float within(float x) {
  return x < -12 ? -12 : x > 12 ? 12 : x;
}

/* sigmoid(2 u) and its complement for u = sqrt(2 / pi) (x + 0.044715 x^3), with
 * 2 sqrt(2 / pi) = 1.5957691. Both are needed: backward multiplies them, and 1 - s from s
 * would have no digits where s is near 1. */
static inline __attribute__((always_inline)) void tanh_parts(float *s, float *rest, float x) {
  cz_sigmoidf(s, rest, 1.5957691f * (x + 0.044715f * x * x * x));
}

/* A switch over constants: each loop below is compiled for one kind, so no element pays
 * for it. ReLU is written so that a NaN, which is not below 0, passes. */
static inline __attribute__((always_inline)) float value(float x, cz_activation_kind kind) {
  float s, rest;
  switch (kind) {
  case CZ_ACTIVATION_NONE: return x;
  case CZ_ACTIVATION_RELU: return x < 0 ? 0 : x;
  case CZ_ACTIVATION_GELU: return x * cz_normalf(x, cz_expf(-0.5f * x * x));
  case CZ_ACTIVATION_GELU_TANH: tanh_parts(&s, &rest, within(x)); return x * s;
  case CZ_ACTIVATION_TANH: return cz_tanhf(x);
  }
  __builtin_unreachable();
}

/* GELU: (x Phi)' = Phi + x phi, as Phi' = phi = exp(-x^2 / 2) / sqrt(2 pi). GELU (tanh),
 * with s = sigmoid(2 u): (x s)' = s + x s (1 - s) 2 u', 2 u' = 2 sqrt(2 / pi) (1 + 3 x
 * 0.044715 x^2), which is 1.5957691 (1 + 0.134145 x^2). Beyond |x| = 12 s (1 - s) is 0 in
 * float32 and c for x does no harm. */
static inline __attribute__((always_inline)) float slope(float x, cz_activation_kind kind) {
  float s, rest, c = within(x), e;
  switch (kind) {
  case CZ_ACTIVATION_NONE: return 1;
  case CZ_ACTIVATION_RELU: return x > 0 ? 1 : x <= 0 ? 0 : x; /* a NaN stays one */
  case CZ_ACTIVATION_GELU:
    e = cz_expf(-0.5f * x * x);
    return cz_normalf(x, e) + x * 0.39894228f * e; /* Phi + x phi */
  case CZ_ACTIVATION_GELU_TANH:
    tanh_parts(&s, &rest, c);
    return s + c * s * rest * 1.5957691f * (1 + 0.134145f * c * c); /* s + x s (1 - s) 2 u' */
  case CZ_ACTIVATION_TANH:
    cz_sigmoidf(&s, &rest, 2 * x);
    return 4 * s * rest; /* 1 - tanh^2, as tanh(x) = s - rest and s + rest = 1 */
  }
  __builtin_unreachable();
}

/* The loops below are written once and compiled for each kind: CALL with the kind as a
 * constant. */
#define CALL_OF(kind, name)                                                                        \
  case CZ_ACTIVATION_##kind: CALL(CZ_ACTIVATION_##kind); break;

static inline __attribute__((always_inline)) void
values(float *y, const float *x, const float *gate, int64_t n, cz_activation_kind kind) {
  if (gate) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] = value(x[i], kind) * gate[i];
  } else {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] = value(x[i], kind);
  }
}

CZ_CLONES static void values_of_kind(float *y, const float *x, const float *gate, int64_t n,
                                     int kind) {
#define CALL(k) values(y, x, gate, n, k)
  switch ((cz_activation_kind)kind) { CZ_ACTIVATION_KINDS(CALL_OF) }
#undef CALL
}

/* y = act(x) gate is a product: each factor's gradient is dy times the other, and x's
 * goes on through act'. act(x) is recomputed for dgate; keeping it would cost an array of
 * T x F. */
static inline __attribute__((always_inline)) void gradients(float *to_x, float *to_gate,
                                                            const float *dy, const float *x,
                                                            const float *gate, int64_t n,
                                                            cz_activation_kind kind) {
  if (gate) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
      to_gate[i] = dy[i] * value(x[i], kind); /* y = act(x) gate */
      to_x[i] = dy[i] * gate[i] * slope(x[i], kind);
    }
  } else {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) to_x[i] = dy[i] * slope(x[i], kind);
  }
}

CZ_CLONES static void gradients_of_kind(float *to_x, float *to_gate, const float *dy,
                                        const float *x, const float *gate, int64_t n, int kind) {
#define CALL(k) gradients(to_x, to_gate, dy, x, gate, n, k)
  switch ((cz_activation_kind)kind) { CZ_ACTIVATION_KINDS(CALL_OF) }
#undef CALL
}

/** act of N numbers on the calling thread; Y may be X. */
void cz_activation_values_cpu(float *y, const float *x, int64_t n, int kind) {
  values_of_kind(y, x, NULL, n, kind);
}

/** dy * act'(x) of N numbers on the calling thread; DX may be DY. For ReLU x may as well
 * be act(x). */
void cz_activation_slopes_cpu(float *dx, const float *dy, const float *x, int64_t n, int kind) {
  gradients_of_kind(dx, NULL, dy, x, NULL, n, kind);
}

static void fwd_piece(const arrays *a, int64_t i, int64_t n) {
  float x[PIECE], gate[PIECE];
  float *y = cz_piece_room(a->y->data, a->y->dtype, i,
                           x); /* y may be x: each number is read before it is written */
  values_of_kind(y, cz_piece_read(a->x->data, a->x->dtype, i, n, x),
                 cz_piece_read(a->gate->data, a->gate->dtype, i, n, gate), n, a->kind);
  cz_piece_put(a->y->data, a->y->dtype, i, n, y);
}

/** Forward in float32, on float32 or bfloat16. Contract: activation.h. */
void cz_activation_fwd_cpu(const cz_call *call) {
  arrays a = unpack(call);
  const int64_t each = cz_piece_length(a.dtype, CHUNK);
#pragma omp parallel for schedule(static) if (a.n > (int64_t)4 * CHUNK)
  for (int64_t i = 0; i < a.n; i += each) fwd_piece(&a, i, cz_minimum(a.n - i, each));
}

/* A piece of either gradient is 2 KiB of stack, so it stays in the first cache
 * between being computed and being put. */
static void bwd_piece(const arrays *a, int64_t i, const cz_grad_mode *mode) {
  float to_x[PIECE], to_gate[PIECE]; /* both before either is put: dx may be dy */
  float buffer[3][PIECE];
  int64_t n = cz_minimum(a->n - i, PIECE);
  const float *gate = cz_piece_read(a->gate->data, a->gate->dtype, i, n, buffer[2]);
  gradients_of_kind(to_x, to_gate, cz_piece_read(a->dy->data, a->dy->dtype, i, n, buffer[0]),
                    cz_piece_read(a->x->data, a->x->dtype, i, n, buffer[1]), gate, n, a->kind);
  if (mode[CZ_ACTIVATION_X])
    cz_piece_grad(a->dx->data, a->dx->dtype, i, n, to_x, mode[CZ_ACTIVATION_X]);
  if (gate && mode[CZ_ACTIVATION_GATE])
    cz_piece_grad(a->dgate->data, a->dgate->dtype, i, n, to_gate, mode[CZ_ACTIVATION_GATE]);
}

/** Backward in float32, on float32 or bfloat16. Contract: activation.h. */
void cz_activation_bwd_cpu(const cz_call *call) {
  arrays a = unpack(call);
#pragma omp parallel for schedule(static) if (a.n > (int64_t)4 * CHUNK)
  for (int64_t i = 0; i < a.n; i += PIECE) bwd_piece(&a, i, call->mode);
}
