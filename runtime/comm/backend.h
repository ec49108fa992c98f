/* The interface of a backend, which carries bytes between processes; comm.c and reducer.c
 * build everything else on it. A backend moves bytes and never adds: the order of
 * additions is comm's. Sends and receives return at once; the memory is the backend's
 * until `test` says that a request is done. Internal to comm. */
#ifndef CZ_COMM_BACKEND_H
#define CZ_COMM_BACKEND_H

#include "comm/comm.h"

typedef union cz__request { /* a message under way; holds whatever the backend needs */
  void *pointer;
  int64_t number;
} cz__request;

/* Calls come from one thread. barrier, allgather and split are collective; send and
 * receive pair up by (peer, tag), in the order of the calls. Until `test` reports a send
 * as done its bytes may not be changed, and until it reports a receive as done they may
 * not be read. */
struct cz_comm_backend {
  cz_status (*barrier)(cz_comm *c);
  cz_status (*allgather)(cz_comm *c, void *bytes, const size_t *bounds);
  cz_status (*split)(cz_comm *c, cz_comm **group, int color);
  cz_status (*send)(cz_comm *c, cz__request *request, const void *bytes, size_t n, int peer,
                    int tag); /* tags 0 to 32767; n below 2^31 */
  cz_status (*receive)(cz_comm *c, cz__request *request, void *bytes, size_t n, int peer, int tag);
  cz_status (*test)(cz_comm *c, cz__request *request, bool *done); /* also makes progress */
  void (*abort)(cz_comm *c, int code);
  void (*close)(cz_comm *c);
};

cz_status cz__comm_open_mpi(cz_comm **c);

#endif
