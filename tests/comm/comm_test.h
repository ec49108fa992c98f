/* What the two files of the communicator's test share: the job, the seed, and a check
 * that ends the whole job. */
#ifndef CZ_TESTS_COMM_TEST_H
#define CZ_TESTS_COMM_TEST_H

#include "comm/comm.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

extern cz_comm *world;
extern uint64_t seed;

/* A rank that stops alone would leave the others waiting. */
#define CHECK(condition)                                                                           \
  do {                                                                                             \
    if (!(condition)) {                                                                            \
      fprintf(stderr, "rank %d of %d, seed %llu: %s:%d: %s; last error: %s\n", world->rank,        \
              world->size, (unsigned long long)seed, __FILE__, __LINE__, #condition,               \
              cz_error_message());                                                                 \
      cz_comm_abort(world, 1);                                                                     \
      fail();                                                                                      \
    }                                                                                              \
  } while (0)

void test_tree_order(void **state);
void test_sums_exact(void **state);
void test_sums_equal_the_serial_tree(void **state);
void test_shards_do_not_see_ranks(void **state);
void test_misuse(void **state);

#endif
