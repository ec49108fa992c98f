/* What the norm's forward and backward kernels share: how rows are given to warps.
 *
 * Up to 1024 channels a row is one warp's, and a block has four of them; above, a row is one
 * block's, of 512 channels a warp, and of 1024 beyond 4096. Threads hold what they have read of
 * their row in registers, in packs of EACH neighbours: lane l has pack l, l + threads, ... So the
 * row is read once, and sums are finished by shuffles, or over the block through shared memory.
 * Rows that are wider than 8192 channels, whose width is no multiple of a pack, or whose arrays are
 * not aligned, are read again for each pass, number by number (PACKS is 0).
 *
 * Gain and bias are read by every row: they lie in shared memory, where a thread's EACH neighbours
 * are taken sixteen bytes at a time without conflicts of banks (norm_channel). A grid has as many
 * blocks as are there at once and no more: gain and bias are read once by each, and there is no
 * second turn of a few blocks on a card that is idle else. The teams have runs of rows. */
#ifndef CZ_KERNELS_NORM_NORM_CUH
#define CZ_KERNELS_NORM_NORM_CUH

#include "kernels/common/dispatch.cuh"
#include "kernels/common/dropout.cuh"
#include "kernels/common/vector.cuh"
#include "kernels/norm/norm.h"

enum {
  NORM_TEAMS = 4,         /* warps of a block that have a row each */
  NORM_WARP_WIDTH = 1024, /* channels that one warp holds, at most */
  NORM_WARPS = 8,         /* of a block that has a row, at most */
  NORM_HELD = 8192        /* channels that are held at all */
};

/* How a launch goes about rows of D channels. */
typedef struct norm_way {
  int channels; /* that a thread holds; 0: none */
  int warps;    /* of a row */
  int teams;    /* rows that a block has at once */
} norm_way;

static inline norm_way norm_way_of(int64_t D, bool held) {
  if (!held) return {0, D <= NORM_WARP_WIDTH ? 1 : (int)NORM_WARPS, 1};
  if (D <= NORM_WARP_WIDTH) return {D <= 512 ? 16 : D <= 768 ? 24 : 32, 1, NORM_TEAMS};
  const int channels = D <= NORM_HELD / 2 ? 16 : 32, warp = channels * CZ_WARP;
  return {channels, (int)((D + warp - 1) / warp), 1};
}

/* Threads of a block that holds CHANNELS a thread, at most. */
constexpr int norm_threads(int channels) {
  return (channels == 24 ? (int)NORM_TEAMS : (int)NORM_WARPS) * CZ_WARP;
}

/* Calls F with the std::integral_constant of packs a thread. */
template <int EACH, class F> static inline void norm_with_packs(int channels, F f) {
  switch (channels) {
  case 16: f(std::integral_constant<int, 16 / EACH>()); return;
  case 24: f(std::integral_constant<int, 24 / EACH>()); return;
  default: f(std::integral_constant<int, 32 / EACH>()); return;
  }
}

/* Host: calls F with the types of stream, y and branch; the branch has that of one of them. */
template <class F> static inline void norm_with_types(const cz_call *call, F f) {
  const cz_arg *residual = &call->in[CZ_NORM_RESIDUAL];
  const cz_dtype y = call->out[CZ_NORM_Y].dtype;
  cz_with_types(call->in[CZ_NORM_X].dtype, y, [&](auto stream, auto result) {
    if (!cz_present(residual) || residual->dtype == y)
      f(stream, result, result);
    else
      f(stream, result, stream);
  });
}

/* Host: calls F with the std::integral_constants of EACH and PACKS for rows of D channels, and the
 * way they are gone about. ALIGNED: all arrays begin at multiples of 16 bytes. */
template <class X, class Y, class B, class F>
static inline void norm_with_way(int64_t D, bool aligned, F f) {
  constexpr int EACH = cz_each<X, Y, B>();
  if constexpr (sizeof(X) >= sizeof(Y)) { /* the stream is not the narrower one */
    if (aligned && D % EACH == 0 && D <= NORM_HELD) {
      const norm_way way = norm_way_of(D, true);
      norm_with_packs<EACH>(
          way.channels, [&](auto packs) { f(std::integral_constant<int, EACH>(), packs, way); });
      return;
    }
  }
  f(std::integral_constant<int, 1>(), std::integral_constant<int, 0>(), norm_way_of(D, false));
}

/* What both kernels see of a call. */
typedef struct norm_rows {
  const float *gain;
  int64_t T, D;
  int64_t each, more; /* rows of a team, and how many of the first teams have one besides */
  int warps;          /* of a row */
  cz_dropout dropout_mask;
} norm_rows;

/* Host; the cut of the rows belongs to the launch. */
static inline norm_rows norm_rows_of(const cz_call *call) {
  const cz_norm_attr *attr = static_cast<const cz_norm_attr *>(call->attr);
  norm_rows r = {};
  r.gain = static_cast<const float *>(call->in[CZ_NORM_GAIN].data);
  r.T = call->in[CZ_NORM_X].dim[0], r.D = call->in[CZ_NORM_X].dim[1];
  if (cz_present(&call->in[CZ_NORM_RESIDUAL])) /* backward has no data of it */
    r.dropout_mask =
        cz_dropout_of(call, attr->dropout, attr->share_segment, &call->in[CZ_NORM_SPANS]);
  return r;
}

/* Host: blocks of a launch that are there at once, where a multiprocessor has WARPS. */
static inline int64_t norm_resident(void *stream, norm_way way, int warps) {
  const int block = way.teams * way.warps;
  return (int64_t)cz_cuda_multiprocessors(stream) * (warps > block ? warps / block : 1);
}

/* Host: cuts the rows into runs of neighbours, one for each team of MOST blocks, or of fewer where
 * every team has a row already; none is longer than another by more than a row. Gives the blocks.
 */
static inline int64_t norm_cut(norm_rows *r, norm_way way, int64_t most) {
  const int64_t all = (r->T + way.teams - 1) / way.teams, blocks = all < most ? all : most,
                teams = blocks * way.teams;
  r->warps = way.warps;
  r->each = teams > 0 ? r->T / teams : 0;
  r->more = r->T - r->each * teams;
  return blocks;
}

/* Where a thread works. */
typedef struct norm_place {
  int lane, threads; /* of those that have its row */
  int warps;
  int team;
  int64_t first, end; /* its rows */
} norm_place;

static inline __device__ norm_place norm_place_of(const norm_rows &r) {
  norm_place at;
  at.warps = r.warps, at.threads = r.warps * CZ_WARP;
  at.team = (int)threadIdx.x / at.threads, at.lane = (int)threadIdx.x % at.threads;
  const int teams = (int)blockDim.x / at.threads;
  const int64_t team = (int64_t)blockIdx.x * teams + at.team;
  at.first = team * r.each + (team < r.more ? team : r.more);
  at.end = at.first + r.each + (team < r.more ? 1 : 0);
  return at;
}

/* F(k, d) for each pack of a thread: number K, from channel D on. */
template <int EACH, int PACKS, class F>
static inline __device__ void norm_packs(const norm_place &at, int64_t D, F f) {
  if constexpr (PACKS > 0) {
    CZ_UNROLL
    for (int k = 0; k < PACKS; k++) {
      const int d = (k * at.threads + at.lane) * EACH;
      if (d < D) f(k, (int64_t)d);
    }
  } else {
    for (int64_t d = at.lane; d < D; d += at.threads) f(0, d);
  }
}

/* S = the sums of S over the threads of a row. PARTS is shared memory; TURN chooses the half of it
 * that nobody may be reading any more. Where a block has a row, all its threads come here. */
template <int N>
static inline __device__ void norm_sum(float s[N], const norm_place &at,
                                       float (*parts)[NORM_WARPS][2], int &turn CZ_PLACE) {
  CZ_UNROLL
  for (int i = 0; i < N; i++) s[i] = cz_warp_sum(s[i] CZ_PASS);
  if (at.warps == 1) return;
  if (at.lane % CZ_WARP == 0)
    for (int i = 0; i < N; i++) parts[turn][at.lane / CZ_WARP][i] = s[i];
  __syncthreads();
  CZ_UNROLL
  for (int i = 0; i < N; i++) {
    s[i] = 0;
    for (int w = 0; w < at.warps; w++) s[i] += parts[turn][w][i];
  }
  turn ^= 1;
}

/* Floats of shared memory for an array of D channels. With packs of eight the first fours of all
 * packs come first; the second ones begin sixteen banks further. */
template <int EACH> constexpr CZ_HOST_DEVICE int64_t norm_room(int64_t D) {
  return EACH == 8 ? 2 * ((D / 2 + 15) / 32 * 32 + 16) : (D + 3) / 4 * 4;
}

/* Where channel D is there. */
template <int EACH> static inline __device__ int norm_channel(int d, int64_t room) {
  return EACH == 8 ? d / 8 * 4 + d % 4 + (d / 4 % 2 ? (int)(room / 2) : 0) : d;
}

template <int EACH>
static inline __device__ void norm_read(float x[EACH], const float *shared, int d,
                                        int64_t room CZ_PLACE) {
  CZ_UNROLL
  for (int i = 0; i < EACH; i += 4)
    cz_load_floats<4>(x + i, shared + norm_channel<EACH>(d + i, room) CZ_PASS);
}

template <int EACH>
static inline __device__ void norm_write(float *shared, const float x[EACH], int d,
                                         int64_t room CZ_PLACE) {
  CZ_UNROLL
  for (int i = 0; i < EACH; i += 4)
    cz_store_floats<4>(shared + norm_channel<EACH>(d + i, room), x + i CZ_PASS);
}

/* Shared memory = FROM [D], for all threads of a block, behind the next barrier. */
template <int EACH>
static inline __device__ void norm_stage(float *shared, const float *from, int64_t D) {
  const int64_t room = norm_room<EACH>(D);
  for (int d = (int)threadIdx.x; d < D; d += (int)blockDim.x)
    shared[norm_channel<EACH>(d, room)] = from[d];
}

/* EACH channels of gain or bias from D on: from shared memory where rows are held, else from
 * global memory; OTHERWISE where there is none. */
template <int EACH, int PACKS>
static inline __device__ void norm_constant(float x[EACH], const float *shared, const float *global,
                                            int64_t d, int64_t room, float otherwise CZ_PLACE) {
  if constexpr (PACKS > 0) {
    CZ_UNROLL
    for (int i = 0; i < EACH; i++) x[i] = otherwise;
    if (global) norm_read<EACH>(x, shared, (int)d, room CZ_PASS);
  } else {
    cz_load_floats_or<EACH>(x, global, d, otherwise CZ_PASS);
  }
}

#endif
