/* PET or iPET from data files to a classifier, without an experiment file: one is composed, run as
 * any other, and what somebody with data of their own wants of it is laid out.
 *
 *   OUT/run/               the experiment's folder (experiment.h): report, stages, and all that a
 *                          stopped run goes on from
 *   OUT/result.json        metrics: zero_shot {raw, calibrated}, supervised, members, ensemble,
 *                          student; each judged {accuracy, macro_f1, ece, coverage, ...}, null
 *                          without labels
 *   OUT/predictions.jsonl  a line a text of the test file
 *   OUT/label_next.jsonl   unlabelled texts in the order in which to label them
 *   OUT/student/           the classifier (stages/student.h)
 *   OUT/student.json       which stage of the run it is of, and its files' hashes as they were
 *   OUT/student.old-N/     what stood there when the run's student became another one */
#ifndef CZ_EXPERIMENT_PET_H
#define CZ_EXPERIMENT_PET_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct cz_pet_request {
  const char *model, *pattern, *train, *unlabeled, *test; /* train, test may be null */
  const char *labels;                                     /* or null */
  const char *columns, *backslashes; /* of files without a line that names the columns, or null */
  const char *out, *device, *comm;
  const char *jobs; /* processes, or null: one, or for a narrow model one a core */
  bool ipet, zero_shot;
  char **words; /* overrides of the composed experiment, key=value */
  size_t n_words;
} cz_pet_request;

CZ_MUST cz_status cz_pet_run(const cz_pet_request *request);

#endif
