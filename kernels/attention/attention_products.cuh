/* Products of attention's tiles: by fragments of tensor cores in 16 bits, by plain loops in
 * float32, with one meaning of what a lane holds. Of a 16 x N result lane l has, in acc[N / 8][4],
 *
 *   acc[j][e]   row l / 4 + 8 (e / 2), column 8 j + 2 (l % 4) + e % 2
 *
 * as mma m16n8k16 and wgmma leave it, so that what is done to scores does not know what made them.
 *
 * A tile of shared memory has rows of HD numbers, cz_tile<T, HD>::LD apart: sixteen bytes more than
 * the numbers take, so that ldmatrix's eight rows lie in different banks. */
#ifndef CZ_KERNELS_ATTENTION_PRODUCTS_CUH
#define CZ_KERNELS_ATTENTION_PRODUCTS_CUH

#include "kernels/common/device.cuh"

template <class T, int N> struct cz_tile {
  enum { LD = N + 16 / (int)sizeof(T) };
};

/* The row and the column of acc[j][e]. */
static inline __device__ int cz_acc_row(int e) { return cz_lane() / 4 + 8 * (e / 2); }
static inline __device__ int cz_acc_column(int j, int e) {
  return 8 * j + 2 * (cz_lane() % 4) + e % 2;
}

/* ACC[16, N] = 0. */
template <int N> static inline __device__ void cz_acc_clear(float acc[N / 8][4]) {
  CZ_UNROLL
  for (int j = 0; j < N / 8; j++) {
    CZ_UNROLL
    for (int e = 0; e < 4; e++) acc[j][e] = 0;
  }
}

/* ACC[16, N] += A B^T, A and B being 16 and N rows of HD numbers. */
template <class T, int HD, int N>
static inline __device__ void cz_rows_by_rows(float acc[N / 8][4], const T *a,
                                              const T *b CZ_PLACE) {
  enum { LD = cz_tile<T, HD>::LD };
  const int lane = cz_lane();
  if constexpr (sizeof(T) == 2) {
    const T *row = a + lane % 16 * LD + lane / 16 * 8,
            *column = b + (lane / 16 * 8 + lane % 8) * LD + lane / 8 % 2 * 8;
    CZ_UNROLL
    for (int k = 0; k < HD; k += 16) {
      uint32_t x[4], y[4];
      cz_ldmatrix_4<false>(x, row + k CZ_PASS);
      CZ_UNROLL
      for (int n = 0; n < N; n += 16) {
        cz_ldmatrix_4<false>(y, column + n * LD + k CZ_PASS);
        cz_mma<T>(acc[n / 8], x, y CZ_PASS);
        cz_mma<T>(acc[n / 8 + 1], x, y + 2 CZ_PASS);
      }
    }
  } else {
    CZ_ROLLED
    for (int k = 0; k < HD; k++) {
      const float x[2] = {a[cz_acc_row(0) * LD + k], a[cz_acc_row(2) * LD + k]};
      CZ_UNROLL
      for (int j = 0; j < N / 8; j++) {
        CZ_UNROLL
        for (int e = 0; e < 4; e++) acc[j][e] += x[e / 2] * b[cz_acc_column(j, e) * LD + k];
      }
    }
  }
}

/* Weights as the left side of a product: P[16, N] that a warp has in fragments. In 16 bits they are
 * rounded and stay in registers, in float32 they go through ROOM, [16][N + 4] of the warp's own;
 * the block meets between a product and the next weights, as it does for the tiles anyway. */
template <class T, int N> struct cz_weights {
  uint32_t x[N / 16][4];
  const float *rows;

  static CZ_HOST_DEVICE constexpr int room() { return sizeof(T) == 2 ? 0 : 16 * (N + 4); }

  __device__ void take(const float p[N / 8][4], float *memory CZ_PLACE) {
    rows = memory;
    if constexpr (sizeof(T) == 2) {
      CZ_UNROLL
      for (int k = 0; k < N / 16; k++) {
        CZ_UNROLL
        for (int i = 0; i < 4; i++)
          x[k][i] = cz_pair<T>(p[2 * k + i / 2][i % 2 * 2], p[2 * k + i / 2][i % 2 * 2 + 1]);
      }
    } else {
      CZ_UNROLL
      for (int j = 0; j < N / 8; j++) {
        CZ_UNROLL
        for (int e = 0; e < 4; e++) memory[cz_acc_row(e) * (N + 4) + cz_acc_column(j, e)] = p[j][e];
      }
      __syncwarp(CZ_FULL_MASK CZ_PASS);
    }
  }

  /* ACC[16, HD] += P B, B being N rows of HD numbers. */
  template <int HD> __device__ void by(float acc[HD / 8][4], const T *b CZ_PLACE) const {
    enum { LD = cz_tile<T, HD>::LD };
    const int lane = cz_lane();
    if constexpr (sizeof(T) == 2) {
      const T *at = b + (lane % 8 + lane / 8 % 2 * 8) * LD + lane / 16 * 8;
      CZ_UNROLL
      for (int k = 0; k < N; k += 16) {
        CZ_UNROLL
        for (int n = 0; n < HD; n += 16) {
          uint32_t y[4];
          cz_ldmatrix_4<true>(y, at + k * LD + n CZ_PASS);
          cz_mma<T>(acc[n / 8], x[k / 16], y CZ_PASS);
          cz_mma<T>(acc[n / 8 + 1], x[k / 16], y + 2 CZ_PASS);
        }
      }
    } else {
      CZ_ROLLED
      for (int k = 0; k < N; k++) {
        const float y[2] = {rows[cz_acc_row(0) * (N + 4) + k], rows[cz_acc_row(2) * (N + 4) + k]};
        CZ_UNROLL
        for (int j = 0; j < HD / 8; j++) {
          CZ_UNROLL
          for (int e = 0; e < 4; e++) acc[j][e] += y[e / 2] * b[k * LD + cz_acc_column(j, e)];
        }
      }
    }
  }
};

/* Puts two neighbours of fragment J, [E] and [E + 1], into a tile of shared memory, [rows][N],
 * where all warps read them. */
template <class T, int N>
static inline __device__ void cz_put_weights(T *to, int j, int e, float first, float second) {
  T *at = to + cz_acc_row(e) * cz_tile<T, N>::LD + cz_acc_column(j, e);
  if constexpr (sizeof(T) == 2)
    *reinterpret_cast<uint32_t *>(at) = cz_pair<T>(first, second);
  else
    at[0] = first, at[1] = second;
}

/* ACC[16, HD] += P^T B, P being 16 columns of a tile [ROWS][N] of weights, B ROWS rows of HD
 * numbers. */
template <class T, int HD, int N, int ROWS>
static inline __device__ void cz_columns_by_rows(float acc[HD / 8][4], const T *p,
                                                 const T *b CZ_PLACE) {
  enum { LD = cz_tile<T, HD>::LD, LDP = cz_tile<T, N>::LD };
  const int lane = cz_lane();
  if constexpr (sizeof(T) == 2) {
    const T *left = p + (lane % 8 + lane / 16 * 8) * LDP + lane / 8 % 2 * 8,
            *right = b + (lane % 8 + lane / 8 % 2 * 8) * LD + lane / 16 * 8;
    CZ_UNROLL
    for (int k = 0; k < ROWS; k += 16) {
      uint32_t x[4], y[4];
      cz_ldmatrix_4<true>(x, left + k * LDP CZ_PASS);
      CZ_UNROLL
      for (int n = 0; n < HD; n += 16) {
        cz_ldmatrix_4<true>(y, right + k * LD + n CZ_PASS);
        cz_mma<T>(acc[n / 8], x, y CZ_PASS);
        cz_mma<T>(acc[n / 8 + 1], x, y + 2 CZ_PASS);
      }
    }
  } else {
    CZ_ROLLED
    for (int k = 0; k < ROWS; k++) {
      const float x[2] = {p[k * LDP + cz_acc_row(0)], p[k * LDP + cz_acc_row(2)]};
      CZ_UNROLL
      for (int j = 0; j < HD / 8; j++) {
        CZ_UNROLL
        for (int e = 0; e < 4; e++) acc[j][e] += x[e / 2] * b[k * LD + cz_acc_column(j, e)];
      }
    }
  }
}

#endif
