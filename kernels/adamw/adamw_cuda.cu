/* One pass over w, g, m and v, and one over w before it when the step is scaled by its rms. Bound
 * by memory: 28 bytes an element, and what the copy takes.
 *
 * The scalars of a step are made in double, by one thread of a block, as on the cpu. */
#include "kernels/adamw/adamw.h"
#include "kernels/common/dispatch.cuh"
#include "kernels/common/flat.cuh"
#include "kernels/common/sum.cuh"

enum { THREADS = CZ_FLAT_THREADS, TILE = 4096, BLOCKS_A_MULTIPROCESSOR = 4 };

namespace {
struct arrays : cz_flat {
  cz_adamw_attr attr;
  double *squares; /* of w, a sum a tile; null unless the step is scaled by its rms */
};

/* Of a step; c1 and c2 are 1 - beta^step. */
typedef struct scalars {
  double c1, c2;
} scalars;

/* Of a part. */
typedef struct factors {
  float beta1, rest1, beta2, rest2, eps, rate, root, decay, gradient;
} factors;
} // namespace

static inline __device__ int64_t tiles_of(const cz_flat_part &p) {
  return (p.count + TILE - 1) / TILE;
}

static __device__ scalars scalars_of(const arrays &a) {
  CZ_SHARED(double, c, [2]);
  if (threadIdx.x == 0) {
    const double step = a.hyper[CZ_HYPER_STEP];
    c[0] = 1 - pow(a.attr.beta1, step), c[1] = 1 - pow(a.attr.beta2, step);
  }
  __syncthreads();
  return {c[0], c[1]};
}

/* Of the part that U has come to. SCALE is s of adamw.h. */
static __device__ factors factors_of(const arrays &a, const scalars &s, const cz_flat_part &p,
                                     double scale) {
  const double rate = a.hyper[CZ_HYPER_RATE],
               decay = p.flags & CZ_FLAT_DECAY ? a.attr.weight_decay : 0;
  factors f;
  f.beta1 = (float)a.attr.beta1, f.rest1 = (float)(1 - a.attr.beta1);
  f.beta2 = (float)a.attr.beta2, f.rest2 = (float)(1 - a.attr.beta2);
  f.eps = (float)a.attr.eps;
  f.rate = (float)(rate * scale / s.c1);
  f.root = (float)sqrt(1 / s.c2);
  f.decay = (float)(rate * decay);
  f.gradient = cz_flat_factor(a);
  return f;
}

/* rms(w) before the step. */
static __device__ double scale_of(const arrays &a, const cz_units &u, int64_t count) {
  if (!a.squares) return 1;
  const double sum = cz_block_sum_of(a.squares + u.first, u.count);
  return cz_adamw_scale(sqrt(sum / (double)count));
}

static __global__ void __launch_bounds__(THREADS, BLOCKS_A_MULTIPROCESSOR) squares(arrays a) {
  if (a.hyper[CZ_HYPER_KEEP] == 0) return;
  cz_units u = cz_units_begin(a.rows, a.parts, tiles_of);
  for (; u.at < u.end; cz_units_next(&u, a.rows, tiles_of)) {
    const cz_flat_part p = cz_flat_part_at(a.rows, u.number);
    const int64_t tile = (int64_t)(u.at - u.first) * TILE;
    double sum = 0;
    for (int k = 4 * (int)threadIdx.x; k < TILE && tile + k < p.count; k += 4 * THREADS) {
      float w[4];
      cz_flat_load<4>(w, a.w + p.offset + tile + k, p.count - tile - k, a.wide);
      CZ_UNROLL
      for (int j = 0; j < 4; j++) sum += (double)w[j] * w[j];
    }
    sum = cz_block_sum(sum);
    if (threadIdx.x == 0) a.squares[u.at] = sum;
  }
}

static inline __device__ void update(float w[4], float m[4], float v[4], const float g[4],
                                     const factors &f) {
  CZ_UNROLL
  for (int j = 0; j < 4; j++) {
    const float gradient = f.gradient * g[j];
    m[j] = f.beta1 * m[j] + f.rest1 * gradient;
    v[j] = f.beta2 * v[j] + f.rest2 * gradient * gradient;
    w[j] = w[j] - f.decay * w[j] - f.rate * m[j] / (sqrtf(v[j]) * f.root + f.eps);
  }
}

/* Elements TILE and so on of the part. */
template <class C>
static __device__ void step_tile(const arrays &a, const cz_flat_part &p, const factors &f,
                                 int64_t tile) {
  float *w = a.w + p.offset, *m = a.state + p.state, *v = m + cz_flat_room(p.count);
  const float *g = a.g + p.offset;
  C *copy = cz_flat_copy_of<C>(a, p);
  for (int k = 4 * (int)threadIdx.x; k < TILE && tile + k < p.count; k += 4 * THREADS) {
    const int64_t at = tile + k, left = p.count - at;
    float wi[4], mi[4], vi[4], gi[4];
    cz_flat_load<4>(wi, w + at, left, a.wide), cz_flat_load<4>(gi, g + at, left, a.wide);
    cz_flat_load<4>(mi, m + at, left, a.wide), cz_flat_load<4>(vi, v + at, left, a.wide);
    update(wi, mi, vi, gi, f);
    cz_flat_store<4>(w + at, wi, left, a.wide);
    cz_flat_store<4>(m + at, mi, left, a.wide), cz_flat_store<4>(v + at, vi, left, a.wide);
    if (copy) cz_flat_store<4>(copy + at, wi, left, a.wide);
  }
}

template <class C>
static __global__ void __launch_bounds__(THREADS, BLOCKS_A_MULTIPROCESSOR) step(arrays a) {
  if (a.hyper[CZ_HYPER_KEEP] == 0) return;
  const scalars s = scalars_of(a);
  cz_units u = cz_units_begin(a.rows, a.parts, tiles_of);
  factors f = {};
  for (int number = -1; u.at < u.end; cz_units_next(&u, a.rows, tiles_of)) {
    const cz_flat_part p = cz_flat_part_at(a.rows, u.number);
    if (u.number != number) f = factors_of(a, s, p, scale_of(a, u, p.count)), number = u.number;
    step_tile<C>(a, p, f, (int64_t)(u.at - u.first) * TILE);
  }
}

/* Tiles of all parts, at most. */
static int64_t tiles_maximum(const cz_call *call) {
  return cz_numel(&call->in[CZ_UPDATE_W]) / TILE + call->in[CZ_UPDATE_PARTS].dim[0];
}

static arrays unpack(const cz_call *call) {
  arrays a;
  static_cast<cz_flat &>(a) = cz_flat_of(call);
  a.attr = *static_cast<const cz_adamw_attr *>(call->attr);
  a.squares = a.attr.rms_scale ? static_cast<double *>(call->workspace) : nullptr;
  return a;
}

/** One step in float32, all parts in one launch, with the copy in the same pass; one launch more
 * when the step is scaled. Contract: adamw.h. */
extern "C" void cz_adamw_fwd_cuda(const cz_call *call) {
  const arrays a = unpack(call);
  const cz_arg *copy = &call->out[CZ_UPDATE_OUT_COPY];
  const unsigned blocks =
      cz_flat_blocks(call->stream, tiles_maximum(call), BLOCKS_A_MULTIPROCESSOR);
  if (a.squares) cz_launch("adamw squares", squares, blocks, THREADS, 0, call->stream, a);
  cz_with_type(cz_present(copy) ? copy->dtype : CZ_F32, [&](auto t) {
    cz_launch("adamw", step<typename decltype(t)::type>, blocks, THREADS, 0, call->stream, a);
  });
}

/** Bytes of workspace: a sum of squares for each tile. */
extern "C" size_t cz_adamw_workspace_cuda(const cz_call *call, bool backward) {
  const bool scaled = static_cast<const cz_adamw_attr *>(call->attr)->rms_scale;
  return scaled ? (size_t)tiles_maximum(call) * sizeof(double) : 0;
}
