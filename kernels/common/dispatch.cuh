/* How a launcher gets from the dtypes of a call to the types of a kernel's template, and to a grid:
 *
 *   cz_with_type(cz_call_dtype(call), [&](auto t) {
 *     typedef typename decltype(t)::type T;
 *     cz_launch("add", add<T>, cz_blocks(call->stream, n, THREADS), THREADS, 0, call->stream, ...);
 *   });
 *
 * What a kernel computes in is float32 or one of the two types of 16 bits. A device's table has
 * kernels for these three only, so that another dtype here is a mistake of the program's. */
#ifndef CZ_KERNELS_COMMON_DISPATCH_CUH
#define CZ_KERNELS_COMMON_DISPATCH_CUH

#include "kernels/common/device.cuh"

template <class T> struct cz_type { typedef T type; };

/* Calls F with the cz_type of DTYPE. */
template <class F> static inline void cz_with_type(cz_dtype dtype, F f) {
  switch (dtype) {
  case CZ_F32: f(cz_type<float>()); return;
  case CZ_BF16: f(cz_type<cz_bfloat>()); return;
  case CZ_F16: f(cz_type<cz_half>()); return;
  default: __builtin_trap();
  }
}

/* The same for an array that stays in float32 where others have the 16 bits of T: F is called with
 * the cz_type of float or of T. */
template <class T, class F> static inline void cz_with_type_beside(cz_dtype dtype, F f) {
  if (dtype == CZ_F32)
    f(cz_type<float>());
  else
    f(cz_type<T>());
}

/* F is called with the cz_types of two arrays, which are the same or one of them float. */
template <class F> static inline void cz_with_types(cz_dtype a, cz_dtype b, F f) {
  cz_with_type(a > b ? a : b, [&](auto narrow) {
    typedef typename decltype(narrow)::type T;
    cz_with_type_beside<T>(a, [&](auto x) { cz_with_type_beside<T>(b, [&](auto y) { f(x, y); }); });
  });
}

/* Calls F with std::true_type or std::false_type. */
template <class F> static inline void cz_with_flag(bool flag, F f) {
  if (flag)
    f(std::true_type());
  else
    f(std::false_type());
}

/* Blocks for N items, EACH a block at a time: as many as they fill, but no more than a few for
 * every multiprocessor, since a loop over the grid does the rest. Results may not depend on it.
 * None for no items. */
enum { CZ_BLOCKS_A_MULTIPROCESSOR = 8 };

static inline unsigned cz_blocks(void *stream, int64_t n, int64_t each) {
  const int64_t all = (n + each - 1) / each,
                most = (int64_t)cz_cuda_multiprocessors(stream) * CZ_BLOCKS_A_MULTIPROCESSOR;
  return (unsigned)(all < most ? all : most);
}

/* Neighbouring rows for one warp, of R in all, WARPS to a block: one, or more where that would make
 * more blocks than the card needs. */
static inline int64_t cz_rows_each(void *stream, int64_t R, int64_t warps) {
  const int64_t most =
      (int64_t)cz_cuda_multiprocessors(stream) * CZ_BLOCKS_A_MULTIPROCESSOR * warps;
  return R > most ? (R + most - 1) / most : 1;
}

#endif
