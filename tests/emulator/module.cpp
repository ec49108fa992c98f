/* The emulated module: the CUDA device's own sources (runtime/cuda) over the emulator. What is here
 * stands in for those that drive cuBLASLt; product.cpp multiplies. */
#include "cuda/product.h"
#include "emulator/emulator.h"

#include <stdio.h>

static const char *const names[] = {"emu", "emu:check", nullptr};

/* All variables are looked at before a device is opened, so that a wrong one ends nothing later. */
static bool refuses(char *why, size_t n) {
  const std::string wrong = emu_read_environment();
  snprintf(why, n, "%s", wrong.c_str());
  return !wrong.empty();
}

extern "C" const cz_cuda_variant cz_cuda_module = {names, true, true, nullptr, refuses};

/** There is nothing to open: the host's BLAS has no state. */
extern "C" cz_status cz_cuda_products_open(cz_cuda *c) { return CZ_OK; }

extern "C" void cz_cuda_products_close(cz_cuda *c) {}

extern "C" void cz_cuda_products_library(char *text, size_t n) {
  snprintf(text, n, "products by CBLAS");
}

extern "C" void cz_cuda_products_account(const cz_cuda *c, char *text, size_t n) { *text = 0; }
