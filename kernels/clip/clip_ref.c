#include "kernels/clip/clip.h"

/** One step's numbers in float64. Contract: clip.h. */
void cz_clip_fwd_ref(const cz_call *call) {
  const double *losses = call->in[CZ_CLIP_LOSSES].data;
  double loss = 0;
  for (int64_t i = 0; i < cz_numel(&call->in[CZ_CLIP_LOSSES]); i++) loss += losses[i];
  cz_clip_step(call->out[CZ_CLIP_OUT_HYPER].data, call->out[CZ_CLIP_OUT_SCALE].data,
               call->out[CZ_CLIP_OUT_GOOD].data, call->in[CZ_CLIP_NOW].data,
               *(const double *)call->in[CZ_CLIP_SUMSQ].data, loss, call->attr);
}
