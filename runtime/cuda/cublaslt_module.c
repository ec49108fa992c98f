/* The real module: its device, as the program asks for it, and the libraries that it computes by.
 */
#define _GNU_SOURCE /* dladdr */
#include "cuda/cublaslt.h"
#include "cuda/library_file.h"

#include <stdio.h>

static const char *const names[] = {"cuda", NULL};

#if CZ_HAVE_CUDNN /* its headers were there */
extern const cz_cuda_cudnn cz_cudnn_kernels;
const cz_cuda_variant cz_cuda_module = {.names = names, .cudnn = &cz_cudnn_kernels};
#else
const cz_cuda_variant cz_cuda_module = {.names = names};
#endif

static void describe_cublaslt(cz_library_info *out) {
  size_t (*const function)(void) = cublasLtGetVersion;
  cz_cuda_cublaslt_version(out->version, sizeof out->version);
  cz_cuda_library_file(out, &function);
  (void)cz_cuda_cublaslt_fits(out->why, sizeof out->why);
}

__attribute__((visibility("default"))) bool cz_module_libraries(const cz_host_api *host,
                                                                cz_library_info out[CZ_LIBRARIES],
                                                                char *why, size_t why_bytes);

/** The module's second symbol (device/module.h). */
bool cz_module_libraries(const cz_host_api *host, cz_library_info out[CZ_LIBRARIES], char *why,
                         size_t why_bytes) {
  cz_library_info *cudnn = &out[CZ_LIBRARY_CUDNN];
  if (cz_module_refuses(host, why, why_bytes)) return false;
  cz_host = host;
  describe_cublaslt(&out[CZ_LIBRARY_CUBLASLT]);
  if (cz_cuda_module.cudnn)
    cz_cuda_module.cudnn->describe(cudnn);
  else
    snprintf(cudnn->why, sizeof cudnn->why, "this module was built without cuDNN's headers");
  return true;
}
