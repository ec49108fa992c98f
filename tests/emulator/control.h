/* What tests ask of the emulator. */
#ifndef CZ_TESTS_EMULATOR_CONTROL_H
#define CZ_TESTS_EMULATOR_CONTROL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* In which order ready threads of a block, and blocks, take their turns. */
typedef enum emu_order { EMU_ASCENDING, EMU_DESCENDING, EMU_RANDOM, EMU_ORDERS } emu_order;

/* The order from the next launch on; SEED is of EMU_RANDOM. At first it is what the environment's
 * CZ_EMULATOR_ORDER says (0, 1, 2, or 2:SEED), else ascending. */
void emu_set_order(emu_order order, uint64_t seed);

/* What went wrong since the last call, or null; cleared. */
const char *emu_take_error(void);

#ifdef __cplusplus
}
#endif

#endif
