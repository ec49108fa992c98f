/* Numbers of an array several at a time, in accesses of sixteen bytes, as float32 in registers.
 *
 * Where two arrays of unlike width go together, EACH is what sixteen bytes hold of the narrower
 * one, so that the wider one takes two accesses: cz_each<A, B>(). */
#ifndef CZ_KERNELS_COMMON_VECTOR_CUH
#define CZ_KERNELS_COMMON_VECTOR_CUH

#include "kernels/common/device.cuh"

template <class A, class B> constexpr int cz_each() {
  return 16 / (sizeof(A) < sizeof(B) ? sizeof(A) : sizeof(B));
}

/* X = the N numbers at P, which is aligned to 16 bytes; N is a multiple of cz_pack<T>::N. */
template <int N, class T>
static inline __device__ void cz_load_floats(float x[N], const T *p CZ_PLACE) {
  CZ_UNROLL
  for (int i = 0; i < N; i += cz_pack<T>::N) {
    const cz_pack<T> pack = cz_load(p + i CZ_PASS);
    CZ_UNROLL
    for (int j = 0; j < cz_pack<T>::N; j++) x[i + j] = cz_float(pack.x[j]);
  }
}

/* The N numbers at P = X, each rounded once. */
template <int N, class T>
static inline __device__ void cz_store_floats(T *p, const float x[N] CZ_PLACE) {
  CZ_UNROLL
  for (int i = 0; i < N; i += cz_pack<T>::N) {
    cz_pack<T> pack;
    CZ_UNROLL
    for (int j = 0; j < cz_pack<T>::N; j++) pack.x[j] = cz_nearest<T>(x[i + j]);
    cz_store(p + i, pack CZ_PASS);
  }
}

/* Host: whether all of these may be accessed sixteen bytes at once; null may. */
static inline bool cz_aligned_16(const void *p) { return ((uintptr_t)p & 15) == 0; }

#endif
