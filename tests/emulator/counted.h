/* A kernel and what its accesses cost. */
#ifndef CZ_TESTS_EMULATOR_COUNTED_H
#define CZ_TESTS_EMULATOR_COUNTED_H

#include "emulator/control.h"

typedef struct counted {
  const char *what;
  void (*run)(float *y, const float *x); /* 2048 floats each; the kernel's name is "counted" */
  emu_kind kind;
  emu_traffic traffic;
  uint64_t read_bytes, written_bytes;
} counted;

extern const counted counted_cases[];
extern const size_t n_counted;

void counted_products(float *y);

#endif
