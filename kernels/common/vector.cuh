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

/* N numbers as they lie in memory. Two of 16 bits share a register, which as numbers apart they
 * would not: what is held for long is held so. */
template <int N, class T> struct cz_numbers {
  enum { BYTES = N * sizeof(T), WORDS = (BYTES + 3) / 4 };
  static_assert(N == 1 || BYTES == 4 || BYTES == 8 || BYTES % 16 == 0, "no access is so wide");
  uint32_t word[WORDS];
};

/* Number I of V. */
template <int N, class T>
static inline __device__ float cz_number(const cz_numbers<N, T> &v, int i) {
  T x;
  if constexpr (sizeof(T) == 4) {
    memcpy((void *)&x, &v.word[i], sizeof x);
  } else {
    const uint16_t bits = (uint16_t)(v.word[i / 2] >> (i % 2 * 16));
    memcpy((void *)&x, &bits, sizeof x);
  }
  return cz_float(x);
}

/* X as they lie in memory, each rounded once. */
template <int N, class T>
static inline __device__ cz_numbers<N, T> cz_numbers_of(const float x[N]) {
  cz_numbers<N, T> v;
  if constexpr (sizeof(T) == 4 || N == 1) {
    CZ_UNROLL
    for (int i = 0; i < N; i++) {
      const T one = cz_nearest<T>(x[i]);
      v.word[i] = 0;
      memcpy(&v.word[i], (const void *)&one, sizeof one);
    }
  } else {
    CZ_UNROLL
    for (int i = 0; i < N; i += 2) v.word[i / 2] = cz_pair<T>(x[i], x[i + 1]);
  }
  return v;
}

/* V = the N numbers at P, which is aligned to as many bytes as they take, or to 16 where they are
 * more: then they are a multiple of 16 bytes. */
template <int N, class T>
static inline __device__ void cz_read(cz_numbers<N, T> &v, const T *p CZ_PLACE) {
  constexpr int BYTES = cz_numbers<N, T>::BYTES;
  if constexpr (N == 1) {
    const T one = p[0];
    v.word[0] = 0;
    memcpy(&v.word[0], (const void *)&one, sizeof one);
  } else if constexpr (BYTES == 4) {
    v.word[0] = *reinterpret_cast<const uint32_t *>(p);
  } else if constexpr (BYTES == 8) {
    const uint64_t bits = *reinterpret_cast<const uint64_t *>(p);
    v.word[0] = (uint32_t)bits, v.word[1] = (uint32_t)(bits >> 32);
  } else {
    CZ_UNROLL
    for (int i = 0; i < BYTES / 16; i++) {
      const uint4 bits = cz_load_16(p + i * cz_pack<T>::N CZ_PASS);
      v.word[4 * i] = bits.x, v.word[4 * i + 1] = bits.y;
      v.word[4 * i + 2] = bits.z, v.word[4 * i + 3] = bits.w;
    }
  }
}

/* The N numbers at P = V. */
template <int N, class T>
static inline __device__ void cz_write(T *p, const cz_numbers<N, T> &v CZ_PLACE) {
  constexpr int BYTES = cz_numbers<N, T>::BYTES;
  if constexpr (N == 1) {
    T one;
    memcpy((void *)&one, &v.word[0], sizeof one);
    p[0] = one;
  } else if constexpr (BYTES == 4) {
    *reinterpret_cast<uint32_t *>(p) = v.word[0];
  } else if constexpr (BYTES == 8) {
    *reinterpret_cast<uint64_t *>(p) = v.word[0] | (uint64_t)v.word[1] << 32;
  } else {
    CZ_UNROLL
    for (int i = 0; i < BYTES / 16; i++) {
      const uint32_t *w = v.word + 4 * i;
      cz_store_16(p + i * cz_pack<T>::N, {w[0], w[1], w[2], w[3]} CZ_PASS);
    }
  }
}

/* X = the N numbers at P. */
template <int N, class T>
static inline __device__ void cz_load_floats(float x[N], const T *p CZ_PLACE) {
  cz_numbers<N, T> v;
  cz_read(v, p CZ_PASS);
  CZ_UNROLL
  for (int i = 0; i < N; i++) x[i] = cz_number(v, i);
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
  cz_write(p, cz_numbers_of<N, T>(x) CZ_PASS);
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

/* What is made of V again behind this is made again (cz_forget). */
template <int N, class T> static inline __device__ void cz_forget_numbers(cz_numbers<N, T> &v) {
  CZ_UNROLL
  for (int i = 0; i < cz_numbers<N, T>::WORDS; i++) cz_forget(v.word[i]);
}

/* Host: whether all of these may be accessed sixteen bytes at once; null may. */
static inline bool cz_aligned_16(const void *p) { return ((uintptr_t)p & 15) == 0; }

#endif
