/* The parts of the checkpoint test: a state whose every value follows from its step, so
 * that a mixture of two saves or a changed bit shows. */
#ifndef CZ_TESTS_CK_TEST_H
#define CZ_TESTS_CK_TEST_H

#include "checkpoint/checkpoint.h"
#include "util.h"

cz_status save_state(const char *folder, int64_t step);
cz_status load_state(cz_checkpoint *c,
                     int64_t *step); /* CZ_OK: every value is that of *step; otherwise the
                                        checkpoint's own error; wrong values fail */

void test_kill(void **state);
void test_bit_flips(void **state);
void test_truncations(void **state);
void test_fallback(void **state);
void test_full(void **state);
void test_small_disk(void **state);
void test_params(void **state);
void test_unseen_by_fletcher(void **state);
void test_made_up(void **state);

#endif
