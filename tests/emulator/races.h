/* Whether two accesses of a launch can happen in either order. Threads of a block are ordered by
 * __syncthreads, lanes of a warp also by __syncwarp and by nothing else: a shuffle orders no
 * memory. Blocks of a launch are not ordered at all.
 *
 * This is the happens-before relation by vector clocks, as in FastTrack (Flanagan and Freund 2009):
 * the last write of a place has one clock, since all earlier ones came before it or were reported;
 * reads of one warp have one too, or one for each lane when these differ. */
#ifndef CZ_TESTS_EMULATOR_RACES_H
#define CZ_TESTS_EMULATOR_RACES_H

#include "emulator/access.h"

/* Who used a few bytes last. A time is that of a block between two barriers, 0: never; a clock
 * that of a lane between two __syncwarps. */
struct emu_cell {
  uint32_t write_time, write_clock, write_pc;
  uint32_t read_time, read_clock, read_pc;
  uint32_t read_lanes;
  uint32_t write_thread : 10, read_warp : 5;
  uint32_t read_apart : 1;     /* READ_CLOCK is the number of one for each lane */
  uint32_t read_by_warps : 1;  /* by several, at read_time */
  uint32_t read_by_blocks : 1; /* by several, in the launch of read_time */
  uint32_t added : 1;          /* the write was atomic */
  uint32_t set : 1;            /* somebody wrote it */
};
static_assert(sizeof(emu_cell) == 32, "a cell is half a line of the cache");

/* Cells of an allocation or an array, for 2^grain bytes each: 4 until a smaller or less aligned
 * access comes, since most are of 4 bytes or more. There is room for a cell a byte. */
struct emu_shadow {
  emu_cell *cells;
  size_t bytes;
  int grain;
};

enum { EMU_GRAIN = 2 };

/* The cells of BYTES from byte FROM on, COUNT of them; makes the grain finer if need be. */
emu_cell *emu_shadow_at(emu_shadow *s, size_t from, size_t bytes, size_t *count);

/* A launch, a block, the time between two barriers begins. */
void emu_time_launch(void);
void emu_time_block(uint32_t number, int warps);
void emu_time_barrier(void);

/* The running thread uses a cell, of shared or of global memory. Null, or with whom it races. */
const char *emu_note(emu_cell *c, const emu_fiber *f, emu_use use, bool shared, const void *pc);

/* Whether somebody wrote it; in shared memory, of this block. */
bool emu_is_set(const emu_cell *c, bool shared);

#endif
