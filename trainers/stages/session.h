/* What a process runs its stages with: its communicator, its device, and the files that
 * it has hashed. */
#ifndef CZ_STAGES_SESSION_H
#define CZ_STAGES_SESSION_H

#include "comm/comm.h"
#include "device/device.h"
#include "stages/inputs.h"

/* Opened once a process; every stage of a run uses it, one after another. All ranks have
 * one. */
typedef struct cz_session {
  cz_comm *comm;
  cz_device *device;
  cz_inputs inputs; /* files that were hashed */
  int64_t jobs;     /* processes that share members or stages (jobs.h); 0 and 1: this one */
  bool joins;       /* this process helps at a stage, and leaves nothing but members */
  bool works;       /* it shares the stages of a run that another process has checked */
  struct {
    char folder[4096], kind[CZ_PROCESSOR_BYTES];
  } other; /* a finished stage from another kind of processor; empty: none was met */
} cz_session;

/* Closing takes the outcome: a rank that failed ends the whole job (comm/comm.h), as its
 * peers would wait for it in the next collective call. */
CZ_MUST cz_status cz_session_open(cz_session *s, const char *device, const char *comm);
CZ_MUST cz_status cz_session_jobs(cz_session *s, const char *word);
void cz_session_close(cz_session *s, cz_status outcome);

/* Whether this process writes what a stage leaves: one of all that work on it does. */
static inline bool cz_session_writes(const cz_session *s) {
  return s->comm->rank == 0 && !s->joins;
}

#endif
