/* What is done at every access to memory of a kernel that was compiled for it (access.cpp), and by
 * the models of instructions, whose accesses no compiler sees. Without such a compilation only
 * bounds of shared memory are looked at, by guards. */
#ifndef CZ_TESTS_EMULATOR_ACCESS_H
#define CZ_TESTS_EMULATOR_ACCESS_H

#include "emulator/emulator.h"

/* True when every access is looked at: blocks then run one after another on one thread. */
bool emu_begin_launch(const char *name, dim3 grid, dim3 block, size_t shared_bytes, void *argument,
                      size_t argument_bytes);
void emu_end_launch(void);
void emu_begin_block(emu_worker *w, uint3 block, dim3 blocks);
void emu_end_block(emu_worker *w);

/* Of the thread that runs. PLACE is known where a model asks, else the code address. */
void emu_access(const void *p, size_t bytes, bool writes, emu_place at);

void emu_forget(const void *p, size_t bytes);

/* What happened before is seen after: by all threads of the block, by the lanes of MASK. */
void emu_order_block(void);
void emu_order_lanes(int warp, unsigned mask);

/* What the count mode counts of a whole warp, besides accesses. */
enum emu_event {
  EMU_COUNT_BARRIER,
  EMU_COUNT_SHUFFLE,
  EMU_COUNT_VOTE,
  EMU_COUNT_SYNCWARP,
  EMU_COUNT_MMA,
  EMU_COUNT_LDMATRIX,
  EMU_COUNT_COPY,
  EMU_COUNT_ATOMIC,
  EMU_EVENTS
};
void emu_count_event(emu_event event);

/* Shared memory of a block: arrays between guards. */
void *emu_shared_array(emu_worker *w, const void *key, const char *name, size_t bytes,
                       size_t alignment);
std::string emu_shared_damage(const emu_worker *w);

#endif
