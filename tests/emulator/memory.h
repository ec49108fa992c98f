/* Device memory: what cudaMalloc gave and what is known of it. */
#ifndef CZ_TESTS_EMULATOR_MEMORY_H
#define CZ_TESTS_EMULATOR_MEMORY_H

#include "emulator/races.h"

#include <stddef.h>

/* One allocation, between guards. Its cells and uses are made when they are first asked for. */
struct emu_allocation {
  unsigned char *base;
  size_t bytes;
  bool filled; /* all of it was written by the host */
  emu_shadow shadow;
  unsigned char *uses;       /* counts.cpp: of each byte in this launch */
  size_t used_from, used_to; /* of which some are set */
};

/* The allocation that P lies in, or null. */
emu_allocation *emu_allocation_of(const void *p);
/* Its cells. */
emu_shadow *emu_shadow_of(emu_allocation *a);
const char *emu_nearest_text(const void *p);

/* The runtime's last error is this one from now on; gives it. */
cudaError_t emu_cuda_failed(cudaError_t error);

/* N bytes of zeros that take memory when they are written. */
void *emu_zeros(size_t n);

#endif
