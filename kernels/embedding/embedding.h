/* Embedding: y[t] = table[ids[t]]; table [V, D], ids [T] int32, each in [0, V); y [T, D], in
 * the table's dtype or another one (attr).
 *
 * Gradient: dtable[v] = sum of dy[t] over the t with ids[t] = v, added in the order of t;
 * other rows get zero when written. One row may be left out, as torch's padding_idx leaves
 * it out: its look-ups give it no gradient, and what is there stays when added to.
 *
 * The arithmetic is gather's, whose kernels this row uses; it is an op of its own because tables of
 * parameters and rows of activations are different things to a graph's reader and to the GPU's
 * kernels. Aliasing: none. Deterministic, see gather.h. */
#ifndef CZ_KERNELS_EMBEDDING_H
#define CZ_KERNELS_EMBEDDING_H

#include "kernels/op.h"

CZ_C_BEGIN

enum { CZ_EMBEDDING_TABLE, CZ_EMBEDDING_IDS };

typedef struct cz_embedding_attr {
  int y;       /* cz_dtype_choice; 0: the table's */
  int padding; /* 1 + the row that is left out of the gradient; 0: none */
} cz_embedding_attr;

void cz_embedding_bwd_ref(const cz_call *call);
void cz_embedding_bwd_cpu(const cz_call *call);
void cz_embedding_bwd_cuda(const cz_call *call);
size_t cz_embedding_workspace_cuda(const cz_call *call, bool backward);

CZ_C_END

#endif
