/* A small model and a loop's job on it, for the tests that train on devices of the tests' own. */
#ifndef CZ_TESTS_SMALL_H
#define CZ_TESTS_SMALL_H

#include "training/loop.h"

enum { SMALL_VOCABULARY = 130, SMALL_PAIRS = 60 };

cz_model *small_model(cz_device *device);
void small_source(cz_source *source, cz_pairs *pairs);
cz_loop_job small_job(cz_model *model, cz_comm *comm, const cz_source *source, int optimizer);

#endif
