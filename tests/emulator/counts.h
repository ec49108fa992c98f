/* The count mode: instead of races, what every warp's accesses cost. */
#ifndef CZ_TESTS_EMULATOR_COUNTS_H
#define CZ_TESTS_EMULATOR_COUNTS_H

#include "emulator/emulator.h"

void emu_count_begin(const char *name, dim3 grid, dim3 block, size_t shared_bytes);
void emu_count_end(void);
/* False when nothing is counted: the access is checked then. */
bool emu_count_access(const void *p, size_t bytes, bool writes, const void *pc, bool shared);

#endif
