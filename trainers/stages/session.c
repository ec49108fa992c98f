#include "stages/session.h"
#include "stages/jobs.h"
#include "base/log.h"
#include "base/number.h"

#include <omp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Ranks on one machine share its cores: without a word from the user each takes its part,
 * since teams that are larger spin against one another. Results do not depend on the
 * number of threads. */
static void share_cores(const cz_comm *c) {
  const char *local = getenv("OMPI_COMM_WORLD_LOCAL_SIZE");
  int64_t ranks = c->size;
  if (c->size == 1 || getenv("OMP_NUM_THREADS")) return;
  if (local && cz_parse_int(local, &ranks) != CZ_OK) cz_error_clear();
  int64_t threads = omp_get_num_procs() / (ranks > 0 ? ranks : 1);
  omp_set_num_threads(threads > 1 ? (int)threads : 1);
}

/* All ranks compute parts of the same sums, so all must round alike. */
static cz_status check_processors(cz_comm *c, const char *own) {
  char mine[CZ_PROCESSOR_BYTES] = "", *all;
  cz_status st = CZ_OK;
  snprintf(mine, sizeof mine, "%s", own);
  CZ_TRY(cz_comm_gather(c, &all, mine, sizeof mine));
  for (int r = 1; r < c->size && st == CZ_OK; r++)
    if (memcmp(all, all + (size_t)r * sizeof mine, sizeof mine))
      st = CZ_FAIL(CZ_EUSAGE,
                   "rank 0 computes on %s, rank %d on %s: unlike kinds of processors round "
                   "differently; start all ranks on machines of one kind",
                   all, r, all + (size_t)r * sizeof mine);
  free(all);
  return st;
}

/** Opens the device and the communicator by name. CZ_EUSAGE when the ranks compute on unlike kinds
 * of processors. Collective. */
cz_status cz_session_open(cz_session *s, const char *device, const char *comm) {
  *s = (cz_session){0};
  CZ_TRY(cz_comm_open(&s->comm, comm));
  if (s->comm->rank > 0) cz_log_quiet(true);
  share_cores(s->comm);
  CZ_TRY(cz_device_open(&s->device, device));
  return check_processors(s->comm, s->device->processor);
}

/** Takes the number of processes from the option --jobs WORD (null: one). CZ_EUSAGE for none from 1
 * to CZ_JOBS, or beside ranks. */
cz_status cz_session_jobs(cz_session *s, const char *word) {
  s->jobs = 1;
  if (!word) return CZ_OK;
  if (cz_parse_int(word, &s->jobs) != CZ_OK || s->jobs < 1 || s->jobs > CZ_JOBS)
    return CZ_FAIL(CZ_EUSAGE, "--jobs: '%s' is not a number of processes from 1 to %d", word,
                   CZ_JOBS);
  if (s->jobs > 1 && s->comm->size > 1)
    return CZ_FAIL(CZ_EUSAGE, "--jobs %lld beside %d ranks: members are shared among the ranks",
                   (long long)s->jobs, s->comm->size);
  return CZ_OK;
}

/** Closes what cz_session_open opened. A rank that failed ends the whole job, so that
 * nobody waits for it; ranks that were told to stop leave together. An error in the
 * configuration or the data occurs on all ranks at once and should be printed once. So
 * rank 0 prints and ends the job, and the others wait a moment before they do the
 * same. */
void cz_session_close(cz_session *s, cz_status outcome) {
  enum { MOMENT = 3 /* seconds */ };
  if (s->comm && s->comm->size > 1 && outcome != CZ_OK && outcome != CZ_EINTERRUPT) {
    signal(SIGTERM, SIG_DFL);
    if (s->comm->rank > 0) sleep(MOMENT);
    fprintf(stderr, "cloze: rank %d: %s\n", s->comm->rank, cz_error_message());
    cz_comm_abort(s->comm, outcome == CZ_EUSAGE ? 2 : 1);
  }
  cz_inputs_free(&s->inputs);
  cz_device_close(&s->device);
  cz_comm_close(&s->comm);
}
