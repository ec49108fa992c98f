/* What lets one header serve C11, C++17 and nvcc. Every header of kernels/ that declares
 * functions puts them between CZ_C_BEGIN and CZ_C_END, so that a .cu file links with what
 * the C files define. CZ_HOST_DEVICE marks inline functions that device code calls too,
 * so that there is one definition of their bits. CZ_UNROLL unrolls the short loop behind it,
 * CZ_ROLLED leaves a loop a loop. scripts/check_kernel_headers.sh compiles all headers both ways.
 */
#ifndef CZ_KERNELS_COMMON_LANGUAGE_H
#define CZ_KERNELS_COMMON_LANGUAGE_H

#ifdef __cplusplus
#define CZ_C_BEGIN extern "C" {
#define CZ_C_END   }
#else
#define CZ_C_BEGIN
#define CZ_C_END
#endif

#ifdef __CUDACC__
#define CZ_HOST_DEVICE __host__ __device__
#define CZ_UNROLL      _Pragma("unroll")
#define CZ_ROLLED      _Pragma("unroll 1")
#else
#define CZ_HOST_DEVICE
#define CZ_UNROLL _Pragma("GCC unroll 16")
#define CZ_ROLLED _Pragma("GCC unroll 1")
#endif

#endif
