/* The parts of a training loop: what loop.c, the story of a step, works with. Internal to
 * the loop's files. */
#ifndef CZ_TRAINING_LOOP_PARTS_H
#define CZ_TRAINING_LOOP_PARTS_H

#include "base/log.h"
#include "comm/reducer.h"
#include "training/adder.h"
#include "training/loop.h"
#include "training/record.h"
#include "training/state.h"

enum { CZ__LATE = 4 }; /* records: one being handled, one being read, and as many to spare */

/* A step that was launched, and what of it the host will see. */
typedef struct cz__late {
  int64_t step; /* from 0 */
  int64_t input_tokens, target_tokens;
  double units, rate, excess; /* units: for the progress line; excess: of the loss */
  uint64_t ticket;            /* of the second of two reads */
  bool pending;               /* the device may still write `numbers` */
  void *numbers; /* in the device's real dtype: losses [shards], then hyper [CZ_HYPERS] */
} cz__late;

typedef struct cz__loop {
  const cz_loop_job *job;
  cz_net *net;
  cz_optimizer *optimizer;
  cz_device_sums sums;
  cz_reducer *reducer;
  cz_batches *batches;
  cz_record *record; /* rank 0; null on the others */
  cz_state state;
  cz_state_of state_of;
  cz_progress progress;
  cz__late late[CZ__LATE];
  int64_t launched, handled; /* steps of this process: the ring's ends */
  double units;              /* tokens of this process */
  bool waits;                /* each step for its numbers */
  double saved;              /* when the last checkpoint was written, in seconds */
  bool warned_of_repeats;    /* a batch that holds more examples than there are */
  bool stop;                 /* a signal stops some rank: known to all after a step */
  cz_status ready_status;    /* the first failure inside gradient_ready */
} cz__loop;

static inline bool cz__loop_is_first(const cz__loop *l) { return l->job->comm->rank == 0; }

/* The losses of the global batch, [shards] reals in device memory. They lie behind the gradients
 * and are summed with them: each rank fills in its own, zeros stand for the others', and after the
 * reducer every rank has all. */
static inline void *cz__loop_losses(const cz__loop *l) {
  const cz_params *p = l->job->model->params;
  return (char *)p->grads + cz_params_trained_bytes(p);
}

CZ_MUST cz_status cz__loop_open(cz__loop *l);
CZ_MUST cz_status cz__loop_note_memory(const cz__loop *l, cz_status st);
CZ_MUST cz_status cz__loop_close(cz__loop *l, cz_status st);
cz_loop_result cz__loop_result(const cz__loop *l);

#endif
