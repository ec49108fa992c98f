/* A few numbers: one warp. Its lanes load losses side by side, and every lane adds them in their
 * order. */
#include "kernels/clip/clip.h"
#include "kernels/common/device.cuh"

namespace {
typedef struct arrays {
  float *hyper, *scale, *good;
  const float *sumsq, *losses, *now;
  int64_t count; /* of losses */
  cz_clip_attr attr;
} arrays;
} // namespace

static __global__ void clip(arrays a) {
  double loss = 0;
  for (int64_t from = 0; from < a.count; from += CZ_WARP) {
    const int64_t left = a.count - from;
    const float mine = threadIdx.x < left ? a.losses[from + threadIdx.x] : 0;
    for (int i = 0; i < CZ_WARP && i < left; i++) loss += __shfl_sync(CZ_FULL_MASK, mine, i);
  }
  if (threadIdx.x > 0) return;
  const double now[CZ_CLIP_NOWS] = {a.now[CZ_CLIP_RATE], a.now[CZ_CLIP_STEP]};
  double hyper[CZ_HYPERS], scale = *a.scale, good = *a.good;
  cz_clip_step(hyper, &scale, &good, now, *a.sumsq, loss, &a.attr);
  for (int i = 0; i < CZ_HYPERS; i++) a.hyper[i] = (float)hyper[i];
  *a.scale = (float)scale, *a.good = (float)good;
}

/** One step's numbers: read as float32, computed in double, rounded once. Contract: clip.h. */
extern "C" void cz_clip_fwd_cuda(const cz_call *call) {
  arrays a;
  a.hyper = static_cast<float *>(call->out[CZ_CLIP_OUT_HYPER].data);
  a.scale = static_cast<float *>(call->out[CZ_CLIP_OUT_SCALE].data);
  a.good = static_cast<float *>(call->out[CZ_CLIP_OUT_GOOD].data);
  a.sumsq = static_cast<const float *>(call->in[CZ_CLIP_SUMSQ].data);
  a.losses = static_cast<const float *>(call->in[CZ_CLIP_LOSSES].data);
  a.now = static_cast<const float *>(call->in[CZ_CLIP_NOW].data);
  a.count = cz_numel(&call->in[CZ_CLIP_LOSSES]);
  a.attr = *static_cast<const cz_clip_attr *>(call->attr);
  cz_launch("clip", clip, 1, CZ_WARP, 0, call->stream, a);
}
