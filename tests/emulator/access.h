/* What is done at every access to memory of a kernel that was compiled for it (access.cpp), and by
 * the models of instructions, whose accesses no compiler sees. Without such a compilation only
 * guards are looked at. */
#ifndef CZ_TESTS_EMULATOR_ACCESS_H
#define CZ_TESTS_EMULATOR_ACCESS_H

#include "emulator/emulator.h"

enum emu_use {
  EMU_READ,
  EMU_WRITE,
  EMU_READ_ROW,   /* by ldmatrix */
  EMU_WRITE_COPY, /* what cp.async writes is asked for, */
  EMU_LAND,       /* and is there */
  EMU_ADD         /* at once, whatever others add */
};

/* Which instruction it is: a code address; the kernel's line, where a model knows it. */
struct emu_site {
  const void *pc;
  emu_place at;
};

/* Of the thread that runs; an error ends the block. */
void emu_access(const void *p, size_t bytes, emu_use use, emu_site site);

/* What was written there is on its way and not to be read. */
void emu_forget(const void *p, size_t bytes);

/* True when every access is looked at: blocks then run one after another on one thread. */
bool emu_begin_launch(const char *name, const void *kernel, dim3 grid, dim3 block, void *argument,
                      size_t argument_bytes);
void emu_end_launch(void);
void emu_begin_block(emu_worker *w, uint3 block, dim3 blocks);
void emu_end_block(emu_worker *w);

/* All threads of the block have come to a barrier, the lanes of MASK to a collective: nobody has
 * gone on yet. */
void emu_passed_barrier(emu_worker *w);
void emu_met(emu_worker *w, int warp, unsigned mask);

/* What the lanes of MASK did before is seen after by all of them. */
void emu_order_lanes(int warp, unsigned mask);

void emu_count_event(emu_event event, uint64_t times);

#endif
