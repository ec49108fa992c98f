/* What an evaluation left of each example: predictions.TASK.jsonl of its stage's folder.
 *
 * A line is a record of the task: {"input", "target", "output", "baseline", "group",
 * "scores": {METRIC: [numbers]}, "baselines": {KIND: {METRIC: [numbers]}}}. The numbers
 * are the record's part of the score (metrics/bootstrap.h). "group" is what the record
 * comes from: a name that other tasks may share, or a number within the task; null when
 * it stands for itself. */
#ifndef CZ_EXPERIMENT_PREDICTIONS_H
#define CZ_EXPERIMENT_PREDICTIONS_H

#include "metrics/bootstrap.h"

typedef struct cz_predicted { /* one score of the whole file */
  const char *metric;
  const char *baseline; /* kind of the baseline whose outputs these are; null: the model's */
  cz_parts parts;
} cz_predicted;

typedef struct cz_predictions {
  size_t n;          /* records; 0: the file does not exist or has no parts of scores */
  uint64_t examples; /* hash of inputs and targets: what was scored */
  uint64_t *cluster; /* [n] records with equal numbers are drawn as a whole */
  cz_predicted *scores;
  size_t n_scores;
  cz_arena *arena; /* owns all of it */
} cz_predictions;

CZ_MUST cz_status cz_predictions_read(cz_predictions *p, const char *path, const char *task);
void cz_predictions_free(cz_predictions *p);
const cz_parts *cz_predictions_find(const cz_predictions *p, const char *metric,
                                    const char *baseline);

#endif
