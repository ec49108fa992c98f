/* What the two files of the batches' test share: a source of examples of random lengths,
 * and random plans for it. */
#ifndef CZ_TESTS_DATA_BATCH_SETUP_H
#define CZ_TESTS_DATA_BATCH_SETUP_H

#include "setup.h"

/* Example (epoch, index) has random tokens; the first input is 1000 + epoch x count +
 * index. */
typedef struct noisy {
  uint64_t count;
  int64_t most_inputs, most_targets; /* tokens */
  int64_t empty_one_in;              /* this share has no targets; 0: none */
  uint64_t fail_at;                  /* examples from this one on fail; 0: none */
} noisy;

cz_source noisy_source(noisy *p);
cz_batch_plan random_plan(cz_stream *s, const noisy *p);

#endif
