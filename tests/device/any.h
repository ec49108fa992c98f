/* The device that tests of any device run on: CZ_TEST_DEVICE has its name, one of `cloze devices`
 * or "far" (far.h). Link far.c beside this. */
#ifndef CZ_TESTS_ANY_H
#define CZ_TESTS_ANY_H

#include "device/device.h"

const char *any_name(const char *otherwise);
cz_device *any_open(const char *name);
void any_close(cz_device **device);

#endif
