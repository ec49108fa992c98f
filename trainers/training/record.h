/* What a run writes down of its steps: one line of metrics.jsonl and one point of each
 * TensorBoard curve. */
#ifndef CZ_TRAINING_RECORD_H
#define CZ_TRAINING_RECORD_H

#include "training/loop.h"

typedef struct cz_record cz_record;

typedef struct cz_record_value {
  const char *name;
  double value;
} cz_record_value;

/* take_over is for a run that goes on from another one's checkpoint, before open.
 *
 * STEP is that of the checkpoint: lines that a killed run wrote beyond it are removed,
 * since they will be written again, and a new event file takes the place of old points.
 * Rank 0 alone records. */
bool cz_record_due(const cz_train_keys *train, int64_t step);
CZ_MUST cz_status cz_record_take_over(const char *folder, const char *from, const char *what,
                                      const cz_train_keys *train);
CZ_MUST cz_status cz_record_open(cz_record **r, const char *folder, const char *what, int64_t step);
CZ_MUST cz_status cz_record_step(cz_record *r, int64_t step, const cz_record_value *values,
                                 size_t n);
CZ_MUST cz_status cz_record_close(cz_record **r);

#endif
