/* The folder comm: processes that work together, one per device, alone (`self`) or under
 * MPI. A global batch is cut into shards that do not depend on the number of processes;
 * each computes the gradients of its own, the reducer (reducer.h) sums them in one fixed
 * order (sum_tree.h) while backward still runs, and every process leaves a step with the
 * same bits. A backend (backend.h) only moves bytes; all arithmetic is here, so that
 * another one cannot change a sum.
 *
 * The calls are the same alone and under MPI; a group split off is again a communicator.
 * Collective calls must be made by every rank of the communicator in the same order, by
 * one thread. A rank that fails calls cz_comm_abort, which ends the job, so that no rank
 * waits for one that is gone. */
#ifndef CZ_COMM_COMM_H
#define CZ_COMM_COMM_H

#include "base/mem.h"

#include <stdbool.h>

typedef struct cz_comm {
  int rank, size;
  const struct cz_comm_backend *backend; /* null when size is 1 without MPI */
  void *state;
} cz_comm;

CZ_MUST cz_status cz_comm_open(cz_comm **c, const char *which);
void cz_comm_close(cz_comm **c);
void cz_comm_abort(cz_comm *c, int code);
CZ_MUST cz_status cz_comm_split(cz_comm *c, cz_comm **group, int color);

/* Small collectives, for counts, flags and sums of a few numbers; gradients go through
 * the reducer. Results are the same bits on every rank. */
CZ_MUST cz_status cz_comm_barrier(cz_comm *c);
CZ_MUST cz_status cz_comm_allgather(cz_comm *c, void *bytes, const size_t *bounds);
CZ_MUST cz_status cz_comm_gather(cz_comm *c, void *all, const void *mine, size_t bytes);
CZ_MUST cz_status cz_comm_max_i64(cz_comm *c, int64_t *values, size_t n);
CZ_MUST cz_status cz_comm_sum_f64(cz_comm *c, double *values, size_t n);
CZ_MUST cz_status cz_comm_agree(cz_comm *c, cz_status st);

CZ_MUST cz_status cz_comm_shards(const cz_comm *c, int64_t *first, int64_t *count, int64_t shards);

#endif
