/* Filling a window of a fixed number of examples: one batch, in the source's order, the
 * first of them in the first shard. Nothing is dealt anew, so a batch holds what the order
 * of the source says, and a text that is drawn twice in few steps is not put twice into
 * one of them. What happens at the end of an epoch is the plan's rule (cz_ends). */
#include "data/window.h"

typedef struct filling {
  int64_t place;    /* of the next example in the batch */
  int64_t complete; /* the place at which the batch is */
  uint32_t epoch;   /* of the last one */
  uint64_t began;   /* index that this call began that epoch with */
  bool full, never; /* the batch is complete; no batch will ever be */
} filling;

/* The epoch of the examples so far is over: their last shard stays short, or the next epoch
 * goes on filling it. RESTART leaves out a batch that lacks shards, or keeps it in front of the
 * next one; where a whole epoch makes none, no later one will. */
static void end_epoch(cz__window *w, filling *f, const cz_batch_plan *plan) {
  const int64_t each = plan->examples / plan->shards;
  if (!w->count || plan->ends == CZ_ENDS_JOIN) return;
  f->place = (f->place + each - 1) / each * each;
  f->full = f->place == f->complete;
  if (f->full || plan->ends == CZ_ENDS_SHORT) return;
  f->never = f->began == 0;
  if (plan->whole && !f->never) {
    f->complete = f->place + plan->whole * each;
    return;
  }
  f->place = 0;
  w->count = 0;
  w->cut[0] = 0;
}

static cz_status collect_one(cz__window *w, filling *f, const cz_source *source,
                             const cz_batch_plan *plan) {
  bool kept, cut;
  CZ_TRY(cz__window_read(w, &kept, &cut, source, plan));
  w->next_index++;
  if (!kept) return CZ_OK;
  w->bin[w->count++] = (int32_t)(f->place++ / (plan->examples / plan->shards));
  w->cut[0] += cut;
  f->full = f->place == f->complete;
  return CZ_OK;
}

/** Collects the examples of one batch from next_epoch and next_index on; none at the end of
 * the last pass, or where the plan's rule makes no batch at all. */
cz_status cz__window_collect_examples(cz__window *w, const cz_source *source,
                                      const cz_batch_plan *plan) {
  const int64_t each = plan->examples / plan->shards;
  filling f = {.epoch = w->next_epoch,
               .began = w->next_index,
               .complete = plan->whole ? plan->whole * each : plan->examples};
  int barren = 0;
  while (!f.full) {
    bool more;
    const size_t before = w->count;
    CZ_TRY(cz__window_enter_epoch(w, &more, &barren, source, plan));
    if (!more || w->next_epoch != f.epoch) {
      end_epoch(w, &f, plan);
      f.epoch = w->next_epoch;
      f.began = 0;
    }
    if (!more || f.full || f.never) break;
    CZ_TRY(collect_one(w, &f, source, plan));
    if (w->count > before) barren = 0;
  }
  w->batches = w->count > 0;
  return CZ_OK;
}
