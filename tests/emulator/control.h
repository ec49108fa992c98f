/* What tests ask of the emulator. */
#ifndef CZ_TESTS_EMULATOR_CONTROL_H
#define CZ_TESTS_EMULATOR_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#define EMU_API __attribute__((visibility("default"))) /* a module has it, too */

/* In which order ready threads of a block, and blocks, take their turns. */
typedef enum emu_order {
  EMU_ASCENDING,
  EMU_DESCENDING,
  EMU_RANDOM,
  EMU_ORDERS,
  EMU_AS_ENVIRONMENT /* what CZ_EMULATOR_ORDER says (0, 1, 2, or 2:SEED), else ascending */
} emu_order;

/* The order from the next launch on, EMU_AS_ENVIRONMENT before; SEED is of EMU_RANDOM. */
EMU_API void emu_set_order(emu_order order, uint64_t seed);

/* What went wrong since the last call, or null; cleared. */
EMU_API const char *emu_take_error(void);

/* How many seconds of the processor's time a kernel may take before the process is ended with its
 * name; 0: any. At first CZ_EMULATOR_SECONDS, else 120. */
EMU_API void emu_set_limit(int seconds);

/* ---- what accesses cost, counted in the checking build ---- */

/* Instructions of warps that access memory. MOVED and LEAST are sectors of 32 bytes in global
 * memory, wavefronts in shared memory: those it takes, and the fewest that could do. */
typedef struct emu_traffic {
  uint64_t requests; /* of a warp */
  uint64_t lanes;    /* that took part, over all requests */
  uint64_t bytes;    /* that the lanes asked for */
  uint64_t moved, least;
} emu_traffic;

typedef enum emu_kind {
  EMU_GLOBAL_LOAD, /* with the half of cp.async that reads */
  EMU_GLOBAL_STORE,
  EMU_SHARED_LOAD,
  EMU_SHARED_STORE, /* with the half of cp.async that writes */
  EMU_LDMATRIX,     /* in phases of eight rows */
  EMU_ATOMIC,       /* in global memory; in shared memory counted as EMU_SHARED_STORE */
  EMU_KINDS
} emu_kind;

/* What else warps do, counted once for a warp; a barrier once for each warp of a block. */
typedef enum emu_event {
  EMU_COUNT_MMA,
  EMU_COUNT_COPY, /* cp.async of 16 bytes a lane */
  EMU_COUNT_SHUFFLE,
  EMU_COUNT_VOTE,
  EMU_COUNT_SYNCWARP,
  EMU_COUNT_BARRIER,
  EMU_EVENTS
} emu_event;

/* Of all launches of a kernel's name together. */
typedef struct emu_counts {
  const char *kernel;
  uint64_t launches, blocks, threads;
  uint32_t grid[3], block[3]; /* of the last launch */
  size_t shared_bytes;        /* static and dynamic, the most that a block had */
  emu_traffic traffic[EMU_KINDS];
  uint64_t events[EMU_EVENTS];
  /* Traffic that no kernel avoids: different bytes of global memory that a launch reads before it
   * has written them, and that it writes. */
  uint64_t read_bytes, written_bytes;
} emu_counts;

/* From here on accesses are counted, and races are not looked for; earlier counts are dropped. The
 * environment's CZ_EMULATOR_MODE=count begins it with the process. False in a build without
 * checks, which sees no access. */
EMU_API bool emu_begin_counting(void);

/* Accesses are checked again; counts stay. */
EMU_API void emu_end_counting(void);

/* Of a kernel by the name that its launch gives, or null; good until the next launch. */
EMU_API const emu_counts *emu_counts_of(const char *kernel);

/* Adds a line of JSON for each kernel, with its source lines, to the file. False: it cannot be
 * written. */
EMU_API bool emu_write_counts(const char *path);

/* The part of MOVED that was needed, 0 to 1; 1 when nothing was. Of several kinds together. */
static inline double emu_efficiency(const emu_counts *c, int first, int last) {
  uint64_t moved = 0, least = 0;
  for (int k = first; k <= last; k++) moved += c->traffic[k].moved, least += c->traffic[k].least;
  return moved ? (double)least / (double)moved : 1;
}

/* How often shared memory's wavefronts are as many as they could be, 1 or more. */
static inline double emu_conflict_factor(const emu_counts *c) {
  return 1 / emu_efficiency(c, EMU_SHARED_LOAD, EMU_LDMATRIX);
}

/* Lanes that took part in an access of a warp, on average; 0 without any. */
static inline double emu_mean_lanes(const emu_counts *c) {
  uint64_t requests = 0, lanes = 0;
  for (int k = 0; k < EMU_KINDS; k++)
    requests += c->traffic[k].requests, lanes += c->traffic[k].lanes;
  return requests ? (double)lanes / (double)requests : 0;
}

/* Bytes of global memory in the sectors that loads (stores, with atomics) moved. */
static inline uint64_t emu_loaded_bytes(const emu_counts *c) {
  return 32 * c->traffic[EMU_GLOBAL_LOAD].moved;
}
static inline uint64_t emu_stored_bytes(const emu_counts *c) {
  return 32 * (c->traffic[EMU_GLOBAL_STORE].moved + c->traffic[EMU_ATOMIC].moved);
}

#ifdef __cplusplus
}
#endif

#endif
