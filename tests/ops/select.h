/* What the environment asks for of the op tests (test_ops.c says how). */
#ifndef CZ_TESTS_OPS_SELECT_H
#define CZ_TESTS_OPS_SELECT_H

#include <stdbool.h>

long number_of(const char *variable, long otherwise);
bool in_share(int index);
bool selected(const char *variable, const char *name);

#endif
