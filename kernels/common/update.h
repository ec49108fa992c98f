/* What the rows of the optimizers share: their inputs and outputs, and the rule for them. */
#ifndef CZ_KERNELS_COMMON_UPDATE_H
#define CZ_KERNELS_COMMON_UPDATE_H

#include "kernels/common/hyper.h"
#include "kernels/common/flat.h"
#include "kernels/op.h"

CZ_C_BEGIN

enum {
  CZ_UPDATE_W,
  CZ_UPDATE_G,
  CZ_UPDATE_STATE,
  CZ_UPDATE_PARTS,
  CZ_UPDATE_HYPER,
  CZ_UPDATE_COPY,
  CZ_UPDATE_INPUTS
};
enum { CZ_UPDATE_OUT_W, CZ_UPDATE_OUT_STATE, CZ_UPDATE_OUT_COPY, CZ_UPDATE_OUTPUTS };

bool cz_update_shape(cz_arg *out, const cz_arg *in, char *why, size_t why_bytes);

CZ_C_END

#endif
