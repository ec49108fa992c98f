/* A warp on a strip of a row: up to 128 neighbouring numbers, four a lane, as float32 in registers.
 *
 * WIDE: the four are neighbours and taken in one access, so that rows must begin at multiples of
 * four numbers and have a multiple of four; else they lie a warp's width apart. Either way a
 * warp's access is one run of memory. */
#ifndef CZ_KERNELS_COMMON_STRIP_CUH
#define CZ_KERNELS_COMMON_STRIP_CUH

#include "kernels/common/vector.cuh"

enum { CZ_STRIP = 4 * CZ_WARP };

/* Columns, in the strip, from this lane's first number to its number J. */
template <bool WIDE> static inline __device__ int cz_strip_step(int j) {
  return WIDE ? j : CZ_WARP * j;
}

/* The column of this lane's first number. */
template <bool WIDE> static inline __device__ int cz_strip_first() {
  const int lane = cz_lane();
  return WIDE ? 4 * lane : lane;
}

/* Whether this lane's number J is one of the N that the row has from the strip's begin on. */
template <bool WIDE> static inline __device__ bool cz_strip_has(int j, int n) {
  return cz_strip_step<WIDE>(j) < n - cz_strip_first<WIDE>();
}

/* X = this lane's numbers of the strip at P, of which N are in the row; zeros behind them. */
template <bool WIDE, class T>
static inline __device__ void cz_strip_load(float x[4], const T *p, int n CZ_PLACE) {
  p += cz_strip_first<WIDE>();
  CZ_UNROLL
  for (int j = 0; j < 4; j++) x[j] = 0;
  if constexpr (WIDE) {
    if (cz_strip_has<WIDE>(0, n)) cz_load_floats<4>(x, p CZ_PASS);
  } else {
    CZ_UNROLL
    for (int j = 0; j < 4; j++)
      if (cz_strip_has<WIDE>(j, n)) x[j] = cz_float(p[CZ_WARP * j]);
  }
}

/* The strip at P = X, each number rounded once. */
template <bool WIDE, class T>
static inline __device__ void cz_strip_store(T *p, const float x[4], int n CZ_PLACE) {
  p += cz_strip_first<WIDE>();
  if constexpr (WIDE) {
    if (cz_strip_has<WIDE>(0, n)) cz_store_floats<4>(p, x CZ_PASS);
  } else {
    CZ_UNROLL
    for (int j = 0; j < 4; j++)
      if (cz_strip_has<WIDE>(j, n)) p[CZ_WARP * j] = cz_nearest<T>(x[j]);
  }
}

/* The strip at TO = that at FROM, bit for bit. */
template <bool WIDE, class T>
static inline __device__ void cz_strip_copy(T *to, const T *from, int n CZ_PLACE) {
  to += cz_strip_first<WIDE>(), from += cz_strip_first<WIDE>();
  if constexpr (WIDE) {
    cz_numbers<4, T> x;
    if (!cz_strip_has<WIDE>(0, n)) return;
    cz_read(x, from CZ_PASS);
    cz_write(to, x CZ_PASS);
  } else {
    CZ_UNROLL
    for (int j = 0; j < 4; j++)
      if (cz_strip_has<WIDE>(j, n)) to[CZ_WARP * j] = from[CZ_WARP * j];
  }
}

/* Host: whether rows of WIDTH numbers of BYTES each, the first one at P, can be taken WIDE. */
static inline bool cz_strip_wide(const void *p, int64_t width, size_t bytes) {
  return (uintptr_t)p % (4 * bytes) == 0 && width % 4 == 0;
}

#endif
