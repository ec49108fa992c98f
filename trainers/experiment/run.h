/* Running an experiment: every stage of the plan whose folder has no result yet, in the
 * plan's order. A stage that two rows share runs once. The same command again goes on
 * where a killed or failed run stopped; one with other contents is refused in the same
 * folder, with what differs. Under MPI all ranks call it, and rank 0 alone writes. */
#ifndef CZ_EXPERIMENT_RUN_H
#define CZ_EXPERIMENT_RUN_H

#include "experiment/experiment.h"

typedef struct cz_run_request {
  const char *file, *scale; /* scale null: the file's own choice */
  const char *text;         /* null, or the experiment, and `file` is a name for messages */
  const char *device, *comm;
  const char *jobs;  /* processes that share the stages and their members, or null: one */
  int64_t jobs_else; /* their number where `jobs` is null and there are no ranks; 0: one */
  const char *works; /* null, or this process is one of them, started by the process so numbered */
  int64_t n_seeds;   /* 0: the file's */
  char **words;      /* overrides, key=value */
  size_t n_words;
  char folder[2048]; /* of the run; resolved when the run begins */
  int rank;          /* filled in: this process's among those of the run */
} cz_run_request;

CZ_MUST cz_status cz_experiment_run(cz_run_request *request);

#endif
