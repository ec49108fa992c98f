/* The norm backward: h, dy and dh are read once, see norm.cuh for how rows are held; n is
 * recomputed from h, mean and rstd. A thread has the same channels of all rows of its team, and
 * adds up their dgain and dbias in registers; blocks leave them in the workspace, and a second
 * launch adds those in order.
 *
 * By estimate that launch takes some 4.5 us whatever the batch is, 2.5 to begin and 2 to add 1.2 MB
 * that lie in L2 (T5-base on an H100: 396 blocks). Of T5-base's 62 norms that is 0.3 ms: a quarter
 * of a percent of the bound of a step of 128 x 512/114 (docs/kernels.md), but 3 % of one of
 * 8 x 512/114, and 5 % of T5-small's with its 32 norms, where the host, which launches each, may be
 * what the step waits for. It stays, since what else there is costs more. The last block to end
 * could add, with a ticket that is an integer in global memory: but 1.2 MB come to one
 * multiprocessor in some 10 us. One launch could add the sums of all norms of a step: but 75 MB of
 * them would be kept, and no gain's gradient were final, for ranks to exchange, before the last. */
#include "kernels/common/columns.cuh"
#include "kernels/norm/norm.cuh"

namespace {
/* A call as the kernel sees it. Absent or not wanted: null. */
template <class X, class Y, class B> struct arrays : norm_rows {
  X *dx;
  B *dresidual;
  const X *h, *dh;
  const Y *dy;
  const float *rstd, *mean; /* mean: LAYER only */
  float *gains, *biases;    /* partial sums [blocks, D] */
  bool add_x, add_residual;
};

/* A thread's sums over rows. Without LAYER there is no bias. */
template <int EACH, int PACKS, bool LAYER> struct sums {
  float gains[PACKS > 0 ? PACKS : 1][EACH], biases[LAYER && PACKS > 0 ? PACKS : 1][EACH];
};

/* A thread's part of a row. Without LAYER there is no mean. */
template <class X, class Y, class B, int EACH, int PACKS, bool LAYER> struct part {
  enum { KEPT = PACKS > 0 ? PACKS : 1 };
  cz_numbers<EACH, X> h[KEPT], dh[KEPT];
  cz_numbers<EACH, Y> dy[KEPT];

  __device__ void read(const arrays<X, Y, B> &a, int k, int64_t i) {
    if (a.dy) cz_read(h[k], a.h + i);
    if (a.dy) cz_read(dy[k], a.dy + i);
    if (a.dh) cz_read(dh[k], a.dh + i);
  }

  /* Registers are for the sums over rows: what the first pass makes of a row is made again. */
  __device__ void forget() {
    if constexpr (PACKS > 0) {
      CZ_UNROLL
      for (int k = 0; k < KEPT; k++) cz_forget_numbers(h[k]), cz_forget_numbers(dy[k]);
    }
  }

  /* Adds pack K to the sums over rows and to SUM, of g n and g over the row; GAIN are the pack's.
   */
  __device__ void add(sums<EACH, PACKS, LAYER> &over, float sum[2], int k, const float gain[EACH],
                      float m, float r) const {
    CZ_UNROLL
    for (int i = 0; i < EACH; i++) {
      const float n = (cz_number(h[k], i) - m) * r, d = cz_number(dy[k], i), g = d * gain[i];
      over.gains[k][i] += d * n;
      sum[0] += g * n;
      if constexpr (LAYER) over.biases[k][i] += d, sum[1] += g;
    }
  }

  /* The gradient of h in pack K. MEAN: of g n and of g. */
  __device__ void gradient(float e[EACH], const arrays<X, Y, B> &a, int k, const float gain[EACH],
                           float m, float r, const float mean[2]) const {
    CZ_UNROLL
    for (int i = 0; i < EACH; i++) {
      e[i] = a.dh ? cz_number(dh[k], i) : 0;
      if (!a.dy) continue;
      const float n = (cz_number(h[k], i) - m) * r;
      e[i] += r * (cz_number(dy[k], i) * gain[i] - mean[1] - n * mean[0]);
    }
  }
};
} // namespace

/* What a thread has of a channel: of h, dh and dy, and its sums over rows. */
constexpr int bytes_held(bool layer, size_t x, size_t y) {
  return (layer ? 8 : 4) + (int)(2 * x + y);
}

/* Warps that a multiprocessor has at once, whose threads have CHANNELS of BYTES each: some 60
 * registers beside those for the channels leave room for twelve warps or for eight. */
constexpr int warps_at_once(int channels, int bytes) { return channels * bytes / 4 > 100 ? 8 : 12; }

constexpr int blocks_at_once(int channels, int bytes) {
  return warps_at_once(channels, bytes) * CZ_WARP / norm_threads(channels);
}

/* E goes to dx, and times M to dresidual: the gradient of an addition is rounded before that of a
 * dropout is made of it. From here on dh and dy of these elements have been read. */
template <class X, class Y, class B, int EACH>
static __device__ void put(float e[EACH], const arrays<X, Y, B> &a, const cz_key &key, int64_t i,
                           uint64_t element) {
  if (a.dx) cz_put_floats<EACH>(a.dx + i, e, a.add_x);
  if (!a.dresidual) return;
  if (a.dropout_mask.threshold > 0) {
    CZ_UNROLL
    for (int j = 0; j < EACH; j++) e[j] = cz_rounded<B>(e[j]);
    cz_dropout_multiply<EACH>(e, a.dropout_mask, key, element);
  }
  cz_put_floats<EACH>(a.dresidual + i, e, a.add_residual);
}

/* The block's sums over its rows, to PARTIAL [D]: of all its teams, in order. SHARED has room for
 * each of them. */
template <int EACH, int PACKS>
static __device__ void leave(float *partial, float (*sums)[EACH], float *shared,
                             const norm_place &at, int64_t D, int64_t room) {
  const int teams = (int)blockDim.x / at.threads;
  __syncthreads(); /* the sums before these have been read */
  norm_packs<EACH, PACKS>(at, D, [&](int k, int64_t d) {
    norm_write<EACH>(shared + at.team * room, sums[k], (int)d, room);
  });
  __syncthreads();
  for (int d = (int)threadIdx.x; d < D; d += (int)blockDim.x) {
    float sum = 0;
    for (int team = 0; team < teams; team++)
      sum += shared[team * room + norm_channel<EACH>(d, room)];
    partial[d] = sum;
  }
}

/* Where rows are not held the sums over them are not either: they are made where they are left. */
static __device__ void leave_one(float *partial, int64_t d, float x, bool first) {
  if (partial) partial[d] = first ? x : partial[d] + x;
}

template <class X, class Y, class B, int EACH, int PACKS, bool LAYER>
static __global__ void __launch_bounds__(norm_threads(PACKS *EACH),
                                         blocks_at_once(PACKS *EACH,
                                                        bytes_held(LAYER, sizeof(X), sizeof(Y))))
    backward(arrays<X, Y, B> a) {
  CZ_SHARED(float, parts, [2][NORM_WARPS][2]);
  CZ_SHARED_DYNAMIC(float, gain);
  const int64_t room = norm_room<EACH>(a.D);
  const norm_place at = norm_place_of(a);
  const cz_key key = cz_random_key(a.dropout_mask.random);
  cz_segment segment = cz_segment_none();
  sums<EACH, PACKS, LAYER> over = {};
  const int64_t own = blockIdx.x * a.D; /* sums of this block */
  float *const gains = a.gains ? a.gains + own : nullptr;
  float *const biases = a.biases ? a.biases + own : nullptr;
  int turn = 0;
  if constexpr (PACKS > 0) {
    norm_stage<EACH>(gain, a.gain, a.D);
    __syncthreads();
  }
  for (int64_t t = at.first; t < at.end; t++) {
    const int64_t row = t * a.D;
    const float r = a.rstd[t], m = LAYER && a.mean ? a.mean[t] : 0;
    const uint64_t element = cz_dropout_first(segment, a.dropout_mask, t, a.D);
    part<X, Y, B, EACH, PACKS, LAYER> v = {};
    float mean[2] = {}, g[EACH], e[EACH];
    if constexpr (PACKS > 0)
      norm_packs<EACH, PACKS>(at, a.D, [&](int k, int64_t d) { v.read(a, k, row + d); });
    if (a.dy) {
      norm_packs<EACH, PACKS>(at, a.D, [&](int k, int64_t d) {
        if constexpr (PACKS == 0) over = {}, v.read(a, k, row + d);
        norm_constant<EACH, PACKS>(g, gain, a.gain, d, room, 1);
        v.add(over, mean, k, g, m, r);
        if constexpr (PACKS > 0) return;
        leave_one(gains, d, over.gains[0][0], t == at.first);
        leave_one(biases, d, over.biases[0][0], t == at.first);
      });
      norm_sum<LAYER ? 2 : 1>(mean, at, parts, turn);
      mean[0] /= (float)a.D, mean[1] = LAYER && a.mean ? mean[1] / (float)a.D : 0;
      v.forget();
    }
    norm_packs<EACH, PACKS>(at, a.D, [&](int k, int64_t d) {
      if constexpr (PACKS == 0) v.read(a, k, row + d);
      norm_constant<EACH, PACKS>(g, gain, a.gain, d, room, 1);
      v.gradient(e, a, k, g, m, r, mean);
      put<X, Y, B, EACH>(e, a, key, row + d, element + (uint64_t)d);
    });
  }
  if constexpr (PACKS > 0) {
    if (gains) leave<EACH, PACKS>(gains, over.gains, gain + room, at, a.D, room);
    if (LAYER && biases) leave<EACH, PACKS>(biases, over.biases, gain + room, at, a.D, room);
  }
}

/* Blocks, each of which leaves a row of sums; fewer when T is less. As many for a multiprocessor as
 * are there at once. */
static int64_t blocks_maximum(const cz_call *call) {
  const cz_arg *x = &call->in[CZ_NORM_X], *y = &call->out[CZ_NORM_Y];
  const bool layer = static_cast<const cz_norm_attr *>(call->attr)->kind == CZ_NORM_LAYER;
  const norm_way way = norm_way_of(x->dim[1], x->dim[1] <= NORM_HELD);
  const int warps = warps_at_once(
      way.channels, bytes_held(layer, cz_dtype_bytes(x->dtype), cz_dtype_bytes(y->dtype)));
  const int64_t most = norm_resident(call->stream, way, warps);
  const int64_t all = (x->dim[0] + way.teams - 1) / way.teams;
  return all < most ? all : most;
}

static size_t partial_bytes(const cz_call *call, int64_t blocks) {
  const int arrays = cz_present(&call->in[CZ_NORM_BIAS]) ? 2 : 1;
  return (size_t)(arrays * blocks * call->in[CZ_NORM_X].dim[1]) * sizeof(float);
}

/** Bytes of workspace: backward's partial sums of dgain and dbias. */
extern "C" size_t cz_norm_workspace_cuda(const cz_call *call, bool backward) {
  return backward ? partial_bytes(call, blocks_maximum(call)) : 0;
}

template <class X, class Y, class B> static arrays<X, Y, B> unpack(const cz_call *call) {
  const cz_norm_attr *attr = static_cast<const cz_norm_attr *>(call->attr);
  const cz_arg *x = &call->in[CZ_NORM_X], *h = &call->out[CZ_NORM_H];
  const cz_grad_mode *mode = call->mode;
  arrays<X, Y, B> a = {};
  static_cast<norm_rows &>(a) = norm_rows_of(call);
  if (mode[CZ_NORM_X]) a.dx = static_cast<X *>(call->din[CZ_NORM_X].data);
  a.h = static_cast<const X *>(cz_present(h) ? h->data : x->data);
  a.dh = static_cast<const X *>(call->dout[CZ_NORM_H].data);
  a.dy = static_cast<const Y *>(call->dout[CZ_NORM_Y].data);
  a.rstd = static_cast<const float *>(call->out[CZ_NORM_RSTD].data);
  if (attr->kind == CZ_NORM_LAYER)
    a.mean = static_cast<const float *>(call->out[CZ_NORM_MEAN].data);
  a.add_x = mode[CZ_NORM_X] == CZ_GRAD_ADD;
  if (!mode[CZ_NORM_RESIDUAL]) return a;
  a.dresidual = static_cast<B *>(call->din[CZ_NORM_RESIDUAL].data);
  a.add_residual = mode[CZ_NORM_RESIDUAL] == CZ_GRAD_ADD;
  return a;
}

/* The sums over rows that are wanted: a kernel makes them when there are rows and a dy. */
static void sum_partial(const cz_call *call, const float *partial, int64_t blocks) {
  cz_partials c = {};
  c.D = call->in[CZ_NORM_X].dim[1], c.rows = blocks, c.partial = partial;
  for (int i = 0; i < 2; i++) {
    const cz_grad_mode mode = call->mode[CZ_NORM_GAIN + i];
    if (mode == CZ_GRAD_SKIP || (mode == CZ_GRAD_ADD && blocks == 0)) continue;
    c.to[i] = static_cast<float *>(call->din[CZ_NORM_GAIN + i].data);
    c.add[i] = mode == CZ_GRAD_ADD;
  }
  cz_sum_partials("norm backward, sums", call->stream, c);
}

template <class X, class Y, class B, int EACH, int PACKS>
static void launch(const cz_call *call, arrays<X, Y, B> a, norm_way way) {
  const int64_t blocks = norm_cut(&a, way, blocks_maximum(call)), D = a.D;
  const bool sums = a.dy && (call->mode[CZ_NORM_GAIN] || call->mode[CZ_NORM_BIAS]);
  if (sums) a.gains = static_cast<float *>(call->workspace);
  if (sums && call->mode[CZ_NORM_BIAS]) a.biases = a.gains + blocks * D;
  void (*kernel)(arrays<X, Y, B>) = backward<X, Y, B, EACH, PACKS, true>;
  if constexpr (PACKS > 0)
    if (!a.mean) kernel = backward<X, Y, B, EACH, PACKS, false>;
  const size_t room = PACKS > 0 ? (1 + way.teams) * (size_t)norm_room<EACH>(D) * 4 : 0;
  if (a.dx || a.dresidual || sums)
    cz_launch("norm backward", kernel, (unsigned)blocks, way.teams * way.warps * CZ_WARP, room,
              call->stream, a);
  sum_partial(call, a.gains, sums ? blocks : 0);
}

template <class X, class Y, class B> static void run(const cz_call *call) {
  const arrays<X, Y, B> a = unpack<X, Y, B>(call);
  const bool aligned = cz_aligned_16(a.dx) && cz_aligned_16(a.dresidual) && cz_aligned_16(a.h) &&
                       cz_aligned_16(a.dh) && cz_aligned_16(a.dy);
  norm_with_way<X, Y, B>(a.D, aligned, [&](auto each, auto packs, norm_way way) {
    launch<X, Y, B, decltype(each)::value, decltype(packs)::value>(call, a, way);
  });
}

/** Backward in float32, on float32, bfloat16 or float16. Contract: norm.h. */
extern "C" void cz_norm_bwd_cuda(const cz_call *call) {
  if (call->in[CZ_NORM_X].dim[0] == 0) { /* there may be no workspace */
    sum_partial(call, nullptr, 0);
    return;
  }
  norm_with_types(call, [&](auto x, auto y, auto b) {
    run<typename decltype(x)::type, typename decltype(y)::type, typename decltype(b)::type>(call);
  });
}
