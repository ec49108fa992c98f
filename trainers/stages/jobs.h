/* Processes on one machine that share work by locks on folders: members of a stage
 * (few_shot/claims.h), or stages of a run (experiment/run_stages.c). Each is this program, told
 * what to join; fork would not do, as the library of threads has threads already. It dies with the
 * process that made it, however that ends: what is under way stays as its checkpoints have it, and
 * the next run finds nobody in their folders. */
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

CZ_MUST cz_status cz_jobs_start(cz_jobs *jobs, int64_t n, char *const argv[], const char *what);
CZ_MUST cz_status cz_jobs_members(cz_jobs *jobs, const cz_session *s, const char *kind,
                                  const char *folder, uint64_t hash);
CZ_MUST cz_status cz_jobs_wait(cz_jobs *jobs, cz_status own);
CZ_MUST cz_status cz_jobs_tie(const char *option, const char *process);
CZ_MUST cz_status cz_jobs_join(uint64_t *hash, const char *word);

#endif
