/* What the PTX manual says that an instruction does, for the pins (tests/gpu/pins.h). */
#ifndef CZ_TESTS_EMULATOR_DEFINITIONS_H
#define CZ_TESTS_EMULATOR_DEFINITIONS_H

#include "gpu/pins.h"

#include <string>

/* How what came out of an item differs from the manual, or empty. */
std::string differs(const pin *p, const uint32_t *in, const void *out);

#endif
