/* The real module: its device, as the program asks for it. */
#include "cuda/context.h"

static const char *const names[] = {"cuda", NULL};

const cz_cuda_variant cz_cuda_module = {.names = names};
