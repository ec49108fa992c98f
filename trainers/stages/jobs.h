/* Processes of one stage on one machine: what computes members may have company, which takes those
 * that nobody holds (few_shot/claims.h). Each is this program, told to join the stage in its
 * folder; fork would not do, as the library of threads has threads already. It dies with the
 * process that made it, however that ends: members that are under way stay as their checkpoints
 * have them, and the next run finds nobody in their folders. */
#ifndef CZ_STAGES_JOBS_H
#define CZ_STAGES_JOBS_H

#include "stages/session.h"

#include <sys/types.h>

enum { CZ_JOBS = 64 }; /* at most */

typedef struct cz_jobs {
  pid_t pids[CZ_JOBS];
  int n;       /* beside this process */
  int threads; /* of this process before */
} cz_jobs;

CZ_MUST cz_status cz_jobs_start(cz_jobs *jobs, const cz_session *s, const char *kind,
                                const char *folder, uint64_t hash);
CZ_MUST cz_status cz_jobs_wait(cz_jobs *jobs, cz_status own);
CZ_MUST cz_status cz_jobs_join(uint64_t *hash, const char *word);

#endif
