/* Private to this folder: the examples of a few batches at a time, and which shard of
 * which batch each goes to. */
#ifndef CZ_DATA_WINDOW_H
#define CZ_DATA_WINDOW_H

#include "data/batch.h"

/* How full a shard is, against its part of the plan's budgets. */
typedef struct cz__load { /* tokens in a shard */
  int64_t inputs, targets;
} cz__load;

typedef struct cz__window {
  cz_example *examples; /* the first `count` are in use, the others keep their memory */
  int32_t *bin;         /* [count] batch x shards + shard */
  size_t count, examples_cap, bin_cap;
  int64_t batches;
  int64_t *cut;        /* [plan.window] examples cut short, by batch */
  cz__load *loads;     /* [plan.window x shards] */
  uint32_t next_epoch; /* where the window after this one begins */
  uint64_t next_index;
} cz__window;

/* A window is filled, its batches are laid out one after another, then it is refilled
 * from next_epoch and next_index; buffers only ever grow. */
CZ_MUST cz_status cz__window_create(cz__window *w, const cz_batch_plan *plan);
CZ_MUST cz_status cz__window_fill(cz__window *w, const cz_source *source, const cz_batch_plan *plan,
                                  uint32_t epoch, uint64_t index);
void cz__window_free(cz__window *w);

/* What both ways of filling share: steps over ends of epochs, and the example at
 * next_index as the next one of the window; KEPT is false for one that is left out. */
CZ_MUST cz_status cz__window_enter_epoch(cz__window *w, bool *more, int *barren,
                                         const cz_source *source, const cz_batch_plan *plan);
CZ_MUST cz_status cz__window_read(cz__window *w, bool *kept, bool *cut, const cz_source *source,
                                  const cz_batch_plan *plan);
CZ_MUST cz_status cz__window_collect_examples(cz__window *w, const cz_source *source,
                                              const cz_batch_plan *plan);

int64_t cz__batch_texts(const cz_batch_plan *plan);
CZ_MUST cz_status cz__batch_create(cz_batch *b, const cz_batch_plan *plan);
void cz__batch_fill(cz_batch *b, const cz__window *w, const cz_batch_plan *plan, int64_t batch);
void cz__batch_free(cz_batch *b);

#endif
