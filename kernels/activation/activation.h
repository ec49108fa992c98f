/* Activation, gated or plain, of any array [T, F]:
 *
 *     y = act(x) gate                       gate counts as 1 when it is absent
 *
 * Backward:
 *
 *     dx = dy gate act'(x)                  dgate = dy act(x)
 *
 * Kinds:
 *
 *     none         x
 *     ReLU         max(x, 0), slope 0 at 0
 *     GELU         x Phi(x), Phi the normal distribution (Hendrycks and Gimpel 2016)
 *     GELU (tanh)  x / 2 (1 + tanh u), u = sqrt(2 / pi) (x + 0.044715 x^3): the approximation
 *                  of the same paper, which T5 v1.1 and GPT-2 use; computed as x sigmoid(2 u)
 *     tanh         BERT's pooler
 *
 * The gated form is Shazeer's (GLU variants, 2020) and T5 v1.1's: x = h W_0, gate = h
 * W_1. The linear op shares these functions for its epilogue. A NaN in x stays one in y
 * and in dx.
 *
 * Aliasing: y may be x when nobody reads x again; dx may be dy.
 *
 * Deterministic: elementwise. */
#ifndef CZ_KERNELS_ACTIVATION_H
#define CZ_KERNELS_ACTIVATION_H

#include "kernels/op.h"

CZ_C_BEGIN

/* All kinds, with the names that people read. Enum, names and the kernels' switches are
 * made of this list; what value and slope have no case for does not compile. */
#define CZ_ACTIVATION_KINDS(X)                                                                     \
  X(NONE, "none") X(RELU, "ReLU") X(GELU, "GELU") X(GELU_TANH, "GELU (tanh)") X(TANH, "tanh")

typedef enum cz_activation_kind {
#define CZ_KIND(kind, name) CZ_ACTIVATION_##kind,
  CZ_ACTIVATION_KINDS(CZ_KIND)
#undef CZ_KIND
} cz_activation_kind;

#define CZ_KIND(kind, name) +1
enum { CZ_ACTIVATIONS = CZ_ACTIVATION_KINDS(CZ_KIND) };
#undef CZ_KIND

extern const char *const cz_activation_names[CZ_ACTIVATIONS];

typedef struct cz_activation_attr {
  int kind;
} cz_activation_attr;

enum { CZ_ACTIVATION_X, CZ_ACTIVATION_GATE };

double cz_activation_value(double x, int kind);
double cz_activation_slope(double x, int kind);
void cz_activation_values_cpu(float *y, const float *x, int64_t n, int kind);
void cz_activation_slopes_cpu(float *dx, const float *dy, const float *x, int64_t n, int kind);

void cz_activation_fwd_ref(const cz_call *call);
void cz_activation_bwd_ref(const cz_call *call);
void cz_activation_fwd_cpu(const cz_call *call);
void cz_activation_bwd_cpu(const cz_call *call);
void cz_activation_fwd_cuda(const cz_call *call);
void cz_activation_bwd_cuda(const cz_call *call);

CZ_C_END

#endif
