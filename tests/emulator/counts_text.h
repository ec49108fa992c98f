/* Counts as lines of JSON, for scripts/kernel_report.py. */
#ifndef CZ_TESTS_EMULATOR_COUNTS_TEXT_H
#define CZ_TESTS_EMULATOR_COUNTS_TEXT_H

#include "emulator/access.h"

#include <set>
#include <stdio.h>

struct emu_line_counts { /* of a place of the code */
  emu_site site;
  emu_kind kind;
  bool copies; /* cp.async */
  emu_traffic traffic;
};

/* FUNCTIONS: which were launched by the kernel's name. */
void emu_write_kernel(FILE *f, const emu_counts &sums, const std::set<const void *> &functions,
                      const std::vector<emu_line_counts> &places);

#endif
