/* The device that tests of any device run on: CZ_TEST_DEVICE has its name, one of `cloze devices`
 * or "far" (far.h). Link far.c beside this. Without it such a test has devices of its own. */
#ifndef CZ_TESTS_ANY_H
#define CZ_TESTS_ANY_H

#include "device/device.h"

const char *any_name(const char *otherwise);
const char *any_guard(const char *name);
const char *const *any_devices(const char *const *otherwise);
bool any_wants(cz_dtype dtype);
int any_cases(int otherwise);
cz_device *any_open(const char *name);
void any_close(cz_device **device);

/* Lets the threads of an emulated kernel take their turns in another order: 1 the last one first, 2
 * and 3 at random, 0 as at first. */
typedef void (*any_order)(int k);
any_order any_orders(const char *name);

#endif
