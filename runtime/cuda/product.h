/* What makes products for the device: cuBLASLt (cublaslt.c), or in the emulated module the host's
 * BLAS. launch.h's cz_cuda_multiply is the other half. */
#ifndef CZ_CUDA_PRODUCT_H
#define CZ_CUDA_PRODUCT_H

#include "cuda/context.h"

CZ_C_BEGIN

/* The library, its memory on the card and its choices of algorithms. */
CZ_MUST cz_status cz_cuda_products_open(cz_cuda *c);
void cz_cuda_products_close(cz_cuda *c);

/* The library's name and version, on which the bits of products depend; and what it did: how many
 * products were tuned, in which time. */
void cz_cuda_products_library(char *text, size_t n);
void cz_cuda_products_account(const cz_cuda *c, char *text, size_t n);

CZ_C_END

#endif
