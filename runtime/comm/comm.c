#include "comm/comm.h"
#include "comm/backend.h"
#include "comm/sum_tree.h"

#include "base/number.h"

#include <stdlib.h>
#include <string.h>

/* The ranks that a launcher started: from its environment variables, so that a plain
 * start never pays for MPI_Init. 0: there is no launcher. -1: there is one, and only
 * MPI_Init knows how many. */
static int64_t launched_ranks(void) {
  static const char *const names[] = {
      "OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}; /* Open MPI's mpirun; MPICH's, and Slurm's pmi2 */
  int64_t n;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    const char *text = getenv(names[i]);
    if (text && cz_parse_int(text, &n) == CZ_OK && n > 0) return n;
  }
  return getenv("PMIX_RANK") ? -1 : 0;
}

static cz_status check_slurm(int64_t size) {
  const char *text = getenv("SLURM_NTASKS");
  int64_t tasks;
  if (!text) return CZ_OK;
  CZ_TRY(cz_parse_int(text, &tasks));
  return tasks == size ? CZ_OK
                       : CZ_FAIL(CZ_EUSAGE,
                                 "SLURM_NTASKS is %lld but %lld %s together: start it with `srun "
                                 "--mpi=pmix` or mpirun for all tasks, or ask Slurm "
                                 "for as many tasks as you start",
                                 (long long)tasks, (long long)size,
                                 size == 1 ? "process works" : "processes work");
}

/** Opens the communicator of the whole job. WHICH is "self", "mpi", or "auto": MPI when a
 * launcher (mpirun, srun) started more than one process, else self. CZ_EUSAGE when MPI
 * is needed but not built in, or when the size is not Slurm's number of tasks ("self"
 * does not ask). Close with cz_comm_close. */
cz_status cz_comm_open(cz_comm **c, const char *which) {
  bool automatic = strcmp(which, "auto") == 0, mpi = strcmp(which, "mpi") == 0;
  if (!automatic && !mpi && strcmp(which, "self") != 0)
    return CZ_FAIL(CZ_EUSAGE, "unknown communicator '%s'; there are auto, self and mpi", which);
  int64_t launched = launched_ranks();
  if (mpi || (automatic && (launched > 1 || launched < 0)))
    CZ_TRY(cz__comm_open_mpi(c));
  else {
    CZ_TRY(cz_alloc(c, 1, sizeof **c));
    (*c)->size = 1;
  }
  cz_status st = automatic || mpi ? check_slurm((*c)->size) : CZ_OK;
  if (st != CZ_OK) cz_comm_close(c);
  return st;
}

/** Leaves the communicator: collective; that of the whole job ends MPI, so groups are
 * closed before it. Clears the pointer, accepts null. */
void cz_comm_close(cz_comm **c) {
  if (!*c) return;
  if ((*c)->backend) (*c)->backend->close(*c);
  free(*c);
  *c = NULL;
}

/** Ends every process of the job with exit code CODE and does not return; alone (or C
 * null) it does nothing, and `main` exits. Local. */
void cz_comm_abort(cz_comm *c, int code) {
  if (c && c->backend) c->backend->abort(c, code);
}

/** The ranks that give the same COLOR (0 or more) form *GROUP, in the order of their
 * ranks. Collective. */
cz_status cz_comm_split(cz_comm *c, cz_comm **group, int color) {
  if (c->backend) return c->backend->split(c, group, color);
  CZ_TRY(cz_alloc(group, 1, sizeof **group));
  (*group)->size = 1;
  return CZ_OK;
}

/** Returns when all ranks have called it. */
cz_status cz_comm_barrier(cz_comm *c) { return c->size == 1 ? CZ_OK : c->backend->barrier(c); }

/** Completes BYTES on all ranks: rank r brings [BOUNDS[r], BOUNDS[r + 1]) in place;
 * BOUNDS has size + 1 entries, the same everywhere. */
cz_status cz_comm_allgather(cz_comm *c, void *bytes, const size_t *bounds) {
  return c->size == 1 ? CZ_OK : c->backend->allgather(c, bytes, bounds);
}

/** Gathers the BYTES at MINE of every rank: *ALL (the address of any pointer) gets size x BYTES in
 * the order of ranks, on all ranks; the caller frees it. */
cz_status cz_comm_gather(cz_comm *c, void *all, const void *mine, size_t bytes) {
  size_t *bounds;
  char *buffer;
  CZ_TRY(cz_alloc(&bounds, (size_t)c->size + 1, sizeof *bounds));
  for (int r = 0; r <= c->size; r++) bounds[r] = (size_t)r * bytes;
  cz_status st = cz_alloc(&buffer, (size_t)c->size, bytes);
  if (st == CZ_OK && bytes) memcpy(buffer + bounds[c->rank], mine, bytes);
  if (st == CZ_OK) st = cz_comm_allgather(c, buffer, bounds);
  if (st != CZ_OK) {
    free(buffer);
    buffer = NULL;
  }
  memcpy(all, &buffer, sizeof buffer);
  free(bounds);
  return st;
}

/** The largest of all ranks for each of N values, in place, on all ranks. */
cz_status cz_comm_max_i64(cz_comm *c, int64_t *values, size_t n) {
  int64_t *all = NULL;
  if (c->size == 1 || !n) return CZ_OK;
  CZ_TRY(cz_comm_gather(c, &all, values, n * sizeof *values));
  for (size_t i = 0; i < n; i++)
    for (int r = 0; r < c->size; r++)
      if (all[(size_t)r * n + i] > values[i]) values[i] = all[(size_t)r * n + i];
  free(all);
  return CZ_OK;
}

/** Adds the N values of all ranks, in place, on all ranks, in the fixed tree over ranks
 * (comm/sum_tree.h). For a sum that does not depend on the number of ranks, give one slot
 * per shard (others' slots 0), which makes every addition exact, and add the slots in
 * order afterwards. */
cz_status cz_comm_sum_f64(cz_comm *c, double *values, size_t n) {
  double *all = NULL;
  void **parts;
  if (c->size == 1 || !n) return CZ_OK;
  CZ_TRY(cz_alloc(&parts, (size_t)c->size, sizeof *parts));
  cz_status st = cz_comm_gather(c, &all, values, n * sizeof *values);
  if (st == CZ_OK) {
    for (int r = 0; r < c->size; r++) parts[r] = all + (size_t)r * n;
    cz_sum_tree_fold_parts(parts, c->size, (int64_t)n, sizeof *values);
    memcpy(values, all, n * sizeof *values);
  }
  free(all);
  free(parts);
  return st;
}

/** Ends a part of the work that each rank did by itself, and from which a request to stop leads
 * out: CZ_EINTERRUPT on all ranks when one of them brings it as ST, else CZ_OK. So no rank waits
 * for one that has left. Another ST is returned at once: such a rank ends the job. Collective. */
cz_status cz_comm_agree(cz_comm *c, cz_status st) {
  double stopped = st == CZ_EINTERRUPT;
  if (st != CZ_OK && st != CZ_EINTERRUPT) return st;
  CZ_TRY(cz_comm_sum_f64(c, &stopped, 1));
  return stopped > 0 && st == CZ_OK
             ? CZ_FAIL(CZ_EINTERRUPT, "stopped; run the same command again to go on")
             : st;
}

/** The consecutive shards [*FIRST, *FIRST + *COUNT) of a global batch that this rank
 * computes. CZ_EUSAGE when the ranks do not divide the shards, or when several ranks own
 * each a number of shards that is not a power of two: their sums would then not be nodes
 * of the one tree of additions. Local. */
cz_status cz_comm_shards(const cz_comm *c, int64_t *first, int64_t *count, int64_t shards) {
  int64_t each = shards / c->size;
  if (shards < 1 || shards % c->size)
    return CZ_FAIL(CZ_EUSAGE,
                   "%lld shards can't be divided among %d ranks: the number of ranks must divide "
                   "the number of shards",
                   (long long)shards, c->size);
  if (c->size > 1 && (each & (each - 1)))
    return CZ_FAIL(CZ_EUSAGE,
                   "%lld shards on %d ranks are %lld a rank, which is not a power of two: the sum "
                   "would depend on the number of ranks",
                   (long long)shards, c->size, (long long)each);
  *first = each * c->rank;
  *count = each;
  return CZ_OK;
}
