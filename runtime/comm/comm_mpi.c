#include "comm/backend.h"

#ifndef CZ_HAVE_MPI

/** Without MPI: CZ_EUSAGE. */
cz_status cz__comm_open_mpi(cz_comm **c) {
  *c = NULL;
  return CZ_FAIL(CZ_EUSAGE, "several processes need MPI, and this program was built without it: "
                            "install libopenmpi-dev and build again, or start one "
                            "process without mpirun");
}

#else

#include <mpi.h>

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE_BYTES = 1 << 30 }; /* MPI counts are int */

_Static_assert(sizeof(MPI_Request) <= sizeof(cz__request), "a request of this MPI fits");
_Static_assert(sizeof(MPI_Comm) <= sizeof(void *), "a communicator of this MPI fits a pointer");

static MPI_Comm comm_of(const cz_comm *c) {
  MPI_Comm m;
  memcpy(&m, &c->state, sizeof m);
  return m;
}

static cz_status check(int code, const char *what) {
  char text[MPI_MAX_ERROR_STRING] = "";
  int n = 0;
  if (code == MPI_SUCCESS) return CZ_OK;
  MPI_Error_string(code, text, &n);
  return CZ_FAIL(CZ_EIO, "%s: %s", what, text);
}

static cz_status mpi_barrier(cz_comm *c) { return check(MPI_Barrier(comm_of(c)), "MPI_Barrier"); }

/* In pieces, because MPI counts are int. */
static cz_status broadcast(cz_comm *c, void *bytes, size_t n, int root) {
  for (size_t i = 0; i < n; i += PIECE_BYTES)
    CZ_TRY(check(MPI_Bcast((char *)bytes + i, (int)(n - i < PIECE_BYTES ? n - i : PIECE_BYTES),
                           MPI_BYTE, root, comm_of(c)),
                 "MPI_Bcast"));
  return CZ_OK;
}

static cz_status mpi_allgather(cz_comm *c, void *bytes, const size_t *bounds) {
  if (bounds[c->size] > INT_MAX) { /* displacements are int: one broadcast a rank then */
    for (int r = 0; r < c->size; r++)
      CZ_TRY(broadcast(c, (char *)bytes + bounds[r], bounds[r + 1] - bounds[r], r));
    return CZ_OK;
  }
  int *counts;
  CZ_TRY(cz_alloc(&counts, 2 * (size_t)c->size, sizeof *counts));
  int *places = counts + c->size;
  for (int r = 0; r < c->size; r++) {
    counts[r] = (int)(bounds[r + 1] - bounds[r]);
    places[r] = (int)bounds[r];
  }
  int code = MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, bytes, counts, places, MPI_BYTE,
                            comm_of(c));
  free(counts);
  return check(code, "MPI_Allgatherv");
}

static cz_status mpi_send(cz_comm *c, cz__request *request, const void *bytes, size_t n, int peer,
                          int tag) {
  MPI_Request r;
  CZ_TRY(check(MPI_Isend(bytes, (int)n, MPI_BYTE, peer, tag, comm_of(c), &r), "MPI_Isend"));
  memcpy(request, &r, sizeof r);
  return CZ_OK;
}

static cz_status mpi_receive(cz_comm *c, cz__request *request, void *bytes, size_t n, int peer,
                             int tag) {
  MPI_Request r;
  CZ_TRY(check(MPI_Irecv(bytes, (int)n, MPI_BYTE, peer, tag, comm_of(c), &r), "MPI_Irecv"));
  memcpy(request, &r, sizeof r);
  return CZ_OK;
}

static cz_status mpi_test(cz_comm *c, cz__request *request, bool *done) {
  MPI_Request r;
  int flag = 0;
  memcpy(&r, request, sizeof r);
  CZ_TRY(check(MPI_Test(&r, &flag, MPI_STATUS_IGNORE), "MPI_Test"));
  memcpy(request, &r, sizeof r);
  *done = flag;
  return CZ_OK;
}

static void mpi_abort(cz_comm *c, int code) { MPI_Abort(MPI_COMM_WORLD, code); }

static void mpi_close(cz_comm *c) {
  MPI_Comm m = comm_of(c);
  if (m == MPI_COMM_WORLD)
    MPI_Finalize();
  else
    MPI_Comm_free(&m);
}

static cz_status mpi_split(cz_comm *c, cz_comm **group, int color);

static const struct cz_comm_backend mpi_backend = {.barrier = mpi_barrier,
                                                   .allgather = mpi_allgather,
                                                   .split = mpi_split,
                                                   .send = mpi_send,
                                                   .receive = mpi_receive,
                                                   .test = mpi_test,
                                                   .abort = mpi_abort,
                                                   .close = mpi_close};

static cz_status wrap(cz_comm **c, MPI_Comm m) {
  CZ_TRY(cz_alloc(c, 1, sizeof **c));
  memcpy(&(*c)->state, &m, sizeof m);
  (*c)->backend = &mpi_backend;
  MPI_Comm_set_errhandler(m, MPI_ERRORS_RETURN);
  CZ_TRY(check(MPI_Comm_rank(m, &(*c)->rank), "MPI_Comm_rank"));
  return check(MPI_Comm_size(m, &(*c)->size), "MPI_Comm_size");
}

static cz_status mpi_split(cz_comm *c, cz_comm **group, int color) {
  MPI_Comm m;
  CZ_TRY(check(MPI_Comm_split(comm_of(c), color, c->rank, &m), "MPI_Comm_split"));
  return wrap(group, m);
}

/** Starts MPI, called by one thread from now on, and wraps all its processes. */
cz_status cz__comm_open_mpi(cz_comm **c) {
  int level;
  CZ_TRY(check(MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level), "MPI_Init_thread"));
  if (level < MPI_THREAD_FUNNELED)
    return CZ_FAIL(CZ_EUSAGE,
                   "this MPI does not allow threads beside the one that calls it (level %d)",
                   level);
  return wrap(c, MPI_COMM_WORLD);
}

#endif
