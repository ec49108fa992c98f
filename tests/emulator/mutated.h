/* Kernels of two arrays of 256 floats. */
#ifndef CZ_TESTS_EMULATOR_MUTATED_H
#define CZ_TESTS_EMULATOR_MUTATED_H

void mutated(float *y, const float *x);

#endif
