/* Linear: y = act(alpha x W^T + bias), x [T, I], y [T, O]. W is [O, I] (CZ_LINEAR_OUT_IN,
 * torch's Linear) or [I, O] (CZ_LINEAR_IN_OUT, GPT-2's Conv1D); bias [O] may be absent.
 * With an activation the sum before it is saved in pre [T, O], but ReLU's backward reads
 * y, whose sign says enough. The sum is made in float32; on a card the bias is rounded to y's
 * dtype before it is added, where the library adds it, and GELU by tanh is off by roundings of z in
 * float32 before a y of 16 bits (linear_cuda.cu).
 *
 * Gradients, with g = dy * act'(pre): dx = alpha g W, dW = alpha g^T x (in W's layout),
 * dbias = sum of g over rows. Aliasing: none. Deterministic: products are cut by shape
 * alone (common/product.h), dbias has a fixed tree (common/rows.h). The cpu kernels need
 * T, I and O below 2^31 each (BLAS counts in int). Backward's workspace holds g [T, O]
 * when there is an activation, and dbias's partial sums. */
#ifndef CZ_KERNELS_LINEAR_H
#define CZ_KERNELS_LINEAR_H

#include "kernels/activation/activation.h"

CZ_C_BEGIN

typedef enum cz_linear_layout {
  CZ_LINEAR_OUT_IN,
  CZ_LINEAR_IN_OUT, /* no model here has it yet: GPT-2 will (models.md) */
  CZ_LINEAR_LAYOUTS
} cz_linear_layout;

/* An attribute of the node, fixed when the graph is built. */
typedef struct cz_linear_attr {
  int layout;     /* cz_linear_layout */
  int activation; /* cz_activation_kind */
  double alpha;   /* 1 for a plain layer; T5's tied output uses D^-1/2 */
  int y;          /* the dtype of y, cz_dtype_choice; 0: that of x */
} cz_linear_attr;

enum { CZ_LINEAR_X, CZ_LINEAR_W, CZ_LINEAR_BIAS };
enum { CZ_LINEAR_Y, CZ_LINEAR_PRE };

/* Whether z = alpha x W^T + bias is an output of its own, T x O numbers that live until
 * backward. */
static inline CZ_HOST_DEVICE bool cz_linear_saves_pre(const cz_linear_attr *attr) {
  return attr->activation != CZ_ACTIVATION_NONE && attr->activation != CZ_ACTIVATION_RELU;
}

void cz_linear_fwd_ref(const cz_call *call);
void cz_linear_bwd_ref(const cz_call *call);
void cz_linear_fwd_cpu(const cz_call *call);
void cz_linear_bwd_cpu(const cz_call *call);
size_t cz_linear_workspace_cpu(const cz_call *call, bool backward);
void cz_linear_fwd_cuda(const cz_call *call);
void cz_linear_bwd_cuda(const cz_call *call);
size_t cz_linear_workspace_cuda(const cz_call *call, bool backward);

CZ_C_END

#endif
