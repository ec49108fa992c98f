/* What an evaluation leaves of one task: a line a record in predictions.TASK.jsonl, and the
 * scores of the model and of the simple programs in `metrics`. */
#ifndef CZ_STAGES_SCORING_H
#define CZ_STAGES_SCORING_H

#include "tasks/task.h"

#include <jansson.h>

/* A task whose outputs are there; all borrowed. */
typedef struct cz_scored {
  const char *label;              /* of the task in the stage's list */
  const cz_task_set *train, *set; /* what the simple programs learn from; what was answered */
  const char *const *outputs;     /* [set->n] */
  const char *const *more_json;   /* [set->n] what else stands in a record's line: `, "KEY": VALUE`;
                                     or null */
  const bool *cut;                /* [set->n] the input was longer than the stage reads */
  int64_t inputs_cut, outputs_cut; /* records whose input, whose output was cut */
} cz_scored;

CZ_MUST cz_status cz_scoring_write(json_t *metrics, const char *folder, const cz_scored *task);
CZ_MUST cz_status cz_scoring_write_unscored(const char *folder, const cz_scored *task);

#endif
