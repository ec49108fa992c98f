/* Device memory: what cudaMalloc gave and what is known of it. */
#ifndef CZ_TESTS_EMULATOR_MEMORY_H
#define CZ_TESTS_EMULATOR_MEMORY_H

#include "emulator/races.h"

#include <stddef.h>

/* One allocation, between guards. Its cells are made when they are first asked for. */
struct emu_allocation {
  unsigned char *base;
  size_t bytes;
  bool filled; /* all of it was written by the host */
  emu_cell *cells;
};

/* The allocation that P lies in, or null. */
emu_allocation *emu_allocation_of(const void *p);
emu_cell *emu_cells_of(emu_allocation *a);
const char *emu_nearest_text(const void *p);

#endif
