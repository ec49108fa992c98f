/* Parameters in flat buffers, for the optimizers' kernels. The parts are known to the card alone,
 * so a launcher measures its grid by bounds, and a block finds out where it works.
 *
 * Each part is cut into units, as the kernel says; units are counted through all parts, in their
 * order. A block takes a run of neighbouring units, so that it seldom changes from one part to the
 * next:
 *
 *   cz_units u = cz_units_begin(rows, parts, [](const cz_flat_part &p) { return ...; });
 *   for (; u.at < u.end; cz_units_next(...)) unit u.at - u.first of part u.number
 *
 * Everything here is the same in all threads of a block. The row of the part is read again for
 * every unit: sixteen numbers that wait in registers would be more than a kernel can spare. */
#ifndef CZ_KERNELS_COMMON_FLAT_CUH
#define CZ_KERNELS_COMMON_FLAT_CUH

#include "kernels/common/flat.h"
#include "kernels/common/sum.cuh"
#include "kernels/common/update.h"
#include "kernels/common/vector.cuh"

enum { CZ_FLAT_THREADS = 256 }; /* of the blocks of all kernels that use this */

/* What an optimizer's kernel sees of a call; how it goes on is in the kernel's own struct. */
typedef struct cz_flat {
  float *w, *state;
  const float *g, *hyper;
  void *copy; /* or null */
  const int32_t *rows;
  int64_t parts;
  bool wide; /* all begin at multiples of 16 bytes */
} cz_flat;

/* Host. */
static inline cz_flat cz_flat_of(const cz_call *call) {
  cz_flat f;
  f.w = static_cast<float *>(call->out[CZ_UPDATE_OUT_W].data);
  f.state = static_cast<float *>(call->out[CZ_UPDATE_OUT_STATE].data);
  f.g = static_cast<const float *>(call->in[CZ_UPDATE_G].data);
  f.hyper = static_cast<const float *>(call->in[CZ_UPDATE_HYPER].data);
  f.copy = call->out[CZ_UPDATE_OUT_COPY].data;
  f.rows = static_cast<const int32_t *>(call->in[CZ_UPDATE_PARTS].data);
  f.parts = call->in[CZ_UPDATE_PARTS].dim[0];
  f.wide =
      cz_aligned_16(f.w) && cz_aligned_16(f.state) && cz_aligned_16(f.g) && cz_aligned_16(f.copy);
  return f;
}

/* The copy of part P, whose numbers are of type C; null where it has none. */
template <class C>
static inline __device__ C *cz_flat_copy_of(const cz_flat &f, const cz_flat_part &p) {
  return f.copy && p.flags & CZ_FLAT_COPY ? static_cast<C *>(f.copy) + p.offset : nullptr;
}

/* What a gradient is multiplied by before it is used: the clip factor, or 0. */
static inline __device__ float cz_flat_factor(const cz_flat &f) {
  return f.hyper[CZ_HYPER_FACTOR] * f.hyper[CZ_HYPER_KEEP];
}

typedef struct cz_units {
  int at, end;      /* the block's units, counted through all parts: [at, end) */
  int first, count; /* the units of the part that has unit AT */
  int number;       /* of that part */
} cz_units;

/* Moves from part to part until one has unit AT. */
template <class F>
static inline __device__ void cz_units_find(cz_units *u, const int32_t *rows, F units) {
  while (u->at < u->end && u->at >= u->first + u->count) {
    u->first += u->count;
    u->count = (int)units(cz_flat_part_at(rows, ++u->number));
  }
}

/* What the block begins with. Each thread counts the units of neighbouring parts; the one where the
 * block's first unit lies tells the others. UNITS(part) gives the units of a part. */
template <class F>
static inline __device__ cz_units cz_units_begin(const int32_t *rows, int64_t parts,
                                                 F units CZ_PLACE) {
  CZ_SHARED(int, found, [2]);
  const int each = (int)((parts + CZ_FLAT_THREADS - 1) / CZ_FLAT_THREADS),
            from = (int)threadIdx.x * each;
  int own = 0, total;
  for (int i = from; i < from + each && i < parts; i++) own += (int)units(cz_flat_part_at(rows, i));
  const int before = cz_block_sum_before(own, &total CZ_PASS);
  cz_units u = {};
  u.at = (int)((int64_t)total * blockIdx.x / gridDim.x);
  u.end = (int)((int64_t)total * (blockIdx.x + 1) / gridDim.x);
  if (before <= u.at && u.at < before + own) found[0] = from, found[1] = before;
  __syncthreads();
  if (u.at == u.end) return u;
  u.number = found[0] - 1, u.first = found[1];
  cz_units_find(&u, rows, units);
  return u;
}

/* The next unit. */
template <class F>
static inline __device__ void cz_units_next(cz_units *u, const int32_t *rows, F units) {
  u->at++;
  cz_units_find(u, rows, units);
}

/* X = the N numbers at P, of which LEFT are the part's: in one access when all of them are and the
 * arrays are WIDE, that is, begin at multiples of 16 bytes. Zeros behind them. */
template <int N, class T>
static inline __device__ void cz_flat_load(float x[N], const T *p, int64_t left,
                                           bool wide CZ_PLACE) {
  if (wide && left >= N) {
    cz_load_floats<N>(x, p CZ_PASS);
    return;
  }
  CZ_UNROLL
  for (int i = 0; i < N; i++) x[i] = i < left ? cz_float(p[i]) : 0;
}

/* The same for a store; what is not the part's is left alone. */
template <int N, class T>
static inline __device__ void cz_flat_store(T *p, const float x[N], int64_t left,
                                            bool wide CZ_PLACE) {
  if (wide && left >= N) {
    cz_store_floats<N>(p, x CZ_PASS);
    return;
  }
  CZ_UNROLL
  for (int i = 0; i < N; i++)
    if (i < left) p[i] = cz_nearest<T>(x[i]);
}

/* Host: blocks for UNITS or fewer, EACH for every multiprocessor at most. */
static inline unsigned cz_flat_blocks(void *stream, int64_t units, int each) {
  const int64_t most = (int64_t)cz_cuda_multiprocessors(stream) * each;
  return (unsigned)(units < most ? units : most);
}

#endif
