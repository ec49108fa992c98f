#include "kernels/clip/clip.h"

/** One step's numbers: read as float32, computed in double, rounded once. Contract: clip.h. */
void cz_clip_fwd_cpu(const cz_call *call) {
  const float *losses = call->in[CZ_CLIP_LOSSES].data, *now = call->in[CZ_CLIP_NOW].data;
  float *out = call->out[CZ_CLIP_OUT_HYPER].data, *scale = call->out[CZ_CLIP_OUT_SCALE].data,
        *good = call->out[CZ_CLIP_OUT_GOOD].data;
  const double at[CZ_CLIP_NOWS] = {now[CZ_CLIP_RATE], now[CZ_CLIP_STEP]};
  double hyper[CZ_HYPERS], loss = 0, next = *scale, steps = *good;
  for (int64_t i = 0; i < cz_numel(&call->in[CZ_CLIP_LOSSES]); i++) loss += losses[i];
  cz_clip_step(hyper, &next, &steps, at, *(const float *)call->in[CZ_CLIP_SUMSQ].data, loss,
               call->attr);
  for (int i = 0; i < CZ_HYPERS; i++) out[i] = (float)hyper[i];
  *scale = (float)next, *good = (float)steps;
}
