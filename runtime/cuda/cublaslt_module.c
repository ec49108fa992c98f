/* The real module: its device, as the program asks for it. */
#include "cuda/context.h"

static const char *const names[] = {"cuda", NULL};

#if CZ_HAVE_CUDNN /* its headers were there */
extern const cz_cuda_cudnn cz_cudnn_kernels;
const cz_cuda_variant cz_cuda_module = {.names = names, .cudnn = &cz_cudnn_kernels};
#else
const cz_cuda_variant cz_cuda_module = {.names = names};
#endif
