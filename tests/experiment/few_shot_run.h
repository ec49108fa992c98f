/* What the tests of few-shot tables share: a file with an axis over two stages, and a run of it
 * that was never run. */
#ifndef CZ_TESTS_EXPERIMENT_FEW_SHOT_RUN_H
#define CZ_TESTS_EXPERIMENT_FEW_SHOT_RUN_H

#include "setup.h"

enum { SEEDS_HERE = 3 };
extern const char head[], axis[], contrasts[];
extern const double scores[7][3];

const char *with(const char *a, const char *b);
void write_stage(const char *at, const char *name, const char *text);
void write_few_shot_run(const char *text);

#endif
