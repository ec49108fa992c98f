/* Numbers of an array several at a time, in accesses of up to sixteen bytes.
 *
 * Where arrays of unlike width go together, EACH is what sixteen bytes hold of the widest one, and
 * of a narrower one that many take eight: so each access of a warp is one run of memory. */
#ifndef CZ_KERNELS_COMMON_VECTOR_CUH
#define CZ_KERNELS_COMMON_VECTOR_CUH

#include "kernels/common/device.cuh"

/* Numbers that a thread takes at once of arrays of these types. */
template <class A, class B = A, class C = A> constexpr int cz_each() {
  const size_t ab = sizeof(A) > sizeof(B) ? sizeof(A) : sizeof(B);
  return 16 / (int)(ab > sizeof(C) ? ab : sizeof(C));
}

/* X = the N numbers at P, which is aligned to as many bytes as they take, or to 16 where they are
 * more: then they are a multiple of 16 bytes. */
template <int N, class T> static inline __device__ void cz_read(T x[N], const T *p CZ_PLACE) {
  constexpr int BYTES = N * (int)sizeof(T);
  static_assert(N == 1 || BYTES == 4 || BYTES == 8 || BYTES % 16 == 0, "no access is so wide");
  if constexpr (BYTES % 16 == 0) {
    CZ_UNROLL
    for (int i = 0; i < N; i += cz_pack<T>::N) {
      const cz_pack<T> pack = cz_load(p + i CZ_PASS);
      CZ_UNROLL
      for (int j = 0; j < cz_pack<T>::N; j++) x[i + j] = pack.x[j];
    }
  } else if constexpr (N == 1) {
    x[0] = p[0];
  } else {
    typedef typename std::conditional<BYTES == 8, uint64_t, uint32_t>::type bits_type;
    const bits_type bits = *reinterpret_cast<const bits_type *>(p);
    memcpy((void *)x, &bits, sizeof bits);
  }
}

/* The N numbers at P = X. */
template <int N, class T> static inline __device__ void cz_write(T *p, const T x[N] CZ_PLACE) {
  constexpr int BYTES = N * (int)sizeof(T);
  static_assert(N == 1 || BYTES == 4 || BYTES == 8 || BYTES % 16 == 0, "no access is so wide");
  if constexpr (BYTES % 16 == 0) {
    CZ_UNROLL
    for (int i = 0; i < N; i += cz_pack<T>::N) {
      cz_pack<T> pack;
      CZ_UNROLL
      for (int j = 0; j < cz_pack<T>::N; j++) pack.x[j] = x[i + j];
      cz_store(p + i, pack CZ_PASS);
    }
  } else if constexpr (N == 1) {
    p[0] = x[0];
  } else {
    typedef typename std::conditional<BYTES == 8, uint64_t, uint32_t>::type bits_type;
    bits_type bits;
    memcpy(&bits, (const void *)x, sizeof bits);
    *reinterpret_cast<bits_type *>(p) = bits;
  }
}

/* The same as float32 in registers. */
template <int N, class T>
static inline __device__ void cz_load_floats(float x[N], const T *p CZ_PLACE) {
  T narrow[N];
  cz_read<N>(narrow, p CZ_PASS);
  CZ_UNROLL
  for (int i = 0; i < N; i++) x[i] = cz_float(narrow[i]);
}

/* N times OTHERWISE when P is null: the array is absent. */
template <int N, class T>
static inline __device__ void cz_load_floats_or(float x[N], const T *p, int64_t i,
                                                float otherwise CZ_PLACE) {
  CZ_UNROLL
  for (int j = 0; j < N; j++) x[j] = otherwise;
  if (p) cz_load_floats<N>(x, p + i CZ_PASS);
}

/* Back to T, each rounded once. */
template <int N, class T>
static inline __device__ void cz_store_floats(T *p, const float x[N] CZ_PLACE) {
  T narrow[N];
  CZ_UNROLL
  for (int i = 0; i < N; i++) narrow[i] = cz_nearest<T>(x[i]);
  cz_write<N>(p, narrow CZ_PASS);
}

/* A gradient in X meets what is at P: it is written, or ADDed to what is there. */
template <int N, class T>
static inline __device__ void cz_put_floats(T *p, const float x[N], bool add CZ_PLACE) {
  float sum[N] = {};
  if (add) cz_load_floats<N>(sum, p CZ_PASS);
  CZ_UNROLL
  for (int i = 0; i < N; i++) sum[i] = add ? sum[i] + x[i] : x[i];
  cz_store_floats<N>(p, sum CZ_PASS);
}

/* Host: whether all of these may be accessed sixteen bytes at once; null may. */
static inline bool cz_aligned_16(const void *p) { return ((uintptr_t)p & 15) == 0; }

#endif
