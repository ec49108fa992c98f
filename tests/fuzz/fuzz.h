/* Fuzz harnesses, one per reader of bytes from outside: LLVMFuzzerTestOneInput gives the
 * bytes to the reader and returns 0 whatever it says; no crash, no leak, no input that
 * takes seconds or gigabytes.
 *
 * Built with clang and its libFuzzer (preset `fuzz`) the search is guided by coverage.
 * Elsewhere driver.c takes its place: it replays the seeds and mutates them at random.
 * CZ_FUZZ_SECONDS says for how long (2 by default), CZ_TEST_SEED repeats a run. An input
 * that kills the program is left in ./crash-NAME, libFuzzer's in build/fuzz. */
#ifndef CZ_TESTS_FUZZ_H
#define CZ_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The bytes as a file, for readers that take a path: good until the next call. */
const char *fuzz_file(const uint8_t *data, size_t size);

#endif
