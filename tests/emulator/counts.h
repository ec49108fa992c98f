/* The count mode: instead of races, what every warp's accesses cost. Accesses of the lanes of a
 * warp belong to one instruction when they come from the same place of the code and each lane has
 * passed it as often since the whole warp last met (emu_met) or the block had a barrier. */
#ifndef CZ_TESTS_EMULATOR_COUNTS_H
#define CZ_TESTS_EMULATOR_COUNTS_H

#include "emulator/access.h"
#include "emulator/memory.h"

bool emu_counting(void);

void emu_count_launch(const char *name, const void *kernel, dim3 grid, dim3 block);
void emu_count_launched(void);
void emu_count_block(emu_worker *w);
void emu_count_block_end(emu_worker *w);
void emu_count_barrier(emu_worker *w);
/* The warp's instructions up to here are whole. */
void emu_count_warp(int warp);

/* By the running thread: to an allocation; A null: to shared memory. */
void emu_count_access(emu_allocation *a, const void *p, size_t bytes, emu_use use, emu_site site);

#endif
