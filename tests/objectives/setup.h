/* What the objective tests share: T5's vocabulary, configured objectives and pieces of
 * known tokens. */
#ifndef CZ_TESTS_OBJECTIVES_SETUP_H
#define CZ_TESTS_OBJECTIVES_SETUP_H

#include <stddef.h>

#include "common/common.h"
#include "device/random.h"
#include "objectives/denoise.h"
#include "objectives/objective.h"

enum { T5_SIZE = 32100, T5_SENTINEL = 32099, T5_EOS = 1 };

void t5_vocabulary(cz_vocabulary *v, int32_t sentinels);
cz_objective_config default_config(const char *name);
cz_objective make_objective(const char *name, cz_objective_config config, int32_t sentinels);
void fill_piece(int32_t *ids, int64_t n, cz_stream *s);
void free_example(cz_example *e);
void assert_ids(const cz_ids *found, const int32_t *expected, size_t n);

/* Tests of the other files, run by main. */
int run_block_tests(void);
int run_fidelity_tests(void);

#endif
