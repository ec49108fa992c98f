/* Whether two accesses of a launch can happen in either order. Threads of a block are ordered by
 * __syncthreads, lanes of a warp also by __syncwarp and by nothing else: a shuffle orders no
 * memory. Blocks of a launch are not ordered at all. */
#ifndef CZ_TESTS_EMULATOR_RACES_H
#define CZ_TESTS_EMULATOR_RACES_H

#include "emulator/emulator.h"

enum { EMU_CELL = 2 }; /* bytes: the smallest type of a kernel */

/* Who used two bytes last. Launches and blocks count from 1, 0: nobody. Clocks are of lanes:
 * emu_clocks. */
struct emu_cell {
  uint32_t write_launch, write_block, write_epoch, write_clock;
  uint32_t read_launch, read_block, read_epoch, read_clock, read_lanes;
  uint16_t write_thread, read_warp;
  bool read_by_warps, read_by_blocks; /* by several, within read_epoch and read_launch */
  bool set;                           /* somebody wrote it */
  const void *write_pc, *read_pc;
};

/* What each lane knows of the others of its warp, as vector clocks; of other warps it knows what
 * was before the last barrier, whose number is the epoch. */
struct emu_clocks {
  uint32_t launch, block, epoch;
  uint32_t now[EMU_THREADS];
  uint32_t known[EMU_WARPS][EMU_WARP][EMU_WARP]; /* [warp][lane][of lane] */
};

extern emu_clocks emu_time;

void emu_clocks_begin(uint32_t block);

/* Notes an access of the running thread to a cell. Null, or with whom it races. */
const char *emu_note_read(emu_cell *c, const emu_fiber *f, const void *pc);
const char *emu_note_write(emu_cell *c, const emu_fiber *f, const void *pc);

/* The source line of a code address of this module. */
std::string emu_pc_text(const void *pc);

#endif
