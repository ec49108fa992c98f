/* What a run writes down of its steps: one line of metrics.jsonl and one point of each
 * TensorBoard curve. */
#ifndef CZ_TRAINING_RECORD_H
#define CZ_TRAINING_RECORD_H

#include "base/mem.h"

typedef struct cz_record cz_record;

typedef struct cz_record_value {
  const char *name;
  double value;
} cz_record_value;

/* STEP is that of the checkpoint: lines that a killed run wrote beyond it are removed,
 * since they will be written again, and a new event file takes the place of old points.
 * Rank 0 alone records. */
CZ_MUST cz_status cz_record_open(cz_record **r, const char *folder, const char *what, int64_t step);
CZ_MUST cz_status cz_record_step(cz_record *r, int64_t step, const cz_record_value *values,
                                 size_t n);
CZ_MUST cz_status cz_record_close(cz_record **r);

#endif
