/* The parts of the safetensors test. */
#ifndef CZ_TESTS_ST_TEST_H
#define CZ_TESTS_ST_TEST_H

#include "util.h"

void test_bad_headers(void **state);
void test_bad_sizes(void **state);
void test_other_files(void **state);
void test_every_truncation(void **state);
void test_shrunk_later(void **state);
void test_bad_indices(void **state);
void test_mutations(void **state);
void test_halves(void **state);
void test_rounding(void **state);
void test_library_types(void **state);
void test_mapped(void **state);
void test_mapped_unaligned(void **state);
void test_refused_mappings(void **state);
void test_copied(void **state);
void test_refused_copies(void **state);
void test_only_pickles(void **state);

#endif
