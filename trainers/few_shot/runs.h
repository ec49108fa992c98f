/* Texts through a net that learns nothing of them: what scores, and what encodes. */
#ifndef CZ_FEW_SHOT_RUNS_H
#define CZ_FEW_SHOT_RUNS_H

#include "data/batch.h"
#include "data/prepared.h"

typedef struct cz_runs {
  const char *what;        /* for who is interrupted */
  int64_t tokens, longest; /* of a run; of an example */
  int64_t texts;           /* of an example; 0: one */
  void *self;
  cz_status (*run)(void *self, const cz_shard *shard); /* of one text or more */
} cz_runs;

CZ_MUST cz_status cz_runs_over(const cz_runs *runs, const cz_prepared *inputs);

#endif
