/* The parts of a training loop: what loop.c, the story of a step, works with. Internal to
 * the two files. */
#ifndef CZ_TRAINING_LOOP_PARTS_H
#define CZ_TRAINING_LOOP_PARTS_H

#include "base/log.h"
#include "comm/reducer.h"
#include "training/adder.h"
#include "training/loop.h"
#include "training/record.h"
#include "training/state.h"

typedef struct cz__loop {
  const cz_loop_job *job;
  cz_net *net;
  cz_optimizer *optimizer;
  cz_device_sums sums;
  cz_reducer *reducer;
  cz_batches *batches;
  cz_record *record; /* rank 0; null on the others */
  double *losses;    /* [shards + 1]; the last element counts ranks that a signal stops */
  cz_state state;
  cz_state_of state_of;
  cz_progress progress;
  double saved;           /* when the last checkpoint was written, in seconds */
  bool warned_of_repeats; /* a batch that holds more examples than there are */
  bool stop;              /* a signal stops some rank: known to all after a step */
  cz_status ready_status; /* the first failure inside gradient_ready */
} cz__loop;

static inline bool cz__loop_is_first(const cz__loop *l) { return l->job->comm->rank == 0; }

CZ_MUST cz_status cz__loop_open(cz__loop *l);
CZ_MUST cz_status cz__loop_close(cz__loop *l, cz_status st);
cz_loop_result cz__loop_result(const cz__loop *l);

#endif
